import Primitives

// What is different about the store of hints that a node keeps for itself, its quarantine: tombstones in it keep away
// the values that they took the place of, and go together.

extension Engine {
  /// Forgets all tombstones of a store of hints that holds no value, when all of them stand in files: its files then go
  /// together, with one manifest, and no value comes back without its tombstone.
  package func forgetTombstones(of id: StoreID) { store(id).forgetTombstones() }

  /// Bytes of the records of all values of a store of hints. Looks at every slot where there are tombstones besides.
  package func valueBytes(of id: StoreID) -> UInt64 { store(id).valueBytes }
}

extension Bitcask {
  fileprivate var valueBytes: UInt64 {
    guard tombstones > 0, isOpen else { return liveBytes }
    var graves: UInt64 = 0
    keydir.visitAll { if $1.isTombstone { graves += UInt64($1.byteCount) } }
    return liveBytes - min(graves, liveBytes)
  }

  fileprivate func forgetTombstones() {
    guard id.isHints, isOpen, damage == nil, damages.isEmpty, merge == nil, buffer.isEmpty, keysLive == 0 else {
      return
    }
    var slots: [(hash: UInt64, location: Location)] = []
    keydir.visitAll { hash, location in slots.append((hash, location)) }
    for (hash, location) in slots {
      guard let slot = keydir.position(of: hash, file: location.file, offset: location.offset) else { continue }
      removeLive(location.byteCount, from: location.file)
      tombstones -= 1
      keydir.remove(at: slot)
    }
  }
}
