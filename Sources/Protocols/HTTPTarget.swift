import Messages
import Primitives

// A request's target: which resource a path names, and what the query asks for. Riak's names, texts and defaults.

/// What operators ask over HTTP; the server answers from the node's status.
package enum AdminRoute: Sendable, Equatable, CaseIterable {
  case ping, ready, stats, metrics, status, ring, members, config
}

/// What a path names.
enum HTTPRoute: Equatable {
  case object(ObjectKey)
  case admin(AdminRoute)
  case root
  case problem(HTTPProblem)

  /// `target` as it stands in the request line, without its query.
  init(path bytes: [UInt8], _ target: Range<Int>) {
    guard let path = HTTPRoute.originForm(bytes, target) else {
      self = .problem(.malformed("target"))
      return
    }
    guard !path.isEmpty else {
      self = .root
      return
    }
    var segments = PathSegments(bytes, path)
    let first = segments.next() ?? path
    if HTTPText.equals(bytes, first, "buckets") {
      self = HTTPRoute.object(bytes, &segments)
    } else if HTTPText.equals(bytes, first, "types") {
      self = HTTPRoute.typedObject(bytes, &segments)
    } else {
      self = HTTPRoute.adminRoute(bytes, path).map { .admin($0) } ?? .problem(.notFound)
    }
  }

  /// The path without its first slash and without one last slash; nil where there is no path.
  private static func originForm(_ bytes: [UInt8], _ target: Range<Int>) -> Range<Int>? {
    var start = target.lowerBound
    if HTTPText.hasPrefix(bytes, target, "http://") || HTTPText.hasPrefix(bytes, target, "https://") {
      start += bytes[start + 4] == UInt8(ascii: ":") ? 7 : 8
      start = bytes[start..<target.upperBound].firstIndex(of: slash) ?? target.upperBound
      if start == target.upperBound { return start..<start }
    }
    guard start < target.upperBound, bytes[start] == slash else { return nil }
    start += 1
    let end = target.upperBound > start && bytes[target.upperBound - 1] == slash ? target.upperBound - 1 : nil
    return start..<(end ?? target.upperBound)
  }

  private static let slash = UInt8(ascii: "/")

  /// `B/keys/K`.
  private static func object(_ bytes: [UInt8], _ segments: inout PathSegments) -> HTTPRoute {
    guard let bucket = segments.next(), let keys = segments.next(), HTTPText.equals(bytes, keys, "keys"),
      let key = segments.next(), segments.next() == nil
    else { return .problem(.notFound) }
    guard !bucket.isEmpty else { return .problem(.malformed("empty bucket")) }
    guard !key.isEmpty else { return .problem(.malformed("empty key")) }
    // Straight into the encoded form of a key of the default type.
    var encoded: [UInt8] = []
    encoded.reserveCapacity(4 + bucket.count + key.count)
    encoded.appendLittleEndian(UInt32(0))
    guard HTTPText.unescape(bytes, bucket, into: &encoded) else { return .problem(.malformed("escape in bucket")) }
    let bucketCount = encoded.count - 4
    guard HTTPText.unescape(bytes, key, into: &encoded) else { return .problem(.malformed("escape in key")) }
    guard encoded.count - 4 <= ObjectKey.byteCountMax else {
      return .problem(.malformed("bucket and key are longer than \(ObjectKey.byteCountMax) bytes"))
    }
    encoded.setLittleEndian(UInt16(bucketCount), at: 2)
    return ObjectKey(encoded: encoded).map { .object($0) } ?? .problem(.malformed("key"))
  }

  /// `T/buckets/B/keys/K`.
  private static func typedObject(_ bytes: [UInt8], _ segments: inout PathSegments) -> HTTPRoute {
    guard let type = segments.next(), let buckets = segments.next(), HTTPText.equals(bytes, buckets, "buckets") else {
      return .problem(.notFound)
    }
    var name: [UInt8] = []
    guard HTTPText.unescape(bytes, type, into: &name) else { return .problem(.malformed("escape in bucket type")) }
    guard name == ObjectKey.defaultType else {
      let text = String(decoding: name, as: UTF8.self)
      return .problem(HTTPProblem(status: 404, text: "Unknown bucket type: \(text)"))
    }
    return object(bytes, &segments)
  }

  private static func adminRoute(_ bytes: [UInt8], _ path: Range<Int>) -> AdminRoute? {
    switch path {
    case _ where HTTPText.equals(bytes, path, "ping"): .ping
    case _ where HTTPText.equals(bytes, path, "ready"): .ready
    case _ where HTTPText.equals(bytes, path, "stats"): .stats
    case _ where HTTPText.equals(bytes, path, "metrics"): .metrics
    case _ where HTTPText.equals(bytes, path, "admin/status"): .status
    case _ where HTTPText.equals(bytes, path, "admin/ring"): .ring
    case _ where HTTPText.equals(bytes, path, "admin/members"): .members
    case _ where HTTPText.equals(bytes, path, "admin/config"): .config
    default: nil
    }
  }
}

