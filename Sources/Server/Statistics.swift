import Primitives
import Replication

// Numbers that operators graph. The node counts totals; here they get their last minute, from one sample per second.

struct Statistics {
  private static let samplesMax = 60

  var connectionsAccepted: UInt64 = 0
  var connectionsRefused: UInt64 = 0
  var connectionsTimedOut: UInt64 = 0
  var peerConnectionsRefused: UInt64 = 0
  var peerMessagesDropped: UInt64 = 0
  /// The last minute's counters, oldest first.
  private var samples: [(at: Instant, counters: NodeCounters)] = []

  /// Keeps the counters as they are now, once a second.
  mutating func sample(_ counters: NodeCounters, at now: Instant) {
    if let last = samples.last, now.milliseconds(since: last.at) < 1000 { return }
    if samples.count == Statistics.samplesMax { samples.removeFirst() }
    samples.append((now, counters))
  }

  /// How much one counter has grown in the last minute.
  func lastMinute(_ now: NodeCounters, _ field: (NodeCounters) -> UInt64) -> UInt64 {
    field(now) - (samples.first.map { field($0.counters) } ?? 0)
  }
}
