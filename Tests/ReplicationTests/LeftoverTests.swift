import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Nothing is left behind")
struct LeftoverTests {
  /// What a node still keeps of operations, and of what it owes or is owed; all of it is zero when nothing is under way.
  private func leftovers(_ cluster: TestCluster, _ id: Int) -> [String: Int] {
    guard cluster[id].node != nil else { return [:] }
    var left: [String: Int] = [:]
    left["writes"] = cluster[id].node?.writes.count
    left["answeredWrites"] = cluster[id].node?.answeredWrites
    left["gets"] = cluster[id].node?.gets.count
    left["forwards"] = cluster[id].node?.forwards.count
    left["valueBytes"] = cluster[id].node?.valueBytes
    left["awaitedWrites"] = cluster[id].node?.peers.peers.reduce(0) { $0 + abs($1.awaitedWrites) }
    left["awaitedBytes"] = cluster[id].node?.peers.peers.reduce(0) { $0 + abs($1.awaitedBytes) }
    left["pendingReads"] = cluster[id].node?.pendingReads.count
    left["secondReads"] = cluster[id].node?.secondReads.count
    left["stalePushes"] = cluster[id].node?.stalePushes.entries.count
    left["leaseWaiters"] = cluster[id].node?.leaseWaiters.count
    left["flushWaiters"] = cluster[id].node?.flushWaiters.count
    left["syncWaiters"] = cluster[id].node?.syncWaiters.count
    left["held"] = cluster[id].node?.held.count
    left["handoffs"] = cluster[id].node?.handoffs.targets.reduce(0) { $0 + $1.inFlight.count + $1.bytesInFlight }
    return left.filter { $0.value != 0 }
  }

  @Test(
    "after any loss, delay, repetition, crash and slow disk every request has one answer, and nothing is kept of it",
    arguments: UInt64(0)..<30)
  func anyHistory(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let count = 3 + generator.below(3)
    let cluster = TestCluster(nodes: count, partitions: 8) { $0.requestTimeoutMilliseconds = 2000 }
    var chance = generator
    let loss = generator.below(20)
    let delay = generator.below(20)
    let repetition = generator.below(20)
    cluster.treat = { letter in
      switch letter.message.body {
      case .hello, .helloReply: return .deliver
      default: break
      }
      let drawn = chance.below(100)
      if drawn < loss { return .drop }
      if drawn < loss + delay { return .hold }
      if drawn < loss + delay + repetition { cluster.forge(letter.message, from: letter.from, to: letter.to) }
      return .deliver
    }
    for id in 1...count { cluster[id].node?.disk.wouldBlockChance = generator.below(400) }
    var down: Set<Int> = []
    var asked: [(session: UInt64, entry: Int)] = []
    var lost: Set<UInt64> = []
    for index in 0..<120 {
      let victim = 1 + generator.below(count)
      switch generator.below(24) {
      case 0 where down.count < count - 1 && !down.contains(victim):
        cluster.kill(victim, powerLoss: generator.below(2) == 0)
        down.insert(victim)
        // Clients of a dead node have no answer.
        for (session, entry) in asked where entry == victim && cluster.answer(session) == nil { lost.insert(session) }
      case 1:
        guard let first = down.min() else { break }
        cluster.holdsSyncs.remove(TestCluster.id(first))
        cluster.start(first, life: UInt64(index) + 1)
        cluster[first].node?.disk.wouldBlockChance = generator.below(400)
        down.remove(first)
      case 2: cluster.holdsSyncs.insert(TestCluster.id(victim))
      case 3:
        cluster.holdsSyncs.remove(TestCluster.id(victim))
        cluster.releaseSync(victim)
      case 4: cluster.holdsReads.insert(TestCluster.id(victim))
      case 5: cluster.releaseReads(victim)
      case 6: cluster.release { _ in chance.below(2) == 0 }
      case 7: cluster.advance(milliseconds: UInt64(10 * generator.below(150)))
      default: break
      }
      let entry = 1 + generator.below(count)
      guard cluster[entry].node != nil else { continue }
      let key = "k\(generator.below(6))"
      let sizes: [QuorumSize] = [.default, .one, .quorum, .all]
      let request: ClientRequest
      switch generator.below(4) {
      case 0: request = delete(key, always: generator.below(2) == 0)
      case 1: request = get(key, r: sizes[generator.below(4)])
      default: request = put(key, "\(index)", w: sizes[generator.below(4)], dw: sizes[generator.below(4)])
      }
      asked.append((cluster.ask(entry, request), entry))
    }
    cluster.treat = { _ in .deliver }
    cluster.holdsSyncs = []
    for id in 1...count {
      cluster[id].node?.disk.wouldBlockChance = 0
      cluster.releaseSync(id)
      cluster.releaseReads(id)
    }
    for id in down.sorted() { cluster.start(id, life: 1000) }
    cluster.release()
    cluster.advance(milliseconds: 90_000, tick: 200)
    for (session, _) in asked where !lost.contains(session) {
      #expect(cluster.answer(session) != nil, "session \(session)")
    }
    #expect(cluster.answeredAgain == [])
    for id in 1...count {
      #expect(cluster[id].stopped == nil)
      #expect(leftovers(cluster, id) == [:], "node \(id)")
    }
    #expect(cluster.hintsLeft == 0)
  }
}
