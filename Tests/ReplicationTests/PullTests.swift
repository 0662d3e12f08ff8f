import Causality
import Cluster
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Pulls")
struct PullTests {
  private func quiet(changing: (inout NodeOptions) -> Void = { _ in }) -> TestCluster {
    TestCluster(nodes: 3, partitions: 1) {
      $0.antiEntropyMilliseconds = 0
      changing(&$0)
    }
  }

  private func isPullReply(_ letter: TestCluster.Letter) -> Bool {
    if case .pullReply = letter.message.body { true } else { false }
  }

  @Test("an answer that a purge has overtaken creates nothing: it is asked for again (rule GUARD)")
  func guarded() throws {
    let cluster = quiet()
    let value = TestCluster.stamp(5)
    let tombstone = TestCluster.stamp(9)
    for index in 0..<20 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    cluster.plant(2, "a", "old", value)
    cluster.treat = { isPullReply($0) ? .hold : .deliver }
    cluster.admin(1, .antiEntropy, session: 3)
    cluster.advance(milliseconds: 100)
    // The delete reaches everybody, is acknowledged by everybody, and everybody forgets it.
    for id in 1...3 { cluster.plant(id, "a", nil, tombstone) }
    for id in 1...3 { #expect(cluster.purge(id, "a", tombstone) == .purged) }
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 5000)
    #expect(cluster.outcomes[3] != nil)
    for id in 1...3 { #expect(cluster.held(id, "a") == nil, "n\(id)") }
    #expect(try #require(cluster.status(1)).counters.antiEntropy.guarded == 1)
    // What was never purged here may be pulled below the floor all the same (rule PULL).
    cluster.plant(2, "b", "v", TestCluster.stamp(20))
    cluster.plant(1, "c", nil, TestCluster.stamp(30))
    #expect(cluster.purge(1, "c", TestCluster.stamp(30)) == .purged)
    _ = try #require(cluster.round(1))
    #expect(cluster.held(1, "b") != nil)
  }

  @Test("purges of other keys, more than are remembered, cost a question and not the record (rule GUARD)")
  func guardedForNothing() throws {
    let cluster = quiet()
    for index in 0..<20 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    for id in 2...3 { cluster.plant(id, "a", "v", TestCluster.stamp(5)) }
    cluster.treat = { isPullReply($0) ? .hold : .deliver }
    cluster.admin(1, .antiEntropy, session: 3)
    cluster.advance(milliseconds: 100)
    for index in 0..<1100 {
      let stamp = TestCluster.stamp(100 + UInt64(index))
      cluster.plant(1, "p\(index)", nil, stamp)
      #expect(cluster.purge(1, "p\(index)", stamp) == .purged)
    }
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 5000)
    #expect(cluster.held(1, "a")?.stamp == TestCluster.stamp(5))
    #expect(try #require(cluster.status(1)).counters.antiEntropy.guarded > 0)
  }

  @Test("a store that answers is asked under its own configuration, and one that does not serve answers nothing")
  func refusals() throws {
    let cluster = quiet()
    let store = cluster.store(of: "a")
    func ask(_ body: PeerBody) -> [PeerBody] {
      let start = cluster.sent.count
      cluster.step(cluster[2], .peer(PeerMessage(time: .zero, body: body), from: TestCluster.id(1)))
      return cluster.sent[start...].map(\.message.body)
    }
    let items = PullSubject.items([PullItem(hash: 1, above: .zero)])
    let wrong = ask(.pull(PeerPull(operation: 8, store: store, configID: 1, subject: items)))
    #expect(wrong == [.pullReply(PeerPullReply(operation: 8, outcome: .refused(.wrongConfig)))])
    let none = StoreID(partition: 9, replicas: 3)
    let roots = CompareSubject.roots([StoreRoot(store: none, configID: 1, root: .empty)], beginsRound: true)
    let other = ask(.compare(PeerCompare(operation: 9, subject: roots)))
    let answer = RootAnswer(store: none, verdict: .refused(.notOwner), activity: .none)
    #expect(other == [.compareReply(PeerCompareReply(operation: 9, outcome: .roots([answer])))])
  }

  @Test("an answer that was not asked for ends the exchange, and nothing of it is applied")
  func unasked() throws {
    let cluster = quiet()
    for index in 0..<40 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    cluster.plant(2, "a", "v", TestCluster.stamp(2))
    cluster.treat = { letter in
      guard case .pullReply(var reply) = letter.message.body, case .page(let page) = reply.outcome,
        page.records.count == 1
      else { return .deliver }
      let forged = PulledRecord(key: "other".objectKey.encoded, version: page.records[0].version)
      reply.outcome = .page(PullPage(records: [forged], next: nil, floor: .zero))
      cluster.forge(PeerMessage(time: .zero, body: .pullReply(reply)), from: letter.from, to: letter.to)
      return .drop
    }
    let report = try #require(cluster.round(1))
    #expect(report.obstacles.count == 1 && report.obstacles[0].reason.contains("not asked"))
    #expect(cluster.held(1, "other") == nil && cluster.held(1, "a") == nil)
  }

