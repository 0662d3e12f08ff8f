import Causality
import Cluster
import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

@testable import Replication

// Values that expire (rules TTL and EXPIRY): gone at their time wherever one asks, never back, and no reason for owners to
// send each other anything but the tombstones that they become.

@Suite("Values that expire")
struct ExpiryTests {
  @Test("gone at their time for reads and listings at every node, while every owner has the value still")
  func gone() throws {
    let cluster = TestCluster.expiring()
    let stored = cluster.answer(cluster.ask(1, put("a", "short", .seconds(10))))
    guard case .stored(let stamp)? = stored else { throw Unexpected() }
    cluster.ask(2, put("b", "stays"))
    let listed = cluster.list(3)
    #expect(cluster.listings[listed]?.names.sorted() == ["a", "b"])
    guard case .object(_, _, let expiry)? = cluster.answer(cluster.ask(2, get("a"))) else { throw Unexpected() }
    #expect(expiry == cluster.expiry(inMilliseconds: 10_000))
    cluster.advance(milliseconds: 10_500)
    for id in 1...3 {
      for r in 1...3 {
        #expect(cluster.answer(cluster.ask(id, get("a", r: .count(r)))) == .notFound(tombstone: stamp))
      }
      let listed = cluster.list(id)
      #expect(cluster.listings[listed]?.names == ["b"] && cluster.listings[listed]?.last == .end)
      #expect(cluster.held(id, "a")?.isTombstone == false && cluster.held(id, "a")?.expiry == expiry)
    }
    // Written anew it is there again.
    cluster.ask(2, put("a", "anew"))
    #expect(Set(cluster.readable("a", through: [1, 2, 3])) == ["anew"])
    cluster.advance(milliseconds: 200_000, tick: 100)
    #expect(Set(cluster.readable("a", through: [1, 2, 3])) == ["anew"] && cluster.sum(\.buried) == 0)
  }

  @Test("a delete that finds an expired value holds for nodes whose clocks are behind")
  func deleted() throws {
    let cluster = TestCluster.expiring(offsets: [29_000, -29_000, 0])
    cluster.ask(3, put("a", "short", .seconds(10)))
    #expect(Set(cluster.readable("a", through: [2])) == ["short"] && cluster.readable("a", through: [1]) == [])
    #expect(cluster.answer(cluster.ask(1, delete("a")))?.isDeleted == true)
    #expect(cluster.readable("a", through: [1, 2, 3]) == [])
    cluster.advance(milliseconds: 200_000, tick: 100)
    #expect(cluster.waiting == [0, 0, 0] && cluster.sum(\.buried) == 0)
  }

  @Test("a put has one expiry for life, whoever coordinates it and however often, and the newest put decides")
  func oneExpiry() throws {
    let cluster = TestCluster(nodes: 5) { $0.lifetime = .seconds(100) }
    let (key, entry) = try #require(cluster.foreignKey())
    for (number, lifetime) in [Lifetime.standard, .seconds(7), .unlimited, .until(.last)].enumerated() {
      // The first owner that is asked takes it, and its answer is lost.
      cluster.treat = { letter in
        if case .forwardReply = letter.message.body { .drop } else { .deliver }
      }
      let times = (cluster.expiry(inMilliseconds: 100_000), cluster.expiry(inMilliseconds: 7000))
      let session = cluster.ask(entry, put(key, "v\(number)", lifetime))
      let first = try #require(cluster.lastForward()?.to)
      cluster.treat = { _ in .deliver }
      cluster.kill(Int(first.rawValue))
      cluster.advance(milliseconds: 2000)
      #expect(cluster.answer(session)?.isStored == true)
      cluster.start(Int(first.rawValue), life: UInt64(number + 1))
      cluster.advance(milliseconds: 5000)
      let held = cluster.owners(of: key).compactMap { cluster.held($0, key) }
      let expected: [Expiry] = [times.0, times.1, .never, .last]
      #expect(held.count == 3 && Set(held.map(\.stamp)).count == 1)
      #expect(Set(held.map(\.expiry)) == [expected[number]])
    }
  }

  /// Which node's clock is how far off, and what else happens between.
  struct Weather: CustomTestStringConvertible, Sendable {
    let offsets: [Int64]
    /// Milliseconds after the expiry at which the node comes back that was down.
    let back: UInt64
    let merges: Bool
    let hints: Bool
    var testDescription: String { "clocks \(offsets), back after \(back), merges \(merges), hints \(hints)" }

