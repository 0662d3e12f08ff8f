import Causality
import Primitives
import Simulation

@testable import Storage

// A rig that keeps hints for other nodes beside its own partitions.

extension Rig {
  /// The store of the hints for a node.
  static func hintSeed(_ node: UInt32 = 3) -> StoreSeed {
    StoreSeed(
      id: .hints(for: NodeID(node)), incarnation: Identity128(high: 8, low: UInt64(node)), configID: 0)
  }
  static let hints = hintSeed().id

  /// - Parameter blockChance: In a thousand; so many reads find nothing in memory.
  static func withHints(
    seed: UInt64 = 1, sync: SyncMode = .always, fileBytesMax: UInt64 = 600, segmentBytes: UInt64 = 1 << 20,
    mask: UInt64 = .max, nodes: [UInt32] = [3], blockChance: Int = 0
  ) throws(StorageError) -> Rig {
    var rig = try Rig(
      seed: seed, sync: sync, fileBytesMax: fileBytesMax, segmentBytes: segmentBytes, mask: mask)
    let seeds = nodes.map { Rig.hintSeed($0) }
    for step in rig.engine.create(seeds) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt(seeds, on: &rig.disk)
    rig.seeds += seeds
    rig.disk.wouldBlockChance = blockChance
    return rig
  }

  /// The store of the hints for node 3.
  var hintStore: Bitcask { engine.store(Rig.hints) }

  /// Keeps a hint.
  @discardableResult
  mutating func keep(
    _ version: StoredVersion, key: [UInt8], in id: StoreID = Rig.hints
  ) throws(StorageError) -> ApplyOutcome {
    var warm: WarmBytes?
    while true {
      let outcome = try engine.apply(version, key: key, hash: hash(key), to: id, warm: warm, on: &disk)
      guard case .cold(let read) = outcome else { return outcome }
      warm = try perform(read)
    }
  }

  @discardableResult
  mutating func keep(_ key: String, _ value: String?, at time: UInt64) throws(StorageError) -> ApplyOutcome {
    let version = StoredVersion(
      stamp: stamp(time), isTombstone: value == nil, value: value.map { Array($0.utf8) } ?? [])
    return try keep(version, key: Array(key.utf8))
  }

  /// Keeps hints, all in files and durable.
  mutating func keepAll(_ range: Range<Int>, _ value: String = "a value", at time: UInt64 = 10) throws(StorageError) {
    for number in range {
      try keep("key \(number)", value, at: time + UInt64(number))
      try engine.flush(on: &disk)
      try sync()
    }
  }

  /// The page behind the cursor, with the reads that it takes; nil at the end.
  mutating func page(
    from cursor: HintCursor, bytesMax: Int = 200, of id: StoreID = Rig.hints
  ) throws(StorageError) -> (hints: [Hint], next: HintCursor)? {
    var warm: WarmBytes?
    while true {
      switch try engine.hintPage(of: id, from: cursor, bytesMax: bytesMax, warm: warm, on: &disk) {
      case .page(let hints, let next): return (hints, next)
      case .cold(let read): warm = try perform(read)
      case .end: return nil
      }
    }
  }

  /// All hints of a pass from the beginning.
  mutating func pass(bytesMax: Int = 200, of id: StoreID = Rig.hints) throws(StorageError) -> [Hint] {
    var hints: [Hint] = []
    var cursor = HintCursor.start
    while let page = try page(from: cursor, bytesMax: bytesMax, of: id) {
      hints += page.hints
      cursor = page.next
    }
    return hints
  }

  /// Every hint is handed over, with those that are not in files yet.
  mutating func deliverAll() throws(StorageError) {
    try engine.flush(on: &disk)
    for hint in try pass() { _ = engine.forgetHint(hint.place, of: Rig.hints) }
  }

  /// Ends the file that takes hints, durably. Returns its id.
  @discardableResult
  mutating func endHintFile() throws(StorageError) -> UInt32? {
    try engine.flush(on: &disk)
    let id = hintStore.active.map { hintStore.dataFiles[$0].id }
    try engine.seal([hintStore], on: &disk)
    for _ in 0..<20 { try work() }
    return id
  }

  /// Does all that is due, so that nothing waits for the time between two removals.
  mutating func workOffHints() throws(StorageError) {
    for _ in 0..<12 {
      try engine.flush(on: &disk)
      try work(afterMilliseconds: Engine.hintRemovalMilliseconds)
    }
  }

  /// Data files of the hints for node 3 on the disk, and how long they are.
  var hintFiles: [String: Int] {
    var files: [String: Int] = [:]
    for path in disk.paths where path.hasPrefix(hintStore.directory + "/") && path.hasSuffix(".data") {
      files[path] = disk.contents(path)?.count ?? 0
    }
    return files
  }

  /// What a recount says of `hintStatus` and `hintBytes`; nil when they are right.
  mutating func hintCountDefect() throws(StorageError) -> String? {
    var total: UInt64 = 0
    for id in engine.hintStoreIDs {
      let store = engine.store(id)
      var places: [Location] = []
      store.keydir.visitAll { places.append($1) }
      var bytes: UInt64 = 0
      for place in places { bytes += UInt64(try store.record(at: place, on: &disk).header.byteCount) }
      let fileBytes = store.dataFiles.indices.reduce(0) { $0 + store.dataFiles[$1].length }
      let counted = HintStatus(count: places.count, bytes: bytes, fileBytes: fileBytes)
      let status = engine.hintStatus(id)
      if status != counted { return "\(id): \(status), and there are \(counted)" }
      total += bytes
    }
    return engine.hintBytes == total ? try statisticsDefect() : "\(engine.hintBytes) bytes, and there are \(total)"
  }
}
