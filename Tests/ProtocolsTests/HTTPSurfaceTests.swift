import Causality
import Messages
import Primitives
import Protocols
import Testing

// The object interface beyond plain reads and writes: old paths, keys made here, conditions, links, versions, what a
// client accepts, listings. Statuses and headers as clients of Riak know them.

@Suite struct HTTPSurfaceTests {
  private func action(_ text: String, seeds: (UInt64, UInt64) = (1, 2)) -> HTTPAction? {
    var session = HTTPSession(configuration: HTTPConfiguration(replicas: 3, keySeeds: seeds))
    session.receive(Array(text.utf8)[...])
    return session.actions().first
  }

  /// What a request for an object is answered when the node says `response`.
  private func answer(_ text: String, _ response: ClientResponse) -> String {
    switch action(text) {
    case .request(_, let reply): reply.text(response)
    case .reply(let bytes, _): String(decoding: bytes, as: UTF8.self)
    default: "something else"
    }
  }

  private func status(_ text: String) -> Int? { Int(text.dropFirst(9).prefix(3)) }
  private func head(_ target: String, _ headers: String = "", method: String = "GET") -> String {
    "\(method) \(target) HTTP/1.1\r\nHost: h\r\n\(headers)\r\n"
  }
  private func put(_ headers: String, method: String = "PUT", target: String = "/buckets/b/keys/k") -> String {
    "\(method) \(target) HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\(headers)\r\nv"
  }

  private let object = ClientResponse.object(stamp: sampleStamp, payload: payload("text/plain", "hello"))
  private let tag = "\"00b690b435630005000000ab\""

  // MARK: - Paths

  @Test("the paths of all three generations name the same object")
  func generations() {
    for target in ["/riak/b/k", "/buckets/b/keys/k", "/types/default/buckets/b/keys/k", "/riak/b/k/"] {
      #expect(request(head(target)) == .get(GetRequest(key: objectKey("b", "k"))), "\(target)")
    }
  }

  @Test("an object that is posted without a key gets one, and its place, in the words of the path")
  func creation() throws {
    var places: Set<String> = []
    for (target, prefix) in [
      ("/buckets/b/keys", "/buckets/b/keys/"), ("/types/default/buckets/b/keys", "/types/default/buckets/b/keys/"),
      ("/riak/b", "/riak/b/"),
    ] {
      let text = put("", method: "POST", target: target)
      guard case .request(.put(let request), _)? = action(text) else {
        Issue.record("\(target) puts nothing")
        continue
      }
      let key = String(decoding: request.key.key, as: UTF8.self)
      #expect(key.count == 22 && key.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) })
      let reply = answer(text, .stored(stamp: sampleStamp))
      #expect(status(reply) == 201 && reply.contains("\r\nLocation: \(prefix)\(key)\r\n"), "\(reply)")
      places.insert(key)
    }
    // The same seeds make the same key; others make others.
    #expect(places.count == 1)
    guard case .request(.put(let other), _)? = action(put("", method: "POST", target: "/riak/b"), seeds: (1, 3)) else {
      Issue.record("no put")
      return
    }
    #expect(!places.contains(String(decoding: other.key.key, as: UTF8.self)))
  }

  @Test(
    "methods that a path does not know are told which it does",
    arguments: [
      ("/buckets/b/keys", "DELETE"), ("/buckets", "PUT"), ("/riak", "POST"), ("/buckets/b/keys/k", "PATCH"),
      ("/stats", "POST"), ("/buckets/b/keys", "PUT"), ("/buckets/b/props", "PUT"), ("/buckets/b/props", "DELETE"),
    ])
  func methods(target: String, method: String) {
    let reply = seen("\(method) \(target) HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    guard case .reply(let text, _)? = reply.first else {
      Issue.record("\(reply)")
      return
    }
    #expect(status(text) == 405 && text.contains("\r\nAllow: GET, HEAD"), "\(text)")
  }

  // MARK: - Conditions

