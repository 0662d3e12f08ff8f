import Primitives
import Testing

@Suite("Ring hash")
struct RingHashTests {
  static let texts = [
    "", "a", "apple", "12345678", "0123456789abcdef", "0123456789abcdefg",
    "a key that is forty bytes long, or more ...",
  ]
  /// By seed, for `texts` in order: Docs/Formats.md lists the same.
  static let vectors: [(seed: UInt64, hashes: [UInt64])] = [
    (
      0,
      [
        0x2CC9_D3B4_61DA_234B, 0x087B_EBCB_5351_319E, 0xE02E_C20C_1AF1_0166, 0xEC13_0C66_F80A_7B44,
        0xA8D2_741E_9A82_AD60, 0xDF3C_5255_D692_C723, 0x67F0_EA90_D7E1_0095,
      ]
    ),
    (
      0x0123_4567_89AB_CDEF,
      [
        0x53EC_CD54_3DCA_DDFE, 0xE375_22BD_7FEE_1D9E, 0x23B2_16BE_0A01_E736, 0xD444_08D8_250B_91F4,
        0x6D78_E0B0_A933_9C37, 0xB3C1_64C4_6D83_079C, 0xD8EE_7CEA_EA4C_86ED,
      ]
    ),
  ]

  @Test("the test vectors of the format hold")
  func vectorsHold() {
    for (seed, hashes) in RingHashTests.vectors {
      for (text, hash) in zip(RingHashTests.texts, hashes) {
        #expect(RingHash(seed: seed)(Array(text.utf8)) == hash, "\(text) with seed \(seed)")
      }
    }
  }
}
