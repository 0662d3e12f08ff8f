import Causality
import Cluster
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

// The bounds of anti-entropy, each at its edge.

@Suite("Limits of anti-entropy")
struct ExchangeLimitTests {
  private func quiet(partitions: UInt16 = 1) -> TestCluster {
    TestCluster(nodes: 3, partitions: partitions) { $0.antiEntropyMilliseconds = 0 }
  }

  private func isPullReply(_ letter: TestCluster.Letter) -> Bool {
    if case .pullReply = letter.message.body { true } else { false }
  }

  @Test("so many exchanges are under way at once, of different stores, and the others wait for their turn")
  func exchanges() throws {
    let cluster = quiet(partitions: 16)
    for index in 0..<300 { cluster.plant(2, "k\(index)", "v", TestCluster.stamp(1)) }
    cluster.treat = { isPullReply($0) ? .hold : .deliver }
    cluster.admin(1, .antiEntropy, session: 1)
    cluster.advance(milliseconds: 1000)
    let running = cluster[1].node?.exchanges.running.count
    let due = cluster[1].node?.exchanges.due.count ?? 0
    #expect(running == Node<SimulatedDisk>.exchangesMax && due > 0)
    #expect(Set(cluster.held.filter { $0.to == TestCluster.id(1) }.map(\.message.body.pullOperation)).count == running)
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.outcomes[1] != nil)
    for store in cluster[1].node?.storeRoles.map(\.store) ?? [] {
      #expect(cluster.root(1, store) == cluster.root(2, store))
    }
  }

  @Test(
    "records are asked for again so often when purges come between, and once more fails the exchange",
    arguments: [0, 1])
  func purges(more: Int) throws {
    let cluster = quiet()
    for index in 0..<50 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    cluster.plant(2, "a", "v", TestCluster.stamp(2))
    cluster.treat = { isPullReply($0) && $0.to == TestCluster.id(1) ? .hold : .deliver }
    cluster.admin(1, .antiEntropy, session: 1)
    cluster.advance(milliseconds: 500)
    for index in 0..<Node<SimulatedDisk>.guardTriesMax + more {
      let stamp = TestCluster.stamp(100 + UInt64(index))
      cluster.plant(1, "a", nil, stamp)
      #expect(cluster.purge(1, "a", stamp) == .purged)
      cluster.release()
      cluster.advance(milliseconds: 20)
    }
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 5000)
    guard case .antiEntropy(let report)? = cluster.outcomes[1] else { return #expect(Bool(false), "no outcome") }
    #expect(report.obstacles.map(\.reason) == (more == 0 ? [] : ["purges came between again and again"]))
    #expect((cluster.held(1, "a") != nil) == (more == 0))
  }

  @Test("a segment with more slots than an answer takes is told in pages")
  func pages() throws {
    var keys: [String] = []
    for more in [1, 0] {
      let cluster = quiet()
      guard let ring = cluster[1].node?.hash else { return #expect(Bool(false), "no node") }
      // All of one segment, the fourth; both clusters have the same ring.
      let isWanted = { (key: String) in ring(key.objectKey.encoded) >> UInt64(64 - HashTree.segmentBits) == 3 }
      var index = 0
      while keys.count < ExchangeLimits.slotsMax - 1 + more {
        if isWanted("k\(index)") { keys.append("k\(index)") }
        index += 1
      }
      keys.removeLast(1 - more)
      for key in keys { cluster.plant(2, key, "v", TestCluster.stamp(1)) }
      // One of them is here, so that slots are asked for and not all records.
      cluster.plant(1, keys[0], "v", TestCluster.stamp(1))
      let start = cluster.sent.count
      let report = try #require(cluster.round(1))
      #expect(report.obstacles == [] && report.keysPulled == UInt64(keys.count) - 1 && isWanted(keys[0]))
      let store = cluster.store(of: "a")
      #expect(cluster.root(1, store) == cluster.root(2, store))
      let pages = cluster.sent[start...].compactMap { letter -> Int? in
        guard letter.from == TestCluster.id(2), letter.to == TestCluster.id(1),
          case .compareReply(let reply) = letter.message.body, case .slots(let page) = reply.outcome,
          !page.slots.isEmpty
        else { return nil }
        return page.slots.count
      }
      // There must be room for two of a hash, so a page of single ones is full one earlier.
      #expect(pages.allSatisfy { $0 <= ExchangeLimits.slotsMax } && pages.count == 1 + more, "\(pages)")
    }
  }

  @Test("a refill asks again who was asked long ago, so often, and then serves")
  func repeats() throws {
    let cluster = quiet()
    let store = cluster.store(of: "a")
    for index in 0..<50 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    cluster.kill(2)
    cluster.removeStore(2, "p000-n3")
    cluster.treat = { letter in
      guard case .compareReply(let reply) = letter.message.body, letter.to == TestCluster.id(2),
        case .segments = reply.outcome
      else { return .deliver }
      return .hold
    }
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 2000)
    var passes = 0
    while cluster[2].node?.engine?.role(store) == .loading, passes < 30 {
      cluster.advance(milliseconds: Node<SimulatedDisk>.refillFreshMilliseconds + 500)
      // What the others take meanwhile is not lost.
      for id in [1, 3] { cluster.plant(id, "late\(passes)", "v", TestCluster.stamp(2)) }
      cluster.release()
      cluster.advance(milliseconds: 500)
      passes += 1
    }
    #expect(passes == 2 + Node<SimulatedDisk>.refillRepeatsMax)
    for index in 0..<passes - 1 { #expect(cluster.held(2, "late\(index)") != nil, "late\(index)") }
  }

  @Test("an owner that was asked a moment ago is not asked again")
  func fresh() throws {
    let cluster = quiet()
    let store = cluster.store(of: "a")
    for index in 0..<50 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    cluster.kill(2)
    cluster.removeStore(2, "p000-n3")
    let start = cluster.sent.count
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster[2].node?.engine?.role(store) == .active)
    let asked = cluster.sent[start...].count { letter in
      guard letter.from == TestCluster.id(2), case .compare(let compare) = letter.message.body,
        case .segments = compare.subject
      else { return false }
      return true
    }
    #expect(asked == 2)
  }

  @Test("a peer that is never done is waited for so long, and then the round is over")
  func settling() throws {
    let cluster = quiet()
    for index in 0..<50 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    cluster.treat = { letter in
      guard case .compareReply(var reply) = letter.message.body, letter.from == TestCluster.id(2),
        case .roots(let answers) = reply.outcome, answers.first?.activity != .looking
      else { return .deliver }
      reply.outcome = .roots(answers.map { RootAnswer(store: $0.store, verdict: .differs(.empty), activity: .looking) })
      cluster.forge(PeerMessage(time: .zero, body: .compareReply(reply)), from: letter.from, to: letter.to)
      return .drop
    }
    let report = try #require(cluster.round(1))
    #expect(report.compared == 2 && report.differing == 1 && report.stillDiffering == 1)
    #expect(report.milliseconds >= 30_000 && report.milliseconds < 31_000, "\(report.milliseconds)")
    cluster.advance(milliseconds: 500)
    #expect(cluster[1].node?.operationsInProgress == 0)
  }
}

extension PeerBody {
  /// The question that an answer with records answers.
  fileprivate var pullOperation: UInt64? {
    if case .pullReply(let reply) = self { reply.operation } else { nil }
  }
}
