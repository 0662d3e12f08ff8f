package import Causality

// Which of two versions of a key counts, and what an expired value counts as.

/// What versions of one key are ordered by: the stamp, and of one stamp the tombstone, which an expired value has become,
/// above the value.
package struct Rank: Comparable, Sendable {
  package let stamp: Stamp
  package let isTombstone: Bool

  @inlinable package init(_ stamp: Stamp, isTombstone: Bool) {
    self.stamp = stamp
    self.isTombstone = isTombstone
  }

  @inlinable package static func < (a: Rank, b: Rank) -> Bool {
    a.stamp != b.stamp ? a.stamp < b.stamp : !a.isTombstone && b.isTombstone
  }
}

extension StoredVersion {
  package var rank: Rank { Rank(stamp, isTombstone: isTombstone) }

  /// It is nothing that a client may be given.
  package func isGone(_ wallMilliseconds: UInt64) -> Bool { isTombstone || expiry.isPast(wallMilliseconds) }

  /// What is on disk, or was.
  init(_ header: RecordHeader, value: [UInt8]) {
    self.init(stamp: header.stamp, isTombstone: header.isTombstone, value: value, expiry: header.expiry)
  }
}

extension RecordHeader {
  package var rank: Rank { Rank(stamp, isTombstone: isTombstone) }
}
