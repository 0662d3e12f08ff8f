import Causality
import Messages
import Primitives
import Testing

@testable import Protocols

// What is no good request: Riak's error, and the connection goes on wherever the next frame can be found.

@Suite struct PBBadInputTests {
  private static let names: [UInt8] = [10, 1, 98, 18, 1, 107]
  private static let content: [UInt8] = [34, 3, 10, 1, 118]

  /// The frame, and what is told.
  static let table: [(frame: [UInt8], text: String)] = [
    ([0, 0, 0, 0], "a frame of 0 bytes has no message code"),
    (pbFrame(99), "Unknown message code: 99"),
    (pbFrame(0), "Unknown message code: 0"),
    (pbFrame(10), "Unknown message code: 10"),
    (pbFrame(200), "Unknown message code: 200"),
    (pbFrame(255), "Security not enabled; STARTTLS not allowed."),
    (pbFrame(253), "RpbAuthReq is not supported here (message code 253)"),
    (pbFrame(23), "RpbMapRedReq is not supported here (message code 23)"),
    (pbFrame(25), "RpbIndexReq is not supported here (message code 25)"),
    (pbFrame(31), "RpbGetBucketTypeReq is not supported here (message code 31)"),
    (pbFrame(32), "RpbSetBucketTypeReq is not supported here (message code 32)"),
    (pbFrame(50), "RpbCounterUpdateReq is not supported here (message code 50)"),
    (pbFrame(70), "RpbCoverageReq is not supported here (message code 70)"),
    (pbFrame(80), "DtFetchReq is not supported here (message code 80)"),
    (pbFrame(82), "DtUpdateReq is not supported here (message code 82)"),
    (pbFrame(9), "Error processing incoming message: RpbGetReq lacks its required field 1"),
    (pbFrame(9, [10, 1, 98]), "Error processing incoming message: RpbGetReq lacks its required field 2"),
    (pbFrame(11, names), "Error processing incoming message: RpbPutReq lacks its required field 4"),
    (pbFrame(11, names + [34, 0]), "Error processing incoming message: RpbContent lacks its required field 1"),
    (pbFrame(13, [10, 1, 98]), "Error processing incoming message: RpbDelReq lacks its required field 2"),
    (pbFrame(17), "Error processing incoming message: RpbListKeysReq lacks its required field 1"),
    (pbFrame(21, [10, 1, 98]), "Error processing incoming message: RpbSetBucketReq lacks its required field 2"),
    (pbFrame(5), "Error processing incoming message: RpbSetClientIdReq lacks its required field 1"),
    (pbFrame(9, [10, 200, 1]), "Error processing incoming message: it ends within a field"),
    (pbFrame(9, [10, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), "Error processing incoming message: it ends within a field"),
    (pbFrame(9, [8, 1]), "Error processing incoming message: field 1 of RpbGetReq is of the wrong type"),
    (pbFrame(9, [7]), "Error processing incoming message: a field has the tag 7, which there is not"),
    (pbFrame(9, [10, 0, 18, 1, 107]), "Bucket cannot be zero-length"),
    (pbFrame(9, [10, 1, 98, 18, 0]), "Key cannot be zero-length"),
    (pbFrame(9, names + [106, 0]), "Type cannot be zero-length"),
    (pbFrame(9, names + [106, 1, 120]), "No bucket-type named 'x'"),
    (pbFrame(11, [10, 0, 18, 1, 107] + content), "Bucket cannot be zero-length"),
    (pbFrame(11, [10, 1, 98, 18, 0] + content), "Key cannot be zero-length"),
    (pbFrame(13, [10, 0, 18, 1, 107]), "Bucket cannot be zero-length"),
    (pbFrame(13, [10, 1, 98, 18, 0]), "Key cannot be zero-length"),
    (pbFrame(15, [26, 1, 120]), "No bucket-type named 'x'"),
    (pbFrame(17, [10, 0]), "Bucket cannot be zero-length"),
    (pbFrame(19, [10, 0]), "Bucket cannot be zero-length"),
    (pbFrame(29, [10, 0]), "Bucket cannot be zero-length"),
    (pbFrame(33, [10, 1, 98, 18, 0]), "Key cannot be zero-length"),
    (pbFrame(9, names + [24, 0]), "{r_val_violation,0}"),
    (pbFrame(9, names + [96, 0]), "{n_val_violation,0}"),
    (pbFrame(11, names + content + [40, 0]), "{w_val_violation,0}"),
    (pbFrame(9, names + [24, 4]), "{n_val_violation,3}"),
    (pbFrame(9, names + [32, 4]), "{n_val_violation,3}"),
    (pbFrame(9, names + [96, 4]), "{n_val_violation,4}"),
    (pbFrame(9, names + [112, 4]), "{n_val_violation,3}"),
    (pbFrame(11, names + content + [40, 4]), "{n_val_violation,3}"),
    (pbFrame(11, names + content + [48, 4]), "{n_val_violation,3}"),
    (pbFrame(11, names + content + [64, 4]), "{n_val_violation,3}"),
    (pbFrame(11, names + content + [120, 4]), "{n_val_violation,4}"),
    (pbFrame(11, names + content + [136, 1, 4]), "{n_val_violation,3}"),
    (pbFrame(11, names + content + [40, 0xFA, 0xFF, 0xFF, 0xFF, 0x0F]), "{n_val_violation,3}"),
    (pbFrame(13, names + [24, 4]), "{n_val_violation,3}"),
    (pbFrame(13, names + [40, 4]), "{n_val_violation,3}"),
    (pbFrame(13, names + [48, 4]), "{n_val_violation,3}"),
    (pbFrame(13, names + [56, 4]), "{n_val_violation,3}"),
    (pbFrame(13, names + [64, 4]), "{n_val_violation,3}"),
    (pbFrame(13, names + [72, 4]), "{n_val_violation,3}"),
    (pbFrame(13, names + [96, 4]), "{n_val_violation,4}"),
    (
      pbFrame(11, names + content + [26, 3, 1, 2, 3]),
      "Error processing incoming message: the vclock is none that was made here: send what a read returned, or nothing"
    ),
    (
      pbFrame(9, names + [58, 3, 1, 2, 3]),
      "Error processing incoming message: the vclock is none that was made here: send what a read returned, or nothing"
    ),
    (
      pbFrame(13, names + [34, 12] + [UInt8](repeating: 0xFF, count: 12)),
      "the vclock is ahead of every clock: send what a read returned"
    ),
    (
      pbFrame(.setClientIDRequest, RpbClientID(clientID: [UInt8](repeating: 1, count: 257)[...])),
      "the client id is longer than 256 bytes"
    ),
    (
      pbFrame(.getRequest, RpbGetReq(bucket: [UInt8](repeating: 98, count: 65_535)[...], key: pbBytes("k"))),
      "bucket and key are longer than 65535 bytes"
    ),
  ]

  @Test("the error that Riak has, and the next frame is answered", arguments: table.indices)
  func refused(index: Int) {
    let (frame, text) = Self.table[index]
    var session = PBSession(configuration: pbNode)
    session.receive(frame + pbFrame(1))
    let actions = session.actions()
    #expect(actions.first?.error == text)
    #expect(actions.count == 2 && actions.last?.answer == pbFrame(2) && !session.isClosed)
  }

  @Test("a frame longer than any may be is refused before its bytes come, and ends the connection")
  func tooLong() {
    for length in [PBLimits.frameBytesMax + 1, Int(UInt32.max)] {
      var session = PBSession(configuration: pbNode)
      session.receive((0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) })
      guard case .reply(let bytes, close: true) = session.next() else {
        Issue.record("not refused")
        continue
      }
      #expect(pbError(bytes) == "a frame of \(length) bytes is longer than \(PBLimits.frameBytesMax)")
      session.receive(pbFrame(1))
      #expect(session.actions().isEmpty && session.isClosed && session.bufferedBytes == 0)
    }
  }

