import Causality

// What a read asks of the version and the form of the object that it finds: the conditions of RFC 9110, 13, and Accept.
// Kept with the request until the node has answered, and looked at only when there is an object: a 404 or a failure is
// told as it is. Writes have no conditions, because a check that is not one step with its write would be a lie.

package struct ReadTerms: Sendable {
  enum Verdict {
    case satisfied
    case notAcceptable
    /// 304
    case notModified
    /// 412; says which condition.
    case failed(StaticString)
  }

  enum Condition { case match, noneMatch, modifiedSince, unmodifiedSince }

  /// The ranges of all Accept headers; empty when there were none.
  var accept: [UInt8] = []
  private var ifMatch: EntityTags?
  private var ifNoneMatch: EntityTags?
  /// Seconds since 1970; nil for a date that cannot be read, too.
  private var ifModifiedSince: Int?
  private var ifUnmodifiedSince: Int?

  /// Takes one header. Several with tags are one list; of several with dates the last one counts.
  mutating func add(_ condition: Condition, _ bytes: [UInt8], _ value: Range<Int>) {
    switch condition {
    case .match:
      var tags = ifMatch ?? EntityTags()
      tags.add(bytes, value, weakToo: false)
      ifMatch = tags
    case .noneMatch:
      var tags = ifNoneMatch ?? EntityTags()
      tags.add(bytes, value, weakToo: true)
      ifNoneMatch = tags
    case .modifiedSince: ifModifiedSince = HTTPText.date(bytes, value)
    case .unmodifiedSince: ifUnmodifiedSince = HTTPText.date(bytes, value)
    }
  }

  /// In the order of RFC 9110, 13.2.2: where there are tags, dates do not count.
  func verdict(on stamp: Stamp, _ contentType: ArraySlice<UInt8>) -> Verdict {
    let modified = Int(stamp.time.milliseconds / 1000)
    if !accept.isEmpty, !HTTPAccept.allows(accept, contentType) { return .notAcceptable }
    if let ifMatch {
      if !ifMatch.contain(stamp) { return .failed("If-Match does not name this version") }
    } else if let ifUnmodifiedSince, modified > ifUnmodifiedSince {
      return .failed("modified after If-Unmodified-Since")
    }
    if let ifNoneMatch {
      if ifNoneMatch.contain(stamp) { return .notModified }
    } else if let ifModifiedSince, modified <= ifModifiedSince {
      return .notModified
    }
    return .satisfied
  }
}

extension ReadTerms.Condition {
  /// Nil for a header that is no condition of reads.
  init?(_ bytes: [UInt8], _ name: Range<Int>) {
    switch name.count {
    case 8 where HTTPText.matches(bytes, name, "if-match"): self = .match
    case 13 where HTTPText.matches(bytes, name, "if-none-match"): self = .noneMatch
    case 17 where HTTPText.matches(bytes, name, "if-modified-since"): self = .modifiedSince
    case 19 where HTTPText.matches(bytes, name, "if-unmodified-since"): self = .unmodifiedSince
    default: return nil
    }
  }
}

/// A condition's list of entity tags, as the versions that they name. Tags that name none here can match nothing.
package struct EntityTags: Sendable {
  /// An asterisk: whatever version there is.
  private var isAny = false
  private var stamps: [Stamp] = []

  func contain(_ stamp: Stamp) -> Bool { isAny || stamps.contains(stamp) }

  /// Adds the tags of a header's value. Quotes may be missing; `weakToo` says whether tags marked as weak count.
  mutating func add(_ bytes: [UInt8], _ value: Range<Int>, weakToo: Bool) {
    var start = value.lowerBound
    while start < value.upperBound {
      let end = HTTPText.first(UInt8(ascii: ","), bytes, in: start..<value.upperBound, escapes: false)
      add(element: bytes, HTTPText.trimmed(bytes, start..<end), weakToo: weakToo)
      start = end + 1
    }
  }

  private mutating func add(element bytes: [UInt8], _ element: Range<Int>, weakToo: Bool) {
    if HTTPText.equals(bytes, element, "*") {
      isAny = true
      return
    }
    var tag = element
    if tag.count > 2, HTTPText.equals(bytes, tag.lowerBound..<tag.lowerBound + 2, "W/") {
      guard weakToo else { return }
      tag = tag.lowerBound + 2..<tag.upperBound
    }
    let quote = UInt8(ascii: "\"")
    if tag.count > 2, bytes[tag.lowerBound] == quote, bytes[tag.upperBound - 1] == quote {
      tag = tag.lowerBound + 1..<tag.upperBound - 1
    }
    if let stamp = HTTPText.stamp(tag: bytes, tag) { stamps.append(stamp) }
  }
}

/// A value that many copies share; for what few requests have, so that all the others carry one word of it.
package final class Shared<Value: Sendable>: Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}
