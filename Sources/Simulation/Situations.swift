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
    deletes.feedMilliseconds = generator.pick([20, 100])
    // Owners whose stores are made anew read every feed from its beginning; they are to be through in the calm.
    deletes.feedEntriesMax = generator.pick([64, 4096])
    deletes.latePerThousand = 0
    deletes.purgesBeforeRounds = generator.chance(3, in: 4)
    antiEntropy.intervalMilliseconds = generator.pick([2000, 10_000])
    // With one partition whatever is deleted raises the floor under every other key.
    partitions = generator.pick([1, 1, 4])
  }

  /// Two nodes may be away at once, and hints reach who was away when their keys are deleted already, or not at all: who
  /// hands one over gives up waiting after five seconds.
  private mutating func drawLateHints(_ generator: inout SeededGenerator) {
    nodes = generator.pick([4, 5, 5])
    calmDown(&generator)
    faults.means[.kill] = 800
    faults.downMax = 2
    faults.outageMilliseconds = 300...1500
    suspectAfterMilliseconds = 500
    hintBytesMax = 1 << 30
    if generator.chance(1, in: 2) {
      deletes.late = [.handoff]
      deletes.latePerThousand = 950
      deletes.lateMilliseconds = 5000...12_000
    } else {
      hurry()
      workload.defaultQuorumPercent = 30
      workload.isWeak = true
      deletes.late = [.push, .handoff]
      deletes.latePerThousand = 600
      deletes.lateMilliseconds = 200...1500
    }
  }

  private mutating func drawSlowQuestions(_ generator: inout SeededGenerator) {
    calmDown(&generator)
    hurry()
    workload.clients = 8
    workload.keysInUse = 2
    workload.defaultQuorumPercent = generator.pick([50, 100])
    workload.isWeak = false
    workload.followPercent = 100
    workload.deletesLookedAtPercent = 100
    requestTimeoutMilliseconds = 5000
    deletes.late = generator.pick([[.push, .read], [.push, .pull, .pullReply]])
    deletes.latePerThousand = generator.pick([400, 600])
    deletes.lateMilliseconds = 500...3000
  }

  /// What is not late is fast, so that a tombstone is gone before what is late arrives.
  private mutating func hurry() {
    network.delayMicroseconds = 50...500
    disk.syncMicroseconds = 50...500
    disk.jobStepMicroseconds = 50...1000
    deletes.feedMilliseconds = 20
    deletes.purgesBeforeRounds = true
  }

  /// As long as an owner is away, or made anew, no tombstone of its partitions goes.
  private mutating func drawOldCopies(_ generator: inout SeededGenerator) {
    calmDown(&generator)
    faults.means[.snapshot] = 800
    faults.means[.restore] = generator.pick([2000, 4000])
  }

  /// Few other faults, and short ones.
  private mutating func calmDown(_ generator: inout SeededGenerator) {
    for fault in Fault.striking where generator.chance(2, in: 3) { faults.means[fault] = nil }
    faults.outageMilliseconds = 5...200
  }
}
