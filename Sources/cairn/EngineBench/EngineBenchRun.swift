import Platform
import Primitives
import Storage

// One row of `cairn bench engine`: the store is filled as the workload needs it, then the engine and the raw loop are
// measured one after the other, a few times. Everything lies in memory's page cache unless the workload says otherwise.

/// What one repetition brought.
struct EngineBenchSample {
  var perSecond: Double
  var rawPerSecond: Double?
  var latencies: LatencyHistogram?
  /// Bytes.
  var memoryPerKey: Double?
  var diskPerKey: Double?
}

final class EngineBenchRun {
  private let plan: EngineBenchPlan
  private let directory: String
  private let watch: EngineBenchWatch
  private let raw: EngineBenchRaw
  private let clock = SystemClock()
  private let order: KeyShuffle
  private var repetition = 0

  /// Workloads that wait for the device are measured for so long, a slice of the engine and one of the raw loop in turn.
  private static let syncMilliseconds: UInt64 = 5000
  private static let sliceMilliseconds: UInt64 = 250
  /// Writes of a turn that is not measured.
  private static let fillingTurn = 64

  /// - Parameter directory: Created, and removed by whoever made the run.
  init(_ plan: EngineBenchPlan, _ directory: String, _ watch: EngineBenchWatch) {
    self.plan = plan
    self.directory = directory
    self.watch = watch
    raw = EngineBenchRaw(plan, watch)
    order = KeyShuffle(count: plan.keyCount)
  }

  /// The median of all repetitions.
  func result() throws -> EngineBenchResult {
    var samples: [EngineBenchSample] = []
    defer { watch.finish() }
    try FileTree.create(directory)
    if isPreparedOnce { try prepareToOpen() }
    for number in 1...plan.runs {
      repetition = number
      samples.append(try sample())
      if !isPreparedOnce {
        for name in try FileTree.names(in: directory) { try FileTree.remove("\(directory)/\(name)") }
      }
    }
    try FileTree.remove(directory)
    return EngineBenchResult(plan, samples)
  }

  private var isPreparedOnce: Bool { plan.workload == .openHints || plan.workload == .openScan }

  private func sample() throws -> EngineBenchSample {
    switch plan.workload {
    case .put: try put()
    case .overwrite, .delete: try replace()
    case .overwriteCold: try overwriteCold()
    case .get, .getAfterOverwrite: try get()
    case .openHints: try open(suffix: ".hint")
    case .openScan: try open(suffix: ".data")
    case .merge: try merge()
    case .fsyncEach, .groupCommit: try sync()
    case .memory: try memory()
    }
  }

  private func show(_ what: String, total: Int?) {
    let runs = plan.runs > 1 ? ", \(repetition) of \(plan.runs)" : ""
    watch.begin("\(plan.workload.rawValue)\(runs): \(what)", total: total)
  }

  private var keys: Range<Int> { 0..<plan.keyCount }
  private var rawPath: String { directory + "/raw" }
  private var nodePath: String { directory + "/node" }

  /// The files of all stores with this ending, oldest first.
  private func storeFiles(_ suffix: String) throws -> [String] {
    let stores = StorePath.stores(nodePath)
    return try FileTree.names(in: stores).flatMap { store in
      try FileTree.names(in: "\(stores)/\(store)").filter { $0.hasSuffix(suffix) }.map { "\(stores)/\(store)/\($0)" }
    }
  }

  // MARK: Writes

  private func filledStore() throws -> EngineBenchStore {
    show("filling", total: plan.keyCount)
    var store = try EngineBenchStore.create(nodePath, plan, sync: .never, watch)
    store.turn = EngineBenchRun.fillingTurn
    var unused = EngineBenchMeter()
    try store.write(keys, &unused)
    return store
  }

  private func put() throws -> EngineBenchSample {
    show("turns of \(plan.turn)", total: plan.keyCount)
    var store = try EngineBenchStore.create(nodePath, plan, sync: .never, watch)
    var meter = EngineBenchMeter()
    try store.write(keys, &meter)
    show("raw loop", total: plan.keyCount)
    let rawRate = try raw.write(rawPath, byteCount: plan.recordBytes, count: plan.keyCount)
    return EngineBenchSample(perSecond: meter.perSecond, rawPerSecond: rawRate, latencies: meter.latencies)
  }

  private func replace() throws -> EngineBenchSample {
    var store = try filledStore()
    store.turn = plan.turn
    if plan.workload == .delete { store.becomeDeleting() }
    show("turns of \(plan.turn)", total: plan.keyCount)
    var meter = EngineBenchMeter()
    try store.write(keys, order: order, &meter)
    show("raw loop", total: plan.keyCount)
    let byteCount = plan.workload == .delete ? plan.tombstoneBytes : plan.recordBytes
    let rawRate = try raw.write(rawPath, byteCount: byteCount, count: plan.keyCount)
    return EngineBenchSample(perSecond: meter.perSecond, rawPerSecond: rawRate, latencies: meter.latencies)
  }

