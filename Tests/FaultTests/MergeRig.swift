import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// Laying out the files of one store by hand, so that a schedule of merges can be written down.

extension Rig {
  /// Keys of partition 0, all different.
  static let keys: [String] = {
    let hash = RingHash(seed: 42)
    return Array((0..<4000).map { "k\($0)" }.filter { hash(Array($0.utf8)) >> 63 == 0 }.prefix(1000))
  }()

  /// A rig whose stores take part, and whose files end only when told.
  static func active(sync: SyncMode = .always, openFilesMax: Int = 512) throws -> Rig {
    var rig = try Rig(seed: 1, sync: sync)
    rig.options.openFilesMax = openFilesMax
    rig.options.merge.smallFileBytes = 0
    for seed in Rig.seeds { try rig.take(.active, in: seed.id) }
    try rig.reopen()
    return rig
  }

  mutating func take(_ role: StoreRole, in id: StoreID) throws(StorageError) {
    for step in engine.setRole(id, role, promises: []) { try step.perform(on: &disk) }
    engine.adoptRole(id, role, promises: [])
  }

  /// The store of partition 0.
  var store: Bitcask { engine.stores[0] }
  /// Ids of its data files.
  var fileIDs: [UInt32] { store.dataFiles.indices.map { store.dataFiles[$0].id } }

  /// Everything written so far is acknowledged.
  mutating func commit() throws(StorageError) {
    try engine.flush(on: &disk)
    try sync()
    if engine.durable < engine.appended { try work(afterMilliseconds: 70_000) }
    try sync()
  }

  /// Ends the file that takes records, with a checkpoint and hints. Returns its id.
  @discardableResult
  mutating func endFile() throws -> UInt32 {
    try engine.flush(on: &disk)
    let id = try #require(store.active.map { store.dataFiles[$0].id })
    try engine.seal([store], on: &disk)
    for _ in 0..<20 { try work() }
    #expect(store.sealedFileWithoutHint == nil && !store.isDirty)
    return id
  }

  /// Begins a merge of these files alone.
  func beginMerge(_ ids: [UInt32], rule: any MergeRule = OverlapRule()) {
    store.beginMerge(of: ids, rule: rule)
    engine.merge.store = store
  }

  /// One slice.
  @discardableResult
  mutating func slice(_ budget: Int = 300) throws(StorageError) -> MergeStep {
    var warm: WarmBytes?
    while true {
      let step = try engine.continueMerge(at: now, hour: 12, budget: budget, warm: warm, on: &disk)
      guard case .cold(let read) = step else { return step }
      warm = try perform(read)
    }
  }

  /// Merges these files alone, with hints for what comes of them.
  mutating func merge(_ ids: [UInt32]) throws(StorageError) {
    beginMerge(ids)
    while engine.merge.store != nil {
      try slice()
      try engine.flush(on: &disk)
      try work()
    }
    for _ in 0..<20 { try work() }
  }

  /// The steps of the job that ends the merge of these files.
  mutating func lastJob(merging ids: [UInt32]) throws -> [DiskStep] {
    beginMerge(ids)
    while try slice() != .waiting {}
    try engine.flush(on: &disk)
    return try #require(engine.work(at: now, on: &disk))
  }

  /// Deletes the key for good, as far as this store goes: a durable tombstone, forgotten.
  mutating func forget(_ key: String, at time: UInt64) throws {
    _ = try delete(key, at: time)
    try commit()
    #expect(try purge(Array(key.utf8), stamp(time)) == .purged)
  }

  /// The value of the key; nil when it is deleted or was never there.
  mutating func value(_ key: String) throws -> String? {
    guard case .found(let version) = try get(key), !version.isTombstone else { return nil }
    return String(decoding: version.value, as: UTF8.self)
  }

  /// Data files and hints of the store on the disk.
  func names(_ suffix: String) -> [String] {
    disk.paths.filter { $0.hasPrefix(store.directory + "/") && $0.hasSuffix(suffix) }
  }
}