  @Test(
    "a client that has the version is told so, without the value",
    arguments: [
      "If-None-Match: TAG", "If-None-Match: \"x\", TAG", "If-None-Match: W/TAG", "If-None-Match: *",
      "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "If-Modified-Since: Mon, 07 Nov 1994 00:00:00 GMT",
    ])
  func unmodified(header: String) {
    for method in ["GET", "HEAD"] {
      let line = header.replacing("TAG", with: tag) + "\r\n"
      let reply = answer(head("/buckets/b/keys/k", line, method: method), object)
      #expect(status(reply) == 304 && reply.contains("\r\nETag: \(tag)\r\n"), "\(reply)")
      #expect(reply.hasSuffix("\r\n\r\n") && !reply.contains("hello"))
    }
  }

  @Test(
    "a client that has another version gets the value",
    arguments: [
      "If-None-Match: \"x\"", "If-None-Match: TAGx", "If-None-Match:",
      "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT",
      "If-Modified-Since: yesterday", "If-Modified-Since: Sun, 99 Nov 1994 08:49:37 GMT",
      "If-None-Match: \"x\"\r\nIf-Modified-Since: Mon, 07 Nov 2044 00:00:00 GMT", "If-Match: TAG", "If-Match: *",
      "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    ])
  func modified(header: String) {
    let reply = answer(head("/buckets/b/keys/k", header.replacing("TAG", with: tag) + "\r\n"), object)
    #expect(status(reply) == 200 && reply.hasSuffix("\r\n\r\nhello"), "\(reply)")
  }

  @Test(
    "a condition that does not hold is answered 412",
    arguments: [
      "If-Match: \"x\"", "If-Match: W/TAG", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT",
    ])
  func failed(header: String) {
    let reply = answer(head("/buckets/b/keys/k", header.replacing("TAG", with: tag) + "\r\n"), object)
    #expect(status(reply) == 412 && !reply.contains("hello"), "\(reply)")
  }

  @Test(
    "what is not there is not there, whatever the condition", arguments: ["If-None-Match: *", "If-None-Match: TAG"])
  func conditionOnNothing(header: String) {
    let text = head("/buckets/b/keys/k", header.replacing("TAG", with: tag) + "\r\n")
    #expect(status(answer(text, .notFound(tombstone: nil))) == 404)
  }

  // MARK: - Versions

  @Test("the version of a read comes back with a write; anything else is refused")
  func versions() throws {
    let read = answer(head("/buckets/b/keys/k"), object)
    let clock = try #require(read.split(separator: "\r\n").first { $0.hasPrefix("X-Riak-Vclock: ") })
    guard case .request(.put(let put), _)? = action(put("\(clock)\r\n")) else {
      Issue.record("no put")
      return
    }
    #expect(put.context == sampleStamp)
    guard case .request(.delete(let delete), _)? = action(head("/buckets/b/keys/k", "\(clock)\r\n", method: "DELETE"))
    else {
      Issue.record("no delete")
      return
    }
    #expect(delete.context == sampleStamp && delete.always)
    for clock in ["abcd", "!", "BQBjNbSQtgCrAAAA=", "BQBjNbSQtgCrAAA", "//////////////8="] {
      #expect(status(answer(self.put("X-Riak-Vclock: \(clock)\r\n"), .stored(stamp: .zero))) == 400, "\(clock)")
    }
  }

  // MARK: - Links and Accept

  @Test("links are stored without the one to the bucket, and come back behind it")
  func links() {
    let sent =
      "Link: </buckets/b>; rel=\"up\", </buckets/p/keys/a%20b>; riaktag=\"t\"\r\nLink: </riak/p/c>; riaktag=\"u\"\r\n"
    guard case .request(.put(let put), _)? = action(put(sent)) else {
      Issue.record("no put")
      return
    }
    let reply = answer(head("/buckets/b/keys/k"), .object(stamp: sampleStamp, payload: put.payload))
    let line = reply.split(separator: "\r\n").filter { $0.hasPrefix("Link: ") }
    #expect(
      line == [
        "Link: </buckets/b>; rel=\"up\", </buckets/p/keys/a%20b>; riaktag=\"t\", </buckets/p/keys/c>; riaktag=\"u\""
      ])
    for bad in ["x", "</buckets/b/keys/k>", "<>; riaktag=\"t\"", "</buckets/b/keys/k; riaktag=\"t\""] {
      #expect(status(answer(self.put("Link: \(bad)\r\n"), .stored(stamp: .zero))) == 400, "\(bad)")
    }
  }

  @Test("index entries come back; an integer that is none is refused")
  func indexes() {
    guard case .request(.put(let put), _)? = action(put("X-Riak-Index-age_int: 5, -7\r\n")) else {
      Issue.record("no put")
      return
    }
    let reply = answer(head("/buckets/b/keys/k"), .object(stamp: sampleStamp, payload: put.payload))
    #expect(reply.lowercased().contains("\r\nx-riak-index-age_int: 5, -7\r\n"))
    #expect(status(answer(self.put("X-Riak-Index-age_int: five\r\n"), .stored(stamp: .zero))) == 400)
  }

  @Test(
    "what the client does not accept is answered 406",
    arguments: [
      ("*/*", 200), ("text/*", 200), ("text/plain", 200), ("application/json, text/plain;q=0.5", 200),
      ("TEXT/PLAIN", 200),
      ("application/json", 406), ("text/plain;q=0, */*;q=0", 406), ("multipart/mixed", 406),
      ("multipart/mixed, */*;q=0.5", 200), ("text/plain;q=0, */*", 406), ("", 200),
    ])
  func accept(accept: String, expected: Int) {
    #expect(status(answer(head("/buckets/b/keys/k", "Accept: \(accept)\r\n"), object)) == expected)
  }

  // MARK: - Listings

  private func listing(_ text: String, _ parts: [ListingPart]) -> (text: String, progress: HTTPReply.Progress)? {
    guard case .list(_, var reply)? = action(text) else { return nil }
    var bytes: [UInt8] = []
    var progress = HTTPReply.Progress.begun
    for part in parts { progress = reply.encode(part, into: &bytes) }
    return (String(decoding: bytes, as: UTF8.self), progress)
  }

  private func names(_ names: [[UInt8]]) -> ListingPart {
    var listed = ListedNames()
    for name in names { listed.append(name[...]) }
    return .names(listed)
  }

  @Test(
    "the paths of listings and what they ask",
    arguments: [
      ("/buckets/b/keys?keys=true", true), ("/types/default/buckets/b/keys?keys=stream", true),
      ("/riak/b?keys=true", true),
      ("/buckets?buckets=true", false), ("/types/default/buckets?buckets=stream", false), ("/riak?buckets=true", false),
    ])
  func listingPaths(target: String, isKeys: Bool) {
    guard case .list(let request, _)? = action(head(target + "&timeout=500")) else {
      Issue.record("\(target) lists nothing")
      return
    }
    var expected = ListRequest(isKeys ? .keys(bucket: Array("b".utf8)) : .buckets)
    expected.timeoutMilliseconds = 500
    #expect(request == expected)
  }

  @Test("one document in chunks, or one a part; the parts together are all names")
  func documents() throws {
    let parts = [names([Array("a".utf8), Array("q\"\\\u{1}".utf8)]), names([Array("é".utf8)]), .end]
    let whole = try #require(listing(head("/buckets/b/keys?keys=true"), parts))
    #expect(whole.progress == .complete && whole.text.contains("Transfer-Encoding: chunked"))
    let body = try HTTPSurfaceTests.unchunked(whole.text)
    let json = try JSON.parse(Array(body.utf8))
    #expect(json["keys"]?.array?.map { $0.string } == ["a", "q\"\\\u{1}", "é"])
    let stream = try #require(listing(head("/buckets/b/keys?keys=stream"), parts))
    #expect(
      try HTTPSurfaceTests.unchunked(stream.text)
        == "{\"keys\":[\"a\",\"q\\\"\\\\\\u0001\"]}{\"keys\":[\"é\"]}{\"keys\":[]}")
    let none = try #require(listing(head("/buckets?buckets=true"), [.end]))
    #expect(try HTTPSurfaceTests.unchunked(none.text) == "{\"buckets\":[]}")
    let old = try #require(listing(head("/riak/b?keys=true"), parts))
    #expect(try JSON.parse(Array(HTTPSurfaceTests.unchunked(old.text).utf8))["props"]?["n_val"]?.integer == 3)
  }

