package import Causality

/// A tombstone as the feed of its store tells of it.
package struct FeedEntry: Equatable, Sendable {
  /// Its place in the feed.
  package var tsn: UInt64
  package var key: [UInt8]
  package var stamp: Stamp
  package init(tsn: UInt64, key: [UInt8], stamp: Stamp) {
    self.tsn = tsn
    self.key = key
    self.stamp = stamp
  }
}