/// The parts of a path between its slashes, still escaped.
private struct PathSegments {
  private let bytes: [UInt8]
  private var rest: Range<Int>?

  init(_ bytes: [UInt8], _ path: Range<Int>) {
    self.bytes = bytes
    rest = path
  }

  mutating func next() -> Range<Int>? {
    guard let path = rest else { return nil }
    var end = path.lowerBound
    while end < path.upperBound, bytes[end] != UInt8(ascii: "/") { end += 1 }
    rest = end < path.upperBound ? end + 1..<path.upperBound : nil
    return path.lowerBound..<end
  }
}

/// What a query asks of an object's request.
struct ObjectOptions: Equatable {
  var r = QuorumSize.default
  var pr = QuorumSize.default
  var write = WriteQuorum()
  var timeoutMilliseconds: UInt32?
  var returnsBody = false

  init() {}

  /// `query` as it stands behind the question mark. Of a repeated name the last one counts.
  init(query bytes: [UInt8], _ query: Range<Int>) throws(HTTPProblem) {
    for pair in bytes[query].split(separator: UInt8(ascii: "&")) {
      let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
      var name: [UInt8] = []
      var value: [UInt8] = []
      guard HTTPText.unescape(bytes, pair.startIndex..<equals, into: &name),
        HTTPText.unescape(bytes, min(equals + 1, pair.endIndex)..<pair.endIndex, into: &value)
      else { throw .malformed("escape in query") }
      try set(String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self))
    }
  }

  private mutating func set(_ name: String, _ value: String) throws(HTTPProblem) {
    switch name {
    case "r": r = try ObjectOptions.quorum(name, value)
    case "pr": pr = try ObjectOptions.quorum(name, value)
    case "w": write.w = try ObjectOptions.quorum(name, value)
    case "dw": write.dw = try ObjectOptions.quorum(name, value)
    case "pw": write.pw = try ObjectOptions.quorum(name, value)
    case "timeout": timeoutMilliseconds = try ObjectOptions.timeout(value)
    case "returnbody": returnsBody = value == "true"
    // Riak's options that change nothing here: quorums count distinct nodes, dw of which have synced, and absence is an
    // answer, always.
    case "rw", "node_confirms": _ = try ObjectOptions.quorum(name, value)
    case "basic_quorum", "notfound_ok", "sloppy_quorum", "asis": try ObjectOptions.checkBoolean(name, value)
    case "sync_on_write":
      guard ["default", "backend", "one", "all"].contains(value) else {
        throw HTTPProblem(
          status: 400,
          text: "`sync_on_write` query parameter must be one of the following words: "
            + "'default', 'backend', 'one' or 'all'")
      }
    case "n_val":
      guard ObjectOptions.count(value) != nil else {
        throw HTTPProblem(status: 400, text: "`n_val` query parameter must be an integer from 1 to 255")
      }
    default: throw HTTPProblem(status: 400, text: "Unknown query parameter: \(name)")
    }
  }

  private static func quorum(_ name: String, _ value: String) throws(HTTPProblem) -> QuorumSize {
    switch value {
    case "default", "backend": return .default
    case "one": return .one
    case "quorum": return .quorum
    case "all": return .all
    default:
      guard let count = count(value) else {
        // Riak's words for what is no number; clients match them.
        let isNumber = !value.isEmpty && value.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
        throw HTTPProblem(
          status: 400,
          text: isNumber
            ? "`\(name)` query parameter must be from 1 to 255"
            : "`\(name)` query parameter must be an integer or one of the following words: 'one', 'quorum' or 'all'")
      }
      return .count(count)
    }
  }

  private static func count(_ value: String) -> Int? {
    guard value.utf8.first != UInt8(ascii: "+"), let count = UInt8(value), count > 0 else { return nil }
    return Int(count)
  }

  private static func timeout(_ value: String) throws(HTTPProblem) -> UInt32 {
    guard value.utf8.first != UInt8(ascii: "+"), let milliseconds = UInt32(value), milliseconds > 0 else {
      throw HTTPProblem(status: 400, text: "Bad timeout value")
    }
    return milliseconds
  }

  private static func checkBoolean(_ name: String, _ value: String) throws(HTTPProblem) {
    guard ["true", "false", "default"].contains(value) else {
      throw HTTPProblem(status: 400, text: "`\(name)` query parameter must be true or false")
    }
  }
}
