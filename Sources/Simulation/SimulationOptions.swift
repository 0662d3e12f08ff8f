import Primitives
package import Replication
package import Storage

// What one run is like: topology, faults and their rates, workload, all drawn from the seed. Each run enables a random
// subset of the faults ("swarm" testing, Groce et al. 2012): a run without message loss reaches states that a run with
// everything at once never gets to.

package struct SimulationOptions: Sendable {
  package var nodes = 3
  package var replicas = 3
  package var partitions = 4
  package var sync = SyncMode.always
  /// Every start of a node draws a sync mode of its own: what one mode left on disk, another must find.
  package var syncVaries = false
  package var fileBytesMax: UInt64 = 64 << 10
  package var journalSegmentBytes: UInt64 = 64 << 10
  package var checkpointBytes: UInt64 = 64 << 10
  package var merge = MergePolicy()
  /// Of a million ticks of a node, so many come with an operator who asks for a merge.
  package var mergeRequestsPerMillion = 0
  package var checkpointSeconds: UInt64 = 60
  package var requestTimeoutMilliseconds = 2000
  package var suspectAfterMilliseconds: UInt64 = 1000
  package var hintBytesMax: UInt64 = 1 << 30
  package var hintRetryMilliseconds: UInt64 = 1000
  package var handoffBytesPerSecond: UInt64 = 16 << 20
  /// Of a million ticks of a node, so many come with an operator who asks that its hints be handed over.
  package var drainRequestsPerMillion = 0
  package var antiEntropy = AntiEntropyOptions()
  package var deletes = DeleteOptions()
  package var network = NetworkOptions()
  package var disk = DiskOptions()
  package var clocks = ClockOptions()
  package var faults = FaultOptions()
  package var workload = WorkloadOptions()
  /// Seconds that values live of which their puts say so, half of all; nil: none expires.
  package var lifetimeSeconds: ClosedRange<Int>?

  /// No faults, quiet network: what the others are drawn around.
  package init() {}

  package init(seed: UInt64) {
    var generator = SeededGenerator(seed: seed, stream: 1)
    nodes = generator.pick([3, 3, 3, 4, 5])
    partitions = generator.pick([4, 8])
    sync = generator.pick([.always, .always, .always, .always, .always, .interval, .never])
    fileBytesMax = UInt64(generator.pick([4 << 10, 16 << 10, 256 << 10]))
    journalSegmentBytes = UInt64(generator.pick([1 << 10, 8 << 10, 64 << 10]))
    checkpointBytes = UInt64(generator.pick([1 << 10, 8 << 10, 1 << 20]))
    checkpointSeconds = UInt64(generator.pick([1, 5, 60]))
    requestTimeoutMilliseconds = generator.pick([500, 1000, 2000, 5000])
    network = NetworkOptions(using: &generator)
    disk = DiskOptions(using: &generator)
    clocks = ClockOptions(using: &generator)
    faults = FaultOptions(using: &generator)
    workload = WorkloadOptions(using: &generator)
    syncVaries = generator.chance(1, in: 8)
    workload.isWeak = generator.chance(1, in: 3)
    drawMerges(seed)
    drawHandoff(seed)
    drawAntiEntropy(seed)
    drawDeletes(seed)
    drawLifetimes(seed)
    drawSituation(seed)
  }

  /// In one of seven runs values expire. From a stream of its own; clocks are then as far apart as good ones may be, and no
  /// farther, so that it is known what they may say.
  private mutating func drawLifetimes(_ seed: UInt64) {
    guard seed % 7 == 3 else { return }
    var generator = SeededGenerator(seed: seed, stream: 17)
    lifetimeSeconds = generator.pick([1...3, 1...20, 5...60])
    clocks.offsetMillisecondsMax = generator.pick([0, 5000, 14_000])
    clocks.jumpMillisecondsMax = min(clocks.jumpMillisecondsMax, 20_000)
  }

  /// How far a clock may be from the true one where values expire, milliseconds.
  var clockErrorMilliseconds: UInt64 {
    UInt64(max(clocks.offsetMillisecondsMax, clocks.jumpMillisecondsMax)) + 2000
  }

  /// From a stream of its own, so that the rest of a run is what it is without merges.
  private mutating func drawMerges(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed, stream: 7)
    merge.window = generator.chance(1, in: 8) ? .never : .always
    merge.checkIntervalMilliseconds = generator.pick([20, 500, 5000])
    merge.smallFileBytes = generator.pick([100, 1 << 10, 8 << 10])
    merge.triggerFragmentation = generator.pick([1, 30, 60])
    merge.bytesPerSecond = generator.pick([1 << 20, 64 << 20])
    mergeRequestsPerMillion = generator.pick([0, 200, 2000])
  }

  /// How the nodes stand in for each other; some more runs have nodes to spare, and outages that last. From a stream of
  /// its own as well.
  private mutating func drawHandoff(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed, stream: 8)
    hintBytesMax = generator.pick([300, 2000, 1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30])
    hintRetryMilliseconds = generator.pick([50, 1000, 1000, 5000])
    handoffBytesPerSecond = generator.pick([20_000, 1 << 20, 16 << 20])
    suspectAfterMilliseconds = generator.pick([500, 1000, 1000, 3000])
    drainRequestsPerMillion = generator.pick([0, 200, 2000])
    let spare = generator.pick([4, 5])
    if generator.chance(1, in: 3), nodes == 3 { nodes = spare }
    if generator.chance(1, in: 3) {
      faults.outageMilliseconds = 2000...12_000
      if nodes > 3 { faults.downMax = max(2, faults.downMax) }
    }
    for point in ChaosPoint.ofHandoff where generator.chance(1, in: 2) { faults.chaosPoints.insert(point) }
  }

  /// How the owners come to agree, and what they lose; from a stream of its own as well.
  private mutating func drawAntiEntropy(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed, stream: 10)
    antiEntropy = AntiEntropyOptions(using: &generator)
    let lost = generator.below(12)
    let mean = generator.pick([1500, 4000, 8000])
    let month = generator.pick([3000, 6000])
    if generator.chance(1, in: 8) { faults.means[.month] = month }
    // One machine loses what it has synced, in one way: by flipped bits, to an older copy, or to a hand that removes it.
    guard faults.nodesThatForget == 0 else { return }
    switch lost {
    case 0: faults.means[.wipeStore] = mean
    case 1: faults.means[.wipeNode] = mean
    case 2: faults.means[.wipeHints] = mean
    case 3:
      for fault in [Fault.wipeStore, .wipeHints, .wipeNode] { faults.means[fault] = mean }
    case 4: faults.means[.bitFlip] = mean
    default: break
    }
  }
}

