import Causality
import Cluster
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

extension TestCluster {
  /// Numbers of the owners of a key, first owner first.
  func owners(of key: String) -> [Int] {
    (nodes.first { $0.node != nil }?.node?.owners(of: key.objectKey) ?? []).map { Int($0.rawValue) }
  }

  func strangers(to key: String) -> [Int] { (1...nodes.count).filter { !owners(of: key).contains($0) } }

  /// Hints that a node keeps for another.
  func hints(at holder: Int, for target: Int) -> Int {
    status(holder)?.hints.first { $0.member.id == TestCluster.id(target) }?.count ?? 0
  }

  var hintsLeft: Int {
    (1...nodes.count).reduce(0) { sum, id in sum + (status(id)?.hints.reduce(0) { $0 + $1.count } ?? 0) }
  }

  /// Live keys and tombstones of each store of a node.
  func contents(_ id: Int) -> [StoreID: [Int]] {
    var contents: [StoreID: [Int]] = [:]
    for store in status(id)?.stores ?? [] { contents[store.id] = [store.keysLive, store.tombstones] }
    return contents
  }

  /// What a node's own copy of a key is, asked for by a read of it alone.
  func ownCopy(_ id: Int, _ key: String) -> String? { answer(ask(id, get(key, r: .one)))?.text }

  var pushes: [(from: Int, to: Int, push: Push)] {
    sent.compactMap { letter in
      guard case .push(let push) = letter.message.body else { return nil }
      return (Int(letter.from.rawValue), Int(letter.to.rawValue), push)
    }
  }
}

private func isPush(_ letter: TestCluster.Letter, to id: Int? = nil, _ matches: (PushKind) -> Bool = { _ in true })
  -> Bool
{
  guard case .push(let push) = letter.message.body, matches(push.kind) else { return false }
  return id.map { letter.to == TestCluster.id($0) } ?? true
}

@Suite("Hinted handoff")
struct HandoffTests {
  @Test("what a node missed while it was down it has without any read, and no hint is left", arguments: [false, true])
  func returnsWhole(powerLoss: Bool) throws {
    let cluster = TestCluster(nodes: 3)
    for index in 0..<20 { cluster.ask(1, put("k\(index)", "old")) }
    cluster.kill(3, powerLoss: powerLoss)
    for index in 0..<60 {
      let through = 1 + index % 2
      #expect(try #require(cluster.answer(cluster.ask(through, put("k\(index)", "v\(index)")))).isStored)
      if index % 3 == 0 {
        #expect(try #require(cluster.answer(cluster.ask(3 - through, delete("k\(index)")))).isDeleted)
      }
    }
    #expect(cluster.hints(at: 1, for: 3) + cluster.hints(at: 2, for: 3) > 0)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 1000)
    #expect(cluster.hintsLeft == 0)
    #expect(cluster.contents(3) == cluster.contents(1))
    #expect(cluster.contents(3) == cluster.contents(2))
    for index in 0..<60 { #expect(cluster.ownCopy(3, "k\(index)") == (index % 3 == 0 ? nil : "v\(index)")) }
  }

  @Test("of each key the newest write alone is kept, and it is kept whatever its age")
  func newestAlone() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    for round in 0..<5 { cluster.ask(1, put("a", "\(round)")) }
    #expect(cluster.hints(at: 1, for: 3) == 1)
    cluster.advance(milliseconds: 3_600_000, tick: 1000)
    #expect(cluster.hints(at: 1, for: 3) == 1)
    let age = try #require(cluster.status(1)?.hints.first { $0.count > 0 }?.oldestMilliseconds)
    #expect(age >= 3_599_000 && age <= 3_601_000)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 500)
    #expect(cluster.ownCopy(3, "a") == "4")
    #expect(cluster.pushes.filter { $0.push.kind == .handoff }.count == 1)
  }

