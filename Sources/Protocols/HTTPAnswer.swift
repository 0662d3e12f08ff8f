// The client's end for many answers a second: finds one answer in what a connection brought and says where its parts
// are, without copying them. The answer must state its length; one in chunks, or one that lasts until the connection
// ends, is for `HTTPResponseParser`. Interim responses (1xx) are skipped.

package struct HTTPAnswer: Equatable, Sendable {
  package let status: Int
  /// The header lines with their ends, for `forEachHeader`.
  package let headers: Range<Int>
  package let body: Range<Int>
  /// The server will answer another request on this connection.
  package let keepsConnection: Bool

  /// The answer that begins at `start`; nil when it is not all there yet.
  /// - Parameter toHead: It answers a HEAD: it has no body whatever its headers say.
  /// - Throws: `malformed` when there is no such answer, or one whose body is longer than `bodyBytesMax`.
  package static func find(
    in bytes: [UInt8], from start: Int, toHead: Bool, bodyBytesMax: Int
  ) throws(HTTPResponseError) -> HTTPAnswer? {
    var start = start
    while true {
      guard let first = try line(bytes, from: start, headStart: start) else { return nil }
      let (status, isHTTP10) = try statusLine(bytes, first)
      var framing = Framing(keepsConnection: !isHTTP10)
      let headersStart = first.upperBound + 2
      var position = headersStart
      while true {
        guard let line = try line(bytes, from: position, headStart: start) else { return nil }
        position = line.upperBound + 2
        if line.isEmpty { break }
        try framing.take(bytes, line)
      }
      if (100..<200).contains(status) {
        start = position
        continue
      }
      let length = toHead || status == 204 || status == 304 ? 0 : framing.length
      guard let length, !framing.isChunked || length == 0 else { throw .malformed("an answer without Content-Length") }
      guard length <= bodyBytesMax else { throw .malformed("an answer of more than \(bodyBytesMax) bytes") }
      guard bytes.count - position >= length else { return nil }
      return HTTPAnswer(
        status: status, headers: headersStart..<position - 2, body: position..<position + length,
        keepsConnection: framing.keepsConnection)
    }
  }

  /// Calls `body` with the places of name and value of each header line in `headers`, which `find` has checked.
  package static func forEachHeader(
    in bytes: [UInt8], _ headers: Range<Int>, _ body: (_ name: Range<Int>, _ value: Range<Int>) -> Void
  ) {
    var position = headers.lowerBound
    while position < headers.upperBound {
      var end = InputBuffer.firstControl(in: bytes, from: position)
      while end < headers.upperBound, bytes[end] == UInt8(ascii: "\t") {
        end = InputBuffer.firstControl(in: bytes, from: end + 1)
      }
      end = min(end, headers.upperBound)
      if let name = headerName(bytes, position..<end) {
        body(name, HTTPText.trimmed(bytes, name.upperBound + 1..<end))
      }
      position = end + 2
    }
  }

  /// Whether `bytes[name]` is the header `wanted`, given in lower case.
  package static func isHeader(_ bytes: [UInt8], _ name: Range<Int>, _ wanted: StaticString) -> Bool {
    HTTPText.matches(bytes, name, wanted)
  }

  /// The line at `start` without its CR LF; nil when its end has not come.
  private static func line(
    _ bytes: [UInt8], from start: Int, headStart: Int
  ) throws(HTTPResponseError) -> Range<Int>? {
    var end = start
    while true {
      end = InputBuffer.firstControl(in: bytes, from: end)
      guard end - headStart <= HTTPLimits.answerHeaderBytesMax else { throw .malformed("headers too long") }
      guard end < bytes.count else { return nil }
      guard bytes[end] == UInt8(ascii: "\t") else { break }
      end += 1
    }
    guard bytes[end] == UInt8(ascii: "\r") else { throw .malformed("line") }
    guard end + 1 < bytes.count else { return nil }
    guard bytes[end + 1] == UInt8(ascii: "\n") else { throw .malformed("line") }
    return start..<end
  }

  private static func statusLine(
    _ bytes: [UInt8], _ line: Range<Int>
  ) throws(HTTPResponseError) -> (status: Int, isHTTP10: Bool) {
    let code = line.lowerBound + 9
    guard line.count >= 12, HTTPText.hasPrefix(bytes, line, "http/1."), bytes[code - 1] == 0x20,
      let status = HTTPText.decimal(bytes, code..<code + 3), status >= 100,
      line.count == 12 || bytes[code + 3] == 0x20
    else { throw .malformed("status line") }
    return (status, bytes[code - 2] == UInt8(ascii: "0"))
  }
}

/// What the headers say about the answer's end.
private struct Framing {
  var keepsConnection: Bool
  var length: Int?
  var isChunked = false
  private var saidClose = false
  private var count = 0

  init(keepsConnection: Bool) { self.keepsConnection = keepsConnection }

  mutating func take(_ bytes: [UInt8], _ line: Range<Int>) throws(HTTPResponseError) {
    guard let name = headerName(bytes, line) else { throw .malformed("header line") }
    count += 1
    guard count <= HTTPLimits.answerHeaderCountMax else { throw .malformed("too many headers") }
    switch name.count {
    case 10 where HTTPText.matches(bytes, name, "connection"): setConnection(bytes, value(bytes, name, line))
    case 14 where HTTPText.matches(bytes, name, "content-length"):
      guard let stated = HTTPText.decimal(bytes, value(bytes, name, line)), length == nil || length == stated else {
        throw .malformed("Content-Length")
      }
      length = stated
    case 17 where HTTPText.matches(bytes, name, "transfer-encoding"): isChunked = true
    default: break
    }
  }

  private func value(_ bytes: [UInt8], _ name: Range<Int>, _ line: Range<Int>) -> Range<Int> {
    HTTPText.trimmed(bytes, name.upperBound + 1..<line.upperBound)
  }

  private mutating func setConnection(_ bytes: [UInt8], _ value: Range<Int>) {
    var close = false
    var keep = false
    HTTPText.forEachElement(bytes, value) { element in
      if HTTPText.matches(bytes, element, "close") { close = true }
      if HTTPText.matches(bytes, element, "keep-alive") { keep = true }
    }
    saidClose = saidClose || close
    keepsConnection = !saidClose && (keepsConnection || keep)
  }
}
