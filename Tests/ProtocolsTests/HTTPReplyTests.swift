import Causality
import Messages
import Protocols
import Testing

@Suite struct HTTPReplyTests {
  private func reply(_ text: String) -> HTTPReply? {
    var session = HTTPSession()
    session.receive(Array(text.utf8)[...])
    for action in session.actions() {
      switch action {
      case .request(_, let reply), .admin(_, let reply): return reply
      default: continue
      }
    }
    return nil
  }

  private func answer(
    _ method: String, _ response: ClientResponse, query: String = "", version: String = "HTTP/1.1", body: String = "v"
  ) -> String {
    reply(
      "\(method) /buckets/a%20b/keys/k\(query) \(version)\r\nHost: h\r\nContent-Type: a/b\r\n"
        + "X-Riak-Meta-M: n\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    )?.text(response) ?? "not a request"
  }

  private let object = ClientResponse.object(
    stamp: sampleStamp, payload: payload("text/plain", "hello", [("X-Riak-Meta-Color", "blue")]))

  private let objectHeaders = """
    X-Riak-Vclock: BQBjNbSQtgCrAAAA\r
    ETag: "00b690b435630005000000ab"\r
    Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r
    Link: </buckets/a%20b>; rel="up"\r

    """

  @Test func anObjectIsItsValueWithItsHeaders() {
    let expected =
      "HTTP/1.1 200 OK\r\n" + objectHeaders
      + "X-Riak-Meta-Color: blue\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
    #expect(answer("GET", object) == expected + "hello")
    #expect(answer("HEAD", object) == expected)
  }

  @Test func anEmptyValueIsFound() {
    let empty = ClientResponse.object(stamp: sampleStamp, payload: payload("text/plain", ""))
    #expect(answer("GET", empty).hasSuffix("Content-Length: 0\r\n\r\n"))
    #expect(answer("GET", empty).hasPrefix("HTTP/1.1 200 OK\r\n"))
  }

  @Test func notFoundAndTombstoneAreToldApart() {
    let plain = "Content-Type: text/plain\r\nContent-Length: 10\r\n\r\n"
    let deleted = "X-Riak-Vclock: BQBjNbSQtgCrAAAA\r\nX-Riak-Deleted: true\r\n"
    #expect(answer("GET", .notFound(tombstone: nil)) == "HTTP/1.1 404 Not Found\r\n\(plain)not found\n")
    #expect(
      answer("GET", .notFound(tombstone: sampleStamp)) == "HTTP/1.1 404 Not Found\r\n\(deleted)\(plain)not found\n")
    #expect(answer("HEAD", .notFound(tombstone: nil)) == "HTTP/1.1 404 Not Found\r\n\(plain)")
    #expect(answer("DELETE", .notFound(tombstone: nil)) == "HTTP/1.1 404 Not Found\r\n\(plain)not found\n")
  }

  @Test func writesHaveNoContentUnlessTheBodyIsAskedFor() {
    #expect(answer("PUT", .stored(stamp: sampleStamp)) == "HTTP/1.1 204 No Content\r\n\r\n")
    #expect(answer("DELETE", .deleted(stamp: sampleStamp)) == "HTTP/1.1 204 No Content\r\n\r\n")
    #expect(answer("PUT", .stored(stamp: sampleStamp), query: "?returnbody=false").hasPrefix("HTTP/1.1 204"))
    #expect(
      answer("PUT", .stored(stamp: sampleStamp), query: "?returnbody=true")
        == "HTTP/1.1 200 OK\r\n" + objectHeaders
        + "X-Riak-Meta-M: n\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\nv")
  }

  @Test(arguments: [
    (
      ClientFailure.unsatisfied(.r, wanted: 2, got: 1, detail: "n3 is down"), "503 Service Unavailable",
      "R-value unsatisfied: 1/2: n3 is down\n"
    ),
    (.unsatisfied(.pr, wanted: 3, got: 2, detail: ""), "503 Service Unavailable", "PR-value unsatisfied: 2/3\n"),
    (.unsatisfied(.w, wanted: 2, got: 0, detail: ""), "503 Service Unavailable", "W-value unsatisfied: 0/2\n"),
    (.unsatisfied(.dw, wanted: 2, got: 0, detail: ""), "503 Service Unavailable", "DW-value unsatisfied: 0/2\n"),
    (.unsatisfied(.pw, wanted: 2, got: 0, detail: ""), "503 Service Unavailable", "PW-value unsatisfied: 0/2\n"),
    (.timeout(detail: ""), "503 Service Unavailable", "request timed out\n"),
    (.timeout(detail: "a\r\nb"), "503 Service Unavailable", "request timed out: a  b\n"),
    (
      .invalidQuorum(n: 3), "400 Bad Request",
      "Specified w/dw/pw/node_confirms values invalid for bucket n value of 3\n"
    ),
    (.notReady(detail: "starting"), "503 Service Unavailable", "not ready: starting\n"),
    (
      .full(detail: "n2: its disk is full"), "507 Insufficient Storage", "insufficient storage: n2: its disk is full\n"
    ),
    (.unavailable(detail: "n2"), "503 Service Unavailable", "unavailable: n2\n"),
    (.damaged(detail: "p001"), "500 Internal Server Error", "damaged: p001\n"),
  ])
  func failuresSayWhy(failure: ClientFailure, status: String, text: String) {
    #expect(
      answer("GET", .failed(failure))
        == "HTTP/1.1 \(status)\r\nContent-Type: text/plain\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
  }

  @Test func anOverloadedNodeSaysWhenToComeBack() {
    #expect(
      answer("GET", .failed(.overloaded(detail: "")))
        .hasPrefix("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"))
  }

  @Test func contentThatIsNoneIsDamagedAndNeverNotFound() {
    #expect(answer("GET", .object(stamp: sampleStamp, payload: [9, 9])).hasPrefix("HTTP/1.1 500 "))
  }

  @Test func storedBytesCannotEndAHeader() {
    let evil = ClientResponse.object(
      stamp: sampleStamp, payload: payload("a\r\nX: y", "", [("M\r\n", "v\nSet-Cookie: x\u{0}")]))
    let text = answer("GET", evil)
    #expect(text.contains("Content-Type: a  X: y\r\n"))
    #expect(text.contains("M%0D%0A: v Set-Cookie: x \r\n"))
  }

  @Test func theConnectionsEndIsAnnounced() {
    #expect(answer("GET", .notFound(tombstone: nil), version: "HTTP/1.0").contains("\r\nConnection: close\r\n"))
    let kept = reply("GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    var bytes: [UInt8] = []
    kept?.encode(text: "OK", into: &bytes)
    #expect(
      String(decoding: bytes, as: UTF8.self)
        == "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK")
    #expect(kept?.closesConnection == false)
  }

  @Test func operatorsGetJSON() {
    var bytes: [UInt8] = []
    reply("GET /stats HTTP/1.1\r\nHost: h\r\n\r\n")?.encode(json: Array("{}".utf8), status: 503, into: &bytes)
    #expect(
      String(decoding: bytes, as: UTF8.self)
        == "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
  }
}
