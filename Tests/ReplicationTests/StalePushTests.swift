import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

/// Owners of "a" in a cluster of four, one of which keeps a hint of a write for another, and gives it nobody.
private struct LateHint {
  let cluster: TestCluster
  let key = "a"
  let owners: [Int]
  let keeper: Int

  /// The last owner slept when the key was written; it is up again, and its hint has not reached it.
  init(rules: Rules = .all) throws {
    cluster = quietCluster(rules: rules)
    owners = cluster.owners(of: key)
    keeper = try #require(cluster.strangers(to: key).first)
    cluster.kill(owners[2])
    cluster.treat = { isHandoff($0) ? .drop : .deliver }
    #expect(cluster.answer(cluster.ask(owners[0], put(key, "late")))?.isStored == true)
    #expect(cluster.hints(at: keeper, for: owners[2]) == 1)
    cluster.start(owners[2], life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.hints(at: keeper, for: owners[2]) == 1 && cluster.stored(owners[2], key) == nil)
  }

  func deleteAndPurge() throws {
    #expect(cluster.answer(cluster.ask(owners[0], delete(key)))?.isDeleted == true)
    #expect(try cluster.purge(key, at: owners))
  }

  func deliver() {
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
  }

  var hints: Int { cluster.hints(at: keeper, for: owners[2]) }
}

@Suite("Pushes that are not above the floor")
struct StalePushTests {
  @Test("a hint delivered after the purge is dropped, and its value is kept in quarantine")
  func lateHint() throws {
    let late = try LateHint()
    try late.deleteAndPurge()
    late.deliver()
    #expect(late.hints == 0)
    #expect(late.cluster.readable("a", through: [1, 2, 3, 4]).isEmpty)
    #expect(late.cluster.quarantined(late.owners[2]) == 1)
    #expect(late.cluster.counters(late.owners[2]).stalePushesDropped == 1)
    #expect(late.cluster.counters(late.owners[2]).quarantined == 1)
    // It is there after a restart, and nobody has it but the quarantine.
    late.cluster.kill(late.owners[2], powerLoss: true)
    late.cluster.start(late.owners[2], life: 2)
    late.cluster.advance(milliseconds: 3000)
    #expect(late.cluster.quarantined(late.owners[2]) == 1)
    #expect(late.cluster.readable("a", through: [1, 2, 3, 4]).isEmpty)
  }

  @Test("a hint is kept until what becomes of it is durable")
  func durableFirst() throws {
    let late = try LateHint()
    try late.deleteAndPurge()
    late.cluster.holdsSyncs = [TestCluster.id(late.owners[2])]
    late.cluster.treat = { _ in .deliver }
    late.cluster.advance(milliseconds: 12_000)
    #expect(late.hints == 1 && late.cluster.quarantined(late.owners[2]) == 1)
    late.cluster.holdsSyncs = []
    late.cluster.releaseSync(late.owners[2])
    late.cluster.advance(milliseconds: 20_000)
    #expect(late.hints == 0 && late.cluster.quarantined(late.owners[2]) == 1)
  }

  @Test("a hint is kept until the tombstone that makes it superfluous is durable where it is")
  func durableElsewhere() throws {
    let late = try LateHint()
    let cluster = late.cluster
    let (holder, owner) = (late.owners[0], late.owners[2])
    try cluster.raiseFloors(of: "a", at: late.owners)
    // One owner alone has the tombstone, and not on its disk yet.
    cluster.holdsSyncs = [TestCluster.id(holder)]
    let value = try #require(cluster.stored(holder, "a")?.stamp)
    cluster.plant(holder, "a", nil, Stamp(time: HybridTime(value.time.rawValue + 1), actor: value.actor))
    cluster.advance(milliseconds: 10)
    #expect(cluster[holder].heldSync != nil && cluster.stored(owner, "a") == nil)
    cluster.treat = { letter in letter.isFeed ? .drop : .deliver }
    cluster.advance(milliseconds: 12_000)
    #expect(late.hints == 1)
    cluster.holdsSyncs = []
    cluster.releaseSync(holder)
    cluster.advance(milliseconds: 20_000)
    #expect(late.hints == 0 && cluster.quarantined(owner) == 0)
  }

  @Test("what the other owners hold is brought here, though it is not above the floor")
  func missedWrite() throws {
    let late = try LateHint()
    try late.cluster.raiseFloors(of: "a", at: late.owners)
    late.deliver()
    #expect(late.hints == 0)
    #expect(late.cluster.stored(late.owners[2], "a") != nil)
    #expect(late.cluster.stored(late.owners[2], "a") == late.cluster.stored(late.owners[0], "a"))
    #expect(late.cluster.quarantined(late.owners[2]) == 0)
    #expect(late.cluster.counters(late.owners[2]).stalePushesPulled == 1)
  }

  @Test("a hint is kept while an owner cannot be asked", arguments: [Rules.all, .all.without(.validatedPull)])
  func ownerDown(rules: Rules) throws {
    let late = try LateHint(rules: rules)
    let cluster = late.cluster
    try cluster.raiseFloors(of: "a", at: late.owners)
    // Of the owners one alone has the write still, and that one is down.
    let holder = late.owners[1]
    try cluster.forget("a", at: late.owners[0])
    cluster.kill(holder)
    late.deliver()
    #expect(late.hints == (rules == .all ? 1 : 0))
    #expect(cluster.quarantined(late.owners[2]) == (rules == .all ? 0 : 1))
    guard rules == .all else { return }
    #expect(cluster.counters(late.owners[2]).stalePushesPutOff > 0)
    let reason = cluster.status(late.keeper)?.hints.first { $0.count > 0 }?.state
    #expect("\(String(describing: reason))".contains("cannot ask every other owner"))
    cluster.start(holder, life: 1)
    cluster.advance(milliseconds: 60_000)
    #expect(late.hints == 0 && cluster.quarantined(late.owners[2]) == 0)
    #expect(cluster.stored(late.owners[2], "a") != nil)
  }

