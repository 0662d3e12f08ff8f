import Causality
import Messages
import Primitives
import Testing

@testable import Protocols

// What clients of Riak's binary protocol ask and are told.

@Suite struct PBSessionTests {
  private static let clock = PBReply.clock(sampleStamp)
  private let content = RpbContent(value: pbBytes("v"))

  private func get(_ change: (inout RpbGetReq) -> Void = { _ in }) -> PBAction {
    var request = RpbGetReq(bucket: pbBytes("b"), key: pbBytes("k"))
    change(&request)
    return pbAction(.getRequest, request)
  }

  private func put(_ change: (inout RpbPutReq) -> Void = { _ in }) -> PBAction {
    var request = RpbPutReq(bucket: pbBytes("b"), key: pbBytes("k"), content: content)
    change(&request)
    return pbAction(.putRequest, request)
  }

  private func delete(_ change: (inout RpbDelReq) -> Void = { _ in }) -> PBAction {
    var request = RpbDelReq(bucket: pbBytes("b"), key: pbBytes("k"))
    change(&request)
    return pbAction(.deleteRequest, request)
  }

  private func getRequest(_ action: PBAction) -> GetRequest? {
    if case .get(let get)? = action.request { get } else { nil }
  }
  private func putRequest(_ action: PBAction) -> PutRequest? {
    if case .put(let put)? = action.request { put } else { nil }
  }

  // MARK: The connection

  @Test("ping, the client's id and the server's name are answered")
  func connection() {
    #expect(pbFrames(pbAction(pbFrame(1)).answer).map(\.code) == [2])
    var session = PBSession(configuration: pbNode)
    session.receive(
      pbFrame(3) + pbFrame(.setClientIDRequest, RpbClientID(clientID: pbBytes("me"))) + pbFrame(3) + pbFrame(7))
    let answers = session.actions().map(\.answer)
    #expect(pbAnswer(.getClientIDResponse, RpbClientID.self, answers[0])?.clientID == [0, 0, 0, 0])
    #expect(pbFrames(answers[1]).map(\.code) == [6])
    #expect(pbAnswer(.getClientIDResponse, RpbClientID.self, answers[2])?.clientID == pbBytes("me"))
    let info = pbAnswer(.serverInfoResponse, RpbGetServerInfoResp.self, answers[3])
    #expect(pbText(info?.node) == "n1" && pbText(info?.serverVersion) == "2.2.3")
  }

  @Test("frames come out the same wherever the bytes are cut")
  func split() {
    let bytes =
      pbFrame(1) + pbFrame(.getRequest, RpbGetReq(bucket: pbBytes("b"), key: pbBytes("k")))
      + pbFrame(.putRequest, RpbPutReq(bucket: pbBytes("b"), key: pbBytes("k"), content: content))
      + pbFrame(.deleteRequest, RpbDelReq(bucket: pbBytes("b"), key: pbBytes("k"))) + pbFrame(99)
    func told(_ actions: [PBAction]) -> [String] { actions.map { "\($0.answer) \(String(describing: $0.request))" } }
    var whole = PBSession(configuration: pbNode)
    whole.receive(bytes)
    let expected = told(whole.actions())
    #expect(expected.count == 5)
    for cut in 0...bytes.count {
      var session = PBSession(configuration: pbNode)
      session.receive(bytes[..<cut])
      var actions = session.actions()
      session.receive(bytes[cut...])
      actions += session.actions()
      #expect(told(actions) == expected, "cut at \(cut)")
    }
    var single = PBSession(configuration: pbNode)
    var actions: [PBAction] = []
    for byte in bytes {
      single.receive([byte])
      actions += single.actions()
    }
    #expect(told(actions) == expected)
    #expect(single.bufferedBytes == 0)
  }

  // MARK: Get

  @Test("a get finds, finds nothing, and shows a tombstone's clock only when asked")
  func getAnswers() throws {
    let stored = payload(
      "text/plain; charset=utf-8", "red", [("X-Riak-Meta-Color", "dark"), ("Content-Encoding", "x")])
    let found = ClientResponse.object(stamp: sampleStamp, payload: stored)
    let answer = try #require(pbAnswer(.getResponse, RpbGetResp.self, get().answer(found)))
    let content = try #require(answer.content.first)
    #expect(answer.vclock == Self.clock && answer.unchanged == nil)
    #expect(pbText(content.value) == "red" && pbText(content.contentType) == "text/plain")
    #expect(pbText(content.charset) == "utf-8" && pbText(content.contentEncoding) == "x")
    #expect(content.userMetadata == [RpbPair(key: pbBytes("Color"), value: pbBytes("dark"))])
    #expect(content.lastModified == 784_111_777 && content.lastModifiedMicroseconds == 123_000)
    #expect(content.vtag?.count == 24 && content.deleted == nil)

    let head = try #require(pbAnswer(.getResponse, RpbGetResp.self, get { $0.head = true }.answer(found)))
    #expect(head.content.first?.value == [] && head.vclock == Self.clock)

    let empty = pbFrame(10)
    #expect(get().answer(.notFound(tombstone: nil)) == empty)
    #expect(get().answer(.notFound(tombstone: sampleStamp)) == empty)
    let tombstone = get { $0.deletedClock = true }.answer(.notFound(tombstone: sampleStamp))
    #expect(pbAnswer(.getResponse, RpbGetResp.self, tombstone) == RpbGetResp(vclock: Self.clock))
  }

