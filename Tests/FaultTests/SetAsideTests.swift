import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Setting a store aside")
struct SetAsideTests {
  private static let old = Rig.seeds[0]
  private static let new = StoreSeed(id: old.id, incarnation: Identity128(high: 70, low: 1), configID: 99)

  private static func keys(of rig: Rig) -> [[UInt8]] {
    (0..<40).map { Array("key \($0)".utf8) }.filter { rig.store(of: $0) == old.id }
  }

  /// Records in every state: durable, in the journal alone, in memory; a second store beside it.
  private static func rig(_ mode: SyncMode) throws -> Rig {
    var rig = try Rig(seed: 4, sync: mode, fileBytesMax: 600, segmentBytes: 4000)
    for seed in Rig.seeds { try rig.take(.active, in: seed.id) }
    for time in UInt64(1)...3 {
      for number in 0..<40 { _ = try rig.put("key \(number)", "old \(time)", at: 100 * time + UInt64(number)) }
      if time < 3 { try rig.engine.flush(on: &rig.disk) }
      if time == 1 {
        try rig.sync()
        try rig.work(afterMilliseconds: 70_000)
        rig.engine.completeWork()
      }
    }
    return rig
  }

  private static func steps(_ outcome: SetAsideOutcome) throws -> [DiskStep] {
    guard case .steps(let steps, _) = outcome else {
      throw StorageError.missing(path: "steps", reason: "\(outcome)")
    }
    return steps
  }

  /// What the node does: aside, made anew, taken into service, written to.
  private static func replace(_ rig: inout Rig, _ written: inout [[UInt8]]) throws {
    for step in try steps(try rig.engine.setAside(old.id, on: &rig.disk)) { try step.perform(on: &rig.disk) }
    rig.seeds = [new, Rig.seeds[1]]
    for step in rig.engine.create([new]) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt([new], on: &rig.disk)
    for (number, key) in keys(of: rig).enumerated() where number % 2 == 0 {
      guard case .applied = try rig.apply(rig.old(50, "new"), key: key) else {
        Issue.record("the new store knows \(key)")
        continue
      }
      if number % 4 == 0 { try rig.engine.flush(on: &rig.disk) }
      try rig.work(afterMilliseconds: 70_000)
    }
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    written = keys(of: rig).enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
    try rig.work(afterMilliseconds: 70_000)
    try rig.work(afterMilliseconds: 70_000)
  }

