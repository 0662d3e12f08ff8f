package import Causality
package import Messages

// The quarantine, as operators see it: values that this node was offered or found, that no owner of their key has, and
// that stand at or below the floor (rules VALIDATED PULL and REBUILD, Docs/DeleteProtocol.md). Almost always they were deleted.
// Now and then such a value is the last copy of a write whose owners all lost it, which is why none is thrown away: it
// is in nobody's way, and an operator may write it anew.

/// One value in quarantine. Of each key the newest is kept.
package struct QuarantineEntry: Equatable, Sendable {
  package let key: ObjectKey
  /// Of the write.
  package let stamp: Stamp
  package init(key: ObjectKey, stamp: Stamp) {
    self.key = key
    self.stamp = stamp
  }
}

/// Entries in the order of their hashes.
package struct QuarantinePage: Equatable, Sendable {
  package var entries: [QuarantineEntry]
  /// Where the following page begins; nil when there is none.
  package var next: UInt64?
  /// Of the whole.
  package var status: QuarantineStatus
  /// Name of the node.
  package var node: String
  package init(entries: [QuarantineEntry], next: UInt64?, status: QuarantineStatus, node: String) {
    self.node = node
    self.entries = entries
    self.next = next
    self.status = status
  }
}

package struct QuarantineStatus: Equatable, Sendable {
  /// Values, and the bytes of their records.
  package var count = 0
  package var bytes: UInt64 = 0
  package init() {}
}
