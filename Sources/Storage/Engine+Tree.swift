import Primitives

// The hash trees of the stores, for those who compare them with other owners'. None of this reads a file. Meant for
// stores of partitions. Values that expire are left out of the hashes from a minute on that both sides name
// (`Expiry.leaves`); by minute 0 none is. Slots are told whatever the minute: where hashes differ, an expired value may be
// all that keeps an older one down.

extension Engine {
  package func treeRoot(_ id: StoreID, leftBy minute: UInt64 = 0) -> TreeHash {
    let store = store(id)
    guard store.expiries.hasLeft(by: minute) else { return store.tree.root }
    return HashTree.root(of: treeSegments(id, leftBy: minute))
  }

  /// Of all segments, `HashTree.segmentCount` of them.
  package func treeSegments(_ id: StoreID, leftBy minute: UInt64 = 0) -> [TreeHash] {
    let store = store(id)
    var segments = store.tree.segments
    guard store.expiries.hasLeft(by: minute) else { return segments }
    let words = store.expiries.words(leftBy: minute)
    for segment in segments.indices { segments[segment].values ^= words[segment] }
    return segments
  }

  /// A word per leaf when the segment is cut into 2^`bits` of them. Looks at every slot of the segment.
  /// - Parameters:
  ///   - bits: At most `HashTree.leafBitsMax`.
  ///   - valuesOnly: Tombstones are passed over (rule AAE).
  ///   - minute: Values that have left by it are passed over.
  package func leafHashes(
    of id: StoreID, segment: Int, bits: Int, valuesOnly: Bool = false, leftBy minute: UInt64 = 0
  ) -> [UInt32] {
    store(id).leafHashes(segment: segment, bits: bits, valuesOnly: valuesOnly, leftBy: minute)
  }

  /// The slots of one leaf, ascending by hash; keys with one hash have one each.
  package func slotDigests(
    of id: StoreID, segment: Int, leaf: Int, bits: Int, valuesOnly: Bool = false
  ) -> [SlotDigest] {
    store(id).slotDigests(segment: segment, leaf: leaf, bits: bits, valuesOnly: valuesOnly)
  }

  /// Looks at every slot of the segment.
  package func slotCount(of id: StoreID, segment: Int, valuesOnly: Bool = false) -> Int {
    store(id).slotCount(segment: segment, valuesOnly: valuesOnly)
  }
}
