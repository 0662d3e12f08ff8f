import Primitives
import Storage

// Stores that are fenced, and what is being done about them.

struct RebuildTable: Sendable {
  /// A store that is being made anew.
  struct Rebuild: Sendable {
    let seed: StoreSeed
    let lost: [StoreID: [PeerPromise]]
    /// Where its directory is kept, and the steps that bring it there.
    let directory: String
    let setAside: [DiskStep]
    /// The disk had no room: the steps are given again then.
    var pausedUntil: Instant?
    var isRunning = true
  }

  /// One at a time.
  var current: Rebuild?
  /// Since when each fenced store waits; those of which it was said.
  var waiting: [StoreID: Instant] = [:]
  var told: Set<StoreID> = []
  /// Of a fenced store that can be made anew: the syncs that had been begun when that was seen.
  var syncsBegun: [StoreID: UInt64] = [:]
  /// Of a store that is being filled: which one it is, and whether what it held before is here.
  var losses: [StoreID: (incarnation: Identity128, isHere: Bool)] = [:]
  /// Directories that are kept, under the node's directory.
  var setAside: [String] = []

  /// A store that stays fenced so long is told of, milliseconds.
  static let patienceMilliseconds: UInt64 = 10_000
  /// The disk had no room: tried again after this time, milliseconds.
  static let pauseMilliseconds: UInt64 = 1000
}
