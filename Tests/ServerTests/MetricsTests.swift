import Causality
import Cluster
import Messages
import Platform
import Primitives
import Replication
import Storage
import Testing

@testable import Server

@Suite struct MetricsTests {
  /// A node with two peers, one of which was never heard from, and three stores.
  static func snapshot(peers: [String] = ["n2", "n3"], journal: JournalStatus? = nil) -> MetricsSnapshot {
    func member(_ id: Int, _ name: String) -> Member {
      Member(id: NodeID(UInt32(id)), name: name, address: "127.0.0.1:\(id)")
    }
    var counters = NodeCounters()
    counters.gets = 11
    counters.failures.count(.unsatisfied(.dw, wanted: 2, got: 1, detail: ""))
    counters.failures.count(.timeout(detail: ""))
    counters.failures.count(.invalidContext)
    counters.hintsKept = 21
    counters.hintsRefused = 22
    counters.hintsDelivered = 23
    counters.hintsLost = 29
    counters.sloppyWrites = 24
    counters.sloppyReads = 25
    counters.readRepairs = 26
    counters.digestMismatches = 27
    counters.hedgedReads = 28
    counters.failures.count(.invalidQuorum(n: 3))
    counters.probes = 21
    counters.suspicions = 22
    counters.indirectAcknowledgements = 23
    counters.antiEntropy = .sample
    let roles: [StoreRole] = [.active, .active, .fenced]
    let stores = roles.enumerated().map { index, role in
      StoreStatus(
        id: StoreID(partition: UInt16(index), replicas: 3), role: role, incarnation: .none, keysLive: 10, tombstones: 2,
        floor: .zero, tsnHead: 0, deadBytes: 100, liveBytes: 200, totalBytes: 332, deadRecords: 1, files: 1)
    }
    var queues = NodeQueues()
    queues.forwards = 4
    queues.unsynced = 5
    queues.answeredWrites = 9
    let status = NodeStatus(
      member: member(1, "n1"), state: .serving, clusterID: nil, bootID: 1, actor: ActorID(1), ringEpoch: 1,
      peers: peers.enumerated().map { index, name in
        NodeStatus.Peer(
          member: member(index + 2, name), link: index == 0 ? .up : .suspect(reason: "x"),
          silentMilliseconds: index == 0 ? 250 : nil, clockOffsetMilliseconds: index == 0 ? -1500 : nil)
      },
      stores: stores, clockInDoubt: true, operationsInProgress: 4, counters: counters, recovery: RecoveryReport(),
      queues: queues, journal: journal, hints: peers.enumerated().map { hints(for: member($0 + 2, $1), $0) },
      antiEntropy: peers.isEmpty ? AntiEntropyStatus() : .sample)
    var syncs = LatencyHistogram()
    syncs.record(2_000_000)
    return MetricsSnapshot(
      status: status, statistics: Statistics(), requests: RequestMetrics(clock: SystemClock()), syncs: syncs,
      process: ProcessSnapshot(
        startedWallMilliseconds: 1_700_000_000_500, uptimeNanoseconds: 1_500_000_000, residentBytes: 7,
        openDescriptors: 8, descriptorsMax: 9),
      connections: ConnectionsSnapshot(
        clients: 1, clientsMax: 2, operationsMax: 3, unreadBytes: 4, unfinishedBytes: 5, unsynced: 6),
      links: peers.map { LinkSnapshot(peer: $0, messagesDropped: 3, waitingBytes: 4) }, hintBytesMax: 1 << 20,
      tombstones: peers.isEmpty ? TombstoneStatus() : tombstones)
  }

  private static var tombstones: TombstoneStatus {
    var status = TombstoneStatus()
    status.add(
      TombstoneStatus.Store(
        store: StoreID(partition: 1, replicas: 3), pending: 4, oldestMilliseconds: 5000,
        blockers: [TombstoneBlocker(node: "n2", .cursorLag(behind: 4))]))
    return status
  }

  /// Some for the first peer, none for the others.
  private static func hints(for member: Member, _ index: Int) -> HintQueueStatus {
    var queue = HintQueueStatus(
      member: member, count: index == 0 ? 12 : 0, bytes: index == 0 ? 3456 : 0, fileBytes: 5000)
    if index == 0 { queue.oldestMilliseconds = 61_500 }
    return queue
  }

  static func page(_ snapshot: MetricsSnapshot) throws -> MetricsPage {
    try MetricsPage(String(decoding: Metrics.text(snapshot), as: UTF8.self))
  }

