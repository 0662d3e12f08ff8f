import Primitives

// Checks what a node's directory has besides its stores: the manifest, that the stores it must have are there, the file
// of cursors and promises, and the journal, by the rule of recovery: a frame that does not read back is damage when a
// later one says that it was durable, and else a tail that nobody was promised.

/// What a check of a node's own files found.
package struct NodeReport: Sendable {
  package let directory: String
  package fileprivate(set) var segments = 0
  /// Whole frames of the journal, each with the record of a write.
  package fileprivate(set) var frames: UInt64 = 0
  /// Frames whose record belongs to a store that is gone, or to an earlier incarnation: the next start skips them.
  package fileprivate(set) var skippedFrames: UInt64 = 0
  package fileprivate(set) var journalBytes: UInt64 = 0
  package fileprivate(set) var findings = StoreFindings()
}

package struct NodeCheck {
  private let contents: NodeContents
  private var report: NodeReport
  private var expected: UInt64?
  private var gap: JournalGap?

  /// Checks all but the stores.
  package static func run<FS: FileSystem & ~Copyable>(_ contents: NodeContents, on files: inout FS) -> NodeReport {
    var check = NodeCheck(contents: contents, report: NodeReport(directory: contents.directory))
    check.checkNames()
    check.checkPromises()
    for id in contents.segments {
      do throws(StorageError) {
        try check.check(segment: id, on: &files)
      } catch {
        check.report.findings.add(StoreFinding(error))
        (check.gap, check.expected) = (nil, nil)
      }
    }
    return check.report
  }

  private init(contents: NodeContents, report: NodeReport) {
    self.contents = contents
    self.report = report
  }

  private mutating func checkNames() {
    let stores = StorePath.stores(contents.directory)
    for name in contents.otherNames { note("\(stores)/\(name)", "no store of Cairn") }
    for path in contents.setAside {
      note(path, "a damaged store that the node has set aside: not checked, and kept until you remove it")
    }
    guard let manifest = contents.manifest else {
      if let problem = contents.manifestProblem { report.findings.add(StoreFinding(problem)) }
      return
    }
    let expected = Set(manifest.stores.map(\.id))
    for id in contents.stores where !expected.contains(id) {
      note("\(stores)/\(id)", "the node does not know this store, and leaves it alone")
    }
    let found = Set(contents.stores)
    for id in expected.sorted() where !found.contains(id) {
      let what =
        id.hintTarget.map { "it is missing: the hints for node \($0.rawValue) that were in it are lost" }
        ?? "it is missing: the node must have it, and fills it from its peers"
      report.findings.add(StoreFinding(.error, "\(stores)/\(id)", what))
    }
  }

  /// Without the file a node starts, and its peers find out what it has forgotten; one of another node ends the start.
  private mutating func checkPromises() {
    let path = StorePath.promises(contents.directory)
    if let problem = contents.promisesProblem { report.findings.add(StoreFinding(problem)) }
    guard let promises = contents.promises, let manifest = contents.manifest else { return }
    if promises.node != manifest.node || promises.cluster != manifest.cluster?.id ?? promises.cluster {
      report.findings.add(StoreFinding(.error, path, "it belongs to another node or cluster"))
    }
  }

  // MARK: The journal

  private mutating func check<FS: FileSystem & ~Copyable>(
    segment id: UInt32, on files: inout FS
  ) throws(StorageError) {
    let path = StorePath.segment(StorePath.journal(contents.directory), id)
    let file = try files.open(path, .read)
    defer { files.close(file) }
    let size = try files.size(of: file)
    report.segments += 1
    report.journalBytes += size
    guard case .bytes(let bytes) = try files.read(file, at: 0, count: FileHeader.byteCount, mayBlock: true) else {
      throw .damaged(path: path, offset: 0, reason: "its header cannot be read")
    }
    let header = try FileHeader(decoding: bytes, kind: .journal, path: path)
    if let manifest = contents.manifest,
      header.node != manifest.node || header.cluster != manifest.cluster?.id ?? header.cluster || header.file != id
    {
      throw .incompatible(path: path, reason: "this journal belongs to another node or cluster, or was renamed")
    }
    var scan = JournalScan(file, to: size, salt: header.salt)
    while try scan.next(on: &files) {
      for (start, frame) in scan.frames {
        try take(frame, path: path, offset: scan.chunkOffset + UInt64(start))
        if !belongsSomewhere(frame, scan.chunk, at: start) { report.skippedFrames += 1 }
      }
    }
    guard !scan.isComplete else { return }
    if gap == nil { gap = JournalGap(path: path, offset: scan.offset, missing: expected) }
    if let claim = try scan.claimBehind(on: &files) { try gap?.check(claim) }
    note(
      path, at: scan.offset,
      "the last \(size - scan.offset) bytes are no whole frame and were never known to be durable: they are not replayed"
    )
  }

  private mutating func take(_ frame: JournalFrame, path: String, offset: UInt64) throws(StorageError) {
    report.frames += 1
    let next = expected ?? frame.sequence
    if gap == nil && frame.sequence != next { gap = JournalGap(path: path, offset: offset, missing: next) }
    expected = frame.sequence + 1
    try gap?.check(JournalScan.Claim(sequence: frame.sequence, durable: frame.durable))
  }

  /// Whether the record of the frame was written for a store that the node has now.
  private func belongsSomewhere(_ frame: JournalFrame, _ chunk: [UInt8], at start: Int) -> Bool {
    guard let manifest = contents.manifest, let cluster = manifest.cluster,
      let seed = manifest.stores.first(where: { $0.id == frame.store })
    else { return false }
    let header = FileHeader(
      kind: .data, cluster: cluster.id, node: manifest.node, store: frame.store, file: frame.file,
      identity: seed.incarnation)
    if case .whole = Record.check(chunk, at: start + JournalFrame.byteCount, salt: header.salt) { return true }
    return false
  }

  private mutating func note(_ path: String, at offset: UInt64? = nil, _ text: String) {
    report.findings.add(StoreFinding(.note, path, at: offset, text))
  }
}
