import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

extension TestCluster {
  /// A write that only one node has, and that was stamped so long ago.
  func lone(_ key: String, at id: Int, milliseconds: UInt64) throws {
    let version = StoredVersion(
      stamp: Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(7)), isTombstone: false,
      value: "lone".payload)
    guard let store = place(of: key)?.store else { return }
    try apply(version, key, to: store, at: id)
    advance(milliseconds: 10)
  }

  /// The same, stamped below the floor that all three have.
  func loneBelowFloor(_ key: String, at id: Int) throws {
    try lone(key, at: id, milliseconds: 1000)
    try raiseFloors(of: key, at: [1, 2, 3])
  }

  /// Takes the store of a key out of service, as one whose promises went backwards.
  func fence(_ id: Int, storeOf key: String) throws {
    guard let engine = self[id].node?.engine, let store = place(of: key)?.store, var disk = self[id].node?.disk else {
      return
    }
    defer { self[id].node?.disk = disk }
    let reason = StorageError.regressed(path: "\(store)", reason: "a test says so")
    for step in engine.fence(store, reason) { try step.perform(on: &disk) }
    engine.completeFence(store)
  }

  func role(_ id: Int, storeOf key: String) -> StoreRole? {
    place(of: key).flatMap { self[id].node?.engine?.role($0.store) }
  }
}

/// Above every floor: of the tests' wall clock.
private let recent: UInt64 = 1_700_001_030_000

