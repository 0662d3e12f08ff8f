// What a client accepts (RFC 9110, 12.5.1). There is never a choice of forms here: a thing has one media type, and
// either the client allows it or it is told 406. Of a range's parameters only the weight counts, and of that only
// whether it is zero.

enum HTTPAccept {
  static let json: [UInt8] = Array("application/json".utf8)
  static let text: [UInt8] = Array("text/plain".utf8)

  /// Whether the value of an Accept header allows `type`, which may have parameters behind a semicolon: what the most
  /// specific of the ranges that match says. A value without any range allows everything.
  package static func allows(_ accept: [UInt8], _ type: ArraySlice<UInt8>) -> Bool {
    let type = MediaType(type)
    var isEmpty = true
    var closest = Match.none
    var isAllowed = false
    var start = 0
    while start < accept.count {
      let end = HTTPText.first(UInt8(ascii: ","), accept, in: start..<accept.count)
      if let range = MediaRange(accept, start..<end) {
        isEmpty = false
        let match = range.match(type)
        if match > closest {
          closest = match
          isAllowed = !range.isExcluded
        } else if match == closest, match != .none, !range.isExcluded {
          isAllowed = true
        }
      }
      start = end + 1
    }
    return isEmpty || isAllowed
  }
}

/// How closely a range fits a media type.
private enum Match: Int, Comparable {
  case none, all, type, exact
  static func < (a: Match, b: Match) -> Bool { a.rawValue < b.rawValue }
}

private struct MediaType {
  let type: ArraySlice<UInt8>
  let subtype: ArraySlice<UInt8>

  /// What is no `type/subtype`, which another protocol may have stored, fits only the range of everything.
  init(_ text: ArraySlice<UInt8>) {
    let bytes = Array(text)
    let type = HTTPText.token(bytes, 0..<bytes.count)
    guard type.upperBound < bytes.count, bytes[type.upperBound] == UInt8(ascii: "/") else {
      self.type = []
      subtype = []
      return
    }
    self.type = bytes[type]
    subtype = bytes[HTTPText.token(bytes, type.upperBound + 1..<bytes.count)]
  }
}

private struct MediaRange {
  private let type: ArraySlice<UInt8>
  private let subtype: ArraySlice<UInt8>
  let isExcluded: Bool

  private static let any: ArraySlice<UInt8> = [UInt8(ascii: "*")]

  /// Nil for what is no range.
  init?(_ bytes: [UInt8], _ element: Range<Int>) {
    let end = HTTPText.first(UInt8(ascii: ";"), bytes, in: element)
    let name = HTTPText.trimmed(bytes, element.lowerBound..<end)
    let type = HTTPText.token(bytes, name)
    if type == name, bytes[name] == MediaRange.any {
      // An old habit of Java's.
      self.type = MediaRange.any
      subtype = MediaRange.any
    } else {
      guard !type.isEmpty, type.upperBound < name.upperBound, bytes[type.upperBound] == UInt8(ascii: "/") else {
        return nil
      }
      let subtype = HTTPText.token(bytes, type.upperBound + 1..<name.upperBound)
      guard !subtype.isEmpty, subtype.upperBound == name.upperBound else { return nil }
      self.type = bytes[type]
      self.subtype = bytes[subtype]
    }
    isExcluded = MediaRange.hasZeroWeight(bytes, end..<element.upperBound)
  }

  func match(_ media: MediaType) -> Match {
    if type == MediaRange.any { return subtype == MediaRange.any ? .all : .none }
    guard !media.type.isEmpty, HTTPText.equalIgnoringCase(type, media.type) else { return .none }
    if subtype == MediaRange.any { return .type }
    return HTTPText.equalIgnoringCase(subtype, media.subtype) ? .exact : .none
  }

  /// `parameters` with the semicolon before each.
  private static func hasZeroWeight(_ bytes: [UInt8], _ parameters: Range<Int>) -> Bool {
    var start = parameters.lowerBound
    while start < parameters.upperBound {
      let end = HTTPText.first(UInt8(ascii: ";"), bytes, in: start + 1..<parameters.upperBound)
      let parameter = HTTPText.trimmed(bytes, start + 1..<end)
      if parameter.count > 2, HTTPText.hasPrefix(bytes, parameter, "q="),
        bytes[parameter.lowerBound + 2..<parameter.upperBound]
          .allSatisfy({ $0 == UInt8(ascii: "0") || $0 == UInt8(ascii: ".") })
      {
        return true
      }
      start = end
    }
    return false
  }
}
