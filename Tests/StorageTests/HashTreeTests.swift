import Causality
import Primitives
import Testing

@testable import Storage

@Suite("Hash tree")
struct HashTreeTests {
  /// Docs/Formats.md lists the same.
  private static let vectors: [(hash: UInt64, time: UInt64, actor: UInt32, entry: UInt64, digest: UInt16)] = [
    (0, 0, 0, 0x044C_1088_D00F_3B0E, 63),
    (0x2CC9_D3B4_61DA_234B, 0x019A_BCDE_F012_0000, 1, 0x0660_AF9E_5EB4_EE0D, 118),
    (0x2CC9_D3B4_61DA_234B, 0x019A_BCDE_F012_0001, 1, 0x07B3_BCBF_01C2_E7DB, 160),
    (0xFFFF_FFFF_FFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF, 0xA1FE_D375_0266_4260, 434),
  ]

  @Test("the test vectors of the format hold")
  func vectorsHold() {
    for vector in HashTreeTests.vectors {
      let stamp = Stamp(time: HybridTime(vector.time), actor: ActorID(vector.actor))
      #expect(HashTree.entryHash(vector.hash, stamp) == vector.entry)
      #expect(stamp.digest == vector.digest)
    }
    var tree = HashTree(ringBits: 6)
    for vector in HashTreeTests.vectors {
      let stamp = Stamp(time: HybridTime(vector.time), actor: ActorID(vector.actor))
      tree.toggle(vector.hash, stamp, isTombstone: vector.actor > 1)
    }
    #expect(tree.root == TreeHash(values: 0x4D83_1829_B9B3_90D7, tombstones: 0xB0E2_4A99_6A45_1744))
    let slot = SlotDigest(hash: 0x2CC9_D3B4_61DA_234B, digest: 511, isTombstone: true)
    #expect(HashTree.slotHash(slot) == 0x7AAA_B232_63F7_6686)
  }

  @Test("a tree without records is zero, whatever was in it before", arguments: UInt64(0)..<20)
  func empty(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var tree = HashTree(ringBits: 3)
    let records = (0..<100).map { _ in
      (generator.next(), stamp(generator.next() >> 20), generator.chance(1, in: 2))
    }
    for (hash, stamp, isTombstone) in records { tree.toggle(hash, stamp, isTombstone: isTombstone) }
    #expect(tree.root != .empty)
    for (hash, stamp, isTombstone) in records.reversed() { tree.toggle(hash, stamp, isTombstone: isTombstone) }
    #expect(tree.root == .empty && tree == HashTree(ringBits: 3))
  }

  @Test("the segment is chosen by the five bits below those of the partition", arguments: [0, 1, 6, 15])
  func segments(ringBits: Int) {
    for segment in 0..<32 {
      var tree = HashTree(ringBits: ringBits)
      let hash = UInt64(segment) << UInt64(59 - ringBits) | (ringBits == 0 ? 0 : 1 << 63)
      tree.toggle(hash, stamp(1), isTombstone: false)
      #expect(tree.segments.indices.filter { tree.segments[$0] != .empty } == [segment])
    }
  }

  @Test("digests of stamps that follow each other differ as those of any")
  func digests() {
    var seen: [UInt16: Int] = [:]
    for number in UInt64(0)..<51_200 {
      let stamp = Stamp(
        time: HybridTime(milliseconds: 1_700_000_000_000 + number / 4, counter: UInt16(number % 4)), actor: ActorID(77))
      seen[stamp.digest, default: 0] += 1
    }
    #expect(seen.count == 512)
    #expect(seen.values.allSatisfy { (50...170).contains($0) })
  }

  @Test("a leaf has about sixteen slots, and a segment no more leaves than the bound")
  func leafBits() {
    #expect([0, 1, 16, 17, 33, 34, 31_250].map(HashTree.leafBits) == [0, 0, 0, 1, 1, 2, 11])
    #expect(HashTree.leafBits(slots: 16 << 14) == 14 && HashTree.leafBits(slots: .max) == HashTree.leafBitsMax)
  }

  @Test("purges are told apart by hash as long as they are kept, and count for every key afterwards")
  func ring() {
    var ring = PurgeRing()
    #expect(!ring.hasMoved(5, since: 0))
    ring.note(5)
    #expect(ring.hasMoved(5, since: 0) && !ring.hasMoved(6, since: 0) && !ring.hasMoved(5, since: 1))
    for hash in UInt64(1000)..<2023 { ring.note(hash) }
    #expect(ring.generation == 1024 && ring.hasMoved(5, since: 0) && !ring.hasMoved(6, since: 0))
    ring.note(9)
    #expect(ring.hasMoved(6, since: 0) && !ring.hasMoved(6, since: 1) && ring.hasMoved(9, since: 1024))
    #expect(ring.hasMoved(6, since: 1026))
  }
}
