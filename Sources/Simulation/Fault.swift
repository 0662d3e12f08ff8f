// What can go wrong in a run, by name. A strike happens at a moment of its own and has a number; the rest of a run's
// misfortunes hold all the time, as a network that loses messages does. Each can be left out of a run by its name.

package enum Fault: String, CaseIterable, Sendable {
  // Strikes
  case kill
  case powerLoss = "power-loss"
  case shutdown
  /// Every machine loses power at once.
  case blackout
  case pause, cut, reset
  case clockJump = "clock-jump"
  case fullDisk = "full-disk"
  /// The next fsync of a machine fails, and what it was to cover may be lost.
  case failedSync = "failed-sync"
  /// One bit of what a machine has synced is another one from now on.
  case bitFlip = "bit-flip"
  /// What a power loss would leave of a machine's disk is copied, and later put in place of the disk.
  case snapshot, restore
  /// The directory of one store of a partition is removed while its machine is down.
  case wipeStore = "wipe-store"
  /// The directory of the hints for one node is removed while its machine is down: these hints are lost.
  case wipeHints = "wipe-hints"
  /// A machine comes back with an empty disk.
  case wipeNode = "wipe-node"
  /// One node is cut off, and then a month passes.
  case month

  // All the time
  case loss, duplication
  /// Messages that are late by more than the network's usual delay, up to hours.
  case lateness
  /// Wall clocks that are wrong from the beginning.
  case offsets
  case drift
  case coldReads = "cold-reads"
  /// Processes that die while they start.
  case startCrashes = "start-crashes"
  /// Rare branches that the nodes take (`Chaos`).
  case chaos

  /// Those that strike, in order.
  package static let striking = allCases.filter(\.strikes)

  package var strikes: Bool {
    switch self {
    case .kill, .powerLoss, .shutdown, .blackout, .pause, .cut, .reset, .clockJump, .fullDisk, .failedSync, .bitFlip,
      .snapshot, .restore, .wipeStore, .wipeHints, .wipeNode, .month:
      true
    case .loss, .duplication, .lateness, .offsets, .drift, .coldReads, .startCrashes, .chaos: false
    }
  }
}