/// How the owners of a run find out what they lack.
package struct AntiEntropyOptions: Sendable {
  /// Between two rounds with a peer; 0: only when an operator asks.
  package var intervalMilliseconds: UInt64 = 2000
  package var pullBytesPerSecond: UInt64 = 32 << 20
  /// Between two readings of all sealed files; 0: none.
  package var scrubMilliseconds: UInt64 = 5000
  package var scrubBytesPerSecond: UInt64 = 8 << 20
  /// Of a million ticks of a node, so many come with an operator who asks for a round.
  package var requestsPerMillion = 0
  /// In the end nobody asks: the owners must come to agree by themselves.
  package var convergesAlone = false

  package init() {}

  init(using generator: inout SeededGenerator) {
    intervalMilliseconds = generator.pick([300, 2000, 2000, 10_000, 0])
    pullBytesPerSecond = generator.pick([10_000, 1 << 20, 32 << 20])
    scrubMilliseconds = generator.pick([300, 2000, 10_000, 0])
    scrubBytesPerSecond = generator.pick([10_000, 1 << 20, 8 << 20])
    requestsPerMillion = generator.pick([0, 200, 2000])
    convergesAlone = generator.chance(1, in: 2) && intervalMilliseconds > 0
  }
}

/// The network of one run. Chances are per million messages.
package struct NetworkOptions: Sendable {
  package var delayMicroseconds = 50...500
  package var lossPerMillion = 0
  package var duplicationPerMillion = 0
  /// A message that takes up to `longDelayMilliseconds`, hours perhaps: it outlives restarts and deletes.
  package var longDelayPerMillion = 0
  package var longDelayMilliseconds = 100...60_000
  /// What is sent into a cut arrives after it heals, as TCP would have it; otherwise it is lost.
  package var cutsHold = true

  package init() {}

  init(using generator: inout SeededGenerator) {
    delayMicroseconds = generator.pick([20...200, 100...1000, 500...20_000, 1000...150_000])
    if generator.chance(1, in: 2) { lossPerMillion = generator.pick([1000, 10_000, 50_000, 150_000]) }
    if generator.chance(1, in: 2) { duplicationPerMillion = generator.pick([1000, 50_000, 300_000]) }
    if generator.chance(1, in: 3) {
      longDelayPerMillion = generator.pick([200, 2000, 10_000])
      longDelayMilliseconds = generator.pick([10...1000, 100...10_000, 1000...60_000, 100...10_800_000])
    }
    cutsHold = generator.chance(1, in: 2)
  }
}

