package import Messages

// One client connection of HTTP/1.1, without its socket: bytes in, actions out. Every request gives exactly one
// `request`, `admin` or `reply`, in the order of the requests, and the answers must leave in that order; a `send` leaves
// when all earlier answers have. After damage, or a request that ends the connection, everything further is ignored.

/// What the driver of a connection is to do next.
package enum HTTPAction: Sendable {
  /// Nothing until more bytes come.
  case needMore
  /// For the node; its response goes through the reply's `encode`.
  case request(ClientRequest, HTTPReply)
  /// For the node; the parts of the listing go through the reply's `encode`, until that says that it is over.
  case list(ListRequest, HTTPReply)
  /// For the server itself.
  case admin(AdminRoute, HTTPReply)
  case snapshot(SnapshotParameters, HTTPReply)
  /// A page of it, or something to do with one entry.
  case quarantine(QuarantineParameters, isTask: Bool, HTTPReply)
  /// One of the routes of a backup.
  case backup(AdminRoute, BackupParameters, HTTPReply)
  /// An interim response (100 Continue), not an answer.
  case send([UInt8])
  /// A complete answer.
  case reply([UInt8], close: Bool)
}

package struct HTTPSession: Sendable {
  private enum State { case requestLine, headers, body, closed }

  private var input = InputBuffer()
  private var state = State.requestLine
  /// The request being read. Used in place: it holds many references, and a copy costs as much as parsing it.
  private var head = HTTPRequestHead()
  private var body = HTTPBody.none
  /// A write's payload so far.
  private var payload: [UInt8] = []
  private let replicas: Int
  private var keys: KeyGenerator?

  package init(configuration: HTTPConfiguration = HTTPConfiguration()) {
    replicas = configuration.replicas
    keys = configuration.keySeeds.map { KeyGenerator(seeds: $0) }
  }

  /// Bytes held; the driver stops reading from a connection that sends faster than it is served.
  package var bufferedBytes: Int { input.count + payload.count }

  /// True when nothing more will be read: the connection ends with the answers that are due.
  package var isClosed: Bool { state == .closed }

  /// Takes what the connection brought. `next` must be called until it says `needMore`, now or later.
  package mutating func receive(_ bytes: UnsafeRawBufferPointer) {
    guard state != .closed else { return }
    unsafe input.append(bytes)
  }

  /// The next thing to do.
  package mutating func next() -> HTTPAction {
    do throws(HTTPProblem) {
      while true {
        switch state {
        case .requestLine: guard try readRequestLine() else { return .needMore }
        case .headers:
          guard try readHeaders() else { return .needMore }
          if let action = beginBody() { return action }
        case .body:
          let keep = head.problem == nil && head.isWrite
          guard try body.read(&input, into: &payload, keep: keep) else { return .needMore }
          return finish()
        case .closed: return .needMore
        }
      }
    } catch {
      return refuse(error, close: true)
    }
  }

  private mutating func readRequestLine() throws(HTTPProblem) -> Bool {
    let line: Range<Int>
    do throws(InputBuffer.LineError) {
      guard let next = try input.nextLine(contentMax: HTTPLimits.requestLineBytesMax, tabs: false) else {
        return false
      }
      line = next
    } catch {
      throw error == .tooLong ? .requestLineTooLong : .malformed("request line")
    }
    // An empty line before a request is an old habit of clients (RFC 9112, 2.2).
    if line.isEmpty {
      input.dropParsed()
    } else {
      try head.setRequestLine(input.bytes, line)
      state = .headers
    }
    return true
  }

  /// True when all headers are read.
  private mutating func readHeaders() throws(HTTPProblem) -> Bool {
    while true {
      let line: Range<Int>
      do throws(InputBuffer.LineError) {
        guard let next = try input.nextLine(contentMax: max(head.lineBytesLeft, 0), tabs: true) else {
          return false
        }
        line = next
      } catch {
        throw error == .tooLong ? .headersTooLong : .malformed("header line")
      }
      if line.isEmpty { break }
      try head.addHeader(input.bytes, line, from: input.head)
    }
    try head.finish()
    return true
  }

  /// Prepares for the body; an action where there is something to say before it.
  private mutating func beginBody() -> HTTPAction? {
    if head.expectsContinue, head.hasBody, let problem = head.problem {
      // The client waits, and may or may not send its body after this answer: only closing is unambiguous.
      return refuse(problem, close: true)
    }
    if head.problem == nil, head.isWrite { beginPayload() }
    input.dropParsed()
    body = head.body
    state = .body
    guard head.expectsContinue, head.hasBody else { return nil }
    return .send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
  }

  private mutating func beginPayload() {
    let bytes = input.bytes
    let start = input.head
    func part(_ range: Range<Int>) -> ArraySlice<UInt8> { bytes[start + range.lowerBound..<start + range.upperBound] }
    let type = head.contentType ?? 0..<0
    var metadata = head.metadata.map { (name: HTTPText.plainName(part($0.name)), value: part($0.value)) }
    if let links = head.links?.value { metadata += links.values.map { (ObjectLinks.name[...], $0[...]) } }
    payload.reserveCapacity(64 + type.count + min(head.contentLength ?? 0, HTTPLimits.bodyBytesReserved))
    ObjectContent.appendHeader(contentType: part(type), metadata: metadata, to: &payload)
  }

  /// The connection ends with the answer to this request: it was asked to, or has no other way to say where a listing
  /// ends, because HTTP/1.0 has no chunks.
  private var closesConnection: Bool { !head.keepAlive || (head.isHTTP10 && head.isListing) }

  /// The action of a request that is here completely.
  private mutating func finish() -> HTTPAction {
    let close = closesConnection
    if let problem = head.problem { return refuse(problem, close: close) }
    let action: HTTPAction
    switch head.route {
    case .object(let key, let style): action = objectAction(key, style)
    case .keys(let bucket, let style) where head.method == .post:
      guard let key = keys?.next(), let key = ObjectKey(bucket: bucket, key: key) else {
        return refuse(.noKeysMade, close: close)
      }
      action = objectAction(key, style, isCreation: true)
    case .keys(let bucket, let style): action = listAction(.keys(bucket: bucket), style)
    case .buckets: action = listAction(.buckets, .plain)
    case .properties(let bucket):
      action = answer(BucketProperties.document(bucket: bucket, replicas: replicas))
    case .admin(.snapshot): action = .snapshot(head.snapshot?.value ?? SnapshotParameters(), reply())
    case .admin(let route) where route == .quarantine || route == .quarantineTask:
      let parameters = head.quarantine?.value ?? QuarantineParameters()
      action = .quarantine(parameters, isTask: route == .quarantineTask, reply())
    case .admin(let route) where route.isOfBackup:
      action = .backup(route, head.backup?.value ?? BackupParameters(), reply())
    case .admin(let route):
      let isText = route == .stats && head.acceptsOnlyText
      action = .admin(route, reply(special: isText ? [.text] : nil))
    case .root: action = rootAction()
    case .problem(let problem): return refuse(problem, close: close)
    }
    endRequest(close: close)
    return action
  }

  /// Names as Riak's clients look for them, then our own.
  private static let resources = """
    {"riak_kv_wm_object":["/types","/buckets","/riak"],"riak_kv_wm_keylist":["/types","/buckets","/riak"],\
    "riak_kv_wm_buckets":["/types","/buckets","/riak"],"riak_kv_wm_props":["/types","/buckets","/riak"],\
    "riak_kv_wm_bucket_type":["/types"],"riak_kv_wm_ping":["/ping"],"riak_kv_wm_stats":["/stats"],\
    "ready":["/ready"],"metrics":["/metrics"],"admin":["/admin/status","/admin/ring","/admin/members","/admin/config",\
    "/admin/hints","/admin/anti-entropy","/admin/merge","/admin/drain-hints","/admin/snapshot","/admin/snapshots"]}

    """
  /// The same for those clients who read the headers. The first link of a name is the one they take.
  private static let resourceLinks = """
    </buckets>; rel="riak_kv_wm_buckets", </buckets>; rel="riak_kv_wm_object", </buckets>; rel="riak_kv_wm_keylist", \
    </buckets>; rel="riak_kv_wm_props", </types>; rel="riak_kv_wm_bucket_type", </ping>; rel="riak_kv_wm_ping", \
    </stats>; rel="riak_kv_wm_stats"
    """

  private func rootAction() -> HTTPAction {
    var bytes: [UInt8] = []
    reply().encode(json: Array(HTTPSession.resources.utf8), links: HTTPSession.resourceLinks, into: &bytes)
    return .reply(bytes, close: closesConnection)
  }

  private func objectAction(_ key: ObjectKey, _ style: PathStyle, isCreation: Bool = false) -> HTTPAction {
    switch head.method {
    case .put, .post:
      var request = PutRequest(key: key, payload: payload)
      request.quorum = head.options.write
      request.timeoutMilliseconds = head.options.timeoutMilliseconds
      request.context = head.context
      request.lifetime = head.lifetime
      return .request(.put(request), reply(key: key, style: style, special: special(isCreation: isCreation)))
    case .delete:
      var request = DeleteRequest(key: key)
      request.quorum = head.options.write
      request.timeoutMilliseconds = head.options.timeoutMilliseconds
      request.context = head.context
      request.always = head.context != nil
      return .request(.delete(request), reply(key: key, style: style))
    case .get, .head, .other:
      var request = GetRequest(key: key)
      request.r = head.options.r
      request.pr = head.options.pr
      request.timeoutMilliseconds = head.options.timeoutMilliseconds
      let special = head.terms.map { [HTTPReply.Special.terms($0.value)] }
      return .request(.get(request), reply(key: key, style: style, special: special))
    }
  }

  /// What is special about the answer to a write.
  private func special(isCreation: Bool) -> [HTTPReply.Special]? {
    let echo = head.options.returnsBody ? payload : nil
    return isCreation ? [.creation(echo: echo)] : echo.map { [.echo($0)] }
  }

  private func listAction(_ subject: ListRequest.Subject, _ style: PathStyle) -> HTTPAction {
    var properties: [UInt8] = []
    if style == .old, head.listing.withProperties, case .keys(let bucket) = subject {
      BucketProperties.append(bucket: bucket, replicas: replicas, to: &properties)
    }
    guard let mode = head.listing.mode else {
      return answer([UInt8(ascii: "{")] + properties + [UInt8(ascii: "}")])
    }
    if head.method == .head {
      var bytes: [UInt8] = []
      reply().appendListingHead(to: &bytes)
      return .reply(bytes, close: closesConnection)
    }
    let terms = ListingTerms(subject, streams: mode == .stream, properties: properties)
    var request = ListRequest(subject)
    request.timeoutMilliseconds = head.listing.timeoutMilliseconds
    return .list(request, reply(special: [.listing(terms)]))
  }

  private func answer(_ json: [UInt8]) -> HTTPAction {
    var bytes: [UInt8] = []
    reply().encode(json: json, into: &bytes)
    return .reply(bytes, close: closesConnection)
  }

  private func reply(
    key: ObjectKey? = nil, style: PathStyle = .plain, special: [HTTPReply.Special]? = nil, closes: Bool? = nil
  ) -> HTTPReply {
    HTTPReply(
      key: key, style: style, special: special, isHead: head.method == .head, isHTTP10: head.isHTTP10,
      closesConnection: closes ?? closesConnection)
  }

  private mutating func refuse(_ problem: HTTPProblem, close: Bool) -> HTTPAction {
    let reply = reply(closes: close)
    endRequest(close: close)
    var bytes: [UInt8] = []
    reply.encode(problem, into: &bytes)
    return .reply(bytes, close: close)
  }

  private mutating func endRequest(close: Bool) {
    head = HTTPRequestHead()
    payload = []
    if close {
      state = .closed
      input.removeAll()
    } else {
      state = .requestLine
    }
  }
}