  @Test("hints survive the death of their holder, also by power loss", arguments: [false, true])
  func holderDies(powerLoss: Bool) throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    for index in 0..<10 { cluster.ask(1, put("k\(index)", "\(index)")) }
    cluster.kill(1, powerLoss: powerLoss)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 2500)
    #expect(cluster.hints(at: 1, for: 3) == 10)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 2500)
    for index in 0..<10 { #expect(cluster.ownCopy(3, "k\(index)") == "\(index)") }
    #expect(cluster.hintsLeft == 0)
  }

  @Test("a hint goes only when its owner says that it durably holds the write")
  func forgottenWhenDurable() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    cluster.ask(1, put("a", "1"))
    cluster.treat = { isPush($0) { $0 == .handoff } ? .hold : .deliver }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 200)
    cluster.holdsSyncs = [TestCluster.id(3)]
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 200)
    #expect(cluster.hints(at: 1, for: 3) == 1)
    cluster.releaseSync(3)
    cluster.advance(milliseconds: 200)
    #expect(cluster.hints(at: 1, for: 3) == 0)
  }

  @Test("a hint whose owner holds something newer is done, and changes nothing there")
  func supersededAtTheOwner() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    cluster.ask(1, put("a", "old"))
    cluster.treat = { isPush($0) { $0 == .handoff } ? .hold : .deliver }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 500)
    cluster.ask(2, put("a", "new"))
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 500)
    #expect(cluster.hintsLeft == 0)
    #expect(cluster.ownCopy(3, "a") == "new")
  }

  @Test("a hint that is lost on the way, or whose answer is, is sent again", arguments: [false, true])
  func lostOnTheWay(losesAnswer: Bool) throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    cluster.ask(1, put("a", "1"))
    cluster.treat = { letter in
      if losesAnswer, case .pushReply = letter.message.body, letter.from == TestCluster.id(3) { return .drop }
      return !losesAnswer && isPush(letter) { $0 == .handoff } ? .drop : .deliver
    }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 2000)
    #expect(cluster.hints(at: 1, for: 3) == 1)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.hintsLeft == 0)
    #expect(cluster.ownCopy(3, "a") == "1")
  }

  @Test("an owner that refuses is tried again, ever later, and the operator reads why")
  func refusals() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    cluster.ask(1, put("a", "1"))
    self.setRefusal(cluster, true)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 30_000)
    let sent = cluster.pushes.filter { $0.push.kind == .handoff }.count
    #expect(sent >= 4 && sent <= 8, "\(sent) attempts in 30 s, at 0, 1, 3, 7 and 15 s or so")
    let status = try #require(cluster.status(1)?.hints.first { $0.count > 0 })
    #expect("\(status.state)".contains("overloaded"))
    self.setRefusal(cluster, false)
    // Whoever asks for it need not wait for the next attempt.
    cluster.admin(1, .drainHints, session: 900)
    cluster.advance(milliseconds: 500)
    guard case .drained(let delivered, let left)? = cluster.outcomes[900] else {
      Issue.record("the request to drain is not answered")
      return
    }
    #expect(delivered == 1 && left.allSatisfy { $0.count == 0 })
    #expect(cluster.hintsLeft == 0)
  }

  /// Node 3's answers to handoffs are turned into refusals by dropping the push and answering in its place.
  private func setRefusal(_ cluster: TestCluster, _ refuses: Bool) {
    cluster.treat = { letter in
      guard refuses, case .push(let push) = letter.message.body, push.kind == .handoff else { return .deliver }
      let reply = PushReply(
        operation: push.operation, stamp: push.version.stamp, outcome: .refused(.overloaded))
      cluster.forge(PeerMessage(time: letter.message.time, body: .pushReply(reply)), from: letter.to, to: letter.from)
      return .drop
    }
  }

  @Test("a request to drain is answered at once when nobody can take the hints")
  func drainWithoutTarget() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    cluster.ask(1, put("a", "1"))
    cluster.admin(1, .drainHints, session: 901)
    guard case .drained(0, let left)? = cluster.outcomes[901] else {
      Issue.record("not answered: \(String(describing: cluster.outcomes[901]))")
      return
    }
    let target = try #require(left.first { $0.count > 0 })
    #expect(target.count == 1 && "\(target.state)".contains("n3 is down"))
  }

  @Test("no more requests to drain wait than may")
  func drainWaitersAreBounded() {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    cluster.ask(1, put("a", "1"))
    cluster.treat = { isPush($0) { $0 == .handoff } ? .hold : .deliver }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 100)
    let most = UInt64(Node<SimulatedDisk>.drainWaitersMax)
    for session in 1000...1000 + most { cluster.admin(1, .drainHints, session: session) }
    let refused = (1000...1000 + most).filter { session in
      if case .refused? = cluster.outcomes[session] { true } else { false }
    }
    #expect(refused == [1000 + most])
  }

  @Test("so many hints are under way at once and no more")
  func inFlightIsBounded() {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(3)
    for index in 0..<1200 { cluster.ask(1, put("k\(index)", "1")) }
    cluster.treat = { isPush($0) { $0 == .handoff } ? .hold : .deliver }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 2000)
    let most = Node<SimulatedDisk>.handoffsInFlightMax
    // A page is sent whole.
    #expect(cluster.held.count >= most && cluster.held.count < most + 200)
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 2000)
    #expect(cluster.hintsLeft == 0)
    #expect(cluster.contents(3) == cluster.contents(1))
  }

  @Test("a full store of hints refuses: counted, told, and not in the way of the write")
  func hintsFull() throws {
    let cluster = TestCluster(nodes: 3) { $0.hintBytesMax = 400 }
    cluster.kill(3)
    for index in 0..<40 {
      #expect(try #require(cluster.answer(cluster.ask(1, put("k\(index)", "0123456789")))).isStored)
    }
    let status = try #require(cluster.status(1))
    let kept = cluster.hints(at: 1, for: 3)
    #expect(kept > 2 && kept < 12)
    #expect(status.hints.reduce(0) { $0 + $1.bytes } <= 400)
    #expect(status.counters.hintsRefused == UInt64(40 - kept))
    #expect(cluster[1].log.contains { $0.contains("a hint for n3 is not kept") && $0.contains("hints_max") })
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 500)
    #expect(cluster.hintsLeft == 0)
  }

  @Test("a node that stops before a slow owner has answered keeps the hint")
  func stopKeepsHints() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { isPush($0, to: 3) ? .drop : .deliver }
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1")))).isStored)
    cluster.step(cluster[1], .shutdown)
    cluster.advance(milliseconds: 500)
    #expect(cluster[1].stopped == .clean)
    cluster.kill(1)
    cluster.treat = { _ in .deliver }
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.ownCopy(3, "a") == "1")
    #expect(cluster.hintsLeft == 0)
  }

  @Test("an owner that never answers gets a hint when the operation's time is over")
  func silentOwner() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { isPush($0, to: 3) { $0 == .write } ? .drop : .deliver }
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1")))).isStored)
    cluster.advance(milliseconds: 8000)
    #expect(cluster.ownCopy(3, "a") == "1")
    #expect(cluster.hintsLeft == 0)
  }
}
