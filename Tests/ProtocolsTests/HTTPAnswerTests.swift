import Primitives
import Protocols
import Testing

@Suite struct HTTPAnswerTests {
  @Test("finds what the response parser finds, and nothing in a part of it", arguments: UInt64(0)..<100)
  func agrees(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    for _ in 0...generator.below(4) { bytes += randomAnswer(&generator) }
    let expected = try responses(in: bytes)
    var position = 0
    for response in expected {
      let found = try HTTPAnswer.find(in: bytes, from: position, toHead: false, bodyBytesMax: 1000)
      let answer = try #require(found)
      #expect(answer.status == response.status && Array(bytes[answer.body]) == response.body)
      #expect(answer.keepsConnection == response.keepsConnection)
      var headers: [String] = []
      HTTPAnswer.forEachHeader(in: bytes, answer.headers) { name, value in
        headers.append(text(bytes[name]).lowercased() + "=" + text(bytes[value]))
      }
      #expect(headers == response.headers.map { "\($0.name)=\($0.value)" })
      for end in position..<answer.body.upperBound {
        #expect(
          try HTTPAnswer.find(in: Array(bytes[..<end]), from: position, toHead: false, bodyBytesMax: 1000) == nil)
      }
      position = answer.body.upperBound
    }
    #expect(position == bytes.count)
  }

  @Test("an answer that does not state its length, or is too long, is refused")
  func refused() throws {
    for text in [
      "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\r\nA b\r\n\r\n", "\r\n",
      "HTTP/1.1 200 OK\r\n" + String(repeating: "a: b\r\n", count: HTTPLimits.answerHeaderCountMax + 1),
      "HTTP/1.1 200 OK\r\na: " + String(repeating: "b", count: HTTPLimits.answerHeaderBytesMax),
    ] {
      #expect(throws: HTTPResponseError.self, "\(text.prefix(80))") {
        try HTTPAnswer.find(in: Array(text.utf8), from: 0, toHead: false, bodyBytesMax: 1000)
      }
    }
    let longest = Array("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".utf8) + [UInt8](repeating: 1, count: 1000)
    #expect(try HTTPAnswer.find(in: longest, from: 0, toHead: false, bodyBytesMax: 1000)?.body.count == 1000)
    #expect(try HTTPAnswer.find(in: longest, from: 0, toHead: true, bodyBytesMax: 1000)?.body.count == 0)
  }

  @Test("damage is refused, waited for, or found as the response parser finds it", arguments: UInt64(0)..<1000)
  func damage(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var bytes = randomAnswer(&generator)
    for _ in 0...generator.below(2) { bytes[generator.below(bytes.count)] = UInt8(generator.below(256)) }
    let found = try? HTTPAnswer.find(in: bytes, from: 0, toHead: false, bodyBytesMax: 1000)
    guard let answer = found ?? nil else { return }
    let response = try? responses(in: bytes).first
    #expect(response?.status == answer.status && response?.body == Array(bytes[answer.body]))
  }

  private func responses(in bytes: [UInt8]) throws -> [HTTPResponse] {
    var parser = HTTPResponseParser()
    unsafe bytes.withUnsafeBytes { unsafe parser.receive($0) }
    var all: [HTTPResponse] = []
    while let response = try parser.next() { all.append(response) }
    return all
  }
}

private func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

private func randomAnswer(_ generator: inout SeededGenerator) -> [UInt8] {
  if generator.chance(1, in: 4) { return Array("HTTP/1.1 204 No Content\r\n\r\n".utf8) }
  let interim = generator.chance(1, in: 5) ? "HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" : ""
  let extra = ["", "ETag: \"a\"\r\n", "X-Riak-Meta-A:\t b c \t\r\n", "Connection: close\r\n", "Empty:\r\n"]
  let body = [UInt8](repeating: 0x61, count: generator.below(30))
  let version = generator.chance(1, in: 6) ? "1.0" : "1.1"
  let head =
    "HTTP/\(version) \(400 + generator.below(200)) Words here\r\n"
    + extra[generator.below(extra.count)] + "content-LENGTH: \(body.count)\r\n" + extra[generator.below(extra.count)]
  return Array((interim + head + "\r\n").utf8) + body
}
