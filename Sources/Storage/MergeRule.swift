package import Causality

// Which tombstone records a merge may leave behind. Everything else a merge does (the newest value of each key stays,
// superseded values go) leaves no choice.

/// What a merge does with a tombstone record that it comes by.
package enum TombstoneVerdict: Sendable {
  case keep
  case drop
  /// Rule OVERLAP: drop it only when no file that stays may hold a lower version of its key.
  case dropUnlessOverlapping
}

package protocol MergeRule: Sendable {
  /// - Parameters:
  ///   - isCurrent: It is what the store holds of its key: neither superseded nor purged.
  ///   - role: Of the store.
  func verdict(onTombstone stamp: Stamp, isCurrent: Bool, role: StoreRole) -> TombstoneVerdict
}

/// The rule of this engine (DISK/OVERLAP, Docs/Storage.md): the record of a tombstone may go once it is purged or
/// superseded and no other live file, older or newer, may hold the key at a lower stamp. A store that is not active
/// keeps them all: what it lacks may still come.
package struct OverlapRule: MergeRule {
  package init() {}

  package func verdict(onTombstone stamp: Stamp, isCurrent: Bool, role: StoreRole) -> TombstoneVerdict {
    isCurrent || role != .active ? .keep : .dropUnlessOverlapping
  }
}
