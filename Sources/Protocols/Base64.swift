// Base64 (RFC 4648, 4): with padding, without line ends, and read as strictly as it is written.

extension [UInt8] {
  package mutating func appendBase64(_ bytes: ArraySlice<UInt8>) {
    var index = bytes.startIndex
    while index < bytes.endIndex {
      let count = Swift.min(3, bytes.endIndex - index)
      var group: UInt32 = 0
      for place in 0..<3 { group = group << 8 | (place < count ? UInt32(bytes[index + place]) : 0) }
      appendBase64Group(group, count: count)
      index += count
    }
  }

  /// Appends what `source[text]` means. False, and nothing is appended, when it is no base64.
  package mutating func appendDecodedBase64(_ source: [UInt8], _ text: Range<Int>) -> Bool {
    guard text.count % 4 == 0 else { return false }
    let start = count
    reserveCapacity(count + text.count / 4 * 3)
    var index = text.lowerBound
    while index < text.upperBound {
      let isLast = index + 4 == text.upperBound
      let padding =
        !isLast || source[index + 3] != HTTPText.base64Padding ? 0 : source[index + 2] == HTTPText.base64Padding ? 2 : 1
      var group: UInt32 = 0
      for place in 0..<4 {
        guard place < 4 - padding else {
          group <<= 6
          continue
        }
        guard let value = HTTPText.base64Value(source[index + place]) else {
          removeLast(count - start)
          return false
        }
        group = group << 6 | value
      }
      // Bits that mean nothing must be 0, so that every text has one meaning and every meaning one text.
      guard padding == 0 || group & (padding == 1 ? 0xFF : 0xFFFF) == 0 else {
        removeLast(count - start)
        return false
      }
      append(UInt8(truncatingIfNeeded: group >> 16))
      if padding < 2 { append(UInt8(truncatingIfNeeded: group >> 8)) }
      if padding < 1 { append(UInt8(truncatingIfNeeded: group)) }
      index += 4
    }
    return true
  }
}

extension HTTPText {
  fileprivate static let base64Padding = UInt8(ascii: "=")

  fileprivate static func base64Value(_ byte: UInt8) -> UInt32? {
    switch byte {
    case 0x41...0x5A: UInt32(byte) - 0x41
    case 0x61...0x7A: UInt32(byte) - 0x61 + 26
    case 0x30...0x39: UInt32(byte) - 0x30 + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
