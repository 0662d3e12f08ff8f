import Primitives
import Testing

@Suite struct LittleEndianTests {
  @Test func integersStandLeastSignificantByteFirst() {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(UInt16(0x0102))
    bytes.appendLittleEndian(UInt32(0x0304_0506))
    bytes.appendLittleEndian(UInt64(0x0708_090A_0B0C_0D0E))
    #expect(bytes == [2, 1, 6, 5, 4, 3, 0x0E, 0x0D, 0x0C, 0x0B, 0x0A, 9, 8, 7])
    bytes.setLittleEndian(UInt32(0xFFEE_DDCC), at: 2)
    #expect(bytes[2..<6] == [0xCC, 0xDD, 0xEE, 0xFF])
  }

  @Test(arguments: 1...20 as ClosedRange<UInt64>) func whatIsWrittenIsRead(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    let values = (0..<50).map { _ in (random.below(4), random.next()) }
    for (kind, value) in values {
      switch kind {
      case 0: bytes.append(UInt8(truncatingIfNeeded: value))
      case 1: bytes.appendLittleEndian(UInt16(truncatingIfNeeded: value))
      case 2: bytes.appendLittleEndian(UInt32(truncatingIfNeeded: value))
      default: bytes.appendLittleEndian(value)
      }
    }
    var reader = ByteReader(bytes)
    for (kind, value) in values {
      switch kind {
      case 0: #expect(reader.readByte() == UInt8(truncatingIfNeeded: value))
      case 1: #expect(reader.read(UInt16.self) == UInt16(truncatingIfNeeded: value))
      case 2: #expect(reader.read(UInt32.self) == UInt32(truncatingIfNeeded: value))
      default: #expect(reader.read(UInt64.self) == value)
      }
    }
    #expect(reader.remaining == 0)
  }

  @Test func readingPastTheEndIsNothing() {
    let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7]
    #expect(bytes.littleEndian(UInt64.self, at: 0) == nil)
    #expect(bytes.littleEndian(UInt32.self, at: 4) == nil)
    #expect(bytes.littleEndian(UInt32.self, at: -1) == nil)
    #expect(bytes.littleEndian(UInt8.self, at: 7) == nil)
    var reader = ByteReader(bytes, from: 2, to: 5)
    #expect(reader.read(UInt32.self) == nil)
    #expect(reader.readBytes(4) == nil)
    #expect(reader.readBytes(-1) == nil)
    #expect(reader.readBytes(3) == [3, 4, 5])
    #expect(reader.readBytes(0) == [])
    #expect(reader.readByte() == nil)
  }
}
