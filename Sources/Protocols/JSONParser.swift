// Reads JSON (RFC 8259). Nesting is bounded, because the parser recurses; everything else is bounded by the text.

/// What is wrong with a text that should be JSON, and where, in bytes from its start.
package struct JSONError: Error, Equatable, CustomStringConvertible {
  package let offset: Int
  package let problem: String
  package var description: String { "no JSON at byte \(offset): \(problem)" }
}

extension JSON {
  package static let depthMax = 64

  /// The value that `bytes` hold; nothing but white space may follow it.
  package static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON {
    var parser = Parser(bytes: bytes)
    let value = try parser.value(depth: 0)
    parser.skipSpace()
    guard parser.offset == bytes.count else { throw parser.error("something after the value") }
    return value
  }
}

private struct Parser {
  let bytes: [UInt8]
  var offset = 0

  func error(_ problem: String) -> JSONError { JSONError(offset: offset, problem: problem) }

  var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
  }

  /// True, and past it, when `byte` comes next.
  mutating func take(_ byte: Character) -> Bool {
    guard next == byte.asciiValue else { return false }
    offset += 1
    return true
  }

  mutating func value(depth: Int) throws(JSONError) -> JSON {
    guard depth < JSON.depthMax else { throw error("nested deeper than \(JSON.depthMax)") }
    skipSpace()
    guard let byte = next else { throw error("a value is missing") }
    switch byte {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func word(_ word: String, _ value: JSON) throws(JSONError) -> JSON {
    guard bytes[offset...].starts(with: word.utf8) else { throw error("no value") }
    offset += word.utf8.count
    return value
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSON {
    offset += 1
    var members: [JSON.Member] = []
    skipSpace()
    if take("}") { return .object([]) }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw error("a member's name is missing") }
      let name = try string()
      skipSpace()
      guard take(":") else { throw error("':' is missing") }
      members.append(JSON.Member(name: name, value: try value(depth: depth + 1)))
      skipSpace()
      if take("}") { return .object(members) }
      guard take(",") else { throw error("',' or '}' is missing") }
    }
  }

  private mutating func array(depth: Int) throws(JSONError) -> JSON {
    offset += 1
    var elements: [JSON] = []
    skipSpace()
    if take("]") { return .array([]) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take("]") { return .array(elements) }
      guard take(",") else { throw error("',' or ']' is missing") }
    }
  }

  private mutating func number() throws(JSONError) -> JSON {
    let start = offset
    let allowed = Array("+-.eE0123456789".utf8)
    while let byte = next, allowed.contains(byte) { offset += 1 }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    if let integer = Int(text), !text.hasPrefix("+") { return .integer(integer) }
    guard let first = text.utf8.first, first == UInt8(ascii: "-") || (48...57).contains(first),
      let number = Double(text), number.isFinite
    else {
      offset = start
      throw error("no value")
    }
    return .number(number)
  }

  private mutating func string() throws(JSONError) -> String {
    offset += 1
    var text: [UInt8] = []
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        offset += 1
        guard let string = String(validating: text, as: UTF8.self) else { throw error("a string that is not UTF-8") }
        return string
      case UInt8(ascii: "\\"):
        offset += 1
        text.append(contentsOf: try escape().utf8)
      case ..<0x20: throw error("a control character in a string")
      default:
        text.append(byte)
        offset += 1
      }
    }
    throw error("a string without end")
  }

  private mutating func escape() throws(JSONError) -> String {
    guard let byte = next else { throw error("a string without end") }
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return String(UnicodeScalar(byte))
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return String(try escapedScalar())
    default: throw error("an unknown escape")
    }
  }

  /// A scalar as one `\uXXXX`, or as the two halves of a surrogate pair.
  private mutating func escapedScalar() throws(JSONError) -> Unicode.Scalar {
    let first = try hexadecimal()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xDC00, take("\\"), take("u") else { throw error("half a surrogate pair") }
    let second = try hexadecimal()
    guard (0xDC00...0xDFFF).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { throw error("half a surrogate pair") }
    return scalar
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(UnicodeScalar(byte)).hexDigitValue, byte < 0x80 else {
        throw error("four hexadecimal digits are missing")
      }
      value = value << 4 | UInt32(digit)
      offset += 1
    }
    return value
  }
}