    static let all: [Weather] = [
      Weather(offsets: [30_000, -30_000, 0], back: 1000, merges: false, hints: false),
      Weather(offsets: [30_000, -30_000, 0], back: 400_000, merges: true, hints: true),
      Weather(offsets: [-30_000, 30_000, 0], back: 100_000, merges: true, hints: false),
      Weather(offsets: [0, -30_000, 30_000], back: 130_000, merges: false, hints: true),
      Weather(offsets: [30_000, 0, -30_000], back: 400_000, merges: true, hints: false),
      Weather(offsets: [0, 0, 0], back: 50_000, merges: true, hints: true),
    ]
  }

  @Test(
    "one owner down across the expiry, with an older value that has none: never back, gone everywhere, and then silence",
    arguments: Weather.all)
  func acrossTheDeadline(weather: Weather) throws {
    let cluster = TestCluster.expiring(offsets: weather.offsets) { $0.antiEntropyMilliseconds = 20_000 }
    cluster.ask(1, put("a", "old", w: .all))
    cluster.kill(3)
    if !weather.hints {
      cluster.treat = { letter in
        if case .push(let push) = letter.message.body, push.kind == .handoff { .drop } else { .deliver }
      }
    }
    cluster.advance(milliseconds: 3000)
    guard case .stored(let stamp)? = cluster.answer(cluster.ask(1, put("a", "short", .seconds(60)))) else {
      throw Unexpected()
    }
    #expect(Set(cluster.readable("a", through: [1, 2])) == ["short"])
    // Past the expiry by every clock.
    cluster.advance(milliseconds: 60_000 + 60_000, tick: 100)
    if weather.merges { for id in 1...2 { cluster.admin(id, .merge, session: 900_000 + UInt64(id)) } }
    cluster.advance(milliseconds: weather.back, tick: 100)
    #expect(cluster.neverBack("a", through: [1, 2]))
    cluster.start(3, life: 1)
    for step in 0..<600 {
      #expect(cluster.neverBack("a", through: [1, 2, 3]), "\(step) steps after it came back")
      if weather.merges, step % 100 == 50 {
        for id in 1...3 { cluster.admin(id, .merge, session: 910_000 + UInt64(step * 3 + id)) }
      }
      cluster.advance(milliseconds: 500, tick: 100)
    }
    // What was on its way all the time comes when everybody has forgotten.
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 120_000, tick: 100)
    for id in 1...3 { #expect(cluster.held(id, "a") == nil && cluster.quarantined(id) == 0, "n\(id)") }
    #expect(cluster.waiting == [0, 0, 0] && cluster.sum(\.buried) >= 1 && cluster.differing.isEmpty)
    #expect((1...3).allSatisfy { cluster.engine($0)?.floor(cluster.store(of: "a")) ?? .zero >= stamp })
    let quiet = cluster.sent.count
    let differed = cluster.roundsDiffering
    cluster.advance(milliseconds: 300_000, tick: 100)
    #expect(cluster.recordsPulled(from: quiet) == 0 && cluster.repairs(from: quiet) == 0)
    #expect(cluster.feedTalk(from: quiet).isEmpty && cluster.roundsDiffering == differed)
    #expect(cluster.neverBack("a", through: [1, 2, 3]))
  }

