import Cluster
import Protocols
import Replication

// What operators are shown of deletes: tombstones that wait to be collected, as JSON.

extension AdminDocuments {
  /// The whole of `/admin/tombstones`.
  static func tombstones(_ status: NodeStatus) -> JSON {
    .object([
      "node": .string(status.member.name),
      "pending": .count(status.tombstones),
    ])
  }
}
