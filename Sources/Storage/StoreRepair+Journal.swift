import Primitives

// What the journal of the node above a store still has of it: every whole frame whose record was written for this
// incarnation, also behind damage, by the rules of a start. Frames of other stores are passed over.

extension StoreRepair {
  /// Offers every record that the segments in `journal` have of this store.
  mutating func takeJournal<FS: FileSystem & ~Copyable>(
    _ journal: String, on files: inout FS
  ) throws(StorageError) {
    guard try files.exists(journal) else { return }
    var gaps = JournalGaps()
    for id in try files.list(journal).compactMap({ StorePath.number($0, suffix: ".journal") }).sorted() {
      try takeSegment(id, StorePath.segment(journal, id), &gaps, on: &files)
    }
    for range in gaps.finish() { report.add(range) }
  }

  private mutating func takeSegment<FS: FileSystem & ~Copyable>(
    _ id: UInt32, _ path: String, _ gaps: inout JournalGaps, on files: inout FS
  ) throws(StorageError) {
    let file = try files.open(path, .read)
    defer { files.close(file) }
    let size = try files.size(of: file)
    let header: FileHeader
    do throws(StorageError) {
      guard case .bytes(let bytes) = try files.read(file, at: 0, count: FileHeader.byteCount, mayBlock: true) else {
        throw .damaged(path: path, offset: 0, reason: "its header cannot be read")
      }
      header = try FileHeader(decoding: bytes, kind: .journal, path: path)
    } catch {
      if case .incompatible = error { throw error }
      let reason = "\(StoreFinding(error).text): which of its bytes are writes of this store nobody can tell"
      report.add(UnsalvagedRange(path: path, offset: 0, length: size, reason: reason, isLoss: true))
      return
    }
    guard header.node == identity.node, header.cluster == identity.cluster else {
      return report.note(path, "the journal of another node or cluster: left alone")
    }
    var scan = JournalScan(file, to: size, salt: header.salt)
    while try scan.next(on: &files) {
      for (start, frame) in scan.frames {
        gaps.take(frame, path: path, at: scan.chunkOffset + UInt64(start))
        try offer(frame, scan.chunk, at: start, on: &files)
      }
    }
    if !scan.isComplete { try takeBehind(scan.offset, file, to: size, salt: header.salt, path, &gaps, on: &files) }
  }

  /// What stands behind bytes that are no frame. A segment is read as a whole here, as a start does.
  private mutating func takeBehind<FS: FileSystem & ~Copyable>(
    _ offset: UInt64, _ file: FileID, to end: UInt64, salt: UInt32, _ path: String, _ gaps: inout JournalGaps,
    on files: inout FS
  ) throws(StorageError) {
    guard case .bytes(let bytes) = try files.read(file, at: offset, count: Int(end - offset), mayBlock: true) else {
      return
    }
    var stretch: Int? = 0
    var at = 0
    while at < bytes.count {
      guard let frame = JournalFrame(bytes, at: at, salt: salt) else {
        stretch = stretch ?? at
        at += 8
        continue
      }
      if let start = stretch { gaps.open(path, at: offset + UInt64(start), length: UInt64(at - start)) }
      stretch = nil
      gaps.take(frame, path: path, at: offset + UInt64(at))
      try offer(frame, bytes, at: at, on: &files)
      at += JournalFrame.byteCount + frame.recordLength
    }
    if let start = stretch { gaps.open(path, at: offset + UInt64(start), length: UInt64(bytes.count - start)) }
  }

  private mutating func offer<FS: FileSystem & ~Copyable>(
    _ frame: JournalFrame, _ chunk: [UInt8], at start: Int, on files: inout FS
  ) throws(StorageError) {
    let offset = start + JournalFrame.byteCount
    guard frame.store == identity.store,
      case .whole(let header) = Record.check(chunk, at: offset, salt: identity.header(of: frame.file).salt)
    else { return }
    let key = Array(chunk[offset + header.keyOffset..<offset + header.valueOffset])
    let hash = hash(key)
    if let newest = try writer.newest(of: key, hash: hash, on: &files) {
      guard header.rank > newest else { return }
    } else if header.stamp <= writer.floor && !frame.isPulled {
      report.belowFloor += 1
      return
    }
    let value = Array(chunk[offset + header.valueOffset..<offset + header.valueOffset + header.valueLength])
    try writer.append(
      StoredVersion(header, value: value), key: key, hash: hash,
      tsn: header.tsn, on: &files)
    report.journalRecords += 1
  }
}

/// Stretches of the journal without frames, until a later frame proves that they were durable, or none does.
private struct JournalGaps {
  private var undecided: [UnsalvagedRange] = []
  private var decided: [UnsalvagedRange] = []
  private var gap: JournalGap?
  private var expected: UInt64?

  mutating func open(_ path: String, at offset: UInt64, length: UInt64) {
    if gap == nil { gap = JournalGap(path: path, offset: offset, missing: expected) }
    undecided.append(
      UnsalvagedRange(
        path: path, offset: offset, length: length, reason: "bytes of the journal that are no frame", isLoss: false))
  }

  mutating func take(_ frame: JournalFrame, path: String, at offset: UInt64) {
    let next = expected ?? frame.sequence
    if gap == nil && frame.sequence != next {
      gap = JournalGap(path: path, offset: offset, missing: next)
      undecided.append(
        UnsalvagedRange(
          path: path, offset: offset, length: 0,
          reason: "frames from \(next) to \(frame.sequence - 1) are missing before it",
          isLoss: false))
    }
    expected = frame.sequence + 1
    do throws(StorageError) {
      try gap?.check(JournalScan.Claim(sequence: frame.sequence, durable: frame.durable))
    } catch {
      decide(isLoss: true)
      gap = nil
    }
  }

  mutating func finish() -> [UnsalvagedRange] {
    decide(isLoss: false)
    return decided
  }

  private mutating func decide(isLoss: Bool) {
    decided += undecided.map {
      var range = $0
      range.isLoss = isLoss
      return range
    }
    undecided = []
  }
}