  @Test("bytes that are no UTF-8 are told one by one and nothing is lost", arguments: UInt64(0)..<50)
  func bytes(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let name = (0..<1 + generator.below(12)).map { _ in
      generator.chance(1, in: 2) ? UInt8(truncatingIfNeeded: generator.next()) : UInt8(97 + generator.below(26))
    }
    let stream = try #require(listing(head("/buckets/b/keys?keys=stream"), [names([name]), .end]))
    var parser = ListingParser(.keys)
    let body = Array(try HTTPSurfaceTests.unchunked(stream.text).utf8)
    var told: [[UInt8]] = []
    try parser.receive(body) { told.append(Array($0)) }
    #expect(told == [name])
  }

  @Test(
    "a listing that cannot begin is an ordinary error; one that breaks off never ends well",
    arguments: ["true", "stream"])
  func failures(mode: String) throws {
    let text = head("/buckets/b/keys?keys=\(mode)")
    let failure = ListingPart.failed(.timeout(detail: "slow"))
    let early = try #require(listing(text, [failure]))
    #expect(status(early.text) == 503 && early.progress == .complete && early.text.contains("Content-Length"))
    let late = try #require(listing(text, [names([[97]]), failure]))
    #expect(late.progress == .broken && !late.text.hasSuffix("0\r\n\r\n"))
    #expect(late.text.contains("{\"error\":") == (mode == "stream"))
  }

