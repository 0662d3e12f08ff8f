import Cluster
import Platform
import Primitives
import Protocols
import Replication

// `/stats`: Riak's names where the meaning is the same, so that what graphs Riak graphs this. What does not exist here
// is left out; a zero would be a lie. Times are microseconds, of the last minute.

enum RiakStatistics {
  /// What client libraries of Riak expect to be at least.
  static let riakVersion = "2.2.3"

  static func document(_ snapshot: MetricsSnapshot, ring: Ring) -> JSON {
    .object(
      identity(snapshot, ring) + operations(snapshot)
        + times("node_get_fsm_time", snapshot.requests.getsOfLastMinute)
        + times("node_put_fsm_time", snapshot.requests.putsOfLastMinute) + machine(snapshot))
  }

  private typealias Members = [JSON.Member]

  private static func members(_ members: KeyValuePairs<String, JSON>) -> Members {
    members.map { JSON.Member(name: $0.key, value: $0.value) }
  }

  private static func identity(_ snapshot: MetricsSnapshot, _ ring: Ring) -> Members {
    let status = snapshot.status
    let up = status.peers.filter { $0.link == .up }.map { JSON.string($0.member.name) }
    return members([
      "riak_kv_version": .string(riakVersion),
      "nodename": .string(status.member.name),
      "storage_backend": .string("cairn_bitcask"),
      "connected_nodes": .array(up),
      "ring_members": .array(ring.members.map { .string($0.name) }),
      "ring_num_partitions": .count(ring.partitionCount),
      "ring_creation_size": .count(ring.partitionCount),
      "ring_ownership": .string(ownership(ring)),
      "riak_kv_vnodes_running": .count(status.stores.count),
    ])
  }

  /// How many partitions each member is the first owner of, in the text that Riak sends: `[{'n1',22},{'n2',42}]`.
  static func ownership(_ ring: Ring) -> String {
    let entries = ring.members.map { member in
      "{'\(member.name)',\((0..<ring.partitionCount).count { ring.owners(of: $0).first == member.id })}"
    }
    return "[\(entries.joined(separator: ","))]"
  }

  private static func operations(_ snapshot: MetricsSnapshot) -> Members {
    let counters = snapshot.status.counters
    func lastMinute(_ field: (NodeCounters) -> UInt64) -> JSON {
      .count(snapshot.statistics.lastMinute(counters, field))
    }
    return members([
      "node_gets": lastMinute(\.gets),
      "node_gets_total": .count(counters.gets),
      "node_puts": lastMinute(\.puts),
      "node_puts_total": .count(counters.puts),
      "node_deletes": lastMinute(\.deletes),
      "node_deletes_total": .count(counters.deletes),
      "node_get_fsm_active": .count(snapshot.status.queues.gets),
      "node_put_fsm_active": .count(snapshot.status.queues.puts),
      "vnode_gets": lastMinute(\.vnodeGets),
      "vnode_gets_total": .count(counters.vnodeGets),
      "vnode_puts": lastMinute(\.vnodePuts),
      "vnode_puts_total": .count(counters.vnodePuts),
      "read_repairs": lastMinute(\.readRepairs),
      "read_repairs_total": .count(counters.readRepairs),
      "coord_redirs_total": .count(counters.forwarded),
      "keys_live": .count(snapshot.status.keysLive),
      "tombstones": .count(snapshot.status.tombstones),
      "client_connections": .count(snapshot.connections.clients),
    ])
  }

  private static func times(_ name: String, _ histogram: LatencyHistogram) -> Members {
    func percentile(_ percentile: Double) -> JSON { .count(histogram.value(atPercentile: percentile) / 1000) }
    return members([
      "\(name)_mean": .count(UInt64(histogram.mean / 1000)),
      "\(name)_median": percentile(50),
      "\(name)_95": percentile(95),
      "\(name)_99": percentile(99),
      "\(name)_100": percentile(100),
    ])
  }

  private static func machine(_ snapshot: MetricsSnapshot) -> Members {
    members([
      "uptime": .count(snapshot.process.uptimeNanoseconds / 1_000_000_000),
      "memory_total": .count(snapshot.process.residentBytes),
      "mem_allocated": .count(snapshot.process.residentBytes),
      "mem_total": .count(ThisMachine.memoryBytes),
      "sys_logical_processors": .count(ThisMachine.processors),
      "sys_system_architecture": .optional(ThisMachine.architecture) { .string("\($0)-linux") },
      "sys_wordsize": .count(Int.bitWidth / 8),
    ])
  }
}
