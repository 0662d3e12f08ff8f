import Cluster
import Replication
import Storage

// Every metric that a node serves, as a table: name, kind, meaning, and how its samples follow from a snapshot. Sums per
// node only: a series for every partition, key or client would cost more than it tells. Docs/Metrics.md says what to
// watch.

struct MetricFamily: Sendable {
  enum Kind: String, Sendable { case counter, gauge, histogram }

  let name: String
  let kind: Kind
  let help: String
  /// In an order that never changes; empty where there is nothing to tell.
  let samples: @Sendable (MetricsSnapshot) -> [MetricSample]
}

enum Metrics {
  static func text(_ snapshot: MetricsSnapshot) -> [UInt8] {
    var text = MetricsText()
    for family in families {
      text.append(family.name, family.kind.rawValue, help: family.help, family.samples(snapshot))
    }
    return text.bytes
  }

  static let families: [MetricFamily] =
    node + requests + replicas + queues + peers + hints + antiEntropy + refills + scrub + deletes
    + storage

  // MARK: The node

  private static let node: [MetricFamily] = [
    MetricFamily(name: "cairn_build_info", kind: .gauge, help: "Always 1; the version is in the label.") { _ in
      [MetricSample([("version", Release.version)], .count(1))]
    },
    gauge("cairn_start_time_seconds", "When the process began to run this node, in seconds since 1970.") {
      Double($0.process.startedWallMilliseconds) / 1000
    },
    gauge("cairn_uptime_seconds", "How long the process has run this node.") {
      Double($0.process.uptimeNanoseconds) / 1e9
    },
    flag("cairn_serving", "1 while the node serves clients, 0 while it starts or stops.") {
      $0.status.state == .serving
    },
    flag("cairn_clock_in_doubt", "1 while the wall clock disagrees with the peers' and no writes are coordinated here.")
    {
      $0.status.clockInDoubt
    },
    level("cairn_resident_memory_bytes", "Memory of the process that is in RAM.") { $0.process.residentBytes },
    MetricFamily(name: "cairn_open_fds", kind: .gauge, help: "Files and sockets that the process has open.") {
      $0.process.openDescriptors.map { [MetricSample([], .count(UInt64($0)))] } ?? []
    },
    level("cairn_max_fds", "Files and sockets that the process may have open.") { $0.process.descriptorsMax },
  ]

  // MARK: Requests

  private static let requests: [MetricFamily] = [
    MetricFamily(
      name: "cairn_requests_total", kind: .counter, help: "Requests of clients of this node, by what became of them."
    ) { snapshot in
      RequestOperation.allCases.flatMap { operation in
        RequestOutcome.allCases.map { outcome in
          MetricSample(
            [("operation", "\(operation)"), ("outcome", outcome.label)],
            .count(snapshot.requests.count(operation, outcome)))
        }
      }
    },
    MetricFamily(
      name: "cairn_request_duration_seconds", kind: .histogram,
      help: "Time from taking a request to writing its answer, whatever the outcome."
    ) { snapshot in
      RequestOperation.allCases.map {
        MetricSample([("operation", "\($0)")], .histogram(snapshot.requests.durations($0)))
      }
    },
    labelled("cairn_quorum_failures_total", .counter, "quorum", "Requests that missed this quorum.") {
      let failures = $0.status.counters.failures
      return [
        ("r", failures.r), ("pr", failures.pr), ("w", failures.w), ("dw", failures.dw), ("pw", failures.pw),
      ]
    },
    labelled(
      "cairn_request_failures_total", .counter, "reason", "Requests that failed for another reason than a quorum."
    ) {
      let failures = $0.status.counters.failures
      return [
        ("timeout", failures.timeout), ("overloaded", failures.overloaded), ("not_ready", failures.notReady),
        ("damaged", failures.damaged), ("invalid", failures.invalid), ("full", failures.full),
        ("unavailable", failures.unavailable),
      ]
    },
    labelled(
      "cairn_coordinated_operations_total", .counter, "operation",
      "Operations that this node coordinated, for its own clients and for other nodes'."
    ) {
      [("get", $0.status.counters.gets), ("put", $0.status.counters.puts), ("delete", $0.status.counters.deletes)]
    },
    counter("cairn_forwarded_writes_total", "Writes that this node handed to an owner of the key.") {
      $0.status.counters.forwarded
    },
    labelled(
      "cairn_store_operations_total", .counter, "operation",
      "Reads and writes of this node's own stores, for any coordinator."
    ) {
      [
        ("get", $0.status.counters.vnodeGets), ("put", $0.status.counters.vnodePuts),
        ("keys", $0.status.counters.vnodePages),
      ]
    },
    counter("cairn_cold_reads_total", "Records that were not in memory and had to be read from the disk.") {
      $0.status.counters.coldReads
    },
  ]