  @Test("a page tells what the node knows: sums over its stores, one series for each peer")
  func values() throws {
    let page = try Self.page(Self.snapshot(journal: JournalStatus(bytes: 77, segments: 2)))
    let expected: KeyValuePairs = [
      "cairn_serving": 1, "cairn_clock_in_doubt": 1, "cairn_uptime_seconds": 1.5,
      "cairn_start_time_seconds": 1_700_000_000.5, "cairn_build_info{version=\"\(Release.version)\"}": 1,
      "cairn_quorum_failures_total{quorum=\"dw\"}": 1, "cairn_quorum_failures_total{quorum=\"w\"}": 0,
      "cairn_request_failures_total{reason=\"timeout\"}": 1, "cairn_request_failures_total{reason=\"invalid\"}": 2,
      "cairn_coordinated_operations_total{operation=\"get\"}": 11,
      "cairn_operations_in_progress{operation=\"forward\"}": 4, "cairn_unsynced_acknowledgements": 11,
      "cairn_answered_writes_in_progress": 9, "cairn_sloppy_writes_total": 24, "cairn_sloppy_reads_total": 25,
      "cairn_read_repairs_total": 26, "cairn_digest_mismatches_total": 27, "cairn_hedged_reads_total": 28,
      "cairn_hints{target=\"n2\"}": 12, "cairn_hints{target=\"n3\"}": 0, "cairn_hints_bytes{target=\"n2\"}": 3456,
      "cairn_hints_oldest_seconds{target=\"n2\"}": 61.5, "cairn_hints_max_bytes": 1_048_576,
      "cairn_hints_kept_total": 21, "cairn_hints_refused_total": 22, "cairn_hints_delivered_total": 23,
      "cairn_hints_lost_total": 29,
      "cairn_anti_entropy_rounds_total": 31, "cairn_anti_entropy_rounds_failed_total": 32,
      "cairn_anti_entropy_rounds_differing_total": 33, "cairn_anti_entropy_compared_total{level=\"store\"}": 34,
      "cairn_anti_entropy_compared_total{level=\"segment\"}": 35,
      "cairn_anti_entropy_compared_total{level=\"leaf\"}": 36, "cairn_anti_entropy_pulled_keys_total": 37,
      "cairn_anti_entropy_pulled_bytes_total": 38, "cairn_anti_entropy_guarded_total": 39,
      "cairn_anti_entropy_interval_seconds": 300, "cairn_anti_entropy_oldest_round_seconds{peer=\"n2\"}": 14.999,
      "cairn_anti_entropy_oldest_round_seconds{peer=\"n3\"}": 1.5, "cairn_refill_stores": 2,
      "cairn_refill_stores_waiting": 1, "cairn_refill_keys": 100, "cairn_refill_keys_expected": 400,
      "cairn_refill_stores_filled_total": 40, "cairn_scrub_read_bytes_total": 41, "cairn_scrub_passes_total": 2,
      "cairn_scrub_last_pass_seconds": 7.5, "cairn_scrub_damages_found_total": 2, "cairn_scrub_repaired_total": 1,
      "cairn_scrub_lost_total": 1, "cairn_scrub_set_aside": 1,
      "cairn_stores{role=\"active\"}": 2, "cairn_stores{role=\"fenced\"}": 1, "cairn_stores{role=\"loading\"}": 0,
      "cairn_keys": 30, "cairn_tombstones": 6, "cairn_store_files": 3, "cairn_store_bytes": 996,
      "cairn_store_live_bytes": 600, "cairn_store_dead_bytes": 300, "cairn_journal_bytes": 77,
      "cairn_journal_segments": 2, "cairn_peer_up{peer=\"n2\"}": 1, "cairn_peer_up{peer=\"n3\"}": 0,
      "cairn_peer_suspect{peer=\"n2\"}": 0, "cairn_peer_suspect{peer=\"n3\"}": 1,
      "cairn_probes_total": 21, "cairn_suspicions_total": 22, "cairn_indirect_acks_total": 23,
      "cairn_peer_silence_seconds{peer=\"n2\"}": 0.25, "cairn_peer_clock_offset_seconds{peer=\"n2\"}": -1.5,
      "cairn_peer_messages_dropped_total{peer=\"n3\"}": 3, "cairn_peer_outbox_bytes{peer=\"n3\"}": 4,
      "cairn_sync_duration_seconds_count": 1, "cairn_sync_duration_seconds_sum": 0.002,
      "cairn_sync_duration_seconds_bucket{le=\"0.001\"}": 0, "cairn_sync_duration_seconds_bucket{le=\"0.0025\"}": 1,
      "cairn_sync_duration_seconds_bucket{le=\"10\"}": 1, "cairn_sync_duration_seconds_bucket{le=\"+Inf\"}": 1,
    ]
    for (key, value) in expected { #expect(page[key] == value, "\(key)") }
    #expect(page["cairn_peer_silence_seconds{peer=\"n3\"}"] == nil, "never heard from is not silent for 0 s")
    #expect(page["cairn_hints_oldest_seconds{target=\"n3\"}"] == nil, "no hint is not 0 s old")
  }

  @Test("what does not exist on a node is left out, and its family with it")
  func absent() throws {
    let page = try Self.page(Self.snapshot(peers: []))
    let names = [
      "cairn_journal_bytes", "cairn_journal_segments", "cairn_peer_up", "cairn_peer_outbox_bytes", "cairn_hints",
      "cairn_anti_entropy_oldest_round_seconds", "cairn_scrub_last_pass_seconds",
    ]
    for name in names {
      #expect(!page.names.contains(name))
    }
    #expect(page.names.contains("cairn_peer_connections_refused_total"))
  }

  @Test("names, kinds and help follow Prometheus' rules")
  func names() {
    #expect(Set(Metrics.families.map(\.name)).count == Metrics.families.count)
    for family in Metrics.families {
      #expect(family.name.wholeMatch(of: /cairn_[a-z]+(_[a-z]+)*/) != nil, "\(family.name)")
      #expect(family.name.hasSuffix("_total") == (family.kind == .counter), "\(family.name)")
      #expect(!family.help.isEmpty && family.help.hasSuffix("."), "\(family.name)")
      if family.kind == .histogram { #expect(family.name.hasSuffix("_seconds")) }
    }
  }

  @Test("labels and help are escaped: a name cannot end its line or its quotes")
  func escaping() throws {
    let name = "a\"b\\c\nd{}é"
    let text = String(decoding: Metrics.text(Self.snapshot(peers: [name])), as: UTF8.self)
    #expect(text.contains("cairn_peer_up{peer=\"a\\\"b\\\\c\\nd{}é\"} 1\n"))
    #expect(try MetricsPage(text).names == (try Self.page(Self.snapshot())).names)
    var writer = MetricsText()
    writer.append(
      "x", "gauge", help: "a \"b\" \\ c\nd", [MetricSample([], .amount(1.0)), MetricSample([], .amount(0.5))])
    #expect(writer.text == "# HELP x a \"b\" \\\\ c\\nd\n# TYPE x gauge\nx 1\nx 0.5\n")
  }

  @Test("buckets of a histogram only grow, and the last holds everything", arguments: UInt64(0)..<20)
  func histograms(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var snapshot = Self.snapshot()
    snapshot.syncs = LatencyHistogram()
    for _ in 0..<1000 { snapshot.syncs.record(random.next() >> (20 + random.next() % 40)) }
    let page = try Self.page(snapshot)
    let family = try #require(page.families.first { $0.name == "cairn_sync_duration_seconds" })
    let buckets = family.samples.filter { $0.key.contains("_bucket") }
    #expect(buckets.count == MetricsText.bounds.count + 1)
    #expect(buckets.map(\.value) == buckets.map(\.value).sorted() && buckets.last?.value == 1000)
    #expect(buckets.last?.key.contains("+Inf") == true)
    #expect(page["cairn_sync_duration_seconds_count"] == 1000)
    #expect(page["cairn_sync_duration_seconds_sum"] == Double(snapshot.syncs.sum) / 1e9)
  }

  @Test("Docs/Metrics.md describes every metric that is served, with its labels, in the same order, and no other")
  func documentation() throws {
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    let text = String(decoding: try FileTree.read(root + "/Docs/Metrics.md", bytesMax: 1 << 20), as: UTF8.self)
    let documented = text.matches(of: /(?m)^\| `(cairn_\w+)(?:\{([a-z,]+)\})?` \| (\w+) \| [^|]+ \|[^|]*\|$/).map {
      [String($0.output.1), String($0.output.2 ?? ""), String($0.output.3)]
    }
    let snapshot = Self.snapshot(journal: JournalStatus(bytes: 1, segments: 1))
    let served = Metrics.families.map { family in
      let labels = family.samples(snapshot).first?.labels.map(\.name) ?? []
      return [family.name, labels.joined(separator: ","), family.kind.rawValue]
    }
    #expect(documented == served)
  }
}
