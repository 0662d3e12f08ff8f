import Causality
import Primitives
import Storage
import Testing

@Suite("Record")
struct RecordTests {
  private struct Sample {
    var key: [UInt8]
    var version: StoredVersion
    var tsn: UInt64
    var salt: UInt32
    var bytes: [UInt8] = []

    init(seed: UInt64) {
      var generator = SeededGenerator(seed: seed)
      key = (0..<generator.below(40)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      let isTombstone = generator.chance(1, in: 3)
      let value = isTombstone ? [] : (0..<generator.below(60)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      let stamp = Stamp(
        time: HybridTime(generator.next()), actor: ActorID(UInt32(truncatingIfNeeded: generator.next())))
      version = StoredVersion(stamp: stamp, isTombstone: isTombstone, value: value)
      if !isTombstone, generator.chance(1, in: 2) {
        version.expiry = Expiry(milliseconds: 1 + generator.next() % Expiry.last.milliseconds)
      }
      tsn = isTombstone ? generator.next() : 0
      salt = UInt32(truncatingIfNeeded: generator.next())
      Record.append(version, key: key, tsn: tsn, salt: salt, to: &bytes)
    }
  }

  @Test("decoding what was encoded gives the same record", arguments: UInt64(0)..<50)
  func roundTrip(seed: UInt64) throws {
    let sample = Sample(seed: seed)
    #expect(sample.bytes.count % 8 == 0)
    guard case .whole(let header) = Record.check([9, 9, 9, 9, 9, 9, 9, 9] + sample.bytes, at: 8, salt: sample.salt)
    else {
      Issue.record("not whole")
      return
    }
    #expect(header.stamp == sample.version.stamp)
    #expect(header.isTombstone == sample.version.isTombstone)
    #expect(header.tsn == sample.tsn && header.expiry == sample.version.expiry)
    #expect(RecordHeader.byteCount(keyLength: sample.key.count, sample.version) == sample.bytes.count)
    #expect(header.byteCount == sample.bytes.count)
    #expect(Array(sample.bytes[header.keyOffset..<header.valueOffset]) == sample.key)
    let value = sample.bytes[header.valueOffset..<header.valueOffset + header.valueLength]
    #expect(Array(value) == sample.version.value)
  }

  @Test("no prefix of a record is a record", arguments: UInt64(0)..<20)
  func prefixes(seed: UInt64) {
    let sample = Sample(seed: seed)
    for count in 0..<sample.bytes.count {
      guard case .short(let total) = Record.check(Array(sample.bytes[..<count]), at: 0, salt: sample.salt) else {
        Issue.record("a prefix of \(count) bytes passes")
        continue
      }
      #expect(total > count && total <= sample.bytes.count)
    }
  }

  @Test("every flipped bit is seen", arguments: UInt64(0)..<20)
  func flips(seed: UInt64) {
    let sample = Sample(seed: seed)
    for bit in 0..<sample.bytes.count * 8 {
      var bytes = sample.bytes
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      if case .whole = Record.check(bytes, at: 0, salt: sample.salt) { Issue.record("bit \(bit) passes") }
    }
  }

  @Test("a record of another file is not this file's", arguments: UInt64(0)..<20)
  func foreignSalt(seed: UInt64) {
    let sample = Sample(seed: seed)
    #expect(Record.check(sample.bytes, at: 0, salt: sample.salt ^ 1) == .damaged("a checksum that does not match"))
  }

  @Test("files of different stores, ids, lives, nodes and clusters have different salts")
  func salts() throws {
    var headers: [FileHeader] = []
    for variant in UInt64(0)..<64 {
      let bit: (UInt64) -> UInt32 = { UInt32(variant >> $0 & 1) }
      headers.append(
        FileHeader(
          kind: bit(0) == 0 ? .data : .journal, cluster: Identity128(high: 1, low: variant >> 1 & 1),
          node: NodeID(bit(2)), store: StoreID(partition: UInt16(bit(3)), replicas: 3), file: bit(4),
          identity: Identity128(high: 0, low: variant >> 5 & 1)))
    }
    #expect(Set(headers.map(\.salt)).count == 64)
    for header in headers {
      #expect(try FileHeader(decoding: header.encoded(), kind: header.kind, path: "f") == header)
    }
  }

  @Test("flags and kinds of a later format are refused, not guessed")
  func unknown() {
    for (offset, value) in [(12, UInt8(4)), (12, 0x80), (13, 0), (13, 2), (14, 1), (15, 1)] {
      var bytes = Sample(seed: 3).bytes
      bytes[offset] = value
      let checksum = crc32c(Array(bytes[4...]))
      bytes.setLittleEndian(checksum, at: 0)
      guard case .unknown = Record.check(bytes, at: 0, salt: 0) else {
        Issue.record("byte \(offset) = \(value) passes")
        continue
      }
    }
  }

  @Test("a value costs 8 bytes more where it expires, and none where it does not")
  func cost() {
    for length in 0..<16 {
      let plain = RecordHeader.byteCount(keyLength: 8, valueLength: length, isTombstone: false)
      #expect(plain == (28 + 8 + length + 7) & ~7)
      #expect(RecordHeader.byteCount(keyLength: 8, valueLength: length, isTombstone: false, expires: true) == plain + 8)
    }
  }

  @Test("a tombstone that expires, and a value that expires at no time, is of no format that is known")
  func impossibleExpiry() {
    for (flags, milliseconds) in [
      (UInt8(3), UInt64(1_700_000_000_000)), (2, 0), (2, Expiry.last.milliseconds + 1), (2, .max),
    ] {
      var bytes: [UInt8] = []
      let version = StoredVersion(stamp: stamp(5), isTombstone: false, value: [1], expiry: .last)
      Record.append(version, key: [1, 2], tsn: 0, salt: 0, to: &bytes)
      bytes[12] = flags
      bytes.setLittleEndian(milliseconds, at: 28)
      bytes.setLittleEndian(crc32c(Array(bytes[4...])), at: 0)
      guard case .unknown = Record.check(bytes, at: 0, salt: 0) else {
        Issue.record("flags \(flags) with \(milliseconds) pass")
        continue
      }
    }
  }

  @Test("lengths are bounded before they are believed")
  func bounds() {
    var bytes = Sample(seed: 3).bytes
    bytes.setLittleEndian(UInt32(StorageLimits.keyBytesMax + 1), at: 4)
    #expect(Record.check(bytes, at: 0, salt: 0) == .damaged("a length out of bounds"))
    bytes = Sample(seed: 3).bytes
    bytes.setLittleEndian(UInt32(StorageLimits.valueBytesMax + 1), at: 8)
    #expect(Record.check(bytes, at: 0, salt: 0) == .damaged("a length out of bounds"))
  }
}
