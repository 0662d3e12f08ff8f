import Primitives
import Testing

@testable import Replication

@Suite("Quorum tally")
struct QuorumTallyTests {
  /// The same question answered slowly: remember every answer, count nodes at the end.
  private func naive(_ replicas: [NodeID], wanted: Int, answers: [(NodeID, Bool)]) -> QuorumTally.Verdict {
    let yes = replicas.filter { replica in answers.contains { $0.0 == replica && $0.1 } }
    let no = replicas.filter { replica in
      !yes.contains(replica) && answers.contains { $0.0 == replica && !$0.1 }
    }
    if yes.count >= wanted { return .reached }
    return replicas.count - no.count < wanted ? .impossible : .waiting
  }

  @Test("agrees with a count that remembers every answer", arguments: UInt64(0)..<200)
  func agreesWithNaive(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let n = 1 + generator.below(7)
    let replicas = (1...UInt32(n)).map { NodeID($0 * 3) }
    let wanted = generator.below(n + 2)
    var tally = QuorumTally(replicas: replicas, wanted: wanted)
    var answers: [(NodeID, Bool)] = []
    for _ in 0..<generator.below(20) {
      // Every third number is a replica; the others are strangers.
      let node = NodeID(UInt32(1 + generator.below(n * 3)))
      let ok = generator.chance(1, in: 2)
      answers.append((node, ok))
      #expect(tally.record(node, accepted: ok) == naive(replicas, wanted: wanted, answers: answers))
    }
  }

  @Test("a node that answers twice counts once")
  func countsDistinctNodes() {
    var tally = QuorumTally(replicas: [NodeID(1), NodeID(2), NodeID(3)], wanted: 2)
    tally.record(NodeID(2), accepted: true)
    #expect(tally.record(NodeID(2), accepted: true) == .waiting)
    #expect(tally.record(NodeID(9), accepted: true) == .waiting)
    #expect(tally.record(NodeID(3), accepted: true) == .reached)
  }
}

@Suite("Deadline wheel")
struct DeadlineWheelTests {
  @Test("wakes everything at its time or one slot later, never before", arguments: UInt64(0)..<50)
  func wakesOnTime(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var now: UInt64 = UInt64(generator.below(1_000_000))
    var wheel = DeadlineWheel(at: Instant(nanoseconds: now * 1_000_000))
    var open: [UInt64: UInt64] = [:]
    var next: UInt64 = 1
    for _ in 0..<300 {
      for _ in 0..<generator.below(4) {
        let due = now + UInt64(generator.below(generator.chance(1, in: 5) ? 30_000 : 200))
        wheel.schedule(next, at: Instant(nanoseconds: due * 1_000_000))
        open[next] = due
        next += 1
      }
      now += UInt64(generator.below(generator.chance(1, in: 20) ? 20_000 : 40))
      for operation in wheel.expired(at: Instant(nanoseconds: now * 1_000_000)) {
        let due = open.removeValue(forKey: operation)
        #expect(due != nil, "woken twice")
        #expect((due ?? 0) <= now)
      }
      let late = open.values.filter { $0 + 2 * DeadlineWheel.millisecondsPerSlot < now }
      #expect(late.isEmpty, "overslept: \(late) at \(now)")
    }
  }
}

@Suite("Forward ledger")
struct ForwardLedgerTests {
  @Test("the second copy of a message is no second write, until its sender has given up")
  func admitsOnce() {
    let start = Instant(nanoseconds: 0)
    var ledger = ForwardLedger(at: start)
    let until = start.adding(milliseconds: 100)
    #expect(ledger.admit(NodeID(1), bootID: 7, operation: 3, until: until, at: start) == .fresh)
    #expect(ledger.admit(NodeID(1), bootID: 7, operation: 3, until: until, at: start) == .repeated)
    #expect(ledger.admit(NodeID(2), bootID: 7, operation: 3, until: until, at: start) == .fresh)
    #expect(ledger.admit(NodeID(1), bootID: 8, operation: 3, until: until, at: start) == .fresh)
    let later = until.adding(milliseconds: 2 * DeadlineWheel.millisecondsPerSlot)
    #expect(
      ledger.admit(NodeID(1), bootID: 7, operation: 3, until: later.adding(milliseconds: 5), at: later) == .fresh)
  }

  @Test("a full ledger says so and takes entries again when the oldest have aged")
  func isBounded() {
    let start = Instant(nanoseconds: 0)
    var ledger = ForwardLedger(at: start)
    let until = start.adding(milliseconds: 100)
    for operation in 0..<UInt64(ForwardLedger.entriesMax) {
      #expect(ledger.admit(NodeID(1), bootID: 1, operation: operation, until: until, at: start) == .fresh)
    }
    #expect(ledger.admit(NodeID(1), bootID: 1, operation: .max, until: until, at: start) == .full)
    let later = until.adding(milliseconds: 2 * DeadlineWheel.millisecondsPerSlot)
    #expect(ledger.admit(NodeID(1), bootID: 1, operation: .max, until: later, at: later) == .fresh)
  }

  @Test("what a full ledger has refused stays refused when there is room again: its sender asks another owner")
  func refusalsAreFinal() {
    let start = Instant(nanoseconds: 0)
    var ledger = ForwardLedger(at: start)
    let soon = start.adding(milliseconds: 100)
    let late = start.adding(milliseconds: 5000)
    for operation in 0..<UInt64(ForwardLedger.entriesMax) {
      _ = ledger.admit(NodeID(1), bootID: 1, operation: operation, until: soon, at: start)
    }
    let refused = UInt64(ForwardLedger.entriesMax)..<UInt64(ForwardLedger.entriesMax + ForwardLedger.refusalsMax)
    for operation in refused {
      #expect(ledger.admit(NodeID(1), bootID: 1, operation: operation, until: late, at: start) == .full)
    }
    // One more is not even answered.
    #expect(ledger.admit(NodeID(1), bootID: 1, operation: .max, until: late, at: start) == .repeated)
    let later = soon.adding(milliseconds: 2 * DeadlineWheel.millisecondsPerSlot)
    #expect(ledger.admit(NodeID(1), bootID: 1, operation: refused.lowerBound, until: late, at: later) == .repeated)
    #expect(ledger.admit(NodeID(1), bootID: 1, operation: .max, until: late, at: later) == .fresh)
  }
}
