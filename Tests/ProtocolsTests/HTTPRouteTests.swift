import Messages
import Protocols
import Testing

@Suite struct HTTPRouteTests {
  private func body(_ actions: [Seen]) -> String? {
    guard actions.count == 1, case .reply(let text, _) = actions[0] else { return nil }
    return text.firstRange(of: "\r\n\r\n").map { String(text[$0.upperBound...]) }
  }

  private func key(_ target: String) -> ObjectKey? {
    guard case .request(.get(let get), _, _)? = get(target).first else { return nil }
    return get.key
  }

  @Test(arguments: [
    ("/buckets/b/keys/k", "b", "k"), ("/buckets/b/keys/k/", "b", "k"), ("/types/default/buckets/b/keys/k", "b", "k"),
    ("/types/default/buckets/b/keys/k/", "b", "k"), ("/buckets/a%2Fb/keys/%6b%20l", "a/b", "k l"),
    ("/buckets/b/keys/a+b%2Bc", "b", "a b+c"), ("/buckets/keys/keys/keys", "keys", "keys"),
    ("/buckets/%F0%9F%AA%A8/keys/k", "🪨", "k"), ("/buckets/b/keys/k?", "b", "k"), ("/buckets/b/keys/k?&&", "b", "k"),
    ("/%62uckets/b/keys/k", "", ""), ("/buckets/b/keys/a/b", "", ""), ("/riak/b/k", "b", "k"),
    ("/types/default/buckets/b", "", ""), ("/types", "", ""),
  ])
  func pathsNameObjects(target: String, bucket: String, name: String) {
    #expect(key(target) == (bucket.isEmpty ? nil : objectKey(bucket, name)))
    if bucket.isEmpty { #expect(get(target).map(\.status) == ["HTTP/1.1 404 Not Found"]) }
  }

  @Test(arguments: [
    "/buckets//keys/k", "/buckets/b/keys//", "/buckets/%/keys/k", "/buckets/b/keys/%zz", "/types/%4/buckets/b/keys/k",
    "nowhere", "*", "/buckets/b/keys/k?r=%",
  ])
  func pathsThatAreMalformedAreRefused(target: String) {
    #expect(get(target).map(\.status) == ["HTTP/1.1 400 Bad Request"])
  }

  @Test func theLongestNameIsTakenAndOneByteMoreIsNot() {
    let name = String(repeating: "k", count: ObjectKey.byteCountMax - 1)
    #expect(key("/buckets/b/keys/\(name)") == objectKey("b", name))
    #expect(get("/buckets/bb/keys/\(name)").map(\.status) == ["HTTP/1.1 400 Bad Request"])
    // Escapes count once they are undone.
    let escaped = String(repeating: "%6b", count: ObjectKey.byteCountMax - 1)
    #expect(key("/buckets/b/keys/\(escaped)") == objectKey("b", name))
  }

  @Test func otherBucketTypesAreUnknown() {
    #expect(get("/types/T/buckets/b/keys/k").map(\.status) == ["HTTP/1.1 404 Not Found"])
    #expect(body(get("/types/T/buckets/b/keys/k")) == "Unknown bucket type: T\n")
    #expect(body(get("/types/a%0d%0ab/buckets/b/keys/k")) == "Unknown bucket type: a  b\n")
  }

  @Test(arguments: [
    ("/ping", AdminRoute.ping), ("/ping/", .ping), ("/ready", .ready), ("/stats", .stats), ("/admin/status", .status),
    ("/admin/ring", .ring), ("/admin/members", .members), ("/admin/config/", .config), ("/stats?x=1", .stats),
    ("/admin/hints", .hints), ("/admin/anti-entropy", .antiEntropy),
  ])
  func operatorsHaveTheirOwn(target: String, route: AdminRoute) {
    #expect(get(target) == [.admin(route, closes: false)])
    #expect(seen("HEAD \(target) HTTP/1.1\r\nHost: h\r\n\r\n") == [.admin(route, closes: false)])
  }

  @Test(arguments: [("merge", AdminRoute.merge), ("drain-hints", .drainHints)])
  func whatDoesSomethingIsAskedForByPost(task: String, route: AdminRoute) {
    #expect(
      seen("POST /admin/\(task) HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n") == [.admin(route, closes: false)])
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
      let refused = seen("\(method) /admin/\(task) HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
      #expect(refused.map(\.status) == ["HTTP/1.1 405 Method Not Allowed"])
    }
  }

