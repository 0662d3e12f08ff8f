package import Causality
import Primitives

// One version of one key on disk. The same bytes stand in data files and, framed, in the journal. A record is a
// multiple of 8 bytes long, and its checksum covers everything after itself, padding included: whatever bit flips is
// seen. What a flag or kind of a later release means is never guessed.

/// The fixed part of a record. Little-endian, 28 bytes, then the rest:
///     crc32c u32 | keyLength u32 | valueLength u32 | flags u8 | kind u8 | reserved u16 | time u64 | actor u32
///     | tsn u64 (tombstones) | key | value | zeros to a multiple of 8
/// The checksum starts from the salt of the file that the record stands in.
package struct RecordHeader: Equatable, Sendable {
  package static let fixedByteCount = 28
  static let tombstoneFlag: UInt8 = 1
  static let knownFlags: UInt8 = tombstoneFlag
  static let versionKind: UInt8 = 1

  package var keyLength: Int
  package var valueLength: Int
  package var isTombstone: Bool
  package var stamp: Stamp
  /// Position in the store's tombstone feed; 0 for values.
  package var tsn: UInt64

  package var keyOffset: Int { RecordHeader.fixedByteCount + (isTombstone ? 8 : 0) }
  package var valueOffset: Int { keyOffset + keyLength }
  package var byteCount: Int { (valueOffset + valueLength + 7) & ~7 }

  package static func byteCount(keyLength: Int, valueLength: Int, isTombstone: Bool) -> Int {
    (fixedByteCount + (isTombstone ? 8 : 0) + keyLength + valueLength + 7) & ~7
  }
}

/// What bytes said to be a record turn out to be.
package enum RecordCheck: Equatable, Sendable {
  case whole(RecordHeader)
  /// The bytes end before the record does; it would be this long.
  case short(Int)
  case damaged(String)
  /// Intact, but of a later format.
  case unknown(String)
}

package enum Record {
  /// Appends the record of `version` to `bytes`; its checksum starts from `salt`.
  package static func append(
    _ version: StoredVersion, key: [UInt8], tsn: UInt64, salt: UInt32, to bytes: inout [UInt8]
  ) {
    let start = bytes.count
    let flags = version.isTombstone ? RecordHeader.tombstoneFlag : 0
    bytes.appendLittleEndian(UInt64(UInt32(key.count)) << 32)
    bytes.appendLittleEndian(
      UInt64(UInt32(version.value.count)) | UInt64(flags) << 32 | UInt64(RecordHeader.versionKind) << 40)
    bytes.appendLittleEndian(version.stamp.time.rawValue)
    bytes.appendLittleEndian(version.stamp.actor.rawValue)
    if version.isTombstone { bytes.appendLittleEndian(tsn) }
    bytes.append(contentsOf: key)
    bytes.append(contentsOf: version.value)
    for _ in 0..<((start &- bytes.count) & 7) { bytes.append(0) }
    bytes.setLittleEndian(checksum(bytes, start + 4..<bytes.count, salt: salt), at: start)
  }

  /// Appends the whole record at `offset` of `source`, with a checksum that starts from the salt of another file.
  static func copy(_ source: [UInt8], at offset: Int, byteCount: Int, salt: UInt32, to bytes: inout [UInt8]) {
    let start = bytes.count
    bytes.append(contentsOf: source[offset..<offset + byteCount])
    bytes.setLittleEndian(checksum(bytes, start + 4..<bytes.count, salt: salt), at: start)
  }

  /// Checks the record at `offset` of `bytes`: lengths first, then the checksum, then the meaning. Without a salt the
  /// checksum is not looked at: something around the record vouches for it.
  package static func check(_ bytes: [UInt8], at offset: Int, salt: UInt32?) -> RecordCheck {
    unsafe bytes.withUnsafeBytes { unsafe check($0, at: offset, salt: salt) }
  }

  static func check(_ bytes: UnsafeRawBufferPointer, at offset: Int, salt: UInt32?) -> RecordCheck {
    let left = bytes.count - offset
    guard left >= RecordHeader.fixedByteCount else { return .short(RecordHeader.fixedByteCount) }
    func load<T: FixedWidthInteger>(_ type: T.Type, _ field: Int) -> T {
      unsafe T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + field, as: T.self))
    }
    let keyLength = Int(load(UInt32.self, 4))
    let valueLength = Int(load(UInt32.self, 8))
    let flags = load(UInt8.self, 12)
    guard keyLength <= StorageLimits.keyBytesMax, valueLength <= StorageLimits.valueBytesMax else {
      return .damaged("a length out of bounds")
    }
    let isTombstone = flags & RecordHeader.tombstoneFlag != 0
    let total = RecordHeader.byteCount(keyLength: keyLength, valueLength: valueLength, isTombstone: isTombstone)
    guard left >= total else { return .short(total) }
    if let salt {
      let covered = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset + 4..<offset + total])
      guard unsafe crc32c(covered, continuing: salt) == load(UInt32.self, 0) else {
        return .damaged("a checksum that does not match")
      }
    }
    let kind = load(UInt8.self, 13)
    guard flags & ~RecordHeader.knownFlags == 0, kind == RecordHeader.versionKind, load(UInt16.self, 14) == 0 else {
      return .unknown("a record of kind \(kind) with flags \(flags) needs a newer release")
    }
    let stamp = Stamp(time: HybridTime(load(UInt64.self, 16)), actor: ActorID(load(UInt32.self, 24)))
    return .whole(
      RecordHeader(
        keyLength: keyLength, valueLength: valueLength, isTombstone: isTombstone, stamp: stamp,
        tsn: isTombstone ? load(UInt64.self, 28) : 0))
  }

  /// The header at `offset`, of which only the form is checked: for a record that is not read whole, where something
  /// else vouches for what is used of it.
  static func header(_ bytes: [UInt8], at offset: Int) -> RecordHeader? {
    guard bytes.count - offset >= RecordHeader.fixedByteCount + 8,
      let keyLength = bytes.littleEndian(UInt32.self, at: offset + 4).map(Int.init),
      let valueLength = bytes.littleEndian(UInt32.self, at: offset + 8).map(Int.init),
      keyLength <= StorageLimits.keyBytesMax, valueLength <= StorageLimits.valueBytesMax,
      let time = bytes.littleEndian(UInt64.self, at: offset + 16),
      let actor = bytes.littleEndian(UInt32.self, at: offset + 24),
      let tsn = bytes.littleEndian(UInt64.self, at: offset + 28)
    else { return nil }
    let flags = bytes[offset + 12]
    guard flags & ~RecordHeader.knownFlags == 0, bytes[offset + 13] == RecordHeader.versionKind else { return nil }
    let isTombstone = flags & RecordHeader.tombstoneFlag != 0
    return RecordHeader(
      keyLength: keyLength, valueLength: valueLength, isTombstone: isTombstone,
      stamp: Stamp(time: HybridTime(time), actor: ActorID(actor)), tsn: isTombstone ? tsn : 0)
  }

  private static func checksum(_ bytes: [UInt8], _ range: Range<Int>, salt: UInt32) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe crc32c(UnsafeRawBufferPointer(rebasing: $0[range]), continuing: salt) }
  }
}
