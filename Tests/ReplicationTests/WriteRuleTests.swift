import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Rules of writes, each missed when it is off")
struct WriteRuleTests {
  @Test(
    "a put that learns late of something newer is not stamped anew", arguments: [Rules.all, .all.without(.oneStamp)])
  func oneStamp(rules: Rules) throws {
    let cluster = quietCluster(nodes: 3, rules: rules)
    cluster.treat = { letter in
      if case .pushReply = letter.message.body, letter.from == TestCluster.id(2) { .hold } else { .deliver }
    }
    let place = try #require(cluster.place(of: "a"))
    // A bit ahead of the put, as by another coordinator.
    let wall = cluster.moment(cluster[1]).wallMilliseconds
    let newer = StoredVersion(
      stamp: Stamp(time: HybridTime(milliseconds: wall + 50), actor: ActorID(7)), isTombstone: false,
      value: "b".payload)
    try cluster.apply(newer, "a", to: place.store, at: 2)
    #expect(cluster.answer(cluster.ask(1, put("a", "v")))?.isStored == true)
    cluster.advance(milliseconds: 100)
    #expect(cluster.answer(cluster.ask(1, delete("a")))?.isDeleted == true)
    cluster.treat = { _ in .deliver }
    cluster.release()
    #expect(cluster.ownCopy(1, "a") == (rules == .all ? nil : "v"))
  }

  @Test(
    "a delete that cannot be told \"not found\" has its tombstone",
    arguments: [Rules.all, .all.without(.deleteOfNothing)])
  func deleteOfNothing(rules: Rules) throws {
    let cluster = quietCluster(nodes: 3, rules: rules)
    // An earlier put is still on its way to everybody but has been applied by nobody.
    #expect(cluster.answer(cluster.ask(1, delete("a", always: true)))?.isDeleted == true)
    #expect((cluster.stored(1, "a")?.isTombstone ?? false) == (rules == .all))
    try cluster.lone("a", at: 2, milliseconds: 1000)
    #expect((cluster.stored(2, "a")?.isTombstone ?? false) == (rules == .all))
  }

  @Test("a hint keeps the stamp of its write", arguments: [Rules.all, .all.without(.hintStamp)])
  func hintStamp(rules: Rules) throws {
    let cluster = quietCluster(nodes: 3, rules: rules)
    cluster.kill(3)
    cluster.treat = { isHandoff($0) ? .drop : .deliver }
    cluster.ask(1, put("a", "v"))
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.answer(cluster.ask(1, delete("a")))?.isDeleted == true)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.hintsLeft == 0)
    #expect(cluster.readable("a", through: [1, 2, 3]).isEmpty == (rules == .all))
  }
}
