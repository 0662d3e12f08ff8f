import Causality
import Cluster
import Messages
import Primitives
import Replication
import Testing

// Nodes that stand still, and networks that are cut in one direction: who is routed around, who is told why, and how
// they come back.

@Suite("Who answers")
struct ReachabilityTests {
  private func link(_ cluster: TestCluster, _ node: Int, to peer: Int) -> NodeStatus.Peer.Link? {
    cluster.status(node)?.peers.first { $0.member.id == TestCluster.id(peer) }?.link
  }

  private func isUp(_ cluster: TestCluster, _ node: Int, to peer: Int) -> Bool { link(cluster, node, to: peer) == .up }

  /// Why `node` suspects `peer`, or nil.
  private func suspicion(_ cluster: TestCluster, _ node: Int, of peer: Int) -> String? {
    if case .suspect(let reason)? = link(cluster, node, to: peer) { reason } else { nil }
  }

  /// Milliseconds, in ticks, until it is so.
  private func time(_ cluster: TestCluster, atMost: UInt64, until isSo: () -> Bool) -> UInt64? {
    for elapsed in stride(from: 0, through: atMost, by: 10) {
      if isSo() { return elapsed }
      cluster.advance(milliseconds: 10)
    }
    return nil
  }

  @Test("a node that stands still is routed around within 1.5 times suspect_after, and welcomed back at once")
  func standstill() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    cluster.pause(2)
    let noticed = time(cluster, atMost: 1500) { [1, 3, 4, 5].allSatisfy { !isUp(cluster, $0, to: 2) } }
    #expect(try #require(noticed) >= 1000)
    for id in [1, 3, 4, 5] {
      #expect(try #require(suspicion(cluster, id, of: 2)).hasPrefix("no answer for 1."))
      #expect(cluster.answer(cluster.ask(id, put("k\(id)", "v")))?.isStored == true)
    }
    cluster.advance(milliseconds: 2000)
    cluster.resume(2)
    let welcomed = time(cluster, atMost: 170) {
      [1, 3, 4, 5].allSatisfy { isUp(cluster, $0, to: 2) && isUp(cluster, 2, to: $0) }
    }
    #expect(welcomed != nil)
    let lines = cluster[1].log.count
    cluster.advance(milliseconds: 5000)
    #expect(cluster[1].log.count == lines, "it does not come and go")
    #expect(cluster[1].log.suffix(2).map { $0.prefix(15) } == ["n2 is suspect: ", "n2 is up"])
    #expect(!cluster[2].log.contains { $0.contains("suspect") }, "for its own pause it suspects nobody")
  }

  @Test("what a node did not hear while it stood still itself is held against nobody")
  func ownPause() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { $0.to == NodeID(2) ? .hold : .deliver }
    cluster.advance(milliseconds: 300)
    cluster.treat = { _ in .deliver }
    cluster.pause(2)
    cluster.advance(milliseconds: 5000)
    cluster.resume(2)
    cluster.release()
    cluster.advance(milliseconds: 2000)
    #expect(try #require(cluster.status(2)).counters.suspicions == 0)
    #expect(isUp(cluster, 2, to: 1) && isUp(cluster, 1, to: 2))
  }

  @Test("requests that a node which stands still has not answered go on without it when it is suspected")
  func requestsInFlight() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.pause(2)
    cluster.pause(3)
    let read = cluster.ask(1, get("a"))
    let write = cluster.ask(1, put("b", "1"))
    #expect(cluster.answer(read) == nil && cluster.answer(write) == nil)
    cluster.advance(milliseconds: 1010)
    guard case .failed(.unsatisfied(.r, wanted: 2, got: 1, let detail))? = cluster.answer(read) else {
      Issue.record("the read must not wait for its deadline: \(String(describing: cluster.answer(read)))")
      return
    }
    #expect(detail.contains("n2 does not answer"))
    #expect(cluster.answer(write) != nil)
    guard case .failed(.unsatisfied(_, _, _, let later))? = cluster.answer(cluster.ask(1, get("a"))) else {
      Issue.record("two of three do not answer")
      return
    }
    #expect(later.contains("n2 is suspect: no answer for 1.0 s"))
  }

  @Test("a cut of one way is seen from both ends: no request is sent whose answer cannot come")
  func oneWayCut() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { $0.from == NodeID(1) && $0.to == NodeID(3) ? .drop : .deliver }
    let noticed = time(cluster, atMost: 1500) { !isUp(cluster, 1, to: 3) && !isUp(cluster, 3, to: 1) }
    #expect(noticed != nil)
    #expect(isUp(cluster, 2, to: 1) && isUp(cluster, 2, to: 3) && isUp(cluster, 1, to: 2) && isUp(cluster, 3, to: 2))
    cluster.advance(milliseconds: 1000)
    #expect(try #require(suspicion(cluster, 1, of: 3)).contains("though it is heard; n2 reaches it"))
    let other = try #require(suspicion(cluster, 3, of: 1))
    #expect(other.contains("; n2 reaches it") && !other.contains("heard"))
    // Each answers with the one that it can ask, at once.
    #expect(cluster.answer(cluster.ask(1, put("a", "1")))?.isStored == true)
    #expect(cluster.answer(cluster.ask(3, get("a")))?.text == "1")
    // Not down, for whatever time: others reach it. But its connection may be at fault.
    cluster.advance(milliseconds: 30_000)
    #expect(!isUp(cluster, 3, to: 1))
    #expect(!cluster[3].log.contains { $0.hasPrefix("n1 is down: no answer") })
    #expect(cluster.reconnected.filter { $0.from == NodeID(3) }.count == 1)
    #expect(try #require(cluster.status(1)).counters.indirectAcknowledgements > 0)
    cluster.treat = { _ in .deliver }
    let welcomed = time(cluster, atMost: 700) { isUp(cluster, 1, to: 3) && isUp(cluster, 3, to: 1) }
    #expect(welcomed != nil)
    #expect(try #require(cluster.status(3)).counters.suspicions == 1)
  }

  @Test("a node of which nothing is heard for ten times suspect_after is declared down, once")
  func declaredDown() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.pause(2)
    cluster.advance(milliseconds: 11_000)
    #expect(suspicion(cluster, 1, of: 2)?.hasPrefix("no answer for 1") == true)
    cluster.advance(milliseconds: 60_000)
    #expect(link(cluster, 1, to: 2) == .down(reason: "no handshake yet, no answer for 70 s"))
    #expect(
      cluster[1].log.filter { $0.hasPrefix("n2 is ") }.map { $0.prefix(12) } == [
        "n2 is up", "n2 is suspec", "n2 is down: ",
      ])
    #expect(cluster.reconnected.map(\.to) == [NodeID(2), NodeID(2)])
    cluster.resume(2)
    let welcomed = time(cluster, atMost: 700) { isUp(cluster, 1, to: 2) && isUp(cluster, 3, to: 2) }
    #expect(welcomed != nil)
    #expect(cluster.answer(cluster.ask(2, put("a", "1", w: .all)))?.isStored == true)
  }

  @Test("pings to a node that is asked for others are bounded; one request more is ignored")
  func relaysAreBounded() throws {
    let cluster = TestCluster(nodes: 3)
    let boot = try #require(cluster.status(2)).bootID
    var relayed = 0
    var pings = 0
    cluster.treat = { letter in
      switch letter.message.body {
      case .ping where letter.from == NodeID(1) && letter.to == NodeID(3):
        pings += 1
        return .hold
      case .pingRelayed:
        relayed += 1
        return .deliver
      default: return .deliver
      }
    }
    for sequence in 1...40 as ClosedRange<UInt64> {
      let request = PingRequest(bootID: boot, target: NodeID(3), sequence: sequence)
      cluster.step(cluster[1], .peer(PeerMessage(time: .zero, body: .pingRequest(request)), from: NodeID(2)))
    }
    #expect(pings == 16)
    cluster.release()
    #expect(relayed == 16)
    // Requests of another boot, for nobody, or for whoever asks, are none.
    for request in [
      PingRequest(bootID: boot + 1, target: NodeID(3), sequence: 50),
      PingRequest(bootID: boot, target: NodeID(9), sequence: 51),
      PingRequest(bootID: boot, target: NodeID(2), sequence: 52),
    ] {
      cluster.step(cluster[1], .peer(PeerMessage(time: .zero, body: .pingRequest(request)), from: NodeID(2)))
    }
    #expect(pings == 16)
  }

  @Test("answers to an earlier boot prove nothing to this one")
  func earlierBoot() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { $0.from == NodeID(2) && $0.to == NodeID(1) ? .drop : .deliver }
    cluster.advance(milliseconds: 1500)
    #expect(suspicion(cluster, 1, of: 2) != nil)
    let boot = try #require(cluster.status(2)).bootID
    for sequence in 1...200 as ClosedRange<UInt64> {
      let reply = PingReply(
        bootID: boot, yourBootID: 1, sequence: sequence, wallMilliseconds: cluster.moment(cluster[1]).wallMilliseconds)
      cluster.step(cluster[1], .peer(PeerMessage(time: .zero, body: .pingReply(reply)), from: NodeID(2)))
    }
    #expect(!isUp(cluster, 1, to: 2))
  }
}
