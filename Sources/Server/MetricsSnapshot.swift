import Primitives
import Replication

// All that metrics are made of, taken at one instant between two events of the loop.

/// A node's state at one instant, as far as metrics tell it.
struct MetricsSnapshot {
  var status: NodeStatus
  var statistics: Statistics
  var requests: RequestMetrics
  var syncs: LatencyHistogram
  var process: ProcessSnapshot
  var connections: ConnectionsSnapshot
  var links: [LinkSnapshot]
  /// Of hints, as configured.
  var hintBytesMax: UInt64
  var tombstones: TombstoneStatus
}

struct ProcessSnapshot {
  var startedWallMilliseconds: UInt64
  var uptimeNanoseconds: UInt64
  var residentBytes: Int
  var openDescriptors: Int?
  var descriptorsMax: Int
}

struct ConnectionsSnapshot {
  var clients: Int
  var clientsMax: Int
  var operationsMax: Int
  var unreadBytes: Int
  var unfinishedBytes: Int
  /// Acknowledgements that the sync in flight will allow.
  var unsynced: Int
}

/// This node's own connection to a peer.
struct LinkSnapshot {
  var peer: String
  var messagesDropped: UInt64
  var waitingBytes: Int
}