  @Test("HTTP/1.0 has no chunks: the end of the connection is the end of the listing")
  func oldVersion() throws {
    let text = "GET /buckets/b/keys?keys=true HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    guard case .list(_, let reply)? = action(text) else {
      Issue.record("no listing")
      return
    }
    #expect(reply.closesConnection)
    let whole = try #require(listing(text, [names([[97]]), .end]))
    #expect(!whole.text.contains("chunked") && whole.text.hasSuffix("\r\n\r\n{\"keys\":[\"a\"]}"))
  }

  @Test("without a question nothing is listed; what is no question is refused")
  func questions() {
    for target in ["/buckets/b/keys", "/buckets/b/keys?keys=false"] {
      #expect(status(answer(head(target), object)) == 200 && answer(head(target), object).hasSuffix("\r\n\r\n{}"))
    }
    #expect(status(answer(head("/buckets/b/keys?keys=true&x=1"), object)) == 400)
    #expect(status(answer(head("/buckets/b/keys?keys=true&timeout=x"), object)) == 400)
    #expect(status(answer(head("/types/T/buckets?buckets=true"), object)) == 404)
    #expect(status(answer(head("/types/T/props"), object)) == 404)
    #expect(status(answer(head("/buckets/b/keys?keys=true", "Accept: text/html\r\n"), object)) == 406)
    #expect(status(answer(head("/buckets/b/props"), object)) == 200)
  }

  @Test("headers of any bytes are an answer or a refusal, never a crash", arguments: UInt64(0)..<300)
  func fuzz(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let names = [
      "If-None-Match", "If-Modified-Since", "If-Match", "Accept", "Link", "X-Riak-Vclock", "X-Riak-Index-a_int",
    ]
    let pieces = [
      "\"", ",", ";", "q=", "*", "/", "W/", "<", ">", "riaktag", "=", "Sun, 06 Nov 1994", "08:49:37", " GMT",
      "0", "9", "-", "AAAA", "text", "plain", "/buckets/b/keys/k", " ", "%", "\\",
    ]
    for _ in 0..<20 {
      var value = ""
      for _ in 0..<generator.below(12) { value += pieces[generator.below(pieces.count)] }
      let header = "\(names[generator.below(names.count)]): \(value)\r\n"
      let text = generator.chance(1, in: 2) ? head("/buckets/b/keys/k", header) : put(header)
      let reply = answer(text, generator.chance(1, in: 2) ? object : .stored(stamp: sampleStamp))
      #expect(status(reply).map { (200..<600).contains($0) } ?? false, "\(header)")
    }
  }

  private static func unchunked(_ text: String) throws -> String {
    var parser = HTTPResponseParser()
    let bytes = Array(text.utf8)
    unsafe bytes.withUnsafeBytes { unsafe parser.receive($0) }
    return String(decoding: try #require(try parser.next()).body, as: UTF8.self)
  }
}
