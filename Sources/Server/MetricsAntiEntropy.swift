import Cluster
import Replication

// Metrics of what keeps replicas equal: rounds of anti-entropy, stores that are being filled, and the scrub.

extension Metrics {
  // MARK: Rounds

  static let antiEntropy: [MetricFamily] = [
    counter("cairn_anti_entropy_rounds_total", "Comparisons of a store with a peer's that were completed.") {
      $0.status.counters.antiEntropy.rounds
    },
    counter("cairn_anti_entropy_rounds_failed_total", "Comparisons of a store with a peer's that came to nothing.") {
      $0.status.counters.antiEntropy.roundsFailed
    },
    counter("cairn_anti_entropy_rounds_differing_total", "Completed comparisons that found the two stores different.") {
      $0.status.counters.antiEntropy.roundsDiffering
    },
    labelled(
      "cairn_anti_entropy_compared_total", .counter, "level",
      "Hashes of stores, segments and leaves that were compared."
    ) {
      let counters = $0.status.counters.antiEntropy
      return [
        ("store", counters.rootsCompared), ("segment", counters.segmentsCompared), ("leaf", counters.leavesCompared),
      ]
    },
    counter("cairn_anti_entropy_pulled_keys_total", "Records pulled from other owners, by rounds and to fill stores.") {
      $0.status.counters.antiEntropy.keysPulled
    },
    counter("cairn_anti_entropy_pulled_bytes_total", "Bytes of the records pulled from other owners.") {
      $0.status.counters.antiEntropy.bytesPulled
    },
    counter("cairn_anti_entropy_guarded_total", "Pulled records asked for again because a purge came between.") {
      $0.status.counters.antiEntropy.guarded
    },
    gauge(
      "cairn_anti_entropy_interval_seconds",
      "Between two rounds with a peer (anti_entropy_interval); 0: only when asked."
    ) {
      Double($0.status.antiEntropy.intervalMilliseconds) / 1000
    },
    MetricFamily(
      name: "cairn_anti_entropy_oldest_round_seconds", kind: .gauge,
      help: "For how long the store that waits longest has not been compared with the peer's; at most since the start."
    ) { snapshot in
      PeerRounds.all(snapshot.status.antiEntropy.pairs).map {
        let milliseconds = $0.longestMilliseconds(uptime: snapshot.process.uptimeNanoseconds / 1_000_000)
        return MetricSample([("peer", $0.peer.name)], .amount(Double(milliseconds) / 1000))
      }
    },
  ]

  // MARK: Stores that are being filled

  static let refills: [MetricFamily] = [
    level("cairn_refill_stores", "Stores that are being filled from other owners, or wait for that.") {
      $0.status.antiEntropy.refills.count
    },
    level("cairn_refill_stores_waiting", "Stores to be filled that wait, for another owner or for their turn.") {
      $0.status.antiEntropy.refills.count { $0.waiting != nil }
    },
    ofRefills("cairn_refill_keys", "Keys that are there in the stores that are being filled.") { $0.keys },
    ofRefills("cairn_refill_keys_expected", "Keys that those stores have where they are filled from.") {
      $0.keysTotal
    },
    counter("cairn_refill_stores_filled_total", "Stores that were filled and serve again.") {
      $0.status.counters.antiEntropy.refills
    },
  ]

  /// A sum over the stores that are being filled; 0 where none is.
  private static func ofRefills(
    _ name: String, _ help: String, _ value: @escaping @Sendable (RefillStatus) -> UInt64
  ) -> MetricFamily {
    MetricFamily(name: name, kind: .gauge, help: help) { snapshot in
      [MetricSample([], .count(snapshot.status.antiEntropy.refills.reduce(0) { $0 + value($1) }))]
    }
  }

  // MARK: The scrub

  static let scrub: [MetricFamily] = [
    counter("cairn_scrub_read_bytes_total", "Bytes of sealed files that the scrub has read.") {
      $0.status.counters.antiEntropy.scrubbedBytes
    },
    counter("cairn_scrub_passes_total", "Times that every sealed file was read.") {
      $0.status.antiEntropy.scrub.passesDone
    },
    MetricFamily(
      name: "cairn_scrub_last_pass_seconds", kind: .gauge,
      help: "Since every sealed file had been read; missing until that has happened since the start."
    ) {
      $0.status.antiEntropy.scrub.lastPassMilliseconds.map { [MetricSample([], .amount(Double($0) / 1000))] } ?? []
    },
    counter("cairn_scrub_damages_found_total", "Damaged records that the scrub or a read has found.") {
      $0.status.antiEntropy.scrub.damagedFound
    },
    counter("cairn_scrub_repaired_total", "Damaged records that other owners have repaired.") {
      $0.status.antiEntropy.scrub.repaired
    },
    counter("cairn_scrub_lost_total", "Damaged records that no other owner had.") {
      $0.status.antiEntropy.scrub.lost
    },
    level("cairn_scrub_set_aside", "Directories of damaged stores that were set aside and are kept.") {
      $0.status.antiEntropy.scrub.setAside.count
    },
  ]
}
