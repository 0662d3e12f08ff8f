import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

extension Rig {
  static let runningNode = NodeManifest(
    name: "n1", node: NodeID(1), membersDigest: 5,
    cluster: ClusterIdentity(id: Identity128(high: 1, low: 2), ringSeed: 42, partitions: 2, replicas: 3),
    actor: ActorID(1), isClean: true, leaseEnd: HybridTime(milliseconds: 900), stores: Rig.seeds)

  static func path(_ name: String) -> String { Rig.root + "/snapshots/" + name }

  mutating func requestSnapshot(_ name: String, of store: StoreID? = nil) throws(SnapshotRefusal) {
    try requestSnapshot(name, store.map { .store($0) } ?? .all)
  }

  mutating func requestSnapshot(_ name: String, _ part: SnapshotPart) throws(SnapshotRefusal) {
    try engine.requestSnapshot(
      SnapshotRequest(name: SnapshotName(name)!, part: part, node: Rig.runningNode, wallMilliseconds: 77), on: &disk)
  }

  /// Performs jobs until there is an outcome. - Throws: what ends the engine.
  mutating func finishSnapshot() throws -> SnapshotOutcome {
    for _ in 0..<20 {
      if let outcome = engine.takeSnapshotOutcome() { return outcome }
      try workOrFail()
    }
    Issue.record("no outcome after 20 jobs")
    throw SnapshotRefusal.notNow("no outcome")
  }

  /// Performs the job that is due; a failure that concerns only a snapshot is told to the engine.
  mutating func workOrFail() throws {
    guard let steps = engine.work(at: now, on: &disk) else { return }
    do throws(StorageError) {
      for step in steps { try step.perform(on: &disk) }
    } catch {
      guard engine.failWork(error) else { throw error }
      return
    }
    engine.completeWork()
  }

  /// What the snapshot holds, opened as a node opens its directory.
  func opened(_ name: String) throws(StorageError) -> Rig {
    var copy = self
    copy.disk.killProcess()
    copy.disk.wouldBlockChance = 0
    copy.options.sync = .never
    copy.engine = try Engine.open(Rig.path(name), options: options, stores: Rig.seeds, on: &copy.disk)
    return copy
  }

  mutating func all(_ keys: [String]) throws(StorageError) -> [String: StoredVersion] {
    var held: [String: StoredVersion] = [:]
    for key in keys { if case .found(let version) = try get(key) { held[key] = version } }
    return held
  }

  mutating func entries() throws(StorageError) -> [SnapshotEntry] {
    try SnapshotEntry.list(of: Rig.root, countMax: 1000, on: &disk)
  }

  /// The bytes of all files of a snapshot.
  func bytes(_ name: String) -> [String: [UInt8]] {
    var bytes: [String: [UInt8]] = [:]
    for path in disk.paths where path.hasPrefix(Rig.path(name) + "/") { bytes[path] = disk.contents(path) }
    return bytes
  }
}

@Suite("Snapshots")
struct SnapshotTests {
  private static let keys = (0..<12).map { "key \($0)" }

  /// Several files, superseded records, tombstones, bytes that are not flushed.
  private func rig(seed: UInt64 = 4, sync: SyncMode = .always) throws -> Rig {
    var rig = try Rig(seed: seed, sync: sync, fileBytesMax: 500, segmentBytes: 900)
    for number in 0..<40 { try write(&rig, number) }
    return rig
  }

  private func write(_ rig: inout Rig, _ number: Int) throws {
    let key = Self.keys[number % Self.keys.count]
    let time = UInt64(number + 1)
    _ = number % 5 == 4 ? try rig.delete(key, at: time) : try rig.put(key, "value \(number)", at: time)
    if number % 3 == 0 { try rig.engine.flush(on: &rig.disk) }
  }

