import Causality
import Messages
import Primitives
import Simulation
import Storage

@testable import Replication

// Nodes that come back with less than they had: an older copy of their disk, an empty one, a part of it.

private let old = TestCluster.stamp(5)
private let deleted = TestCluster.stamp(9)

extension PathScenario {
  static let ofAmnesia: [PathScenario] = [
    PathScenario("P37 a node that comes back with an empty disk is not taken for new", .genesis) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.treat = { letter in letter.isFeed ? .drop : .deliver }
      for id in [1, 3] { cluster.plant(id, "a", nil, deleted) }
      cluster.advance(milliseconds: 300)
      cluster.kill(3)
      cluster.wipe(3)
      cluster.treat = { letter in
        switch letter.message.body {
        case .compare, .pull, .storeStatesReply: .drop
        default: .deliver
        }
      }
      cluster.start(3, life: 1)
      cluster.advance(milliseconds: 3000)
      let read = cluster.ask(2, get("a"))
      let waiting = cluster[3].node?.engine.map { engine in engine.storeIDs.count { engine.role($0) == .loading } }
      return PathEnding(isBack: cluster.answer(read)?.text != nil, stops: waiting ?? 0)
    },

    PathScenario("P41 an older copy of a disk is found out, and its store made anew", .fence) {
      (rules: Rules) throws -> PathEnding in
      let (cluster, copy) = try withCopy(rules)
      cluster.restore(3, copy)
      cluster.advance(milliseconds: 10_000)
      let found = cluster.sum(\.regressions)
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: found)
    },

    PathScenario("P42 what nobody else has, and was deleted, is kept apart when a store is made anew", .quarantine) {
      (rules: Rules) throws -> PathEnding in
      let (cluster, copy) = try withCopy(rules)
      cluster.restore(3, copy)
      cluster.advance(milliseconds: 10_000)
      let apart = cluster.sum(\.quarantined)
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: apart)
    },

    PathScenario("P44 a disk that lost what it had synced is found out at the next feed", .fence) {
      (rules: Rules) throws -> PathEnding in
      let (cluster, copy) = try withCopy(rules)
      // Only the data went back: the process restarts within the same second.
      cluster.kill(3, powerLoss: true)
      cluster[3].disk = copy
      cluster.start(3, life: 1)
      cluster.advance(milliseconds: 10_000)
      let found = cluster.sum(\.regressions)
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: found)
    },
  ]

  /// A key that everybody had, was deleted, and forgotten; and what the disk of node 3 was before the delete.
  private static func withCopy(_ rules: Rules) throws -> (TestCluster, SimulatedDisk?) {
    let cluster = TestCluster.forPaths(rules)
    cluster.everywhere("a")
    cluster.ask(1, put("b", "other", w: .all))
    cluster.advance(milliseconds: 1000)
    let copy = cluster.copyOfDisk(3)
    cluster.ask(2, delete("a"))
    guard cluster.collect() else { throw PathFailure("tombstones stay") }
    return (cluster, copy)
  }
}
