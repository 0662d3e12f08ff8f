import Messages

// Byte strings as JSON. The names of buckets and keys need not be UTF-8: a byte that is no part of valid UTF-8 is
// written as half a surrogate pair, `\udc80` to `\udcff` (0xDC00 and the byte, "surrogateescape" as Python calls it).
// No valid text holds such a half, so every name can be told from every other and read back. A listing may have
// millions of names: what needs no escape is found eight bytes at a time and copied in one piece.

extension [UInt8] {
  /// `text` in quotes.
  package mutating func appendJSONText(_ text: [UInt8]) {
    unsafe text.withUnsafeBytes { unsafe appendJSONText($0) }
  }

  /// `text` in quotes.
  package mutating func appendJSONText(_ text: ArraySlice<UInt8>) {
    unsafe text.withUnsafeBytes { unsafe appendJSONText($0) }
  }

  /// Each name in quotes, with a comma between two of them.
  mutating func appendJSONTexts(_ names: ListedNames) {
    unsafe names.bytes.withUnsafeBytes { text in
      for index in 0..<names.count {
        if index > 0 { append(UInt8(ascii: ",")) }
        unsafe appendJSONText(UnsafeRawBufferPointer(rebasing: text[names.place(index)]))
      }
    }
  }

  private mutating func appendJSONText(_ text: UnsafeRawBufferPointer) {
    append(UInt8(ascii: "\""))
    var start = 0
    while true {
      let end = unsafe JSONText.plainEnd(text, from: start)
      unsafe append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start..<end]))
      guard end < text.count else { break }
      unsafe appendJSONEscape(text[end])
      start = end + 1
    }
    append(UInt8(ascii: "\""))
  }

  /// A byte that cannot stand in a JSON text as it is.
  private mutating func appendJSONEscape(_ byte: UInt8) {
    append(UInt8(ascii: "\\"))
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): append(byte)
    case 0x0A: append(UInt8(ascii: "n"))
    case 0x0D: append(UInt8(ascii: "r"))
    case 0x09: append(UInt8(ascii: "t"))
    default:
      append(UInt8(ascii: "u"))
      appendHexadecimal(byte < 0x80 ? UInt64(byte) : 0xDC00 + UInt64(byte), digits: 4)
    }
  }
}

private enum JSONText {
  private static let lowBits: UInt64 = 0x0101_0101_0101_0101
  private static let highBits: UInt64 = 0x8080_8080_8080_8080

  /// Index of the first byte that needs an escape, or the end.
  static func plainEnd(_ text: UnsafeRawBufferPointer, from start: Int) -> Int {
    var index = start
    while true {
      while index + 8 <= text.count {
        let hit = unsafe special(
          UInt64(littleEndian: text.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
        if hit != 0 {
          index += hit.trailingZeroBitCount >> 3
          break
        }
        index += 8
      }
      // The last bytes, or what the word before has found.
      while index < text.count, unsafe isPlain(text[index]) { index += 1 }
      guard index < text.count, unsafe text[index] >= 0x80 else { return index }
      let count = unsafe sequenceCount(text, at: index)
      if count == 0 { return index }
      index += count
    }
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
  }

  /// Not zero when one of eight bytes is not plain; its lowest bit is in the first such byte (borrows can only blur the
  /// bytes above that).
  @inline(__always)
  private static func special(_ word: UInt64) -> UInt64 {
    func zeros(_ word: UInt64) -> UInt64 { (word &- lowBits) & ~word }
    let control = (word &- lowBits * 0x20) & ~word
    let quote = zeros(word ^ lowBits * 0x22)
    let backslash = zeros(word ^ lowBits * 0x5C)
    let delete = zeros(word ^ lowBits * 0x7F)
    return (word | control | quote | backslash | delete) & highBits
  }

  /// How many bytes the UTF-8 sequence has whose first byte, not an ASCII one, stands at `index`; 0 when it is none.
  private static func sequenceCount(_ text: UnsafeRawBufferPointer, at index: Int) -> Int {
    func follows(_ offset: Int, _ allowed: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
      unsafe index + offset < text.count && allowed.contains(text[index + offset])
    }
    // The shortest form only, no surrogates, nothing above U+10FFFF.
    switch unsafe text[index] {
    case 0xC2...0xDF: return follows(1) ? 2 : 0
    case 0xE0: return follows(1, 0xA0...0xBF) && follows(2) ? 3 : 0
    case 0xED: return follows(1, 0x80...0x9F) && follows(2) ? 3 : 0
    case 0xE1...0xEF: return follows(1) && follows(2) ? 3 : 0
    case 0xF0: return follows(1, 0x90...0xBF) && follows(2) && follows(3) ? 4 : 0
    case 0xF1...0xF3: return follows(1) && follows(2) && follows(3) ? 4 : 0
    case 0xF4: return follows(1, 0x80...0x8F) && follows(2) && follows(3) ? 4 : 0
    default: return 0
    }
  }
}
