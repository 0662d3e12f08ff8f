import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

// What may keep a write from reaching an owner for good: each way in which a hint could be lost, or never be kept.

@Suite("No hint is lost")
struct KeptHintTests {
  private func isPush(_ letter: TestCluster.Letter, to id: Int) -> Bool {
    if case .push = letter.message.body { letter.to == TestCluster.id(id) } else { false }
  }

  @Test("a node that stops waits for the disk where a hint that it owes needs a read")
  func stopWaitsForHints() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { isPush($0, to: 3) ? .drop : .deliver }
    cluster.ask(1, put("a", "1"))
    cluster.advance(milliseconds: 6000)
    #expect(cluster.hints(at: 1, for: 3) == 1)
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "2")))).isStored)
    // The hint that is there has to be read before the newer one takes its place.
    cluster[1].node?.disk.wouldBlockChance = 1000
    cluster.holdsReads = [TestCluster.id(1)]
    cluster.step(cluster[1], .shutdown)
    cluster.advance(milliseconds: 500)
    #expect(cluster[1].stopped == nil)
    cluster.releaseReads(1)
    cluster.advance(milliseconds: 500)
    #expect(cluster[1].stopped == .clean)
    cluster.kill(1)
    cluster.treat = { _ in .deliver }
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.ownCopy(3, "a") == "2")
  }

  @Test("a node that owns no partition keeps its hints when it starts again")
  func noPartition() throws {
    let cluster = TestCluster(nodes: 4, partitions: 1)
    let owner = cluster.owners(of: "a")[2]
    let keeper = try #require(cluster.strangers(to: "a").first)
    cluster.kill(owner)
    cluster.advance(milliseconds: 2000)
    cluster.ask(cluster.owners(of: "a")[0], put("a", "1", w: .all))
    #expect(cluster.hints(at: keeper, for: owner) == 1)
    cluster.kill(keeper, powerLoss: true)
    cluster.start(keeper, life: 1)
    cluster.advance(milliseconds: 1000)
    #expect(cluster.hints(at: keeper, for: owner) == 1)
    cluster.start(owner, life: 1)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.ownCopy(owner, "a") == "1" && cluster.hintsLeft == 0)
  }

  @Test("an owner that has applied a write and loses it with its power gets it again, also where fewer had to sync")
  func appliedAndLost() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.holdsSyncs = [TestCluster.id(3)]
    let session = cluster.ask(1, put("a", "1", w: .all, dw: .one))
    #expect(cluster.answer(session)?.isStored == true)
    cluster.kill(3, powerLoss: true)
    cluster.holdsSyncs = []
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 2500)
    #expect(cluster.ownCopy(3, "a") == "1")
    #expect(cluster.hintsLeft == 0)
  }

  @Test("an owner that has applied a write and never says that it synced it gets a hint at the end")
  func appliedAndSilent() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.holdsSyncs = [TestCluster.id(3)]
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1", w: .all, dw: .one)))).isStored)
    #expect(cluster.status(1)?.hints.reduce(0) { $0 + $1.count } == 0)
    cluster.treat = { isPush($0, to: 3) ? .drop : .deliver }
    cluster.advance(milliseconds: 6000)
    #expect(cluster.hints(at: 1, for: 3) == 1)
    cluster.treat = { _ in .deliver }
    cluster.holdsSyncs = []
    cluster.releaseSync(3)
    cluster.advance(milliseconds: 8000)
    #expect(cluster.hintsLeft == 0)
  }

  @Test(
    "whatever a fallback's reason to refuse a hint, somebody else keeps it",
    arguments: [Refusal.notOwner, .wrongConfig])
  func refusedHint(refusal: Refusal) throws {
    let cluster = TestCluster(nodes: 4, partitions: 8)
    let key = "k1"
    let owners = cluster.owners(of: key)
    cluster.kill(owners[2])
    cluster.treat = { letter in
      guard case .push(let push) = letter.message.body, case .hint = push.kind else { return .deliver }
      let reply = PushReply(operation: push.operation, stamp: push.version.stamp, outcome: .refused(refusal))
      cluster.forge(PeerMessage(time: letter.message.time, body: .pushReply(reply)), from: letter.to, to: letter.from)
      return .drop
    }
    #expect(try #require(cluster.answer(cluster.ask(owners[0], put(key, "1")))).isStored)
    #expect(cluster.hints(at: owners[0], for: owners[2]) == 1)
  }

  @Test("so many writes wait for one peer and no more: then a hint is kept, and 503 says so where it does not suffice")
  func awaitedWritesAreBounded() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { letter in
      if case .pushReply = letter.message.body { .drop } else { .deliver }
    }
    let most = Node<SimulatedDisk>.awaitedWritesMax
    for index in 0..<most { cluster.ask(1, put("k\(index % 50)", "1", w: .one, dw: .one)) }
    #expect(cluster.hintsLeft == 0)
    #expect(try #require(cluster.answer(cluster.ask(1, put("k", "2", w: .one, dw: .one)))).isStored)
    #expect(cluster.hints(at: 1, for: 2) == 1 && cluster.hints(at: 1, for: 3) == 1)
    guard case .failed(.overloaded(let detail))? = cluster.answer(cluster.ask(1, put("k", "3"))) else {
      Issue.record("two nodes cannot take it")
      return
    }
    #expect(detail.contains("n2: too many writes wait for it"))
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 15_000)
    #expect(cluster.ownCopy(2, "k") == "2" && cluster.ownCopy(3, "k") == "2")
    #expect(cluster.hintsLeft == 0)
  }

  // MARK: - A damaged store of hints

  /// Node 1 keeps hints for node 3, which is back; their bytes do not read back.
  private func damagedHints() throws -> TestCluster {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    cluster.ask(1, put("a", "1"))
    let directory = "/\(StoreID.hints(for: TestCluster.id(3)))/"
    let found = cluster[1].node?.disk.paths.first { $0.contains(directory) && $0.hasSuffix(".data") }
    let path = try #require(found)
    let bytes = cluster[1].node?.disk.contents(path)
    let size = try #require(bytes).count
    cluster[1].node?.disk.flipBit(0, ofByte: size - 2, in: path)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 1000)
    #expect(cluster[1].log.contains { $0.contains("is fenced") })
    return cluster
  }

  @Test("a damaged store of hints is kept aside and made anew: that is told once, and hints are kept again")
  func damagedHintsAreMadeAnew() throws {
    let cluster = try damagedHints()
    #expect(cluster[1].log.count { $0.contains("is fenced") } == 1)
    #expect(
      cluster[1].log.count { $0.contains("store hints-3 was fenced and is kept in /data/damaged/hints-3.1") } == 1)
    #expect(cluster.status(1)?.counters.hintsLost == 1)
    cluster.admin(1, .drainHints, session: 910)
    cluster.advance(milliseconds: 1000)
    guard case .drained(0, let left)? = cluster.outcomes[910] else {
      Issue.record("not answered: \(String(describing: cluster.outcomes[910]))")
      return
    }
    #expect(left.allSatisfy { $0.count == 0 && $0.state == .empty } && cluster[1].node?.operationsInProgress == 0)
    cluster.kill(3)
    for index in 0..<20 {
      #expect(try #require(cluster.answer(cluster.ask(1, put("k\(index)", "1")))).isStored)
    }
    #expect(cluster.hints(at: 1, for: 3) == 20)
    cluster.start(3, life: 2)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.hintsLeft == 0)
    for index in 0..<20 { #expect(cluster.ownCopy(3, "k\(index)") == "1") }
  }
}
