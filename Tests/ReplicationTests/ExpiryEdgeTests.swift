import Causality
import Cluster
import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

@testable import Replication

// Values that expire (rules TTL and EXPIRY) where one owner alone has them, a clock is wrong, the disk is slow, or a
// tombstone has a value's stamp.

@Suite("Values that expire, at the edges")
struct ExpiryEdgeTests {
  @Test("values that are not in memory become tombstones in batches, not one in a turn")
  func coldBatches() {
    let cluster = TestCluster.expiring()
    for index in 0..<200 { cluster.ask(1, put("k\(index)", "v", .seconds(10), w: .all)) }
    for id in 1...3 { cluster[id].node?.disk.wouldBlockChance = 1000 }
    cluster.holdsReads = Set((1...3).map { TestCluster.id($0) })
    let before = (1...3).map { cluster.counters($0).coldReads }
    cluster.advance(milliseconds: 150_000, tick: 100)
    // So many are asked for, and no more before all of them are there.
    #expect((1...3).map { cluster.counters($0).coldReads - before[$0 - 1] } == [32, 32, 32])
    #expect(cluster.sum(\.buried) == 0)
    for id in 1...3 { cluster.releaseReads(id) }
    cluster.advance(milliseconds: 2000, tick: 100)
    let store = cluster.store(of: "k0")
    #expect((1...3).allSatisfy { cluster.engine($0)?.expiringCount(store) == 0 } && cluster.sum(\.buried) >= 200)
    cluster.advance(milliseconds: 30_000, tick: 100)
    for id in 1...3 { cluster[id].node?.disk.wouldBlockChance = 0 }
    for index in 0..<200 { #expect(cluster.held(1, "k\(index)") == nil) }
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("a value that one owner has alone, and does not bury because it doubts its clock, keeps an older one down")
  func doubtedOwner() throws {
    let cluster = TestCluster.expiring { $0.antiEntropyMilliseconds = 5000 }
    cluster.ask(1, put("a", "old", w: .all))
    let old = try #require(cluster.held(1, "a"))
    cluster.treat = TestCluster.withholdsExchanges
    let newer = Stamp(time: HybridTime(old.stamp.time.rawValue + 1), actor: old.stamp.actor)
    cluster.plant(3, "a", "short", newer, until: cluster.expiry(inMilliseconds: 60_000))
    cluster[3].wallOffset = 3_600_000
    cluster.advance(milliseconds: 130_000, tick: 100)
    #expect(cluster.held(3, "a")?.isTombstone == false && cluster.sum(\.buried) == 0)
    #expect(cluster.held(1, "a") == old && cluster.held(2, "a") == old)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 30_000, tick: 100)
    for id in 1...2 { #expect(cluster.held(id, "a")?.stamp ?? newer == newer, "n\(id)") }
    #expect(cluster.neverBack("a", through: [1, 2, 3]))
    // What it had was all there was: without it the others know.
    cluster.kill(3)
    #expect(cluster.neverBack("a", through: [1, 2]))
    cluster[3].wallOffset = 0
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 60_000, tick: 100)
    for id in 1...3 { #expect(cluster.held(id, "a") == nil, "n\(id)") }
    #expect(cluster.waiting == [0, 0, 0] && cluster.differing.isEmpty)
    let quiet = cluster.sent.count
    let differed = cluster.roundsDiffering
    cluster.advance(milliseconds: 120_000, tick: 100)
    #expect(cluster.recordsPulled(from: quiet) == 0 && cluster.repairs(from: quiet) == 0)
    #expect(cluster.roundsDiffering == differed && cluster.neverBack("a", through: [1, 2, 3]))
  }

  @Test("a minute that a peer names far ahead of every good clock leaves out no more than the last likely one")
  func minuteAhead() throws {
    let cluster = TestCluster.expiring()
    cluster.ask(1, put("a", "short", .seconds(40 * 60), w: .all))
    let engine = try #require(cluster.engine(1))
    let store = cluster.store(of: "a")
    let leaves = try #require(cluster.held(1, "a")).expiry.leaves
    var operation: UInt64 = 0
    func verdict(_ named: UInt64) throws -> RootAnswer.Verdict {
      operation += 1
      let root = StoreRoot(
        store: store, configID: cluster[1].node?.configID(store) ?? 0,
        root: engine.treeRoot(store, leftBy: named).compared(valuesOnly: true))
      let question = PeerCompare(
        operation: operation, valuesOnly: true, leftBy: named, subject: .roots([root], beginsRound: true))
      cluster.forge(PeerMessage(time: .zero, body: .compare(question)), from: NodeID(2), to: NodeID(1))
      cluster.advance(milliseconds: 100)
      for letter in cluster.sent.reversed() {
        if case .compareReply(let reply) = letter.message.body, reply.operation == operation,
          case .roots(let answers) = reply.outcome
        {
          return try #require(answers.first).verdict
        }
      }
      throw Unexpected()
    }
    let bound = Node<SimulatedDisk>.minutesAheadMax
    #expect(try verdict(leaves) == .differs(engine.treeRoot(store).compared(valuesOnly: true)))
    // At the edge: the minute in which it leaves is as far ahead as is believed, and then one farther.
    let now = Int64(leaves * 60_000)
    for (ahead, isBelieved) in [(bound, true), (bound + 1, false)] {
      let wall = now - Int64(ahead * 60_000)
      cluster[1].wallOffset += wall - Int64(cluster.moment(cluster[1]).wallMilliseconds) + 1000
      for id in 2...3 { cluster[id].wallOffset = cluster[1].wallOffset }
      cluster.advance(milliseconds: 15_000, tick: 100)
      #expect(try (verdict(leaves) == .equal) == isBelieved, "\(ahead) minutes ahead")
    }
  }

  @Test(
    "a tombstone that does not count any more leaves no value without bytes behind, though it has the value's stamp")
  func equalStamps() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let (key, entry) = try #require(cluster.foreignKey())
    let owners = cluster.owners(of: key).map { NodeID(UInt32($0)) }
    var asked: [(owner: NodeID, read: PeerRead)] = []
    cluster.treat = { letter in
      guard case .read(let read) = letter.message.body else { return .deliver }
      asked.append((letter.to, read))
      return .drop
    }
    let session = cluster.ask(entry, get(key, r: .count(2)))
    #expect(asked.count == 2)
    let stamp = TestCluster.stamp(5)
    let value = StoredVersion(
      stamp: stamp, isTombstone: false, value: "v".payload, expiry: cluster.expiry(inMilliseconds: 3_600_000))
    func answer(_ owner: NodeID, _ outcome: ReadOutcome, validated: UInt16) throws {
      let operation = try #require(asked.first).read.operation
      let reply = PeerReadReply(operation: operation, outcome: outcome, validatedWith: validated)
      cluster.forge(PeerMessage(time: .zero, body: .readReply(reply)), from: owner, to: NodeID(UInt32(entry)))
      cluster.release()
    }
    // The first has purged, the second is late, so that the third is asked.
    let (purger, late) = (asked[0].owner, asked[1].owner)
    let third = try #require(owners.first { $0 != purger && $0 != late })
    try answer(purger, .absent(floor: stamp), validated: 7)
    cluster.advance(milliseconds: 1000)
    #expect(asked.last?.owner == third)
    try answer(third, .digest(stamp, isTombstone: false, expiry: value.expiry), validated: 7)
    #expect(asked.last?.owner == third && asked.last?.read.subject == .value)
    // The second one's store is validated with nobody's.
    try answer(late, .found(StoredVersion(stamp: stamp, isTombstone: true, value: [])), validated: 0)
    #expect(cluster.answer(session) == nil)
    try answer(third, .found(value), validated: 7)
    #expect(cluster.answer(session)?.text == "v", "\(String(describing: cluster.answer(session)))")
  }

  private struct Unexpected: Error {}
}
