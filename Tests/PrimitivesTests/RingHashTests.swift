import Primitives
import Testing

@Suite struct RingHashTests {
  /// The vectors of Docs/Formats.md: a change here is a change of every format and of every key's place.
  @Test func hashesAreTheSameOnEveryMachine() {
    let hash = RingHash(seed: 0x0123_4567_89AB_CDEF)
    let lengths = [0, 1, 3, 7, 8, 9, 16, 17, 31, 32, 33, 100]
    let hashes = lengths.map { hash((0..<$0).map { UInt8($0) }) }
    #expect(hashes == RingHashTests.vectors)
  }

  private static let vectors: [UInt64] = [
    0x53EC_CD54_3DCA_DDFE, 0x54B1_8AE0_770E_D974, 0x81AD_3280_3859_EBA9, 0x23C5_1525_76D4_B482,
    0xA6A2_9518_6404_FD63, 0x826C_3A0B_C85A_98D3, 0xCB52_5C31_B6F1_E81B, 0xBC6E_0F0C_9D48_C837,
    0x01B5_3EF3_02EE_4BA5, 0xC111_8157_379D_CD50, 0x5FC8_FF35_9C6D_6B4B, 0x7B6C_86BA_B406_C0FB,
  ]

  @Test func theHashDependsOnTheSeedAndTheLength() {
    let bytes = [UInt8](repeating: 0, count: 64)
    var seen: Set<UInt64> = []
    for count in 0...64 { seen.insert(RingHash(seed: 1)(Array(bytes[..<count]))) }
    for seed in 2...65 as ClosedRange<UInt64> { seen.insert(RingHash(seed: seed)(bytes)) }
    #expect(seen.count == 65 + 64)
  }

  @Test func theSliceOfABufferHashesAsItsCopy() {
    let bytes = (0..<200).map { UInt8($0) }
    let hash = RingHash(seed: 7)
    for start in 0..<24 {
      let slice = unsafe bytes.withUnsafeBytes {
        unsafe hash(UnsafeRawBufferPointer(rebasing: $0[start..<start + 50]))
      }
      #expect(slice == hash(Array(bytes[start..<start + 50])))
    }
  }

  @Test func everyInputBitMovesHalfOfTheOutputBits() {
    var random = SeededGenerator(seed: 3)
    let hash = RingHash(seed: random.next())
    for count in [1, 5, 8, 13, 16, 17, 40] {
      var flips = 0
      var trials = 0
      for _ in 0..<32 {
        var bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let before = hash(bytes)
        for bit in 0..<count * 8 {
          bytes[bit / 8] ^= 1 << UInt8(bit % 8)
          flips += (hash(bytes) ^ before).nonzeroBitCount
          bytes[bit / 8] ^= 1 << UInt8(bit % 8)
          trials += 1
        }
      }
      let mean = Double(flips) / Double(trials)
      #expect(mean > 30 && mean < 34, "\(count) bytes: \(mean) bits of 64")
    }
  }

  @Test func topBitsSpreadSequentialKeys() {
    let hash = RingHash(seed: 11)
    var counts = [Int](repeating: 0, count: 64)
    for key in 0..<64_000 { counts[Int(hash(Array("user:\(key)".utf8)) >> 58)] += 1 }
    // Mean 1000, standard deviation 31: six of them.
    #expect(counts.allSatisfy { (810...1190).contains($0) })
  }

  @Test func theMaskForcesCollisions() {
    let hash = RingHash(seed: 5, mask: 0xFF00)
    #expect((0..<100).allSatisfy { hash(Array("\($0)".utf8)) & ~0xFF00 == 0 })
  }
}