@Suite("What a store held that was made anew")
struct SalvageTests {
  @Test("what is above the floor and nobody else has is kept")
  func kept() throws {
    let cluster = quietCluster(nodes: 3)
    try cluster.lone("a", at: 1, milliseconds: recent)
    try cluster.fence(1, storeOf: "a")
    cluster.advance(milliseconds: 8000)
    #expect(cluster.role(1, storeOf: "a") == .active)
    #expect(cluster.stored(1, "a") != nil && cluster.quarantined(1) == 0)
    #expect(cluster.counters(1).salvaged == 1)
    #expect(cluster.lines(1, "1 records were kept, and 0 values went to quarantine") == 1)
    // Its own are kept however it dies afterwards.
    cluster.kill(1, powerLoss: true)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.stored(1, "a") != nil)
  }

  @Test(
    "what is not above the floor and nobody else has goes to quarantine",
    arguments: [Rules.all, .all.without(.quarantine)])
  func quarantined(rules: Rules) throws {
    let cluster = quietCluster(nodes: 3, rules: rules)
    try cluster.loneBelowFloor("a", at: 1)
    try cluster.fence(1, storeOf: "a")
    cluster.advance(milliseconds: 8000)
    #expect(cluster.role(1, storeOf: "a") == .active)
    #expect((cluster.stored(1, "a") == nil) == (rules == .all))
    #expect(cluster.quarantined(1) == (rules == .all ? 1 : 0))
    guard rules == .all else { return }
    #expect(cluster.readable("a", through: [1, 2, 3]).isEmpty)
    #expect(cluster.counters(1).quarantined == 1)
    cluster.kill(1, powerLoss: true)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.quarantined(1) == 1)
  }

  @Test("what the others have newer, or have deleted, says nothing")
  func outdone() throws {
    let cluster = quietCluster(nodes: 3)
    try cluster.lone("a", at: 1, milliseconds: 1000)
    let deleted = try #require(cluster.neighbour(of: "a"))
    cluster.ask(2, put(deleted, "x", w: .all))
    cluster.treat = { letter in
      if case .push = letter.message.body, letter.to == TestCluster.id(1) { .drop } else { .deliver }
    }
    cluster.ask(2, put("a", "newer"))
    cluster.ask(2, delete(deleted))
    cluster.treat = { _ in .deliver }
    try cluster.fence(1, storeOf: "a")
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.role(1, storeOf: "a") == .active)
    #expect(cluster.ownCopy(1, "a") == "newer" && cluster.ownCopy(1, deleted) == nil)
    #expect(cluster.quarantined(1) == 0 && cluster.counters(1).salvaged == 0)
  }

  @Test("without room in the quarantine the store waits, and says why")
  func noRoom() throws {
    let cluster = TestCluster(nodes: 3) {
      $0.antiEntropyMilliseconds = 0
      $0.hintBytesMax = 20
    }
    try cluster.loneBelowFloor("a", at: 1)
    try cluster.fence(1, storeOf: "a")
    cluster.advance(milliseconds: 15_000)
    #expect(cluster.role(1, storeOf: "a") == .loading && cluster.quarantined(1) == 0)
    let waiting = try #require(cluster.status(1)?.antiEntropy.refills.first?.waiting)
    #expect(waiting.contains("quarantine"), "\(waiting)")
    #expect(cluster.readable("a", through: [1, 2, 3]).isEmpty)
  }

  @Test("the process dies at any operation of it, and nothing is lost or comes back")
  func dies() throws {
    var operations = 0
    for operation in stride(from: 1, through: 400, by: 3) {
      let cluster = quietCluster(nodes: 3)
      let kept = try #require(cluster.neighbour(of: "a"))
      try cluster.loneBelowFloor("a", at: 1)
      try cluster.lone(kept, at: 1, milliseconds: recent)
      cluster.advance(milliseconds: 100)
      try cluster.fence(1, storeOf: "a")
      let before = cluster[1].node?.disk.operationCount ?? 0
      cluster[1].node?.disk.diesAtOperation = before + operation
      cluster.advance(milliseconds: 1500)
      let hasDied = cluster[1].node?.disk.isDead == true
      cluster.kill(1)
      cluster.start(1, life: 1)
      cluster.advance(milliseconds: 9000)
      #expect(cluster.role(1, storeOf: "a") == .active, "operation \(operation)")
      #expect(cluster.stored(1, kept) != nil, "operation \(operation)")
      #expect(cluster.stored(1, "a") == nil && cluster.quarantined(1) == 1, "operation \(operation)")
      operations = operation
      if !hasDied { break }
    }
    #expect(operations > 10)
  }

  @Test("a store that is fenced once more while it is filled loses nothing of what it held first")
  func twice() throws {
    let cluster = quietCluster(nodes: 3)
    try cluster.lone("a", at: 1, milliseconds: recent)
    cluster.treat = TestCluster.withholdsExchanges
    try cluster.fence(1, storeOf: "a")
    cluster.advance(milliseconds: 3000)
    #expect(cluster.role(1, storeOf: "a") == .loading)
    try cluster.fence(1, storeOf: "a")
    cluster.advance(milliseconds: 3000)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.role(1, storeOf: "a") == .active)
    #expect(cluster.stored(1, "a") != nil)
  }

  @Test("the process dies at any operation of a second rebuild, and what was set aside first is gone through as well")
  func diesTwice() throws {
    var operations = 0
    for operation in stride(from: 1, to: 400, by: 2) {
      let cluster = quietCluster(nodes: 3)
      try cluster.lone("a", at: 1, milliseconds: recent)
      cluster.treat = TestCluster.withholdsExchanges
      try cluster.fence(1, storeOf: "a")
      cluster.advance(milliseconds: 3000)
      try cluster.fence(1, storeOf: "a")
      let before = cluster[1].node?.disk.operationCount ?? 0
      cluster[1].node?.disk.diesAtOperation = before + operation
      cluster.advance(milliseconds: 40)
      let hasDied = cluster[1].node?.disk.isDead == true
      cluster.kill(1, powerLoss: operation % 4 == 1)
      cluster.start(1, life: 1)
      cluster.treat = { _ in .deliver }
      cluster.advance(milliseconds: 9000)
      #expect(cluster.role(1, storeOf: "a") == .active, "operation \(operation)")
      #expect(cluster.stored(1, "a") != nil, "operation \(operation)")
      operations = operation
      if !hasDied { break }
    }
    #expect(operations > 10)
  }

  @Test("a store whose manifest does not read back, while it is filled, loses nothing of what it held first")
  func manifestDamaged() throws {
    let cluster = quietCluster(nodes: 3)
    try cluster.lone("a", at: 1, milliseconds: recent)
    let store = try #require(cluster.place(of: "a")?.store)
    cluster.treat = TestCluster.withholdsExchanges
    try cluster.fence(1, storeOf: "a")
    cluster.advance(milliseconds: 3000)
    #expect(cluster.role(1, storeOf: "a") == .loading)
    cluster.kill(1)
    cluster[1].disk?.overwrite("/data/stores/\(store)/manifest", with: [1, 2, 3])
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.role(1, storeOf: "a") == .active)
    #expect(cluster.stored(1, "a") != nil)
  }

  @Test(
    "what stands in the journal alone when a store is found damaged is gone through like the rest", arguments: 0..<4)
  func journalAlone(part: Int) throws {
    let cluster = quietCluster(nodes: 3)
    let first = try #require(cluster.neighbour(of: "a"))
    try cluster.lone(first, at: 1, milliseconds: 2000)
    let store = try #require(cluster.place(of: "a")?.store)
    // All of the data files so far is durable in a manifest.
    cluster.kill(1)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    let isBelow = part % 2 == 1
    try cluster.lone("a", at: 1, milliseconds: isBelow ? 1000 : recent)
    if isBelow { try cluster.raiseFloors(of: "a", at: [1, 2, 3]) }
    cluster.advance(milliseconds: 100)
    cluster.kill(1, powerLoss: true)
    if part < 2 {
      cluster[1].disk?.overwrite("/data/stores/\(store)/manifest", with: [1, 2, 3])
    } else {
      let disk = try #require(cluster[1].disk)
      let path = try #require(disk.paths.first { $0.contains("/stores/\(store)/") && $0.hasSuffix(".data") })
      cluster[1].disk?.flipBit(1, ofByte: 90, in: path)
      for hint in disk.paths where hint == String(path.dropLast(4)) + "hint" { try cluster[1].disk?.unlink(hint) }
    }
    // It dies once more before the store is made anew.
    cluster.treat = TestCluster.withholdsStates
    cluster.start(1, life: 2)
    #expect(cluster.role(1, storeOf: "a") == .fenced)
    cluster.kill(1, powerLoss: true)
    cluster.treat = { _ in .deliver }
    cluster.start(1, life: 3)
    cluster.advance(milliseconds: 15_000)
    #expect(cluster.role(1, storeOf: "a") == .active)
    if isBelow {
      // The other key was deleted, which stood in the journal alone as well.
      #expect(cluster.stored(1, "a") == nil)
      #expect(cluster.entries(1, session: 500).map(\.key) == ["a".objectKey])
    } else {
      #expect(cluster.stored(1, "a") != nil && cluster.quarantined(1) == 0)
    }
    #expect(cluster.readable("a", through: [1, 2, 3]).isEmpty == isBelow)
  }

  @Test("two nodes full of hints for each other, whose stores are both filled, do not wait for each other")
  func fullOfHints() throws {
    let cluster = TestCluster(nodes: 3, partitions: 1) {
      $0.antiEntropyMilliseconds = 0
      $0.hintBytesMax = 250
    }
    for id in 1...2 { try cluster.lone("a\(id)", at: id, milliseconds: 1000) }
    try cluster.raiseFloors(of: "a1", at: [1, 2, 3])
    cluster.treat = { letter in isHandoff(letter) ? .drop : .deliver }
    for id in 1...2 {
      try cluster.fillHints(id, for: 3 - id, besides: "a1")
      #expect(cluster.hints(at: id, for: 3 - id) > 0)
      try cluster.fence(id, storeOf: "a\(id)")
    }
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 40_000)
    for id in 1...2 {
      #expect(cluster.role(id, storeOf: "a\(id)") == .active, "n\(id)")
      #expect(cluster.quarantined(id) >= 1, "n\(id)")
      #expect(cluster.stored(id, "a\(id)") == nil, "n\(id)")
    }
  }

  @Test("hints for a store that is made anew wait until it serves, and then each is settled and none is lost")
  func hintsAfterwards() throws {
    let cluster = quietCluster(nodes: 4)
    let owners = cluster.owners(of: "a")
    let keeper = try #require(cluster.strangers(to: "a").first)
    let store = try #require(cluster.place(of: "a")?.store)
    let keys = (0..<1000).map { "h\($0)" }.filter { cluster.place(of: $0)?.store == store }
    let (known, gone, above) = (keys[0], keys[1], keys[2])
    func version(_ milliseconds: UInt64) -> StoredVersion {
      StoredVersion(
        stamp: Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(7)), isTombstone: false,
        value: "hinted".payload)
    }
    try cluster.apply(version(1000), known, to: store, at: owners[1])
    try cluster.raiseFloors(of: "a", at: owners)
    cluster.treat = TestCluster.withholdsExchanges
    try cluster.fence(owners[0], storeOf: "a")
    cluster.advance(milliseconds: 2000)
    for (key, milliseconds) in [(known, 1000), (gone, 1000), (above, recent)] {
      try cluster.apply(version(milliseconds), key, to: .hints(for: TestCluster.id(owners[0])), at: keeper)
    }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.role(owners[0], storeOf: "a") == .loading && cluster.hints(at: keeper, for: owners[0]) == 3)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.role(owners[0], storeOf: "a") == .active && cluster.hints(at: keeper, for: owners[0]) == 0)
    #expect(cluster.stored(owners[0], above) != nil && cluster.stored(owners[0], known) != nil)
    #expect(cluster.stored(owners[0], gone) == nil && cluster.quarantined(owners[0]) == 1)
  }

  @Test("with no owner's store serving, the one that has purged most goes on, and the others are filled from it")
  func nobody() throws {
    let cluster = quietCluster(nodes: 3)
    let deleted = "a"
    let other = try #require(cluster.neighbour(of: "a"))
    cluster.ask(1, put(deleted, "x", w: .all))
    cluster.ask(1, put(other, "everywhere", w: .all))
    cluster.ask(1, delete(deleted))
    try cluster.purge(deleted, at: [1, 2, 3])
    let store = try #require(cluster.place(of: deleted)?.store)
    for id in 1...3 { try cluster.fence(id, storeOf: "a") }
    cluster.advance(milliseconds: 30_000)
    for id in 1...3 {
      #expect(cluster.role(id, storeOf: "a") == .active, "n\(id)")
      #expect(cluster.ownCopy(id, other) == "everywhere" && cluster.stored(id, deleted)?.isTombstone ?? true, "n\(id)")
      #expect(cluster[id].node?.engine?.floor(store) ?? .zero > .zero)
    }
  }

  @Test(
    "of owners that have all lost something one goes on that has something left", arguments: [1, 2, 3], [false, true])
  func nobodyEmpty(empty: Int, hasFloor: Bool) throws {
    let cluster = quietCluster(nodes: 3)
    let other = try #require(cluster.neighbour(of: "a"))
    cluster.ask(1, put(other, "everywhere", w: .all))
    if hasFloor {
      cluster.ask(1, put("a", "x", w: .all))
      cluster.ask(1, delete("a"))
      try cluster.purge("a", at: [1, 2, 3])
    }
    cluster.advance(milliseconds: 1000)
    let store = try #require(cluster.place(of: "a")?.store)
    cluster.kill(empty)
    for id in 1...3 where id != empty { try cluster.fence(id, storeOf: "a") }
    cluster.removeStore(empty, "\(store)")
    cluster.advance(milliseconds: 3000)
    cluster.start(empty, life: 1)
    cluster.advance(milliseconds: 40_000)
    for id in 1...3 { #expect(cluster.role(id, storeOf: "a") == .active, "n\(id)") }
    for id in 1...3 { #expect(cluster.ownCopy(id, other) == "everywhere", "n\(id)") }
  }

  @Test("with nothing left at those that are up nobody goes on before one that has something is back")
  func nobodyWaits() throws {
    let cluster = quietCluster(nodes: 3)
    let other = try #require(cluster.neighbour(of: "a"))
    cluster.ask(1, put(other, "everywhere", w: .all))
    cluster.advance(milliseconds: 1000)
    let store = try #require(cluster.place(of: "a")?.store)
    try cluster.fence(3, storeOf: "a")
    for id in 1...3 { cluster.kill(id) }
    for id in 1...2 { cluster.removeStore(id, "\(store)") }
    for id in 1...2 { cluster.start(id, life: 1) }
    cluster.advance(milliseconds: 20_000)
    for id in 1...2 { #expect(cluster.role(id, storeOf: "a") == .loading, "n\(id)") }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 40_000)
    for id in 1...3 { #expect(cluster.role(id, storeOf: "a") == .active, "n\(id)") }
    for id in 1...3 { #expect(cluster.ownCopy(id, other) == "everywhere", "n\(id)") }
  }

  @Test("a partition without keys serves again though all its owners were fenced")
  func nobodyEmpty() throws {
    let cluster = quietCluster(nodes: 3)
    for id in 1...3 { try cluster.fence(id, storeOf: "a") }
    cluster.advance(milliseconds: 60_000)
    for id in 1...3 { #expect(cluster.role(id, storeOf: "a") == .active, "n\(id)") }
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1")))).isStored)
  }

  @Test("one whose files are gone is not what the others are filled from, whatever it had purged")
  func nobodyHollow() throws {
    let cluster = quietCluster(nodes: 3)
    let other = try #require(cluster.neighbour(of: "a"))
    cluster.ask(1, put(other, "everywhere", w: .all))
    try cluster.lone("a", at: 1, milliseconds: 2000)
    try cluster.forget("a", at: 1)
    // Its floor is in its manifest by then.
    cluster.advance(milliseconds: 120_000)
    let store = try #require(cluster.place(of: "a")?.store)
    for id in 1...3 { try cluster.fence(id, storeOf: "a") }
    for id in 1...3 { cluster.kill(id) }
    if var disk = cluster[1].disk {
      for path in disk.paths where path.contains("/stores/\(store)/") && !path.hasSuffix("/manifest") {
        try disk.unlink(path)
      }
      cluster[1].disk = disk
    }
    for id in 1...3 { cluster.start(id, life: 1) }
    cluster.advance(milliseconds: 60_000)
    for id in 1...3 { #expect(cluster.role(id, storeOf: "a") == .active, "n\(id)") }
    for id in 1...3 { #expect(cluster.ownCopy(id, other) == "everywhere", "n\(id)") }
  }

  @Test("and it is one alone, wherever the floors are; one that is down is waited for", arguments: 1...3)
  func nobodyOne(highest: Int) throws {
    let cluster = quietCluster(nodes: 3)
    let other = try #require(cluster.neighbour(of: "a"))
    cluster.ask(1, put(other, "everywhere", w: .all))
    // One owner has purged "a" and more; another has it still, as after a restore.
    let holder = highest % 3 + 1
    let third = 6 - highest - holder
    try cluster.lone("a", at: highest, milliseconds: 2000)
    try cluster.forget("a", at: highest)
    try cluster.lone("a", at: holder, milliseconds: 1000)
    for id in 1...3 { try cluster.fence(id, storeOf: "a") }
    cluster.kill(third)
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.role(highest, storeOf: "a") != .active && cluster.role(holder, storeOf: "a") != .active)
    cluster.start(third, life: 1)
    cluster.advance(milliseconds: 20_000)
    for id in 1...3 { #expect(cluster.role(id, storeOf: "a") == .active, "n\(id)") }
    #expect(cluster.readable("a", through: [1, 2, 3]).isEmpty)
    // The tombstone, which still stood in a file, is the answer to it.
    #expect(cluster.stored(holder, "a")?.isTombstone ?? true)
    for id in 1...3 { #expect(cluster.ownCopy(id, other) == "everywhere") }
  }
}
