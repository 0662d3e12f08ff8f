import Primitives
import Storage

// A role that the disk had no room for. The store is what it was: one that is to serve, or to be marked as one that has
// lost something, goes on loading, which takes part in nothing; one that is to be fenced is fenced in memory, and the
// owners that found it regressed find that again after a restart. Nobody was told of the role, because it is told when it
// is durable. It is tried again after a pause.

/// What is to be said of stores on the disk, and found no room.
struct RoleRefusals: Sendable {
  /// Nothing is tried before this time.
  var pausedUntil: Instant?
  /// Fenced in memory alone.
  var unfenced: [StoreID] = []
}

extension Node where Disk: ~Copyable {
  mutating func rolesFailed(_ stores: [StoreID], at now: Moment) {
    guard let engine else { return }
    for store in stores where engine.contains(store) { engine.abandonRole(store) }
    roles.pausedUntil = now.instant.adding(milliseconds: Self.jobPauseMilliseconds)
  }

  mutating func reviewRoles(at now: Moment) {
    guard let until = roles.pausedUntil, until <= now.instant, let engine else { return }
    roles.pausedUntil = nil
    let unfenced = roles.unfenced
    roles.unfenced = []
    for store in unfenced where engine.contains(store) {
      // One that was made anew meanwhile is no longer meant.
      guard let reason = engine.fenceReason(store) else { continue }
      start(.fence(store), engine.fence(store, reason))
    }
    activateStores()
  }
}
