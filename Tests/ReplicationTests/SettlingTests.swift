import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Writes that were cut short, and writes that come again")
struct SettlingTests {
  /// Whom the write reached before its coordinator died.
  enum Reach: CaseIterable, Sendable { case nobodyElse, one, both }

  @Test(
    "a coordinator crash after a partial write settles to one outcome",
    arguments: Reach.allCases, [false, true])
  func coordinatorCrash(reach: Reach, powerLoss: Bool) throws {
    for isDelete in [false, true] {
      let cluster = TestCluster(nodes: 3)
      #expect(try #require(cluster.answer(cluster.ask(2, put("a", "old", w: .all)))).isStored)
      cluster.holdsSyncs = [TestCluster.id(1)]
      cluster.treat = { letter in
        guard case .push = letter.message.body, letter.from == TestCluster.id(1) else { return .deliver }
        let isReached = reach == .both || (reach == .one && letter.to == TestCluster.id(2))
        return isReached ? .deliver : .drop
      }
      let session = cluster.ask(1, isDelete ? delete("a") : put("a", "new", w: .all))
      if reach != .both { #expect(cluster.answer(session) == nil) }
      cluster.kill(1, powerLoss: powerLoss)
      cluster.holdsSyncs = []
      cluster.treat = { _ in .deliver }
      cluster.start(1, life: 1)
      cluster.advance(milliseconds: 3000)
      let first = cluster.answer(cluster.ask(2, get("a", r: .all)))
      let outcome = try #require(first).text
      let wanted: String? = isDelete ? nil : "new"
      switch (reach, powerLoss) {
      case (.nobodyElse, true): #expect(outcome == "old")
      default: #expect(outcome == wanted)
      }
      // Every owner has it from then on, and every read says so.
      cluster.advance(milliseconds: 100)
      for node in 1...3 {
        #expect(cluster.ownCopy(node, "a") == outcome)
        for r in [QuorumSize.one, .quorum, .all] {
          #expect(cluster.answer(cluster.ask(node, get("a", r: r)))?.text == outcome)
        }
      }
      #expect(cluster.contents(1) == cluster.contents(2) && cluster.contents(2) == cluster.contents(3))
    }
  }

  @Test(
    "retries are idempotent by stamp: whatever was pushed comes again, in any order, and nothing changes",
    arguments: UInt64(0)..<6)
  func repeatedPushes(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let cluster = TestCluster(nodes: 4, partitions: 4)
    var down: Int?
    for index in 0..<60 {
      if index % 20 == 5 {
        let victim = 1 + generator.below(4)
        cluster.kill(victim, powerLoss: generator.below(2) == 0)
        down = victim
      } else if index % 20 == 15, let victim = down {
        cluster.start(victim, life: UInt64(index))
        cluster.advance(milliseconds: 2500)
        down = nil
      }
      let through = (1...4).filter { $0 != down }[generator.below(down == nil ? 4 : 3)]
      let key = "k\(generator.below(5))"
      cluster.ask(through, generator.below(3) == 0 ? delete(key) : put(key, "\(index)"))
    }
    cluster.advance(milliseconds: 8000)
    #expect(cluster.hintsLeft == 0)
    let before = (1...4).map { cluster.contents($0) }
    let values = (0..<5).map { cluster.answer(cluster.ask(1, get("k\($0)", r: .all)))?.text }
    let again = cluster.sent.filter { if case .push = $0.message.body { true } else { false } }
    for _ in 0..<2 {
      for letter in again.shuffled(using: &generator) {
        cluster.step(cluster[Int(letter.to.rawValue)], .peer(letter.message, from: letter.from))
      }
    }
    // A repeated hint is kept and handed over once more.
    cluster.advance(milliseconds: 8000)
    #expect(cluster.hintsLeft == 0)
    #expect((1...4).map { cluster.contents($0) } == before)
    #expect((0..<5).map { cluster.answer(cluster.ask(1, get("k\($0)", r: .all)))?.text } == values)
  }
}