  // MARK: Replicas that are away or behind

  private static let replicas: [MetricFamily] = [
    counter("cairn_sloppy_writes_total", "Writes whose quorum was met with a fallback's help.") {
      $0.status.counters.sloppyWrites
    },
    counter("cairn_sloppy_reads_total", "Reads whose quorum was met with a fallback's help.") {
      $0.status.counters.sloppyReads
    },
    counter("cairn_hedged_reads_total", "Reads that asked one more replica because they took long.") {
      $0.status.counters.hedgedReads
    },
    counter("cairn_digest_mismatches_total", "Reads that had to fetch a newer value than the one they had asked for.") {
      $0.status.counters.digestMismatches
    },
    counter("cairn_read_repairs_total", "Versions sent to owners that a read found behind.") {
      $0.status.counters.readRepairs
    },
  ]

  // MARK: What waits, and how much may

  private static let queues: [MetricFamily] = [
    labelled("cairn_operations_in_progress", .gauge, "operation", "Operations in progress on this node.") {
      let queues = $0.status.queues
      return [
        ("get", UInt64(queues.gets)), ("put", UInt64(queues.puts)), ("delete", UInt64(queues.deletes)),
        ("forward", UInt64(queues.forwards)), ("list", UInt64(queues.lists)),
      ]
    },
    level("cairn_answered_writes_in_progress", "Writes whose client has its answer, and some replica has not answered.")
    {
      $0.status.queues.answeredWrites
    },
    level("cairn_operations_max", "Operations that may be in progress (operations_max).") {
      $0.connections.operationsMax
    },
    level("cairn_unsynced_acknowledgements", "Acknowledgements of writes that wait for an fsync.") {
      $0.status.queues.unsynced + $0.connections.unsynced
    },
    level("cairn_cold_reads_in_progress", "Reads that wait for the disk.") { $0.status.queues.coldReads },
    level("cairn_disk_jobs_in_progress", "Checkpoints, hint files and the like that wait for the disk.") {
      $0.status.queues.diskJobs
    },
    level("cairn_client_connections", "Connections of clients.") { $0.connections.clients },
    level("cairn_client_connections_max", "Connections that clients may have.") { $0.connections.clientsMax },
    counter("cairn_client_connections_accepted_total", "Connections of clients that were accepted.") {
      $0.statistics.connectionsAccepted
    },
    counter("cairn_client_connections_refused_total", "Connections of clients beyond the maximum, answered 503.") {
      $0.statistics.connectionsRefused
    },
    counter("cairn_client_connections_timed_out_total", "Connections of clients closed for being idle or too slow.") {
      $0.statistics.connectionsTimedOut
    },
    level("cairn_unread_answer_bytes", "Answers that clients have not read yet.") { $0.connections.unreadBytes },
    level("cairn_unfinished_request_bytes", "Requests that have come in part.") { $0.connections.unfinishedBytes },
  ]

  // MARK: Peers