  @Test("if_modified: the version that the client has is not sent again")
  func ifModified() throws {
    let action = get { $0.ifModified = Self.clock }
    let same = action.answer(.object(stamp: sampleStamp, payload: payload("text/plain", "x")))
    #expect(pbAnswer(.getResponse, RpbGetResp.self, same) == RpbGetResp(unchanged: true))
    let newer = Stamp(time: HybridTime(sampleStamp.time.rawValue + 1), actor: sampleStamp.actor)
    let other = pbAnswer(
      .getResponse, RpbGetResp.self, action.answer(.object(stamp: newer, payload: payload("text/plain", "x"))))
    #expect(other?.content.count == 1 && other?.unchanged == nil)
    #expect(action.answer(.notFound(tombstone: nil)) == pbFrame(10))
  }

  @Test("quorums: Riak's constants, counts, and zeros that never weaken a promise")
  func quorums() throws {
    let names: [(UInt32?, QuorumSize)] = [
      (nil, .default), (4_294_967_291, .default), (4_294_967_294, .one), (4_294_967_293, .quorum),
      (4_294_967_292, .all), (2, .count(2)), (3, .count(3)),
    ]
    for (number, size) in names {
      let read = try #require(getRequest(get { ($0.r, $0.pr) = (number, number) }))
      #expect(read.r == size && read.pr == size)
      let write = try #require(putRequest(put { ($0.w, $0.dw, $0.pw) = (number, number, number) }))
      #expect(write.quorum.w == size && write.quorum.dw == size && write.quorum.pw == size)
      guard case .delete(let delete)? = delete({ ($0.w, $0.dw, $0.pw) = (number, number, number) }).request else {
        Issue.record("no delete")
        continue
      }
      #expect(delete.quorum == write.quorum && delete.always)
    }
    #expect(putRequest(put { ($0.dw, $0.pw) = (0, 0) })?.quorum == WriteQuorum())
    #expect(getRequest(get { $0.pr = 0 })?.pr == .default)
    #expect(get { $0.r = 0 }.error == "{r_val_violation,0}")
    #expect(put { $0.w = 0 }.error == "{w_val_violation,0}")
    #expect(delete { $0.rw = 0 }.error == "{rw_val_violation,0}")
    #expect(getRequest(get { $0.timeout = 1500 })?.timeoutMilliseconds == 1500)
    #expect(getRequest(get { $0.timeout = 0 })?.timeoutMilliseconds == nil)
  }

  private func deleteRequest(_ action: PBAction) -> DeleteRequest? {
    if case .delete(let delete)? = action.request { delete } else { nil }
  }

  @Test("rw of a delete counts where w is missing; node_confirms raises r and w, and never lowers them")
  func widerQuorums() {
    #expect(deleteRequest(delete { $0.rw = 3 })?.quorum.w == .count(3))
    #expect(deleteRequest(delete { $0.rw = 4_294_967_292 })?.quorum.w == .all)
    #expect(deleteRequest(delete { ($0.rw, $0.w) = (3, 1) })?.quorum.w == .count(1))
    #expect(putRequest(put { $0.nodeConfirms = 3 })?.quorum.w == .count(3))
    #expect(putRequest(put { ($0.w, $0.nodeConfirms) = (1, 4_294_967_292) })?.quorum.w == .count(3))
    #expect(putRequest(put { $0.nodeConfirms = 1 })?.quorum == WriteQuorum())
    #expect(putRequest(put { ($0.w, $0.nodeConfirms) = (3, 2) })?.quorum.w == .count(3))
    #expect(putRequest(put { $0.nodeConfirms = 0 })?.quorum == WriteQuorum())
    #expect(getRequest(get { $0.nodeConfirms = 3 })?.r == .count(3))
    #expect(getRequest(get { ($0.r, $0.nodeConfirms) = (3, 1) })?.r == .count(3))
  }

