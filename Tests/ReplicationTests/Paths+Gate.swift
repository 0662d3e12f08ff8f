import Causality
import Messages
import Primitives
import Simulation
import Storage

@testable import Replication

// Tombstones that are forgotten too soon: by owners who have not all got them, or do not hold them for good.

private let old = TestCluster.stamp(5)
private let deleted = TestCluster.stamp(9)

extension PathScenario {
  static let ofTheGate: [PathScenario] = [
    PathScenario("P1 a tombstone waits for the owner that is down", .acknowledgements) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.kill(3)
      for id in 1...2 { cluster.plant(id, "a", nil, deleted) }
      cluster.advance(milliseconds: 5000)
      let waiting = cluster.tombstonesLeft
      cluster.start(3, life: 1)
      cluster.advance(milliseconds: 3000)
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: waiting)
    },

    PathScenario("P57 an expired value keeps away the one before it, until everybody knows", .expiry) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.kill(3)
      for id in 1...2 { cluster.plant(id, "a", "short", deleted, until: cluster.expiry(inMilliseconds: 1000)) }
      cluster.advance(milliseconds: 200_000, tick: 100)
      cluster.start(3, life: 1)
      cluster.advance(milliseconds: 3000)
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: cluster.sum(\.buried))
    },

    PathScenario("P2 an acknowledgement is said when it is durable", .durableCursor) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.holdsSyncs = [TestCluster.id(3)]
      for id in 1...2 { cluster.plant(id, "a", nil, deleted) }
      cluster.advance(milliseconds: 4000)
      let waiting = cluster.tombstones(1) ?? 0
      cluster.holdsSyncs = []
      cluster.kill(3, powerLoss: true)
      cluster.start(3, life: 1)
      cluster.advance(milliseconds: 3000)
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: waiting)
    },

    PathScenario("P3 who forgets a tombstone holds it for good") {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.holdsSyncs = [TestCluster.id(1)]
      cluster.plant(1, "a", nil, deleted)
      cluster.advance(milliseconds: 4000)
      let waiting = cluster.tombstones(1) ?? 0
      cluster.holdsSyncs = []
      cluster.kill(1, powerLoss: true)
      // Before anybody tells it.
      cluster.treat = { _ in .drop }
      cluster.start(1, life: 1)
      let isBack = waiting == 0 && cluster.holders("a").contains(1)
      return PathEnding(isBack: isBack, stops: waiting)
    },

    PathScenario("P7 a tombstone is stored where its key is absent", .storeAbsent) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.plant(2, "a", "old", old)
      cluster.advance(milliseconds: 300)
      cluster.treat = { letter in
        if case .pullReply = letter.message.body, letter.to == TestCluster.id(3) { return .hold }
        return .deliver
      }
      cluster.admin(3, .antiEntropy, session: 3)
      cluster.advance(milliseconds: 200)
      guard !cluster.held.isEmpty else { throw PathFailure("no answer") }
      cluster.plant(1, "a", nil, deleted)
      cluster.advance(milliseconds: 3000)
      let stored = cluster.counters(3).feedEntriesApplied
      cluster.treat = { _ in .deliver }
      cluster.release()
      cluster.advance(milliseconds: 3000)
      cluster.collect()
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: stored)
    },

    PathScenario("P29 two sides of a cut agree on the delete, once they have met", .acknowledgements) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.treat = { [$0.from, $0.to].contains(TestCluster.id(1)) ? .drop : .deliver }
      cluster.advance(milliseconds: 3000)
      for id in 2...3 { cluster.plant(id, "a", nil, deleted) }
      cluster.advance(milliseconds: 5000)
      let waiting = cluster.tombstonesLeft
      cluster.treat = { _ in .deliver }
      cluster.advance(milliseconds: 5000)
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: waiting)
    },
  ]
}
