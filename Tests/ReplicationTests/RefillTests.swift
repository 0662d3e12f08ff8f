import Causality
import Cluster
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Refills")
struct RefillTests {
  private func filled(_ keys: Int = 400, changing: (inout NodeOptions) -> Void = { _ in }) -> TestCluster {
    let cluster = TestCluster(nodes: 3, partitions: 1) {
      $0.antiEntropyMilliseconds = 0
      changing(&$0)
    }
    for index in 0..<keys {
      for id in 1...3 {
        cluster.plant(id, "k\(index)", index % 10 == 0 ? nil : "v\(index)", TestCluster.stamp(UInt64(index)))
      }
    }
    cluster.advance(milliseconds: 100)
    return cluster
  }

  private let name = "p000-n3"
  private let store = StoreID(partition: 0, replicas: 3)

  private func role(_ cluster: TestCluster, _ id: Int) -> StoreRole? { cluster[id].node?.engine?.role(store) }

  /// Node `id` comes back without the store.
  private func lose(_ cluster: TestCluster, _ id: Int, starting: Bool = true) {
    cluster.kill(id)
    cluster.removeStore(id, name)
    if starting { cluster.start(id, life: UInt64(id)) }
  }

  private func isPull(_ letter: TestCluster.Letter) -> Bool {
    if case .pull = letter.message.body { true } else { false }
  }

  @Test("a store that is gone is filled from the others; until it is whole nothing is found there, nor not found")
  func whole() throws {
    let cluster = filled { $0.pullBytesPerSecond = 4000 }
    cluster.plant(3, "third", "only there", TestCluster.stamp(7))
    lose(cluster, 2)
    var waited = 0
    while role(cluster, 2) != .active, waited < 200 {
      #expect(role(cluster, 2) == .loading)
      let read = PeerRead(
        operation: 1, store: store, configID: cluster[2].node?.configID(store) ?? 0, key: "k1".objectKey)
      let start = cluster.sent.count
      cluster.step(cluster[2], .peer(PeerMessage(time: .zero, body: .read(read)), from: TestCluster.id(1)))
      let answers = cluster.sent[start...].compactMap { letter -> ReadOutcome? in
        if case .readReply(let reply) = letter.message.body { reply.outcome } else { nil }
      }
      #expect(answers == [.refused(.loading)])
      cluster.advance(milliseconds: 100)
      waited += 1
    }
    #expect(waited > 5 && waited < 200)
    #expect(cluster.root(2, store) == cluster.root(3, store))
    #expect(cluster.held(2, "third") != nil && cluster.held(2, "k0")?.isTombstone == true)
    #expect(try #require(cluster.status(2)).counters.antiEntropy.refills == 1)
    #expect(cluster[2].log.count { $0.contains("is filled after") } == 1)
    #expect(try #require(cluster.status(2)).antiEntropy.refills == [])
    // It stays so, and the others recognise it.
    cluster.kill(2, powerLoss: true)
    cluster.start(2, life: 9)
    cluster.advance(milliseconds: 3000)
    #expect(role(cluster, 2) == .active && cluster.root(2, store) == cluster.root(3, store))
  }

  @Test(
    "an owner that is down is waited for: what it acknowledged may be nowhere else", arguments: [false, true])
  func waitsForAll(hasSpoken: Bool) throws {
    let cluster = filled(50)
    cluster.plant(3, "third", "only there", TestCluster.stamp(7))
    cluster.advance(milliseconds: 100)
    if !hasSpoken { cluster.kill(3) }
    cluster.treat = TestCluster.withholdsExchanges
    lose(cluster, 2)
    cluster.advance(milliseconds: 2000)
    if hasSpoken { cluster.kill(3) }
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(role(cluster, 2) == .loading)
    let refill = try #require(cluster.status(2)?.antiEntropy.refills.first)
    #expect(refill.waiting?.contains("n3") == true)
    // One that has not taken note of the new store might still count on the old one.
    #expect(refill.keys == (hasSpoken ? 50 : 0))
    #expect(cluster[2].node?.operationsInProgress == 0)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 5000)
    #expect(role(cluster, 2) == .active && cluster.held(2, "third") != nil)
  }

