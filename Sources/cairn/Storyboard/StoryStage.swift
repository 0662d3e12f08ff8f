import Causality
import Platform
import Primitives
import Storage

// What the storyboard is played on: a real engine with one store, in a directory of its own. Files are so short that
// two short records fill one. Nothing here depends on a clock or on chance, so that a story is the same at every telling.

/// One record of a data file, as the story shows it.
struct StoryRecord: Equatable {
  let isTombstone: Bool
  let key: String
  /// Milliseconds of its stamp: the story counts its writes.
  let stamp: UInt64
  /// The keydir points to it; nil when there is no keydir.
  let isLive: Bool?
  /// Names of the files because of which a merge had to keep it.
  var blockers: [String] = []
}

struct StoryFile: Equatable {
  let name: String
  let records: [StoryRecord]
}

/// A slot of the keydir, with its key.
struct StorySlot: Equatable {
  let key: String
  let file: String
  let offset: UInt64
  let isTombstone: Bool
}

/// What there is between two steps.
struct StoryState: Equatable {
  let files: [StoryFile]
  /// By key; nil when no process runs.
  let keydir: [StorySlot]?
  /// Highest stamp of a purged tombstone; 0 when there is none.
  let floor: UInt64

  func holds(_ key: String) -> Bool { files.contains { $0.records.contains { $0.key == key } } }
}

struct StoryStage: ~Copyable {
  private let directory: String
  private let options: EngineOptions
  private let rule: any MergeRule
  private var files = PosixFileSystem()
  /// Nil between a crash and the restart.
  private var engine: Engine?
  private var writes: UInt64 = 0
  private var keys: Set<String> = []

  private static let seed = StoreSeed(
    id: StoreID(partition: 0, replicas: 3), incarnation: Identity128(high: 1, low: 1), configID: 1)
  private static var store: StoreID { seed.id }
  /// Header and one short record are shorter, two short records or a long one are not.
  private static let fileBytesMax: UInt64 = 105
  /// Slices and jobs of one merge; more means that it makes no progress.
  private static let mergeStepsMax = 1000

  /// Creates the store. - Parameter directory: Exists and is empty.
  init(_ directory: String, rule: any MergeRule) throws(StorageError) {
    self.directory = directory
    self.rule = rule
    options = EngineOptions(
      clusterID: Identity128(high: 1, low: 2), nodeID: NodeID(1), hash: RingHash(seed: 42), ringBits: 0, sync: .never,
      fileBytesMax: StoryStage.fileBytesMax)
    let engine = try Engine.open(directory, options: options, stores: [], on: &files)
    for step in engine.create([StoryStage.seed]) { try step.perform(on: &files) }
    try engine.adopt([StoryStage.seed], on: &files)
    for step in engine.setRole(StoryStage.store, .active, promises: []) { try step.perform(on: &files) }
    engine.adoptRole(StoryStage.store, .active, promises: [])
    self.engine = engine
  }

  // MARK: What happens

  mutating func put(_ key: String, _ value: String) throws(StorageError) {
    try write(key, StoredVersion(stamp: nextStamp(), isTombstone: false, value: Array(value.utf8)))
  }

  /// Returns the stamp of the tombstone.
  mutating func delete(_ key: String) throws(StorageError) -> Stamp {
    let stamp = nextStamp()
    try write(key, StoredVersion(stamp: stamp, isTombstone: true, value: []))
    return stamp
  }

  /// The tombstone is forgotten, as when every replica has confirmed it.
  mutating func purge(_ key: String, _ stamp: Stamp) throws(StorageError) {
    let (engine, hash) = (running, hash(key))
    try warmed { (files, warm) throws(StorageError) in
      let outcome = try engine.purge(
        key: Array(key.utf8), hash: hash, stamp: stamp, in: StoryStage.store, warm: warm, on: &files)
      if case .cold(let read) = outcome { return read }
      return nil
    }
  }

  mutating func merge(_ inputs: [UInt32]) throws {
    let engine = running
    engine.requestMerge(of: inputs, in: StoryStage.store)
    var warm: WarmBytes?
    for _ in 0..<StoryStage.mergeStepsMax {
      let step = try engine.continueMerge(
        at: Instant(nanoseconds: 0), hour: 0, budget: 1 << 20, warm: warm, rule: rule, on: &files)
      warm = nil
      if case .cold(let read) = step { warm = try bytes(of: read) }
      try performJob()
      if !engine.isMergeRequested { break }
    }
    if let reason = engine.mergeStatus.postponement { throw Failure("the merge was broken off: \(reason)") }
    if engine.isMergeRequested { throw Failure("the merge of files \(inputs) does not end") }
  }

  /// The process is gone, without a word to the disk.
  mutating func crash() {
    engine = nil
    files = PosixFileSystem()
  }

  mutating func restart() throws(StorageError) {
    engine = try Engine.open(directory, options: options, stores: [StoryStage.seed], on: &files)
  }

