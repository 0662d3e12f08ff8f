import Client
import Platform
import Protocols
import Testing

@Suite struct HTTPClientStreamTests {
  /// The pieces of the answer, joined, and the answer.
  private func stream(_ answer: String, slice: Int = .max, closes: Bool = false) throws -> (String, HTTPResponse) {
    let bytes = Array(answer.utf8)
    let server = try ScriptedServer(sliceMax: slice) { _ in closes ? .sendAndClose(bytes) : .send(bytes) }
    var client = HTTPClient(server.endpoint, timeoutMilliseconds: 10_000)
    var body: [UInt8] = []
    let response = try client.stream("/") { body += $0 }
    return (String(decoding: body, as: UTF8.self), response)
  }

  @Test("a body is handed out as it comes: by length, in chunks, until the end", arguments: [1, 7, 1000])
  func pieces(slice: Int) throws {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    for (answer, closes) in [
      (chunked, false), ("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", false),
      ("HTTP/1.1 200 OK\r\n\r\nhello world", true),
    ] {
      let (body, response) = try stream(answer, slice: slice, closes: closes)
      #expect(body == "hello world" && response.status == 200 && response.body.isEmpty)
      #expect(response.keepsConnection == !closes)
    }
  }

  @Test("an answer that is no 200 is returned whole, and nothing of it is handed out")
  func refusal() throws {
    let (body, response) = try stream("HTTP/1.1 503 X\r\nContent-Length: 4\r\n\r\nbusy")
    #expect(body.isEmpty && response.status == 503 && response.body == Array("busy".utf8))
  }

  @Test(
    "an answer that ends early is an error, never a shorter answer",
    arguments: [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ])
  func cutShort(answer: String) throws {
    let error = #expect(throws: HTTPClientError.self) { try stream(answer, closes: true) }
    if case .cutShort? = error {} else { Issue.record("\(String(describing: error))") }
  }

  @Test("an answer that never began is no answer")
  func noAnswer() throws {
    let error = #expect(throws: HTTPClientError.self) { try stream("HTTP/1.1 2", closes: true) }
    if case .noAnswer? = error {} else { Issue.record("\(String(describing: error))") }
  }

  @Test("what the taker throws comes through, and the next request makes a new connection")
  func thrown() throws {
    struct Enough: Error {}
    let answer = ScriptedServer.answer(200, [UInt8](repeating: 1, count: 1000))
    let server = try ScriptedServer { request in
      request.target == "/connection" ? .ok([UInt8(request.connection)]) : .send(answer)
    }
    var client = HTTPClient(server.endpoint, timeoutMilliseconds: 10_000)
    #expect(throws: Enough.self) { try client.stream("/") { _ in throw Enough() } }
    #expect(try client.send("GET", "/connection").body == [1])
  }

  @Test("a streamed body may be longer than any that is kept")
  func long() throws {
    let chunk = [UInt8](repeating: 0x61, count: 8 << 20)
    let begin = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
    let piece = Array("\(String(chunk.count, radix: 16))\r\n".utf8) + chunk + Array("\r\n".utf8)
    let answer = begin + (0..<9).flatMap { _ in piece } + Array("0\r\n\r\n".utf8)
    let server = try ScriptedServer(sliceMax: 16 << 20) { _ in .send(answer) }
    var client = HTTPClient(server.endpoint, timeoutMilliseconds: 30_000)
    var count = 0
    let response = try client.stream("/") { count += $0.count }
    #expect(response.status == 200 && count == 9 * chunk.count && count > HTTPLimits.bodyBytesMax)
  }
}
