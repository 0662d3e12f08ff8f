import Protocols
import Replication

// What operators are shown of deletes: tombstones that wait to be forgotten, and for what, as JSON.

extension AdminDocuments {
  /// The whole of `/admin/tombstones`.
  static func tombstones(_ status: TombstoneStatus, node: String) -> JSON {
    .object([
      "node": .string(node),
      "pending": .count(status.pending),
      "oldest_seconds": .optional(status.oldestMilliseconds) { .count($0 / 1000) },
      "purged": .count(status.purged),
      "stores": .array(status.stores.prefix(rowsMax).map(store)),
      "stores_total": .count(status.stores.count),
    ])
  }

  private static func store(_ store: TombstoneStatus.Store) -> JSON {
    .object([
      "store": .string("\(store.store)"),
      "pending": .count(store.pending),
      "oldest_seconds": .count(store.oldestMilliseconds / 1000),
      "reason": .string(store.reason),
    ])
  }
}
