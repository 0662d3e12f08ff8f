// Links from one object to others (RFC 8288 as Riak uses it): `</buckets/B/keys/K>; riaktag="T"`. They are stored with
// the object, each as one metadata entry in one form whatever the form it came in, and come back in one header.

/// The links of a write.
struct ObjectLinks: Sendable {
  /// The name of a link's metadata entry.
  static let name: [UInt8] = Array("Link".utf8)

  /// Each as it is stored, every part of it escaped.
  private(set) var values: [[UInt8]] = []
  private var byteCount = 0

  fileprivate static let malformed = HTTPProblem(
    status: 400, text: "Invalid Link header. Links must be of the form </buckets/BUCKET/keys/KEY>; riaktag=\"TAG\"")
  private static let tooLong = HTTPProblem(
    status: 431, text: "Links are longer than \(HTTPLimits.linkBytesMax) bytes")

  /// Adds the links of one header; the one `up` to the bucket, which every answer has, is left out.
  mutating func add(_ bytes: [UInt8], _ value: Range<Int>) throws(HTTPProblem) {
    var rest = value
    while !rest.isEmpty {
      let first = bytes[rest.lowerBound]
      if first == UInt8(ascii: ",") || HTTPText.isBlank(first) {
        rest = rest.lowerBound + 1..<rest.upperBound
        continue
      }
      guard first == UInt8(ascii: "<"), let close = bytes[rest].firstIndex(of: UInt8(ascii: ">")) else {
        throw ObjectLinks.malformed
      }
      let end = HTTPText.first(UInt8(ascii: ","), bytes, in: close + 1..<rest.upperBound)
      let parameters = try LinkParameters(bytes, HTTPText.trimmed(bytes, close + 1..<end))
      // A link may have an empty tag, but not none: that is a link of somebody else's, which would come back as another.
      if let tag = parameters.tag, !tag.isEmpty || !parameters.isUp {
        try add(target: bytes, rest.lowerBound + 1..<close, tag: tag)
      } else if !parameters.isUp {
        throw ObjectLinks.malformed
      }
      rest = end..<rest.upperBound
    }
  }

  private mutating func add(target bytes: [UInt8], _ target: Range<Int>, tag: [UInt8]) throws(HTTPProblem) {
    guard let (bucket, key) = ObjectLinks.object(bytes, target) else { throw ObjectLinks.malformed }
    try add(bucket: bucket, key: key, tag: tag)
  }

  /// Adds one link.
  mutating func add(bucket: [UInt8], key: [UInt8], tag: [UInt8]) throws(HTTPProblem) {
    guard !bucket.isEmpty, !key.isEmpty else { throw ObjectLinks.malformed }
    var value = Array("</buckets/".utf8)
    value.appendEscaped(bucket[...])
    value.appendASCII("/keys/")
    value.appendEscaped(key[...])
    value.appendASCII(">; riaktag=\"")
    value.appendEscaped(tag[...])
    value.append(UInt8(ascii: "\""))
    byteCount += value.count
    guard byteCount <= HTTPLimits.linkBytesMax else { throw ObjectLinks.tooLong }
    values.append(value)
  }

  /// Bucket and key that a link's target names, in the new form of paths or the old one.
  private static func object(_ bytes: [UInt8], _ target: Range<Int>) -> (bucket: [UInt8], key: [UInt8])? {
    guard !target.isEmpty, bytes[target.lowerBound] == UInt8(ascii: "/") else { return nil }
    var segments = PathSegments(target.lowerBound + 1..<target.upperBound)
    guard let prefix = segments.next(in: bytes), let bucket = segments.next(in: bytes) else { return nil }
    if HTTPText.equals(bytes, prefix, "buckets") {
      guard let keys = segments.next(in: bytes), HTTPText.equals(bytes, keys, "keys") else { return nil }
    } else if !HTTPText.equals(bytes, prefix, "riak") {
      return nil
    }
    var names: (bucket: [UInt8], key: [UInt8]) = ([], [])
    guard let key = segments.next(in: bytes), segments.next(in: bytes) == nil, !bucket.isEmpty, !key.isEmpty,
      HTTPText.unescape(bytes, bucket, into: &names.bucket), HTTPText.unescape(bytes, key, into: &names.key)
    else { return nil }
    return names
  }

  /// The parts of a stored link; nil when it was not stored by `add`.
  static func parts(_ value: ArraySlice<UInt8>) -> (bucket: [UInt8], key: [UInt8], tag: [UInt8])? {
    let bytes = Array(value)
    guard bytes.first == UInt8(ascii: "<"), let close = bytes.firstIndex(of: UInt8(ascii: ">")),
      let (bucket, key) = object(bytes, 1..<close),
      let parameters = try? LinkParameters(bytes, close + 1..<bytes.count)
    else { return nil }
    return (bucket, key, parameters.tag ?? [])
  }

  /// A stored link as `</riak/B/K>; riaktag="T"`, for those who use the old form of paths; nil when it was not stored
  /// by `add`.
  static func inOldForm(_ value: ArraySlice<UInt8>) -> [UInt8]? {
    let bytes = Array(value)
    guard bytes.starts(with: "</buckets/".utf8) else { return nil }
    let bucketStart = 10
    guard let bucketEnd = bytes[bucketStart...].firstIndex(of: UInt8(ascii: "/")),
      bytes[bucketEnd...].starts(with: "/keys/".utf8)
    else { return nil }
    return Array("</riak/".utf8) + bytes[bucketStart...bucketEnd] + bytes[(bucketEnd + 6)...]
  }
}

/// What stands behind a link's target.
private struct LinkParameters {
  /// Without quotes and escapes; nil when there is none.
  private(set) var tag: [UInt8]?
  private(set) var isUp = false

  init(_ bytes: [UInt8], _ parameters: Range<Int>) throws(HTTPProblem) {
    var start = parameters.lowerBound
    while start < parameters.upperBound {
      guard bytes[start] == UInt8(ascii: ";") else { throw ObjectLinks.malformed }
      let end = HTTPText.first(UInt8(ascii: ";"), bytes, in: start + 1..<parameters.upperBound)
      set(bytes, HTTPText.trimmed(bytes, start + 1..<end))
      start = end
    }
  }

  private mutating func set(_ bytes: [UInt8], _ parameter: Range<Int>) {
    let name = HTTPText.token(bytes, parameter)
    guard name.upperBound < parameter.upperBound, bytes[name.upperBound] == UInt8(ascii: "=") else { return }
    let value = LinkParameters.unquoted(bytes[name.upperBound + 1..<parameter.upperBound])
    if HTTPText.matches(bytes, name, "riaktag") {
      var plain: [UInt8] = []
      // Clients do not all escape their tags: one that holds no escapes is taken as it is.
      tag = HTTPText.unescape(value, 0..<value.count, into: &plain) ? plain : value
    } else if HTTPText.matches(bytes, name, "rel") {
      isUp = HTTPText.equalIgnoringCase(value[...], Array("up".utf8)[...])
    }
  }

  private static func unquoted(_ value: ArraySlice<UInt8>) -> [UInt8] {
    let quote = UInt8(ascii: "\"")
    guard value.count >= 2, value.first == quote, value.last == quote else { return Array(value) }
    var text: [UInt8] = []
    var isEscaped = false
    for byte in value.dropFirst().dropLast() {
      if byte == UInt8(ascii: "\\"), !isEscaped {
        isEscaped = true
      } else {
        text.append(byte)
        isEscaped = false
      }
    }
    return text
  }
}
