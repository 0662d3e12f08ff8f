import Primitives

// Keys for eyes: bytes as text that moves no cursor and can be typed back. What is printable UTF-8 stays as it is, a
// backslash is doubled, every other byte is `\xNN`.

/// `bytes` as one line of text.
package func keyText(_ bytes: [UInt8]) -> String {
  var text = ""
  var offset = 0
  while offset < bytes.count {
    var decoder = UTF8()
    var iterator = bytes[offset...].makeIterator()
    // Of bytes that are no UTF-8 the first is shown as such, and the next may begin something that is.
    var length = 1
    if case .scalarValue(let scalar) = decoder.decode(&iterator) {
      length = UTF8.width(scalar)
      if scalar == "\\" {
        text += "\\\\"
      } else if isPrintable(scalar) {
        text.unicodeScalars.append(scalar)
      } else {
        text += escaped(bytes[offset..<offset + length])
      }
    } else {
      text += escaped(bytes[offset..<offset + 1])
    }
    offset += length
  }
  return text
}

/// The bytes that `text` means, as `keyText` writes them; nil when a backslash is followed by something else.
package func keyBytes(_ text: String) -> [UInt8]? {
  var bytes: [UInt8] = []
  var rest = Array(text.utf8)[...]
  while let byte = rest.popFirst() {
    guard byte == UInt8(ascii: "\\") else {
      bytes.append(byte)
      continue
    }
    switch rest.popFirst() {
    case UInt8(ascii: "\\"): bytes.append(byte)
    case UInt8(ascii: "x"):
      guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else { return nil }
      bytes.append(high << 4 | low)
    default: return nil
    }
  }
  return bytes
}

private func digit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}

/// `type/bucket/key` of a composite key, without the default type; bytes that are no composite key as they are.
package func objectName(_ encoded: [UInt8]) -> String {
  guard let key = ObjectKey(encoded: encoded) else { return "(no object) " + keyText(encoded) }
  let type = key.type == ObjectKey.defaultType ? "" : keyText(key.type) + "/"
  return "\(type)\(keyText(key.bucket))/\(keyText(key.key))"
}

private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
  default: true
  }
}

private func escaped(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef")
  return bytes.map { "\\x\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined()
}
