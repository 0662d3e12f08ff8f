import Causality
package import Messages

// The answer to one request: what must be remembered of the request until the node has answered, and the bytes that
// are then sent. There is no Date header: nothing here reads a clock.

/// Made by `HTTPSession` with each request; encodes its one answer.
package struct HTTPReply: Sendable {
  /// The object asked for; nil for everything else.
  let key: ObjectKey?
  /// A payload to be answered when it was stored, for `returnbody=true`.
  let echo: [UInt8]?
  let isHead: Bool
  let isHTTP10: Bool
  /// The connection must be closed when this answer has been sent; nothing after this request is read.
  package let closesConnection: Bool

  /// Appends the answer to an object's request.
  package func encode(_ response: ClientResponse, into bytes: inout [UInt8]) {
    switch response {
    case .object(let stamp, let payload): appendObject(stamp, payload, to: &bytes)
    case .notFound(let tombstone): appendNotFound(tombstone, to: &bytes)
    case .stored(let stamp):
      if let echo { appendObject(stamp, echo, to: &bytes) } else { appendNoContent(to: &bytes) }
    case .deleted: appendNoContent(to: &bytes)
    case .failed(let failure): appendFailure(failure, to: &bytes)
    }
  }

  /// Appends an answer in JSON.
  package func encode(json: [UInt8], status: Int = 200, into bytes: inout [UInt8]) {
    appendHead(status, to: &bytes)
    bytes.appendASCII("Content-Type: application/json\r\n")
    appendBody(json[...], to: &bytes)
  }

  /// Appends an answer in plain text.
  package func encode(text: String, status: Int = 200, into bytes: inout [UInt8]) {
    appendHead(status, to: &bytes)
    appendPlain(text, to: &bytes)
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

// MARK: - Objects

extension HTTPReply {
  private func appendObject(_ stamp: Stamp, _ payload: [UInt8], to bytes: inout [UInt8]) {
    guard let content = ObjectContentView(payload: payload) else {
      return appendFailure(.damaged(detail: "the stored object has no readable content"), to: &bytes)
    }
    appendHead(200, to: &bytes)
    appendVersion(stamp, to: &bytes)
    bytes.appendASCII("ETag: \"")
    bytes.appendHexadecimal(stamp.time.rawValue, digits: 16)
    bytes.appendHexadecimal(UInt64(stamp.actor.rawValue), digits: 8)
    bytes.appendASCII("\"\r\nLast-Modified: ")
    bytes.appendHTTPDate(milliseconds: stamp.time.milliseconds)
    bytes.appendASCII("\r\n")
    appendLink(to: &bytes)
    content.forEachMetadata { name, value in
      bytes.appendHeaderText(payload[name])
      bytes.appendASCII(": ")
      bytes.appendHeaderText(payload[value])
      bytes.appendASCII("\r\n")
    }
    bytes.appendASCII("Content-Type: ")
    bytes.appendHeaderText(payload[content.contentType])
    bytes.appendASCII("\r\n")
    appendBody(payload[content.value], to: &bytes)
  }

  private func appendNotFound(_ tombstone: Stamp?, to bytes: inout [UInt8]) {
    appendHead(404, to: &bytes)
    if let tombstone {
      appendVersion(tombstone, to: &bytes)
      bytes.appendASCII("X-Riak-Deleted: true\r\n")
    }
    appendPlain("not found\n", to: &bytes)
  }

  private func appendNoContent(to bytes: inout [UInt8]) {
    appendHead(204, to: &bytes)
    bytes.appendASCII("\r\n")
  }

  private func appendVersion(_ stamp: Stamp, to bytes: inout [UInt8]) {
    // The stamp's twelve encoded bytes, three at a time: its time's eight and its actor's four, lowest first.
    let time = stamp.time.rawValue.byteSwapped
    let actor = stamp.actor.rawValue.byteSwapped
    bytes.appendASCII("X-Riak-Vclock: ")
    bytes.appendBase64Group(UInt32(truncatingIfNeeded: time >> 40))
    bytes.appendBase64Group(UInt32(truncatingIfNeeded: time >> 16))
    bytes.appendBase64Group(UInt32(truncatingIfNeeded: time) << 8 | actor >> 24)
    bytes.appendBase64Group(actor)
    bytes.appendASCII("\r\n")
  }

  private func appendLink(to bytes: inout [UInt8]) {
    guard let key else { return }
    bytes.appendASCII("Link: </buckets/")
    bytes.appendEscaped(key.encoded[key.bucketRange])
    bytes.appendASCII(">; rel=\"up\"\r\n")
  }
}

// MARK: - Failures

extension HTTPReply {
  private func appendFailure(_ failure: ClientFailure, to bytes: inout [UInt8]) {
    switch failure {
    case .unsatisfied(let name, let wanted, let got, let detail):
      appendError(503, "\(HTTPReply.name(name))-value unsatisfied: \(got)/\(wanted)", detail, to: &bytes)
    case .timeout(let detail): appendError(503, "request timed out", detail, to: &bytes)
    case .invalidQuorum(let n):
      appendError(
        400, "Specified w/dw/pw/node_confirms values invalid for bucket n value of \(n)", "", to: &bytes)
    case .invalidContext:
      appendError(400, "X-Riak-Vclock is ahead of every clock: send what a read returned", "", to: &bytes)
    case .overloaded(let detail): appendError(503, "overloaded", detail, retryAfter: true, to: &bytes)
    case .notReady(let detail): appendError(503, "not ready", detail, to: &bytes)
    case .damaged(let detail): appendError(500, "damaged", detail, to: &bytes)
    }
  }

  private func appendError(
    _ status: Int, _ text: String, _ detail: String, retryAfter: Bool = false, to bytes: inout [UInt8]
  ) {
    appendHead(status, to: &bytes)
    if retryAfter { bytes.appendASCII("Retry-After: 1\r\n") }
    appendPlain(HTTPReply.oneLine(detail.isEmpty ? text : "\(text): \(detail)"), to: &bytes)
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
  private static func oneLine(_ text: String) -> String {
    String(decoding: text.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }, as: UTF8.self) + "\n"
  }
}

// MARK: - Framing

extension HTTPReply {
  private func appendHead(_ status: Int, to bytes: inout [UInt8]) {
    bytes.appendASCII(HTTPReply.statusLine(status))
    if closesConnection {
      bytes.appendASCII("Connection: close\r\n")
    } else if isHTTP10 {
      bytes.appendASCII("Connection: keep-alive\r\n")
    }
  }

  private func appendPlain(_ text: String, to bytes: inout [UInt8]) {
    bytes.appendASCII("Content-Type: text/plain\r\n")
    appendBody([UInt8](text.utf8)[...], to: &bytes)
  }

  private func appendBody(_ body: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
    bytes.appendASCII("Content-Length: ")
    bytes.appendDecimal(body.count)
    bytes.appendASCII("\r\n\r\n")
    if !isHead { bytes.append(contentsOf: body) }
  }

  private static func statusLine(_ status: Int) -> StaticString {
    switch status {
    case 200: "HTTP/1.1 200 OK\r\n"
    case 204: "HTTP/1.1 204 No Content\r\n"
    case 400: "HTTP/1.1 400 Bad Request\r\n"
    case 403: "HTTP/1.1 403 Forbidden\r\n"
    case 404: "HTTP/1.1 404 Not Found\r\n"
    case 405: "HTTP/1.1 405 Method Not Allowed\r\n"
    case 413: "HTTP/1.1 413 Content Too Large\r\n"
    case 414: "HTTP/1.1 414 URI Too Long\r\n"
    case 415: "HTTP/1.1 415 Unsupported Media Type\r\n"
    case 417: "HTTP/1.1 417 Expectation Failed\r\n"
    case 431: "HTTP/1.1 431 Request Header Fields Too Large\r\n"
    case 501: "HTTP/1.1 501 Not Implemented\r\n"
    case 503: "HTTP/1.1 503 Service Unavailable\r\n"
    case 505: "HTTP/1.1 505 HTTP Version Not Supported\r\n"
    default: "HTTP/1.1 500 Internal Server Error\r\n"
    }
  }
}
