import Causality
import Primitives

// Opening a node's stores: first every store from its own files, then every journal segment that an earlier run left,
// whatever the sync mode is now, through the same rule as any write. Then all of it is made durable, and only then do
// the segments go, oldest first. A crash at any point of this leaves something that opens the same way again.

extension Engine {
  /// Opens everything under `directory`, which exists and is locked by the caller. Blocks and syncs: this is start-up.
  /// - Parameter expected: The stores that the node must have. One without files is reported as missing, a damaged one
  ///   is opened fenced.
  /// - Throws: `incompatible` when something belongs to another node or a later format; `damaged` when part of the
  ///   journal that was durable does not read back.
  package static func open<FS: FileSystem & ~Copyable>(
    _ directory: String, options: EngineOptions, stores expected: [StoreSeed], on files: inout FS
  ) throws(StorageError) -> Engine {
    let engine = Engine(directory, options: options)
    try engine.makeDirectories(on: &files)
    for seed in expected.sorted(by: { $0.id < $1.id }) { try engine.openStore(seed, on: &files) }
    var stranded = StrandedRecords()
    let segments = try engine.replayJournal(&stranded, on: &files)
    try engine.loadPromises(on: &files)
    try engine.settle(on: &files)
    try stranded.finish(on: &files)
    try engine.fenceDamaged(on: &files)
    for store in engine.stores {
      store.notesDamage = true
      store.feedHead.open(at: store.manifest.tsnHead)
    }
    let journal = StorePath.journal(directory)
    for step in Journal.dropSteps(segments, in: journal) { try step.perform(on: &files) }
    if options.sync == .always {
      let identity = Identity128(high: engine.recovery.highestTime.rawValue, low: UInt64(segments.count))
      engine.journal = try Journal(
        journal, firstID: (segments.last ?? 0) + 1, identity: identity, options: options, on: &files)
    }
    return engine
  }

