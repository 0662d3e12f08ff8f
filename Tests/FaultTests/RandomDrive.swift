import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// An engine that is driven at random, with crashes, and held against a dictionary after every step.

/// A rig driven at random, step by step, against the model.
struct RandomDrive {
  var rig: Rig
  var model = EngineModel()
  var generator: SeededGenerator
  private var clock: UInt64 = 1000
  let keys: [[UInt8]]
  /// Jobs asked for and not finished, in order; a step at a time is performed.
  private var jobs: [(steps: [DiskStep], done: JobDone)] = []
  /// Somebody else fills the disk now and then, or opens all the files that may be open, and sets it right again.
  var fillsDisk = false
  private var syncing: (request: SyncRequest, left: [FileID])?
  /// What the merge waits for.
  private var mergeRead: ColdRead?

  /// What was told of cursors, promises, floors and feeds, and so must survive.
  var told = ToldPromises()

  private enum JobDone {
    case work
    case promises(PromisesToken)
    case role(StoreID, StoreRole)
  }

  /// - Parameter segmentBytes: With few, the journal goes soon; with many, it stands beside whatever merges leave.
  init(seed: UInt64, sync: SyncMode, mask: UInt64 = .max, segmentBytes: UInt64 = 1500) throws {
    generator = SeededGenerator(seed: seed)
    rig = try Rig(seed: seed, sync: sync, fileBytesMax: 700, segmentBytes: segmentBytes, mask: mask)
    rig.options.merge = RandomDrive.policy
    rig.options.openFilesMax = 3
    // Only a store that takes part drops tombstones.
    for seed in Rig.seeds {
      try rig.take(.active, in: seed.id)
      model.roles[seed.id] = .active
    }
    try rig.reopen()
    rig.disk.wouldBlockChance = [0, 100, 500][Int(seed % 3)]
    keys = (0..<14).map { Array("key-\($0)".utf8) }
  }

  /// Merges as often as the steps let them.
  private static var policy: MergePolicy {
    var policy = MergePolicy()
    policy.checkIntervalMilliseconds = 1000
    policy.smallFileBytes = 200
    return policy
  }

  mutating func step() throws {
    do {
      try act()
    } catch let error as StorageError where mayFail(error) {}
    #expect(Rig.seeds.map { rig.engine.treeSegments($0.id) } == model.trees(rig))
    if fillsDisk { changeRoom() }
    if let steps = rig.engine.work(at: rig.now, on: &rig.disk) { jobs.append((steps, .work)) }
    told.note(rig.engine)
  }

  private mutating func act() throws {
    switch generator.below(54) {
    case 50: promise()
    case 51:
      guard !jobs.contains(where: { if case .promises = $0.done { true } else { false } }) else { return }
      let (bytes, token) = rig.engine.promisesFile()
      jobs.append(([.replace(path: StorePath.promises(Rig.root), bytes: bytes)], .promises(token)))
    case 52..<54: try readFeed()
    case 0..<15: try write()
    case 40..<47: try advanceMerge()
    case 47:
      requestMerge()
      if generator.chance(1, in: 2) { try finishMerge() }
    case 48: try purge()
    case 49: try purgeFeed()
    case 15..<17: rig.now = rig.now.adding(milliseconds: 300)
    case 17..<19: try read()
    case 19..<25: try flush()
    case 25..<30: try advanceSync()
    case 30..<38: try advanceJobs()
    case 38: changeRole()
    default: rig.now = rig.now.adding(milliseconds: UInt64([1200, 1200, 70_000][generator.below(3)]))
    }
  }

  private mutating func changeRoom() {
    if generator.chance(1, in: 30) {
      let isFull = rig.disk.spaceLeft == nil
      rig.disk.spaceLeft = isFull ? generator.below(generator.chance(1, in: 2) ? 400 : 4000) : nil
    }
    if generator.chance(1, in: 30) { rig.disk.refusesFiles.toggle() }
    rig.engine.reviewSpace(at: rig.now, on: &rig.disk)
  }

  /// Whether the step may be broken off so: no file can be opened just now.
  private func mayFail(_ error: StorageError) -> Bool { fillsDisk && rig.disk.refusesFiles && error.isOutOfFiles }

