import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("What keeps a tombstone is told, and goes with its reason")
struct TombstoneViewTests {
  @Test("an owner that is down, since when, and that it has still to acknowledge")
  func down() throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    cluster.kill(3)
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 60_000)
    let store = try #require(cluster.view(1)?.stores.first)
    #expect(store.pending == 1 && store.oldestMilliseconds == 60_000)
    guard case .down(let silent?, _) = store.blockers.first?.reason else {
      Issue.record("\(store.blockers)")
      return
    }
    #expect((60_000...61_500).contains(silent))
    #expect(store.blockers.allSatisfy { $0.node == "n3" })
    #expect(store.blockers.map(\.kind) == [.down, .cursorLag, .antiEntropy])
    #expect(store.blockers[1].reason == .cursorLag(behind: 1))
    #expect(store.bytes.pending > 0 && !store.bytes.isEstimate)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0] && cluster.view(1)?.stores.isEmpty == true)
    #expect(cluster.view(1)?.oldestMilliseconds == nil && cluster.view(1)?.blockedBy == [])
  }

  @Test("an owner that is up and has not acknowledged, and by how much it is behind")
  func cursorLag() {
    let cluster = TestCluster.feeding()
    cluster.treatStates(from: 3, to: 1)
    for index in 0..<40 { cluster.ask(1, delete("k\(index)", always: true)) }
    cluster.advance(milliseconds: 3000)
    let stores = cluster.view(1)?.stores ?? []
    #expect(stores.count == 4 && Set(cluster.firstBlockers(1)) == ["n3 cursor_lag"])
    for store in stores { #expect(store.blockers.first?.reason == .cursorLag(behind: UInt64(store.pending))) }
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("of two owners that lag the one that is away comes first, and time comes after both")
  func order() {
    let cluster = TestCluster.feeding(hold: 60_000)
    cluster.treatStates(from: 2, to: 1)
    cluster.kill(3)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 5000)
    let blockers = cluster.view(1)?.stores.first?.blockers ?? []
    let words = blockers.map { "\($0.node) \($0.kind.rawValue)" }
    #expect(
      words == [
        "n3 down", "n2 cursor_lag", "n3 cursor_lag", "n1 hold", "n2 anti_entropy", "n3 anti_entropy",
      ])
  }

  @Test("the time that a tombstone is kept at least, and how much of it is left")
  func hold() throws {
    let cluster = TestCluster.feeding(hold: 10_000)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 4000)
    let first = try #require(cluster.view(1)?.stores.first?.blockers.first)
    guard case .hold(let left) = first.reason else {
      Issue.record("\(first)")
      return
    }
    #expect((5500...7000).contains(left) && first.node == "n1")
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("an owner whose store is being filled, and there how much of it is here")
  func loading() throws {
    let cluster = TestCluster.feeding()
    for index in 0..<20 { cluster.ask(1, put("k\(index)", "v")) }
    cluster.kill(3)
    for index in 0..<10 { cluster.ask(1, delete("k\(index)")) }
    cluster.wipe(3)
    cluster.treat = TestCluster.withholdsExchanges
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 5000)
    #expect(Set(cluster.firstBlockers(1)) == ["n3 loading"])
    #expect(cluster.view(3)?.loading.count == 4)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 120_000)
    #expect(cluster.waiting == [0, 0, 0] && cluster.view(3)?.loading.isEmpty == true)
  }

  @Test("an owner whose store is fenced")
  func fenced() throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    let store = cluster.store(of: "a")
    cluster.holdsSyncs = []
    let engine = try #require(cluster.engine(3))
    // Nobody can begin to make it anew while the other owners do not say that theirs serve.
    cluster[3].node?.genesis.forget(NodeID(1))
    cluster[3].node?.genesis.forget(NodeID(2))
    cluster.treat = { letter in
      guard letter.to == NodeID(3) else { return .deliver }
      if case .storeStates = letter.message.body { return .drop }
      return .deliver
    }
    cluster[3].node?.fenceRegressed(
      StoreVerdict(store: store, incarnation: engine.incarnation(store), judgement: .head), judge: NodeID(1), engine)
    cluster.advance(milliseconds: 500)
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.firstBlockers(1) == ["n3 fenced"])
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("a clock that its node doubts is pointed out, and keeps nothing")
  func clockDoubted() {
    let cluster = TestCluster.feeding(hold: 20_000)
    cluster[3].wallOffset = 120_000
    cluster.advance(milliseconds: 5000)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 5000)
    for id in 1...3 {
      let blockers = cluster.view(id)?.stores.first?.blockers ?? []
      #expect(blockers.first?.kind == .hold)
      #expect(blockers.last == TombstoneBlocker(node: "n3", .clockDoubted(expired: 0)), "n\(id): \(blockers)")
    }
    cluster[3].wallOffset = 0
    cluster.advance(milliseconds: 5000)
    for id in 1...3 { #expect(cluster.view(id)?.stores.first?.blockers.contains { $0.kind == .clockDoubted } == false) }
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("the oldest of all stores says what comes first, and each reason has its number")
  func total() throws {
    let cluster = TestCluster.feeding(hold: 10_000)
    cluster.kill(3)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 2000)
    for index in 0..<20 { cluster.ask(1, delete("k\(index)", always: true)) }
    cluster.advance(milliseconds: 100)
    let view = try #require(cluster.view(1))
    #expect(view.pending == 21 && view.stores.count == 4)
    let block = try #require(view.blockedBy.first)
    #expect(block.blocker.kind == .down && block.stores == 4 && block.pending == 21 && view.blockedBy.count == 1)
    #expect(block.oldestMilliseconds == view.oldestMilliseconds)
    let longest = view.stores.map(\.bytes.pending).reduce(0, +)
    #expect(longest == view.bytes)
  }

  @Test("what the first sixty-four cost is reckoned up for all", arguments: [64, 65])
  func measured(count: Int) throws {
    let cluster = TestCluster(nodes: 3, partitions: 1) {
      $0.antiEntropyMilliseconds = 0
      $0.tombstoneHoldMilliseconds = 3_600_000
    }
    for index in 0..<count { cluster.ask(1, delete("key\(100 + index)", always: true)) }
    let bytes = try #require(cluster.view(1)?.stores.first?.bytes)
    #expect(bytes.isEstimate == (count > 64))
    let status = try #require(cluster.status(1)?.stores.first)
    #expect(bytes.pending == status.liveBytes)
  }

  @Test("a tombstone that has waited for an hour is told of once in an hour, with whom it waits for")
  func log() {
    let cluster = TestCluster.feeding()
    cluster.kill(3)
    cluster.ask(1, delete("a", always: true))
    func lines() -> [String] { cluster[1].log.filter { $0.contains("tombstones wait here") } }
    cluster.advance(milliseconds: 3_590_000, tick: 1000)
    #expect(lines().isEmpty)
    cluster.advance(milliseconds: 120_000, tick: 1000)
    #expect(lines().count == 1 && lines()[0].hasPrefix("1 tombstones wait here, the oldest for 60 min: n3 is down, "))
    cluster.advance(milliseconds: 3_400_000, tick: 1000)
    #expect(lines().count == 1)
    cluster.advance(milliseconds: 300_000, tick: 1000)
    #expect(lines().count == 2)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 3000)
    cluster.advance(milliseconds: 8_000_000, tick: 1000)
    #expect(lines().count == 2)
  }

  @Test("every reason has words that name its node, and says what to do")
  func words() {
    let reasons: [TombstoneBlocker.Reason] = [
      .loading(percent: 40), .loading(percent: nil), .fenced, .down(milliseconds: 5, why: "x"),
      .down(milliseconds: nil, why: "x"), .otherOwners, .unvalidated, .unsynced, .cursorLag(behind: 1),
      .feedLag(behind: 1), .hold(leftMilliseconds: 1), .antiEntropy(failure: "x"), .backup(leftMilliseconds: 1),
      .purging, .mergeOverlap(files: [12]), .clockDoubted(expired: 0), .clockDoubted(expired: 5),
      .clockUnconfirmed(expired: 5),
    ]
    #expect(Set(reasons.map(\.kind)) == Set(TombstoneBlocker.Kind.allCases))
    for reason in reasons {
      let blocker = TombstoneBlocker(node: "n3", reason)
      #expect(blocker.text.contains("n3") && !blocker.advice.isEmpty)
    }
    #expect(TombstoneBlocker(node: "n3", .loading(percent: 40)).text == "n3 is loading, 40 %")
    #expect(TombstoneBlocker(node: "n3", .mergeOverlap(files: [12, 14])).text.contains("file 12, 14"))
  }
}

extension TestCluster {
  func view(_ id: Int) -> TombstoneStatus? { self[id].node?.tombstoneStatus(at: moment(self[id])) }

  /// What each store's oldest tombstone waits for first: the node, and the reason's word.
  func firstBlockers(_ id: Int) -> [String] {
    (view(id)?.stores ?? []).compactMap { store in
      store.blockers.first.map { "\($0.node) \($0.kind.rawValue)" }
    }
  }
}
