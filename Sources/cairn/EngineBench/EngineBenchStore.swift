import Causality
import Platform
import Primitives
import Storage

// A storage engine without a node around it, driven as a node's loop drives one: writes of a turn are applied, then
// flushed together; what is not in memory is read and the operation repeated.

/// Keys by number: the same number gives the same key, and their order is that of no other thing.
struct BenchKey {
  private(set) var bytes: [UInt8]
  private(set) var hash: UInt64 = 0
  private let ring: RingHash

  init(byteCount: Int, ring: RingHash) {
    bytes = [UInt8](repeating: UInt8(ascii: "k"), count: byteCount)
    self.ring = ring
  }

  /// The finaliser of SplitMix64 (Steele et al. 2014): one to one, and neighbours come out far apart.
  mutating func set(_ number: Int) {
    var mixed = UInt64(number) &+ 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    bytes.setLittleEndian(mixed ^ mixed >> 31, at: 0)
    hash = ring(bytes)
  }
}

/// What a series of operations took. An operation lasts from the beginning of its turn to the turn's end.
struct EngineBenchMeter {
  private(set) var nanoseconds: UInt64 = 0
  private(set) var operations = 0
  private(set) var latencies = LatencyHistogram()

  mutating func note(_ turn: UInt64, operations count: Int) {
    nanoseconds += turn
    operations += count
    latencies.record(turn, times: UInt64(count))
  }

  /// Time that belongs to no operation, and that their rate pays for.
  mutating func noteBackground(_ nanoseconds: UInt64) { self.nanoseconds += nanoseconds }

  var perSecond: Double { nanoseconds == 0 ? 0 : Double(operations) * 1e9 / Double(nanoseconds) }
}

struct EngineBenchStore: ~Copyable {
  private var files: PosixFileSystem
  private let engine: Engine
  private let plan: EngineBenchPlan
  private let watch: EngineBenchWatch
  /// Writes between two flushes.
  var turn: Int
  private let clock = SystemClock()
  private let partitionShift: UInt64
  private let key: BenchKey
  private var version: StoredVersion
  /// Stamps rise with every write.
  private var writes: UInt64 = 0

  private static let replicas: UInt8 = 3
  /// Operations between two looks at signals and the progress line.
  private static let portion = 8192

  /// An empty engine in a new directory.
  static func create(
    _ directory: String, _ plan: EngineBenchPlan, sync: SyncMode, _ watch: EngineBenchWatch
  ) throws -> EngineBenchStore {
    try FileTree.create(directory)
    var files = PosixFileSystem()
    let options = EngineBenchStore.options(plan, sync)
    let engine = try Engine.open(directory, options: options, stores: [], on: &files)
    let seeds = EngineBenchStore.seeds(plan)
    for step in engine.create(seeds) { try step.perform(on: &files) }
    try engine.adopt(seeds, on: &files)
    return EngineBenchStore(files, engine, plan, watch)
  }

  /// The engine that was left in `directory`.
  static func open(
    _ directory: String, _ plan: EngineBenchPlan, _ watch: EngineBenchWatch
  ) throws -> EngineBenchStore {
    var files = PosixFileSystem()
    let options = EngineBenchStore.options(plan, .never)
    let engine = try Engine.open(directory, options: options, stores: EngineBenchStore.seeds(plan), on: &files)
    guard engine.recovery.missing.isEmpty, engine.recovery.damaged.isEmpty else {
      throw Failure("the stores in \(directory) did not open: \(engine.recovery)")
    }
    return EngineBenchStore(files, engine, plan, watch)
  }

  private init(
    _ files: consuming PosixFileSystem, _ engine: Engine, _ plan: EngineBenchPlan, _ watch: EngineBenchWatch
  ) {
    self.files = files
    self.engine = engine
    self.plan = plan
    self.watch = watch
    turn = plan.turn
    partitionShift = UInt64(64 - engine.options.ringBits)
    key = BenchKey(byteCount: plan.keyByteCount, ring: engine.options.hash)
    let value = [UInt8](repeating: UInt8(ascii: "v"), count: plan.valueByteCount)
    version = StoredVersion(stamp: .zero, isTombstone: false, value: value)
  }

  private static func options(_ plan: EngineBenchPlan, _ sync: SyncMode) -> EngineOptions {
    EngineOptions(
      clusterID: Identity128(high: 1, low: 1), nodeID: NodeID(1), hash: RingHash(seed: 1),
      ringBits: plan.storeCount.trailingZeroBitCount, sync: sync)
  }

