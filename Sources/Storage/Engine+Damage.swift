import Causality
import Primitives

// Damage as the node sees it: what was noted, and what takes its place.

extension Engine {
  /// Damage of a store that is noted and not gone with its file yet, in the order in which it was found.
  package func damages(_ id: StoreID) -> [(note: DamageNote, state: DamageState)] {
    guard let index = find(id) else { return [] }
    return stores[index].damages.entries.map { ($0.note, $0.state) }
  }

  package var hasDamages: Bool { stores.contains { !$0.damages.isEmpty } }

  /// What fences a hash of any store, by stores, at most so many of each.
  package var fencingDamages: [DamageNote] {
    var notes: [DamageNote] = []
    for store in stores where store.damage == nil && store.damages.fencing > 0 {
      for entry in store.damages.entries where entry.state == .fencing { notes.append(entry.note) }
    }
    return notes
  }

  /// Puts one of the versions that the other owners hold of a hash in the place of a damaged record. Keys that the store
  /// lacks besides are to be offered as any pulled version, afterwards.
  /// - Parameter isFinal: Every other owner has answered: then the newest of what they have stands, or nothing.
  package func repair<FS: FileSystem & ~Copyable>(
    _ note: DamageNote, with versions: [(key: [UInt8], version: StoredVersion)], isFinal: Bool, on files: inout FS
  ) throws(StorageError) -> DamageRepair {
    guard let index = find(note.store) else { return .settled }
    let store = stores[index]
    try checkHealth()
    if space.isShort && versions.contains(where: { !$0.version.isTombstone }) { return .refused(.full) }
    guard try prepare(store, on: &files) else { return .refused(space.refusal.map(DiskRefusal.init) ?? .full) }
    do throws(StorageError) {
      switch try store.repair(note, with: versions, isFinal: isFinal, on: &files) {
      case .appended(let range, let fileID, let isLost):
        noteAppend(range, fileID: fileID, in: store, isPulled: true)
        return isLost ? .lost(appended) : .repaired(appended)
      case .removed: return .lost(appended)
      case .insufficient: return .insufficient
      case .settled: return .settled
      }
    } catch {
      guard error.refusesNewFile else { throw refuse(error, by: store) }
      if error.isOutOfSpace { noteOutOfSpace() }
      return .refused(DiskRefusal(error))
    }
  }
}