  @Test(
    "no round finds a difference and nothing is pulled while values expire and are buried, whatever the clocks say",
    arguments: [[30_000, -30_000, 0], [0, -29_000, 30_000], [0, 0, 0]] as [[Int64]])
  func noRepairs(offsets: [Int64]) {
    let cluster = TestCluster.expiring(offsets: offsets) { $0.antiEntropyMilliseconds = 700 }
    for index in 0..<40 {
      cluster.ask(1 + index % 3, put("k\(index)", "v", .seconds(UInt32(60 + 5 * index))))
    }
    cluster.ask(1, put("stays", "v"))
    cluster.advance(milliseconds: 3000)
    let start = cluster.sent.count
    let differed = cluster.roundsDiffering
    cluster.advance(milliseconds: 520_000, tick: 100)
    #expect(cluster.sum(\.buried) >= 40 && cluster.waiting == [0, 0, 0])
    #expect(cluster.recordsPulled(from: start) == 0 && cluster.repairs(from: start) == 0)
    #expect(cluster.roundsDiffering == differed)
    #expect(cluster.readable("stays", through: [1, 2, 3]).count == 9)
    for index in 0..<40 { #expect(cluster.held(1, "k\(index)") == nil) }
  }

  @Test(
    "a node whose clock is wrong buries nothing, and judges what it is asked for by the clocks of the others",
    arguments: [3_600_000, -3_600_000] as [Int64])
  func wrongClock(offset: Int64) {
    let cluster = TestCluster.expiring(offsets: [0, 0, offset])
    cluster.ask(1, put("a", "short", .seconds(600)))
    cluster.advance(milliseconds: 60_000, tick: 100)
    #expect(cluster.readable("a", through: [1, 2, 3]) == Array(repeating: "short", count: 9))
    #expect(cluster.sum(\.buried) == 0 && cluster.held(3, "a")?.isTombstone == false)
    cluster.advance(milliseconds: 541_000, tick: 100)
    #expect(cluster.readable("a", through: [1, 2, 3]) == [])
    cluster.advance(milliseconds: 300_000, tick: 100)
    #expect(cluster.counters(3).buried == 0 && cluster.counters(1).buried + cluster.counters(2).buried > 0)
    #expect(cluster.held(3, "a") == nil && cluster.waiting == [0, 0, 0])
  }

  @Test("a node that hears no majority buries nothing, and does so when it hears one")
  func alone() {
    let cluster = TestCluster.expiring()
    cluster.ask(1, put("a", "short", .seconds(30)))
    for id in 1...3 { cluster.kill(id) }
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 300_000, tick: 100)
    #expect(cluster.counters(2).buried == 0 && cluster.held(2, "a")?.isTombstone == false)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.held(2, "a")?.isTombstone == true && cluster.waiting[1] == 1)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.waiting == [0, 0, 0] && cluster.held(3, "a") == nil)
  }