  @Test("without a sloppy quorum only owners count")
  func ownersOnly() throws {
    let write = try #require(putRequest(put { $0.sloppyQuorum = false }))
    #expect(write.quorum.w == .default && write.quorum.pw == .count(2))
    #expect(putRequest(put { ($0.sloppyQuorum, $0.w) = (false, 4_294_967_292) })?.quorum.pw == .count(3))
    #expect(putRequest(put { ($0.sloppyQuorum, $0.nodeConfirms) = (false, 3) })?.quorum.pw == .count(3))
    #expect(putRequest(put { ($0.sloppyQuorum, $0.w, $0.pw) = (false, 1, 3) })?.quorum.pw == .count(3))
    #expect(putRequest(put { $0.sloppyQuorum = true })?.quorum == WriteQuorum())
    #expect(getRequest(get { $0.sloppyQuorum = false })?.pr == .count(2))
    #expect(getRequest(get { ($0.sloppyQuorum, $0.r) = (false, 3) })?.pr == .count(3))
    #expect(deleteRequest(delete { ($0.sloppyQuorum, $0.rw) = (false, 3) })?.quorum.pw == .count(3))
    // The read of a conditional write too.
    #expect(getRequest(put { ($0.sloppyQuorum, $0.ifNoneMatch) = (false, true) })?.pr == .count(2))
  }

  // MARK: Put and delete

  @Test("content without a type is application/octet-stream, as over HTTP")
  func typeDefault() throws {
    let put = try #require(putRequest(put()))
    #expect(put.payload == payload("application/octet-stream", "v"))
    #expect(put.key == objectKey("b", "k") && put.context == nil && put.lifetime == .standard)
  }

  @Test("a put answers nothing, or with return_body or return_head what it stored and its clock")
  func putAnswers() throws {
    let stored = ClientResponse.stored(stamp: sampleStamp)
    #expect(put().answer(stored) == pbFrame(12))
    let body = try #require(pbAnswer(.putResponse, RpbPutResp.self, put { $0.returnBody = true }.answer(stored)))
    #expect(pbText(body.content.first?.value) == "v" && body.vclock == Self.clock && body.key == nil)
    let head = try #require(pbAnswer(.putResponse, RpbPutResp.self, put { $0.returnHead = true }.answer(stored)))
    #expect(head.content.first?.value == [] && head.vclock == Self.clock)
    #expect(putRequest(put { $0.vclock = Self.clock })?.context == sampleStamp)
    #expect(putRequest(put { $0.vclock = [] })?.context == nil)
  }

  @Test("a put without a key is told the key that was made")
  func madeKey() throws {
    let action = put { $0.key = nil }
    let made = try #require(putRequest(action)).key.key
    #expect(made.count == 22)
    let answer = pbAnswer(.putResponse, RpbPutResp.self, action.answer(.stored(stamp: sampleStamp)))
    #expect(answer == RpbPutResp(key: made[...]))
    var session = PBSession(configuration: PBConfiguration(node: "n", serverVersion: "1", replicas: 3))
    session.receive(pbFrame(.putRequest, RpbPutReq(bucket: pbBytes("b"), content: content)))
    #expect(session.next().error == "Keys are not made here: name one")
  }

  /// What a conditional put comes to when its read finds `found`: the error, or the put.
  private func outcome(_ action: PBAction, _ found: ClientResponse) -> String? {
    guard case .request(.get, var reply) = action else { return "no read" }
    if case .put(let put)? = reply.takeWrite(after: found) {
      var bytes: [UInt8] = []
      reply.encode(.stored(stamp: sampleStamp), into: &bytes)
      return put.key == objectKey("b", "k") && bytes == pbFrame(12) ? nil : "another put"
    }
    var bytes: [UInt8] = []
    reply.encode(found, into: &bytes)
    return pbError(bytes)
  }

  @Test("if_none_match and if_not_modified read first, and say what Riak says")
  func conditions() {
    let object = ClientResponse.object(stamp: sampleStamp, payload: payload("text/plain", "x"))
    let newer = Stamp(time: HybridTime(sampleStamp.time.rawValue + 1), actor: sampleStamp.actor)
    let newerObject = ClientResponse.object(stamp: newer, payload: payload("text/plain", "x"))
    let none = put { $0.ifNoneMatch = true }
    #expect(outcome(none, object) == "match_found")
    #expect(outcome(none, .notFound(tombstone: nil)) == nil)
    #expect(outcome(none, .notFound(tombstone: sampleStamp)) == nil)
    #expect(outcome(none, .failed(.timeout(detail: ""))) == "timeout")
    let same = put {
      $0.ifNotModified = true
      $0.vclock = Self.clock
    }
    #expect(outcome(same, object) == nil)
    #expect(outcome(same, newerObject) == "modified")
    #expect(outcome(same, .notFound(tombstone: sampleStamp)) == "notfound")
    #expect(outcome(put { $0.ifNotModified = true }, object) == "modified")
    #expect(outcome(put { $0.ifNotModified = false }, object) == "no read")
  }