  private static let peers: [MetricFamily] = [
    ofPeers("cairn_peer_up", "1 while the peer can be talked to, 0 while it is routed around.") {
      $0.link == .up ? 1 : 0
    },
    ofPeers("cairn_peer_suspect", "1 while the peer is connected and does not answer, and is not given up yet.") {
      if case .suspect = $0.link { 1 } else { 0 }
    },
    ofPeers("cairn_peer_silence_seconds", "Since anything was heard from the peer; missing before the first contact.") {
      $0.silentMilliseconds.map { Double($0) / 1000 }
    },
    ofPeers(
      "cairn_peer_clock_offset_seconds", "The peer's wall clock minus this node's; missing before the first contact."
    ) {
      $0.clockOffsetMilliseconds.map { Double($0) / 1000 }
    },
    counter("cairn_probes_total", "Pings to peers, on behalf of others too.") { $0.status.counters.probes },
    counter("cairn_suspicions_total", "How often a peer ceased to answer.") { $0.status.counters.suspicions },
    counter("cairn_indirect_acks_total", "Words of other nodes that they reach a peer which does not answer this one.")
    {
      $0.status.counters.indirectAcknowledgements
    },
    labelled("cairn_peer_messages_dropped_total", .counter, "peer", "Messages to a peer that could not be sent.") {
      $0.links.map { ($0.peer, $0.messagesDropped) }
    },
    labelled("cairn_peer_outbox_bytes", .gauge, "peer", "Messages that wait to be sent to a peer.") {
      $0.links.map { ($0.peer, UInt64($0.waitingBytes)) }
    },
    counter(
      "cairn_peer_connections_refused_total", "Connections to the cluster port that were no peer's, or a refused one's."
    ) {
      $0.statistics.peerConnectionsRefused
    },
  ]

  // MARK: Hints

  private static let hints: [MetricFamily] = [
    labelled("cairn_hints", .gauge, "target", "Hints kept here for another node.") {
      $0.status.hints.map { ($0.member.name, UInt64($0.count)) }
    },
    labelled("cairn_hints_bytes", .gauge, "target", "Bytes of the hints kept here for another node.") {
      $0.status.hints.map { ($0.member.name, $0.bytes) }
    },
    MetricFamily(
      name: "cairn_hints_oldest_seconds", kind: .gauge,
      help: "Age of the oldest hint kept here for another node; missing where there is none."
    ) { snapshot in
      snapshot.status.hints.compactMap { queue in
        queue.oldestMilliseconds.map {
          MetricSample([("target", queue.member.name)], .amount(Double($0) / 1000))
        }
      }
    },
    MetricFamily(
      name: "cairn_hints_max_bytes", kind: .gauge, help: "Bytes of hints that this node keeps at most (hints_max)."
    ) { [MetricSample([], .count($0.hintBytesMax))] },
    counter("cairn_hints_kept_total", "Hints that this node took on.") { $0.status.counters.hintsKept },
    counter("cairn_hints_refused_total", "Hints that this node could not take on.") {
      $0.status.counters.hintsRefused
    },
    counter("cairn_hints_delivered_total", "Hints that this node handed over.") {
      $0.status.counters.hintsDelivered
    },
    counter("cairn_hints_lost_total", "Hints that went with a damaged store of hints.") {
      $0.status.counters.hintsLost
    },
  ]

  // MARK: Storage

