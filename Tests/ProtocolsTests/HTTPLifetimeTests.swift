import Causality
import Messages
import Protocols
import Testing

@Suite("HTTP: objects that expire")
struct HTTPLifetimeTests {
  private func put(_ headers: String, method: String = "PUT") -> String {
    "\(method) /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n\(headers)Content-Length: 1\r\n\r\nv"
  }

  private func lifetime(_ headers: String) -> Lifetime? {
    if case .put(let put)? = request(put(headers)) { put.lifetime } else { nil }
  }

  @Test("seconds from the write, or a date; without a header the node decides")
  func understood() {
    #expect(lifetime("") == .standard)
    #expect(lifetime("X-Cairn-Expires-In: 60\r\n") == .seconds(60))
    #expect(lifetime("x-cairn-expires-IN:  1 \r\n") == .seconds(1))
    #expect(lifetime("X-Cairn-Expires-In: 3155760000\r\n") == .seconds(Expiry.lifetimeSecondsMax))
    let date = Lifetime.until(Expiry(milliseconds: 784_111_777_000))
    #expect(lifetime("X-Cairn-Expires-At: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == date)
    #expect(
      lifetime("X-Cairn-Expires-At: Fri, 31 Dec 9999 23:59:59 GMT\r\n")
        == .until(Expiry(milliseconds: 253_402_300_799_000)))
    #expect(lifetime("X-Cairn-Expires-In: never\r\n") == .unlimited)
    // The same once more says nothing else.
    #expect(lifetime("X-Cairn-Expires-In: 60\r\nX-Cairn-Expires-In: 60\r\n") == .seconds(60))
  }

  @Test(
    "what is no such time is refused, and nothing is written",
    arguments: [
      "X-Cairn-Expires-In: 0", "X-Cairn-Expires-In: -1", "X-Cairn-Expires-In: 1.5", "X-Cairn-Expires-In:",
      "X-Cairn-Expires-In: 3155760001", "X-Cairn-Expires-In: 60s", "X-Cairn-Expires-In: 99999999999999999999",
      "X-Cairn-Expires-At: 784111777", "X-Cairn-Expires-At: Mon, 06 Nov 1994 08:49:37 GMT",
      "X-Cairn-Expires-At: Thu, 01 Jan 1970 00:00:00 GMT", "X-Cairn-Expires-At: Wed, 31 Dec 1969 23:59:59 GMT",
      "X-Cairn-Expires-Soon: 60", "X-Cairn-Expires-In: 60\r\nX-Cairn-Expires-In: 61",
      "X-Cairn-Expires-In: 60\r\nX-Cairn-Expires-At: Sun, 06 Nov 1994 08:49:37 GMT",
    ])
  func refused(headers: String) {
    let answers = seen(put(headers + "\r\n"))
    #expect(answers.count == 1 && answers.first?.status == "HTTP/1.1 400 Bad Request", "\(answers)")
  }

  @Test(
    "a header that nearly says it is refused with the names of those that do",
    arguments: [
      "X-Cairn-TTL", "x-cairn-ttl", "X-Cairn-TTL-Seconds", "X-Cairn-Expire", "X-Cairn-Expires", "X-CAIRN-EXPIRE-IN",
      "X-Cairn-Expiry", "X-Cairn-Expiration", "X-Cairn-Expiresin",
    ])
  func near(name: String) throws {
    let answers = seen(put("\(name): 60\r\n"))
    let answer = try #require(answers.first)
    #expect(answers.count == 1 && answer.status == "HTTP/1.1 400 Bad Request", "\(answers)")
    #expect("\(answer)".contains("\(name) is unknown: X-Cairn-Expires-In or X-Cairn-Expires-At"), "\(answer)")
  }

  @Test("a read has no use for them")
  func reads() {
    let text = "GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nX-Cairn-Expires-In: nonsense\r\n\r\n"
    #expect(request(text) == .get(GetRequest(key: objectKey("b", "k"))))
  }

  @Test("the answer to a read says when the object expires, and only then")
  func expires() {
    func answer(_ method: String, _ expiry: Expiry, _ header: String = "") -> String {
      var session = HTTPSession()
      session.receive(Array("\(method) /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\(header)\r\n".utf8)[...])
      guard case .request(_, let reply) = session.next() else { return "" }
      return reply.text(.object(stamp: sampleStamp, payload: payload("a/b", "v"), expiry: expiry))
    }
    for method in ["GET", "HEAD"] {
      let text = answer(method, Expiry(milliseconds: 784_111_777_999))
      #expect(text.contains("\r\nExpires: Sun, 06 Nov 1994 08:49:37 GMT\r\n"))
      #expect(!answer(method, .never).contains("Expires"))
    }
    let unmodified = answer("GET", Expiry(milliseconds: 784_111_777_000), "If-None-Match: *\r\n")
    #expect(
      unmodified.hasPrefix("HTTP/1.1 304 ") && unmodified.contains("\r\nExpires: Sun, 06 Nov 1994 08:49:37 GMT\r\n"))
    #expect(answer("GET", .last).contains("\r\nExpires: Fri, 31 Dec 9999 23:59:59 GMT\r\n"))
  }
}
