import Causality
import Primitives

// What the codecs share: the error, reading with a thrown error instead of nil, and bounded text. Everything that comes
// from a peer is checked here before it is believed; nothing here allocates more than the bytes that are really there.

/// Why bytes are not a message. A connection that produced one is closed.
package enum CodecError: Error, Equatable, Sendable {
  /// A field or its stated length reaches beyond the end.
  case truncated
  /// A tag, flag or enumeration value that this version does not know.
  case unknown(String, UInt8)
  /// The named field breaks its own rule.
  case malformed(String)
  /// The message ended before its bytes did.
  case trailingBytes(Int)
}

/// Bounds of what a message may carry.
package enum CodecLimits {
  /// Names and details, in bytes of UTF-8; longer ones are cut when they are encoded.
  package static let textBytesMax = 4096
  /// One encoded message: the largest body, its metadata and its key.
  package static let messageBytesMax = (64 << 20) + (1 << 20)
}

extension ByteReader {
  mutating func takeByte() throws(CodecError) -> UInt8 {
    guard let value = readByte() else { throw .truncated }
    return value
  }

  mutating func takeUInt16() throws(CodecError) -> UInt16 {
    guard let value = read(UInt16.self) else { throw .truncated }
    return value
  }

  mutating func takeUInt32() throws(CodecError) -> UInt32 {
    guard let value = read(UInt32.self) else { throw .truncated }
    return value
  }

  mutating func takeUInt64() throws(CodecError) -> UInt64 {
    guard let value = read(UInt64.self) else { throw .truncated }
    return value
  }

  /// A time that a clock can have issued: one absurd time would lift every clock that hears of it, for ever.
  mutating func takeTime() throws(CodecError) -> HybridTime {
    let time = HybridTime(try takeUInt64())
    guard time < .ceiling else { throw .malformed("time") }
    return time
  }

  mutating func takeStamp() throws(CodecError) -> Stamp {
    let time = try takeTime()
    return Stamp(time: time, actor: ActorID(try takeUInt32()))
  }

  /// Milliseconds since 1970.
  mutating func takeWallMilliseconds() throws(CodecError) -> UInt64 {
    let milliseconds = try takeUInt64()
    guard milliseconds < HybridTime.ceiling.milliseconds else { throw .malformed("wall clock") }
    return milliseconds
  }

  /// Bytes after a 32-bit length.
  mutating func takeBytes() throws(CodecError) -> [UInt8] {
    let count = try takeUInt32()
    guard let bytes = readBytes(Int(count)) else { throw .truncated }
    return bytes
  }

  mutating func takeText(_ field: String) throws(CodecError) -> String {
    let count = Int(try takeUInt16())
    guard count <= CodecLimits.textBytesMax else { throw .malformed(field) }
    guard let bytes = readBytes(count) else { throw .truncated }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformed(field) }
    return text
  }

  /// A byte of which only the bits of `known` may be set.
  mutating func takeFlags(_ field: String, known: UInt8) throws(CodecError) -> UInt8 {
    let flags = try takeByte()
    guard flags & ~known == 0 else { throw .unknown(field, flags) }
    return flags
  }

  mutating func takeBool(_ field: String) throws(CodecError) -> Bool { try takeFlags(field, known: 1) == 1 }

  mutating func takeEnum<T: RawRepresentable>(_: T.Type, _ field: String) throws(CodecError) -> T
  where T.RawValue == UInt8 {
    let raw = try takeByte()
    guard let value = T(rawValue: raw) else { throw .unknown(field, raw) }
    return value
  }

  mutating func takeIdentity() throws(CodecError) -> Identity128 {
    let high = try takeUInt64()
    return Identity128(high: high, low: try takeUInt64())
  }

  mutating func takeKey() throws(CodecError) -> ObjectKey {
    let count = Int(try takeUInt32())
    guard count <= ObjectKey.encodedByteCountMax else { throw .malformed("key") }
    guard let bytes = readBytes(count) else { throw .truncated }
    guard let key = ObjectKey(encoded: bytes) else { throw .malformed("key") }
    return key
  }
}

extension [UInt8] {
  /// `bytes` after their 32-bit length.
  mutating func appendSized(_ bytes: [UInt8]) {
    appendLittleEndian(UInt32(bytes.count))
    append(contentsOf: bytes)
  }

  /// `text` after its 16-bit length, cut at the last whole character within `CodecLimits.textBytesMax`.
  mutating func appendText(_ text: String) {
    var utf8 = [UInt8](text.utf8.prefix(CodecLimits.textBytesMax))
    while String(validating: utf8, as: UTF8.self) == nil { utf8.removeLast() }
    appendLittleEndian(UInt16(utf8.count))
    append(contentsOf: utf8)
  }

  mutating func append(_ identity: Identity128) {
    appendLittleEndian(identity.high)
    appendLittleEndian(identity.low)
  }
}
