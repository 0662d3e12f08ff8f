import Cluster
import Protocols
import Replication

// What operators are shown of hints, as JSON: what a node keeps for others, what becomes of it, and what a round of
// handing over came to.

extension AdminDocuments {
  /// The whole of `/admin/hints`.
  static func hints(_ status: NodeStatus, bytesMax: UInt64) -> JSON {
    .object([
      "node": .string(status.member.name),
      "count": .count(status.hints.reduce(0) { $0 + $1.count }),
      "bytes": .count(status.hints.reduce(0) { $0 + $1.bytes }),
      "hints_max": .count(bytesMax),
      "oldest_seconds": .optional(status.hints.compactMap(\.oldestMilliseconds).max()) { .count($0 / 1000) },
      "refused": .count(status.counters.hintsRefused),
      "targets": .array(status.hints.map(queue)),
    ])
  }

  /// What `/admin/status` says of them: enough to see that there are none.
  static func hintTotals(_ queues: [HintQueueStatus]) -> JSON {
    .object([
      "count": .count(queues.reduce(0) { $0 + $1.count }),
      "bytes": .count(queues.reduce(0) { $0 + $1.bytes }),
    ])
  }

  /// What a round handed over, what is left, and why.
  static func drained(_ delivered: UInt64, _ queues: [HintQueueStatus]) -> JSON {
    .object([
      "delivered": .count(delivered),
      "left": .count(queues.reduce(0) { $0 + $1.count }),
      "targets": .array(queues.filter { $0.count > 0 }.map(queue)),
    ])
  }

  private static func queue(_ queue: HintQueueStatus) -> JSON {
    let (state, reason) =
      switch queue.state {
      case .empty: ("empty", "")
      case .sending: ("sending", "")
      case .waiting(let reason): ("waiting", reason)
      }
    let rate = rate(of: queue)
    return .object([
      "node": .string(queue.member.name),
      "count": .count(queue.count),
      "bytes": .count(queue.bytes),
      "file_bytes": .count(queue.fileBytes),
      "oldest_seconds": .optional(queue.oldestMilliseconds) { .count($0 / 1000) },
      "state": .string(state),
      "reason": .string(reason),
      "in_flight": .count(queue.inFlight),
      "delivered": .count(queue.delivered),
      "per_second": .optional(rate) { .count($0) },
      "eta_seconds": .optional(rate) { .count((queue.count + $0 - 1) / $0) },
    ])
  }

  /// Hints handed over in a second, as long as some are sent; nil where that says nothing of the time to come.
  private static func rate(of queue: HintQueueStatus) -> Int? {
    guard queue.state == .sending, let milliseconds = queue.deliveringMilliseconds, milliseconds > 0 else { return nil }
    let perSecond = UInt64(queue.delivered) * 1000 / milliseconds
    return perSecond > 0 ? Int(clamping: perSecond) : nil
  }
}
