import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("What becomes of purged tombstones")
struct PurgedTests {
  private static let id = Rig.seeds[0].id

  /// Many values over some files, most of them deleted later and forgotten.
  private static func rig(_ sync: SyncMode = .interval, without rule: Rule? = nil) throws -> Rig {
    var rig = try Rig.active(sync: sync)
    if let rule { rig.options.rules = Rules.all.without(rule) }
    try rig.reopen()
    for index in 0..<60 {
      _ = try rig.put(Rig.keys[index], String(repeating: "value ", count: 8), at: 10 + UInt64(index))
      if index % 20 == 19 { try rig.endFile() }
    }
    for index in 0..<57 { _ = try rig.delete(Rig.keys[index], at: 100 + UInt64(index)) }
    try rig.commit()
    #expect(try rig.purgeFeed(id).purged.count == 57)
    return rig
  }

  private static func expectLiveAlone(_ rig: inout Rig) throws {
    let status = rig.engine.status(id)
    #expect(status.keysLive == 3 && status.tombstones == 0 && status.deadBytes == 0)
    #expect(status.totalBytes == status.liveBytes + UInt64(status.files * FileHeader.byteCount))
    let bytes = rig.names(".data").reduce(0) { $0 + (rig.disk.contents($1)?.count ?? 0) }
    #expect(UInt64(bytes) == status.totalBytes && status.files <= 2)
    try rig.reopen()
    #expect(rig.engine.status(id).tombstones == 0 && rig.engine.status(id).tsnHead == 57)
    #expect(rig.engine.floor(id) == stamp(156))
    for index in 57..<60 { #expect(try rig.value(Rig.keys[index]) != nil) }
    #expect(try rig.put(Rig.keys[0], "old", at: 10) == .belowFloor(stamp(156)))
  }

  @Test("one merge that is asked for leaves what is alive", arguments: SyncMode.allCases)
  func asked(mode: SyncMode) throws {
    var rig = try Self.rig(mode)
    try rig.mergeAll()
    try Self.expectLiveAlone(&rig)
  }

  @Test("so does the policy by itself, when the tombstones are most of what is there", arguments: SyncMode.allCases)
  func policy(mode: SyncMode) throws {
    var rig = try Self.rig(mode)
    for _ in 0..<400 {
      rig.now = rig.now.adding(milliseconds: 10_000)
      try rig.slice(5000)
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
    try Self.expectLiveAlone(&rig)
  }

  @Test(
    "power fails at any operation of the job that removes them: an old copy of a deleted key is not taken afterwards",
    arguments: SyncMode.allCases)
  func power(mode: SyncMode) throws {
    #expect(try Self.resurrections(mode, without: nil) == 0)
    // Without a durable floor it would be.
    #expect(try Self.resurrections(mode, without: .durableFloor) > 0)
  }

  /// How often an old copy was taken.
  private static func resurrections(_ mode: SyncMode, without rule: Rule?) throws -> Int {
    var count = 0
    var rig = try Self.rig(mode, without: rule)
    for index in 0..<3 { _ = try rig.put(Rig.keys[57 + index], "newer", at: 300) }
    try rig.commit()
    try rig.endFile()
    let ids = rig.fileIDs.filter { id in rig.store.dataFiles[rig.store.dataFiles.index(ofFile: id)!].isSealed }
    let steps = try rig.lastJob(merging: ids)
    for performed in 0...steps.count {
      for variant in UInt64(0)..<3 {
        var copy = rig
        for step in steps[..<performed] { try step.perform(on: &copy.disk) }
        var generator = SeededGenerator(seed: variant)
        if variant == 0 { copy.disk.discardUnsynced() } else { copy.disk.crash(using: &generator) }
        try copy.reopen()
        #expect(copy.engine.recovery.damaged.isEmpty)
        for index in 0..<57 {
          if case .applied = try copy.put(Rig.keys[index], "old", at: 10 + UInt64(index)) { count += 1 }
        }
        for index in 57..<60 { #expect(try copy.value(Rig.keys[index]) == "newer") }
        #expect(copy.engine.status(id).tsnHead == 57)
      }
    }
    return count
  }

  @Test("the durable floor is that of a manifest that was written, and not the one in memory")
  func durableFloor() throws {
    var rig = try Self.rig()
    #expect(rig.engine.floor(Self.id) == stamp(156) && rig.engine.durableFloor(Self.id) == .zero)
    _ = try rig.put(Rig.keys[57], "newer", at: 300)
    try rig.engine.flush(on: &rig.disk)
    rig.now = rig.now.adding(milliseconds: 70_000)
    var steps = try #require(rig.engine.work(at: rig.now, on: &rig.disk))
    #expect(rig.engine.durableFloor(Self.id) == .zero, "the steps are not performed")
    rig.engine.abandonWork(.io(.append, path: "", errno: 28), at: rig.now)
    #expect(rig.engine.durableFloor(Self.id) == .zero, "they came to nothing")
    rig.now = rig.now.adding(milliseconds: 70_000)
    steps = try #require(rig.engine.work(at: rig.now, on: &rig.disk))
    for step in steps { try step.perform(on: &rig.disk) }
    rig.engine.completeWork()
    #expect(rig.engine.durableFloor(Self.id) == stamp(156))
    try rig.reopen()
    #expect(rig.engine.durableFloor(Self.id) == stamp(156) && rig.engine.floor(Self.id) == stamp(156))
  }
}