  @Test("a delete succeeds whether there was something or not, and writes its tombstone always")
  func deletes() {
    let action = delete { $0.vclock = Self.clock }
    guard case .delete(let request)? = action.request else {
      Issue.record("no delete")
      return
    }
    #expect(request.always && request.context == sampleStamp)
    #expect(action.answer(.deleted(stamp: sampleStamp)) == pbFrame(14))
    #expect(action.answer(.notFound(tombstone: nil)) == pbFrame(14))
  }

  @Test("content with deleted = false is stored; with deleted = true it is refused rather than kept alive")
  func deletedContent() {
    #expect(putRequest(put { $0.content?.deleted = false }) != nil)
    #expect(put { $0.content?.deleted = true }.error == "content marked as deleted cannot be put: send RpbDelReq")
  }

  @Test("what the node could not do is told in Riak's words")
  func failures() {
    let table: [(ClientFailure, String)] = [
      (.unsatisfied(.r, wanted: 2, got: 1, detail: "n2 is down"), "{r_val_unsatisfied,2,1}"),
      (.unsatisfied(.pr, wanted: 2, got: 1, detail: ""), "{pr_val_unsatisfied,2,1}"),
      (.unsatisfied(.w, wanted: 3, got: 0, detail: ""), "{w_val_unsatisfied,3,0}"),
      (.unsatisfied(.dw, wanted: 2, got: 1, detail: ""), "{dw_val_unsatisfied,2,1}"),
      (.unsatisfied(.pw, wanted: 2, got: 1, detail: ""), "{pw_val_unsatisfied,2,1}"),
      (.timeout(detail: "n2 has not answered"), "timeout"), (.invalidQuorum(n: 3), "{n_val_violation,3}"),
      (.overloaded(detail: "many"), "overload"), (.damaged(detail: "file x"), "damaged: file x"),
      (.full(detail: "n1"), "insufficient storage: n1"), (.unavailable(detail: "n1"), "unavailable: n1"),
      (.notReady(detail: "starting"), "not ready: starting"),
      (.invalidContext, "the vclock is ahead of every clock: send what a read returned"),
    ]
    for (failure, text) in table {
      for action in [get(), put(), delete()] { #expect(pbError(action.answer(.failed(failure))) == text) }
      #expect(
        pbError(pbAction(.listKeysRequest, RpbListKeysReq(bucket: pbBytes("b"))).answer([.failed(failure)])) == text)
    }
    #expect(
      pbError(get().answer(.object(stamp: sampleStamp, payload: [9])))
        == "damaged: the stored object has no readable content")
  }

  // MARK: Buckets

  private func names(_ names: [String]) -> ListingPart {
    var listed = ListedNames()
    for name in names { listed.append(pbBytes(name)) }
    return .names(listed)
  }

  private func listings(_ code: PBCode, _ bytes: [UInt8]) -> [[String?]] {
    pbFrames(bytes).map { frame in
      guard frame.code == code.rawValue, let part = try? RpbListing(frame.message, 0..<frame.message.count) else {
        return ["?"]
      }
      return part.names.map { pbText($0) } + (part.done == true ? [nil] : [])
    }
  }

  @Test("keys come in parts, and the last message is done and nothing else")
  func listKeys() {
    let action = pbAction(.listKeysRequest, RpbListKeysReq(bucket: pbBytes("b"), timeout: 9))
    #expect(action.list?.subject == .keys(bucket: Array("b".utf8)) && action.list?.timeoutMilliseconds == 9)
    let bytes = action.answer([names(["a", "b"]), names([]), names(["c"]), .end])
    #expect(listings(.listKeysResponse, bytes) == [["a", "b"], ["c"], [nil]])
    let broken = action.answer([names(["a"]), .failed(.timeout(detail: "slow"))])
    #expect(pbFrames(broken).map(\.code) == [18, 0])
  }

  @Test("buckets come in one message, or in parts with stream; too many for one message are an error")
  func listBuckets() {
    let whole = pbAction(.listBucketsRequest, RpbListBucketsReq())
    #expect(whole.list?.subject == .buckets)
    #expect(listings(.listBucketsResponse, whole.answer([names(["a"]), names(["b"]), .end])) == [["a", "b"]])
    #expect(listings(.listBucketsResponse, whole.answer([.end])) == [[]])
    let parts = pbAction(.listBucketsRequest, RpbListBucketsReq(stream: true))
    #expect(listings(.listBucketsResponse, parts.answer([names(["a"]), names(["b"]), .end])) == [["a"], ["b"], [nil]])
    let long = String(repeating: "x", count: 1 << 20)
    let many = whole.answer((0...16).map { _ in names([long]) } + [.end])
    #expect(pbError(many) == "the names of the buckets are longer than 16777216 bytes: ask with stream = true")
  }

  @Test("properties are those of every bucket; setting them to what they are is no change")
  func properties() throws {
    let request = RpbBucketReq(bucket: pbBytes("b"), type: pbBytes("default"))
    let answer = try #require(
      pbAnswer(.getBucketResponse, RpbGetBucketResp.self, pbAction(.getBucketRequest, request).answer))
    let properties = try #require(answer.properties)
    #expect(properties.replicas == 3 && properties.allowMult == false && properties.r == 4_294_967_293)
    #expect(properties.pr == 1 && properties.notFoundOK == true && properties.lastWriteWins == false)

    func set(_ change: (inout RpbBucketProps) -> Void) -> PBAction {
      var properties = RpbBucketProps()
      change(&properties)
      return pbAction(.setBucketRequest, RpbSetBucketReq(bucket: pbBytes("b"), properties: properties))
    }
    let done = pbFrame(22)
    #expect(pbAction(.setBucketRequest, RpbSetBucketReq(bucket: pbBytes("b"), properties: properties)).answer == done)
    #expect(set { ($0.replicas, $0.r, $0.w, $0.allowMult) = (3, 2, 4_294_967_293, false) }.answer == done)
    #expect(set { $0.replicas = 5 }.error == "Invalid bucket properties: [{n_val,cannot_be_changed}]")
    #expect(set { $0.allowMult = true }.error == "Invalid bucket properties: [{allow_mult,cannot_be_changed}]")
    #expect(set { $0.r = 1 }.error == "Invalid bucket properties: [{r,cannot_be_changed}]")
    #expect(set { $0.search = true }.error == "Invalid bucket properties: [{search,not_supported}]")
    #expect(set { $0.replicas = 4_294_967_292 }.error == "Invalid bucket properties: [{n_val,cannot_be_changed}]")
    #expect(set { $0.replicas = 4_294_967_291 }.error == "Invalid bucket properties: [{n_val,cannot_be_changed}]")
    #expect(set { $0.hasPrecommit = true }.error == "Invalid bucket properties: [{precommit,not_supported}]")
    #expect(set { $0.hasPostcommit = true }.error == "Invalid bucket properties: [{postcommit,not_supported}]")
    #expect(set { ($0.hasPrecommit, $0.hasPostcommit) = (false, false) }.answer == done)
    #expect(set { $0.oldClock = 86_400 }.error == "Invalid bucket properties: [{old_vclock,not_supported}]")
    #expect(set { $0.youngClock = 20 }.error == "Invalid bucket properties: [{young_vclock,not_supported}]")
    #expect(set { $0.bigClock = 50 }.error == "Invalid bucket properties: [{big_vclock,not_supported}]")
    #expect(set { $0.smallClock = 50 }.error == "Invalid bucket properties: [{small_vclock,not_supported}]")
    #expect(set { $0.hllPrecision = 14 }.error == "Invalid bucket properties: [{hll_precision,not_supported}]")
    #expect(set { $0.precommit = [RpbCommitHook()] }.error == "Invalid bucket properties: [{precommit,not_supported}]")
    #expect(pbAction(.resetBucketRequest, request).answer == pbFrame(30))
  }

  @Test("a preference list names partition, nodes and who is an owner")
  func preflist() throws {
    let action = pbAction(
      .preflistRequest, RpbGetBucketKeyPreflistReq(bucket: pbBytes("b"), key: pbBytes("k")))
    guard case .preflist(objectKey("b", "k")) = action else {
      Issue.record("\(action)")
      return
    }
    let bytes = PBAnswers.preflist(partition: 5, nodes: [(name: "n1", isOwner: true), (name: "n4", isOwner: false)])
    let answer = try #require(pbAnswer(.preflistResponse, RpbGetBucketKeyPreflistResp.self, bytes))
    #expect(answer.preflist.map(\.partition) == [5, 5] && answer.preflist.map(\.primary) == [true, false])
    #expect(answer.preflist.map { pbText($0.node) } == ["n1", "n4"])
  }
}
