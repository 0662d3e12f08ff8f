// Small texts of HTTP: comparing names, numbers, percent escapes, base64. Bytes in, bytes out; no strings on the way.

package enum HTTPText {
  /// Characters of a token (RFC 9110, 5.6.2), one bit each: letters, digits and !#$%&'*+-.^_`|~
  private static let tokenLow: UInt64 = 0x03FF_6CFA_0000_0000
  private static let tokenHigh: UInt64 = 0x57FF_FFFF_C7FF_FFFE

  @inline(__always)
  package static func isToken(_ byte: UInt8) -> Bool {
    byte < 64 ? tokenLow >> UInt64(byte) & 1 == 1 : byte < 128 && tokenHigh >> UInt64(byte - 64) & 1 == 1
  }

  /// Whether `bytes[range]` is `name`, which is given in lower-case letters and hyphens.
  static func matches(_ bytes: [UInt8], _ range: Range<Int>, _ name: StaticString) -> Bool {
    range.count == name.utf8CodeUnitCount && hasPrefix(bytes, range, name)
  }

  static func hasPrefix(_ bytes: [UInt8], _ range: Range<Int>, _ name: StaticString) -> Bool {
    let count = name.utf8CodeUnitCount
    guard range.count >= count else { return false }
    let start = unsafe name.utf8Start
    for index in 0..<count where unsafe bytes[range.lowerBound + index] | 0x20 != start[index] { return false }
    return true
  }

  /// Whether `bytes[range]` is exactly `text`.
  static func equals(_ bytes: [UInt8], _ range: Range<Int>, _ text: StaticString) -> Bool {
    guard range.count == text.utf8CodeUnitCount else { return false }
    let start = unsafe text.utf8Start
    for index in 0..<range.count where unsafe bytes[range.lowerBound + index] != start[index] { return false }
    return true
  }

  /// Whether `bytes[range]` is `type/subtype`, with or without parameters behind a semicolon; those are anything.
  static func isMediaType(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    let type = token(bytes, range)
    guard !type.isEmpty, type.upperBound < range.upperBound, bytes[type.upperBound] == UInt8(ascii: "/") else {
      return false
    }
    let subtype = token(bytes, type.upperBound + 1..<range.upperBound)
    let rest = trimmed(bytes, subtype.upperBound..<range.upperBound)
    return !subtype.isEmpty && (rest.isEmpty || bytes[rest.lowerBound] == UInt8(ascii: ";"))
  }

  /// The token that `range` begins with; empty when it begins with none.
  static func token(_ bytes: [UInt8], _ range: Range<Int>) -> Range<Int> {
    var end = range.lowerBound
    while end < range.upperBound, isToken(bytes[end]) { end += 1 }
    return range.lowerBound..<end
  }

  /// Whether two texts are the same but for the case of ASCII letters.
  static func equalIgnoringCase(_ one: ArraySlice<UInt8>, _ other: ArraySlice<UInt8>) -> Bool {
    one.count == other.count && zip(one, other).allSatisfy { lowered($0) == lowered($1) }
  }

  private static func lowered(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }

  /// `range` without spaces and tabs at its ends.
  static func trimmed(_ bytes: [UInt8], _ range: Range<Int>) -> Range<Int> {
    var start = range.lowerBound
    var end = range.upperBound
    while start < end, isBlank(bytes[start]) { start += 1 }
    while start < end, isBlank(bytes[end - 1]) { end -= 1 }
    return start..<end
  }

  static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

  /// Calls `body` with each element of a comma-separated list.
  static func forEachElement(_ bytes: [UInt8], _ range: Range<Int>, _ body: (Range<Int>) -> Void) {
    var start = range.lowerBound
    while start <= range.upperBound {
      let end = bytes[start..<range.upperBound].firstIndex(of: UInt8(ascii: ",")) ?? range.upperBound
      body(trimmed(bytes, start..<end))
      start = end + 1
    }
  }

  /// Where the first `separator` that is not in quotes stands, or the end of `range`. With `escapes`, a backslash in
  /// quotes takes its meaning from the byte behind it.
  static func first(_ separator: UInt8, _ bytes: [UInt8], in range: Range<Int>, escapes: Bool = true) -> Int {
    var isQuoted = false
    var index = range.lowerBound
    while index < range.upperBound {
      switch bytes[index] {
      case separator where !isQuoted: return index
      case UInt8(ascii: "\""): isQuoted.toggle()
      case UInt8(ascii: "\\") where isQuoted && escapes: index += 1
      default: break
      }
      index += 1
    }
    return range.upperBound
  }

  /// A number of at most 18 digits and nothing else.
  package static func decimal(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
    guard !range.isEmpty, range.count <= 18 else { return nil }
    var value = 0
    for index in range {
      guard bytes[index] >= 0x30, bytes[index] <= 0x39 else { return nil }
      value = value * 10 + Int(bytes[index] - 0x30)
    }
    return value
  }

  /// Whether `bytes[range]` is a whole number of any length, with or without a sign.
  static func isInteger(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    var digits = range
    if let first = bytes[range].first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
      digits = range.lowerBound + 1..<range.upperBound
    }
    return !digits.isEmpty && bytes[digits].allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
  }

  /// A number of at most 15 hexadecimal digits and nothing else.
  static func hexadecimal(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
    guard !range.isEmpty, range.count <= 15 else { return nil }
    var value = 0
    for index in range {
      guard let digit = hexDigit(bytes[index]) else { return nil }
      value = value << 4 | digit
    }
    return value
  }

  static func hexDigit(_ byte: UInt8) -> Int? {
    switch byte {
    case 0x30...0x39: Int(byte) - 0x30
    case 0x41...0x46: Int(byte) - 0x41 + 10
    case 0x61...0x66: Int(byte) - 0x61 + 10
    default: nil
    }
  }

  /// Appends `bytes[range]` with its escapes undone; a plus is a space, as Riak and its clients have it. False when
  /// an escape is not one.
  package static func unescape(_ bytes: [UInt8], _ range: Range<Int>, into out: inout [UInt8]) -> Bool {
    var index = range.lowerBound
    while index < range.upperBound {
      let byte = bytes[index]
      if byte == UInt8(ascii: "%") {
        guard index + 2 < range.upperBound, let high = hexDigit(bytes[index + 1]),
          let low = hexDigit(bytes[index + 2])
        else { return false }
        out.append(UInt8(high << 4 | low))
        index += 3
      } else {
        out.append(byte == UInt8(ascii: "+") ? 0x20 : byte)
        index += 1
      }
    }
    return true
  }
}