  @Test("an older version at another owner does not stand in the way of a hint that lost nothing")
  func olderElsewhere() throws {
    let cluster = quietCluster()
    let owners = cluster.owners(of: "a")
    cluster.ask(owners[0], put("a", "old"))
    cluster.kill(owners[2])
    cluster.treat = { isHandoff($0) ? .drop : .deliver }
    cluster.ask(owners[0], put("a", "new"))
    cluster.start(owners[2], life: 1)
    cluster.advance(milliseconds: 3000)
    try cluster.forget("a", at: owners[2])
    try cluster.raiseFloors(of: "a", at: owners)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.hintsLeft == 0)
    #expect(cluster.ownCopy(owners[2], "a") == "new")
  }

  @Test("a tombstone that comes late as a hint is not written once more, and goes to no quarantine")
  func lateTombstone() throws {
    let cluster = quietCluster()
    let owners = cluster.owners(of: "a")
    cluster.ask(owners[0], put("a", "v"))
    cluster.treat = { letter in
      if isHandoff(letter) { return .drop }
      if case .push(let push) = letter.message.body, push.version.isTombstone, letter.to == TestCluster.id(owners[2]) {
        return .drop
      }
      return .deliver
    }
    let session = cluster.ask(owners[0], delete("a"))
    cluster.advance(milliseconds: 6000)
    #expect(cluster.answer(session)?.isDeleted == true)
    #expect(cluster.hintsLeft == 1)
    cluster.treat = { isHandoff($0) ? .drop : .deliver }
    cluster.ask(owners[0], get("a", r: .all))
    cluster.advance(milliseconds: 100)
    #expect(try cluster.purge("a", at: owners))
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.hintsLeft == 0)
    for owner in owners { #expect(cluster.stored(owner, "a") == nil && cluster.quarantined(owner) == 0) }
  }

  @Test("a read repair that arrives after the purge brings nothing back")
  func lateRepair() throws {
    let late = try LateHint()
    let cluster = late.cluster
    cluster.treat = { letter in
      if case .push(let push) = letter.message.body, push.kind == .repair { return .hold }
      return isHandoff(letter) ? .drop : .deliver
    }
    #expect(cluster.answer(cluster.ask(late.owners[0], get("a", r: .all)))?.text == "late")
    #expect(!cluster.held.isEmpty)
    try late.deleteAndPurge()
    cluster.treat = { isHandoff($0) ? .drop : .deliver }
    cluster.release()
    cluster.advance(milliseconds: 1000)
    #expect(cluster.readable("a", through: [1, 2, 3, 4]).isEmpty)
    #expect(cluster.stored(late.owners[2], "a") == nil && cluster.quarantined(late.owners[2]) == 0)
    #expect(cluster.counters(late.owners[2]).stalePushesDropped == 1)
  }

  @Test("a quarantine without room makes the hint wait, and says so")
  func noRoom() throws {
    let cluster = TestCluster(nodes: 4) { $0.hintBytesMax = 200 }
    let owners = cluster.owners(of: "a")
    cluster.kill(owners[2])
    cluster.treat = { isHandoff($0) ? .drop : .deliver }
    cluster.ask(owners[0], put("a", String(repeating: "x", count: 50)))
    #expect(cluster.hintsLeft == 1)
    cluster.start(owners[2], life: 1)
    cluster.advance(milliseconds: 3000)
    cluster.ask(owners[0], delete("a"))
    #expect(try cluster.purge("a", at: owners))
    // Another value leaves no room there.
    let stranger = try #require(cluster.strangers(to: "a").first)
    try cluster.setAside("b", String(repeating: "x", count: 60), at: owners[2])
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.hints(at: stranger, for: owners[2]) == 1)
    #expect(cluster.quarantined(owners[2]) == 1 && cluster.counters(owners[2]).quarantineRefused > 0)
    #expect(cluster.lines(owners[2], "a value for the quarantine waits where it is") > 0)
  }

  @Test("many late hints are settled, and none is lost on the way", arguments: [20, 300])
  func many(count: Int) throws {
    let cluster = quietCluster(nodes: 3)
    cluster.kill(3)
    cluster.treat = { isHandoff($0) ? .drop : .deliver }
    for index in 0..<count { cluster.ask(1, put("k\(index)", "\(index)")) }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 3000)
    let keys = (0..<count).map { "k\($0)" }
    for key in keys where Int(key.dropFirst())! % 2 == 0 {
      #expect(cluster.answer(cluster.ask(1, delete(key)))?.isDeleted == true)
    }
    for key in keys where Int(key.dropFirst())! % 2 == 0 { #expect(try cluster.purge(key, at: [1, 2, 3])) }
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.hintsLeft == 0)
    #expect(cluster.quarantined(3) == count / 2)
    for (index, key) in keys.enumerated() { #expect(cluster.ownCopy(3, key) == (index % 2 == 0 ? nil : "\(index)")) }
  }
}
