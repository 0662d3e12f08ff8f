import Causality
import Messages
import Primitives
import Testing

@testable import Protocols

// One object behind both doors: what one has stored the other gives out, and takes back.

@Suite struct PBContentTests {
  private let content = RpbContent(value: pbBytes("v"))

  @Test("what one door stores the other one gives out")
  func bothDoors() throws {
    var session = HTTPSession()
    session.receive(
      Array(
        """
        PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 1\r\n\
        Content-Encoding: gzip\r\nX-Riak-Meta-color: dark\r\nX-Riak-Index-age_int: 1, 2\r\n\
        Link: </buckets/o%20x/keys/p>; riaktag="t"\r\n\r\nv
        """.utf8)[...])
    guard case .request(.put(let stored), _)? = session.actions().first else {
      Issue.record("no put")
      return
    }
    var content = try #require(RpbContent(stored.payload, sampleStamp, isHead: false))
    #expect(pbText(content.charset) == "utf-8" && pbText(content.contentEncoding) == "gzip")
    #expect(content.indexes.map { pbText($0.value) } == ["1", "2"])
    #expect(content.indexes.map { pbText($0.key) } == ["age_int", "age_int"])
    #expect(
      content.links == [RpbLink(bucket: pbBytes("o x"), key: pbBytes("p"), tag: pbBytes("t"))])
    content.indexes = [RpbPair(key: pbBytes("age_int"), value: pbBytes("1, 2"))]
    #expect(ObjectContent(payload: try content.payload()) == ObjectContent(payload: stored.payload))
  }

  @Test("user metadata whose name is no header's goes out over HTTP with escapes, and comes back here as it was")
  func oddNames() throws {
    var content = content
    content.userMetadata = [RpbPair(key: pbBytes("a b:\r\n"), value: pbBytes("x"))]
    let stored = try content.payload()
    #expect(RpbContent(stored, sampleStamp, isHead: false)?.userMetadata == content.userMetadata)
    guard case .request(_, let reply)? = httpGet() else { return }
    let text = reply.text(.object(stamp: sampleStamp, payload: stored))
    #expect(text.contains("\r\nX-Riak-Meta-a%20b%3A%0D%0A: x\r\n"))
  }

  /// What HTTP stores when what it has told of `stored` is written back: every header, as a client that knows none of them.
  private func writtenBack(_ stored: [UInt8]) -> [UInt8]? {
    guard case .request(_, let reply)? = httpGet() else { return nil }
    let headers = reply.text(.object(stamp: sampleStamp, payload: stored)).split(separator: "\r\n\r\n")[0]
      .split(separator: "\r\n").dropFirst()
    var session = HTTPSession()
    let head = ["PUT /buckets/b/keys/k HTTP/1.1", "Host: h"] + headers.map { String($0) }
    session.receive(Array((head.joined(separator: "\r\n") + "\r\n\r\nv").utf8)[...])
    guard case .request(.put(let put), _)? = session.actions().first else { return nil }
    return put.payload
  }

  @Test("names of metadata stay distinct over HTTP, and what HTTP reads and writes back keeps its names")
  func namesSurvive() throws {
    var content = content
    content.contentType = pbBytes("text/plain")
    let names = ["a b", "a%20b", "a%", "a%2", "a%2 ", "%%41", "a%2520b", "é%E9"]
    content.userMetadata = names.map { RpbPair(key: pbBytes($0), value: pbBytes($0 == "a b" ? "1" : "2")) }
    content.indexes = [RpbPair(key: pbBytes("a b%20_bin"), value: pbBytes("x"))]
    let stored = try content.payload()
    guard case .request(_, let reply)? = httpGet() else { return }
    let text = reply.text(.object(stamp: sampleStamp, payload: stored))
    for name in ["a%20b: 1", "a%2520b: 2", "a%: 2", "a%2: 2", "a%2%20: 2"] {
      #expect(text.contains("\r\nX-Riak-Meta-\(name)\r\n"), "\(name)")
    }
    #expect(writtenBack(stored).map { ObjectContent(payload: $0) } == ObjectContent(payload: stored))
  }

  @Test("a link without a tag, or with an odd one, survives being read and written back over HTTP")
  func linksSurvive() throws {
    var content = content
    content.contentType = pbBytes("text/plain")
    content.links = [
      RpbLink(bucket: pbBytes("b"), key: pbBytes("k"), tag: nil),
      RpbLink(bucket: pbBytes("b c"), key: pbBytes("k"), tag: pbBytes("a\";")),
    ]
    let stored = try content.payload()
    #expect(writtenBack(stored).map { ObjectContent(payload: $0) } == ObjectContent(payload: stored))
    #expect(RpbContent(stored, sampleStamp, isHead: false)?.links.map { pbText($0.tag) } == ["", "a\";"])
  }

  @Test("control characters that only this door can store are spaces over HTTP: no header ends early")
  func controlCharacters() throws {
    var content = content
    content.contentType = pbBytes("text/plain; a=\r\nb")
    content.contentEncoding = pbBytes("x\r\ny")
    content.userMetadata = [RpbPair(key: pbBytes("n"), value: pbBytes("v\r\nw"))]
    guard case .request(_, let reply)? = httpGet() else { return }
    let text = reply.text(.object(stamp: sampleStamp, payload: try content.payload()))
    for line in ["Content-Type: text/plain; a=  b", "Content-Encoding: x  y", "X-Riak-Meta-n: v  w"] {
      #expect(text.contains("\r\n\(line)\r\n"), "\(line)")
    }
  }

  @Test("a charset is told apart from the type where it is the last parameter, and otherwise left in it")
  func charsets() {
    func told(_ type: String) -> [String?] {
      let content = RpbContent(payload(type, "v"), sampleStamp, isHead: false)
      return [pbText(content?.contentType), pbText(content?.charset)]
    }
    #expect(told("text/plain; charset=utf-8") == ["text/plain", "utf-8"])
    #expect(told("text/plain;charset=utf-8") == ["text/plain", "utf-8"])
    #expect(told("text/plain; a=b; charset=utf-8") == ["text/plain; a=b", "utf-8"])
    #expect(told("text/plain; charset=x; charset=y") == ["text/plain; charset=x", "y"])
    #expect(told("text/plain; charset=utf-8; a=b") == ["text/plain; charset=utf-8; a=b", nil])
    #expect(told("a/b; c=\"; charset=x\"") == ["a/b; c=\"; charset=x\"", nil])
    #expect(told("text/plain; charset=") == ["text/plain; charset=", nil])
    #expect(told("text/plain;") == ["text/plain;", nil])
    #expect(told("text/plain") == ["text/plain", nil])
  }

  @Test("a charset that a client gives comes back as it was, whatever else the type says")
  func charsetSurvives() throws {
    var content = content
    for type in ["text/plain", "text/plain; a=b", "text/plain; charset=x"] {
      (content.contentType, content.charset) = (pbBytes(type), pbBytes("utf-8"))
      let read = RpbContent(try content.payload(), sampleStamp, isHead: false)
      #expect(read?.contentType == content.contentType && read?.charset == content.charset, "\(type)")
    }
  }

  private func httpGet() -> HTTPAction? {
    var session = HTTPSession()
    session.receive(Array("GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\r\n".utf8)[...])
    return session.actions().first
  }
}
