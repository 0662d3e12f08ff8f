package import Causality
package import Primitives

// What a listing must satisfy, by what is known of each key when it is asked for: what was acknowledged to enough nodes
// by then is met by its quorum. A key may only be missing if it may have been deleted since, and may only be there if
// it may have been written since. What writers never heard of may have happened or not.

package struct ListingChecker: Sendable {
  /// The versions of one key that a listing may have met, beyond what was acknowledged.
  private struct Fate: Sendable {
    /// Stamps of its puts and its tombstones, as they are seen.
    var values: Set<Stamp> = []
    var tombstones: Set<Stamp> = []
    /// Of its puts that expire, when they do.
    var expiring: [(stamp: Stamp, expiry: Expiry)] = []
    /// Writes whose stamp nobody has seen yet.
    var unknownPuts = 0
    var unknownDeletes = 0
  }

  private var fates: [Fate]

  package init(keys: Int) { fates = Array(repeating: Fate(), count: keys) }

  package mutating func invoked(_ operation: Operation) {
    switch operation.kind {
    case .get: break
    case .put: fates[operation.key].unknownPuts += 1
    case .delete: fates[operation.key].unknownDeletes += 1
    }
  }

  /// This put or delete stands, if it does, under a stamp that is seen from now on.
  package mutating func settled(_ operation: Operation) {
    switch operation.kind {
    case .get: break
    case .put: fates[operation.key].unknownPuts -= 1
    case .delete: fates[operation.key].unknownDeletes -= 1
    }
  }

  package mutating func saw(key: Int, stamp: Stamp, isTombstone: Bool) {
    if isTombstone { fates[key].tombstones.insert(stamp) } else { fates[key].values.insert(stamp) }
  }

  /// This value expires.
  package mutating func expires(key: Int, stamp: Stamp, _ expiry: Expiry) {
    if !fates[key].expiring.contains(where: { $0.stamp == stamp }) { fates[key].expiring.append((stamp, expiry)) }
  }

  /// What is wrong with a complete listing of these keys.
  /// - Parameters:
  ///   - listed: How often each key was told.
  ///   - floors: Of each key, what the listing must have met when it was asked for.
  ///   - wallMilliseconds: What may have expired, by any clock.
  package func check(
    listed: [Int], floors: [Stamp], at time: Instant, wallMilliseconds: UInt64 = 0
  ) -> [Violation] {
    listed.indices.compactMap { key in
      let floor = floors[key]
      let fate = fates[key]
      if listed[key] > 1 { return Violation(.falseListing, at: time, "key \(key) is listed \(listed[key]) times") }
      if listed[key] == 1 {
        let mayLive = fate.unknownPuts > 0 || fate.values.contains { $0 >= floor }
        return mayLive ? nil : Violation(.falseListing, at: time, "key \(key) is listed, deleted at \(floor)")
      }
      guard floor > .zero else { return nil }
      let mayBeDeleted =
        fate.unknownDeletes > 0 || fate.tombstones.contains { $0 >= floor }
        || fate.expiring.contains { $0.stamp >= floor && $0.expiry.isPast(wallMilliseconds) }
      return mayBeDeleted ? nil : Violation(.falseListing, at: time, "key \(key) is not listed, stored at \(floor)")
    }
  }
}
