import Causality

// How many tombstones a store may keep waiting, and what they cost. The bound is asked where somebody brings a delete
// (a client, a hint, a repair): what another owner's feed tells, and what was asked for, comes in all the same. Else an
// owner at the bound could not acknowledge anything, and the others' tombstones, and its own, would wait for ever.

/// What the tombstones of a store cost on the disk.
package struct TombstoneBytes: Equatable, Sendable {
  /// Of the records of those that wait.
  package var pending: UInt64 = 0
  /// `pending` is reckoned from the first `Engine.tombstonesMeasured` of them.
  package var isEstimate = false
  /// Of the records of those that are forgotten, or superseded, and cannot leave the disk yet (rule OVERLAP).
  package var blocked: UInt64 = 0
  /// The files that may hold older versions of their keys, by number, the lowest of them.
  package var blockers: [UInt32] = []
  package init() {}
}

extension Engine {
  /// Tombstones of a store that are looked at for what they cost.
  package static let tombstonesMeasured = 64
  /// Files that `TombstoneBytes.blockers` names.
  package static let blockersNamed = 8

  /// As many wait as may.
  package func isFullOfTombstones(_ id: StoreID) -> Bool {
    guard options.tombstonesMax < .max, !id.isHints else { return false }
    let store = store(id)
    return store.tombstones >= options.tombstonesMax && store.role == .active
  }

  /// What becomes of a tombstone at the bound; nil when it takes the place of another one, or changes nothing, as anywhere
  /// else.
  func atTheBound<FS: FileSystem & ~Copyable>(
    _ version: StoredVersion, key: [UInt8], hash: UInt64, in id: StoreID, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> ApplyOutcome? {
    let store = store(id)
    do throws(StorageError) {
      switch try store.find(key, hash: hash, warm: warm, mayBlock: false, on: &files) {
      case .cold(let read): return .cold(read)
      case .absent: return version.stamp <= store.manifest.floor ? nil : .refused(.tombstonesFull)
      case .record(_, _, let header):
        return header.isTombstone || header.stamp >= version.stamp ? nil : .refused(.tombstonesFull)
      }
    } catch {
      throw refuse(error, by: store)
    }
  }

  /// Looks at `tombstonesMeasured` slots and at every file of the store; reads nothing.
  package func tombstoneBytes(_ id: StoreID) -> TombstoneBytes {
    let store = store(id)
    var bytes = TombstoneBytes()
    var seen = 0
    var passed: UInt64 = 0
    while seen < Engine.tombstonesMeasured, let entry = store.feed.next(after: passed, upTo: .max) {
      passed = entry.tsn
      seen += 1
      // Of several keys with this hash any will do.
      guard let slot = store.keydir.first(entry.hash) else { continue }
      bytes.pending += UInt64(store.keydir.location(at: slot).byteCount)
    }
    if seen < store.feed.count {
      bytes.isEstimate = true
      bytes.pending = bytes.pending * UInt64(store.feed.count) / UInt64(max(1, seen))
    }
    var blockers: Set<UInt32> = []
    for index in store.dataFiles.indices where store.dataFiles[index].blockedBytes > 0 {
      guard store.isBlocked(store.dataFiles[index]) else { continue }
      bytes.blocked += store.dataFiles[index].blockedBytes
      blockers.formUnion(store.dataFiles[index].blockers)
    }
    bytes.blockers = Array(
      blockers.filter { store.dataFiles.index(ofFile: $0) != nil }.sorted().prefix(Engine.blockersNamed))
    return bytes
  }
}
