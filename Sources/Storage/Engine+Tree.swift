import Primitives

// The hash trees of the stores, for those who compare them with other owners'. None of this reads a file. Meant for
// stores of partitions.

extension Engine {
  package func treeRoot(_ id: StoreID) -> TreeHash { store(id).tree.root }

  /// Of all segments, `HashTree.segmentCount` of them.
  package func treeSegments(_ id: StoreID) -> [TreeHash] { store(id).tree.segments }

  /// A word per leaf when the segment is cut into 2^`bits` of them. Looks at every slot of the segment.
  /// - Parameters:
  ///   - bits: At most `HashTree.leafBitsMax`.
  ///   - valuesOnly: Tombstones are passed over (rule AAE).
  package func leafHashes(of id: StoreID, segment: Int, bits: Int, valuesOnly: Bool = false) -> [UInt32] {
    store(id).leafHashes(segment: segment, bits: bits, valuesOnly: valuesOnly)
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
