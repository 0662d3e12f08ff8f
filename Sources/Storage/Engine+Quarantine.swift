import Primitives

// What is different about the store of hints that a node keeps for itself, its quarantine: tombstones in it keep away
// the values that they took the place of, and go together.

extension Engine {
  /// Forgets all tombstones of a store of hints that holds no value, when all of them stand in files: its files then go
  /// together, with one manifest, and no value comes back without its tombstone.
  package func forgetTombstones(of id: StoreID) { store(id).forgetTombstones() }
}

extension Bitcask {
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
