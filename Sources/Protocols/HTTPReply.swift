package import Messages

// The answer to one request: what must be remembered of the request until the node has answered, and the bytes that
// are then sent. There is no Date header: nothing here reads a clock.

/// Made by `HTTPSession` with each request; encodes its one answer.
package struct HTTPReply: Sendable {
  // A reply goes from hand to hand within an action. An array of one is the box for what is special: of a struct with a
  // reference to a class of this module, other modules make every copy by calls: 50 to 90 ns a request, measured.

  /// The object asked for; nil for everything else.
  let key: ObjectKey?
  /// What few answers have, one at most.
  package let special: [Special]?
  private var flags: Flags

  package struct Flags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    static let isHead = Flags(rawValue: 1)
    static let isHTTP10 = Flags(rawValue: 2)
    static let closesConnection = Flags(rawValue: 4)
    static let hasBegun = Flags(rawValue: 8)
    static let isTypedPath = Flags(rawValue: 16)
    static let isOldPath = Flags(rawValue: 32)
  }

  init(
    key: ObjectKey?, style: PathStyle, special: [Special]?, isHead: Bool, isHTTP10: Bool, closesConnection: Bool
  ) {
    self.key = key
    self.special = special
    var flags: Flags = []
    switch style {
    case .plain: break
    case .typed: flags.insert(.isTypedPath)
    case .old: flags.insert(.isOldPath)
    }
    if isHead { flags.insert(.isHead) }
    if isHTTP10 { flags.insert(.isHTTP10) }
    if closesConnection { flags.insert(.closesConnection) }
    self.flags = flags
  }

  var isHead: Bool { flags.contains(.isHead) }
  var isHTTP10: Bool { flags.contains(.isHTTP10) }
  /// The connection must be closed when this answer has been sent; nothing after this request is read.
  package var closesConnection: Bool { flags.contains(.closesConnection) }
  /// How the request's path named the object.
  var style: PathStyle { flags.contains(.isOldPath) ? .old : flags.contains(.isTypedPath) ? .typed : .plain }
  /// The head of a listing and the opening of its document have been written.
  var hasBegun: Bool {
    get { flags.contains(.hasBegun) }
    set { if newValue { flags.insert(.hasBegun) } else { flags.remove(.hasBegun) } }
  }

  package enum Special: Sendable {
    /// A read that asks something of the object that it finds.
    case terms(ReadTerms)
    case listing(ListingTerms)
    /// A payload to be answered when it was stored, for `returnbody=true`.
    case echo([UInt8])
    /// The key was made here: the client must be told where its object is.
    case creation(echo: [UInt8]?)
    /// JSON that goes out as plain text, for people to read.
    case text
  }

  /// Appends the answer to an object's request.
  package func encode(_ response: ClientResponse, into bytes: inout [UInt8]) {
    switch response {
    case .object(let stamp, let payload, let expiry): appendObject(stamp, payload, expiry: expiry, to: &bytes)
    case .notFound(let tombstone): appendNotFound(tombstone, to: &bytes)
    case .stored(let stamp): appendStored(stamp, to: &bytes)
    case .deleted: appendNoContent(to: &bytes)
    case .failed(let failure): appendFailure(failure, to: &bytes)
    }
  }

  /// Appends an answer in JSON.
  package func encode(json: [UInt8], status: Int = 200, into bytes: inout [UInt8]) {
    appendHead(status, to: &bytes)
    if case .text = special?.first, let document = try? JSON.parse(json) {
      appendPlain(document.text(indent: true) + "\n", to: &bytes)
    } else {
      appendJSON(json, to: &bytes)
    }
  }

  /// Appends an answer in JSON that has links to what it is about.
  func encode(json: [UInt8], links: String, into bytes: inout [UInt8]) {
    appendHead(200, to: &bytes)
    bytes.appendASCII("Link: ")
    bytes.append(contentsOf: links.utf8)
    bytes.appendASCII("\r\n")
    appendJSON(json, to: &bytes)
  }

  /// Appends an answer in plain text.
  package func encode(text: String, status: Int = 200, into bytes: inout [UInt8]) {
    appendHead(status, to: &bytes)
    appendPlain(text, to: &bytes)
  }

  /// Appends an answer of bytes as they are.
  package func encode(bytes content: [UInt8], into bytes: inout [UInt8]) {
    appendHead(200, to: &bytes)
    bytes.appendASCII("Content-Type: application/octet-stream\r\n")
    appendBody(content[...], to: &bytes)
  }

  /// Appends metrics in Prometheus' text format.
  package func encode(metrics: [UInt8], into bytes: inout [UInt8]) {
    appendHead(200, to: &bytes)
    bytes.appendASCII("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n")
    appendBody(metrics[...], to: &bytes)
  }

  /// Appends the answer to a request that is refused here.
  func encode(_ problem: HTTPProblem, into bytes: inout [UInt8]) {
    appendHead(problem.status, to: &bytes)
    if let allow = problem.allow {
      bytes.appendASCII("Allow: ")
      bytes.append(contentsOf: allow.utf8)
      bytes.appendASCII("\r\n")
    }
    appendPlain(HTTPReply.oneLine(problem.text), to: &bytes)
  }
}