  private static func seeds(_ plan: EngineBenchPlan) -> [StoreSeed] {
    (0..<plan.storeCount).map { partition in
      StoreSeed(
        id: StoreID(partition: UInt16(partition), replicas: replicas), incarnation: Identity128(high: 2, low: 2),
        configID: 1)
    }
  }

  /// Keys that opening found.
  var keyCount: Int { engine.storeIDs.reduce(0) { $0 + engine.status($1).keysLive } }

  // MARK: Operations

  /// From here on writes are deletes.
  mutating func becomeDeleting() {
    version.isTombstone = true
    version.value = []
  }

  /// Writes the keys with these numbers, or with those that `order` makes of them.
  mutating func write(_ numbers: Range<Int>, order: KeyShuffle? = nil, _ meter: inout EngineBenchMeter) throws {
    let engine = engine
    var key = key
    var version = version
    var next = numbers.lowerBound
    while next < numbers.upperBound {
      let end = min(next + EngineBenchStore.portion, numbers.upperBound)
      let portion = end - next
      var begin = clock.instant().nanoseconds
      while next < end {
        let count = min(turn, end - next)
        try writeTurn(next..<next + count, order, &key, &version, on: engine)
        next += count
        let now = clock.instant().nanoseconds
        meter.note(now - begin, operations: count)
        begin = now
      }
      try watch.advance(by: portion)
    }
  }

  /// The key and the version are the caller's own, so that passing them costs nothing.
  private mutating func apply(_ version: StoredVersion, _ key: borrowing BenchKey, on engine: Engine) throws {
    var warm: WarmBytes?
    while true {
      let outcome = try engine.apply(
        version, key: key.bytes, hash: key.hash, to: store(of: key.hash), warm: warm, on: &files)
      switch outcome {
      case .applied: return
      case .cold(let read): warm = try self.warm(read)
      case .equal, .newer, .belowFloor, .refused: throw Failure("a write was not taken: \(outcome)")
      }
    }
  }

  /// Applies writes of one turn and flushes them.
  private mutating func writeTurn(
    _ numbers: Range<Int>, _ order: KeyShuffle?, _ key: inout BenchKey, _ version: inout StoredVersion,
    on engine: Engine
  ) throws {
    for number in numbers {
      key.set(order?(number) ?? number)
      writes += 1
      version.stamp = Stamp(time: HybridTime(writes), actor: ActorID(1))
      try apply(version, key, on: engine)
    }
    try engine.flush(on: &files)
  }

  /// Reads the keys with the numbers that `order` makes of `numbers`.
  mutating func read(_ numbers: Range<Int>, order: KeyShuffle, _ meter: inout EngineBenchMeter) throws {
    let engine = engine
    var key = key
    var next = numbers.lowerBound
    while next < numbers.upperBound {
      let end = min(next + EngineBenchStore.portion, numbers.upperBound)
      var begin = clock.instant().nanoseconds
      for number in next..<end {
        key.set(order(number))
        try lookup(key, on: engine)
        let now = clock.instant().nanoseconds
        meter.note(now - begin, operations: 1)
        begin = now
      }
      try watch.advance(by: end - next)
      next = end
    }
  }

  private mutating func lookup(_ key: borrowing BenchKey, on engine: Engine) throws {
    var warm: WarmBytes?
    while true {
      let outcome = try engine.lookup(key: key.bytes, hash: key.hash, in: store(of: key.hash), warm: warm, on: &files)
      switch outcome {
      case .found(let found):
        guard found.value.count == plan.valueByteCount else {
          throw Failure("a value of \(found.value.count) bytes was read in place of one of \(plan.valueByteCount)")
        }
        return
      case .cold(let read): warm = try self.warm(read)
      case .absent: throw Failure("a key that was written is absent")
      }
    }
  }

  private func store(of hash: UInt64) -> StoreID {
    StoreID(partition: UInt16(truncatingIfNeeded: hash >> partitionShift), replicas: EngineBenchStore.replicas)
  }

  private func warm(_ read: ColdRead) throws -> WarmBytes {
    let bytes = try readWaiting(files.rawDescriptor(of: read.file), at: read.offset, count: read.count)
    return WarmBytes(read: read, bytes: bytes)
  }

