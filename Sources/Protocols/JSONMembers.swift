// One JSON object (RFC 8259) looked at in place: it is checked to be one, and it is said where its members stand. For
// files with millions of them, of which most members are passed on as they were written: numbers keep their digits.

package struct JSONMembers: Sendable {
  package enum Kind: Equatable, Sendable { case string, number, object, array, word }

  package struct Member: Equatable, Sendable {
    /// Between the quotes.
    package let name: Range<Int>
    /// The value as it stands; of a string, between the quotes.
    package let value: Range<Int>
    package let kind: Kind
  }

  /// In order; names may repeat.
  package private(set) var members: [Member] = []
  private var offset = 0

  package init() {}

  /// Takes the object at `range` of `bytes`; only white space may stand around it. Places in errors are counted from
  /// the beginning of `range`.
  package mutating func parse(_ bytes: [UInt8], _ range: Range<Int>) throws(JSONError) {
    members.removeAll(keepingCapacity: true)
    guard isUTF8(bytes, range) else { throw JSONError(offset: 0, problem: "not UTF-8") }
    var scanner = JSONScanner(bytes: bytes, offset: range.lowerBound, start: range.lowerBound, end: range.upperBound)
    scanner.skipSpace()
    guard scanner.next == UInt8(ascii: "{") else { throw scanner.error("an object is missing") }
    try scanner.object(depth: 0) { member in members.append(member) }
    scanner.skipSpace()
    guard scanner.offset == range.upperBound else { throw scanner.error("something after the object") }
  }

  /// The members of an object that is the value of a member.
  package static func members(of value: Range<Int>, in bytes: [UInt8]) -> [Member] {
    var inner = JSONMembers()
    // It has been checked with the object around it.
    try? inner.parse(bytes, value)
    return inner.members
  }

  /// The only member of this name; nil when there is none.
  /// - Throws: `JSONError` when there are several.
  package func member(_ name: [UInt8], in bytes: [UInt8]) throws(JSONError) -> Member? {
    var found: Member?
    for member in members where JSONMembers.isText(bytes, member.name, name) {
      guard found == nil else {
        throw JSONError(
          offset: member.name.lowerBound - 1, problem: "a second '\(String(decoding: name, as: UTF8.self))'")
      }
      found = member
    }
    return found
  }

  private static func isText(_ bytes: [UInt8], _ place: Range<Int>, _ text: [UInt8]) -> Bool {
    if !bytes[place].contains(UInt8(ascii: "\\")) { return bytes[place].elementsEqual(text) }
    var decoded: [UInt8] = []
    decoded.appendJSONStringContent(bytes, place)
    return decoded == text
  }
}

/// Walks over JSON that is known to be UTF-8.
private struct JSONScanner {
  let bytes: [UInt8]
  var offset: Int
  let start: Int
  let end: Int

  func error(_ problem: String) -> JSONError { JSONError(offset: offset - start, problem: problem) }

  var next: UInt8? { offset < end ? bytes[offset] : nil }

  mutating func skipSpace() {
    while offset < end {
      let byte = bytes[offset]
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      offset += 1
    }
  }

  mutating func take(_ byte: Unicode.Scalar) -> Bool {
    guard offset < end, bytes[offset] == UInt8(ascii: byte) else { return false }
    offset += 1
    return true
  }

  /// An object, from its brace on. - Parameter body: Called with each member.
  mutating func object(depth: Int, _ body: (JSONMembers.Member) -> Void) throws(JSONError) {
    guard depth < JSON.depthMax else { throw error("nested deeper than \(JSON.depthMax)") }
    offset += 1
    skipSpace()
    if take("}") { return }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw error("a member's name is missing") }
      let name = try string()
      skipSpace()
      guard take(":") else { throw error("':' is missing") }
      skipSpace()
      let (value, kind) = try self.value(depth: depth + 1)
      body(JSONMembers.Member(name: name, value: value, kind: kind))
      skipSpace()
      if take("}") { return }
      guard take(",") else { throw error("',' or '}' is missing") }
    }
  }

  private mutating func array(depth: Int) throws(JSONError) {
    guard depth < JSON.depthMax else { throw error("nested deeper than \(JSON.depthMax)") }
    offset += 1
    skipSpace()
    if take("]") { return }
    while true {
      skipSpace()
      _ = try value(depth: depth + 1)
      skipSpace()
      if take("]") { return }
      guard take(",") else { throw error("',' or ']' is missing") }
    }
  }

  private mutating func value(depth: Int) throws(JSONError) -> (Range<Int>, JSONMembers.Kind) {
    let start = offset
    switch next {
    case UInt8(ascii: "\""): return (try string(), .string)
    case UInt8(ascii: "{"):
      try object(depth: depth) { _ in }
      return (start..<offset, .object)
    case UInt8(ascii: "["):
      try array(depth: depth)
      return (start..<offset, .array)
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    case nil: throw error("a value is missing")
    default:
      try number()
      return (start..<offset, .number)
    }
    return (start..<offset, .word)
  }

  private mutating func word(_ word: StaticString) throws(JSONError) {
    let after = offset + word.utf8CodeUnitCount
    guard after <= end, HTTPText.equals(bytes, offset..<after, word) else { throw error("no value") }
    offset = after
  }

  private mutating func number() throws(JSONError) {
    let start = offset
    _ = take("-")
    let isWhole = take("0") || digits()
    var isNumber = isWhole
    if isNumber && take(".") { isNumber = digits() }
    if isNumber && (take("e") || take("E")) {
      if !take("+") { _ = take("-") }
      isNumber = digits()
    }
    guard isNumber else {
      offset = start
      throw error("no value")
    }
  }

  /// True when there was at least one.
  private mutating func digits() -> Bool {
    let start = offset
    while offset < end, bytes[offset] >= 0x30, bytes[offset] <= 0x39 { offset += 1 }
    return offset > start
  }

  /// A string, from its quote on. - Returns: What stands between the quotes.
  private mutating func string() throws(JSONError) -> Range<Int> {
    offset += 1
    let start = offset
    while offset < end {
      switch bytes[offset] {
      case UInt8(ascii: "\""):
        offset += 1
        return start..<offset - 1
      case UInt8(ascii: "\\"):
        guard let length = JSONEscapes.escapeLength(bytes, at: offset, end: end) else {
          throw error("an unknown escape")
        }
        offset += length
      case ..<0x20: throw error("a control character in a string")
      default: offset += 1
      }
    }
    throw error("a string without end")
  }
}

/// Whether `bytes` are UTF-8.
package func isUTF8(_ bytes: ArraySlice<UInt8>) -> Bool { (try? UTF8Span(validating: bytes.span)) != nil }

/// Whether `bytes[range]` is UTF-8.
package func isUTF8(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
  (try? UTF8Span(validating: bytes.span.extracting(range))) != nil
}
