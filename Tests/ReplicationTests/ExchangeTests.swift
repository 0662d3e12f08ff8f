import Causality
import Cluster
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Anti-entropy")
struct ExchangeTests {
  /// No round but those that a test asks for.
  private func quiet(_ nodes: Int = 3, partitions: UInt16 = 2) -> TestCluster {
    TestCluster(nodes: nodes, partitions: partitions) { $0.antiEntropyMilliseconds = 0 }
  }

  enum Kind: CaseIterable, Sendable {
    case missing, older, newer, deletedHere, deletedThere, tombstoneOfNobodyElse, hidden, hiddenThere
  }

  @Test(
    "every kind of difference is gone after one round, on both sides; deletes come by the feed, and move nothing",
    arguments: Kind.allCases)
  func kinds(kind: Kind) throws {
    let cluster = quiet()
    for index in 0..<300 {
      for id in 1...3 { cluster.plant(id, "k\(index)", "same", TestCluster.stamp(UInt64(index))) }
    }
    let old = TestCluster.stamp(5000)
    let new = TestCluster.twin(of: old)
    let later = TestCluster.stamp(6000)
    #expect(old.digest == new.digest && old < new && old.digest != later.digest)
    // What node 1 holds, and what the others hold.
    let (here, there): ((String?, Stamp)?, (String?, Stamp)?) =
      switch kind {
      case .missing: (nil, ("v", old))
      case .older: (("v", old), ("w", later))
      case .newer: (("w", later), ("v", old))
      case .deletedHere: ((nil, later), ("v", old))
      case .deletedThere: (("v", old), (nil, later))
      case .tombstoneOfNobodyElse: ((nil, later), nil)
      case .hidden: (("v", old), ("w", new))
      case .hiddenThere: (("w", new), ("v", old))
      }
    for key in ["a", "b", "c"] {
      if let here { cluster.plant(1, key, here.0, here.1) }
      if let there { for id in 2...3 { cluster.plant(id, key, there.0, there.1) } }
    }
    #expect(!cluster.differing.isEmpty)
    let report = try #require(cluster.round(1))
    let newest = [here, there].compactMap(\.self).max { $0.1 < $1.1 }
    #expect(report.obstacles == [] && report.compared == 4)
    if newest?.0 == nil {
      cluster.advance(milliseconds: 5000)
    } else {
      #expect(report.stillDiffering == 0 && report.differing > 0)
    }
    #expect(cluster.differing == [])
    for key in ["a", "b", "c"] {
      for id in 1...3 {
        let held = cluster.held(id, key)
        #expect(held?.stamp == newest?.1 && held?.isTombstone == (newest?.0 == nil), "\(key) at n\(id)")
      }
    }
    let pulled = (1...3).map { cluster.status($0)?.counters.antiEntropy.keysPulled ?? 0 }
    let isBehind = here.map { $0.1 < newest?.1 ?? .zero } ?? true
    #expect(pulled == (newest?.0 == nil ? [0, 0, 0] : isBehind ? [3, 0, 0] : [0, 3, 3]), "\(pulled)")
  }

