import Primitives
import Storage

// Damaged records that are to come back from the other owners, and how far that is. In memory alone: a restart finds
// the damage again.

struct DamageTable: Sendable {
  /// Where damage is.
  struct Place: Hashable, Sendable {
    let store: StoreID
    let incarnation: Identity128
    let fileID: UInt32
    let offset: UInt64

    init(_ note: DamageNote) {
      (store, incarnation, fileID, offset) = (note.store, note.incarnation, note.fileID, note.offset)
    }
  }

  /// A damaged record, and when its owners are asked.
  struct Repair: Sendable {
    let note: DamageNote
    /// The pull that is under way for it.
    var pull: UInt64?
    var tries: UInt64 = 0
    /// Nil: at once.
    var due: Instant?
    /// All owners were asked once already, and what one of them said may have been purged before another one answered.
    var isDoubted = false
  }

  /// Records asked for at once.
  static let asksMax = 4
  /// Between two times that the owners are asked for one record: at first, and at most, milliseconds.
  static let pauseMilliseconds: UInt64 = 1000
  static let pauseMillisecondsMax: UInt64 = 60_000

  /// What was told already, of damage that is there.
  var known: Set<Place> = []
  var repairs: [Repair] = []

  /// One whose owners are being asked for this hash.
  func isAsking(_ store: StoreID, _ hash: UInt64) -> Bool {
    repairs.contains { $0.pull != nil && $0.note.store == store && $0.note.record?.hash == hash }
  }

  mutating func postpone(_ index: Int, at now: Instant) {
    repairs[index].pull = nil
    let pause = Self.pauseMilliseconds << min(6, repairs[index].tries)
    repairs[index].tries += 1
    repairs[index].due = now.adding(milliseconds: min(pause, Self.pauseMillisecondsMax))
  }
}
