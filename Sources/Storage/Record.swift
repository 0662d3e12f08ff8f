package import Causality
import Primitives

// One version of one key on disk. The same bytes stand in data files and, framed, in the journal. A record is a
// multiple of 8 bytes long, and its checksum covers everything after itself, padding included: whatever bit flips is
// seen. What a flag or kind of a later release means is never guessed.

/// The fixed part of a record. Little-endian, 28 bytes, then the rest:
///     crc32c u32 | keyLength u32 | valueLength u32 | flags u8 | kind u8 | reserved u16 | time u64 | actor u32
///     | tsn u64 (tombstones), or expiry u64 (values that expire) | key | value | zeros to a multiple of 8
/// The checksum starts from the salt of the file that the record stands in.
package struct RecordHeader: Equatable, Sendable {
  package static let fixedByteCount = 28
  static let tombstoneFlag: UInt8 = 1
  static let expiryFlag: UInt8 = 2
  static let knownFlags: UInt8 = tombstoneFlag | expiryFlag
  static let versionKind: UInt8 = 1

  package var keyLength: Int
  package var valueLength: Int
  package var isTombstone: Bool
  package var stamp: Stamp
  /// Position in the store's tombstone feed; 0 for values.
  package var tsn: UInt64
  package var expiry = Expiry.never

  package var keyOffset: Int { RecordHeader.fixedByteCount + (isTombstone || expiry != .never ? 8 : 0) }
  package var valueOffset: Int { keyOffset + keyLength }
  package var byteCount: Int { (valueOffset + valueLength + 7) & ~7 }

  package static func byteCount(keyLength: Int, valueLength: Int, isTombstone: Bool, expires: Bool = false) -> Int {
    (fixedByteCount + (isTombstone || expires ? 8 : 0) + keyLength + valueLength + 7) & ~7
  }

  /// Of the record that this version has.
  package static func byteCount(keyLength: Int, _ version: StoredVersion) -> Int {
    byteCount(
      keyLength: keyLength, valueLength: version.value.count, isTombstone: version.isTombstone,
      expires: version.expiry != .never)
  }

  /// What the flags and the word behind the fixed part say of tsn and expiry; nil where nothing that is known writes it:
  /// a tombstone that expires, or one at no time.
  static func tail(_ flags: UInt8, _ word: UInt64) -> (tsn: UInt64, expiry: Expiry)? {
    switch flags {
    case 0: return (0, .never)
    case tombstoneFlag: return (word, .never)
    case expiryFlag where Expiry(milliseconds: word).isTime: return (0, Expiry(milliseconds: word))
    default: return nil
    }
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
    let expires = version.expiry != .never
    invariant(!expires || version.expiry.isTime && !version.isTombstone, "\(version.stamp) expires: \(version.expiry)")
    let flags = version.isTombstone ? RecordHeader.tombstoneFlag : expires ? RecordHeader.expiryFlag : 0
    bytes.appendLittleEndian(UInt64(UInt32(key.count)) << 32)
    bytes.appendLittleEndian(
      UInt64(UInt32(version.value.count)) | UInt64(flags) << 32 | UInt64(RecordHeader.versionKind) << 40)
    bytes.appendLittleEndian(version.stamp.time.rawValue)
    bytes.appendLittleEndian(version.stamp.actor.rawValue)
    if version.isTombstone {
      bytes.appendLittleEndian(tsn)
    } else if expires {
      bytes.appendLittleEndian(version.expiry.milliseconds)
    }
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
    let expires = flags & RecordHeader.expiryFlag != 0
    let total = RecordHeader.byteCount(
      keyLength: keyLength, valueLength: valueLength, isTombstone: isTombstone, expires: expires)
    guard left >= total else { return .short(total) }
    if let salt {
      let covered = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset + 4..<offset + total])
      guard unsafe crc32c(covered, continuing: salt) == load(UInt32.self, 0) else {
        return .damaged("a checksum that does not match")
      }
    }
    let kind = load(UInt8.self, 13)
    var tail = (tsn: UInt64(0), expiry: Expiry.never)
    var isKnown = kind == RecordHeader.versionKind && load(UInt16.self, 14) == 0
    // Most records have none.
    if flags != 0 {
      let found = RecordHeader.tail(flags, isTombstone || expires ? load(UInt64.self, 28) : 0)
      isKnown = isKnown && found != nil
      if let found { tail = found }
    }
    guard isKnown else {
      return .unknown("a record of kind \(kind) with flags \(flags) needs a newer release")
    }
    let stamp = Stamp(time: HybridTime(load(UInt64.self, 16)), actor: ActorID(load(UInt32.self, 24)))
    return .whole(
      RecordHeader(
        keyLength: keyLength, valueLength: valueLength, isTombstone: isTombstone, stamp: stamp,
        tsn: tail.tsn, expiry: tail.expiry))
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
      let word = bytes.littleEndian(UInt64.self, at: offset + 28)
    else { return nil }
    let flags = bytes[offset + 12]
    guard bytes[offset + 13] == RecordHeader.versionKind, let tail = RecordHeader.tail(flags, word) else { return nil }
    let isTombstone = flags & RecordHeader.tombstoneFlag != 0
    return RecordHeader(
      keyLength: keyLength, valueLength: valueLength, isTombstone: isTombstone,
      stamp: Stamp(time: HybridTime(time), actor: ActorID(actor)), tsn: tail.tsn, expiry: tail.expiry)
  }

  private static func checksum(_ bytes: [UInt8], _ range: Range<Int>, salt: UInt32) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe crc32c(UnsafeRawBufferPointer(rebasing: $0[range]), continuing: salt) }
  }
}
