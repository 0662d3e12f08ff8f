import Messages

// Request line and headers of one request, line by line. What this server has no use for is checked for form and
// forgotten. An error of the request's framing ends the connection (thrown); an error of its meaning waits in
// `problem` until the body has been skipped, so that the connection can go on.

struct HTTPRequestHead: Sendable {
  enum Method: Sendable { case get, head, put, post, delete, other }

  private(set) var method = Method.get
  private(set) var isHTTP10 = false
  private(set) var keepAlive = true
  private(set) var route = HTTPRoute.root
  private(set) var options = ObjectOptions()
  /// Why the request is not carried out although it can be read.
  private(set) var problem: HTTPProblem?
  private(set) var contentLength: Int?
  private(set) var isChunked = false
  private(set) var expectsContinue = false
  /// The client brought a version it has read.
  private(set) var carriesVersion = false
  /// Relative to the head's start, as are the entries of `metadata`.
  private(set) var contentType: Range<Int>?
  private(set) var metadata: [(name: Range<Int>, value: Range<Int>)] = []
  /// A Connection header said close: no other one takes that back.
  private var saidClose = false
  private var hosts = 0
  private var headers = 0
  private var headerBytes = 0

  /// How long the next header line may be.
  var lineBytesLeft: Int { HTTPLimits.headerBytesMax - headerBytes - 2 }

  var isWrite: Bool { method == .put || method == .post }

  // MARK: Request line

  /// Takes the request line; `self` is new.
  mutating func setRequestLine(_ bytes: [UInt8], _ line: Range<Int>) throws(HTTPProblem) {
    var firstSpace = line.lowerBound
    while firstSpace < line.upperBound, HTTPText.isToken(bytes[firstSpace]) { firstSpace += 1 }
    var query: Int?
    var secondSpace = firstSpace + 1
    while secondSpace < line.upperBound, bytes[secondSpace] != 0x20 {
      if query == nil, bytes[secondSpace] == UInt8(ascii: "?") { query = secondSpace }
      secondSpace += 1
    }
    guard firstSpace > line.lowerBound, firstSpace < line.upperBound, bytes[firstSpace] == 0x20,
      secondSpace > firstSpace + 1, secondSpace < line.upperBound
    else { throw .malformed("request line") }
    try setVersion(bytes, secondSpace + 1..<line.upperBound)
    let known = setMethod(bytes, line.lowerBound..<firstSpace)
    route = HTTPRoute(path: bytes, firstSpace + 1..<(query ?? secondSpace))
    if !known {
      let name = String(decoding: bytes[line.lowerBound..<firstSpace], as: UTF8.self)
      problem = HTTPProblem(status: 501, text: "Unknown method: \(name)")
    } else {
      check(bytes, query: query.map { $0 + 1..<secondSpace })
    }
  }

  private mutating func setVersion(_ bytes: [UInt8], _ version: Range<Int>) throws(HTTPProblem) {
    if HTTPText.equals(bytes, version, "HTTP/1.1") { return }
    if HTTPText.equals(bytes, version, "HTTP/1.0") {
      isHTTP10 = true
      keepAlive = false
      return
    }
    let digits = version.lowerBound + 5
    guard version.count == 8, HTTPText.equals(bytes, version.lowerBound..<digits, "HTTP/"),
      HTTPText.decimal(bytes, digits..<digits + 1) != nil, bytes[digits + 1] == UInt8(ascii: "."),
      HTTPText.decimal(bytes, digits + 2..<digits + 3) != nil
    else { throw .malformed("request line") }
    throw HTTPProblem(status: 505, text: "Only HTTP/1.1 and HTTP/1.0 are spoken here")
  }

  /// False when nobody defines this method.
  private mutating func setMethod(_ bytes: [UInt8], _ name: Range<Int>) -> Bool {
    switch name {
    case _ where HTTPText.equals(bytes, name, "GET"): method = .get
    case _ where HTTPText.equals(bytes, name, "PUT"): method = .put
    case _ where HTTPText.equals(bytes, name, "HEAD"): method = .head
    case _ where HTTPText.equals(bytes, name, "DELETE"): method = .delete
    case _ where HTTPText.equals(bytes, name, "POST"): method = .post
    default:
      method = .other
      return ["OPTIONS", "PATCH", "TRACE", "CONNECT"].contains(String(decoding: bytes[name], as: UTF8.self))
    }
    return true
  }

  private mutating func check(_ bytes: [UInt8], query: Range<Int>?) {
    let allow: String
    let isAllowed: Bool
    switch route {
    case .problem(let found):
      problem = found
      return
    case .object:
      allow = "GET, HEAD, PUT, POST, DELETE"
      isAllowed = method != .other
    case .admin, .root:
      allow = "GET, HEAD"
      isAllowed = method == .get || method == .head
    }
    if !isAllowed {
      problem = HTTPProblem(status: 405, text: "Method not allowed; allowed are \(allow)", allow: allow)
    } else if case .object = route, let query {
      do throws(HTTPProblem) { options = try ObjectOptions(query: bytes, query) } catch { problem = error }
    }
  }

  // MARK: Headers

