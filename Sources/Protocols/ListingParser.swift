// The client's end of a listing: names out of a stream of JSON objects, `{"keys":["a","b"]}{"keys":["c"]}{"keys":[]}`,
// however the stream is cut. An empty list says that all names have been told, unless more follow; `{"error":"…"}` says
// that they never will be. Holds one name at a time.
//
// A name may be any bytes. Those that are no UTF-8 come as lone low surrogates, one for each byte: `\udcff` is FF.

/// Why a stream is no whole listing.
package enum ListingError: Error, Equatable, Sendable {
  /// Not the JSON of a listing; says where, in bytes from the start, and what is wrong.
  case malformed(offset: Int, String)
  /// The node says why there will be no more.
  case failed(String)
  /// The stream ended before the listing did.
  case incomplete
}

package struct ListingParser: Sendable {
  /// The longest name of a node, and so of its listings.
  package static let nameBytesMax = 65_535
  /// Of an error's text no more is kept.
  private static let errorBytesMax = 4096

  package enum Subject: String, Sendable {
    case keys, buckets
  }

  private enum Expected {
    case object, memberName, colon, listBegin, nameOrEnd, name, commaOrEnd, errorText, objectEnd
  }

  private enum Inside {
    case text, escape
    case hexadecimal(digits: Int, value: UInt32)
  }

  private let subject: Subject
  private var expected = Expected.object
  /// Inside of a string; nil between tokens.
  private var inside: Inside?
  private var text: [UInt8] = []
  /// The first half of a surrogate pair.
  private var highSurrogate: UInt32?
  private var isError = false
  private var namesInList = 0
  private var isComplete = false
  /// Bytes before those being parsed.
  private var offset = 0

  package init(_ subject: Subject) { self.subject = subject }

  /// Takes what has come and calls `body` with each name that it completes, in order.
  /// - Throws: what is wrong; nothing can be parsed after that.
  package mutating func receive(
    _ bytes: [UInt8], _ body: (ArraySlice<UInt8>) -> Void
  ) throws(ListingError) {
    var index = 0
    while index < bytes.count {
      if inside == nil {
        try take(bytes[index], at: index)
        index += 1
      } else {
        index = try takeString(bytes, from: index, body)
      }
    }
    offset += bytes.count
  }

  /// To be called when the stream has ended as it should. - Throws: `incomplete` when the listing has not.
  package func end() throws(ListingError) {
    guard expected == .object, isComplete else { throw .incomplete }
  }

  private func malformed(_ what: String, at index: Int) -> ListingError { .malformed(offset: offset + index, what) }

  // MARK: Between strings

  private mutating func take(_ byte: UInt8, at index: Int) throws(ListingError) {
    if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { return }
    switch (expected, byte) {
    case (.object, UInt8(ascii: "{")):
      isComplete = false
      expected = .memberName
    case (.colon, UInt8(ascii: ":")): expected = isError ? .errorText : .listBegin
    case (.listBegin, UInt8(ascii: "[")):
      namesInList = 0
      expected = .nameOrEnd
    case (.nameOrEnd, UInt8(ascii: "]")), (.commaOrEnd, UInt8(ascii: "]")): expected = .objectEnd
    case (.commaOrEnd, UInt8(ascii: ",")): expected = .name
    case (.objectEnd, UInt8(ascii: "}")):
      isComplete = namesInList == 0
      expected = .object
    case (.memberName, UInt8(ascii: "\"")), (.nameOrEnd, UInt8(ascii: "\"")), (.name, UInt8(ascii: "\"")),
      (.errorText, UInt8(ascii: "\"")):
      inside = .text
      text.removeAll(keepingCapacity: true)
    default: throw malformed("not what a listing has here", at: index)
    }
  }

  // MARK: Strings

  /// Takes what belongs to the string from `start` on. - Returns: The place behind it.
  private mutating func takeString(
    _ bytes: [UInt8], from start: Int, _ body: (ArraySlice<UInt8>) -> Void
  ) throws(ListingError) -> Int {
    var index = start
    while index < bytes.count, let state = inside {
      let byte = bytes[index]
      switch state {
      case .text:
        var end = index
        while end < bytes.count, bytes[end] != UInt8(ascii: "\""), bytes[end] != UInt8(ascii: "\\"),
          bytes[end] >= 0x20
        { end += 1 }
        if end > index {
          try refuseHalfPair(at: index)
          // What the last piece brought the begin of has been copied; a whole name is given out from where it stands.
          if text.isEmpty, expected == .name || expected == .nameOrEnd, end < bytes.count,
            bytes[end] == UInt8(ascii: "\""), end - index <= ListingParser.nameBytesMax
          {
            body(bytes[index..<end])
            finishName()
            return end + 1
          }
          try append(bytes[index..<end], at: index)
          index = end
          continue
        }
        if byte == UInt8(ascii: "\"") {
          try refuseHalfPair(at: index)
          try finishString(at: index, body)
        } else if byte == UInt8(ascii: "\\") {
          inside = .escape
        } else {
          throw malformed("a control character in a string", at: index)
        }
      case .escape:
        if byte == UInt8(ascii: "u") {
          inside = .hexadecimal(digits: 0, value: 0)
        } else {
          try refuseHalfPair(at: index)
          guard let meant = JSONText.escaped(byte) else { throw malformed("an unknown escape", at: index) }
          try append([meant], at: index)
          inside = .text
        }
      case .hexadecimal(let digits, let value):
        guard let digit = HTTPText.hexDigit(byte) else { throw malformed("no hexadecimal digit", at: index) }
        let value = value << 4 | UInt32(digit)
        if digits < 3 {
          inside = .hexadecimal(digits: digits + 1, value: value)
        } else {
          try takeUnit(value, at: index)
          inside = .text
        }
      }
      index += 1
    }
    return index
  }

  /// A UTF-16 unit: a scalar, a half of one, or a byte.
  private mutating func takeUnit(_ unit: UInt32, at index: Int) throws(ListingError) {
    if let high = highSurrogate {
      guard (0xDC00...0xDFFF).contains(unit) else { throw malformed("half a surrogate pair", at: index) }
      highSurrogate = nil
      try append(JSONText.utf8(0x10000 + (high - 0xD800) << 10 + (unit - 0xDC00)), at: index)
    } else if (0xD800...0xDBFF).contains(unit) {
      highSurrogate = unit
    } else if (0xDC80...0xDCFF).contains(unit) {
      try append([UInt8(unit - 0xDC00)], at: index)
    } else if (0xDC00...0xDFFF).contains(unit) {
      throw malformed("half a surrogate pair", at: index)
    } else {
      try append(JSONText.utf8(unit), at: index)
    }
  }

  private func refuseHalfPair(at index: Int) throws(ListingError) {
    if highSurrogate != nil { throw malformed("half a surrogate pair", at: index) }
  }

  private mutating func append(_ bytes: some Collection<UInt8>, at index: Int) throws(ListingError) {
    if isError && expected == .errorText {
      text.append(contentsOf: bytes.prefix(ListingParser.errorBytesMax - text.count))
      return
    }
    guard text.count + bytes.count <= ListingParser.nameBytesMax else {
      throw malformed("a name of more than \(ListingParser.nameBytesMax) bytes", at: index)
    }
    text.append(contentsOf: bytes)
  }

  private mutating func finishName() {
    namesInList += 1
    expected = .commaOrEnd
    inside = nil
  }

  private mutating func finishString(at index: Int, _ body: (ArraySlice<UInt8>) -> Void) throws(ListingError) {
    inside = nil
    switch expected {
    case .memberName:
      isError = text == Array("error".utf8)
      guard isError || text == Array(subject.rawValue.utf8) else {
        throw malformed("neither \"\(subject.rawValue)\" nor \"error\"", at: index)
      }
      expected = .colon
    case .errorText: throw .failed(String(decoding: text, as: UTF8.self))
    case .name, .nameOrEnd, .object, .colon, .listBegin, .commaOrEnd, .objectEnd:
      body(text[...])
      finishName()
    }
  }
}