  private static let storage: [MetricFamily] = [
    labelled("cairn_stores", .gauge, "role", "Stores of this node, by the part they take.") { snapshot in
      [StoreRole.loading, .active, .fenced, .retired].map { role in
        ("\(role)", UInt64(snapshot.status.stores.count { $0.role == role }))
      }
    },
    level("cairn_keys", "Live keys in this node's stores.") { $0.status.keysLive },
    level("cairn_tombstones", "Tombstones in this node's stores.") { $0.status.tombstones },
    level("cairn_store_files", "Data files of all stores.") { $0.status.stores.reduce(0) { $0 + $1.files } },
    bytes("cairn_store_bytes", "Bytes of all data files.") { $0.totalBytes },
    bytes("cairn_store_live_bytes", "Bytes of records that are the newest of their key, tombstones included.") {
      $0.liveBytes
    },
    counter("cairn_snapshots_total", "Snapshots made.") { $0.status.counters.snapshots },
    counter("cairn_snapshots_failed_total", "Snapshots that were begun and failed.") {
      $0.status.counters.snapshotsFailed
    },
    counter("cairn_merges_total", "Merges completed.") { UInt64($0.status.merge.merges) },
    counter("cairn_merge_read_bytes_total", "Bytes of records that completed merges read.") {
      $0.status.merge.totals.bytesRead
    },
    counter("cairn_merge_copied_bytes_total", "Bytes of records that completed merges kept.") {
      $0.status.merge.totals.bytesCopied
    },
    bytes("cairn_store_dead_bytes", "Bytes of records that a newer one has replaced.") { $0.deadBytes },
    MetricFamily(
      name: "cairn_disk_free_bytes", kind: .gauge,
      help: "Bytes that the node may still write to its disk; missing where the system does not say."
    ) {
      $0.status.space?.freeBytes.map { [MetricSample([], .count($0))] } ?? []
    },
    MetricFamily(
      name: "cairn_disk_reserve_bytes", kind: .gauge,
      help: "With less than this free, puts are refused (disk_reserve)."
    ) {
      $0.status.space.map { [MetricSample([], .count($0.reserveBytes))] } ?? []
    },
    flag("cairn_disk_full", "1 while puts are refused for want of room on the disk.") {
      $0.status.space?.isShort ?? false
    },
    MetricFamily(
      name: "cairn_journal_bytes", kind: .gauge, help: "Bytes of the journal; missing without sync = always."
    ) {
      $0.status.journal.map { [MetricSample([], .count($0.bytes))] } ?? []
    },
    MetricFamily(
      name: "cairn_journal_segments", kind: .gauge, help: "Segments of the journal; missing without sync = always."
    ) {
      $0.status.journal.map { [MetricSample([], .count(UInt64($0.segments)))] } ?? []
    },
    MetricFamily(
      name: "cairn_sync_duration_seconds", kind: .histogram, help: "Time that making a turn's writes durable took."
    ) {
      [MetricSample([], .histogram($0.syncs))]
    },
  ]

  // MARK: Shapes

  static func counter(
    _ name: String, _ help: String, _ value: @escaping @Sendable (MetricsSnapshot) -> UInt64
  ) -> MetricFamily {
    MetricFamily(name: name, kind: .counter, help: help) { [MetricSample([], .count(value($0)))] }
  }

  static func gauge(
    _ name: String, _ help: String, _ value: @escaping @Sendable (MetricsSnapshot) -> Double
  ) -> MetricFamily {
    MetricFamily(name: name, kind: .gauge, help: help) { [MetricSample([], .amount(value($0)))] }
  }

  /// A gauge of whole things.
  static func level(
    _ name: String, _ help: String, _ value: @escaping @Sendable (MetricsSnapshot) -> Int
  ) -> MetricFamily {
    MetricFamily(name: name, kind: .gauge, help: help) { [MetricSample([], .count(UInt64(value($0))))] }
  }

  static func flag(
    _ name: String, _ help: String, _ value: @escaping @Sendable (MetricsSnapshot) -> Bool
  ) -> MetricFamily {
    level(name, help) { value($0) ? 1 : 0 }
  }

  /// One sample for each value of one label.
  static func labelled(
    _ name: String, _ kind: MetricFamily.Kind, _ label: String, _ help: String,
    _ values: @escaping @Sendable (MetricsSnapshot) -> [(value: String, count: UInt64)]
  ) -> MetricFamily {
    MetricFamily(name: name, kind: kind, help: help) { snapshot in
      values(snapshot).map { MetricSample([(label, $0.value)], .count($0.count)) }
    }
  }

  static func ofPeers(
    _ name: String, _ help: String, _ value: @escaping @Sendable (NodeStatus.Peer) -> Double?
  ) -> MetricFamily {
    MetricFamily(name: name, kind: .gauge, help: help) { snapshot in
      snapshot.status.peers.compactMap { peer in
        value(peer).map { MetricSample([("peer", peer.member.name)], .amount($0)) }
      }
    }
  }

  /// A sum over the stores.
  static func bytes(
    _ name: String, _ help: String, _ value: @escaping @Sendable (StoreStatus) -> UInt64
  ) -> MetricFamily {
    MetricFamily(name: name, kind: .gauge, help: help) { snapshot in
      [MetricSample([], .count(snapshot.status.stores.reduce(0) { $0 + value($1) }))]
    }
  }
}