  @Test("nothing is reserved for a frame that is only announced")
  func announced() {
    var session = PBSession(configuration: pbNode)
    session.receive([3, 0, 0, 0, 11, 1, 2, 3])
    #expect(session.actions().isEmpty && session.bufferedBytes == 8)
  }

  @Test("a long frame leaves no room behind that its connection would keep")
  func roomGivenBack() {
    var input = InputBuffer()
    let bytes = [UInt8](repeating: 1, count: 1 << 20)
    unsafe bytes.withUnsafeBytes { unsafe input.append($0) }
    input.drop(1 << 20)
    #expect(input.bytes.capacity == 0 && input.unparsed == 0 && input.count == 0)
    // Also when the next frame has begun.
    unsafe (bytes + [7]).withUnsafeBytes { unsafe input.append($0) }
    input.drop(1 << 20)
    #expect(input.bytes.capacity < 64 << 10 && input.unparsed == 1 && input.count == 1)
    #expect(input.bytes[input.position] == 7)
  }

  @Test("a conditional write is counted until its read has been answered")
  func heldBytes() {
    var put = RpbPutReq(bucket: pbBytes("b"), key: pbBytes("k"), content: RpbContent(value: pbBytes("0123456789")))
    func held(_ action: PBAction) -> Int {
      guard case .request(_, let reply) = action else { return -1 }
      return reply.heldBytes
    }
    #expect(held(pbAction(.putRequest, put)) == 0)
    put.ifNoneMatch = true
    let action = pbAction(.putRequest, put)
    #expect(held(action) > 10)
    guard case .request(_, var reply) = action else { return }
    #expect(reply.takeWrite(after: .notFound(tombstone: nil)) != nil && reply.heldBytes == 0)
  }

