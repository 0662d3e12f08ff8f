import Primitives
import Storage

// What random runs seldom come to by themselves, in one of five: keys that come and go, so that many stay deleted; their
// tombstones go at once; and of three things one happens a lot. Nodes stand in for others that are away for seconds, and
// hand over late what they kept. Questions, of clients' reads and of owners, are under way for seconds. Or a disk is put
// back, and of what it brings most was deleted since.

extension SimulationOptions {
  /// Runs whose seed has this remainder; from a stream of its own. All other runs are what they are without.
  private static let every: UInt64 = 5
  private static let remainder: UInt64 = 2

  mutating func drawSituation(_ seed: UInt64) {
    guard seed % Self.every == Self.remainder else { return }
    var generator = SeededGenerator(seed: seed, stream: 15)
    drawKeysThatComeAndGo(&generator)
    for fault in [Fault.bitFlip, .snapshot, .restore, .wipeStore, .wipeHints, .wipeNode] { faults.means[fault] = nil }
    switch generator.below(3) {
    case 0: drawLateHints(&generator)
    case 1: drawSlowQuestions(&generator)
    default: drawOldCopies(&generator)
    }
  }

  private mutating func drawKeysThatComeAndGo(_ generator: inout SeededGenerator) {
    workload.kind = .mixed
    workload.keys = 24
    workload.keysInUse = generator.pick([2, 4, 6])
    workload.operationsInUse = generator.pick([10, 20])
    workload.thinkMilliseconds = 5...60
    workload.valueBytesMax = 200
    workload.deletePercent = generator.pick([30, 45])
    workload.deletesLookedAtPercent = generator.pick([0, 50, 100])
    deletes.holdMilliseconds = 0
    deletes.feedMilliseconds = 20
    deletes.latePerThousand = 0
    deletes.purgesBeforeRounds = generator.chance(3, in: 4)
    antiEntropy.intervalMilliseconds = generator.pick([2000, 10_000])
  }

  /// Two nodes may be away at once, for seconds, and hints reach who was away when their keys are deleted already.
  private mutating func drawLateHints(_ generator: inout SeededGenerator) {
    nodes = generator.pick([4, 5, 5])
    faults.means[.kill] = 800
    faults.downMax = 2
    faults.outageMilliseconds = generator.pick([300...2000, 1000...5000])
    suspectAfterMilliseconds = 500
    hintBytesMax = 1 << 30
    deletes.late = [.handoff]
    deletes.latePerThousand = generator.pick([500, 900])
    deletes.lateMilliseconds = generator.pick([200...2000, 1000...8000])
  }

  private mutating func drawSlowQuestions(_ generator: inout SeededGenerator) {
    workload.clients = 6
    workload.defaultQuorumPercent = 50
    workload.isWeak = false
    requestTimeoutMilliseconds = 5000
    faults.outageMilliseconds = 5...200
    deletes.late = generator.pick([
      [.read], [.read, .push], [.push, .pull, .pullReply], [.push, .read, .readReply, .pull, .pullReply],
    ])
    deletes.latePerThousand = generator.pick([200, 400])
    deletes.lateMilliseconds = generator.pick([50...500, 200...2000])
  }

  /// Few other faults: as long as an owner is away, or made anew, no tombstone of its partitions goes.
  private mutating func drawOldCopies(_ generator: inout SeededGenerator) {
    for fault in [Fault.kill, .powerLoss, .blackout, .pause, .cut] {
      if generator.chance(2, in: 3) { faults.means[fault] = nil }
    }
    faults.outageMilliseconds = 5...200
    faults.means[.snapshot] = 800
    faults.means[.restore] = generator.pick([2000, 4000])
  }
}
