import Primitives

// A store of hints, read from front to back and emptied from front to back. Its records are handed over in the order of
// the log, by reading chunks and leaving out what does not count. What was handed over is forgotten in the keydir alone:
// a restart may bring it back, and handing it over twice does no harm. A file is removed, unread, once nothing in it
// counts.

extension Bitcask {
  /// The hints behind the cursor, of one chunk of one file.
  /// - Parameter bytesMax: Of the chunk; a longer record makes it longer.
  /// - Throws: `damaged` when a record does not read back: the store is fenced then, and nothing is left out.
  func hintPage<FS: FileSystem & ~Copyable>(
    from cursor: HintCursor, bytesMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> HintPageOutcome {
    if let damage { throw damage }
    let cursor = cursor.incarnation == manifest.incarnation ? cursor : .start
    for index in dataFiles.indices where dataFiles[index].id >= cursor.file && dataFiles[index].liveRecords > 0 {
      let isCursors = dataFiles[index].id == cursor.file
      let from = max(UInt64(FileHeader.byteCount), isCursors ? cursor.offset : 0)
      guard from < dataFiles[index].flushedLength else { continue }
      return try hints(in: index, from: from, bytesMax: bytesMax, warm: warm, on: &files)
    }
    return .end
  }

  private func hints<FS: FileSystem & ~Copyable>(
    in index: Int, from: UInt64, bytesMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> HintPageOutcome {
    let handle = try handle(index, on: &files)
    let left = Int(dataFiles[index].flushedLength - from)
    var wanted = min(max(bytesMax, RecordHeader.fixedByteCount), left)
    while true {
      let chunk: [UInt8]
      switch try read(handle, at: from, count: wanted, warm: warm, mayBlock: false, on: &files) {
      case .cold(let read): return .cold(read)
      case .bytes(let bytes): chunk = bytes
      }
      guard chunk.count >= wanted else {
        throw try fenced(index, from + UInt64(chunk.count), "the file ends here", on: &files)
      }
      var hints: [Hint] = []
      var at = 0
      var longer: Int?
      while longer == nil && at < chunk.count {
        let offset = from + UInt64(at)
        switch Record.check(chunk, at: at, salt: dataFiles[index].salt) {
        case .whole(let header):
          if let hint = hint(chunk, at, header, in: index, offset) { hints.append(hint) }
          at += header.byteCount
        case .short(let total):
          guard at + total <= left else {
            throw try fenced(index, offset, "a record that the file ends in", on: &files)
          }
          longer = total
        case .damaged(let reason), .unknown(let reason): throw try fenced(index, offset, reason, on: &files)
        }
      }
      guard at == 0, let longer else {
        let next = HintCursor(
          incarnation: manifest.incarnation, file: dataFiles[index].id, offset: from + UInt64(at))
        return .page(hints, next: next)
      }
      wanted = longer
    }
  }

  /// The record as a hint; nil when it does not count.
  private func hint(
    _ chunk: [UInt8], _ at: Int, _ header: RecordHeader, in index: Int, _ offset: UInt64
  ) -> Hint? {
    let key = at + header.keyOffset..<at + header.valueOffset
    let hash = unsafe chunk.withUnsafeBytes { unsafe options.hash(UnsafeRawBufferPointer(rebasing: $0[key])) }
    guard keydir.position(of: hash, file: index, offset: offset) != nil else { return nil }
    let value = key.upperBound..<key.upperBound + header.valueLength
    return Hint(
      key: Array(chunk[key]),
      version: StoredVersion(header, value: Array(chunk[value])),
      place: HintPlace(
        incarnation: manifest.incarnation, hash: hash, file: dataFiles[index].id, offset: offset,
        byteCount: header.byteCount, isTombstone: header.isTombstone))
  }

  /// Takes the record at this place out of the keydir, if it is there still.
  func forgetHint(_ place: HintPlace) -> Bool {
    guard damage == nil, place.incarnation == manifest.incarnation, let index = dataFiles.index(ofFile: place.file),
      let slot = keydir.position(of: place.hash, file: index, offset: place.offset)
    else { return false }
    removeLive(place.byteCount, from: index)
    if place.isTombstone { tombstones -= 1 } else { keysLive -= 1 }
    keydir.remove(at: slot)
    return true
  }

  var hintStatus: HintStatus {
    HintStatus(
      count: isOpen ? keysLive + tombstones : 0, bytes: liveBytes,
      fileBytes: dataFiles.indices.reduce(0) { $0 + dataFiles[$1].length })
  }

  /// From here on manifests do not list files without a record that counts; if no record of the store counts, the file
  /// that takes records ends first. What is buffered is flushed.
  /// - Returns: Ids of the files that are to go, those of an earlier call included.
  func retireDeadFiles<FS: FileSystem & ~Copyable>(on files: inout FS) -> [UInt32] {
    invariant(buffer.isEmpty && merge == nil, "store \(id) retires files while it is written or merged")
    if let active, keydir.count == 0, dataFiles[active].records > 0 { seal(on: &files) }
    for index in dataFiles.indices where dataFiles[index].isSealed && dataFiles[index].liveRecords == 0 {
      dataFiles[index].isRetired = true
    }
    return dataFiles.indices.filter { dataFiles[$0].isRetired }.map { dataFiles[$0].id }
  }
}
