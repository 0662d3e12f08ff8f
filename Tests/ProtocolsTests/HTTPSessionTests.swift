import Messages
import Primitives
import Protocols
import Testing

/// Requests that are answered, good and bad, on one connection each.
private let corpus: [String] = [
  "GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\r\n",
  "HEAD /buckets/b/keys/k/ HTTP/1.1\r\nHost: h\r\nX-Tab:\ta\tb \r\n\r\nGET /ping HTTP/1.1\r\nHost: h\r\n\r\n",
  "PUT /buckets/b/keys/k?w=2&returnbody=true HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
    + "Content-Length: 5\r\nX-Riak-Meta-A: 1\r\n\r\nhelloDELETE /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\r\n",
  "\r\nPOST /types/default/buckets/b%20c/keys/%2f HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n"
    + "Transfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n00a \t;q\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
    + "GET / HTTP/1.0\r\n\r\nGET /ping HTTP/1.1\r\n",
  "PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n"
    + "\r\nhi",
  "GET /buckets/b/keys/k?r=0 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
  "BREW /ping HTTP/1.1\r\nHost: h\r\n\r\nPATCH /ping HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nrest",
  "GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /ping HTTP/1.0\r\n\r\nGET /ping HTTP/1.0\r\n\r\n",
  "GET  /ping HTTP/1.1\r\n\r\n", "GET /ping HTTP/1.1\nHost: h\n\n", "GET /ping\r\n\r\n", "\u{1}",
  "GET /p\tq HTTP/1.1\r\n",
  "GET /ping HTTP/1.1\r\nHost : h\r\n\r\n", "GET /ping HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
  "GET /ping HTTP/1.1\r\nA: b\rc\r\n",
  "PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
]

@Suite struct HTTPSessionTests {
  @Test(arguments: corpus) func cuttingAnywhereChangesNothing(text: String) {
    let bytes = Array(text.utf8)
    let whole = seen(bytes)
    for cut in 0...bytes.count {
      var session = HTTPSession()
      session.receive(bytes[..<cut])
      let first = session.seen()
      session.receive(bytes[cut...])
      #expect(first + session.seen() == whole, "cut at \(cut)")
    }
    var session = HTTPSession()
    var single: [Seen] = []
    for index in bytes.indices {
      session.receive(bytes[index...index])
      single += session.seen()
    }
    #expect(single == whole)
  }