  @Test("values become tombstones whatever tombstones_max says, and those count for the deletes of clients")
  func bound() throws {
    let cluster = TestCluster.expiring { $0.tombstonesMax = 4 }
    for index in 0..<10 { cluster.ask(1, put("k\(index)", "v", .seconds(10))) }
    for key in ["a", "b"] { cluster.ask(1, put(key, "stays")) }
    cluster.kill(3)
    cluster.advance(milliseconds: 200_000, tick: 100)
    #expect(cluster.waiting[0] == 10 && cluster.waiting[1] == 10)
    #expect(cluster.sum(\.buried) >= 10 && cluster.sum(\.tombstonesRefused) == 0)
    let refused = cluster.answer(cluster.ask(1, delete("a")))
    guard case .failed(.full(let detail))? = refused else { throw Unexpected() }
    #expect(detail.contains("n3 is down"))
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 60_000, tick: 100)
    #expect(cluster.waiting == [0, 0, 0] && cluster.differing.isEmpty)
    #expect(cluster.answer(cluster.ask(1, delete("a")))?.isDeleted == true)
  }

  @Test(
    "where expiry waits for the clock of a node its view says so, and for how many values, and when that goes it is over"
  )
  func blocked() throws {
    // No two agree, and the one in the middle cannot know which is wrong.
    let cluster = TestCluster.expiring(offsets: [600_000, 0, -600_000])
    cluster.ask(2, put("a", "short", .seconds(20)))
    cluster.ask(2, put("b", "short", .seconds(20)))
    cluster.ask(2, put("c", "long", .seconds(20_000)))
    cluster.advance(milliseconds: 100_000, tick: 100)
    #expect(cluster.view(2)?.stores.isEmpty == true && cluster.view(2)?.expiring == 3, "it is not time yet")
    cluster.advance(milliseconds: 100_000, tick: 100)
    let reasons: [TombstoneBlocker.Reason] = [
      .clockDoubted(expired: 2), .clockUnconfirmed(expired: 2), .clockDoubted(expired: 2),
    ]
    for id in 1...3 {
      let view = try #require(cluster.view(id))
      let own = TombstoneBlocker(node: "n\(id)", reasons[id - 1])
      #expect(view.blockedBy.map(\.blocker).contains(own) && view.pending == 0, "n\(id): \(view.blockedBy)")
      #expect(view.stores.count == 1 && view.stores[0].blockers.filter { $0 == own }.count == 1)
    }
    #expect(cluster.sum(\.buried) == 0 && cluster.readable("a", through: [1, 2, 3]).isEmpty)
    for id in 1...3 { cluster[id].wallOffset = 0 }
    cluster.advance(milliseconds: 20_000, tick: 100)
    for id in 1...3 { #expect(cluster.view(id)?.stores.isEmpty == true && cluster.view(id)?.expiring == 1) }
    #expect(cluster.sum(\.buried) >= 2 && cluster.waiting == [0, 0, 0])
  }

  @Test("a store that is made anew is filled with what has expired too, which keeps the older value away")
  func refilled() throws {
    let cluster = TestCluster.expiring()
    cluster.ask(1, put("a", "old", w: .all))
    // Reaches nodes 1 and 2.
    cluster.treat = { letter in
      if case .push = letter.message.body, letter.to == TestCluster.id(3) { .drop } else { .deliver }
    }
    cluster.ask(1, put("a", "short", .seconds(20)))
    #expect(cluster.held(3, "a")?.expiry == .never && cluster.held(2, "a")?.expiry != .never)
    cluster.advance(milliseconds: 70_000, tick: 100)
    cluster.kill(2)
    cluster.wipe(2)
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.held(2, "a")?.expiry != .never)
    #expect(cluster.neverBack("a", through: [1, 2, 3]))
    cluster.kill(1)
    #expect(cluster.answer(cluster.ask(2, get("a")))?.isNotFound == true)
  }

  @Test("a hint of a value that is long gone goes to nobody's quarantine")
  func lateHint() throws {
    let cluster = TestCluster.expiring(nodes: 4)
    let owners = cluster.owners(of: "a")
    cluster.kill(owners[2])
    cluster.treat = { letter in
      if case .push(let push) = letter.message.body, push.kind == .handoff { .drop } else { .deliver }
    }
    cluster.ask(owners[0], put("a", "short", .seconds(20)))
    cluster.start(owners[2], life: 1)
    cluster.advance(milliseconds: 400_000, tick: 100)
    #expect(owners.allSatisfy { cluster.held($0, "a") == nil } && cluster.waiting.allSatisfy { $0 == 0 })
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 120_000, tick: 100)
    #expect(
      (1...4).allSatisfy {
        cluster.quarantined($0) == 0 && cluster.status($0)?.hints.allSatisfy { $0.count == 0 } ?? false
      })
    #expect(owners.allSatisfy { cluster.held($0, "a") == nil })
  }

  private struct Unexpected: Error {}
}

extension TestCluster {
  /// Three nodes on one partition whose tombstones go as soon as they may, with clocks that differ.
  static func expiring(
    nodes: Int = 3, offsets: [Int64] = [], changing: (inout NodeOptions) -> Void = { _ in }
  ) -> TestCluster {
    let cluster = TestCluster(nodes: nodes, partitions: 1, starting: false) {
      $0.feedMilliseconds = 100
      $0.tombstoneHoldMilliseconds = 1000
      $0.antiEntropyMilliseconds = 0
      $0.scrubMilliseconds = 0
      changing(&$0)
    }
    for (index, offset) in offsets.enumerated() { cluster[index + 1].wallOffset = offset }
    for id in 1...nodes { cluster.start(id) }
    cluster.advance(milliseconds: 3000)
    return cluster
  }

  /// So long after the test's own clock.
  func expiry(inMilliseconds milliseconds: UInt64) -> Expiry {
    let test = self[1]
    return Expiry(
      milliseconds: UInt64(Int64(moment(test).wallMilliseconds) - test.wallOffset) + milliseconds)
  }

  /// No read whose quorum meets that of the write finds anything.
  func neverBack(_ key: String, through ids: [Int]) -> Bool {
    ids.allSatisfy { id in
      [QuorumSize.quorum, .all].allSatisfy { r in
        switch answer(ask(id, get(key, r: r))) {
        case .object?: false
        default: true
        }
      }
    }
  }

  var roundsDiffering: UInt64 { (1...nodes.count).reduce(0) { $0 + counters($1).antiEntropy.roundsDiffering } }

  /// Pushes that nobody's client asked for since.
  func repairs(from start: Int) -> Int {
    sent[start...].count {
      if case .push(let push) = $0.message.body { push.kind == .repair || push.kind == .handoff } else { false }
    }
  }
}