extension HTTPText {
  /// The byte that an escape at `index` stands for; nil when there is none.
  static func escape(_ text: ArraySlice<UInt8>, at index: Int) -> UInt8? {
    guard text[index] == UInt8(ascii: "%"), index + 2 < text.endIndex, let high = hexDigit(text[index + 1]),
      let low = hexDigit(text[index + 2])
    else { return nil }
    return UInt8(high << 4 | low)
  }

  /// The name of metadata that a header's name stands for, with its escapes undone; a percent sign that begins none is
  /// one. So a name that an answer has brought comes to the same when it is sent back.
  static func plainName(_ name: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    guard name.contains(UInt8(ascii: "%")) else { return name }
    var plain: [UInt8] = []
    var index = name.startIndex
    while index < name.endIndex {
      let escaped = escape(name, at: index)
      plain.append(escaped ?? name[index])
      index += escaped == nil ? 1 : 3
    }
    return plain[...]
  }
}

extension [UInt8] {
  mutating func appendASCII(_ text: StaticString) {
    unsafe append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  package mutating func appendDecimal(_ value: Int, digits: Int = 1) {
    var divisor = 1
    var count = 1
    while count < digits || value / divisor >= 10 {
      divisor *= 10
      count += 1
    }
    while divisor > 0 {
      append(0x30 + UInt8(value / divisor % 10))
      divisor /= 10
    }
  }

  /// `value` as `digits` lower-case hexadecimal digits.
  mutating func appendHexadecimal(_ value: UInt64, digits: Int) {
    for digit in stride(from: digits - 1, through: 0, by: -1) {
      append(HTTPText.lowerHex(UInt8(truncatingIfNeeded: value >> UInt64(4 * digit)) & 15))
    }
  }

  /// Bytes as they may stand in a header's value: a control character, which another protocol may have stored, would
  /// end the header and becomes a space.
  mutating func appendHeaderText(_ text: ArraySlice<UInt8>) {
    let start = count
    append(contentsOf: text)
    for index in start..<count where (self[index] < 0x20 && self[index] != 0x09) || self[index] == 0x7F {
      self[index] = 0x20
    }
  }

  /// Bytes as they may stand in a header's name: what no name has, which another protocol may have stored, as escapes, and
  /// so what would be taken for one. `HTTPText.plainName` undoes them.
  mutating func appendHeaderName(_ name: ArraySlice<UInt8>) {
    for index in name.indices {
      if HTTPText.isToken(name[index]), HTTPText.escape(name, at: index) == nil {
        append(name[index])
      } else {
        appendEscaped(name[index...index])
      }
    }
  }

  /// Everything but unreserved characters (RFC 3986, 2.3) as escapes.
  package mutating func appendEscaped(_ text: ArraySlice<UInt8>) {
    for byte in text {
      if HTTPText.isUnreserved(byte) {
        append(byte)
      } else {
        append(UInt8(ascii: "%"))
        append(HTTPText.upperHex(byte >> 4))
        append(HTTPText.upperHex(byte & 15))
      }
    }
  }

  /// Base64 (RFC 4648) of the lower three bytes of `group`, of which only the first `count` are meant.
  package mutating func appendBase64Group(_ group: UInt32, count: Int = 3) {
    append(HTTPText.base64Digit(group >> 18 & 63))
    append(HTTPText.base64Digit(group >> 12 & 63))
    append(count > 1 ? HTTPText.base64Digit(group >> 6 & 63) : UInt8(ascii: "="))
    append(count > 2 ? HTTPText.base64Digit(group & 63) : UInt8(ascii: "="))
  }
}

extension HTTPText {
  static func lowerHex(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x61 - 10 + value }
  static func upperHex(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x41 - 10 + value }

  static func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: true
    default: false
    }
  }

  static func base64Digit(_ value: UInt32) -> UInt8 {
    switch value {
    case 0..<26: 0x41 + UInt8(value)
    case 26..<52: 0x61 + UInt8(value - 26)
    case 52..<62: 0x30 + UInt8(value - 52)
    case 62: UInt8(ascii: "+")
    default: UInt8(ascii: "/")
    }
  }

  /// What a digit of base64 stands for.
  static func base64Value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x41...0x5A: digit - 0x41
    case 0x61...0x7A: digit - 0x61 + 26
    case 0x30...0x39: digit - 0x30 + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
