import Client
import Platform
import Testing

@Suite struct HeaderTextTests {
  @Test("a header's value holds no control character")
  func controlCharacters() {
    for text in ["text/plain; charset=utf-8", "", "ö"] { #expect(isHeaderText(text)) }
    for text in ["a/b\r\nX: y", "a\nb", "a\rb", "a\u{0}", "\u{7F}", "a\tb"] { #expect(!isHeaderText(text)) }
  }
}

@Suite struct EndpointTests {
  @Test("a node's address is read with or without a slash", arguments: ["http://127.0.0.1:80", "HTTP://localhost:80/"])
  func good(text: String) throws {
    #expect(try Endpoint(text).description == "http://127.0.0.1:80")
  }

  @Test(
    "a wrong address is refused with what would be right",
    arguments: [
      ("127.0.0.1:80", EndpointError.noScheme("127.0.0.1:80")),
      ("https://127.0.0.1:80", .otherScheme("https://127.0.0.1:80")),
      ("http://127.0.0.1", .noPort("http://127.0.0.1")), ("http://localhost/", .noPort("http://localhost/")),
      ("http://127.0.0.1:0", .noAddress("http://127.0.0.1:0")),
      ("http://127.0.0.1:99999", .noAddress("http://127.0.0.1:99999")), ("http://", .noAddress("http://")),
      ("http://example.org:80", .hostName("http://example.org:80")), ("http://n1", .hostName("http://n1")),
      ("http://127.0.0.1:80/ping", .path("http://127.0.0.1:80/ping")), ("", .noScheme("")),
    ])
  func bad(text: String, expected: EndpointError) {
    #expect(throws: expected) { try Endpoint(text) }
  }

  @Test("what is suggested is an address, the one that was meant where that can be seen")
  func suggestions() throws {
    for (text, meant) in [
      ("127.0.0.1:80", "http://127.0.0.1:80"), ("LOCALHOST:80/x", "http://127.0.0.1:80"),
      ("https://[::1]:80/x?y", "http://[::1]:80"), ("http://127.0.0.1:80/ping", "http://127.0.0.1:80"),
      ("http://127.0.0.1", "http://127.0.0.1:10018"), ("https://example.org", "http://127.0.0.1:10018"),
      ("", "http://127.0.0.1:10018"), ("http://example.org:80", "http://127.0.0.1:10018"),
    ] {
      do {
        _ = try Endpoint(text)
        Issue.record("\(text) is an address")
      } catch {
        let last = String(try #require(error.suggestion.split(separator: " ").last))
        #expect(last == meant, "\(text)")
        #expect(try Endpoint(last).description == meant)
        #expect(error.description.hasSuffix(meant))
      }
    }
  }

  @Test("every byte of a key survives the path")
  func paths() {
    #expect(objectPath(type: nil, bucket: "a/b", key: "c d?%") == "/buckets/a%2Fb/keys/c%20d%3F%25")
    #expect(objectPath(type: "t", bucket: "é", key: "~-._") == "/types/t/buckets/%C3%A9/keys/~-._")
    #expect(objectPath(type: nil, bucket: ".", key: "..") == "/buckets/%2E/keys/%2E%2E")
  }
}