  @Test(
    "power fails at any operation: the store of this life is missing or has nothing of the old one, the others are whole",
    arguments: SyncMode.allCases)
  func power(mode: SyncMode) throws {
    for operation in 1... {
      var rig = try SetAsideTests.rig(mode)
      var written: [[UInt8]] = []
      rig.disk.diesAtOperation = rig.disk.operationCount + operation
      let hasDied = (try? SetAsideTests.replace(&rig, &written)) == nil
      for variant in 0..<3 {
        var copy = rig
        copy.seeds = [SetAsideTests.new, Rig.seeds[1]]
        var generator = SeededGenerator(seed: UInt64(operation * 3 + variant))
        if variant == 0 { copy.disk.discardUnsynced() } else { copy.disk.crash(using: &generator) }
        try copy.reopen()
        let label = Comment("\(mode), operation \(operation), variant \(variant)")
        #expect(copy.engine.recovery.damaged.isEmpty, label)
        for number in 0..<40 where copy.store(of: Array("key \(number)".utf8)) != SetAsideTests.old.id {
          let outcome = try copy.get("key \(number)")
          #expect(mode == .never || outcome != .absent, label)
        }
        guard copy.engine.contains(SetAsideTests.old.id) else {
          #expect(hasDied && copy.engine.recovery.missing == [SetAsideTests.old.id], label)
          continue
        }
        #expect(copy.engine.role(SetAsideTests.old.id) == .loading, label)
        #expect(copy.engine.incarnation(SetAsideTests.old.id) == SetAsideTests.new.incarnation, label)
        for key in SetAsideTests.keys(of: copy) {
          let outcome = try copy.lookup(key)
          let isNew = outcome == .found(copy.old(50, "new"))
          #expect(outcome == .absent || isNew, label)
          if !hasDied, mode != .never, written.contains(key) { #expect(isNew, label) }
        }
        #expect(try copy.statisticsDefect() == nil, label)
      }
      if !hasDied { return }
    }
  }

  @Test("what was set aside is kept as it was, under the next number, and nothing is written to it again")
  func kept() throws {
    var rig = try SetAsideTests.rig(.interval)
    try rig.engine.flush(on: &rig.disk)
    let path = StorePath.store(Rig.root, SetAsideTests.old.id)
    let names = rig.disk.paths.filter { $0.hasPrefix(path + "/") }.sorted()
    let before = names.map { rig.disk.contents($0) }
    for number in 1...3 {
      guard case .steps(let steps, let directory) = try rig.engine.setAside(SetAsideTests.old.id, on: &rig.disk) else {
        Issue.record("busy")
        return
      }
      #expect(directory == Rig.root + "/damaged/p000-n3.\(number)")
      for step in steps { try step.perform(on: &rig.disk) }
      #expect(!rig.disk.paths.contains { $0.hasPrefix(path + "/") })
      let seed = StoreSeed(
        id: SetAsideTests.old.id, incarnation: Identity128(high: 71, low: UInt64(number)), configID: 99)
      for step in rig.engine.create([seed]) { try step.perform(on: &rig.disk) }
      try rig.engine.adopt([seed], on: &rig.disk)
      for key in SetAsideTests.keys(of: rig) { _ = try rig.apply(rig.old(60), key: key) }
      try rig.engine.flush(on: &rig.disk)
      for _ in 0..<4 { try rig.work(afterMilliseconds: 70_000) }
    }
    let kept = names.map { rig.disk.contents(Rig.root + "/damaged/p000-n3.1" + $0.dropFirst(path.count)) }
    #expect(kept == before)
  }

  @Test("until a new one is adopted everything asked of the store throws, and the others go on")
  func fenced() throws {
    var rig = try SetAsideTests.rig(.always)
    let id = SetAsideTests.old.id
    let key = SetAsideTests.keys(of: rig)[0]
    for step in try SetAsideTests.steps(try rig.engine.setAside(id, on: &rig.disk)) {
      try step.perform(on: &rig.disk)
    }
    #expect(rig.engine.role(id) == .fenced && rig.engine.contains(id) && !rig.engine.isEmpty(id))
    #expect(throws: StorageError.self) { try rig.lookup(key) }
    #expect(throws: StorageError.self) { try rig.apply(rig.old(999), key: key) }
    #expect(throws: StorageError.self) { try rig.pull(rig.old(999), key: key) }
    #expect(throws: StorageError.self) { try rig.recordPages(of: id, segment: 0, bytesMax: 100) }
    #expect(rig.engine.loadSteps(id, promises: []) == nil && !rig.engine.hasFailed)
    let other = try #require((0..<40).map { "key \($0)" }.first { rig.store(of: Array($0.utf8)) != id })
    guard case .applied = try rig.put(other, "more", at: 5000) else {
      Issue.record("the other store is not concerned")
      return
    }
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    for _ in 0..<4 { try rig.work(afterMilliseconds: 70_000) }
    try rig.mergeAll()
    try rig.shutdown()
    #expect(!rig.disk.paths.contains { $0.hasPrefix(StorePath.store(Rig.root, id) + "/") })
  }

  @Test("while something under way names the store's files it is not given up")
  func busy() throws {
    // A job of the engine.
    var rig = try SetAsideTests.rig(.interval)
    let id = SetAsideTests.old.id
    try rig.engine.flush(on: &rig.disk)
    rig.now = rig.now.adding(milliseconds: 70_000)
    let job = try #require(rig.engine.work(at: rig.now, on: &rig.disk))
    #expect(try rig.engine.setAside(id, on: &rig.disk) == .busy)
    for step in job { try step.perform(on: &rig.disk) }
    rig.engine.completeWork()
    // A sync of its files.
    _ = try rig.apply(rig.old(5000), key: SetAsideTests.keys(of: rig)[0])
    try rig.engine.flush(on: &rig.disk)
    let request = try #require(rig.engine.beginSync())
    #expect(try rig.engine.setAside(id, on: &rig.disk) == .busy)
    rig.engine.completeSync(request.ticket)
    // A manifest that is to be written.
    _ = rig.engine.setRole(id, .loading, promises: [])
    #expect(try rig.engine.setAside(id, on: &rig.disk) == .busy)
    rig.engine.adoptRole(id, .loading, promises: [])
    _ = try #require(rig.engine.loadSteps(id, promises: []))
    #expect(try rig.engine.setAside(id, on: &rig.disk) == .busy)
    // Each time that they come to nothing counts as well.
    rig.engine.abandonLoad(id)
    #expect(rig.engine.role(id) == .loading)
    _ = try #require(rig.engine.loadSteps(id, promises: []))
    #expect(try rig.engine.setAside(id, on: &rig.disk) == .busy)
    rig.engine.completeLoad(id, promises: [])
    _ = try SetAsideTests.steps(try rig.engine.setAside(id, on: &rig.disk))
  }

  @Test("a merge of the store ends, and one of others goes on", arguments: [0, 1])
  func merging(store: Int) throws {
    var rig = try SetAsideTests.rig(.always)
    let id = Rig.seeds[store].id
    try rig.engine.flush(on: &rig.disk)
    rig.engine.requestMerge(in: [id])
    for _ in 0..<40 where rig.engine.merge.store == nil {
      _ = try rig.engine.continueMerge(at: rig.now, hour: 12, budget: 1, warm: nil, on: &rig.disk)
      try rig.work(afterMilliseconds: 70_000)
    }
    _ = try rig.engine.continueMerge(at: rig.now, hour: 12, budget: 1, warm: nil, on: &rig.disk)
    #expect(rig.engine.merge.store?.id == id)
    var written: [[UInt8]] = []
    try SetAsideTests.replace(&rig, &written)
    #expect(rig.engine.merge.store?.id == (store == 0 ? nil : id))
    while rig.engine.isMergeRequested {
      _ = try rig.engine.continueMerge(at: rig.now, hour: 12, budget: 500, warm: nil, on: &rig.disk)
      try rig.work(afterMilliseconds: 1000)
    }
    for key in written { #expect(try rig.lookup(key) == .found(rig.old(50, "new"))) }
    #expect(try rig.statisticsDefect() == nil)
  }

  @Test("of one store only so many directories are kept; beyond that it stays as it is")
  func full() throws {
    let id = SetAsideTests.old.id
    var rig = try SetAsideTests.rig(.never)
    let kept = StorePath.damaged(Rig.root)
    try rig.disk.createDirectory(kept)
    for number in 1..<StorageLimits.setAsideMax { try rig.disk.createDirectory(kept + "/\(id).\(number)") }
    for number in 1...StorageLimits.setAsideMax { try rig.disk.createDirectory(kept + "/p001-n3.\(number)") }
    let another = kept + "/\(id).\(StorageLimits.setAsideMax)"
    var last = try SetAsideTests.rig(.never)
    last.disk = rig.disk
    _ = try SetAsideTests.steps(try last.engine.setAside(id, on: &last.disk))
    try rig.disk.createDirectory(another)
    #expect(try rig.engine.setAside(id, on: &rig.disk) == .full)
    #expect(rig.engine.role(id) == .active)
    #expect(try rig.lookup(SetAsideTests.keys(of: rig)[0]) != .absent)
  }
}