  @Test("a snapshot holds what was applied before it began, and nothing that came later", arguments: SyncMode.allCases)
  func moment(sync: SyncMode) throws {
    var rig = try rig(sync: sync)
    try rig.requestSnapshot("one")
    let expected = try rig.all(Self.keys)
    // The moment is the next call of `work`; then writes go on before, between and after its jobs.
    var number = 40
    var jobs = 0
    while rig.engine.snapshot.outcome == nil {
      let steps = try #require(rig.engine.work(at: rig.now, on: &rig.disk))
      for step in steps {
        try write(&rig, number)
        number += 1
        try step.perform(on: &rig.disk)
      }
      rig.engine.completeWork()
      jobs += 1
    }
    #expect(jobs == 2)
    guard case .made(let report) = rig.engine.takeSnapshotOutcome() else { return #expect(Bool(false)) }
    var copy = try rig.opened("one")
    #expect(copy.engine.recovery.missing.isEmpty && copy.engine.recovery.damaged.isEmpty)
    #expect(copy.engine.recovery.bytesCut == 0 && copy.engine.recovery.journalRecords == 0)
    #expect(try copy.all(Self.keys) == expected)
    #expect(try copy.statisticsDefect() == nil)
    let files = rig.disk.paths.filter { $0.hasPrefix(Rig.path("one/")) && $0.hasSuffix(".data") }
    #expect(report.contents.files == UInt64(files.count) && report.contents.stores == 2)
    #expect(report.contents.bytes == files.reduce(0) { $0 + UInt64(rig.disk.contents($1)?.count ?? 0) })
    #expect(try rig.entries() == [SnapshotEntry(name: "one", contents: report.contents)])
    #expect(try rig.all(Self.keys) != expected)
  }

  @Test("the copied node is one that did not stop cleanly: whoever starts from it draws a new actor")
  func nodeCopy() throws {
    var rig = try rig()
    try rig.requestSnapshot("one")
    _ = try rig.finishSnapshot()
    let (node, _) = NodeContents.manifest(in: Rig.path("one"), on: &rig.disk)
    var expected = Rig.runningNode
    expected.isClean = false
    #expect(node == expected)
  }

  @Test("what was set aside as damaged is in no snapshot")
  func setAside() throws {
    var rig = try rig()
    try rig.disk.createDirectory("/data/damaged")
    try rig.disk.createDirectory("/data/damaged/p000-n3.1")
    let file = try rig.disk.open("/data/damaged/p000-n3.1/000001.data", .create)
    try rig.disk.append(Array("what does not read back".utf8), to: file)
    try rig.requestSnapshot("one")
    guard case .made = try rig.finishSnapshot() else { return #expect(Bool(false)) }
    let paths = rig.bytes("one").keys
    #expect(!paths.isEmpty && !paths.contains { $0.contains("damaged") })
    #expect(try NodeContents(reading: Rig.path("one"), on: &rig.disk).setAside.isEmpty)
    #expect(rig.disk.contents("/data/damaged/p000-n3.1/000001.data") != nil)
  }

  @Test("what a snapshot holds survives the loss of power as soon as it is answered")
  func durable() throws {
    var rig = try rig(sync: .never)
    try rig.requestSnapshot("one")
    let expected = try rig.all(Self.keys)
    guard case .made = try rig.finishSnapshot() else { return #expect(Bool(false)) }
    rig.disk.discardUnsynced()
    var copy = try rig.opened("one")
    #expect(try copy.all(Self.keys) == expected)
  }

  @Test("one store alone")
  func oneStore() throws {
    var rig = try rig()
    try rig.requestSnapshot("one", of: Rig.seeds[1].id)
    guard case .made(let report) = try rig.finishSnapshot() else { return #expect(Bool(false)) }
    #expect(report.contents.stores == 1)
    let copy = try rig.opened("one")
    #expect(copy.engine.storeIDs == [Rig.seeds[1].id] && copy.engine.recovery.missing == [Rig.seeds[0].id])
    #expect(copy.engine.status(Rig.seeds[1].id).keysLive == rig.engine.status(Rig.seeds[1].id).keysLive)
  }

  @Test("no merge takes a file away before it is linked, and none changes what was linked")
  func merging() throws {
    for slices in 0..<40 {
      var rig = try rig()
      for _ in 0..<8 { try rig.work(afterMilliseconds: 70_000) }
      let expected = try rig.all(Self.keys)
      rig.engine.requestMerge()
      var isCopied = false
      for _ in 0..<slices {
        let step = try rig.engine.continueMerge(at: rig.now, hour: 12, budget: 150, warm: nil, on: &rig.disk)
        if step == .waiting && rig.engine.merge.copiedAt != nil { isCopied = true }
        if step == .waiting && !isCopied { try rig.work() }
      }
      try rig.requestSnapshot("one")
      var sawUnlink = false
      while rig.engine.snapshot.outcome == nil {
        let steps = try #require(rig.engine.work(at: rig.now, on: &rig.disk))
        for case .unlink(let path) in steps where path.hasSuffix(".data") { sawUnlink = true }
        for step in steps {
          _ = try rig.engine.continueMerge(at: rig.now, hour: 12, budget: 150, warm: nil, on: &rig.disk)
          try step.perform(on: &rig.disk)
        }
        rig.engine.completeWork()
      }
      #expect(!sawUnlink)
      guard case .made = rig.engine.takeSnapshotOutcome() else { return #expect(Bool(false)) }
      let bytes = rig.bytes("one")
      try rig.mergeAll()
      #expect(rig.bytes("one") == bytes, "after \(slices) slices")
      #expect(try rig.all(Self.keys) == expected)
      var copy = try rig.opened("one")
      #expect(copy.engine.recovery.damaged.isEmpty)
      #expect(try copy.all(Self.keys) == expected, "after \(slices) slices")
    }
  }

  // MARK: What is refused

  @Test(
    "a name is that of a directory and nothing else",
    arguments: [
      ("nightly-2026.11_25", true), ("7", true), (String(repeating: "a", count: 64), true),
      (String(repeating: "a", count: 65), false), ("", false), (".", false), ("..", false), (".hidden", false),
      ("-r", false), ("a/b", false), ("a b", false), ("ä", false), ("a\0", false), ("a.partial", false),
    ])
  func names(name: String, isName: Bool) { #expect((SnapshotName(name) != nil) == isName) }

  @Test("one at a time, no name twice, no store that is not there")
  func refusals() throws {
    var rig = try rig()
    #expect(throws: SnapshotRefusal.unknownStore(StoreID(partition: 9, replicas: 3))) {
      try rig.requestSnapshot("one", of: StoreID(partition: 9, replicas: 3))
    }
    try rig.requestSnapshot("one")
    while rig.engine.snapshot.outcome == nil {
      #expect(throws: SnapshotRefusal.self) { try rig.requestSnapshot("two") }
      try rig.workOrFail()
    }
    #expect(throws: SnapshotRefusal.exists(path: Rig.path("one"))) { try rig.requestSnapshot("one") }
    try rig.requestSnapshot("two")
  }

  @Test("a node keeps so many snapshots and no more")
  func bound() throws {
    var rig = try rig()
    try rig.disk.createDirectory(Rig.root + "/snapshots")
    for number in 1..<Engine.snapshotsMax { try rig.disk.createDirectory(Rig.path("s\(number)")) }
    try rig.requestSnapshot("last")
    guard case .made = try rig.finishSnapshot() else { return #expect(Bool(false)) }
    #expect(throws: SnapshotRefusal.self) { try rig.requestSnapshot("more") }
    #expect(try SnapshotEntry.list(of: Rig.root, countMax: 10, on: &rig.disk).count == 10)
  }

  @Test("a damaged store has no snapshot; the others do")
  func damaged() throws {
    var rig = try rig()
    try rig.shutdown()
    let path = try #require(rig.disk.paths.first { $0.hasSuffix("p000-n3/000001.data") })
    rig.disk.overwrite(path, with: [])
    try rig.reopen()
    #expect(throws: SnapshotRefusal.self) { try rig.requestSnapshot("one") }
    try rig.requestSnapshot("one", of: Rig.seeds[1].id)
    guard case .made = try rig.finishSnapshot() else { return #expect(Bool(false)) }
  }

  // MARK: Faults

  @Test("the process dies at the n-th file operation of a snapshot: the store is whole, the snapshot is or is not")
  func dies() throws {
    for operation in 1... {
      var rig = try rig()
      try rig.engine.flush(on: &rig.disk)
      try rig.sync()
      let expected = try rig.all(Self.keys)
      try rig.requestSnapshot("one")
      rig.disk.diesAtOperation = rig.disk.operationCount + operation
      let outcome = try? rig.finishSnapshot()
      let hasDied = rig.disk.isDead
      for variant in 0..<3 {
        var copy = rig
        var generator = SeededGenerator(seed: UInt64(operation * 3 + variant))
        if variant == 0 { copy.disk.discardUnsynced() } else { copy.disk.crash(using: &generator) }
        let entries = try copy.entries().filter { $0.contents != nil }
        if case .made = outcome { #expect(entries.map(\.name) == ["one"]) }
        if !entries.isEmpty {
          var opened = try copy.opened("one")
          #expect(opened.engine.recovery.damaged.isEmpty && opened.engine.recovery.missing.isEmpty)
          #expect(try opened.all(Self.keys) == expected, "operation \(operation), variant \(variant)")
        }
        try copy.reopen()
        #expect(copy.engine.recovery.damaged.isEmpty && copy.engine.recovery.missing.isEmpty)
        #expect(try copy.all(Self.keys) == expected, "operation \(operation), variant \(variant)")
        // What was left behind is in nobody's way.
        if entries.isEmpty {
          try copy.requestSnapshot("one")
          guard case .made = try copy.finishSnapshot() else { return #expect(Bool(false), "operation \(operation)") }
          #expect(try copy.entries().count == 1)
        }
      }
      if !hasDied { return }
    }
  }

  @Test("the disk is full at the n-th file operation of a snapshot: the node goes on, or stops as for any checkpoint")
  func fails() throws {
    var survived = 0
    var lateFailures = 0
    for operation in 1... {
      var rig = try rig()
      try rig.engine.flush(on: &rig.disk)
      try rig.sync()
      let expected = try rig.all(Self.keys)
      try rig.requestSnapshot("one")
      let number = rig.disk.operationCount + operation
      rig.disk.failure = (operation: number, errno: 28)
      do {
        let outcome = try rig.finishSnapshot()
        if rig.disk.operationCount < number {
          // Only where the name of a whole snapshot was to become durable is it there and yet not promised.
          #expect(survived > 20 && lateFailures == 1)
          return
        }
        if case .failed(_, let error) = outcome {
          if case .io(_, _, 28) = error {} else { Issue.record("operation \(operation): \(error)") }
          survived += 1
          // The rest goes by itself, and the next of this name is made.
          try rig.workOrFail()
          let names = try rig.entries().map(\.name)
          #expect(names.isEmpty || names == ["one"], "operation \(operation)")
          if !names.isEmpty { lateFailures += 1 }
          try rig.requestSnapshot(names.isEmpty ? "one" : "two")
          guard case .made = try rig.finishSnapshot() else { return #expect(Bool(false), "operation \(operation)") }
          var opened = try rig.opened("one")
          #expect(try opened.all(Self.keys) == expected)
        }
        _ = try rig.put("another", "value", at: 1000)
        try rig.engine.flush(on: &rig.disk)
        try rig.sync()
        #expect(rig.engine.durable == rig.engine.appended)
      } catch let error as StorageError {
        if case .io(_, _, 28) = error {} else { Issue.record("operation \(operation): \(error)") }
      }
      #expect(try rig.entries().allSatisfy { $0.contents != nil })
      try rig.reopen()
      #expect(try rig.all(Self.keys) == expected, "operation \(operation)")
    }
  }

  @Test("the removal of a failed snapshot fails too: the next one removes it")
  func removalFails() throws {
    var rig = try rig()
    try rig.requestSnapshot("one")
    try rig.workOrFail()
    rig.disk.failure = (operation: rig.disk.operationCount + 20, errno: 28)
    guard case .failed = try rig.finishSnapshot() else { return #expect(Bool(false)) }
    rig.disk.failure = (operation: rig.disk.operationCount + 3, errno: 5)
    try rig.workOrFail()
    #expect(try rig.entries().map(\.contents) == [nil])
    try rig.requestSnapshot("two")
    guard case .made = try rig.finishSnapshot() else { return #expect(Bool(false)) }
    #expect(try rig.entries().map(\.name) == ["two"])
  }

  @Test(
    "writes, merges, purges and crashes while snapshots are made: each is whole or not there, and never changes",
    arguments: UInt64(0)..<60)
  func random(seed: UInt64) throws {
    var drive = try RandomDrive(seed: seed, sync: .allCases[Int(seed % 3)], mask: seed % 4 == 3 ? 3 << 62 | 3 : .max)
    var witness = SnapshotWitness()
    for life in 0..<5 {
      for _ in 0..<100 + drive.generator.below(150) {
        if drive.generator.chance(1, in: 8) { witness.request(&drive) }
        try drive.step()
        try witness.observe(&drive)
      }
      try witness.check(drive, "seed \(seed), life \(life)")
      try drive.crash(power: drive.generator.chance(1, in: 2), "life \(life)")
      witness.forgetUnfinished()
      try witness.check(drive, "seed \(seed), after the crash of life \(life)")
    }
    #expect(witness.madeCount > 0)
  }
}

/// Knows what each snapshot must hold, from the model at the moment it began.
private struct SnapshotWitness {
  private struct Expected {
    var current: [[UInt8]: StoredVersion] = [:]
    var purged: [[UInt8]: Stamp] = [:]
    var bytes: [String: [UInt8]]?
  }
  private var number = 0
  private var begun: [String: Expected] = [:]
  private var made: Set<String> = []
  private var waiting: String?
  private(set) var madeCount = 0

  mutating func request(_ drive: inout RandomDrive) {
    guard (try? drive.rig.requestSnapshot("s\(number)")) != nil else { return }
    waiting = "s\(number)"
    number += 1
  }

  /// After a step, whose last act is `work`.
  mutating func observe(_ drive: inout RandomDrive) throws {
    if let name = waiting {
      var hasBegun = true
      if case .requested = drive.rig.engine.snapshot.phase { hasBegun = false }
      if hasBegun {
        var expected = Expected(purged: drive.model.purged)
        for key in drive.model.applied.keys { expected.current[key] = drive.model.current(key) }
        begun[name] = expected
        waiting = nil
      }
    }
    switch drive.rig.engine.takeSnapshotOutcome() {
    case .made(let report):
      made.insert(report.name.rawValue)
      madeCount += 1
      begun[report.name.rawValue]?.bytes = drive.rig.bytes(report.name.rawValue)
    case .failed(let name, let error): Issue.record("\(name): \(error)")
    case nil: break
    }
  }

  mutating func forgetUnfinished() { waiting = nil }

  func check(_ drive: RandomDrive, _ label: String) throws {
    var rig = drive.rig
    let whole = try rig.entries().filter { $0.contents != nil }.map(\.name)
    #expect(made.isSubset(of: whole), "\(label)")
    for name in whole {
      let expected = try #require(begun[name], "\(label): \(name)")
      if let bytes = expected.bytes {
        let now = rig.bytes(name)
        let changed = Set(now.keys).union(bytes.keys).filter { now[$0] != bytes[$0] }.sorted()
        #expect(changed.map { "\($0): \(bytes[$0]?.count ?? -1), \(now[$0]?.count ?? -1)" } == [], "\(label)")
      }
      var copy = try rig.opened(name)
      #expect(copy.engine.recovery.damaged.isEmpty && copy.engine.recovery.missing.isEmpty, "\(label): \(name)")
      for key in (0..<14).map({ Array("key-\($0)".utf8) }) {
        var held: StoredVersion?
        if case .found(let version) = try copy.lookup(key) { held = version }
        if held == expected.current[key] { continue }
        // A tombstone that was forgotten may still stand in a file; nothing else may differ.
        let isForgotten = held?.isTombstone == true && expected.purged[key].map { $0 >= held!.stamp } == true
        #expect(expected.current[key] == nil && isForgotten, "\(label): \(name), \(key)")
      }
    }
  }
}
