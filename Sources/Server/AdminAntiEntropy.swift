import Cluster
import Protocols
import Replication
import Storage

// What operators are shown of anti-entropy, as JSON: rounds, refills and the scrub of one node, and what a round that was
// asked for came to. A node may share thousands of stores with each of its peers: sums per peer are always whole, rows
// are bounded.

extension AdminDocuments {
  /// Rows of one kind in one document, at most.
  static let rowsMax = 1024

  /// The whole of `/admin/anti-entropy`.
  static func antiEntropy(_ status: NodeStatus) -> JSON {
    let whole = status.antiEntropy
    return .object([
      "node": .string(status.member.name),
      "interval_seconds": .count(secondsUp(whole.intervalMilliseconds)),
      "rounds": rounds(status.counters.antiEntropy),
      "peers": .array(PeerRounds.all(whole.pairs).map(peer)),
      "pairs": .array(shown(whole.pairs).map(pair)),
      "pairs_total": .count(whole.pairs.count),
      "refills": .array(whole.refills.prefix(rowsMax).map(refill)),
      "refills_total": .count(whole.refills.count),
      "refills_done": .count(status.counters.antiEntropy.refills),
      "scrub": scrub(whole.scrub),
      "set_aside": .array(whole.scrub.setAside.map { .string($0) }),
    ])
  }

  /// What `/admin/status` says of it: enough to see whether there is something to look at.
  static func antiEntropyTotals(_ status: NodeStatus) -> JSON {
    let scrub = status.antiEntropy.scrub
    return .object([
      "rounds": .count(status.counters.antiEntropy.rounds),
      "keys_pulled": .count(status.counters.antiEntropy.keysPulled),
      "refilling": .count(status.stores.count { $0.role == .loading }),
      "damaged_found": .count(scrub.damagedFound),
      "repaired": .count(scrub.repaired),
      "lost": .count(scrub.lost),
    ])
  }

  /// What a round that was asked for came to.
  static func round(_ report: AntiEntropyReport) -> JSON {
    .object([
      "stores": .count(report.stores),
      "differing": .count(report.differing),
      "still_differing": .count(report.stillDiffering),
      "keys_pulled": .count(report.keysPulled),
      "bytes_pulled": .count(report.bytesPulled),
      "milliseconds": .count(report.milliseconds),
      "failed": .array(report.obstacles.prefix(rowsMax).map(obstacle)),
      "failed_total": .count(report.obstacles.count),
    ])
  }

  private static func obstacle(_ obstacle: AntiEntropyReport.Obstacle) -> JSON {
    .object([
      "store": .optional(obstacle.store) { .string("\($0)") },
      "peer": .string(obstacle.peer.name),
      "reason": .string(obstacle.reason),
    ])
  }

  private static func rounds(_ counters: AntiEntropyCounters) -> JSON {
    .object([
      "done": .count(counters.rounds),
      "failed": .count(counters.roundsFailed),
      "differing": .count(counters.roundsDiffering),
      "keys_pulled": .count(counters.keysPulled),
      "bytes_pulled": .count(counters.bytesPulled),
    ])
  }

  private static func peer(_ rounds: PeerRounds) -> JSON {
    .object([
      "peer": .string(rounds.peer.name),
      "stores": .count(rounds.stores),
      "last_round_seconds": .optional(rounds.oldestMilliseconds) { .count($0 / 1000) },
      "never": .count(rounds.never),
      "differences": .count(rounds.differences),
      "keys_pulled": .count(rounds.keysPulled),
      "bytes_pulled": .count(rounds.bytesPulled),
      "running": .count(rounds.running),
      "failed": .count(rounds.failed),
      "reason": .string(rounds.reason),
    ])
  }

  private static func pair(_ pair: PairStatus) -> JSON {
    let (state, reason) =
      switch pair.state {
      case .idle: ("idle", "")
      case .running: ("running", "")
      case .failed(let reason): ("failed", reason)
      }
    return .object([
      "store": .string("\(pair.store)"),
      "peer": .string(pair.peer.name),
      "last_round_seconds": .optional(pair.lastRoundMilliseconds) { .count($0 / 1000) },
      "differences": .count(pair.differences),
      "keys_pulled": .count(pair.keysPulled),
      "bytes_pulled": .count(pair.bytesPulled),
      "state": .string(state),
      "reason": .string(reason),
    ])
  }

  /// All pairs, or as many as there is room for in their order, and then first those that have something to tell.
  static func shown(_ pairs: [PairStatus]) -> [PairStatus] {
    guard pairs.count > rowsMax else { return pairs }
    func isNotable(_ pair: PairStatus) -> Bool { pair.state != .idle || pair.lastRoundMilliseconds == nil }
    var notable = rowsMax
    var others = max(0, rowsMax - pairs.count(where: isNotable))
    return pairs.filter { pair in
      if isNotable(pair) {
        notable -= 1
        return notable >= 0
      }
      others -= 1
      return others >= 0
    }
  }

  private static func refill(_ refill: RefillStatus) -> JSON {
    .object([
      "store": .string("\(refill.store)"),
      "source": .optional(refill.source) { .string($0.name) },
      "keys": .count(refill.keys),
      "keys_total": .count(refill.keysTotal),
      "bytes": .count(refill.bytes),
      "bytes_total": .count(refill.bytesTotal),
      "elapsed_seconds": .count(refill.elapsedMilliseconds / 1000),
      "eta_seconds": .optional(refill.etaMilliseconds) { .count(secondsUp($0)) },
      "waiting": .string(refill.waiting ?? ""),
    ])
  }

  private static func scrub(_ scrub: ScrubStatus) -> JSON {
    .object([
      "interval_seconds": .count(secondsUp(scrub.intervalMilliseconds)),
      "file": .optional(scrub.file) { .string($0) },
      "bytes_done": .count(scrub.bytesDone),
      "bytes_total": .count(scrub.bytesTotal),
      "passes": .count(scrub.passesDone),
      "last_pass_seconds": .optional(scrub.lastPassMilliseconds) { .count($0 / 1000) },
      "damaged_found": .count(scrub.damagedFound),
      "repaired": .count(scrub.repaired),
      "lost": .count(scrub.lost),
    ])
  }

  /// Whole seconds, none of them only for none at all.
  private static func secondsUp(_ milliseconds: UInt64) -> UInt64 {
    milliseconds / 1000 + (milliseconds % 1000 > 0 ? 1 : 0)
  }
}
