import Causality
import Messages
import Primitives
import Simulation
import Storage

@testable import Replication

// Copies of a value that are under way while the key is deleted, and arrive when its tombstone has been forgotten: what
// nobody asked for, and what was asked for too long ago.

private let old = TestCluster.stamp(5)
private let deleted = TestCluster.stamp(9)

/// Deletes a key through a node and lets every owner forget it.
private func deleteForGood(_ cluster: TestCluster, _ key: String, through id: Int = 1) throws {
  let session = cluster.ask(id, delete(key))
  guard cluster.answer(session)?.isDeleted == true else { throw PathFailure("not deleted: \(key)") }
  guard cluster.collect() else { throw PathFailure("tombstones stay: \(cluster.tombstonesLeft)") }
}

struct PathFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension PathScenario {
  static let ofPushes: [PathScenario] = [
    PathScenario("P11 a put that arrives after the purge is refused", .floor) { (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.treat = { $0.isPush(to: 3) ? .hold : .deliver }
      cluster.ask(1, put("a", "old"))
      cluster.treat = { _ in .deliver }
      try deleteForGood(cluster, "a")
      cluster.release()
      let refused = cluster.counters(3).stalePushesRefused
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: refused)
    },

    PathScenario("P12 a put that arrives twice, once after the purge, is refused", .floor) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.ask(1, put("a", "old"))
      guard let push = cluster.sent.last(where: { $0.isPush(to: 3) }) else { throw PathFailure("no push") }
      try deleteForGood(cluster, "a")
      cluster.forge(push.message, from: push.from, to: push.to)
      cluster.advance(milliseconds: 100)
      let refused = cluster.counters(3).stalePushesRefused
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: refused)
    },

    PathScenario("P13 a repair that arrives after the purge is asked of all owners, and dropped", .floor) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      for id in 1...2 { cluster.plant(id, "a", "old", old) }
      cluster.advance(milliseconds: 300)
      cluster.treat = { $0.isPush(to: 3) { $0.kind == .repair } ? .hold : .deliver }
      cluster.ask(1, get("a", r: .all))
      cluster.advance(milliseconds: 100)
      guard !cluster.held.isEmpty else { throw PathFailure("no repair") }
      cluster.treat = { _ in .deliver }
      try deleteForGood(cluster, "a")
      cluster.release()
      cluster.advance(milliseconds: 2000)
      let dropped = cluster.counters(3).stalePushesDropped
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: dropped)
    },

    PathScenario("P14 a hint delivered after the purge is dropped", .floor) { (rules: Rules) throws -> PathEnding in
      let (cluster, owner) = try withLateHint(rules)
      try deleteForGood(cluster, "a", through: cluster.owners(of: "a")[0])
      cluster.treat = { _ in .deliver }
      cluster.release()
      cluster.advance(milliseconds: 10_000)
      guard cluster.hintsLeft == 0 else { throw PathFailure("the hint stays") }
      let dropped = cluster.counters(owner).stalePushesDropped
      cluster.spread("a")
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: dropped)
    },

    PathScenario("P19 a tombstone that arrives after its purge is not stored again", .floor) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.treat = { $0.isPush(to: 3) { $0.version.isTombstone } ? .hold : .deliver }
      cluster.ask(1, delete("a"))
      guard !cluster.held.isEmpty else { throw PathFailure("no push") }
      cluster.treat = { _ in .deliver }
      guard cluster.collect() else { throw PathFailure("tombstones stay") }
      cluster.release()
      return PathEnding(isBack: cluster.tombstonesLeft > 0, stops: cluster.counters(3).stalePushesRefused)
    },

    PathScenario("P21 an answer to a pull that a purge has overtaken creates nothing", .guardPulls) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      for index in 0..<20 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
      cluster.plant(2, "a", "old", old)
      cluster.advance(milliseconds: 300)
      cluster.treat = { letter in
        if case .pullReply = letter.message.body { return .hold }
        return .deliver
      }
      cluster.admin(1, .antiEntropy, session: 3)
      cluster.advance(milliseconds: 100)
      guard !cluster.held.isEmpty else { throw PathFailure("no answer") }
      for id in 1...3 { cluster.plant(id, "a", nil, deleted) }
      for id in 1...3 { cluster.purge(id, "a", deleted) }
      cluster.treat = { _ in .deliver }
      cluster.release()
      cluster.advance(milliseconds: 5000)
      let guarded = (1...3).reduce(0) { $0 + cluster.counters($1).antiEntropy.guarded }
      return PathEnding(isBack: !cluster.holders("a").isEmpty, stops: guarded)
    },
  ]

  /// Four nodes; the one that is no owner keeps the value of `a` for its last owner, who has got it otherwise by now, and
  /// what it hands over is held back.
  private static func withLateHint(_ rules: Rules) throws -> (TestCluster, owner: Int) {
    let cluster = TestCluster.forPaths(rules, nodes: 4)
    let owners = cluster.owners(of: "a")
    let (owner, keeper) = (owners[2], cluster.strangers(to: "a")[0])
    cluster.kill(owner)
    cluster.advance(milliseconds: 2000)
    cluster.ask(owners[0], put("a", "old", w: .all))
    guard cluster.hints(at: keeper, for: owner) == 1 else { throw PathFailure("no hint") }
    cluster.treat = {
      $0.isPush(to: owner) { $0.kind == .handoff } && $0.from == TestCluster.id(keeper) ? .hold : .deliver
    }
    cluster.start(owner, life: 1)
    cluster.advance(milliseconds: 3000)
    return (cluster, owner)
  }
}