  @Test("a round that is asked for ends, however often rounds begin by themselves, and while writes go on")
  func shortInterval() throws {
    let cluster = TestCluster(nodes: 3, partitions: 2) { $0.antiEntropyMilliseconds = 100 }
    // Answers take a while, as they do on a network.
    var ticks = 0
    cluster.treat = { letter in
      switch letter.message.body {
      case .compareReply, .pullReply: .hold
      default: .deliver
      }
    }
    func pass(_ milliseconds: Int) {
      for _ in 0..<milliseconds / 10 {
        ticks += 1
        // Every write misses one of its owners.
        if ticks % 3 == 0 {
          cluster.plant(1 + ticks % 2, "k\(ticks)", "v", TestCluster.stamp(UInt64(ticks)))
        }
        if ticks % 5 == 0 { cluster.release() }
        cluster.advance(milliseconds: 10)
      }
    }
    pass(2000)
    for session in UInt64(500)...502 { cluster.admin(Int(session) - 499, .antiEntropy, session: session) }
    pass(20_000)
    for session in UInt64(500)...502 { #expect(cluster.outcomes[session] != nil, "n\(session - 499)") }
  }

  @Test("any divergence of thousands of keys is equal everywhere after a round per pair", arguments: UInt64(0)..<6)
  func random(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let cluster = quiet(3 + generator.below(2), partitions: UInt16(1 << generator.below(3)))
    let count = cluster.nodes.count
    for id in 1...count { cluster[id].node?.disk.wouldBlockChance = generator.below(3) * 200 }
    var newest: [String: StoredVersion] = [:]
    for index in 0..<1500 {
      let key = "k\(index)"
      let owners = cluster.owners(of: key)
      let base = TestCluster.stamp(UInt64(generator.below(1_000_000)))
      var versions: [(Stamp, String?)] = [(base, "v\(index)")]
      if generator.chance(1, in: 4) {
        let isHidden = generator.chance(1, in: 3)
        let above = isHidden ? TestCluster.twin(of: base) : TestCluster.stamp(2_000_000 + UInt64(index))
        versions.append((above, generator.chance(1, in: 3) ? nil : "w\(index)"))
      }
      for owner in owners where generator.chance(9, in: 10) {
        let (stamp, value) = versions[generator.below(versions.count)]
        cluster.plant(owner, key, value, stamp)
        if stamp > newest[key]?.stamp ?? .zero { newest[key] = cluster.held(owner, key) }
      }
    }
    // The first one once more: what the others found among themselves it has not seen.
    for id in Array(1..<count) + [1] {
      let report = try #require(cluster.round(id))
      #expect(report.obstacles == [])
    }
    // Tombstones have their own way.
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.differing == [])
    for (key, version) in newest.sorted(by: { $0.key < $1.key }) {
      for owner in cluster.owners(of: key) { #expect(cluster.held(owner, key) == version, "\(key) at n\(owner)") }
    }
    cluster.advance(milliseconds: 5000)
    for id in 1...count { #expect(cluster[id].stopped == nil && cluster[id].node?.operationsInProgress == 0) }
  }

  @Test("stores that are equal cost one message about their roots per peer, and its answer")
  func equal() throws {
    let cluster = quiet(partitions: 8)
    for index in 0..<200 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(UInt64(index))) } }
    let start = cluster.sent.count
    let report = try #require(cluster.round(1))
    #expect(report.compared == 16 && report.differing == 0 && report.keysPulled == 0)
    let letters = cluster.exchanges(from: start)
    #expect(letters.count == 4 && letters.allSatisfy { $0.isRoots })
    #expect(letters.reduce(0) { $0 + $1.byteCount } < 700)
    for peer in try #require(cluster.status(1)).antiEntropy.pairs { #expect(peer.lastRoundMilliseconds != nil) }
  }

  @Test("what moves follows the differences, not the keys")
  func cost() throws {
    let cluster = quiet(partitions: 4)
    let value = String(repeating: "x", count: 500)
    for index in 0..<6000 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(UInt64(index))) } }
    for index in 0..<60 { cluster.plant(2, "k\(index * 100)", value, TestCluster.stamp(10_000)) }
    let start = cluster.sent.count
    let report = try #require(cluster.round(1))
    #expect(
      report.keysPulled == 60 && cluster.root(1, cluster.store(of: "k0")) == cluster.root(2, cluster.store(of: "k0")))
    // Node 1 pulls from node 2, and node 3 from node 1.
    let bytes = cluster.exchanges(from: start).reduce(0) { $0 + $1.byteCount }
    #expect(bytes < 2 * 2 * 60 * 560 + 100_000, "\(bytes)")
  }

  @Test("every pair is compared once per interval without being asked, and a cluster at rest sends roots only")
  func interval() throws {
    let cluster = TestCluster(nodes: 3, partitions: 4) { $0.antiEntropyMilliseconds = 10_000 }
    cluster.plant(2, "a", "v", TestCluster.stamp(1))
    cluster.advance(milliseconds: 21_000)
    for id in 1...3 {
      #expect(cluster.held(id, "a") != nil)
      for pair in try #require(cluster.status(id)).antiEntropy.pairs {
        let last = try #require(pair.lastRoundMilliseconds)
        #expect(last <= 10_500, "\(pair)")
      }
    }
    let start = cluster.sent.count
    cluster.advance(milliseconds: 30_000)
    let letters = cluster.exchanges(from: start)
    #expect(letters.allSatisfy { $0.isRoots })
    // Three rounds of each node with each of two peers.
    #expect((34...38).contains(letters.count), "\(letters.count)")
  }

  @Test("the round of one node leads to a round of its peer, and not to one more for each message")
  func invitation() throws {
    let cluster = quiet()
    for index in 0..<50 { cluster.plant(1, "k\(index)", "v", TestCluster.stamp(UInt64(index))) }
    _ = try #require(cluster.round(1))
    #expect(cluster.differing == [])
    for id in 2...3 {
      let counters = try #require(cluster.status(id)).counters.antiEntropy
      #expect(counters.keysPulled == 50 && counters.rounds == 2, "\(counters)")
    }
    cluster.advance(milliseconds: 60_000)
    #expect(cluster[2].node?.operationsInProgress == 0)
    #expect(try #require(cluster.status(2)).counters.antiEntropy.rounds == 2)
  }

  @Test("what cannot be healed does not keep two nodes asking each other")
  func persistent() throws {
    let cluster = quiet()
    for index in 0..<50 { cluster.plant(1, "k\(index)", "v", TestCluster.stamp(UInt64(index))) }
    // The others' disks take no values.
    for id in 2...3 { cluster[id].node?.disk.spaceLeft = 0 }
    cluster.advance(milliseconds: 2000)
    let start = cluster.sent.count
    let report = try #require(cluster.round(1))
    #expect(report.stillDiffering == 4)
    cluster.advance(milliseconds: 5000)
    let first = cluster.exchanges(from: start).count
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.exchanges(from: start).count == first)
    for id in 1...3 { #expect(cluster[id].node?.operationsInProgress == 0) }
    for pair in try #require(cluster.status(2)).antiEntropy.pairs where pair.peer.name == "n1" {
      guard case .failed(let reason) = pair.state else {
        Issue.record("a round came to its end on a full disk")
        continue
      }
      #expect(reason.contains("full"))
    }
  }

  @Test("messages that are lost, repeated and out of order cost a round at most", arguments: UInt64(0)..<8)
  func badNetwork(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let cluster = quiet(partitions: 1)
    for index in 0..<200 {
      for id in 1...3 where generator.chance(3, in: 4) {
        let value = generator.chance(1, in: 5) ? nil : "v"
        cluster.plant(id, "k\(index)", value, TestCluster.stamp(UInt64(index * 10 + id)))
      }
    }
    let loss = 5 + generator.below(15)
    var chance = generator
    cluster.treat = { letter in
      guard case .drop = TestCluster.withholdsExchanges(letter) else { return .deliver }
      let drawn = chance.below(100)
      if drawn < loss { return .drop }
      if drawn < loss + 10 { return .hold }
      if drawn < loss + 20 { cluster.forge(letter.message, from: letter.from, to: letter.to) }
      return .deliver
    }
    for round in 0..<2 {
      let session = UInt64(5000 + round)
      cluster.admin(1 + round % 3, .antiEntropy, session: session)
      for _ in 0..<600 where cluster.outcomes[session] == nil {
        cluster.advance(milliseconds: 1000, tick: 250)
        cluster.release { _ in chance.below(2) == 0 }
      }
      #expect(cluster.outcomes[session] != nil, "round \(round) has no answer")
    }
    cluster.treat = { _ in .deliver }
    cluster.release()
    for id in 1...3 { _ = try #require(cluster.round(id)) }
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.differing == [])
    for id in 1...3 { #expect(cluster[id].node?.operationsInProgress == 0 && cluster[id].stopped == nil) }
  }

  @Test("a peer that goes down, or is started anew, in the middle ends its exchange and nothing else")
  func peerGone() throws {
    let cluster = quiet()
    for index in 0..<100 { for id in 2...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(UInt64(index))) } }
    cluster.treat = { letter in
      if case .pull = letter.message.body, letter.to == TestCluster.id(2) { .hold } else { .deliver }
    }
    cluster.admin(1, .antiEntropy, session: 7)
    cluster.advance(milliseconds: 100)
    #expect(cluster.outcomes[7] == nil)
    cluster.kill(2)
    cluster.advance(milliseconds: 5000)
    guard case .antiEntropy(let report)? = cluster.outcomes[7] else {
      Issue.record("no answer")
      return
    }
    #expect(Set(report.obstacles.map(\.peer.name)) == ["n2"] && report.obstacles.count == 2)
    #expect(report.obstacles.allSatisfy { $0.reason.contains("n2") })
    #expect(cluster.root(1, cluster.store(of: "k0")) == cluster.root(3, cluster.store(of: "k0")))
    cluster.start(2, life: 1)
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 3000)
    let down = try #require(cluster.round(1))
    #expect(down.obstacles == [] && cluster.differing == [])
    cluster.kill(3)
    let one = try #require(cluster.round(1))
    #expect(one.obstacles.map(\.peer.name) == ["n3"] && one.obstacles[0].store == nil && one.compared == 2)
  }

  @Test("who asks while a round is under way is told of what differs after that, not of what was being repaired")
  func joining() throws {
    let cluster = quiet(partitions: 1)
    for index in 0..<100 { for id in 1...3 { cluster.plant(id, "k\(index)", "v", TestCluster.stamp(1)) } }
    for id in 2...3 { cluster.plant(id, "a", "v", TestCluster.stamp(2)) }
    cluster.treat = { letter in
      if case .pullReply = letter.message.body { .hold } else { .deliver }
    }
    cluster.admin(1, .antiEntropy, session: 1)
    cluster.advance(milliseconds: 500)
    #expect(cluster.outcomes[1] == nil && !cluster.held.isEmpty)
    cluster.plant(1, "a", "v", TestCluster.stamp(2))
    cluster.admin(1, .antiEntropy, session: 2)
    cluster.advance(milliseconds: 200)
    #expect(cluster.outcomes[2] == nil)
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 3000)
    guard case .antiEntropy(let first)? = cluster.outcomes[1], case .antiEntropy(let second)? = cluster.outcomes[2]
    else { return #expect(Bool(false), "\(cluster.outcomes)") }
    #expect(first.differing > 0 && first.compared == 2)
    #expect(second.compared == 2 && second.differing == 0 && second.keysPulled == 0 && second.obstacles == [])
    #expect(cluster.differing == [])
  }

  @Test("a round that ends before its peer has asked again for what was lost tells what differs, the next none")
  func lostAnswer() throws {
    let cluster = TestCluster(nodes: 3, partitions: 1) { $0.antiEntropyMilliseconds = 1000 }
    var isLost = false
    cluster.treat = { letter in
      guard !isLost, letter.to == TestCluster.id(2), case .compareReply(let reply) = letter.message.body,
        case .segments = reply.outcome
      else { return .deliver }
      isLost = true
      return .drop
    }
    for id in [1, 3] { cluster.plant(id, "a", "v", TestCluster.stamp(1)) }
    for _ in 0..<200 where !isLost { cluster.advance(milliseconds: 10) }
    #expect(isLost)
    let first = try #require(cluster.round(1, within: ExchangeQuestion.patienceMilliseconds - 500))
    #expect(first.stillDiffering == 1 && first.keysPulled == 0 && first.obstacles == [])
    cluster.advance(milliseconds: ExchangeQuestion.patienceMilliseconds)
    let second = try #require(cluster.round(1))
    #expect(second.stillDiffering == 0 && second.obstacles == [])
    #expect(cluster.differing == [])
  }

  @Test("a node that stops answers those who wait for a round, and stops")
  func stopping() throws {
    let cluster = quiet()
    for index in 0..<100 { cluster.plant(2, "k\(index)", "v", TestCluster.stamp(UInt64(index))) }
    cluster.treat = { letter in
      if case .pull = letter.message.body { .hold } else { .deliver }
    }
    cluster.admin(1, .antiEntropy, session: 7)
    cluster.step(cluster[1], .shutdown)
    cluster.advance(milliseconds: 1000)
    guard case .refused(let reason)? = cluster.outcomes[7] else {
      Issue.record("no answer")
      return
    }
    #expect(reason.contains("stopping") && cluster[1].stopped == .clean)
    cluster.advance(milliseconds: 30_000)
    #expect(cluster[2].node?.operationsInProgress == 0)
  }

  @Test("pulled writes move the clock, so that what is written after them is above them")
  func clock() throws {
    let cluster = quiet()
    let future = Stamp(time: HybridTime(milliseconds: 1_700_000_900_000), actor: ActorID(5))
    cluster.plant(2, "a", "v", future)
    _ = try #require(cluster.round(1))
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "mine")))).isStored)
    #expect(try #require(cluster.held(1, "a")).stamp > future)
  }

  @Test("pulled writes are durable like any other: power loss takes none that a sync has covered")
  func durable() throws {
    let cluster = quiet()
    for index in 0..<50 { cluster.plant(2, "k\(index)", "v", TestCluster.stamp(UInt64(index))) }
    _ = try #require(cluster.round(1))
    cluster.advance(milliseconds: 2000)
    cluster.kill(1, powerLoss: true)
    cluster.start(1, life: 1)
    for index in 0..<50 { #expect(cluster.held(1, "k\(index)") != nil) }
  }
}