  @Test("killed in the middle, it goes on with what is missing")
  func resumes() throws {
    let cluster = filled(600) { $0.pullBytesPerSecond = 10_000 }
    // No allowance ahead: all but what may be pulled at once waits.
    cluster.treat = { letter in
      if case .pull(let pull) = letter.message.body, case .range(let segment, _) = pull.subject, segment >= 20 {
        return .drop
      }
      return .deliver
    }
    lose(cluster, 2)
    cluster.advance(milliseconds: 4000)
    #expect(role(cluster, 2) == .loading)
    let held = try #require(cluster.status(2)?.antiEntropy.refills.first).keys
    #expect(held > 200 && held < 600, "\(held)")
    cluster.kill(2)
    cluster.treat = { _ in .deliver }
    let start = cluster.sent.count
    cluster.start(2, life: 20)
    cluster.advance(milliseconds: 20_000)
    #expect(role(cluster, 2) == .active && cluster.root(2, store) == cluster.root(1, store))
    #expect(cluster.recordsPulled(from: start) <= 600 - Int(held))
  }

  @Test("two of three are filled from the third; when nobody has it, it stays loading and says so")
  func twoGone() throws {
    let cluster = filled(50)
    lose(cluster, 1, starting: false)
    lose(cluster, 2, starting: false)
    cluster.start(1, life: 1)
    cluster.start(2, life: 2)
    cluster.advance(milliseconds: 5000)
    for id in 1...2 { #expect(role(cluster, id) == .active && cluster.root(id, store) == cluster.root(3, store)) }
    for id in 1...3 { lose(cluster, id, starting: false) }
    for id in 1...3 { cluster.start(id, life: UInt64(10 + id)) }
    cluster.advance(milliseconds: 5000)
    for id in 1...3 {
      #expect(role(cluster, id) == .loading)
      #expect(cluster.status(id)?.antiEntropy.refills.first?.waiting == "no other owner's store serves")
    }
  }

  @Test("the floor is there before the first key, so that no push brings a purged key back")
  func floorFirst() throws {
    let cluster = filled(50)
    let tombstone = TestCluster.stamp(900)
    for id in [1, 3] { cluster.plant(id, "gone", nil, tombstone) }
    for id in [1, 3] { #expect(cluster.purge(id, "gone", tombstone) == .purged) }
    cluster.treat = { isPull($0) && $0.from == TestCluster.id(2) ? .drop : .deliver }
    lose(cluster, 2)
    cluster.advance(milliseconds: 2000)
    #expect(cluster[2].node?.engine?.floor(store) == tombstone)
    #expect(cluster.status(2)?.antiEntropy.refills.first?.keys == 0)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 20_000)
    #expect(role(cluster, 2) == .active && cluster[2].node?.engine?.floor(store) == tombstone)
    cluster.kill(2, powerLoss: true)
    cluster.start(2, life: 7)
    #expect(cluster[2].node?.engine?.floor(store) == tombstone)
  }

  @Test("a digest that hides a newer write does not pass: a store that is filled compares stamps")
  func hidden() throws {
    let cluster = filled(200)
    let old = TestCluster.stamp(5000)
    for index in 0..<8 {
      // Whichever is asked first has some of the old ones.
      cluster.plant(index % 2 == 0 ? 1 : 3, "h\(index)", "old", old)
      cluster.plant(index % 2 == 0 ? 3 : 1, "h\(index)", "new", TestCluster.twin(of: old))
      // And a difference in the same segment that only the source of the load has.
      cluster.plant(1, "x\(index)", "v", TestCluster.stamp(1))
    }
    lose(cluster, 2)
    cluster.advance(milliseconds: 5000)
    #expect(role(cluster, 2) == .active)
    for index in 0..<8 { #expect(cluster.held(2, "h\(index)")?.stamp == TestCluster.twin(of: old)) }
  }

  @Test("a full disk makes it wait, and it goes on when there is room")
  func fullDisk() throws {
    let cluster = filled(100)
    lose(cluster, 2, starting: false)
    cluster.treat = { isPull($0) ? .hold : .deliver }
    cluster.start(2, life: 2)
    cluster.advance(milliseconds: 1000)
    cluster[2].node?.disk.spaceLeft = 0
    cluster.advance(milliseconds: 2000)
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 3000)
    #expect(role(cluster, 2) == .loading && cluster[2].stopped == nil)
    #expect(cluster.status(2)?.antiEntropy.refills.first?.waiting?.contains("full") == true)
    cluster[2].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 20_000)
    #expect(role(cluster, 2) == .active && cluster.root(2, store) == cluster.root(1, store))
  }

  @Test("a disk that refuses the last step is asked again, and the store can be made anew after that like any other")
  func loadRefused() throws {
    let cluster = filled(50)
    let owners = cluster[1].node?.owners(store) ?? []
    let last = try #require(owners.last(where: { $0 != TestCluster.id(2) }))
    cluster.treat = { letter in
      if case .compareReply = letter.message.body, letter.from == last { .hold } else { .deliver }
    }
    lose(cluster, 2)
    cluster.advance(milliseconds: 2000)
    #expect(role(cluster, 2) == .loading && cluster.status(2)?.antiEntropy.refills.first?.keys == 50)
    cluster[2].node?.disk.spaceLeft = 0
    cluster.treat = { _ in .deliver }
    cluster.release()
    var waited = 0
    while cluster.status(2)?.antiEntropy.refills.first?.waiting != "the disk refuses", waited < 200 {
      cluster.advance(milliseconds: 50)
      waited += 1
    }
    #expect(role(cluster, 2) == .loading && waited < 200)
    cluster[2].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 3000)
    #expect(role(cluster, 2) == .active)
    // Nothing is left that keeps the store from being set aside.
    let path = try #require(
      cluster[2].node?.disk.paths.first { $0.contains("/stores/\(name)/") && $0.hasSuffix(".data") })
    cluster[2].node?.disk.flipBit(0, ofByte: 70, in: path)
    for index in 0..<50 { cluster.ask(2, get("k\(index)", r: .all)) }
    #expect(role(cluster, 2) == .fenced)
    cluster.advance(milliseconds: 8000)
    #expect(role(cluster, 2) == .active && cluster.root(2, store) == cluster.root(1, store))
    #expect(cluster.status(2)?.antiEntropy.scrub.setAside.count == 1)
  }

  @Test("a store that is being filled has no part in rounds: none of them fails for it here, asked for or not")
  func noRounds() throws {
    let cluster = filled(50) { $0.antiEntropyMilliseconds = 500 }
    cluster.treat = { isPull($0) && $0.from == TestCluster.id(2) ? .drop : .deliver }
    lose(cluster, 2)
    cluster.advance(milliseconds: 3000)
    #expect(role(cluster, 2) == .loading)
    let status = try #require(cluster.status(2))
    #expect(status.counters.antiEntropy.roundsFailed == 0)
    #expect(status.antiEntropy.pairs.allSatisfy { $0.state == .idle })
    #expect(status.antiEntropy.refills.count == 1)
    // Who asks is told why nothing was compared.
    let report = try #require(cluster.round(2))
    #expect(report.compared == 0 && report.obstacles.map(\.reason).allSatisfy { $0 == "the store is loading here" })
    #expect(report.obstacles.count == 2)
    #expect(cluster.status(2)?.counters.antiEntropy.roundsFailed == 0)
  }

  @Test("writes for a store that is being filled wait as hints, and go there as soon as it serves")
  func hints() throws {
    let cluster = filled(50)
    cluster.treat = { isPull($0) ? .hold : .deliver }
    lose(cluster, 2)
    cluster.advance(milliseconds: 60_000)
    #expect(try #require(cluster.answer(cluster.ask(1, put("new", "v")))).isStored)
    // Refused so often that the next attempt is far away.
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.hintsLeft == 1 && role(cluster, 2) == .loading)
    cluster.treat = { _ in .deliver }
    cluster.release()
    var waited = 0
    while role(cluster, 2) != .active, waited < 300 {
      cluster.advance(milliseconds: 100)
      waited += 1
    }
    cluster.advance(milliseconds: 300)
    #expect(cluster.hintsLeft == 0 && cluster.held(2, "new") != nil)
  }
}
