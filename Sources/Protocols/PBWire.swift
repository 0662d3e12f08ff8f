// The bytes of Protocol Buffers, version 2: varints, tags, and what a reader needs to pass over a field that it does not
// know. Nothing here knows a message. A length is believed only when that many bytes are there; groups, which no message
// here has, are passed over to a named depth.

/// Why bytes are not the message that they should be. The text is a clause, without its end.
package struct PBProblem: Error, Equatable, Sendable {
  package let text: String
  init(_ text: String) { self.text = text }

  static let truncated = PBProblem("it ends within a field")
}

enum PBWireType: UInt8, Sendable {
  case varint = 0
  case fixed64 = 1
  case bytes = 2
  case groupStart = 3
  case groupEnd = 4
  case fixed32 = 5
}

/// Reads `bytes` from `position` up to `end`, and no further.
struct PBReader: Sendable {
  private static let groupDepthMax = 16
  /// Fields of a message and of all that it holds: what a frame costs is bounded, whatever it is made of.
  static let fieldsMax = 1 << 18

  let bytes: [UInt8]
  private(set) var position: Int
  let end: Int
  /// That may still be read.
  private(set) var fieldsLeft: Int

  init(_ bytes: [UInt8], _ range: Range<Int>, fieldsLeft: Int = PBReader.fieldsMax) {
    self.bytes = bytes
    position = range.lowerBound
    end = range.upperBound
    self.fieldsLeft = fieldsLeft
  }

  /// Takes note of what was read of a message within this one.
  mutating func goOn(after inner: PBReader) { fieldsLeft = inner.fieldsLeft }

  var isAtEnd: Bool { position == end }

  mutating func varint() throws(PBProblem) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard position < end else { throw .truncated }
      let byte = bytes[position]
      position += 1
      // The tenth byte has room for one bit.
      if shift == 63, byte > 1 { break }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw PBProblem("a number has more than 64 bits")
  }

  /// The field's number, from 1, and how its value is written.
  mutating func tag() throws(PBProblem) -> (number: Int, wire: PBWireType) {
    guard fieldsLeft > 0 else { throw PBProblem("it has more than \(PBReader.fieldsMax) fields") }
    fieldsLeft -= 1
    let tag = try varint()
    guard tag >> 3 > 0, tag >> 3 < 1 << 29, let wire = PBWireType(rawValue: UInt8(tag & 7)) else {
      throw PBProblem("a field has the tag \(tag), which there is not")
    }
    return (Int(tag >> 3), wire)
  }

  /// The place of bytes that stand behind their length; they are taken.
  mutating func sized() throws(PBProblem) -> Range<Int> {
    let count = try varint()
    guard count <= UInt64(end - position) else { throw .truncated }
    let start = position
    position += Int(count)
    return start..<position
  }

  /// Passes over the value of a field that nobody knows.
  mutating func skip(_ wire: PBWireType) throws(PBProblem) {
    guard try skipsGroup(wire) else { return }
    var depth = 1
    while depth > 0 {
      let inner = try tag().wire
      switch inner {
      case .groupEnd: depth -= 1
      case .groupStart:
        depth += 1
        guard depth <= PBReader.groupDepthMax else {
          throw PBProblem("groups are nested deeper than \(PBReader.groupDepthMax)")
        }
      case .varint, .fixed64, .bytes, .fixed32: _ = try skipsGroup(inner)
      }
    }
  }

  /// Passes over a value that is no group; true when a group begins instead.
  private mutating func skipsGroup(_ wire: PBWireType) throws(PBProblem) -> Bool {
    switch wire {
    case .varint: _ = try varint()
    case .fixed64: try skip(count: 8)
    case .fixed32: try skip(count: 4)
    case .bytes: _ = try sized()
    case .groupStart: return true
    case .groupEnd: throw PBProblem("a group ends that has not begun")
    }
    return false
  }

  private mutating func skip(count: Int) throws(PBProblem) {
    guard end - position >= count else { throw .truncated }
    position += count
  }
}

extension [UInt8] {
  mutating func appendVarint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(rest))
  }

  mutating func appendTag(_ number: Int, _ wire: PBWireType) {
    appendVarint(UInt64(number) << 3 | UInt64(wire.rawValue))
  }

  /// Appends what `content` appends, behind its length.
  mutating func appendSized(_ content: (inout [UInt8]) -> Void) {
    let start = count
    append(0)
    content(&self)
    let length = count - start - 1
    if length < 0x80 {
      self[start] = UInt8(length)
    } else {
      var varint: [UInt8] = []
      varint.appendVarint(UInt64(length))
      replaceSubrange(start...start, with: varint)
    }
  }
}