  /// The value; nil when the key is not found.
  mutating func get(_ key: String) throws(StorageError) -> String? {
    let (engine, hash) = (running, hash(key))
    var value: String?
    try warmed { (files, warm) throws(StorageError) in
      switch try engine.lookup(key: Array(key.utf8), hash: hash, in: StoryStage.store, warm: warm, on: &files) {
      case .cold(let read): return read
      case .absent: return nil
      case .found(let version):
        if !version.isTombstone { value = String(decoding: version.value, as: UTF8.self) }
        return nil
      }
    }
    return value
  }

  private var running: Engine {
    guard let engine else { fatalError("invariant: the story goes on although the process is gone") }
    return engine
  }

  private func hash(_ key: String) -> UInt64 { options.hash(Array(key.utf8)) }

  private mutating func nextStamp() -> Stamp {
    writes += 1
    return Stamp(time: HybridTime(milliseconds: writes), actor: ActorID(1))
  }

  private mutating func write(_ key: String, _ version: StoredVersion) throws(StorageError) {
    let (engine, hash) = (running, hash(key))
    keys.insert(key)
    try warmed { (files, warm) throws(StorageError) in
      let outcome = try engine.apply(
        version, key: Array(key.utf8), hash: hash, to: StoryStage.store, warm: warm, on: &files)
      if case .cold(let read) = outcome { return read }
      return nil
    }
    try engine.flush(on: &files)
    try performJob()
  }

  /// Repeats an operation with the bytes that it misses, until it misses none.
  private mutating func warmed(
    _ operation: (inout PosixFileSystem, WarmBytes?) throws(StorageError) -> ColdRead?
  ) throws(StorageError) {
    var warm: WarmBytes?
    while let read = try operation(&files, warm) { warm = try bytes(of: read) }
  }

  private mutating func bytes(of read: ColdRead) throws(StorageError) -> WarmBytes? {
    guard case .bytes(let bytes) = try files.read(read.file, at: read.offset, count: read.count, mayBlock: true) else {
      return nil
    }
    return WarmBytes(read: read, bytes: bytes)
  }

  private mutating func performJob() throws(StorageError) {
    let engine = running
    guard let steps = engine.work(at: Instant(nanoseconds: 0), on: &files) else { return }
    for step in steps { try step.perform(on: &files) }
    engine.completeWork()
  }

  // MARK: What there is

  mutating func state() throws(StorageError) -> StoryState {
    let path = StorePath.store(directory, StoryStage.store)
    let contents = try StoreContents(reading: path, on: &files)
    var slots: [StorySlot]?
    if let engine { slots = try keydir(engine) }
    let blockers = engine?.blockers(in: StoryStage.store) ?? []
    var shown: [StoryFile] = []
    for file in contents.files where file.size > 0 {
      shown.append(
        StoryFile(
          name: StoryStage.name(file.id),
          records: try records(of: file, slots, blockers: blockers.first { $0.file == file.id }?.because ?? [])))
    }
    let floor = engine?.floor(StoryStage.store) ?? contents.manifest?.floor ?? .zero
    return StoryState(files: shown, keydir: slots, floor: floor.time.milliseconds)
  }

  private static func name(_ file: UInt32) -> String { StorePlace.name(StorePath.data("", file)) }

  private mutating func keydir(_ engine: Engine) throws(StorageError) -> [StorySlot] {
    var slots: [StorySlot] = []
    for key in keys.sorted() {
      guard let place = try engine.place(of: Array(key.utf8), hash: hash(key), in: StoryStage.store, on: &files)
      else { continue }
      slots.append(
        StorySlot(key: key, file: StoryStage.name(place.file), offset: place.offset, isTombstone: place.isTombstone))
    }
    return slots
  }

  private mutating func records(
    of file: DataFileFacts, _ slots: [StorySlot]?, blockers: [UInt32]
  ) throws(StorageError) -> [StoryRecord] {
    let handle = try files.open(file.path, .read)
    defer { files.close(handle) }
    guard let salt = file.salt else { return [] }
    var scan = DataScan(
      handle, from: UInt64(FileHeader.byteCount), to: file.size, salt: salt, hash: options.hash)
    let fileName = StoryStage.name(file.id)
    var found: [StoryRecord] = []
    while try scan.next(on: &files) {
      for record in scan.records {
        let offset = scan.chunkOffset + UInt64(record.start)
        let isLive = slots?.contains { $0.file == fileName && $0.offset == offset }
        let isBlocked = record.header.isTombstone && isLive == false
        found.append(
          StoryRecord(
            isTombstone: record.header.isTombstone, key: String(decoding: scan.key(of: record), as: UTF8.self),
            stamp: record.header.stamp.time.milliseconds, isLive: isLive,
            blockers: isBlocked ? blockers.map(StoryStage.name) : []))
      }
    }
    return found
  }
}