  /// Takes one header line; `start` is where the head begins in `bytes`.
  mutating func addHeader(_ bytes: [UInt8], _ line: Range<Int>, from start: Int) throws(HTTPProblem) {
    guard let name = headerName(bytes, line) else { throw .malformed("header line") }
    headers += 1
    headerBytes += line.count + 2
    guard headers <= HTTPLimits.headerCountMax else { throw .tooManyHeaders }
    let value = HTTPText.trimmed(bytes, name.upperBound + 1..<line.upperBound)
    switch name.count {
    case 4 where HTTPText.matches(bytes, name, "host"):
      hosts += 1
      guard hosts == 1 else { throw .malformed("more than one Host header") }
    case 6 where HTTPText.matches(bytes, name, "expect"): try setExpectation(bytes, value)
    case 10 where HTTPText.matches(bytes, name, "connection"): setConnection(bytes, value)
    case 12 where HTTPText.matches(bytes, name, "content-type"): setContentType(bytes, value, from: start)
    case 14 where HTTPText.matches(bytes, name, "content-length"): try setLength(bytes, value)
    case 13 where HTTPText.matches(bytes, name, "x-riak-vclock"): carriesVersion = true
    case 17 where HTTPText.matches(bytes, name, "transfer-encoding"): try setCoding(bytes, value)
    default: addOther(bytes, name, value, from: start)
    }
  }

  private mutating func setContentType(_ bytes: [UInt8], _ value: Range<Int>, from start: Int) {
    contentType = value.isEmpty ? nil : value.lowerBound - start..<value.upperBound - start
    if isWrite, problem == nil, !value.isEmpty, !HTTPText.isMediaType(bytes, value) {
      problem = HTTPProblem(status: 415, text: "Content-Type must be type/subtype, like text/plain")
    }
  }

  private mutating func addOther(_ bytes: [UInt8], _ name: Range<Int>, _ value: Range<Int>, from start: Int) {
    if HTTPText.hasPrefix(bytes, name, "x-riak-meta-") || HTTPText.matches(bytes, name, "content-encoding") {
      metadata.append(
        (name.lowerBound - start..<name.upperBound - start, value.lowerBound - start..<value.upperBound - start))
    } else if method != .get, method != .head, problem == nil, HTTPRequestHead.isCondition(bytes, name) {
      // To write in spite of a condition that was never looked at would be worse than to refuse.
      let text = String(decoding: bytes[name], as: UTF8.self)
      problem = HTTPProblem(status: 501, text: "Conditional writes are not supported: \(text)")
    }
  }

  private static func isCondition(_ bytes: [UInt8], _ name: Range<Int>) -> Bool {
    HTTPText.matches(bytes, name, "if-match") || HTTPText.matches(bytes, name, "if-none-match")
      || HTTPText.matches(bytes, name, "if-unmodified-since")
      || HTTPText.matches(bytes, name, "x-riak-if-not-modified")
  }

  private mutating func setExpectation(_ bytes: [UInt8], _ value: Range<Int>) throws(HTTPProblem) {
    guard HTTPText.matches(bytes, value, "100-continue") else {
      throw HTTPProblem(status: 417, text: "Only 100-continue can be expected")
    }
    expectsContinue = !isHTTP10
  }

  private mutating func setConnection(_ bytes: [UInt8], _ value: Range<Int>) {
    var close = false
    var keep = false
    HTTPText.forEachElement(bytes, value) { element in
      if HTTPText.matches(bytes, element, "close") { close = true }
      if HTTPText.matches(bytes, element, "keep-alive") { keep = true }
    }
    if close {
      keepAlive = false
      saidClose = true
    } else if keep, !saidClose {
      keepAlive = true
    }
  }

  private mutating func setLength(_ bytes: [UInt8], _ value: Range<Int>) throws(HTTPProblem) {
    guard let length = HTTPText.decimal(bytes, value) else {
      // All digits, but more of them than any number here has.
      let isNumber = !value.isEmpty && bytes[value].allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
      throw isNumber ? .bodyTooLong : .malformed("Content-Length")
    }
    guard !isChunked, contentLength == nil || contentLength == length else {
      throw .malformed("body length stated twice")
    }
    guard length <= HTTPLimits.bodyBytesMax else { throw .bodyTooLong }
    contentLength = length
  }

  private mutating func setCoding(_ bytes: [UInt8], _ value: Range<Int>) throws(HTTPProblem) {
    guard contentLength == nil, !isChunked, !isHTTP10 else { throw .malformed("body length stated twice") }
    guard HTTPText.matches(bytes, value, "chunked") else {
      throw HTTPProblem(status: 501, text: "Only the transfer coding chunked is understood")
    }
    isChunked = true
  }

  /// To be called when the last header has come.
  mutating func finish() throws(HTTPProblem) {
    guard isHTTP10 || hosts == 1 else { throw .malformed("no Host header") }
    if problem == nil, isWrite, contentType == nil {
      problem = HTTPProblem(status: 400, text: "Missing Content-Type request header")
    }
  }

  var hasBody: Bool { isChunked || (contentLength ?? 0) > 0 }

  var body: HTTPBody { isChunked ? .chunked : .length(contentLength ?? 0) }
}
