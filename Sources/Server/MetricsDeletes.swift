import Replication

// Metrics of deletes: tombstones on their way to being forgotten, and what stood in the way of old copies.

extension Metrics {
  static let deletes: [MetricFamily] = [
    level("cairn_tombstones_pending", "Tombstones here that wait to be forgotten.") { $0.status.tombstones },
    MetricFamily(
      name: "cairn_tombstones_oldest_seconds", kind: .gauge,
      help: "Since the delete whose tombstone waits longest here; missing where none waits."
    ) { snapshot in
      snapshot.tombstones.oldestMilliseconds.map { [MetricSample([], .amount(Double($0) / 1000))] } ?? []
    },
    MetricFamily(
      name: "cairn_tombstones_blocked", kind: .gauge,
      help: "Tombstones here by what must go first before they are forgotten: the node it lies with, the reason."
    ) { snapshot in
      snapshot.tombstones.blockedBy.filter { $0.pending > 0 }.map {
        MetricSample(
          [("peer", $0.blocker.node), ("reason", $0.blocker.kind.rawValue)], .count(UInt64($0.pending)))
      }
    },
    gauge("cairn_tombstone_bytes", "Bytes of the records of tombstones that wait here, about.") {
      Double($0.tombstones.bytes)
    },
    gauge("cairn_tombstone_blocked_bytes", "Bytes of forgotten tombstones that no merge could free yet.") {
      Double($0.tombstones.blockedBytes)
    },
    counter("cairn_tombstones_refused_total", "Tombstones refused here because as many wait as tombstones_max allows.")
    {
      $0.status.counters.tombstonesRefused
    },
    counter("cairn_tombstones_purged_total", "Tombstones forgotten here, every owner having acknowledged them.") {
      $0.status.counters.purged
    },
    counter("cairn_values_buried_total", "Expired values that were made tombstones here.") {
      $0.status.counters.buried
    },
    counter("cairn_feed_messages_total", "States of stores, and answers to them, sent to peers.") {
      $0.status.counters.feedMessages
    },
    counter("cairn_feed_entries_sent_total", "Tombstones told to other owners.") { $0.status.counters.feedEntriesSent },
    counter("cairn_feed_entries_applied_total", "Tombstones taken from other owners that were not here yet.") {
      $0.status.counters.feedEntriesApplied
    },
    counter("cairn_stale_pushes_refused_total", "Writes that came late: their keys were deleted and forgotten here.") {
      $0.status.counters.stalePushesRefused
    },
    labelled(
      "cairn_stale_pushes_total", .counter, "outcome",
      "Repairs and hints of keys deleted and forgotten here: looked into, found with nobody, put off."
    ) {
      let counters = $0.status.counters
      return [
        ("pulled", counters.stalePushesPulled), ("dropped", counters.stalePushesDropped),
        ("put_off", counters.stalePushesPutOff),
      ]
    },
    counter("cairn_reads_revalidated_total", "Reads that asked an owner again, as another had forgotten the key.") {
      $0.status.counters.revalidatedReads
    },
    counter("cairn_reads_withdrawn_total", "Answers to reads that did not count: old hints, owners not validated.") {
      $0.status.counters.withdrawnReads
    },
    counter("cairn_stores_regressed_total", "Stores here that had forgotten what they had promised to other owners.") {
      $0.status.counters.regressions
    },
    counter("cairn_clones_total", "Processes that gave the name of a member that was there and answered.") {
      $0.status.counters.clones
    },
    level("cairn_quarantine_values", "Values in quarantine here.") { $0.status.quarantine.count },
    gauge("cairn_quarantine_bytes", "Bytes of the records in quarantine here.") { Double($0.status.quarantine.bytes) },
    counter("cairn_quarantined_total", "Values that went to quarantine here.") { $0.status.counters.quarantined },
    counter("cairn_quarantine_refused_total", "Values that found no room in quarantine, and wait where they are.") {
      $0.status.counters.quarantineRefused
    },
  ]
}
