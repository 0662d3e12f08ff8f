import Causality
import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

@Suite("Answers that belong to nothing")
struct ForeignAnswerTests {
  private func pushed(_ letter: TestCluster.Letter, to id: Int) -> Push? {
    guard case .push(let push) = letter.message.body, letter.to == TestCluster.id(id) else { return nil }
    return push
  }

  @Test("a node that was never sent a write does not count, whatever it says of it")
  func neverSentAWrite() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    var sent: Push?
    cluster.treat = { letter in
      guard let push = pushed(letter, to: 2) else { return .deliver }
      sent = push
      return .hold
    }
    let session = cluster.ask(1, put("a", "1"))
    let push = try #require(sent)
    let reply = PushReply(operation: push.operation, stamp: push.version.stamp, outcome: .applied(synced: true))
    cluster.step(
      cluster[1], .peer(PeerMessage(time: push.version.stamp.time, body: .pushReply(reply)), from: TestCluster.id(3)))
    #expect(cluster.answer(session) == nil)
    cluster.release()
    #expect(cluster.answer(session)?.isStored == true)
  }

  @Test("a replica that was never asked does not count, whatever it says of the key")
  func neverAsked() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "1", w: .all))
    var question: (to: NodeID, operation: UInt64, time: HybridTime)?
    cluster.treat = { letter in
      guard case .read(let read) = letter.message.body else { return .deliver }
      question = (letter.to, read.operation, letter.message.time)
      return .hold
    }
    let session = cluster.ask(1, get("a"))
    let asked = try #require(question)
    let other = TestCluster.id(asked.to == TestCluster.id(2) ? 3 : 2)
    let reply = PeerReadReply(operation: asked.operation, outcome: .absent(floor: .zero))
    cluster.step(cluster[1], .peer(PeerMessage(time: asked.time, body: .readReply(reply)), from: other))
    #expect(cluster.answer(session) == nil)
    cluster.release()
    #expect(cluster.answer(session)?.text == "1")
  }

  @Test("a digest that comes twice does not pass for the value that it announced")
  func repeatedDigest() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "old", w: .all))
    cluster.kill(1)
    cluster.ask(2, put("a", "new"))
    cluster.treat = { pushed($0, to: 1) != nil ? .drop : .deliver }
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 2500)
    cluster.kill(3)
    var digest: TestCluster.Letter?
    cluster.treat = { letter in
      if pushed(letter, to: 1) != nil { return .drop }
      if case .readReply(let reply) = letter.message.body, case .digest = reply.outcome { digest = letter }
      if case .read(let read) = letter.message.body, read.subject == .value { return .hold }
      return .deliver
    }
    let session = cluster.ask(1, get("a"))
    let repeated = try #require(digest)
    cluster.step(cluster[1], .peer(repeated.message, from: repeated.from))
    #expect(cluster.answer(session) == nil)
    cluster.release()
    #expect(cluster.answer(session)?.text == "new")
  }

  @Test("a hint is not forgotten for an answer about another write")
  func otherWrite() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    cluster.ask(1, put("a", "1"))
    var handed: Push?
    cluster.treat = { letter in
      guard let push = pushed(letter, to: 3), push.kind == .handoff else { return .deliver }
      handed = push
      return .drop
    }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 400)
    let push = try #require(handed)
    let reply = PushReply(operation: push.operation, stamp: .zero, outcome: .applied(synced: true))
    cluster.step(
      cluster[1], .peer(PeerMessage(time: push.version.stamp.time, body: .pushReply(reply)), from: TestCluster.id(3)))
    #expect(cluster.hints(at: 1, for: 3) == 1)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.ownCopy(3, "a") == "1" && cluster.hintsLeft == 0)
  }

  @Test("writes handed over by other nodes are refused while as many as may wait for this node's disk")
  func forwardsWaitForTheDisk() throws {
    let most = 8
    let cluster = TestCluster(nodes: 5, partitions: 8) { $0.operationsMax = $0.name == "n1" ? most : 1000 }
    let key = try #require((0..<200).map { "k\($0)" }.first { key in cluster.owners(of: key).contains(1) })
    let owners = cluster.owners(of: key)
    let entry = try #require(cluster.strangers(to: key).first)
    for owner in owners where owner != 1 { cluster.kill(owner) }
    // The fallbacks sync at once, so that no client waits for the coordinator's disk.
    cluster.holdsSyncs = [TestCluster.id(1)]
    let sessions = (0..<most + 4).map { cluster.ask(entry, put(key, "\($0)")) }
    #expect(sessions.map { cluster.answer($0)?.isStored == true } == (0..<most + 4).map { $0 < most })
    cluster.holdsSyncs = []
    cluster.releaseSync(1)
    #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "last")))).isStored)
  }
}