  // MARK: Merging

  /// Bytes that a merge reads between two looks at anything else.
  static let mergeSliceBytes = 256 << 10

  /// Merges every store. Only the slices count, which hold a node up; what a node's other thread does is not measured.
  /// - Returns: Bytes of records that were read.
  mutating func merge(_ meter: inout EngineBenchMeter) throws -> UInt64 {
    engine.requestMerge()
    var warm: WarmBytes?
    while engine.isMergeRequested {
      let begin = clock.instant()
      let step = try engine.continueMerge(
        at: begin, hour: 0, budget: EngineBenchStore.mergeSliceBytes, warm: warm, on: &files)
      warm = nil
      switch step {
      case .worked:
        meter.note(clock.instant().nanoseconds - begin.nanoseconds, operations: 1)
        try watch.advance(by: 1)
      case .cold(let read): warm = try self.warm(read)
      case .idle: break
      case .waiting:
        guard let steps = engine.work(at: begin, on: &files) else { throw Failure("a merge waits for nothing") }
        for step in steps { try step.perform(on: &files) }
        engine.completeWork()
      }
    }
    if let reason = engine.mergeStatus.postponement { throw Failure("a merge was broken off: \(reason)") }
    return engine.mergeStatus.totals.bytesRead
  }

  // MARK: Durability

  /// Writes turns of keys, each made durable before the next, until `deadline` or until there are no more.
  /// - Returns: The number that comes next.
  mutating func writeDurably(
    _ numbers: Range<Int>, until deadline: Instant, jobs: EngineBenchJobs, _ meter: inout EngineBenchMeter
  ) throws -> Int {
    let engine = engine
    var key = key
    var version = version
    var next = numbers.lowerBound
    var begin = clock.instant()
    while next < numbers.upperBound && begin < deadline {
      let count = min(turn, numbers.upperBound - next)
      try writeTurn(next..<next + count, nil, &key, &version, on: engine)
      try sync()
      next += count
      if try jobs.takeAnswer() { engine.completeWork() }
      let now = clock.instant()
      if let steps = engine.work(at: now, on: &files) { jobs.begin(steps) }
      meter.note(now.nanoseconds - begin.nanoseconds, operations: count)
      begin = now
    }
    // What these writes have put off is theirs.
    if try jobs.finish() { engine.completeWork() }
    meter.noteBackground(clock.instant().nanoseconds - begin.nanoseconds)
    try watch.advance(by: next - numbers.lowerBound)
    return next
  }

  private func sync() throws {
    guard let request = engine.beginSync() else { throw Failure("the engine has nothing to sync after a write") }
    for file in request.files { try syncData(files.rawDescriptor(of: file)) }
    engine.completeSync(request.ticket)
  }

  /// Leaves everything durable, with hint files.
  mutating func shutDown() throws {
    for step in engine.shutdownSteps() {
      try step.perform(on: &files)
      try watch.advance(by: 0)
    }
  }
}

/// The thread that performs an engine's background work, as a node has one.
final class EngineBenchJobs {
  private let worker: Worker<[DiskStep], String?>
  private let loop: EventLoop
  private var isBusy = false

  init() throws {
    let loop = try EventLoop()
    self.loop = loop
    worker = try Worker(requestsMax: 1, waking: loop) { EngineBenchJobs.perform }
  }

  deinit { worker.finish() }

  /// The engine gives one job at a time.
  func begin(_ steps: [DiskStep]) {
    let wasTaken = worker.submit(steps)
    invariant(wasTaken && !isBusy, "two jobs at a time")
    isBusy = true
  }

  /// True when the job is done.
  func takeAnswer() throws -> Bool {
    guard isBusy, let answer = worker.answers().first else { return false }
    isBusy = false
    if let answer { throw Failure("background work failed: \(answer)") }
    return true
  }

  /// Waits for the job, if there is one. - Returns: whether there was.
  func finish() throws -> Bool {
    var events: [Readiness] = []
    while isBusy {
      if try takeAnswer() { return true }
      try loop.poll(timeoutMilliseconds: 1000, into: &events)
    }
    return false
  }

  @Sendable private static func perform(_ steps: [DiskStep]) -> String? {
    var files = PosixFileSystem()
    do throws(StorageError) {
      for step in steps { try step.perform(on: &files) }
      return nil
    } catch {
      return "\(error)"
    }
  }
}
