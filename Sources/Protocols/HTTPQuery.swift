import Messages

// What the query behind a path asks for. Riak's names, texts and defaults; a parameter that nobody knows is refused,
// because what it should have done would not be done.

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
    try forEachParameter(bytes, query) { (name, value) throws(HTTPProblem) in try set(name, value) }
  }

  private mutating func set(_ name: String, _ value: String) throws(HTTPProblem) {
    switch name {
    case "r": r = try ObjectOptions.quorum(name, value)
    case "pr": pr = try ObjectOptions.quorum(name, value)
    case "w": write.w = try ObjectOptions.quorum(name, value)
    case "dw": write.dw = try ObjectOptions.quorum(name, value)
    case "pw": write.pw = try ObjectOptions.quorum(name, value)
    case "timeout": timeoutMilliseconds = try timeout(of: value)
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
    default: throw .unknownParameter(name)
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

  private static func checkBoolean(_ name: String, _ value: String) throws(HTTPProblem) {
    guard ["true", "false", "default"].contains(value) else {
      throw HTTPProblem(status: 400, text: "`\(name)` query parameter must be true or false")
    }
  }
}

/// What a query asks of a listing or of properties.
struct ListOptions: Equatable {
  enum Mode { case whole, stream }

  /// Nil when nothing is to be listed.
  var mode: Mode?
  /// In the old style: properties too.
  var withProperties = true
  var timeoutMilliseconds: UInt32?

  init() {}

  /// `query` as it stands behind the question mark of `route`, which names keys, buckets or properties.
  init(query bytes: [UInt8], _ query: Range<Int>, of route: HTTPRoute) throws(HTTPProblem) {
    try forEachParameter(bytes, query) { (name, value) throws(HTTPProblem) in
      switch (name, route) {
      case ("keys", .keys), ("buckets", .buckets): try setMode(name, value)
      // Clients ask for properties with it.
      case ("keys", .properties) where value == "false": break
      case ("props", _): try setProperties(value)
      case ("timeout", _): timeoutMilliseconds = try timeout(of: value)
      default: throw .unknownParameter(name)
      }
    }
  }

  private mutating func setMode(_ name: String, _ value: String) throws(HTTPProblem) {
    switch value {
    case "true": mode = .whole
    case "stream": mode = .stream
    case "false": mode = nil
    default: throw HTTPProblem(status: 400, text: "`\(name)` query parameter must be true, stream or false")
    }
  }

  private mutating func setProperties(_ value: String) throws(HTTPProblem) {
    guard value == "true" || value == "false" else {
      throw HTTPProblem(status: 400, text: "`props` query parameter must be true or false")
    }
    withProperties = value == "true"
  }
}

/// Calls `body` with the name and the value of each parameter of a query.
func forEachParameter(
  _ bytes: [UInt8], _ query: Range<Int>, _ body: (String, String) throws(HTTPProblem) -> Void
) throws(HTTPProblem) {
  for pair in bytes[query].split(separator: UInt8(ascii: "&")) {
    let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
    var name: [UInt8] = []
    var value: [UInt8] = []
    guard HTTPText.unescape(bytes, pair.startIndex..<equals, into: &name),
      HTTPText.unescape(bytes, min(equals + 1, pair.endIndex)..<pair.endIndex, into: &value)
    else { throw .malformed("escape in query") }
    try body(String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self))
  }
}

/// Milliseconds.
private func timeout(of value: String) throws(HTTPProblem) -> UInt32 {
  guard value.utf8.first != UInt8(ascii: "+"), let milliseconds = UInt32(value), milliseconds > 0 else {
    throw HTTPProblem(status: 400, text: "Bad timeout value")
  }
  return milliseconds
}

extension HTTPProblem {
  static func unknownParameter(_ name: String) -> HTTPProblem {
    HTTPProblem(status: 400, text: "Unknown query parameter: \(name)")
  }
}