  @Test func whatShowsByGetMayDoSomethingByPost() {
    func asked(_ method: String) -> [Seen] {
      seen("\(method) /admin/anti-entropy HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    }
    #expect(asked("POST") == [.admin(.antiEntropyRound, closes: false)])
    for method in ["PUT", "DELETE"] {
      guard case .reply(let text, _)? = asked(method).first else { return #expect(Bool(false), "\(method)") }
      #expect(text.hasPrefix("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD, POST\r\n"))
    }
  }

  @Test(arguments: [
    ("", nil, nil), ("?name=a", "a", nil), ("?name=a%20b&store=p001-n3", "a b", "p001-n3"),
    ("?name=a&name=b", "b", nil),
  ])
  func aSnapshotIsAskedForByPost(query: String, name: String?, store: String?) {
    func asked(_ method: String) -> [Seen] {
      seen("\(method) /admin/snapshot\(query) HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    }
    #expect(asked("POST") == [.snapshot(name: name, store: store)])
    #expect(asked("GET").map(\.status) == ["HTTP/1.1 405 Method Not Allowed"])
  }

  @Test func aBackupAsksForFilesByGetAndForTheRestByPost() {
    func asked(_ method: String, _ target: String) -> [Seen] {
      seen("\(method) /admin/\(target) HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    }
    #expect(
      asked("GET", "snapshot-file?name=a&path=b%2Fc&offset=1&count=2")
        == [.backup(.snapshotFile, ["a", "b/c", "1", "2", nil])])
    #expect(asked("GET", "snapshot-files") == [.backup(.snapshotFiles, [nil, nil, nil, nil, nil])])
    #expect(asked("POST", "remove-snapshot?name=a") == [.backup(.removeSnapshot, ["a", nil, nil, nil, nil])])
    #expect(asked("POST", "hold-purges?seconds=9") == [.backup(.holdPurges, [nil, nil, nil, nil, "9"])])
    #expect(asked("POST", "hold-purges?minutes=9").map(\.status) == ["HTTP/1.1 400 Bad Request"])
    for target in ["remove-snapshot", "hold-purges"] {
      #expect(asked("GET", target).map(\.status) == ["HTTP/1.1 405 Method Not Allowed"])
    }
    #expect(asked("POST", "snapshot-file?name=a").map(\.status) == ["HTTP/1.1 405 Method Not Allowed"])
  }

  @Test func aSnapshotHasNoOtherParameters() {
    let refused = seen("POST /admin/snapshot?nam=a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    #expect(refused.map(\.status) == ["HTTP/1.1 400 Bad Request"])
    #expect(get("/admin/snapshots") == [.admin(.snapshots, closes: false)])
  }

  @Test func theRootListsTheResources() {
    #expect(body(get("/"))?.contains(#""riak_kv_wm_ping":["/ping"]"#) == true)
    #expect(get("/").map(\.status) == ["HTTP/1.1 200 OK"])
  }

  @Test(arguments: ["PUT", "POST", "DELETE", "OPTIONS", "PATCH"]) func aWrongMethodIsToldTheRightOnes(method: String) {
    let answers = seen("\(method) /ping HTTP/1.1\r\nHost: h\r\n\r\nGET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
    guard case .reply(let text, close: false)? = answers.first else { return #expect(Bool(false), "\(answers)") }
    #expect(text.hasPrefix("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n"))
    #expect(answers.last == .admin(.ping, closes: false))
  }

  @Test func anUnknownMethodIsNotImplemented() {
    #expect(seen("BREW /ping HTTP/1.1\r\nHost: h\r\n\r\n").map(\.status) == ["HTTP/1.1 501 Not Implemented"])
    #expect(seen("get /ping HTTP/1.1\r\nHost: h\r\n\r\n").map(\.status) == ["HTTP/1.1 501 Not Implemented"])
  }

  @Test func quorumsAndTimeoutsAreRead() {
    var wanted = GetRequest(key: objectKey("b", "k"))
    wanted.r = .count(2)
    wanted.pr = .all
    wanted.timeoutMilliseconds = 1500
    #expect(
      request("GET /buckets/b/keys/k?r=2&pr=all&timeout=1500 HTTP/1.1\r\nHost: h\r\n\r\n") == .get(wanted))
    var delete = DeleteRequest(key: objectKey("b", "k"))
    delete.quorum.w = .quorum
    delete.quorum.dw = .one
    delete.quorum.pw = .count(255)
    #expect(
      request("DELETE /buckets/b/keys/k?w=quorum&dw=one&pw=255&r=default HTTP/1.1\r\nHost: h\r\n\r\n")
        == .delete(delete))
    let harmless =
      "rw=2&basic_quorum=true&notfound_ok=false&node_confirms=1&sloppy_quorum=default&asis=true&n_val=3"
      + "&sync_on_write=backend&sync_on_write=default&sync_on_write=one&sync_on_write=all"
    #expect(key("/buckets/b/keys/k?\(harmless)&returnbody=maybe") == objectKey("b", "k"))
  }

  @Test(
    arguments: ["r", "pr", "w", "dw", "pw", "rw", "node_confirms"],
    ["0", "-1", "+1", "256", "two", "", "1.5", "99999999999999999999"])
  func aQuorumThatIsNoneIsNamed(name: String, value: String) {
    let isNumber = ["0", "256", "99999999999999999999"].contains(value)
    let text =
      isNumber
      ? "`\(name)` query parameter must be from 1 to 255\n"
      : "`\(name)` query parameter must be an integer or one of the following words: 'one', 'quorum' or 'all'\n"
    let answer = get("/buckets/b/keys/k?\(name)=\(value)")
    #expect(answer.map(\.status) == ["HTTP/1.1 400 Bad Request"])
    // A plus in a query is a space, so "+1" is " 1".
    #expect(body(answer) == text)
  }

  @Test(arguments: [
    ("timeout=0", "Bad timeout value"), ("timeout=soon", "Bad timeout value"),
    ("timeout=4294967296", "Bad timeout value"),
    ("basic_quorum=1", "`basic_quorum` query parameter must be true or false"),
    ("notfound_ok=", "`notfound_ok` query parameter must be true or false"),
    ("n_val=0", "`n_val` query parameter must be an integer from 1 to 255"),
    (
      "sync_on_write=two",
      "`sync_on_write` query parameter must be one of the following words: 'default', 'backend', 'one' or 'all'"
    ),
    ("vtag=x", "Unknown query parameter: vtag"), ("R=1", "Unknown query parameter: R"),
    ("a%0Ab=1", "Unknown query parameter: a b"), ("r=1&x", "Unknown query parameter: x"),
  ])
  func aParameterThatIsNoneIsNamed(query: String, text: String) {
    let answer = get("/buckets/b/keys/k?\(query)")
    #expect(answer.map(\.status) == ["HTTP/1.1 400 Bad Request"])
    #expect(body(answer) == text + "\n")
  }

  @Test func aWriteNeedsAContentType() {
    for type in ["", "Content-Type:\r\n"] {
      let answer = seen("PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\(type)Content-Length: 1\r\n\r\nx")
      #expect(answer.map(\.status) == ["HTTP/1.1 400 Bad Request"])
      #expect(body(answer) == "Missing Content-Type request header\n")
    }
  }

  private func write(_ method: String, type: String) -> [Seen] {
    seen("\(method) /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: \(type)\r\nContent-Length: 1\r\n\r\nx")
  }

  @Test(arguments: ["foo", "foo/", "/foo", "a/b/c", "a /b", "a/ b", "a/b c", "a,b/c", "text/plain, a/b", ";", "/"])
  func aContentTypeThatIsNoneIsRefused(type: String) {
    for method in ["PUT", "POST"] {
      let answer = write(method, type: type)
      #expect(answer.map(\.status) == ["HTTP/1.1 415 Unsupported Media Type"])
      #expect(body(answer) == "Content-Type must be type/subtype, like text/plain\n")
    }
    // It matters to writes only, and the connection goes on.
    #expect(request("GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: \(type)\r\n\r\n") != nil)
    guard case .reply(_, close: false)? = write("PUT", type: type).first else { return #expect(Bool(false)) }
  }

  @Test(arguments: ["a/b", "application/vnd.x+json", "text/plain;charset=utf-8", "text/plain ; a=\"b, c\"", "a/b;"])
  func aContentTypeMayHaveParameters(type: String) {
    guard case .request? = write("PUT", type: type).first else { return #expect(Bool(false), "\(type)") }
  }

  @Test(arguments: ["If-None-Match: *", "If-Match: \"a\"", "If-Unmodified-Since: x", "X-Riak-If-Not-Modified: x"])
  func aConditionIsNeverIgnoredByAWrite(header: String) {
    let put = seen("PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n\(header)\r\n\r\n")
    #expect(put.map(\.status) == ["HTTP/1.1 501 Not Implemented"])
    #expect(request("GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\n\(header)\r\n\r\n") != nil)
  }
}
