import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

// The reasons that last for a moment only, unless something goes wrong: each is made to last, read, and ended. Those that
// operators meet are in `TombstoneViewTests`, and on real nodes in the system tests.

@Suite("What keeps a tombstone for a moment only is told as well, and goes with its reason")
struct TombstoneReasonTests {
  @Test("an owner that goes by another list of owners")
  func otherOwners() throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    // With its answers, which say that what it told before them is old.
    cluster.treat = { letter in
      guard letter.from == NodeID(3) && letter.to == NodeID(1) else { return .deliver }
      if case .storeStatesReply = letter.message.body { return .drop }
      return TestCluster.withholdsStates(letter)
    }
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 1000)
    #expect(cluster.firstBlockers(1) == ["n3 cursor_lag"])
    // What was lost on the way arrives after all, and says so.
    var letter = try #require(cluster.lastStates(from: 3, to: 1))
    guard case .storeStates(var states) = letter.body else { return }
    for index in states.states.indices { states.states[index].configID ^= 1 }
    letter.body = .storeStates(states)
    cluster.forge(letter, from: NodeID(3), to: NodeID(1))
    cluster.advance(milliseconds: 10)
    #expect(cluster.firstBlockers(1) == ["n3 other_owners"])
    // A node has its list from its start.
    cluster.kill(3)
    cluster.start(3, life: 1)
    cluster.untilCollected()
  }

  @Test("an owner that started again, and has not been looked into since")
  func unvalidated() {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    cluster.kill(3)
    cluster.ask(1, delete("a"))
    cluster.treat = { letter in
      letter.from == NodeID(3) || letter.to == NodeID(3) ? TestCluster.withholdsStates(letter) : .deliver
    }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.firstBlockers(1) == ["n3 unvalidated"])
    #expect(cluster.firstBlockers(2) == ["n3 unvalidated"])
    cluster.untilCollected()
  }

  @Test("a disk of this node that has not said yet that the tombstone is on it")
  func unsynced() {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    cluster.holdsSyncs = [NodeID(1)]
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 1000)
    #expect(cluster.firstBlockers(1) == ["n1 unsynced"])
    #expect(cluster.waiting[0] == 1 && cluster.firstBlockers(2) == ["n1 cursor_lag"])
    cluster.holdsSyncs = []
    cluster.releaseSync(1)
    cluster.untilCollected()
  }

  @Test("what an owner's feed held when it acknowledged, and is not here yet")
  func feedLag() {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    // n3 tells what it has and how far it has come, and its answers, with the entries of its feed, are lost.
    cluster.treat = { letter in
      guard case .storeStatesReply = letter.message.body else { return .deliver }
      return letter.from == NodeID(3) && letter.to == NodeID(1) ? .drop : .deliver
    }
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 3000)
    let first = cluster.view(1)?.stores.first?.blockers.first
    #expect(first == TombstoneBlocker(node: "n3", .feedLag(behind: 1)))
    cluster.untilCollected()
  }

  @Test("a round of anti-entropy that does not end well, and why the last one did not")
  func antiEntropy() throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    cluster.treat = { letter in letter.from == NodeID(3) ? TestCluster.withholdsExchanges(letter) : .deliver }
    cluster.ask(1, delete("a"))
    // Four questions, five seconds each.
    cluster.advance(milliseconds: 30_000)
    let blockers = try #require(cluster.view(1)?.stores.first?.blockers)
    #expect(blockers.map { "\($0.node) \($0.kind.rawValue)" } == ["n3 anti_entropy"])
    guard case .antiEntropy(let failure?)? = blockers.first?.reason else {
      Issue.record("it says no reason: \(blockers)")
      return
    }
    #expect(failure == "n3 does not answer")
    cluster.untilCollected()
  }

  @Test("nothing but the next turn: more may go at once than one turn forgets")
  func purging() {
    let cluster = TestCluster(nodes: 3, partitions: 1) {
      $0.feedMilliseconds = 100
      $0.tombstoneHoldMilliseconds = 10_000
      $0.antiEntropyMilliseconds = 0
    }
    let count = Node<SimulatedDisk>.feedEntriesPerTurn + 88
    for index in 0..<count { cluster.ask(1, delete("k\(index)", always: true)) }
    cluster.advance(milliseconds: 8000)
    #expect(cluster.firstBlockers(1) == ["n1 hold"])
    // All of it is ripe when n1 looks again, and it has one turn.
    cluster.pause(1)
    cluster.advance(milliseconds: 4000)
    cluster.step(cluster[1], .tick)
    #expect(cluster.view(1)?.pending == 88 && cluster.firstBlockers(1) == ["n1 purging"])
    cluster.resume(1)
    cluster.untilCollected()
  }
}

extension TestCluster {
  /// What a node has said last of its stores to another one, delivered or not.
  fileprivate func lastStates(from: Int, to: Int) -> PeerMessage? {
    sent.last { letter in
      guard case .storeStates = letter.message.body else { return false }
      return letter.from == TestCluster.id(from) && letter.to == TestCluster.id(to)
    }?.message
  }

  /// Nothing stands in the way any more.
  fileprivate func untilCollected() {
    treat = { _ in .deliver }
    advance(milliseconds: 60_000)
    #expect(waiting == [0, 0, 0])
    #expect((1...3).allSatisfy { view($0)?.stores.isEmpty == true && view($0)?.blockedBy == [] })
  }
}