/// The disks of one run.
package struct DiskOptions: Sendable {
  package var syncMicroseconds = 50...500
  package var jobStepMicroseconds = 50...1000
  /// Reads that find nothing in memory, per thousand.
  package var coldReadsPerThousand = 0

  package init() {}

  init(using generator: inout SeededGenerator) {
    syncMicroseconds = generator.pick([50...200, 500...5000, 1000...200_000])
    jobStepMicroseconds = generator.pick([50...1000, 1000...100_000, 10_000...1_000_000])
    if generator.chance(1, in: 2) { coldReadsPerThousand = generator.pick([20, 300, 1000]) }
  }
}

/// The clocks of one run.
package struct ClockOptions: Sendable {
  package var offsetMillisecondsMax = 0
  package var driftPerMillionMax = 0
  /// The largest jump; a jump beyond the cluster's tolerance hits a minority of the nodes only.
  package var jumpMillisecondsMax = 0

  package init() {}

  init(using generator: inout SeededGenerator) {
    if generator.chance(2, in: 3) { offsetMillisecondsMax = generator.pick([5, 500, 10_000]) }
    if generator.chance(1, in: 2) { driftPerMillionMax = generator.pick([50, 500]) }
    if generator.chance(1, in: 2) { jumpMillisecondsMax = generator.pick([1000, 20_000, 3_600_000]) }
  }
}