// MARK: - Failures

extension HTTPReply {
  func appendFailure(_ failure: ClientFailure, to bytes: inout [UInt8]) {
    appendHead(HTTPReply.status(failure), to: &bytes)
    if case .overloaded = failure { bytes.appendASCII("Retry-After: 1\r\n") }
    appendPlain(HTTPReply.oneLine(HTTPReply.text(failure)), to: &bytes)
  }

  private static func status(_ failure: ClientFailure) -> Int {
    switch failure {
    case .unsatisfied, .timeout, .overloaded, .notReady, .unavailable: 503
    case .full: 507
    case .invalidQuorum, .invalidContext: 400
    case .damaged: 500
    }
  }

  /// What a client is told, one line without its end if `failure` has no other in it.
  static func text(_ failure: ClientFailure) -> String {
    func text(_ what: String, _ detail: String) -> String { detail.isEmpty ? what : "\(what): \(detail)" }
    switch failure {
    case .unsatisfied(let quorum, let wanted, let got, let detail):
      return text("\(name(quorum))-value unsatisfied: \(got)/\(wanted)", detail)
    case .timeout(let detail): return text("request timed out", detail)
    case .invalidQuorum(let n): return "Specified w/dw/pw/node_confirms values invalid for bucket n value of \(n)"
    case .invalidContext: return HTTPProblem.contextAhead.text
    case .overloaded(let detail): return text("overloaded", detail)
    case .notReady(let detail): return text("not ready", detail)
    case .damaged(let detail): return text("damaged", detail)
    case .full(let detail): return text("insufficient storage", detail)
    case .unavailable(let detail): return text("unavailable", detail)
    }
  }

  private static func name(_ quorum: QuorumName) -> String {
    switch quorum {
    case .r: "R"
    case .pr: "PR"
    case .w: "W"
    case .dw: "DW"
    case .pw: "PW"
    }
  }

  /// `text` with its line's end, and no other.
  static func oneLine(_ text: String) -> String {
    String(decoding: text.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }, as: UTF8.self) + "\n"
  }
}

// MARK: - Framing

extension HTTPReply {
  func appendHead(_ status: Int, to bytes: inout [UInt8]) {
    bytes.appendASCII(HTTPReply.statusLine(status))
    if closesConnection {
      bytes.appendASCII("Connection: close\r\n")
    } else if isHTTP10 {
      bytes.appendASCII("Connection: keep-alive\r\n")
    }
  }

  func appendPlain(_ text: String, to bytes: inout [UInt8]) {
    bytes.appendASCII("Content-Type: text/plain\r\n")
    appendBody([UInt8](text.utf8)[...], to: &bytes)
  }

  private func appendJSON(_ json: [UInt8], to bytes: inout [UInt8]) {
    bytes.appendASCII("Content-Type: application/json\r\n")
    appendBody(json[...], to: &bytes)
  }

  func appendBody(_ body: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
    bytes.appendASCII("Content-Length: ")
    bytes.appendDecimal(body.count)
    bytes.appendASCII("\r\n\r\n")
    if !isHead { bytes.append(contentsOf: body) }
  }

  private static func statusLine(_ status: Int) -> StaticString {
    switch status {
    case 200: "HTTP/1.1 200 OK\r\n"
    case 201: "HTTP/1.1 201 Created\r\n"
    case 204: "HTTP/1.1 204 No Content\r\n"
    case 304: "HTTP/1.1 304 Not Modified\r\n"
    case 400: "HTTP/1.1 400 Bad Request\r\n"
    case 403: "HTTP/1.1 403 Forbidden\r\n"
    case 404: "HTTP/1.1 404 Not Found\r\n"
    case 405: "HTTP/1.1 405 Method Not Allowed\r\n"
    case 406: "HTTP/1.1 406 Not Acceptable\r\n"
    case 409: "HTTP/1.1 409 Conflict\r\n"
    case 412: "HTTP/1.1 412 Precondition Failed\r\n"
    case 413: "HTTP/1.1 413 Content Too Large\r\n"
    case 414: "HTTP/1.1 414 URI Too Long\r\n"
    case 415: "HTTP/1.1 415 Unsupported Media Type\r\n"
    case 417: "HTTP/1.1 417 Expectation Failed\r\n"
    case 431: "HTTP/1.1 431 Request Header Fields Too Large\r\n"
    case 501: "HTTP/1.1 501 Not Implemented\r\n"
    case 503: "HTTP/1.1 503 Service Unavailable\r\n"
    case 505: "HTTP/1.1 505 HTTP Version Not Supported\r\n"
    case 507: "HTTP/1.1 507 Insufficient Storage\r\n"
    default: "HTTP/1.1 500 Internal Server Error\r\n"
    }
  }
}
