import Platform
import Protocols
import Replication
import Storage

// What operators are shown of deletes: tombstones that wait to be forgotten, what they cost, and what keeps them, as
// JSON.

extension AdminDocuments {
  /// The whole of `/admin/tombstones`.
  /// - Parameter wallMilliseconds: Now.
  static func tombstones(_ status: TombstoneStatus, node: String, wallMilliseconds: UInt64) -> JSON {
    .object([
      "node": .string(node),
      "pending": .count(status.pending),
      "oldest_seconds": .optional(status.oldestMilliseconds) { .count($0 / 1000) },
      "blocked_by": .array(status.blockedBy.map { block($0, wallMilliseconds) }),
      "bytes": .count(status.bytes),
      "blocked_bytes": .count(status.blockedBytes),
      "purged": .count(status.purged),
      "expiring": .count(status.expiring),
      "refused": .count(status.refused),
      "tombstones_max": .optional(status.pendingMax) { .count($0) },
      "loading": .array(
        status.loading.map {
          .object(["store": .string("\($0.store)"), "percent": .optional($0.percent) { .count($0) }])
        }),
      "stores": .array(status.stores.prefix(rowsMax).map { store($0, wallMilliseconds) }),
      "stores_total": .count(status.stores.count),
    ])
  }

  private static func store(_ store: TombstoneStatus.Store, _ wall: UInt64) -> JSON {
    .object([
      "store": .string("\(store.store)"),
      "partition": .count(UInt64(store.store.partition)),
      "pending": .count(store.pending),
      "bytes": .count(store.bytes.pending),
      "bytes_estimated": .bool(store.bytes.isEstimate),
      "blocked_bytes": .count(store.bytes.blocked),
      "oldest_seconds": .count(store.oldestMilliseconds / 1000),
      "reason": .string(store.reason),
      "blocked_by": .array(store.blockers.map { .object(blocker($0, wall)) }),
    ])
  }

  private static func block(_ block: TombstoneStatus.Block, _ wall: UInt64) -> JSON {
    .object(
      blocker(block.blocker, wall) + [
        JSON.Member(name: "do", value: .string(block.blocker.advice)),
        JSON.Member(name: "stores", value: .count(block.stores)),
        JSON.Member(name: "pending", value: .count(block.pending)),
        JSON.Member(name: "oldest_seconds", value: .count(block.oldestMilliseconds / 1000)),
      ])
  }

  private static func blocker(_ blocker: TombstoneBlocker, _ wall: UInt64) -> [JSON.Member] {
    let facts: [(String, JSON)] =
      switch blocker.reason {
      case .loading(let percent): [("percent", .optional(percent) { .count($0) })]
      case .down(let milliseconds, let why):
        [
          ("since", .optional(milliseconds) { .string(timestamp(wallMilliseconds: wall - min(wall, $0))) }),
          ("seconds", .optional(milliseconds) { .count($0 / 1000) }), ("why", .string(why)),
        ]
      case .cursorLag(let behind), .feedLag(let behind): [("behind", .count(behind))]
      case .hold(let left), .backup(let left): [("seconds_left", .count((left + 999) / 1000))]
      case .antiEntropy(let failure): [("why", .optional(failure) { .string($0) })]
      case .mergeOverlap(let files): [("files", .array(files.map { .count(UInt64($0)) }))]
      case .clockDoubted(let expired), .clockUnconfirmed(let expired): [("expired", .count(expired))]
      case .fenced, .otherOwners, .unvalidated, .unsynced, .purging: []
      }
    let named: [(String, JSON)] = [("node", .string(blocker.node)), ("reason", .string(blocker.kind.rawValue))]
    return (named + facts + [("text", .string(blocker.text))]).map { JSON.Member(name: $0.0, value: $0.1) }
  }
}
