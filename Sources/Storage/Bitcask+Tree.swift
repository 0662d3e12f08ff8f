import Primitives

// What stands below the segments of the hash tree, made from the keydir alone: it has the hash of every key and nine
// bits of its stamp.

extension Bitcask {
  /// A word per leaf of the segment, 2^`bits` of them.
  func leafHashes(segment: Int, bits: Int, valuesOnly: Bool, leftBy minute: UInt64) -> [UInt32] {
    var words = [UInt64](repeating: 0, count: 1 << bits)
    let shift = UInt64(64 - HashTree.segmentBits - bits)
    let mask = UInt64(words.count - 1)
    let ringBits = UInt64(options.ringBits)
    func toggle(_ slot: SlotDigest) {
      words[Int(truncatingIfNeeded: (slot.hash &<< ringBits) &>> shift & mask)] ^= HashTree.slotHash(slot)
    }
    keydir.visit(HashTree.range(segment: segment, leaf: 0, bits: 0)) {
      if !valuesOnly || !$1.isTombstone { toggle(SlotDigest($0, $1)) }
    }
    // What has left was counted with the rest: once more takes it out.
    expiries.visitLeft(by: minute, segment: segment, toggle)
    return words.map { UInt32(truncatingIfNeeded: $0 ^ $0 >> 32) }
  }

  /// The slots of one leaf, ascending by hash.
  func slotDigests(segment: Int, leaf: Int, bits: Int, valuesOnly: Bool) -> [SlotDigest] {
    var slots: [SlotDigest] = []
    keydir.visit(HashTree.range(segment: segment, leaf: leaf, bits: bits)) {
      if !valuesOnly || !$1.isTombstone { slots.append(SlotDigest($0, $1)) }
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
