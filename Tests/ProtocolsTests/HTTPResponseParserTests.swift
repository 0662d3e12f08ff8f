import Messages
import Primitives
import Protocols
import Testing

@Suite struct HTTPResponseParserTests {
  private func parse(_ text: String, head: Bool = false, ends: Bool = false) throws -> [HTTPResponse] {
    let bytes = Array(text.utf8)
    var found: [[HTTPResponse]] = []
    // At once and byte by byte: the same responses.
    for size in [bytes.count, 1] where size > 0 {
      var parser = HTTPResponseParser()
      parser.answersHead = head
      var all: [HTTPResponse] = []
      for start in stride(from: 0, to: bytes.count, by: size) {
        unsafe bytes[start..<start + size].withUnsafeBytes { unsafe parser.receive($0) }
        while let response = try parser.next() { all.append(response) }
      }
      if ends, let last = try parser.end() { all.append(last) }
      found.append(all)
    }
    #expect(found.allSatisfy { $0.map(\.body) == found[0].map(\.body) && $0.map(\.status) == found[0].map(\.status) })
    return found[0]
  }

  @Test func bodiesByLengthByChunksAndUntilTheEnd() throws {
    let responses = try parse(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
        + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Riak-Meta-A:  b \r\n\r\nhi"
        + "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 500 Oh\r\n\r\nrest",
      ends: true)
    #expect(responses.map(\.status) == [204, 200, 200, 500])
    #expect(responses.map { String(decoding: $0.body, as: UTF8.self) } == ["", "hi", "abc", "rest"])
    #expect(responses.map(\.keepsConnection) == [true, true, true, false])
    #expect(responses[1].header("x-riak-meta-a") == "b")
  }

  @Test func anAnswerToHeadHasNoBody() throws {
    let responses = try parse("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", head: true)
    #expect(responses.map(\.status) == [200])
  }

  @Test(arguments: [
    "HTTP/2 200 OK\r\n", "200 OK\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000\r\n", "HTTP/1.1 200 OK\nA: b\r\n",
    "HTTP/1.1 200 OK\r\nA b\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
  ])
  func whatIsNotAResponseIsAnError(text: String) {
    #expect(throws: HTTPResponseError.self) { try parse(text) }
  }

  @Test(arguments: ["HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"])
  func aConnectionThatEndsWithinAResponseIsAnError(text: String) {
    #expect(throws: HTTPResponseError.truncated) { try parse(text, ends: true) }
  }

  @Test func whatTheSessionAnswersIsUnderstood() throws {
    var session = HTTPSession()
    session.receive(
      Array("GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n".utf8)[...])
    var bytes: [UInt8] = []
    for action in session.actions() {
      switch action {
      case .request(_, let reply):
        reply.encode(.object(stamp: sampleStamp, payload: payload("a/b", "value")), into: &bytes)
      case .reply(let answer, _): bytes += answer
      default: #expect(Bool(false), "unexpected action")
      }
    }
    let responses = try parse(String(decoding: bytes, as: UTF8.self))
    #expect(responses.map(\.status) == [200, 404])
    #expect(responses.first?.body == Array("value".utf8))
    #expect(responses.first?.header("content-type") == "a/b")
  }

  @Test(arguments: 0..<1000 as Range<UInt64>) func garbageIsAnErrorOrNothing(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var bytes = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".utf8)
    for _ in 0..<3 { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
    var parser = HTTPResponseParser()
    unsafe bytes.withUnsafeBytes { unsafe parser.receive($0) }
    _ = try? parser.next()
    _ = try? parser.end()
  }
}
