import Messages
import Protocols
import Testing

/// Every limit at its edge, in one piece and in many.
@Suite struct HTTPLimitTests {
  /// The actions of `bytes`, the same whether they come at once or in pieces.
  private func answers(_ bytes: [UInt8]) -> [Seen] {
    let whole = seen(bytes)
    var session = HTTPSession()
    var pieces: [Seen] = []
    var start = 0
    while start < bytes.count {
      let end = min(bytes.count, start + 4093)
      session.receive(bytes[start..<end])
      pieces += session.seen()
      start = end
    }
    #expect(pieces == whole)
    return whole
  }

  private func answers(_ text: String) -> [Seen] { answers(Array(text.utf8)) }

  @Test func requestLine() {
    let fixed = "GET /ping/".utf8.count + " HTTP/1.1".utf8.count
    func line(_ bytes: Int) -> String {
      "GET /ping/" + String(repeating: "x", count: bytes - fixed) + " HTTP/1.1\r\nHost: h\r\n\r\n"
    }
    #expect(answers(line(HTTPLimits.requestLineBytesMax)).map(\.status) == ["HTTP/1.1 404 Not Found"])
    let tooLong = answers(line(HTTPLimits.requestLineBytesMax + 1))
    #expect(tooLong.map(\.status) == ["HTTP/1.1 414 URI Too Long"])
    // It is known before the line's end comes, and nothing is kept.
    var session = HTTPSession()
    session.receive([UInt8](repeating: 65, count: HTTPLimits.requestLineBytesMax)[...])
    #expect(session.seen().isEmpty)
    session.receive([65][...])
    #expect(session.seen().map(\.status) == ["HTTP/1.1 414 URI Too Long"])
    #expect(session.bufferedBytes == 0)
  }

  @Test func headerBytes() {
    // Four lines together with their ends.
    func head(_ bytes: Int) -> String {
      let start =
        "Host: h\r\nA: \(String(repeating: "a", count: 20_000))\r\nB: \(String(repeating: "b", count: 20_000))\r\n"
      let last = bytes - start.utf8.count - 5
      return "GET /ping HTTP/1.1\r\n\(start)C: \(String(repeating: "c", count: last))\r\n\r\n"
    }
    #expect(answers(head(HTTPLimits.headerBytesMax)) == [.admin(.ping, closes: false)])
    #expect(
      answers(head(HTTPLimits.headerBytesMax + 1)).map(\.status) == ["HTTP/1.1 431 Request Header Fields Too Large"])
  }

  @Test func headerCount() {
    func head(_ count: Int) -> String {
      "GET /ping HTTP/1.1\r\nHost: h\r\n" + String(repeating: "A: b\r\n", count: count - 1) + "\r\n"
    }
    #expect(answers(head(HTTPLimits.headerCountMax)) == [.admin(.ping, closes: false)])
    #expect(
      answers(head(HTTPLimits.headerCountMax + 1)).map(\.status) == ["HTTP/1.1 431 Request Header Fields Too Large"])
  }

  private let put = "PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n"

  @Test func bodyByLength() {
    let body = [UInt8](repeating: 7, count: HTTPLimits.bodyBytesMax)
    var session = HTTPSession()
    session.receive(Array((put + "Content-Length: \(body.count)\r\n\r\n").utf8)[...])
    session.receive(body[...])
    guard case .request(.put(let request), _)? = session.actions().first else {
      return #expect(Bool(false), "the largest body was not taken")
    }
    #expect(request.payload.count == body.count + payload("a/b", "").count)
    #expect(session.bufferedBytes == 0)
    let tooLong = answers(put + "Content-Length: \(body.count + 1)\r\n\r\n")
    #expect(tooLong.map(\.status) == ["HTTP/1.1 413 Content Too Large"])
  }

  @Test func bodyInChunks() {
    let head = put + "Transfer-Encoding: chunked\r\n\r\n"
    let most = String(HTTPLimits.bodyBytesMax, radix: 16)
    #expect(answers(head + most + "\r\n").isEmpty)
    let more = String(HTTPLimits.bodyBytesMax + 1, radix: 16)
    #expect(answers(head + more + "\r\n").map(\.status) == ["HTTP/1.1 413 Content Too Large"])
    let rest = String(HTTPLimits.bodyBytesMax - 1, radix: 16)
    #expect(answers(head + "1\r\nx\r\n" + rest + "\r\n").isEmpty)
    #expect(answers(head + "1\r\nx\r\n" + most + "\r\n").map(\.status) == ["HTTP/1.1 413 Content Too Large"])
  }

  @Test func chunkLine() {
    func chunk(_ bytes: Int) -> String {
      put + "Transfer-Encoding: chunked\r\n\r\n1;" + String(repeating: "x", count: bytes - 2) + "\r\ny\r\n0\r\n\r\n"
    }
    #expect(answers(chunk(HTTPLimits.chunkLineBytesMax)).count == 1)
    #expect(answers(chunk(HTTPLimits.chunkLineBytesMax)).first?.status == "")
    #expect(answers(chunk(HTTPLimits.chunkLineBytesMax + 1)).map(\.status) == ["HTTP/1.1 400 Bad Request"])
  }

  @Test func trailers() {
    func trailer(_ bytes: Int) -> String {
      put + "Transfer-Encoding: chunked\r\n\r\n0\r\nT: " + String(repeating: "x", count: bytes - 5) + "\r\n\r\n"
    }
    #expect(answers(trailer(HTTPLimits.trailerBytesMax)).first?.status == "")
    #expect(
      answers(trailer(HTTPLimits.trailerBytesMax + 1)).map(\.status)
        == ["HTTP/1.1 431 Request Header Fields Too Large"])
  }

  @Test func aConnectionKeepsNothingOfWhatItHasServed() {
    var session = HTTPSession()
    let request = Array((put + "Content-Length: 5000\r\n\r\n").utf8) + [UInt8](repeating: 1, count: 5000)
    var stream: [UInt8] = []
    for _ in 0..<300 { stream += request }
    var served = 0
    var start = 0
    while start < stream.count {
      let end = min(stream.count, start + 7919)
      session.receive(stream[start..<end])
      served += session.actions().count
      #expect(session.bufferedBytes < request.count + 7919)
      start = end
    }
    #expect(served == 300)
  }
}