  /// Few of the keys, so that no page of the files is read for two of them.
  private func overwriteCold() throws -> EngineBenchSample {
    let chosen = 0..<max(1, plan.keyCount / 64)
    var store = try filledStore()
    store.turn = plan.turn
    let places = try RecordPlaces(storeFiles(".data"), recordBytes: plan.recordBytes, count: plan.keyCount)
    try places.forgetCached()
    show("reading from the device", total: chosen.count)
    var meter = EngineBenchMeter()
    try store.write(chosen, order: order, &meter)
    try places.forgetCached()
    show("raw loop", total: chosen.count)
    let rawRate = try raw.readAndWrite(places, chosen, order: order, to: rawPath)
    return EngineBenchSample(perSecond: meter.perSecond, rawPerSecond: rawRate, latencies: meter.latencies)
  }

  // MARK: Reads

  private func get() throws -> EngineBenchSample {
    var store = try filledStore()
    if plan.workload == .getAfterOverwrite {
      // In the order they were put: read in the order of the second writes, the files would be read front to back.
      show("overwriting", total: plan.keyCount)
      var unused = EngineBenchMeter()
      try store.write(keys, &unused)
    }
    store.turn = plan.turn
    show("reading", total: plan.keyCount)
    var meter = EngineBenchMeter()
    try store.read(keys, order: order, &meter)
    show("raw loop", total: plan.keyCount)
    let places = try RecordPlaces(storeFiles(".data"), recordBytes: plan.recordBytes, count: plan.keyCount)
    let rawRate = try raw.read(places, keys, order: order)
    return EngineBenchSample(perSecond: meter.perSecond, rawPerSecond: rawRate, latencies: meter.latencies)
  }

  // MARK: Opening

  private func prepareToOpen() throws {
    var store = try filledStore()
    show("writing hints", total: nil)
    try store.shutDown()
    if plan.workload == .openScan { for path in try storeFiles(".hint") { try FileTree.remove(path) } }
  }

  private func open(suffix: String) throws -> EngineBenchSample {
    show("opening", total: nil)
    let begin = clock.instant().nanoseconds
    let store = try EngineBenchStore.open(nodePath, plan, watch)
    let nanoseconds = max(1, clock.instant().nanoseconds - begin)
    guard store.keyCount == plan.keyCount else {
      throw Failure("\(store.keyCount) keys of \(plan.keyCount) were there after opening")
    }
    let whole = try raw.readWhole(storeFiles(suffix))
    let amount = plan.workload == .openHints ? Double(plan.keyCount) : Double(whole.bytes)
    try watch.advance(by: 0)
    return EngineBenchSample(
      perSecond: amount * 1e9 / Double(nanoseconds), rawPerSecond: amount * 1e9 / Double(whole.nanoseconds))
  }

  // MARK: Merging

  /// Half of the keys are written twice.
  private func merge() throws -> EngineBenchSample {
    var store = try filledStore()
    var unused = EngineBenchMeter()
    show("overwriting", total: plan.keyCount / 2)
    try store.write(0..<plan.keyCount / 2, order: order, &unused)
    show("raw loop", total: nil)
    let rawRate = try raw.readAndWriteWhole(
      storeFiles(".data"), to: rawPath, written: Double(plan.dataBytes), sliceBytes: EngineBenchStore.mergeSliceBytes)
    show("merging", total: nil)
    var meter = EngineBenchMeter()
    let bytes = try store.merge(&meter)
    return EngineBenchSample(
      perSecond: Double(bytes) * 1e9 / Double(max(1, meter.nanoseconds)), rawPerSecond: rawRate,
      latencies: meter.latencies)
  }

  // MARK: The device

  private func sync() throws -> EngineBenchSample {
    show(plan.turn == 1 ? "syncing each" : "\(plan.turn) writers", total: nil)
    var store = try EngineBenchStore.create(nodePath, plan, sync: .always, watch)
    let jobs = try EngineBenchJobs()
    let file = try RawFile(creating: rawPath)
    var meter = EngineBenchMeter()
    var rawMeter = EngineBenchMeter()
    let end = clock.instant().adding(milliseconds: EngineBenchRun.syncMilliseconds)
    var next = 0
    while next < plan.keyCount && clock.instant() < end {
      let sliceEnd = clock.instant().adding(milliseconds: EngineBenchRun.sliceMilliseconds)
      next = try store.writeDurably(next..<plan.keyCount, until: sliceEnd, jobs: jobs, &meter)
      try raw.writeDurably(
        file, until: clock.instant().adding(milliseconds: EngineBenchRun.sliceMilliseconds), &rawMeter)
    }
    return EngineBenchSample(
      perSecond: meter.perSecond, rawPerSecond: rawMeter.perSecond, latencies: meter.latencies)
  }

  // MARK: Room

  private func memory() throws -> EngineBenchSample {
    show("\(plan.keyByteCount)-byte keys", total: plan.keyCount)
    releaseFreedMemory()
    let before = residentBytes()
    var store = try EngineBenchStore.create(nodePath, plan, sync: .never, watch)
    var meter = EngineBenchMeter()
    try store.write(keys, &meter)
    let held = residentBytes() - before
    let bytes = try storeFiles(".data").reduce(UInt64(0)) { $0 + (FileTree.facts($1)?.bytes ?? 0) }
    return EngineBenchSample(
      perSecond: meter.perSecond, latencies: meter.latencies,
      memoryPerKey: Double(max(0, held)) / Double(plan.keyCount), diskPerKey: Double(bytes) / Double(plan.keyCount))
  }
}
