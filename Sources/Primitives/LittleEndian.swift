// Little-endian integers in byte arrays: every format of Cairn, on disk and on the wire, is written with these.
// Reading past the end is a value (nil), never a trap.

extension [UInt8] {
  /// Appends `value`, least significant byte first.
  @inlinable package mutating func appendLittleEndian<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
    unsafe Swift.withUnsafeBytes(of: value.littleEndian) { unsafe append(contentsOf: $0) }
  }
  /// Overwrites the bytes at `offset` with `value`; they must exist.
  @inlinable package mutating func setLittleEndian<T: FixedWidthInteger & UnsignedInteger>(_ value: T, at offset: Int) {
    let size = T.bitWidth / 8
    for index in 0..<size { self[offset + index] = UInt8(truncatingIfNeeded: value >> T(8 * index)) }
  }
  /// The integer at `offset`, or nil when fewer bytes are left.
  @inlinable package func littleEndian<T: FixedWidthInteger & UnsignedInteger>(_: T.Type, at offset: Int) -> T? {
    let size = T.bitWidth / 8
    guard offset >= 0, count - offset >= size else { return nil }
    return unsafe withUnsafeBytes { T(littleEndian: unsafe $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
  }
}

/// Reads a format field by field; once a field was missing, everything after it is missing too.
package struct ByteReader {
  package let bytes: [UInt8]
  package private(set) var offset: Int
  package let end: Int

  package init(_ bytes: [UInt8], from offset: Int = 0, to end: Int? = nil) {
    self.bytes = bytes
    self.offset = offset
    self.end = end ?? bytes.count
  }

  package var remaining: Int { end - offset }

  // One function per width, not a generic one: that is not specialised where other modules call it, and costs ten
  // times as much.

  /// The next integer; nil, and nothing read, when fewer bytes are left.
  package mutating func read(_: UInt64.Type) -> UInt64? { load() }
  package mutating func read(_: UInt32.Type) -> UInt32? { load() }
  package mutating func read(_: UInt16.Type) -> UInt16? { load() }
  package mutating func read(_: UInt8.Type) -> UInt8? { load() }
  package mutating func readByte() -> UInt8? { load() }

  @inline(__always)
  private mutating func load<T: FixedWidthInteger & UnsignedInteger>() -> T? {
    guard remaining >= T.bitWidth / 8, let value = bytes.littleEndian(T.self, at: offset) else { return nil }
    offset += T.bitWidth / 8
    return value
  }

  /// The next `count` bytes, copied; nil when fewer are left.
  package mutating func readBytes(_ count: Int) -> [UInt8]? {
    guard count >= 0, remaining >= count else { return nil }
    defer { offset += count }
    return unsafe bytes.withUnsafeBytes { bytes in
      unsafe Array(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
    }
  }
}
