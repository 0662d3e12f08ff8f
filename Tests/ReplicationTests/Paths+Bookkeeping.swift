import Causality
import Messages
import Primitives
import Simulation
import Storage

@testable import Replication

// What owners tell each other of their tombstones, out of order, for ever, or about another key.

private let old = TestCluster.stamp(5)
private let deleted = TestCluster.stamp(9)

extension PathScenario {
  static let ofBookkeeping: [PathScenario] = [
    PathScenario("P69 owners do not hand a forgotten tombstone to each other", .echo) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      for id in 1...3 { cluster.plant(id, "a", nil, deleted) }
      cluster.advance(milliseconds: 5000)
      let start = cluster.sent.count
      cluster.advance(milliseconds: 5000)
      let feeds = cluster.sent[start...].count { $0.isFeed }
      return PathEnding(isBack: feeds > 0, stops: cluster.sum(\.purged))
    },

    PathScenario("P70 a tombstone is forgotten, and not what was written after it", .exactPurge) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.treat = { letter in letter.isFeed && letter.from == TestCluster.id(3) ? .drop : .deliver }
      for id in 1...3 { cluster.plant(id, "a", nil, deleted) }
      cluster.advance(milliseconds: 2000)
      for id in 1...3 { cluster.plant(id, "a", "new", TestCluster.stamp(12)) }
      cluster.treat = { _ in .deliver }
      cluster.advance(milliseconds: 5000)
      return PathEnding(isBack: cluster.holders("a").count < 3, stops: cluster.holders("a").count)
    },
  ]
}