/// How often each fault strikes, and what an outage is like.
package struct FaultOptions: Sendable {
  /// Mean milliseconds between two strikes of a kind; what is not there never strikes in this run.
  package var means: [Fault: Int] = [:]
  /// How long a node stays down, stays paused, or a cut lasts.
  package var outageMilliseconds = 100...3000
  /// Nodes that faults may hold down at once; a blackout takes all.
  package var downMax = 1
  /// Faults begin before the cluster is founded.
  package var duringBootstrap = false
  /// Processes may be killed while they read their disk at start.
  package var crashesDuringStart = false
  /// Length of the phase under faults.
  package var phaseMilliseconds = 20_000
  /// When the faults end only a core is healed at first, and must do without the rest.
  package var healsCoreFirst = false
  /// Of a thousand occasions that a node has to take a rare branch, it takes so many.
  package var chaosPerThousand = 0
  package var chaosPoints: Set<ChaosPoint> = []

  package init() {}

  init(using generator: inout SeededGenerator) {
    draw(.kill, 2, in: 3, &generator)
    draw(.powerLoss, 1, in: 2, &generator)
    draw(.shutdown, 1, in: 3, &generator)
    draw(.blackout, 1, in: 5, &generator)
    draw(.pause, 1, in: 3, &generator)
    draw(.cut, 1, in: 2, &generator)
    draw(.reset, 1, in: 3, &generator)
    draw(.clockJump, 1, in: 2, &generator)
    draw(.fullDisk, 1, in: 3, &generator)
    draw(.failedSync, 1, in: 4, &generator)
    // At most one of the two, and each on one machine: what a run promises falls by that machine's copies.
    switch generator.below(12) {
    case 0: means[.bitFlip] = generator.pick([800, 3000, 8000])
    case 1:
      means[.snapshot] = generator.pick([800, 3000])
      means[.restore] = generator.pick([3000, 8000])
    default: break
    }
    outageMilliseconds = generator.pick([5...200, 100...3000, 1000...15_000])
    downMax = generator.pick([1, 1, 2, 5])
    duringBootstrap = generator.chance(1, in: 3)
    crashesDuringStart = (means[.kill] ?? means[.powerLoss]) != nil && generator.chance(1, in: 2)
    phaseMilliseconds = generator.number(in: 6000...24_000)
    healsCoreFirst = generator.chance(1, in: 3)
    if generator.chance(1, in: 3) { chaosPerThousand = generator.pick([1, 10, 100]) }
    for point in ChaosPoint.allCases where !ChaosPoint.ofHandoff.contains(point) {
      if generator.chance(1, in: 2) { chaosPoints.insert(point) }
    }
  }

  private mutating func draw(_ fault: Fault, _ numerator: Int, in denominator: Int, _ generator: inout SeededGenerator)
  {
    let isEnabled = generator.chance(numerator, in: denominator)
    let mean = generator.pick([800, 3000, 8000])
    means[fault] = isEnabled ? mean : nil
  }

  /// Whether anything can lose what was not synced.
  package var losesUnsyncedWrites: Bool {
    means[.powerLoss] != nil || means[.blackout] != nil || means[.failedSync] != nil || crashesDuringStart
  }

  /// Nodes whose copies of acknowledged writes may go, synced or not.
  package var nodesThatForget: Int { mayDamage || mayWipe || means[.restore] != nil ? 1 : 0 }

  /// Whether bytes that were synced may be found damaged.
  package var mayDamage: Bool { means[.bitFlip] != nil }

  /// Whether stores or hints may be removed.
  package var mayWipe: Bool { means[.wipeStore] != nil || means[.wipeHints] != nil || means[.wipeNode] != nil }
}

/// What the clients of a run are after.
package enum WorkloadKind: String, CaseIterable, Sendable {
  /// A few keys that are written and read, often by one client through one node.
  case registers
  /// Every put has a key of its own, and all that were acknowledged are read in the end.
  case unique
  /// Keys that are written, deleted and written again.
  case mixed
}

/// The clients of one run.
package struct WorkloadOptions: Sendable {
  package var kind = WorkloadKind.mixed
  package var clients = 3
  package var keys = 4
  package var thinkMilliseconds = 10...200
  package var valueBytesMax = 100
  /// Of 100 operations; the rest are reads.
  package var putPercent = 40
  package var deletePercent = 10
  /// Operations, of 100, that leave r, w and dw at their defaults; the others draw them.
  package var defaultQuorumPercent = 70
  /// Where quorums are drawn they are one, mostly: what only one node has been told is what a cluster forgets first.
  package var isWeak = false
  /// Of 100 puts that succeed, so many are followed by their client's read of the key through the same node.
  package var followPercent = 0
  /// Of all keys so many are in use at a time, and others after so many operations; 0: all of them, always.
  package var keysInUse = 0
  package var operationsInUse = 0
  /// Of 100 deletes that succeed, so many are followed by their client's read of the key through any node.
  package var deletesLookedAtPercent = 0

  package init() {}

  init(using generator: inout SeededGenerator) {
    kind = generator.pick([.mixed, .mixed, .registers, .unique])
    clients = generator.number(in: 2...6)
    thinkMilliseconds = generator.pick([5...60, 20...200, 100...500])
    valueBytesMax = generator.pick([20, 200, 2000])
    putPercent = generator.number(in: 25...50)
    defaultQuorumPercent = generator.pick([100, 70, 30])
    switch kind {
    case .registers:
      keys = generator.pick([1, 2, 3])
      deletePercent = 0
      followPercent = generator.pick([30, 100])
    case .unique:
      keys = 48
      deletePercent = 0
      followPercent = generator.pick([0, 30])
    case .mixed:
      keys = generator.pick([1, 3, 6, 12])
      deletePercent = generator.pick([5, 10, 30])
      followPercent = generator.pick([0, 0, 30])
    }
  }
}