  @Test func aGetNamesItsKey() {
    #expect(request("GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\r\n") == .get(GetRequest(key: objectKey("b", "k"))))
    #expect(
      request("GET http://h:8098/buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\r\n")
        == .get(GetRequest(key: objectKey("b", "k"))))
  }

  @Test func aPutCarriesContentTypeMetadataAndBody() {
    let put = request(
      "PUT /buckets/b/keys/k HTTP/1.1\r\nHOST: h\r\ncontent-type:  text/x; charset=utf-8 \r\nContent-Length: 5\r\n"
        + "x-riak-META-Color: dark blue \r\nX-Riak-Meta-Empty:\r\nContent-Encoding: gzip\r\nOther: 1\r\n\r\nhello")
    let stored = payload(
      "text/x; charset=utf-8", "hello",
      [("x-riak-META-Color", "dark blue"), ("X-Riak-Meta-Empty", ""), ("Content-Encoding", "gzip")])
    #expect(put == .put(PutRequest(key: objectKey("b", "k"), payload: stored)))
  }

  @Test func chunksAreTheSameBody() {
    let head = "PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n"
    let plain = request(head + "Content-Length: 15\r\n\r\nhello0123456789")
    let chunked = request(head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n")
    #expect(plain == chunked && plain != nil)
  }

  @Test func anEmptyValueIsAValue() {
    let put = request("PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n\r\n")
    #expect(put == .put(PutRequest(key: objectKey("b", "k"), payload: payload("a/b", ""))))
  }

  @Test func aDeleteThatBringsAVersionIsAlwaysWritten() {
    var delete = DeleteRequest(key: objectKey("b", "k"))
    #expect(request("DELETE /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\r\n") == .delete(delete))
    delete.always = true
    delete.context = sampleStamp
    let clock = "BQBjNbSQtgCrAAAA"
    #expect(
      request("DELETE /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nX-Riak-Vclock: \(clock)\r\n\r\n") == .delete(delete))
  }

  @Test func pipelinedRequestsKeepTheirOrder() {
    let count = 200
    var text = ""
    for index in 0..<count {
      switch index % 3 {
      case 0: text += "GET /buckets/b/keys/\(index) HTTP/1.1\r\nHost: h\r\n\r\n"
      case 1:
        text += "PUT /buckets/b/keys/\(index) HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\n\r"
      default: text += "GET /missing/\(index) HTTP/1.1\r\nHost: h\r\n\r\n"
      }
    }
    let actions = seen(text)
    #expect(actions.count == count)
    for (index, action) in actions.enumerated() {
      switch action {
      case .request(.get(let get), false, _): #expect(index % 3 == 0 && get.key == objectKey("b", "\(index)"))
      case .request(.put(let put), false, _): #expect(index % 3 == 1 && put.key == objectKey("b", "\(index)"))
      case .reply(_, close: false): #expect(index % 3 == 2)
      default: #expect(Bool(false), "\(action)")
      }
    }
  }

  @Test func aConnectionLastsAsItsVersionSays() {
    func closes(_ line: String, _ headers: String = "") -> Bool? {
      guard case .admin(.ping, let closes)? = seen("GET /ping \(line)\r\nHost: h\r\n\(headers)\r\n").first else {
        return nil
      }
      return closes
    }
    #expect(closes("HTTP/1.1") == false)
    #expect(closes("HTTP/1.1", "Connection: foo, CLOSE\r\n") == true)
    #expect(closes("HTTP/1.1", "Connection: close\r\nConnection: keep-alive\r\n") == true)
    #expect(closes("HTTP/1.0") == true)
    #expect(closes("HTTP/1.0", "Connection: Keep-Alive\r\n") == false)
  }

  @Test func nothingIsReadBehindTheLastRequest() {
    let close = "GET /ping HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    var session = HTTPSession()
    session.receive(Array((close + close).utf8)[...])
    #expect(session.seen().count == 1)
    #expect(session.isClosed && session.bufferedBytes == 0)
    session.receive(Array(close.utf8)[...])
    #expect(session.seen().isEmpty && session.bufferedBytes == 0)
  }

  @Test func continueIsSaidOnceAndOnlyToWhomItHelps() {
    let put = "PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nExpect: 100-continue\r\n"
    let actions = seen(put + "Content-Length: 1\r\n\r\n")
    #expect(actions == [.send("HTTP/1.1 100 Continue\r\n\r\n")])
    #expect(seen(put + "\r\n").count == 1)
    #expect(seen(put + "Content-Length: 1\r\n\r\nx").count == 2)
    // A refused request's client may or may not send its body after the answer: the connection ends.
    let refused = seen(
      "PUT /nowhere HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    guard case .reply(let text, close: true)? = refused.first else { return #expect(Bool(false), "\(refused)") }
    #expect(text.hasPrefix("HTTP/1.1 404 Not Found\r\nConnection: close\r\n"))
    #expect(
      seen("GET /ping HTTP/1.1\r\nHost: h\r\nExpect: cake\r\n\r\n").first?.status.hasPrefix("HTTP/1.1 417") == true)
  }

  @Test(arguments: [
    "Content-Length: 1\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 1",
    "Content-Length: 1\r\nContent-Length: 2", "Content-Length: 1, 1", "Content-Length: -1", "Content-Length: +1",
    "Content-Length: 0x1", "Content-Length: 1 1", "Content-Length:", "Content-Length : 1", "Content-Length\t: 1",
    " Content-Length: 1", "A: b\r\n Content-Length: 1", "A: b\r\n\tc", "A: b\rContent-Length: 1", "A: \u{0}",
    "A: b\nContent-Length: 1", "A: b\u{7F}", "A\u{0}: b", "Content-Length", ": b", "A b: c",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Host: other", "A\u{E9}: b",
  ])
  func shapesThatTwoParsersReadDifferentlyAreRefused(headers: String) {
    let answers = seen("PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n\(headers)\r\n\r\nx")
    #expect(answers.count == 1)
    guard case .reply(let text, close: true)? = answers.first else { return #expect(Bool(false), "\(answers)") }
    #expect(text.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
  }

  @Test(arguments: [
    ("Content-Length: 67108865", 413), ("Content-Length: 99999999999999999999999", 413),
    ("Transfer-Encoding: gzip", 501), ("Transfer-Encoding: xchunked", 501), ("Transfer-Encoding: gzip, chunked", 501),
  ])
  func otherBodiesAreRefusedByName(header: String, status: Int) {
    let answers = seen("PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n\(header)\r\n\r\n")
    #expect(answers.first?.status.hasPrefix("HTTP/1.1 \(status) ") == true)
    guard case .reply(_, close: true)? = answers.first else { return #expect(Bool(false), "\(answers)") }
  }

  @Test(arguments: [
    "GET /ping HTTP/1.1 \r\n", "GET /ping  HTTP/1.1\r\n", " GET /ping HTTP/1.1\r\n", "GET /ping http/1.1\r\n",
    "GET HTTP/1.1\r\n", "/ping HTTP/1.1\r\n", "G(T /ping HTTP/1.1\r\n", "GET /a b HTTP/1.1\r\n",
    "GET /ping HTTP/11\r\n",
    "GET /ping HTTP/1.1\n", "GET /ping\r\n", "\rGET /ping HTTP/1.1\r\n", "GET /ping HTTP/1.1\r\r\n", "\n",
    "\u{16}\u{3}\u{1}",
  ])
  func requestLinesThatAreNoneAreRefused(line: String) {
    #expect(seen(line).map(\.status) == ["HTTP/1.1 400 Bad Request"])
  }

  @Test(arguments: ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.7"]) func otherVersionsAreRefused(version: String) {
    #expect(seen("GET /ping \(version)\r\n\r\n").map(\.status) == ["HTTP/1.1 505 HTTP Version Not Supported"])
  }

  @Test func aRequestWithoutHostIsRefusedIn11AndTakenIn10() {
    #expect(seen("GET /ping HTTP/1.1\r\n\r\n").map(\.status) == ["HTTP/1.1 400 Bad Request"])
    #expect(seen("GET /ping HTTP/1.0\r\n\r\n") == [.admin(.ping, closes: true)])
  }

  @Test(arguments: [
    "5\r\nhelloX", "5\r\nhello\rX", "G\r\n", "\r\n", "-1\r\n", "+5\r\n", "0x5\r\n", " 5\r\n", "5 5\r\n", "5\nhello",
    ";\r\n",
    "fffffffffffffffff\r\n", "0\r\nbad trailer\r\n\r\n", "5 \r\nhello",
  ])
  func chunksThatAreNoneAreRefused(body: String) {
    let head = "PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n"
    #expect(seen(head + body).map(\.status) == ["HTTP/1.1 400 Bad Request"])
  }

  @Test(arguments: 0..<100 as Range<UInt64>) func garbageNeverCrashesAndStaysBounded(block: UInt64) {
    let words = corpus.flatMap { $0.split(separator: "\r\n", omittingEmptySubsequences: false).map { Array($0.utf8) } }
    for seed in block * 100..<(block + 1) * 100 {
      var random = SeededGenerator(seed: seed)
      var session = HTTPSession()
      for _ in 0..<random.below(30) {
        var piece = random.chance(1, in: 2) ? words[random.below(words.count)] : []
        if random.chance(1, in: 2) { piece += [13, 10] }
        for _ in 0..<random.below(4) { piece.append(UInt8(truncatingIfNeeded: random.next())) }
        if !piece.isEmpty, random.chance(1, in: 4) { piece[random.below(piece.count)] = UInt8(random.below(256)) }
        session.receive(piece[...])
        for action in session.actions() {
          guard case .reply(let bytes, _) = action else { continue }
          #expect(bytes.starts(with: Array("HTTP/1.1 ".utf8)))
        }
      }
      #expect(session.bufferedBytes < 4096)
    }
  }
}
