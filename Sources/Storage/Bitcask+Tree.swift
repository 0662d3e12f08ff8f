import Primitives

// What stands below the segments of the hash tree, made from the keydir alone: it has the hash of every key and nine
// bits of its stamp.

extension Bitcask {
  /// What has left by a minute (`Expiry.leaves`).
  func left(by minute: UInt64) -> ExpiryIndex.Left { expiries.left(by: minute) }

  private func slotsLeft(by minute: UInt64) -> Set<SlotDigest> {
    expiries.hasLeft(by: minute) ? left(by: minute).slots : []
  }

  /// A word per leaf of the segment, 2^`bits` of them.
  func leafHashes(segment: Int, bits: Int, valuesOnly: Bool, leftBy minute: UInt64) -> [UInt32] {
    let left = slotsLeft(by: minute)
    var words = [UInt64](repeating: 0, count: 1 << bits)
    let shift = UInt64(64 - HashTree.segmentBits - bits)
    let mask = UInt64(words.count - 1)
    let ringBits = UInt64(options.ringBits)
    keydir.visit(HashTree.range(segment: segment, leaf: 0, bits: 0)) { hash, location in
      if valuesOnly && location.isTombstone { return }
      let slot = SlotDigest(hash, location)
      if !left.isEmpty && left.contains(slot) { return }
      let leaf = Int(truncatingIfNeeded: (hash &<< ringBits) &>> shift & mask)
      words[leaf] ^= HashTree.slotHash(slot)
    }
    return words.map { UInt32(truncatingIfNeeded: $0 ^ $0 >> 32) }
  }

  /// The slots of one leaf, ascending by hash.
  func slotDigests(segment: Int, leaf: Int, bits: Int, valuesOnly: Bool, leftBy minute: UInt64) -> [SlotDigest] {
    let left = slotsLeft(by: minute)
    var slots: [SlotDigest] = []
    keydir.visit(HashTree.range(segment: segment, leaf: leaf, bits: bits)) {
      let slot = SlotDigest($0, $1)
      if (!valuesOnly || !$1.isTombstone) && (left.isEmpty || !left.contains(slot)) { slots.append(slot) }
    }
    return slots
  }

  func slotCount(segment: Int, valuesOnly: Bool) -> Int {
    var count = 0
    keydir.visit(HashTree.range(segment: segment, leaf: 0, bits: 0)) {
      if !valuesOnly || !$1.isTombstone { count += 1 }
    }
    return count
  }
}

extension SlotDigest {
  fileprivate init(_ hash: UInt64, _ location: Location) {
    self.init(hash: hash, digest: location.digest, isTombstone: location.isTombstone)
  }
}
