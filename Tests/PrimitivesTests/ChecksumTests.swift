import CLinux
import Primitives
import Testing

@Suite struct ChecksumTests {
  @Test func knownVectors() {
    #expect(crc32c(Array("123456789".utf8)) == 0xE306_9283)
    // RFC 3720, B.4.
    #expect(crc32c([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(crc32c([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(crc32c(Array(0..<32)) == 0x46DD_794E)
    #expect(crc32c([]) == 0)
  }

  @Test func hardwareEqualsPortableAtEveryLengthAndOffset() {
    var random = SeededGenerator(seed: 1)
    let bytes = (0..<300).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    for offset in 0..<9 {
      for end in offset..<bytes.count {
        let portable = unsafe bytes.withUnsafeBytes {
          unsafe cairn_crc32c_portable(0, $0.baseAddress.map { unsafe $0 + offset }, end - offset)
        }
        #expect(crc32c(bytes, offset..<end) == portable)
      }
    }
  }

  @Test func continuingEqualsTheWhole() {
    let bytes = Array("continued over any cut".utf8)
    for cut in 0...bytes.count {
      let first = crc32c(bytes, 0..<cut)
      let whole = unsafe bytes[cut...].withUnsafeBytes { unsafe crc32c($0, continuing: first) }
      #expect(whole == crc32c(bytes))
    }
  }

  @Test func everyFlippedBitIsSeen() {
    var bytes = Array("a frame, a record or a file header".utf8)
    let good = crc32c(bytes)
    for bit in 0..<bytes.count * 8 {
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(crc32c(bytes) != good)
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }
}
