import Causality
import Primitives

// The words of hint stores: writes that a node keeps for another one until it can hand them over. (Hint *files*, which
// stand beside data files, are something else: `HintFile.swift`.)

/// Where a pass over the hints of a store has got. Of one run of the engine, and of one life of the store: with any
/// other the pass begins anew.
package struct HintCursor: Equatable, Sendable {
  let incarnation: Identity128
  let file: UInt32
  let offset: UInt64

  /// Before the first hint.
  package static let start = HintCursor(incarnation: .none, file: 0, offset: 0)
}

/// The record of one hint, as long as no other takes its place and no merge moves it.
package struct HintPlace: Hashable, Sendable {
  let incarnation: Identity128
  let hash: UInt64
  let file: UInt32
  let offset: UInt64
  let byteCount: Int
  let isTombstone: Bool
}

/// A write that waits for its target.
package struct Hint: Equatable, Sendable {
  package let key: [UInt8]
  package let version: StoredVersion
  package let place: HintPlace
}

/// What a look at the hints of a store came to.
package enum HintPageOutcome: Equatable, Sendable {
  /// The hints between the cursor and `next`, in the order of the log; perhaps none, though more may follow.
  case page([Hint], next: HintCursor)
  /// Nothing goes on before these bytes are there.
  case cold(ColdRead)
  /// Everything that is in files has been looked at.
  case end
}

/// How much waits for one node.
package struct HintStatus: Equatable, Sendable {
  /// Hints, tombstones among them.
  package let count: Int
  /// Of the records of these hints.
  package let bytes: UInt64
  /// Of all data files: what was delivered and not removed yet included.
  package let fileBytes: UInt64
}

/// The rule of hint stores: a tombstone that does not count goes. What it kept dead may come back by a restart, and is
/// then an older write of its key, which is handed over once more: a push with its original stamp. The target takes
/// none that is not above what it holds, or above its floor.
struct HintRule: MergeRule {
  func verdict(onTombstone stamp: Stamp, isCurrent: Bool, role: StoreRole) -> TombstoneVerdict {
    isCurrent ? .keep : .drop
  }
}
