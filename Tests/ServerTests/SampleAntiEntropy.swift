import Causality
import Cluster
import Primitives
import Replication
import Storage

// What a node of two peers may say of anti-entropy.

extension AntiEntropyStatus {
  static func member(_ number: Int) -> Member {
    Member(id: NodeID(UInt32(number)), name: "n\(number)", address: "127.0.0.1:\(number)")
  }

  static func store(_ partition: Int) -> StoreID { StoreID(partition: UInt16(partition), replicas: 3) }

  /// Two stores, each shared with n2 and n3; two that are being filled, one of which waits; a scrub that found two damages.
  static var sample: AntiEntropyStatus {
    var status = AntiEntropyStatus()
    status.intervalMilliseconds = 300_000
    status.pairs = (0..<2).flatMap { partition in
      (2...3).map { PairStatus(store: store(partition), peer: member($0)) }
    }
    for place in [0, 2] {
      status.pairs[place].lastRoundMilliseconds = 12_999 + UInt64(place) * 1000
      status.pairs[place].differences = 4
      status.pairs[place].keysPulled = 5
      status.pairs[place].bytesPulled = 600
    }
    status.pairs[1].state = .failed(reason: "n3 is down: not connected")
    status.pairs[3].lastRoundMilliseconds = 1000
    status.pairs[3].state = .running
    var moving = RefillStatus(store: store(7))
    moving.source = member(2)
    moving.keys = 100
    moving.keysTotal = 400
    moving.bytes = 1000
    moving.bytesTotal = 4000
    moving.elapsedMilliseconds = 3999
    moving.etaMilliseconds = 8001
    var waiting = RefillStatus(store: store(9))
    waiting.waiting = "n3 is down: not connected"
    status.refills = [moving, waiting]
    status.scrub.intervalMilliseconds = 604_800_000
    status.scrub.file = "stores/p000-n3/000001.data"
    status.scrub.bytesDone = 30
    status.scrub.bytesTotal = 90
    status.scrub.passesDone = 2
    status.scrub.lastPassMilliseconds = 7500
    status.scrub.damagedFound = 2
    status.scrub.repaired = 1
    status.scrub.lost = 1
    status.scrub.setAside = ["damaged/p003-n3.1"]
    return status
  }
}

extension NodeStatus {
  static func withAntiEntropy(_ status: AntiEntropyStatus) -> NodeStatus {
    var counters = NodeCounters()
    counters.antiEntropy = .sample
    return NodeStatus(
      member: AntiEntropyStatus.member(1), state: .serving, clusterID: nil, bootID: 1, actor: ActorID(2), ringEpoch: 3,
      peers: [], stores: [], clockInDoubt: false, operationsInProgress: 0, counters: counters,
      recovery: RecoveryReport(), antiEntropy: status)
  }
}

extension AntiEntropyCounters {
  static var sample: AntiEntropyCounters {
    var counters = AntiEntropyCounters()
    counters.rounds = 31
    counters.roundsFailed = 32
    counters.roundsDiffering = 33
    counters.rootsCompared = 34
    counters.segmentsCompared = 35
    counters.leavesCompared = 36
    counters.keysPulled = 37
    counters.bytesPulled = 38
    counters.guarded = 39
    counters.refills = 40
    counters.scrubbedBytes = 41
    return counters
  }
}

extension AntiEntropyReport {
  /// Three stores, two peers, one of which is down; of the other one store's comparison failed.
  static var sample: AntiEntropyReport {
    var report = AntiEntropyReport()
    report.stores = 3
    report.compared = 2
    report.differing = 2
    report.stillDiffering = 1
    report.keysPulled = 17
    report.bytesPulled = 2040
    report.milliseconds = 1234
    report.obstacles = [
      Obstacle(peer: AntiEntropyStatus.member(3), store: nil, reason: "n3 is down: not connected"),
      Obstacle(peer: AntiEntropyStatus.member(2), store: AntiEntropyStatus.store(1), reason: "n2 does not answer"),
    ]
    return report
  }
}
