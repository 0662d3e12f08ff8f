import Causality
import Primitives
import Storage

// A version of a key as bytes, wherever it is a part of a message: stamp 12 | flags u8 (1 tombstone, 2 expires) |
// [expiry u64] | length u32 | value. A value that does not expire has no byte for it.

extension StoredVersion {
  func append(to bytes: inout [UInt8]) {
    stamp.append(to: &bytes)
    bytes.appendKind(isTombstone: isTombstone, expiry)
    bytes.appendSized(value)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let stamp = try reader.takeStamp()
    let (isTombstone, expiry) = try reader.takeKind()
    self.init(stamp: stamp, isTombstone: isTombstone, value: try reader.takeBytes(), expiry: expiry)
  }
}

/// What a version is: a flag, and behind it the expiry of a value that has one.
private enum VersionFlag {
  static let tombstone: UInt8 = 1
  static let expires: UInt8 = 2
}

extension [UInt8] {
  mutating func appendKind(isTombstone: Bool, _ expiry: Expiry) {
    let expires = !isTombstone && expiry != .never
    append(isTombstone ? VersionFlag.tombstone : expires ? VersionFlag.expires : 0)
    if expires { appendLittleEndian(expiry.milliseconds) }
  }
}

extension ByteReader {
  mutating func takeKind() throws(CodecError) -> (isTombstone: Bool, expiry: Expiry) {
    let flags = try takeFlags("version", known: VersionFlag.tombstone | VersionFlag.expires)
    guard flags & VersionFlag.expires != 0 else { return (flags != 0, .never) }
    return (flags & VersionFlag.tombstone != 0, try takeExpiry(isOfTombstone: flags & VersionFlag.tombstone != 0))
  }

  /// A time at which a value may expire.
  mutating func takeExpiry(isOfTombstone: Bool = false) throws(CodecError) -> Expiry {
    let expiry = Expiry(milliseconds: try takeUInt64())
    guard expiry.isTime, !isOfTombstone else { throw .malformed("expiry") }
    return expiry
  }
}