  @Test("questions beyond what a turn may answer wait, as many as may, and one more is refused")
  func questions() throws {
    let cluster = quiet()
    let store = cluster.store(of: "a")
    for index in 0..<40 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    let configID = cluster[2].node?.configID(store) ?? 0
    let start = cluster.sent.count
    // One turn: everything of it is stepped before its flush.
    cluster[2].node?.exchanges.unitsLeft = 0
    for number in 0..<UInt64(Node<SimulatedDisk>.questionsMax) + 1 {
      let pull = PeerPull(operation: number, store: store, configID: configID, subject: .range(segment: 0, from: 0))
      cluster[2].node?.step(
        .peer(PeerMessage(time: .zero, body: .pull(pull)), from: TestCluster.id(1)), at: cluster.moment(cluster[2]))
    }
    cluster.advance(milliseconds: 10)
    let replies = cluster.sent[start...].compactMap { letter -> PeerPullReply? in
      if case .pullReply(let reply) = letter.message.body { reply } else { nil }
    }
    #expect(replies.count == Node<SimulatedDisk>.questionsMax + 1)
    let refused = replies.filter { $0.outcome == .refused(.overloaded) }.map(\.operation)
    #expect(refused == [UInt64(Node<SimulatedDisk>.questionsMax)])
  }

  @Test("pages of records are bounded, and so is what is pulled in a second")
  func budgets() throws {
    let cluster = quiet { $0.pullBytesPerSecond = 100_000 }
    let value = String(repeating: "x", count: 3000)
    for index in 0..<200 { cluster.plant(2, "k\(index)", value, TestCluster.stamp(1)) }
    cluster.plant(2, "long", String(repeating: "y", count: 300_000), TestCluster.stamp(1))
    let report = try #require(cluster.round(1))
    #expect(report.keysPulled == 201)
    // 900,000 bytes, less what may be pulled at once.
    #expect(report.milliseconds > 4000 && report.milliseconds < 15_000, "\(report.milliseconds)")
    for letter in cluster.sent where isPullReply(letter) {
      guard case .pullReply(let reply) = letter.message.body, case .page(let page) = reply.outcome else { continue }
      let short = page.records.filter { $0.byteCount < 100_000 }.reduce(0) { $0 + $1.byteCount }
      #expect(short < ExchangeLimits.pageBytes + 4000)
    }
    #expect(cluster.root(1, cluster.store(of: "long")) == cluster.root(2, cluster.store(of: "long")))
  }

  @Test("as many requests for a round as may wait do, and one more is refused")
  func waiters() throws {
    let cluster = quiet()
    cluster.treat = TestCluster.withholdsExchanges
    let most = UInt64(Node<SimulatedDisk>.roundWaitersMax)
    for session in 1000...1000 + most { cluster.admin(1, .antiEntropy, session: session) }
    #expect(cluster.outcomes.count == 1)
    guard case .refused? = cluster.outcomes[1000 + most] else {
      Issue.record("one more than may wait waits")
      return
    }
    cluster.advance(milliseconds: 25_000)
    #expect(cluster.outcomes.count == Int(most) + 1)
  }

  @Test("a validated pull tells of every other owner, the newest record and the highest floor")
  func validated() throws {
    let cluster = quiet()
    let store = cluster.store(of: "a")
    let hash = cluster.hash(of: "a")
    cluster.plant(2, "a", "v", TestCluster.stamp(5))
    cluster.plant(3, "a", "w", TestCluster.stamp(6))
    cluster.plant(3, "b", nil, TestCluster.stamp(9))
    #expect(cluster.purge(3, "b", TestCluster.stamp(9)) == .purged)
    func pull() -> ValidatedPull? {
      let test = cluster[1]
      guard let number = test.node?.validatedPull(ofHash: hash, in: store, at: cluster.moment(test)) else { return nil }
      #expect(test.node?.validatedPull(ofHash: hash, in: store, at: cluster.moment(test)) == nil)
      cluster.advance(milliseconds: 30_000)
      let pull = test.node?.takeValidated(number)
      let again = test.node?.takeValidated(number)
      #expect(again?.number == nil)
      return pull
    }
    let whole = try #require(pull())
    #expect(whole.isValid && whole.newest.map(\.version.stamp) == [TestCluster.stamp(6)])
    #expect(whole.floor == TestCluster.stamp(9))
    cluster.treat = { isPullReply($0) && $0.from == TestCluster.id(2) ? .drop : .deliver }
    let silent = try #require(pull())
    #expect(!silent.isValid && silent.owners.map(\.answer)[0] == .unreachable && silent.newest.count == 1)
    cluster.kill(3)
    cluster.advance(milliseconds: 3000)
    let none = try #require(pull())
    #expect(none.owners.allSatisfy { $0.answer == .unreachable } && none.newest == [])
    var numbers: [UInt64] = []
    for hash in 0..<UInt64(100) {
      let test = cluster[1]
      if let number = test.node?.validatedPull(ofHash: hash, in: store, at: cluster.moment(test)) {
        numbers.append(number)
      }
    }
    #expect(numbers.count == Node<SimulatedDisk>.validationsMax)
    // What nobody wants any more makes room, whether it is done or not.
    for number in numbers { cluster[1].node?.abandonValidation(number) }
    #expect(pull()?.owners.count == 2)
  }
}
