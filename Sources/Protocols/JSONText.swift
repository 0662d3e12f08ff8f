// The strings of JSON as bytes: what an escape means, and how bytes are written so that any reader understands them.

enum JSONText {
  /// What `\` and this byte mean together; nil for no escape, and for `\u`.
  static func escaped(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): byte
    case UInt8(ascii: "b"): 0x08
    case UInt8(ascii: "f"): 0x0C
    case UInt8(ascii: "n"): 0x0A
    case UInt8(ascii: "r"): 0x0D
    case UInt8(ascii: "t"): 0x09
    default: nil
    }
  }

  /// How many bytes the escape at `offset` has, both halves of a surrogate pair together; nil when it is none.
  static func escapeLength(_ bytes: [UInt8], at offset: Int, end: Int) -> Int? {
    guard offset + 1 < end else { return nil }
    guard bytes[offset + 1] == UInt8(ascii: "u") else { return escaped(bytes[offset + 1]) == nil ? nil : 2 }
    guard let first = unit(bytes, at: offset, end: end) else { return nil }
    guard (0xD800...0xDFFF).contains(first) else { return 6 }
    guard first < 0xDC00, let second = unit(bytes, at: offset + 6, end: end), (0xDC00...0xDFFF).contains(second)
    else { return nil }
    return 12
  }

  /// The number of `\uXXXX`.
  static func unit(_ bytes: [UInt8], at offset: Int, end: Int) -> UInt32? {
    guard offset + 6 <= end, bytes[offset] == UInt8(ascii: "\\"), bytes[offset + 1] == UInt8(ascii: "u"),
      let value = HTTPText.hexadecimal(bytes, offset + 2..<offset + 6)
    else { return nil }
    return UInt32(value)
  }

  /// The UTF-8 of a scalar, which is no surrogate.
  static func utf8(_ scalar: UInt32) -> [UInt8] {
    switch scalar {
    case ..<0x80: [UInt8(scalar)]
    case ..<0x800: [0xC0 | UInt8(scalar >> 6), continuation(scalar)]
    case ..<0x10000: [0xE0 | UInt8(scalar >> 12), continuation(scalar >> 6), continuation(scalar)]
    default:
      [0xF0 | UInt8(scalar >> 18), continuation(scalar >> 12), continuation(scalar >> 6), continuation(scalar)]
    }
  }

  private static func continuation(_ bits: UInt32) -> UInt8 { 0x80 | UInt8(truncatingIfNeeded: bits & 0x3F) }

  /// What stands behind the backslash; 0 for a byte that needs none, `u` for one that is written as a number.
  fileprivate static func escape(_ byte: UInt8) -> UInt8 {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): byte
    case 0x0A: UInt8(ascii: "n")
    case 0x0D: UInt8(ascii: "r")
    case 0x09: UInt8(ascii: "t")
    case ..<0x20, 0x7F: UInt8(ascii: "u")
    default: 0
    }
  }
}

extension [UInt8] {
  /// Appends what the string at `content` of `source`, between its quotes and checked before, means.
  package mutating func appendJSONStringContent(_ source: [UInt8], _ content: Range<Int>) {
    var index = content.lowerBound
    while index < content.upperBound {
      let end = unsafe source.withUnsafeBytes { bytes in
        let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[index..<content.upperBound])
        return unsafe index + firstByte(UInt8(ascii: "\\"), in: rest, from: 0)
      }
      append(contentsOf: source[index..<end])
      index = end
      guard index < content.upperBound else { return }
      if let byte = JSONText.escaped(source[index + 1]) {
        append(byte)
        index += 2
      } else if let first = JSONText.unit(source, at: index, end: content.upperBound) {
        index += 6
        if let second = first >> 10 == 0x36 ? JSONText.unit(source, at: index, end: content.upperBound) : nil {
          append(contentsOf: JSONText.utf8(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)))
          index += 6
        } else {
          append(contentsOf: JSONText.utf8(first))
        }
      } else {
        index += 1
      }
    }
  }

  /// Appends a JSON string, with its quotes, that means `text`, which is UTF-8.
  package mutating func appendJSONString(_ text: ArraySlice<UInt8>) {
    append(UInt8(ascii: "\""))
    var start = text.startIndex
    for index in text.indices {
      let escape = JSONText.escape(text[index])
      guard escape != 0 else { continue }
      append(contentsOf: text[start..<index])
      append(UInt8(ascii: "\\"))
      append(escape)
      if escape == UInt8(ascii: "u") { appendHexadecimal(UInt64(text[index]), digits: 4) }
      start = index + 1
    }
    append(contentsOf: text[start...])
    append(UInt8(ascii: "\""))
  }

  /// How many bytes `appendJSONString` would append.
  package static func jsonStringBytes(_ text: ArraySlice<UInt8>) -> Int {
    text.reduce(2) { total, byte in
      switch JSONText.escape(byte) {
      case 0: total + 1
      case UInt8(ascii: "u"): total + 6
      default: total + 2
      }
    }
  }
}
