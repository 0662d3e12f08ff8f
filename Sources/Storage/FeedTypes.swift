package import Causality

// The vocabulary of the tombstone feed (rules FEED and PURGE, Docs/DeleteProtocol.md).

/// A tombstone as another owner is told of it.
package struct FeedEntry: Equatable, Sendable {
  /// Its place in the feed of the store that tells of it.
  package let tsn: UInt64
  package let key: [UInt8]
  package let stamp: Stamp
  package init(tsn: UInt64, key: [UInt8], stamp: Stamp) {
    self.tsn = tsn
    self.key = key
    self.stamp = stamp
  }
}

package enum FeedPageOutcome: Equatable, Sendable {
  /// Tombstones in the order of the feed; everything in it up to `next` is among them, or does not count any more.
  case page([FeedEntry], next: UInt64)
  /// Nothing yet: the first record must be read first.
  case cold(ColdRead)
}

/// A tombstone that was forgotten.
package struct PurgedTombstone: Equatable, Sendable {
  /// The ring hash of its key.
  package let hash: UInt64
  package let stamp: Stamp
  package let tsn: UInt64
}

package enum PurgeFeedOutcome: Equatable, Sendable {
  /// These are forgotten. More: others may be, that come after them.
  case purged([PurgedTombstone], more: Bool)
  /// Nothing happened yet: a record must be read first.
  case cold(ColdRead)
}

/// What waits in the feed of a store.
package struct FeedStatus: Equatable, Sendable {
  /// Tombstones that are not forgotten.
  package let pending: Int
  /// The one that stands first.
  package let oldest: Stamp?
  /// Where it took the place of a value that had expired: when that did. It waits since then, not since it was written.
  package var oldestExpired: Expiry?
  package let oldestTSN: UInt64?
  /// The highest position ever given.
  package let head: UInt64
}
