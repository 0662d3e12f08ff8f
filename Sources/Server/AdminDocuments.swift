import Causality
import Cluster
import Platform
import Primitives
import Replication
import Storage

// What operators are shown, as JSON: pure functions of a status. Field names are part of the operator's surface.

enum AdminDocuments {
  /// What client libraries of Riak expect to be at least.
  static let riakVersion = "2.2.3"

  static func status(_ status: NodeStatus, configuration: Configuration, statistics: Statistics) -> JSON {
    let (state, reason) = describe(status.state)
    return .object([
      ("name", .string(status.member.name)),
      ("id", .unsigned(UInt64(status.member.id.rawValue))),
      ("state", .string(state)),
      ("reason", .string(reason)),
      ("process", .number(processIdentifier())),
      ("memory_bytes", .number(residentBytes())),
      ("http", .string(configuration.http?.description ?? "")),
      ("cluster", .string(configuration.cluster?.description ?? "")),
      ("cluster_id", .optional(status.clusterID) { .string($0.description) }),
      ("ring_epoch", .unsigned(status.ringEpoch)),
      ("boot", .string(hexadecimal(status.bootID))),
      ("actor", .string(status.actor.description)),
      ("keys_live", .number(status.keysLive)),
      ("tombstones", .number(status.tombstones)),
      ("clock_in_doubt", .bool(status.clockInDoubt)),
      ("operations_in_progress", .number(status.operationsInProgress)),
      ("sync", .string(configuration.sync.rawValue)),
      ("peers", .array(status.peers.map(peer))),
      ("counters", counters(status.counters)),
      ("connections", connections(statistics)),
      ("recovery", recovery(status.recovery)),
      ("stores", .array(status.stores.map(store))),
    ])
  }

  private static func describe(_ state: NodeStatus.State) -> (state: String, reason: String) {
    switch state {
    case .starting(let reason): ("starting", reason)
    case .serving: ("serving", "")
    case .stopping: ("stopping", "")
    }
  }

  private static func peer(_ peer: NodeStatus.Peer) -> JSON {
    let (link, reason) =
      switch peer.link {
      case .up: ("up", "")
      case .down(let reason): ("down", reason)
      case .refused(let reason): ("refused", reason)
      }
    return .object([
      ("name", .string(peer.member.name)),
      ("address", .string(peer.member.address)),
      ("link", .string(link)),
      ("reason", .string(reason)),
      ("silent_ms", .optional(peer.silentMilliseconds) { .unsigned($0) }),
      ("clock_offset_ms", .optional(peer.clockOffsetMilliseconds) { .number($0) }),
    ])
  }

  private static func store(_ store: StoreStatus) -> JSON {
    .object([
      ("store", .string(store.id.description)),
      ("partition", .number(Int(store.id.partition))),
      ("role", .string("\(store.role)")),
      ("incarnation", .string(store.incarnation.description)),
      ("keys_live", .number(store.keysLive)),
      ("tombstones", .number(store.tombstones)),
      ("floor", .string(store.floor.description)),
      ("tsn_head", .unsigned(store.tsnHead)),
      ("dead_bytes", .unsigned(store.deadBytes)),
      ("total_bytes", .unsigned(store.totalBytes)),
      ("files", .number(store.files)),
    ])
  }

  private static func counters(_ counters: NodeCounters) -> JSON {
    .object([
      ("gets", .unsigned(counters.gets)),
      ("puts", .unsigned(counters.puts)),
      ("deletes", .unsigned(counters.deletes)),
      ("vnode_gets", .unsigned(counters.vnodeGets)),
      ("vnode_puts", .unsigned(counters.vnodePuts)),
      ("forwarded", .unsigned(counters.forwarded)),
      ("quorum_failures", .unsigned(counters.quorumFailures)),
      ("timeouts", .unsigned(counters.timeouts)),
      ("overloads", .unsigned(counters.overloads)),
      ("stale_pushes_refused", .unsigned(counters.stalePushesRefused)),
      ("syncs", .unsigned(counters.syncs)),
    ])
  }