  private func makeDirectories<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    for path in [StorePath.stores(directory), StorePath.journal(directory)] {
      try files.createDirectory(path)
    }
    try files.syncDirectory(directory)
    // A process that was killed may have moved a store there, and is about to make another one in its place.
    let kept = StorePath.damaged(directory)
    if try files.exists(kept) { try files.syncDirectory(kept) }
  }

  // MARK: Stores

  private func openStore<FS: FileSystem & ~Copyable>(
    _ seed: StoreSeed, on files: inout FS
  ) throws(StorageError) {
    let path = StorePath.store(directory, seed.id)
    let manifestPath = StorePath.manifest(path)
    guard try files.exists(manifestPath) else {
      return noteMissing(seed.id)
    }
    let manifest: StoreManifest
    do throws(StorageError) {
      manifest = try StoreManifest(decoding: try Engine.contents(of: manifestPath, on: &files), path: manifestPath)
    } catch {
      guard case .damaged = error else { throw error }
      let fenced = StoreManifest(cluster: options.clusterID, node: options.nodeID, seed: seed, role: .fenced)
      let store = Bitcask(fenced, directory: path, options: options, openFiles: openFiles)
      store.isOpen = false
      store.fence(error)
      recovery.damaged.append(StoreDamage(seed.id, error))
      return insert(store)
    }
    guard manifest.cluster == options.clusterID, manifest.node == options.nodeID, manifest.store == seed.id else {
      throw .incompatible(path: manifestPath, reason: "this store belongs to another node or cluster")
    }
    guard manifest.incarnation == seed.incarnation else {
      return noteMissing(seed.id)
    }
    // A process that was killed may have renamed the manifest and not synced the directory. From here on this store
    // acts upon what the manifest says, so no power loss may take it back.
    try files.syncDirectory(path)
    let store = Bitcask(manifest, directory: path, options: options, openFiles: openFiles)
    let found = try store.recover(on: &files)
    recovery.records += found.records
    recovery.bytesCut += found.bytesCut
    recovery.highestTime = max(recovery.highestTime, found.highestTime)
    store.hasStaleManifest = found.isChanged
    if let damage = store.damage { recovery.damaged.append(StoreDamage(seed.id, damage)) }
    insert(store)
  }

  private func noteMissing(_ id: StoreID) {
    if id.isHints { recovery.missingHints.append(id) } else { recovery.missing.append(id) }
  }

  static func contents<FS: FileSystem & ~Copyable>(
    of path: String, byteCountMax: UInt64 = Engine.manifestBytesMax, on files: inout FS
  ) throws(StorageError) -> [UInt8] {
    let file = try files.open(path, .read)
    defer { files.close(file) }
    let size = try files.size(of: file)
    guard size <= byteCountMax,
      case .bytes(let bytes) = try files.read(file, at: 0, count: Int(size), mayBlock: true)
    else { throw .damaged(path: path, offset: 0, reason: "it is too long, or cannot be read") }
    return bytes
  }

  static let manifestBytesMax: UInt64 = 4 << 20

  // MARK: Journal

  /// Replays all segments in order; returns their ids.
  private func replayJournal<FS: FileSystem & ~Copyable>(
    _ stranded: inout StrandedRecords, on files: inout FS
  ) throws(StorageError) -> [UInt32] {
    let journal = StorePath.journal(directory)
    let ids = try files.list(journal).compactMap { StorePath.number($0, suffix: ".journal") }.sorted()
    var expected: UInt64?
    var gap: JournalGap?
    for id in ids {
      try replaySegment(id, StorePath.segment(journal, id), &expected, &gap, &stranded, on: &files)
    }
    try flush(on: &files)
    // Nothing may be dropped that has found no room elsewhere.
    if let refusal = space.refusal { throw refusal }
    return ids
  }

  private func replaySegment<FS: FileSystem & ~Copyable>(
    _ id: UInt32, _ path: String, _ expected: inout UInt64?, _ gap: inout JournalGap?,
    _ stranded: inout StrandedRecords, on files: inout FS
  ) throws(StorageError) {
    let file = try files.open(path, .read)
    defer { files.close(file) }
    let size = try files.size(of: file)
    guard case .bytes(let bytes) = try files.read(file, at: 0, count: FileHeader.byteCount, mayBlock: true) else {
      throw .damaged(path: path, offset: 0, reason: "its header cannot be read")
    }
    let header = try FileHeader(decoding: bytes, kind: .journal, path: path)
    guard header == Journal.header(id, header.identity, options) else {
      throw .incompatible(path: path, reason: "this journal belongs to another node or cluster")
    }
    var scan = JournalScan(file, to: size, salt: header.salt)
    while try scan.next(on: &files) {
      for (start, frame) in scan.frames {
        let next = expected ?? frame.sequence
        if gap == nil && frame.sequence != next {
          gap = JournalGap(path: path, offset: scan.chunkOffset + UInt64(start), missing: next)
        }
        try gap?.check(JournalScan.Claim(sequence: frame.sequence, durable: frame.durable))
        expected = frame.sequence + 1
        try replay(frame, scan.chunk, at: start, path: path, &stranded, on: &files)
      }
    }
    guard !scan.isComplete else { return }
    if gap == nil { gap = JournalGap(path: path, offset: scan.offset, missing: expected) }
    if let claim = try scan.claimBehind(on: &files) { try gap?.check(claim) }
    recovery.bytesCut += size - scan.offset
  }

  /// Offers a journal record to its store, as any write. One of a store that is gone, or of another incarnation by now,
  /// is nobody's; one of a damaged store is kept beside its files.
  private func replay<FS: FileSystem & ~Copyable>(
    _ frame: JournalFrame, _ chunk: [UInt8], at start: Int, path: String, _ stranded: inout StrandedRecords,
    on files: inout FS
  ) throws(StorageError) {
    guard let index = find(frame.store) else { return }
    let store = stores[index]
    let offset = start + JournalFrame.byteCount
    let header: RecordHeader
    switch Record.check(chunk, at: offset, salt: store.salt(ofFile: frame.file)) {
    case .whole(let whole): header = whole
    case .short, .damaged: return
    case .unknown(let reason): throw .incompatible(path: path, reason: reason)
    }
    recovery.highestTime = max(recovery.highestTime, header.stamp.time)
    guard store.isOpen, store.damage == nil else {
      return try stranded.take(chunk, at: offset, byteCount: header.byteCount, of: store, on: &files)
    }
    let key = Array(chunk[offset + header.keyOffset..<offset + header.valueOffset])
    let value = Array(chunk[offset + header.valueOffset..<offset + header.valueOffset + header.valueLength])
    let version = StoredVersion(header, value: value)
    if header.tsn > store.manifest.tsnHead {
      // Durable once, so never to be given again, even when the record loses to one that is in a data file already.
      store.manifest.tsnHead = header.tsn
      store.hasStaleManifest = true
    }
    if try !prepare(store, on: &files), let refusal = space.refusal { throw refusal }
    do throws(StorageError) {
      let tsn = header.isTombstone ? header.tsn : nil
      let outcome = try store.apply(
        version, key: key, hash: options.hash(key), tsn: tsn,
        origin: frame.isPulled || !options.rules.hold(.replayFloor) ? .journaledPull : .push,
        warm: nil, mayBlock: true, on: &files)
      if case .appended(let range, _) = outcome { touch(store, byteCount: range.count) }
    } catch {
      guard case .damaged = error else { throw error }
      recovery.damaged.append(StoreDamage(store.id, error))
      return try stranded.take(chunk, at: offset, byteCount: header.byteCount, of: store, on: &files)
    }
    recovery.journalRecords += 1
  }

  /// The journal goes, and with it what it held for stores that did not open: they must not be taken for whole again,
  /// should their bytes read back at the next start.
  private func fenceDamaged<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    for store in stores where store.damage != nil && store.manifest.role != .fenced {
      store.manifest.role = .fenced
      let bytes = store.manifestBytes(afterSyncing: [])
      try DiskStep.replace(path: StorePath.manifest(store.directory), bytes: bytes).perform(on: &files)
    }
  }

  // MARK: Durable before anybody is served

  private func settle<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    for store in stores where store.isOpen && (store.isDirty || store.hasStaleManifest) {
      let targets = store.syncTargets
      for target in targets { try DiskStep.sync(path: target.path).perform(on: &files) }
      try files.syncDirectory(store.directory)
      let bytes = store.manifestBytes(afterSyncing: targets)
      try DiskStep.replace(path: StorePath.manifest(store.directory), bytes: bytes).perform(on: &files)
      store.markSynced(targets, named: true)
      store.noteWritten(store.settledFloor)
      store.hasStaleManifest = false
    }
    checkpoint.bytes = 0
  }
}
