import Causality
import Primitives

// What another owner of the store may ask for: the records of one hash, or those of a segment in the order of their
// hashes. Tombstones are among them. What does not read back is an error where it is found, and asked for.

extension Bitcask {
  /// Where a version that is offered comes from.
  enum Origin {
    /// Nobody asked for it: it creates no key at or below the floor.
    case push
    /// It was asked for then: the floor is not in its way, unless its key may have been purged since (rule GUARD).
    case pull(since: PullGeneration)
    /// A tombstone of another owner's feed (rule FEED): the floor is not in its way, because to acknowledge it is to say
    /// that it is here.
    case feed
    /// A frame of the journal: what had been let past the floor when it was applied.
    case journaledPull
  }

  /// Whether a version at or below the floor may create its key.
  func mayCreate(_ hash: UInt64, _ origin: Origin) -> Bool {
    switch origin {
    case .push: !options.rules.hold(.floor)
    case .pull(let since):
      since.incarnation == manifest.incarnation
        && (!purges.hasMoved(hash, since: since.purges) || !options.rules.hold(.guardPulls))
    case .feed, .journaledPull: true
    }
  }

  var pullGeneration: PullGeneration {
    PullGeneration(incarnation: manifest.incarnation, purges: purges.generation)
  }

  /// The records with this hash whose stamp is above `stamp`.
  func versions<FS: FileSystem & ~Copyable>(
    ofHash hash: UInt64, above stamp: Stamp, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> VersionsOutcome {
    if let damage { throw damage }
    if damages.fencing > 0, let note = damages.fencing(hash) { throw note.error }
    var records: [PulledRecord] = []
    var position = keydir.first(hash)
    var isFirst = true
    while let slot = position {
      // From the second on, as in `keys`: an answer of the disk brings one record.
      switch try wholeRecord(at: keydir.location(at: slot), hash: hash, warm: warm, mayBlock: !isFirst, on: &files) {
      case .cold(let read): return .cold(read)
      case .record(let bytes, let header):
        if header.stamp > stamp { records.append(PulledRecord(bytes, header)) }
      }
      isFirst = false
      position = keydir.next(after: slot, hash)
    }
    return .records(records)
  }

  /// The lowest stamp of the records with this hash: whatever is above it, of whichever of their keys, is to be pulled.
  func stamp<FS: FileSystem & ~Copyable>(
    ofHash hash: UInt64, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> StampOutcome {
    if let damage { throw damage }
    if damages.fencing > 0, let note = damages.fencing(hash) { throw note.error }
    var lowest: Stamp?
    var position = keydir.first(hash)
    while let slot = position {
      let location = keydir.location(at: slot)
      switch try keyOfRecord(at: location, hash: hash, warm: warm, mayBlock: lowest != nil, on: &files) {
      case .cold(let read): return .cold(read)
      case .record(_, let header): lowest = min(lowest ?? header.stamp, header.stamp)
      }
      position = keydir.next(after: slot, hash)
    }
    return .stamp(lowest)
  }

  /// The records of a segment from a hash on, as many as have `bytesMax` bytes together, at least those of one hash.
  func recordPage<FS: FileSystem & ~Copyable>(
    segment: Int, from hash: UInt64, bytesMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> RecordPageOutcome {
    if let damage { throw damage }
    let range = HashTree.range(segment: segment, leaf: 0, bits: 0)
    var position = keydir.first(atLeastRotated: max(range.lowerBound, keydir.rotate(hash)))
    var page: [PulledRecord] = []
    var bytes = 0
    // The hash whose records are being read, and where they begin in the page.
    var group: UInt64?
    var groupStart = 0
    while let slot = position {
      let (slotHash, location) = keydir.slot(at: slot)
      if keydir.rotate(slotHash) > range.upperBound { break }
      if damages.fencing > 0, damages.fencing(slotHash) != nil {
        position = keydir.next(after: slot)
        continue
      }
      // From the second record of a hash on the loop may wait for the disk.
      let mayBlock = slotHash == group
      if !mayBlock {
        group = slotHash
        groupStart = page.count
      }
      // Before it is read: a long record is none for this page.
      if groupStart > 0, bytes + location.byteCount > bytesMax { return cut(page, to: groupStart, next: slotHash) }
      switch try wholeRecord(at: location, hash: slotHash, warm: warm, mayBlock: mayBlock, on: &files) {
      case .cold(let read):
        // What came before is told; the next page waits for the disk.
        return groupStart == 0 ? .cold(read) : cut(page, to: groupStart, next: slotHash)
      case .record(let record, let header):
        bytes += header.byteCount
        if groupStart > 0, bytes > bytesMax { return cut(page, to: groupStart, next: slotHash) }
        page.append(PulledRecord(record, header))
      }
      position = keydir.next(after: slot)
    }
    return .page(page, next: nil)
  }

  private func cut(_ page: [PulledRecord], to count: Int, next: UInt64) -> RecordPageOutcome {
    .page(Array(page[..<count]), next: next)
  }
}

extension PulledRecord {
  fileprivate init(_ bytes: [UInt8], _ header: RecordHeader) {
    let value = header.valueOffset..<header.valueOffset + header.valueLength
    self.init(
      key: Array(bytes[header.keyOffset..<header.valueOffset]),
      version: StoredVersion(header, value: Array(bytes[value])))
  }
}