  @Test("metadata, links and values have bounds")
  func contentBounds() {
    func error(_ change: (inout RpbContent) -> Void) -> String? {
      var content = RpbContent(value: pbBytes("v"))
      change(&content)
      return pbAction(.putRequest, RpbPutReq(bucket: pbBytes("b"), key: pbBytes("k"), content: content)).error
    }
    let pair = RpbPair(key: pbBytes("n"), value: pbBytes("v"))
    #expect(error { $0.userMetadata = Array(repeating: pair, count: 255) } == nil)
    #expect(error { $0.userMetadata = Array(repeating: pair, count: 256) } == "more than 256 entries of metadata")
    let long = [UInt8](repeating: 120, count: 70_000)[...]
    #expect(error { $0.userMetadata = [RpbPair(key: long)] } == "metadata are longer than 65535 bytes")
    #expect(error { $0.contentType = long } == "metadata are longer than 65535 bytes")
    #expect(error { $0.links = [RpbLink()] }?.hasPrefix("Invalid Link header.") == true)
    let link = RpbLink(bucket: pbBytes("b"), key: pbBytes("k"), tag: long)
    #expect(error { $0.links = [link] }?.hasPrefix("Links are longer than") == true)
    let value = [UInt8](repeating: 0, count: PBLimits.valueBytesMax + 1)[...]
    #expect(error { $0.value = value } == "the value is longer than 67108864 bytes")
  }

  @Test("what HTTP refuses to store is refused here too")
  func asOverHTTP() {
    func error(_ change: (inout RpbContent) -> Void) -> String? {
      var content = RpbContent(value: pbBytes("v"))
      change(&content)
      return pbAction(.putRequest, RpbPutReq(bucket: pbBytes("b"), key: pbBytes("k"), content: content)).error
    }
    func index(_ name: String, _ value: String) -> String? {
      error { $0.indexes = [RpbPair(key: pbBytes(name), value: pbBytes(value))] }
    }
    for type in ["text", "text/", "/plain", "text/plain x", "a b/c", "\r\n"] {
      #expect(error { $0.contentType = pbBytes(type) } == "Content-Type must be type/subtype, like text/plain")
    }
    #expect(error { $0.contentType = pbBytes("text/plain; a=b") } == nil)
    #expect(index("age_int", "12") == nil && index("name_bin", "x y") == nil && index("age_INT", "-1") == nil)
    #expect(index("age", "12") == "Unknown field type for field: 'age'.")
    #expect(index("", "12") == "Unknown field type for field: ''.")
    #expect(index("age_int", "x") == "Could not parse field 'age_int', value 'x'.")
    #expect(error { $0.indexes = [RpbPair(key: pbBytes("age_int"))] } == "Could not parse field 'age_int', value ''.")
  }

  @Test(
    "user metadata that look like a lifetime are refused rather than kept for ever",
    arguments: ["X-Cairn-Expires-In", "x-cairn-expires-at", "X-CAIRN-EXPIRY", "X-Cairn-TTL", "x-cairn-ttl-seconds"])
  func lifetimes(name: String) {
    var content = RpbContent(value: pbBytes("v"))
    content.userMetadata = [RpbPair(key: pbBytes(name), value: pbBytes("60"))]
    let put = RpbPutReq(bucket: pbBytes("b"), key: pbBytes("k"), content: content)
    let text = "\(name) cannot be user metadata: a lifetime is given over HTTP or by default_ttl"
    #expect(pbAction(.putRequest, put).error == text)
  }

  @Test("random bytes and changed frames are answered or waited for, and never trap", arguments: UInt64(0)..<100)
  func fuzz(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var session = PBSession(configuration: pbNode)
    for _ in 0..<200 {
      var frame: [UInt8]
      if generator.chance(1, in: 4) {
        let message = (0..<generator.below(200)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        frame = pbFrame(UInt8(truncatingIfNeeded: generator.next()), message)
      } else {
        var fields = RandomFields(generator: SeededGenerator(seed: generator.next()))
        func make<Message: PBMessage>(_ type: Message.Type) -> [UInt8] {
          var bytes: [UInt8] = []
          fields.random(type).appendFields(to: &bytes)
          return bytes
        }
        let codes: [UInt8] = [5, 9, 11, 13, 15, 17, 19, 21, 29, 33]
        frame = pbFrame(
          codes[generator.below(codes.count)], make(allMessages[generator.below(allMessages.count)]))
        // The length stays: what follows is still found.
        for _ in 0..<generator.below(6) where frame.count > 5 {
          frame[5 + generator.below(frame.count - 5)] = UInt8(truncatingIfNeeded: generator.next())
        }
      }
      session.receive(frame)
      let actions = session.actions()
      #expect(actions.count == 1 && session.bufferedBytes == 0)
      for action in actions {
        _ = action.answer(.object(stamp: sampleStamp, payload: frame))
        _ = action.answer(.stored(stamp: sampleStamp))
      }
    }
  }
}
