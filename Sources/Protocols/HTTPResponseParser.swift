// The client's end: responses out of a connection's bytes. For the command line's own requests, which wait for each
// answer; convenience before speed. Interim responses (1xx) are skipped. A body can also be taken piece by piece; it may
// then be of any length.

package struct HTTPResponse: Sendable {
  package let status: Int
  /// Names in lower case, in the order received.
  package let headers: [(name: String, value: String)]
  package let body: [UInt8]
  /// The server will answer another request on this connection.
  package let keepsConnection: Bool

  /// The first header of this name, which is given in lower case.
  package func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

package enum HTTPResponseError: Error, Equatable, Sendable {
  /// What the server sent is not HTTP, or passes a limit; says what.
  case malformed(String)
  /// The connection ended within a response.
  case truncated
}

package struct HTTPResponseParser: Sendable {
  private enum State { case statusLine, headers, body }

  /// Set before the bytes of an answer to HEAD arrive: it has no body whatever its headers say.
  package var answersHead = false
  /// Set before the first bytes: the body of a 200 is not kept, but given out by `nextPiece`.
  package var isStreaming = false

  private var input = InputBuffer()
  private var state = State.statusLine
  private var status = 0
  private var isHTTP10 = false
  private var headers: [(name: String, value: String)] = []
  private var headerBytes = 0
  private var bodyReader = HTTPBody.none
  private var body: [UInt8] = []

  package init() {}

  /// Takes what the connection brought.
  package mutating func receive(_ bytes: UnsafeRawBufferPointer) { unsafe input.append(bytes) }

  /// The next whole response; nil when more bytes are needed.
  package mutating func next() throws(HTTPResponseError) -> HTTPResponse? {
    do throws(HTTPProblem) {
      while true {
        switch state {
        case .statusLine: guard try readStatusLine() else { return nil }
        case .headers: guard try readHeaders() else { return nil }
        case .body:
          guard try bodyReader.read(&input, into: &body, keep: true) else { return nil }
          return finish()
        }
      }
    } catch {
      throw .malformed(error.text)
    }
  }

  /// The status of the response whose headers have all come; nil before.
  package var statusInProgress: Int? { state == .body ? status : nil }

  /// What has come of the body since the last call, of a response that is streamed; empty when there is nothing, or
  /// the body is one that `next` returns. When it is all there, `next` returns the response, with an empty body.
  package mutating func nextPiece() throws(HTTPResponseError) -> [UInt8] {
    guard isStreaming, state != .body || status == 200 else { return [] }
    do throws(HTTPProblem) {
      while state != .body {
        guard try state == .statusLine ? readStatusLine() : readHeaders() else { return [] }
      }
      guard status == 200 else { return [] }
      _ = try bodyReader.read(&input, into: &body, keep: true)
    } catch {
      throw .malformed(error.text)
    }
    defer { body = [] }
    return body
  }

  /// The server closed the connection: the response that this completes, if one had begun.
  package mutating func end() throws(HTTPResponseError) -> HTTPResponse? {
    if let response = try next() { return response }
    if state == .body, bodyReader.endsWithConnection { return finish() }
    if state == .statusLine, input.count == 0 { return nil }
    throw .truncated
  }

  private mutating func line(max: Int) throws(HTTPProblem) -> Range<Int>? {
    do throws(InputBuffer.LineError) {
      return try input.nextLine(contentMax: max, tabs: true)
    } catch {
      throw error == .tooLong ? .headersTooLong : .malformed("line")
    }
  }

  private mutating func readStatusLine() throws(HTTPProblem) -> Bool {
    guard let line = try line(max: HTTPLimits.answerHeaderBytesMax) else { return false }
    let codeStart = line.lowerBound + 9
    guard line.count >= 12, HTTPText.hasPrefix(input.bytes, line, "http/1."), input.bytes[codeStart - 1] == 0x20,
      let code = HTTPText.decimal(input.bytes, codeStart..<codeStart + 3), code >= 100,
      line.count == 12 || input.bytes[codeStart + 3] == 0x20
    else { throw .malformed("status line") }
    status = code
    isHTTP10 = input.bytes[codeStart - 2] == UInt8(ascii: "0")
    headers = []
    headerBytes = 0
    body = []
    input.dropParsed()
    state = .headers
    return true
  }

  private mutating func readHeaders() throws(HTTPProblem) -> Bool {
    while true {
      guard let line = try line(max: HTTPLimits.answerHeaderBytesMax - headerBytes) else { return false }
      if line.isEmpty { break }
      guard let name = headerName(input.bytes, line) else { throw .malformed("header line") }
      let value = HTTPText.trimmed(input.bytes, name.upperBound + 1..<line.upperBound)
      headers.append(
        (
          String(decoding: input.bytes[name], as: UTF8.self).lowercased(),
          String(decoding: input.bytes[value], as: UTF8.self)
        ))
      headerBytes += line.count
      guard headers.count <= HTTPLimits.answerHeaderCountMax else { throw .tooManyHeaders }
      input.dropParsed()
    }
    input.dropParsed()
    if (100..<200).contains(status) {
      state = .statusLine
    } else {
      bodyReader = try framing()
      state = .body
    }
    return true
  }

  private func framing() throws(HTTPProblem) -> HTTPBody {
    if answersHead || status == 204 || status == 304 { return .none }
    let codings = headers.filter { $0.name == "transfer-encoding" }
    let lengths = headers.filter { $0.name == "content-length" }
    if !codings.isEmpty {
      guard codings.count == 1, codings[0].value.lowercased() == "chunked", lengths.isEmpty else {
        throw .malformed("transfer coding")
      }
      return isStreamed ? .chunked.unbounded : .chunked
    }
    guard let first = lengths.first else { return isStreamed ? .untilClose.unbounded : .untilClose }
    let digits = [UInt8](first.value.utf8)
    guard lengths.allSatisfy({ $0.value == first.value }), let length = HTTPText.decimal(digits, 0..<digits.count)
    else { throw .malformed("Content-Length") }
    guard length <= HTTPLimits.bodyBytesMax || isStreamed else { throw .bodyTooLong }
    return .length(length)
  }

  private var isStreamed: Bool { isStreaming && status == 200 }

  private mutating func finish() -> HTTPResponse {
    let connection = headers.filter { $0.name == "connection" }.map { $0.value.lowercased() }
    let keeps =
      !bodyReader.endsWithConnection && !connection.contains("close")
      && (!isHTTP10 || connection.contains("keep-alive"))
    let response = HTTPResponse(status: status, headers: headers, body: body, keepsConnection: keeps)
    state = .statusLine
    headers = []
    body = []
    return response
  }
}
