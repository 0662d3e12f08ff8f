package import Causality
package import Primitives

// Bytes of a sealed file that do not read back, where the file's hint still says what they were. Then it is known which
// hash they took away, and with what stamp: that hash is fenced, not the store, until the other owners have brought it
// back. A bounded list in memory: a restart finds the damage again, or scrub does.

/// One stretch of damaged bytes of one data file.
package struct DamageNote: Equatable, Sendable {
  /// The record that stood there, as the hint knows it.
  package struct Record: Equatable, Sendable {
    package let hash: UInt64
    package let stamp: Stamp
    package let isTombstone: Bool
    /// A tombstone's place in the feed.
    let tsn: UInt64
    let expiry: Expiry
  }

  package let store: StoreID
  package let incarnation: Identity128
  package let fileID: UInt32
  package let offset: UInt64
  package let byteCount: UInt64
  /// Nil where nothing is lost: the file's header, or records that later ones of the same file supersede.
  package let record: Record?
  /// What whoever meets the hash is told, and the log.
  package let error: StorageError

  var end: UInt64 { offset + byteCount }

  /// What the damaged bytes themselves say: probably the key that was hit.
  package var probableKey: [UInt8]? {
    if case .damaged(_, _, _, let key) = error { return key }
    return nil
  }
}

/// What is to be done about a stretch of damaged bytes.
package enum DamageState: Equatable, Sendable {
  /// The keydir points to it: its hash is fenced until another owner's version takes its place.
  case fencing
  /// Nothing in it counts.
  case dead
  /// A version with the noted stamp or a higher one has taken its place.
  case repaired
  /// Every other owner was asked and none has it: a lower version took its place, or nothing.
  case lost
}

/// The damage of one store.
struct DamageNotes {
  struct Entry {
    let note: DamageNote
    var state: DamageState
  }

  /// Of one store; one more fences the store.
  static let countMax = 64

  private(set) var entries: [Entry] = []
  /// How many of them fence a hash.
  private(set) var fencing = 0

  var isEmpty: Bool { entries.isEmpty }
  var isFull: Bool { entries.count >= DamageNotes.countMax }

  mutating func add(_ note: DamageNote, _ state: DamageState) {
    invariant(!isFull, "store \(note.store) notes more than \(DamageNotes.countMax) damages")
    entries.append(Entry(note: note, state: state))
    if state == .fencing { fencing += 1 }
  }

  func entry(inFile id: UInt32, at offset: UInt64) -> Entry? {
    entries.first { $0.note.fileID == id && $0.note.offset == offset }
  }

  /// The damage that fences this hash.
  func fencing(_ hash: UInt64) -> DamageNote? {
    entries.first { $0.state == .fencing && $0.note.record?.hash == hash }?.note
  }

  mutating func settle(_ note: DamageNote, _ state: DamageState) {
    guard let index = entries.firstIndex(where: { $0.note == note }) else { return }
    if entries[index].state == .fencing { fencing -= 1 }
    entries[index].state = state
    if state == .fencing { fencing += 1 }
  }

  /// The files are gone.
  mutating func remove(files ids: [UInt32]) {
    guard !entries.isEmpty else { return }
    entries.removeAll { ids.contains($0.note.fileID) }
    fencing = entries.count { $0.state == .fencing }
  }

  mutating func removeAll() { self = DamageNotes() }
}

/// What became of an attempt to repair a damaged record.
package enum DamageRepair: Equatable, Sendable {
  /// The version stands in its place, in the log up to this position.
  case repaired(LogPosition)
  /// What the others had stands in its place, or nothing, because they had nothing: something is lost.
  case lost(LogPosition)
  /// Nothing happened: what was brought is older than what was noted, and not everybody has answered.
  case insufficient
  /// Nothing is damaged there any more.
  case settled
  /// Nothing happened: the disk does not take it now.
  case refused(DiskRefusal)
}
