// What a field of a message can hold, each with its one way of being written. Of numbers that are too long for their type
// the low bits count, as everybody's decoders have it.

protocol PBValue: Equatable, Sendable {
  static var wire: PBWireType { get }
  /// Reads the value behind its tag.
  init(from reader: inout PBReader) throws(PBProblem)
  /// Appends the value as it stands behind its tag.
  func append(to bytes: inout [UInt8])
}

/// Bytes of a field: a part of what the connection brought, not a copy.
typealias PBBytes = ArraySlice<UInt8>

extension PBBytes: PBValue {
  static var wire: PBWireType { .bytes }

  init(from reader: inout PBReader) throws(PBProblem) {
    let range = try reader.sized()
    self = reader.bytes[range]
  }

  func append(to bytes: inout [UInt8]) {
    bytes.appendVarint(UInt64(count))
    bytes.append(contentsOf: self)
  }
}

extension UInt32: PBValue {
  static var wire: PBWireType { .varint }
  init(from reader: inout PBReader) throws(PBProblem) { self.init(truncatingIfNeeded: try reader.varint()) }
  func append(to bytes: inout [UInt8]) { bytes.appendVarint(UInt64(self)) }
}

/// `int64`: a negative number takes ten bytes.
extension Int64: PBValue {
  static var wire: PBWireType { .varint }
  init(from reader: inout PBReader) throws(PBProblem) { self.init(bitPattern: try reader.varint()) }
  func append(to bytes: inout [UInt8]) { bytes.appendVarint(UInt64(bitPattern: self)) }
}

extension Bool: PBValue {
  static var wire: PBWireType { .varint }
  init(from reader: inout PBReader) throws(PBProblem) { self = try reader.varint() != 0 }
  func append(to bytes: inout [UInt8]) { bytes.append(self ? 1 : 0) }
}

/// `sint64`: numbers near zero are short whatever their sign.
struct PBZigZag: PBValue {
  var value: Int64
  static var wire: PBWireType { .varint }

  init(_ value: Int64) { self.value = value }

  init(from reader: inout PBReader) throws(PBProblem) {
    let folded = try reader.varint()
    value = Int64(bitPattern: folded >> 1) ^ -Int64(bitPattern: folded & 1)
  }

  func append(to bytes: inout [UInt8]) { bytes.appendVarint(UInt64(bitPattern: (value << 1) ^ (value >> 63))) }
}
