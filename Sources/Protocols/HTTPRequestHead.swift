import Causality
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
  private(set) var listing = ListOptions()
  /// Why the request is not carried out although it can be read.
  private(set) var problem: HTTPProblem?
  private(set) var contentLength: Int?
  private(set) var isChunked = false
  private(set) var expectsContinue = false
  /// The version that the client has read and now writes over.
  private(set) var context: Stamp?
  /// How long what is written is to live.
  private(set) var lifetime = Lifetime.standard
  /// What a read asks of the object that it finds; nil for most.
  private(set) var terms: Shared<ReadTerms>?
  /// Relative to the head's start, as are the entries of `metadata`.
  private(set) var contentType: Range<Int>?
  private(set) var metadata: [(name: Range<Int>, value: Range<Int>)] = []
  private(set) var links: Shared<ObjectLinks>?
  private(set) var snapshot: Shared<SnapshotParameters>?
  private(set) var quarantine: Shared<QuarantineParameters>?
  private(set) var backup: Shared<BackupParameters>?
  /// An Accept header that allows everything; only what another one excludes would count.
  private var acceptsAll = false
  /// A Connection header said close: no other one takes that back.
  private var saidClose = false
  private var hosts = 0
  private var headers = 0
  private var headerBytes = 0

  /// How long the next header line may be.
  var lineBytesLeft: Int { HTTPLimits.headerBytesMax - headerBytes - 2 }

  var isWrite: Bool {
    if case .admin = route { return false }
    return method == .put || method == .post
  }
  var isRead: Bool { method == .get || method == .head }

  /// Something is to be listed, which takes as long as it takes.
  var isListing: Bool { method == .get && listing.mode != nil }

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
    if case .object = route, method != .other, query == nil { return }
    if case .problem(let found) = route {
      problem = found
      return
    }
    if method == .post, case .admin(let shown) = route, let task = shown.task { route = .admin(task) }
    if let refusal = HTTPRequestHead.refusal(of: method, by: route) {
      problem = refusal
      return
    }
    do throws(HTTPProblem) {
      switch route {
      case .object: if let query { options = try ObjectOptions(query: bytes, query) }
      case .keys(let bucket, _) where method == .post:
        guard bucket.count + KeyGenerator.keyBytes <= ObjectKey.byteCountMax else { throw .nameTooLong }
        if let query { options = try ObjectOptions(query: bytes, query) }
      case .keys, .buckets, .properties:
        if let query { listing = try ListOptions(query: bytes, query, of: route) }
      case .admin(.snapshot): if let query { snapshot = Shared(try SnapshotParameters(query: bytes, query)) }
      case .admin(.quarantine), .admin(.quarantineTask):
        if let query { quarantine = Shared(try QuarantineParameters(query: bytes, query)) }
      case .admin(let admin) where admin.isOfBackup:
        if let query { backup = Shared(try BackupParameters(query: bytes, query)) }
      case .admin, .root, .problem: break
      }
    } catch {
      problem = error
    }
  }

  /// Nil when what `route` names has this method.
  private static func refusal(of method: Method, by route: HTTPRoute) -> HTTPProblem? {
    let allow: String
    var isAllowed = method == .get || method == .head
    var reason = "Method not allowed"
    switch route {
    case .object:
      allow = "GET, HEAD, PUT, POST, DELETE"
      isAllowed = method != .other
    case .keys(_, let style):
      allow = "GET, HEAD, POST"
      isAllowed = isAllowed || method == .post
      if style == .old, method == .put { reason = fixedProperties }
    case .properties:
      allow = "GET, HEAD"
      if method != .other { reason = fixedProperties }
    case .admin(let admin) where admin.isTask:
      allow = "POST"
      isAllowed = method == .post
    case .admin(let admin) where admin.task != nil: allow = "GET, HEAD, POST"
    case .buckets, .admin, .root, .problem: allow = "GET, HEAD"
    }
    return isAllowed ? nil : HTTPProblem(status: 405, text: "\(reason); allowed are \(allow)", allow: allow)
  }

  private static let fixedProperties = "Properties cannot be set in this version, n_val is the cluster's"

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
    case 4 where HTTPText.matches(bytes, name, "link"): addLinks(bytes, value)
    case 6 where HTTPText.matches(bytes, name, "accept"): addAccept(bytes, value)
    case 6 where HTTPText.matches(bytes, name, "expect"): try setExpectation(bytes, value)
    case 10 where HTTPText.matches(bytes, name, "connection"): setConnection(bytes, value)
    case 12 where HTTPText.matches(bytes, name, "content-type"): setContentType(bytes, value, from: start)
    case 14 where HTTPText.matches(bytes, name, "content-length"): try setLength(bytes, value)
    case 13 where HTTPText.matches(bytes, name, "x-riak-vclock"): setContext(bytes, value)
    case 17 where HTTPText.matches(bytes, name, "transfer-encoding"): try setCoding(bytes, value)
    default: addOther(bytes, name, value, from: start)
    }
  }

  private mutating func setContentType(_ bytes: [UInt8], _ value: Range<Int>, from start: Int) {
    contentType = value.isEmpty ? nil : value.lowerBound - start..<value.upperBound - start
    if isWrite, problem == nil, !value.isEmpty, !HTTPText.isMediaType(bytes, value) {
      problem = .noMediaType
    }
  }

  private mutating func addOther(_ bytes: [UInt8], _ name: Range<Int>, _ value: Range<Int>, from start: Int) {
    // Most headers of most clients are none of these: one look at the first letter tells.
    switch bytes[name.lowerBound] | 0x20 {
    case UInt8(ascii: "x"):
      if HTTPText.hasPrefix(bytes, name, "x-riak-meta-") {
        addMetadata(name, value, from: start)
      } else if HTTPText.hasPrefix(bytes, name, "x-riak-index-") {
        guard isWrite, problem == nil else { return }
        problem = HTTPRequestHead.problem(ofIndex: bytes, name.lowerBound + 13..<name.upperBound, value)
        addMetadata(name, value, from: start)
      } else if HTTPText.matches(bytes, name, "x-riak-if-not-modified") {
        addCondition(bytes, name, value)
      } else if Lifetime.isNamed(by: bytes, name) {
        setLifetime(bytes, name, value)
      }
    case UInt8(ascii: "c"):
      if HTTPText.matches(bytes, name, "content-encoding") { addMetadata(name, value, from: start) }
    case UInt8(ascii: "i"): addCondition(bytes, name, value)
    default: break
    }
  }

  private mutating func addMetadata(_ name: Range<Int>, _ value: Range<Int>, from start: Int) {
    metadata.append(
      (name.lowerBound - start..<name.upperBound - start, value.lowerBound - start..<value.upperBound - start))
  }

  // MARK: What only some requests have

  private mutating func setContext(_ bytes: [UInt8], _ value: Range<Int>) {
    guard !isRead, problem == nil else { return }
    guard let stamp = HTTPText.stamp(clock: bytes, value), context == nil || context == stamp else {
      problem = HTTPProblem(
        status: 400, text: "X-Riak-Vclock is none that was made here: send what a read returned, or nothing")
      return
    }
    guard stamp.time < .ceiling else {
      problem = .contextAhead
      return
    }
    context = stamp
  }

  private mutating func setLifetime(_ bytes: [UInt8], _ name: Range<Int>, _ value: Range<Int>) {
    guard isWrite, problem == nil else { return }
    do throws(HTTPProblem) {
      let said = try Lifetime(bytes, name, value)
      guard lifetime == .standard || lifetime == said else { throw Lifetime.saidTwice }
      lifetime = said
    } catch {
      problem = error
    }
  }

  private mutating func addAccept(_ bytes: [UInt8], _ value: Range<Int>) {
    guard isRead else { return }
    let isAll = HTTPText.equals(bytes, value, "*/*")
    if terms == nil, isAll {
      acceptsAll = true
      return
    }
    var terms = terms?.value ?? ReadTerms()
    if terms.accept.isEmpty, acceptsAll { terms.accept += Array("*/*".utf8) }
    if !terms.accept.isEmpty { terms.accept.append(UInt8(ascii: ",")) }
    terms.accept += bytes[value]
    self.terms = Shared(terms)
  }

  private mutating func addCondition(_ bytes: [UInt8], _ name: Range<Int>, _ value: Range<Int>) {
    let condition = ReadTerms.Condition(bytes, name)
    if isRead, let condition {
      var terms = terms?.value ?? ReadTerms()
      terms.add(condition, bytes, value)
      self.terms = Shared(terms)
    } else if !isRead, problem == nil, condition != .modifiedSince,
      condition != nil || HTTPText.matches(bytes, name, "x-riak-if-not-modified")
    {
      // To write in spite of a condition that was never looked at would be worse than to refuse.
      let text = String(decoding: bytes[name], as: UTF8.self)
      problem = HTTPProblem(status: 501, text: "Conditional writes are not supported: \(text)")
    }
  }

  private mutating func addLinks(_ bytes: [UInt8], _ value: Range<Int>) {
    guard isWrite, problem == nil else { return }
    var links = links?.value ?? ObjectLinks()
    do throws(HTTPProblem) { try links.add(bytes, value) } catch { problem = error }
    self.links = Shared(links)
  }

  /// What is wrong with an index entry, in Riak's words; there are no indexes yet, but what is stored should be fit for
  /// them.
  static func problem(ofIndex bytes: [UInt8], _ field: Range<Int>, _ value: Range<Int>) -> HTTPProblem? {
    func ends(_ suffix: StaticString) -> Bool {
      let start = field.upperBound - suffix.utf8CodeUnitCount
      return start > field.lowerBound && bytes[start - 1] == UInt8(ascii: "_")
        && HTTPText.matches(bytes, start..<field.upperBound, suffix)
    }
    let name = String(decoding: bytes[field], as: UTF8.self)
    if ends("bin") { return nil }
    guard ends("int") else { return HTTPProblem(status: 400, text: "Unknown field type for field: '\(name)'.") }
    var wrong: Range<Int>?
    HTTPText.forEachElement(bytes, value) { if wrong == nil, !HTTPText.isInteger(bytes, $0) { wrong = $0 } }
    return wrong.map {
      let text = String(decoding: bytes[$0], as: UTF8.self)
      return HTTPProblem(status: 400, text: "Could not parse field '\(name)', value '\(text)'.")
    }
  }

  // MARK: Connection and body

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
    guard problem == nil else { return }
    if isWrite, contentType == nil {
      problem = HTTPProblem(status: 400, text: "Missing Content-Type request header")
    } else if let accept = terms?.value.accept, !accept.isEmpty {
      problem = problem(of: accept)
    }
  }

  /// Why what is asked for cannot be had in a form that is accepted. Of an object it is not known yet.
  private func problem(of accept: [UInt8]) -> HTTPProblem? {
    switch route {
    case .object, .problem: return nil
    case .admin(.stats) where acceptsOnlyText: return nil
    case .admin(let route) where !route.isJSON: return nil
    case .keys, .buckets, .properties, .admin, .root:
      return HTTPAccept.allows(accept, HTTPAccept.json[...]) ? nil : .notAcceptable(HTTPAccept.json[...])
    }
  }

  /// JSON is wanted under the name of plain text, or not at all.
  var acceptsOnlyText: Bool {
    guard let accept = terms?.value.accept, !accept.isEmpty else { return false }
    return !HTTPAccept.allows(accept, HTTPAccept.json[...]) && HTTPAccept.allows(accept, HTTPAccept.text[...])
  }

  var hasBody: Bool { isChunked || (contentLength ?? 0) > 0 }

  var body: HTTPBody { isChunked ? .chunked : .length(contentLength ?? 0) }
}
