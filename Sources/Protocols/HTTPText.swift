// Small texts of HTTP: comparing names, numbers, percent escapes, base64, dates. Bytes in, bytes out; no strings on
// the way.

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
  private static func token(_ bytes: [UInt8], _ range: Range<Int>) -> Range<Int> {
    var end = range.lowerBound
    while end < range.upperBound, isToken(bytes[end]) { end += 1 }
    return range.lowerBound..<end
  }

  /// `range` without spaces and tabs at its ends.
  static func trimmed(_ bytes: [UInt8], _ range: Range<Int>) -> Range<Int> {
    var start = range.lowerBound
    var end = range.upperBound
    while start < end, isBlank(bytes[start]) { start += 1 }
    while start < end, isBlank(bytes[end - 1]) { end -= 1 }
    return start..<end
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

  /// Calls `body` with each element of a comma-separated list.
  static func forEachElement(_ bytes: [UInt8], _ range: Range<Int>, _ body: (Range<Int>) -> Void) {
    var start = range.lowerBound
    while start <= range.upperBound {
      let end = bytes[start..<range.upperBound].firstIndex(of: UInt8(ascii: ",")) ?? range.upperBound
      body(trimmed(bytes, start..<end))
      start = end + 1
    }
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

  /// A time in milliseconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`.
  package mutating func appendHTTPDate(milliseconds: UInt64) {
    let seconds = Int(milliseconds / 1000)
    let days = seconds / 86_400
    let date = HTTPText.civilDate(days: days)
    appendName(days + 4, "SunMonTueWedThuFriSat", of: 7)
    appendASCII(", ")
    appendDecimal(date.day, digits: 2)
    append(0x20)
    appendName(date.month - 1, "JanFebMarAprMayJunJulAugSepOctNovDec", of: 12)
    append(0x20)
    appendDecimal(date.year, digits: 4)
    append(0x20)
    appendDecimal(seconds / 3600 % 24, digits: 2)
    append(UInt8(ascii: ":"))
    appendDecimal(seconds / 60 % 60, digits: 2)
    append(UInt8(ascii: ":"))
    appendDecimal(seconds % 60, digits: 2)
    appendASCII(" GMT")
  }

  /// The three letters of the name number `index`, counted round.
  private mutating func appendName(_ index: Int, _ names: StaticString, of count: Int) {
    let start = unsafe names.utf8Start + 3 * (index % count)
    unsafe append(contentsOf: UnsafeBufferPointer(start: start, count: 3))
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

  /// Day, month and year in the Gregorian calendar, `days` after 1970-01-01. Counted in 400-year eras of years that
  /// begin in March, so that the leap day is a year's last.
  package static func civilDate(days: Int) -> (day: Int, month: Int, year: Int) {
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (dayOfYear - (153 * marchMonth + 2) / 5 + 1, month, yearOfEra + era * 400 + (month <= 2 ? 1 : 0))
  }
}
