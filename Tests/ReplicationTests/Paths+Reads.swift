import Causality
import Messages
import Primitives
import Simulation
import Storage

@testable import Replication

// Reads that meet an old copy: of a node that stands in, or of an owner that had not got the tombstone when it answered.

private let deleted = TestCluster.stamp(9)

extension PathScenario {
  static let ofReads: [PathScenario] = [
    PathScenario("P26 a hint below the floor does not count in a read", .readFloor) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules, nodes: 4) { $0.requestTimeoutMilliseconds = 1000 }
      let owners = cluster.owners(of: "a")
      let keeper = cluster.strangers(to: "a")[0]
      cluster.kill(owners[2])
      cluster.advance(milliseconds: 2000)
      cluster.ask(owners[0], put("a", "old", w: .all))
      guard cluster.hints(at: keeper, for: owners[2]) == 1 else { throw PathFailure("no hint") }
      cluster.treat = { $0.isPush(to: owners[2]) { $0.kind == .handoff } ? .drop : .deliver }
      cluster.start(owners[2], life: 1)
      cluster.advance(milliseconds: 3000)
      cluster.ask(owners[0], delete("a"))
      guard cluster.collect() else { throw PathFailure("tombstones stay") }
      for owner in owners[1...] { cluster.kill(owner) }
      cluster.advance(milliseconds: 2000)
      let read = cluster.ask(owners[0], get("a"))
      cluster.advance(milliseconds: 2000)
      return PathEnding(isBack: cluster.answer(read)?.text != nil, stops: cluster.sum(\.withdrawnReads))
    },

    PathScenario("P27 an owner that had not got the tombstone is asked once more") {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules, nodes: 4)
      let owners = cluster.owners(of: "a").map(TestCluster.id)
      cluster.everywhere("a")
      cluster.treat = { letter in
        switch letter.message.body {
        case .read: letter.to == owners[1] ? .deliver : .hold
        case .readReply: .hold
        default: .deliver
        }
      }
      let read = cluster.ask(cluster.strangers(to: "a")[0], get("a", r: .all))
      for owner in cluster.owners(of: "a") { cluster.plant(owner, "a", nil, deleted) }
      cluster.treat = { _ in .deliver }
      guard cluster.collect() else { throw PathFailure("tombstones stay") }
      guard cluster.answer(read) == nil else { throw PathFailure("answered too soon") }
      cluster.release()
      cluster.advance(milliseconds: 1000)
      return PathEnding(isBack: cluster.answer(read)?.text != nil, stops: cluster.sum(\.revalidatedReads))
    },

    PathScenario("P30 a listing reads a key that one owner told and another may have purged", .reAsk) {
      (rules: Rules) throws -> PathEnding in
      let cluster = TestCluster.forPaths(rules)
      cluster.everywhere("a")
      cluster.treat = { letter in
        if case .list = letter.message.body { .hold } else { .deliver }
      }
      // This node's own page is there at once, with the value.
      let listing = cluster.list(1)
      for id in 1...3 { cluster.plant(id, "a", nil, deleted) }
      for id in 2...3 {
        guard cluster.purge(id, "a", deleted) == .purged else { throw PathFailure("n\(id) has no tombstone") }
      }
      cluster.treat = { _ in .deliver }
      cluster.release()
      cluster.advance(milliseconds: 1000)
      guard cluster.listings[listing]?.last == .end else { throw PathFailure("the listing has not ended") }
      return PathEnding(
        isBack: cluster.listings[listing]?.names == ["a"], stops: cluster.sum(\.revalidatedReads))
    },
  ]
}
