import Primitives

// Reading the keys of a store in hash order. The keydir has no keys, so every one costs a look at its record. Records
// that fit in a disk page are read and checked whole. Of a larger one only the part up to its key is read: that is
// checked against the keydir's hash, length and flag, which leaves its stamp to the checks of the next read of it.

extension Bitcask {
  /// Longer records are not read whole.
  private static let wholeBytesMax = 4096

  /// The page that begins at `hash`.
  /// - Parameter warm: The bytes of a record that was cold before.
  /// - Throws: `damaged` when a record does not read back; the store is fenced then.
  func keys<FS: FileSystem & ~Copyable>(
    from hash: UInt64, matching pattern: KeyPattern, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> KeyPageOutcome {
    if let damage { throw damage }
    var page = KeyPage()
    page.floor = manifest.floor
    var position = keydir.first(atLeast: hash)
    var slots = 0
    // The hash whose keys are being read, and where they begin in the page.
    var group: UInt64?
    var groupStart = 0
    var isFirstGroup = true
    var last: UInt64?
    while let slot = position {
      let (slotHash, location) = keydir.slot(at: slot)
      if damages.fencing > 0, let note = damages.fencing(slotHash) { throw note.error }
      if slotHash != group {
        if slots >= Engine.slotsPerPage || page.bytes.count >= KeyPage.bytesMax {
          page.next = slotHash
          break
        }
        isFirstGroup = group == nil
        group = slotHash
        groupStart = page.bytes.count
      }
      // Different keys with one hash are so rare that the loop may wait for the disk, from the second of them on: they
      // belong on one page, and an answer of the disk brings one record.
      let mayBlock = slotHash == last
      last = slotHash
      switch try keyOfRecord(at: location, hash: slotHash, warm: warm, mayBlock: mayBlock, on: &files) {
      case .cold(let read):
        // What came before is told; the next page waits for the disk.
        if isFirstGroup { return .cold(read) }
        page.cut(to: groupStart)
        page.next = group
        return .page(page)
      case .record(let bytes, let header):
        if pattern.matches(bytes, header.keyOffset..<header.valueOffset) {
          page.append(hash: slotHash, header, bytes)
        }
      }
      slots += 1
      position = keydir.next(after: slot)
    }
    return .page(page)
  }

  enum KeyRecord {
    /// The record, or at least its part up to the key's end.
    case record([UInt8], RecordHeader)
    case cold(ColdRead)
  }

  func keyOfRecord<FS: FileSystem & ~Copyable>(
    at location: Location, hash: UInt64, warm: WarmBytes?, mayBlock: Bool, on files: inout FS
  ) throws(StorageError) -> KeyRecord {
    guard location.byteCount > Bitcask.wholeBytesMax, location.offset < dataFiles[location.file].flushedLength else {
      return try wholeRecord(at: location, hash: hash, warm: warm, mayBlock: mayBlock, on: &files)
    }
    var count = Bitcask.wholeBytesMax
    while true {
      switch try read(location, count: count, warm: warm, mayBlock: mayBlock, on: &files) {
      case .cold(let read): return .cold(read)
      case .bytes(let bytes):
        guard let header = Record.header(bytes, at: 0), fits(header, location) else {
          throw try damaged(location, hash, "another record than was written there", bytes, on: &files)
        }
        if header.valueOffset > bytes.count, count < header.valueOffset {
          count = header.valueOffset
          continue
        }
        guard header.valueOffset <= bytes.count, hashOfKey(header, in: bytes) == hash else {
          throw try damaged(location, hash, "the record of another key", bytes, on: &files)
        }
        return .record(bytes, header)
      }
    }
  }

  /// The record at a location, read and checked from its first byte to its last.
  func wholeRecord<FS: FileSystem & ~Copyable>(
    at location: Location, hash: UInt64, warm: WarmBytes?, mayBlock: Bool, on files: inout FS
  ) throws(StorageError) -> KeyRecord {
    switch try fetch(location, warm: warm, mayBlock: mayBlock, on: &files) {
    case .cold(let read): return .cold(read)
    case .bytes(let bytes):
      let header = try checked(bytes, at: location, hash, on: &files)
      guard hashOfKey(header, in: bytes) == hash else {
        throw try damaged(location, hash, "the record of another key", bytes, on: &files)
      }
      return .record(bytes, header)
    }
  }
}