  private static func connections(_ statistics: Statistics) -> JSON {
    .object([
      ("accepted", .unsigned(statistics.connectionsAccepted)),
      ("refused", .unsigned(statistics.connectionsRefused)),
      ("timed_out", .unsigned(statistics.connectionsTimedOut)),
      ("peer_refused", .unsigned(statistics.peerConnectionsRefused)),
      ("peer_messages_dropped", .unsigned(statistics.peerMessagesDropped)),
    ])
  }

  private static func recovery(_ report: RecoveryReport) -> JSON {
    .object([
      ("records", .number(report.records)),
      ("journal_records", .number(report.journalRecords)),
      ("bytes_cut", .unsigned(report.bytesCut)),
      ("missing", .array(report.missing.map { .string($0.description) })),
      ("damaged", .array(report.damaged.map { .string($0) })),
    ])
  }

  /// Which node owns what.
  static func ring(_ ring: Ring) -> JSON {
    let names = Dictionary(uniqueKeysWithValues: ring.members.map { ($0.id, $0.name) })
    return .object([
      ("epoch", .unsigned(ring.epoch)),
      ("partitions", .number(ring.partitionCount)),
      ("n_val", .number(ring.replicas)),
      ("members", .array(ring.members.map { .string($0.name) })),
      (
        "owners",
        .array(
          (0..<ring.partitionCount).map { partition in
            .array(ring.owners(of: partition).map { .string(names[$0] ?? $0.description) })
          })
      ),
    ])
  }

  static func members(_ status: NodeStatus, ring: Ring) -> JSON {
    let everyone = (status.peers.map(\.member) + [status.member]).sorted { $0.id < $1.id }
    return .object([
      (
        "members",
        .array(
          everyone.map { member in
            let peer = status.peers.first { $0.member.id == member.id }
            return .object([
              ("name", .string(member.name)),
              ("id", .unsigned(UInt64(member.id.rawValue))),
              ("address", .string(member.address)),
              ("self", .bool(peer == nil)),
              ("up", .bool(peer.map { $0.link == .up } ?? true)),
              ("partitions", .number(ownedPartitions(member.id, ring))),
            ])
          })
      )
    ])
  }

  private static func ownedPartitions(_ node: NodeID, _ ring: Ring) -> Int {
    (0..<ring.partitionCount).count { ring.owners(of: $0).contains(node) }
  }

  static func configuration(_ configuration: Configuration) -> JSON {
    .object(
      configuration.settings().map {
        ($0.key, .object([("value", .string($0.value)), ("source", .string($0.source))]))
      })
  }

  /// Riak's names where the meaning is the same.
  static func stats(_ status: NodeStatus, ring: Ring, statistics: Statistics, connections: Int) -> JSON {
    let counters = status.counters
    func lastMinute(_ field: (NodeCounters) -> UInt64) -> JSON { .unsigned(statistics.lastMinute(counters, field)) }
    let up = status.peers.filter { $0.link == .up }.map { JSON.string($0.member.name) }
    return .object([
      ("riak_kv_version", .string(riakVersion)),
      ("nodename", .string(status.member.name)),
      ("storage_backend", .string("cairn_bitcask")),
      ("connected_nodes", .array(up)),
      ("ring_members", .array(ring.members.map { .string($0.name) })),
      ("ring_num_partitions", .number(ring.partitionCount)),
      ("riak_kv_vnodes_running", .number(status.stores.count)),
      ("node_gets", lastMinute(\.gets)),
      ("node_gets_total", .unsigned(counters.gets)),
      ("node_puts", lastMinute(\.puts)),
      ("node_puts_total", .unsigned(counters.puts)),
      ("node_deletes", lastMinute(\.deletes)),
      ("node_deletes_total", .unsigned(counters.deletes)),
      ("vnode_gets", lastMinute(\.vnodeGets)),
      ("vnode_gets_total", .unsigned(counters.vnodeGets)),
      ("vnode_puts", lastMinute(\.vnodePuts)),
      ("vnode_puts_total", .unsigned(counters.vnodePuts)),
      ("coord_redirs_total", .unsigned(counters.forwarded)),
      ("keys_live", .number(status.keysLive)),
      ("tombstones", .number(status.tombstones)),
      ("memory_total", .number(residentBytes())),
      ("client_connections", .number(connections)),
    ])
  }
}