  /// There is room again: after a while the same engine holds all it has taken, in files.
  mutating func recoverRoom() throws {
    rig.disk.spaceLeft = nil
    rig.disk.refusesFiles = false
    for _ in 0..<3 {
      rig.now = rig.now.adding(milliseconds: Engine.shortMillisecondsMin)
      rig.engine.reviewSpace(at: rig.now, on: &rig.disk)
      try flush()
    }
    #expect(!rig.engine.refusesValues && rig.engine.flushed == rig.engine.appended)
    for key in model.applied.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      #expect(try rig.lookup(key) == (model.current(key).map { .found($0) } ?? .absent))
    }
  }

  /// All that is dead, or some files whatever is in them: what stays may be older or newer than what goes.
  private mutating func requestMerge() {
    guard rig.engine.merge.store == nil, generator.chance(2, in: 3) else { return rig.engine.requestMerge() }
    let store = rig.engine.stores[generator.below(2)]
    let ids = store.dataFiles.indices.map { store.dataFiles[$0].id }
    rig.engine.requestMerge(of: ids.filter { _ in generator.chance(1, in: 2) }, in: store.id)
  }

  /// What was asked for takes place at once, as far as so many turns get.
  private mutating func finishMerge() throws {
    for _ in 0..<120 where rig.engine.isMergeRequested {
      if let steps = rig.engine.work(at: rig.now, on: &rig.disk) { jobs.append((steps, .work)) }
      try advanceJobs()
      try advanceMerge()
      try flush()
    }
  }

  private mutating func advanceMerge() throws {
    let budget = [1, 100, 400, 5000][generator.below(4)]
    var warm: WarmBytes?
    if let read = mergeRead {
      // The process may have closed the file meanwhile: the answer then brings nothing, as when it fails.
      if let result = try? rig.disk.read(read.file, at: read.offset, count: read.count, mayBlock: true),
        case .bytes(let bytes) = result
      {
        warm = WarmBytes(read: read, bytes: bytes)
      }
      mergeRead = nil
    }
    let step = try rig.engine.continueMerge(at: rig.now, hour: 12, budget: budget, warm: warm, on: &rig.disk)
    if case .cold(let read) = step { mergeRead = read }
    if generator.chance(1, in: 40) { rig.engine.cancelMerge(on: &rig.disk) }
    #expect(try rig.statisticsDefect() == nil)
  }

  /// Forgets a tombstone that is durable.
  private mutating func purge() throws {
    let start = generator.below(keys.count)
    let candidates = (keys[start...] + keys[..<start]).filter { key in
      guard let version = model.current(key), version.isTombstone else { return false }
      return model.newest(key, upTo: rig.engine.durable.rawValue) == version
    }
    guard let key = candidates.first, let version = model.current(key) else { return }
    let outcome = try rig.purge(key, version.stamp)
    #expect(outcome == .purged)
    model.purge(key, version.stamp, in: rig.store(of: key))
    #expect(try rig.purge(key, version.stamp) == .isNotThere)
  }

  /// Begins a sync, syncs one file of the one in flight, or completes it.
  private mutating func advanceSync() throws {
    guard var current = syncing else {
      if let request = rig.engine.beginSync() { syncing = (request, request.files) }
      return
    }
    if current.left.isEmpty {
      rig.engine.completeSync(current.request.ticket)
      syncing = nil
    } else {
      try rig.disk.sync(current.left.removeFirst())
      syncing = current
    }
  }

  private mutating func advanceJobs() throws {
    guard var job = jobs.first else { return }
    for _ in 0..<1 + generator.below(4) where !job.steps.isEmpty {
      do throws(StorageError) {
        try job.steps[0].perform(on: &rig.disk)
      } catch {
        guard error.isRefusal else { throw error }
        // What makes a role durable waits for room; the engine's own work begins anew.
        if case .role = job.done { return }
        jobs.removeFirst()
        guard case .work = job.done else { return }
        return rig.engine.abandonWork(error, at: rig.now)
      }
      job.steps.removeFirst()
      jobs[0] = job
    }
    guard job.steps.isEmpty else { return }
    jobs.removeFirst()
    switch job.done {
    case .work: rig.engine.completeWork()
    case .promises(let token): rig.engine.promisesWritten(token)
    case .role(let id, let role):
      rig.engine.adoptRole(id, role, promises: [])
      model.roles[id] = role
    }
  }

  private mutating func changeRole() {
    let id = Rig.seeds[generator.below(2)].id
    let role: StoreRole = generator.chance(3, in: 4) ? .active : .loading
    jobs.append((rig.engine.setRole(id, role, promises: []), .role(id, role)))
    model.askedRoles[id, default: []].append(role)
  }

  mutating func flush() throws {
    try rig.engine.flush(on: &rig.disk)
    model.flushed = rig.engine.flushed.rawValue
  }

  private mutating func write() throws {
    clock += UInt64(generator.below(4))
    let key = keys[generator.below(keys.count)]
    let at = stamp(clock - UInt64(generator.below(6)), actor: UInt32(1 + generator.below(2)))
    let isTombstone = generator.chance(1, in: 4)
    let count = generator.chance(1, in: 60) ? 40_000 : generator.below(70)
    let byte = UInt8(truncatingIfNeeded: generator.next())
    let version = StoredVersion(
      stamp: at, isTombstone: isTombstone, value: isTombstone ? [] : Array(repeating: byte, count: count))
    let known = model.current(key)
    let floor = model.floors[rig.store(of: key)] ?? .zero
    // Nobody answers a pull with what has been purged.
    if generator.chance(1, in: 4), model.purged[key].map({ $0 < at }) ?? true {
      return isTombstone && generator.chance(1, in: 2) ? try takeFeed(version, key) : try pull(version, key)
    }
    if known == nil && at <= floor {
      let outcome = try rig.apply(version, key: key)
      if case .refused = outcome, fillsDisk { return }
      #expect(outcome == .belowFloor(floor))
      return
    }
    switch try rig.apply(version, key: key) {
    case .applied(let position):
      #expect(known.map { $0.stamp < at } ?? true)
      note(version, key, position)
    case .equal: #expect(known?.stamp == at)
    case .newer(let stamp, _): #expect(known?.stamp == stamp && stamp > at)
    case .refused: #expect(fillsDisk)
    case .belowFloor, .cold: Issue.record("no floor was raised")
    }
  }

  mutating func note(_ version: StoredVersion, _ key: [UInt8], _ position: LogPosition) {
    model.note(version, key: key, position: position)
    let id = rig.store(of: key)
    if version.isTombstone { model.heads[id, default: []].append((position.rawValue, rig.engine.status(id).tsnHead)) }
  }

  /// The same as an answer to a pull: it may be below the floor.
  private mutating func pull(_ version: StoredVersion, _ key: [UInt8]) throws {
    let known = model.current(key)?.stamp
    switch try rig.pull(version, key: key) {
    case .applied(let position):
      #expect(known.map { $0 < version.stamp } ?? true)
      note(version, key, position)
    case .equal: #expect(known == version.stamp)
    case .newer: #expect(known.map { $0 > version.stamp } == true)
    case .refused: #expect(fillsDisk)
    case .guarded, .cold: Issue.record("nothing was purged meanwhile")
    }
  }

  private mutating func read() throws {
    let key = keys[generator.below(keys.count)]
    switch try rig.lookup(key) {
    case .absent: #expect(model.current(key) == nil)
    case .found(let version): #expect(model.current(key) == version)
    case .cold: Issue.record("cold after a blocking read")
    }
  }

  /// The process dies; with `power` the machine too. Opening may itself be interrupted, again and again.
  mutating func crash(power: Bool, _ label: String) throws {
    let durable = power ? rig.engine.durable.rawValue : model.flushed
    try reopen(power: power)
    told.check(rig.engine, label)
    try model.settle(&rig, durable: durable, label)
  }

  private mutating func reopen(power: Bool) throws {
    jobs = []
    syncing = nil
    mergeRead = nil
    while true {
      if power { rig.disk.crash(using: &generator) } else { rig.disk.killProcess() }
      if generator.chance(1, in: 3) {
        rig.disk.diesAtOperation = rig.disk.operationCount + 1 + generator.below(60)
      }
      do {
        rig.engine = try Engine.open(Rig.root, options: rig.options, stores: Rig.seeds, on: &rig.disk)
        if rig.disk.isDead { continue }
        rig.disk.diesAtOperation = nil
        #expect(rig.engine.recovery.missing.isEmpty)
        #expect(rig.engine.recovery.damaged.isEmpty)
        return
      } catch {
        // On a full disk nothing is served, and nothing is lost: there is room at the next try.
        if error.isOutOfSpace {
          rig.disk.spaceLeft = nil
          continue
        }
        guard rig.disk.isDead else { throw error }
      }
    }
  }
}
