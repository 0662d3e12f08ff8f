import Causality
import Cluster
import Messages
package import Primitives
package import Storage

// What operators see of tombstones: how many wait, how long the oldest has, and what it waits for.

package struct TombstoneStatus: Equatable, Sendable {
  package struct Store: Equatable, Sendable {
    package let store: StoreID
    package let pending: Int
    /// Since the delete that waits longest, by this node's wall clock.
    package let oldestMilliseconds: UInt64
    /// What that one waits for.
    package let reason: String
    package init(store: StoreID, pending: Int, oldestMilliseconds: UInt64, reason: String) {
      self.store = store
      self.pending = pending
      self.oldestMilliseconds = oldestMilliseconds
      self.reason = reason
    }
  }

  package var pending = 0
  /// Nil when none waits.
  package var oldestMilliseconds: UInt64?
  /// Since the start of the process.
  package var purged: UInt64 = 0
  /// Values here that will be tombstones because they expire.
  package var expiring = 0
  /// Those in which some wait, in order.
  package var stores: [Store] = []
  package init() {}
}

extension Node where Disk: ~Copyable {
  package func tombstoneStatus(at now: Moment) -> TombstoneStatus {
    var status = TombstoneStatus()
    status.purged = counters.purged
    guard let engine else { return status }
    for store in engine.storeIDs {
      status.expiring += engine.expiringCount(store)
      let feed = engine.feedStatus(store)
      guard feed.pending > 0, let oldest = feed.oldest, let tsn = feed.oldestTSN else { continue }
      let since = max(oldest.time.milliseconds, feed.oldestExpired?.milliseconds ?? 0)
      let age = now.wallMilliseconds - min(now.wallMilliseconds, since)
      status.pending += feed.pending
      status.oldestMilliseconds = max(status.oldestMilliseconds ?? 0, age)
      status.stores.append(
        TombstoneStatus.Store(
          store: store, pending: feed.pending, oldestMilliseconds: age, reason: reason(store, tsn, engine)))
    }
    return status
  }

  /// What the tombstone at this position waits for, in the order in which it comes about.
  private func reason(_ store: StoreID, _ tsn: UInt64, _ engine: Engine) -> String {
    guard engine.role(store) == .active else { return obstacle(engine.role(store)) }
    if engine.durableHead(store) < tsn { return "waits for a sync" }
    let pairs = feeds.pairs.filter { $0.store == store }
    for pair in pairs {
      let promise = engine.durablePromise(store, of: pair.node)
      let isAcknowledged =
        pair.isMutual && promise?.incarnation == pair.incarnation && promise?.configID == configID(store)
        && promise.map { $0.cursorOnMe >= tsn } ?? false
      if isAcknowledged { continue }
      if !peers.isUp(pair.node) { return "\(name(pair.node)) is down" }
      if let role = genesis.state(of: store, at: pair.node)?.role, role != .active {
        return "the store is \(role) at \(name(pair.node))"
      }
      return pair.isMutual
        ? "waits for the acknowledgement of \(name(pair.node))" : "\(name(pair.node)) is not validated"
    }
    for pair in pairs where pair.settled < tsn { return "waits for the feed of \(name(pair.node))" }
    guard let index = feeds.storeIndex(store), feeds.stores[index].held >= tsn else { return "held" }
    for pair in pairs where covered(store, pair.node) < tsn { return "waits for a round with \(name(pair.node))" }
    return "is about to be forgotten"
  }
}
