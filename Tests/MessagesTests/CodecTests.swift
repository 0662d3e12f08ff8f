import Causality
import Messages
import Primitives
import Storage
import Testing

@Suite struct CodecTests {
  @Test(arguments: 1...200 as ClosedRange<UInt64>) func everyMessageComesBackAsItWas(seed: UInt64) throws {
    var random = RandomMessages(seed: seed)
    for kind in 0..<RandomMessages.cases {
      let message = random.message(kind)
      #expect(try PeerMessage(decoding: message.encoded) == message)
    }
  }

  @Test(arguments: 1...10 as ClosedRange<UInt64>) func everyPrefixAndEveryExtensionIsAnError(seed: UInt64) {
    var random = RandomMessages(seed: seed)
    random.valueBytesMax = 40
    for kind in 0..<RandomMessages.cases {
      let bytes = random.message(kind).encoded
      for end in 0..<bytes.count {
        #expect(throws: CodecError.self, "\(end) of \(bytes.count) bytes") {
          try PeerMessage(decoding: Array(bytes[..<end]))
        }
      }
      #expect(throws: CodecError.trailingBytes(1)) { try PeerMessage(decoding: bytes + [0]) }
    }
  }

  @Test(arguments: 1...10 as ClosedRange<UInt64>) func anyBytesAreAMessageOrAnError(seed: UInt64) throws {
    var random = RandomMessages(seed: seed)
    for kind in 0..<RandomMessages.cases {
      let good = random.message(kind).encoded
      for _ in 0..<300 {
        var bytes = good
        for _ in 0...random.below(4) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
        // What is accepted is the same message again when it is encoded.
        guard let message = try? PeerMessage(decoding: bytes) else { continue }
        #expect(try PeerMessage(decoding: message.encoded) == message)
      }
    }
  }

  @Test func unknownTagsAndValuesAreNamed() {
    let ping = PeerMessage(
      time: .zero, body: .ping(Ping(bootID: 1, sequence: 2, suspects: [])))
    var bytes = ping.encoded
    bytes[0] = 200
    #expect(throws: CodecError.unknown("message", 200)) { try PeerMessage(decoding: bytes) }
    let refused = PeerMessage(
      time: .zero, body: .readReply(PeerReadReply(operation: 1, outcome: .refused(.fenced))))
    bytes = refused.encoded
    bytes[bytes.count - 1] = 99
    #expect(throws: CodecError.unknown("refusal", 99)) { try PeerMessage(decoding: bytes) }
  }

  @Test func aLengthIsBelievedOnlyAsFarAsThereAreBytes() {
    let states = PeerMessage(
      time: .zero, body: .storeStates(StoreStates(bootID: 1, yourBootID: 2, sequence: 1, states: [])))
    var bytes = states.encoded
    bytes.setLittleEndian(UInt32(FeedLimits.storesMax), at: bytes.count - 4)
    #expect(throws: CodecError.truncated) { try PeerMessage(decoding: bytes) }
    bytes.setLittleEndian(UInt32(FeedLimits.storesMax + 1), at: bytes.count - 4)
    #expect(throws: CodecError.malformed("states")) { try PeerMessage(decoding: bytes) }
  }

  @Test func aPingNamesSoManySuspectsAndNoMore() throws {
    let nodes = (1...20).map { NodeID($0) }
    let most = Ping(bootID: 1, sequence: 2, suspects: Array(nodes.prefix(8)))
    let message = PeerMessage(time: .zero, body: .ping(most))
    var more = most
    more.suspects = nodes
    #expect(try PeerMessage(decoding: PeerMessage(time: .zero, body: .ping(more)).encoded) == message)
    var bytes = message.encoded
    bytes[bytes.count - 8 * 4 - 1] = 9
    bytes += [0, 0, 0, 0]
    #expect(throws: CodecError.malformed("suspects")) { try PeerMessage(decoding: bytes) }
  }

  @Test func longTextsAreCutAtAWholeCharacter() throws {
    let detail = String(repeating: "雪", count: CodecLimits.textBytesMax)
    let reply = ForwardReply(operation: 1, bootID: 2, outcome: .done(.failed(.timeout(detail: detail))))
    let message = PeerMessage(time: .zero, body: .forwardReply(reply))
    guard case .forwardReply(let cut) = try PeerMessage(decoding: message.encoded).body,
      case .done(.failed(.timeout(detail: let text))) = cut.outcome
    else { return #expect(Bool(false), "another message came back") }
    #expect(text == String(repeating: "雪", count: CodecLimits.textBytesMax / 3))
  }

  @Test func theVersionOfTheCodeIsTheOneThatIsOffered() {
    #expect(PeerMessage.wireVersion == Hello.versionMax)
  }
}

@Suite struct ObjectContentTests {
  @Test func aViewShowsWhatWasEncoded() throws {
    let content = ObjectContent(
      contentType: Array("text/plain".utf8),
      metadata: [(Array("X-Riak-Meta-A".utf8), Array("1".utf8)), (Array("B".utf8), [])], value: [1, 2, 3])
    let payload = content.encoded()
    #expect(ObjectContent(payload: payload) == content)
    let view = try #require(ObjectContentView(payload: payload))
    #expect(Array(payload[view.contentType]) == content.contentType)
    #expect(Array(payload[view.value]) == content.value)
    var entries: [(name: [UInt8], value: [UInt8])] = []
    view.forEachMetadata { entries.append((Array(payload[$0]), Array(payload[$1]))) }
    #expect(ObjectContent(contentType: content.contentType, metadata: entries, value: content.value) == content)
  }

  @Test func aHeaderWrittenInPlaceIsTheSameEncoding() {
    let content = ObjectContent(contentType: [65], metadata: [(name: [66], value: [67, 68])], value: [69])
    var payload: [UInt8] = []
    ObjectContent.appendHeader(
      contentType: content.contentType[...],
      metadata: [(content.metadata[0].name[...], content.metadata[0].value[...])],
      to: &payload)
    #expect(payload + content.value == content.encoded())
  }

  @Test func whatCannotBeContentIsNone() {
    let payload = ObjectContent(contentType: [65], metadata: [(name: [66], value: [67])], value: []).encoded()
    for end in 0..<payload.count {
      #expect(ObjectContentView(payload: Array(payload[..<end])) == nil)
      #expect(ObjectContent(payload: Array(payload[..<end])) == nil)
    }
    #expect(ObjectContentView(payload: [2] + payload.dropFirst()) == nil)
  }
}

@Suite struct ObjectKeyTests {
  @Test func theLongestKeyIsAKeyAndOneByteMoreIsNone() {
    let key = [UInt8](repeating: 1, count: ObjectKey.byteCountMax - 2)
    #expect(ObjectKey(type: [7], bucket: [8], key: key)?.encoded.count == ObjectKey.encodedByteCountMax)
    #expect(ObjectKey(type: [7], bucket: [8, 8], key: key) == nil)
    #expect(ObjectKey(bucket: [], key: [1]) == nil)
    #expect(ObjectKey(bucket: [1], key: []) == nil)
  }

  @Test func thePartsComeBack() throws {
    let key = try #require(ObjectKey(type: [1, 2], bucket: [3], key: [4, 5]))
    #expect(key.type == [1, 2] && key.bucket == [3] && key.key == [4, 5])
    #expect(ObjectKey(encoded: key.encoded) == key)
    let plain = try #require(ObjectKey(type: ObjectKey.defaultType, bucket: [3], key: [4]))
    #expect(plain == ObjectKey(bucket: [3], key: [4]))
    #expect(plain.type == ObjectKey.defaultType)
    #expect(Array(plain.encoded[plain.bucketRange]) == [3])
  }

  @Test("times, clocks and rings that cannot be are no messages")
  func absurdities() {
    func decodes(_ message: PeerMessage) -> Bool {
      var reader = ByteReader(message.encoded)
      return (try? PeerMessage(decoding: &reader)) != nil
    }
    func beat(_ time: HybridTime, wall: UInt64) -> PeerMessage {
      PeerMessage(
        time: time, body: .pingReply(PingReply(bootID: 1, yourBootID: 1, sequence: 1, wallMilliseconds: wall)))
    }
    #expect(decodes(beat(HybridTime(HybridTime.ceiling.rawValue - 1), wall: 1)))
    #expect(!decodes(beat(.ceiling, wall: 1)))
    #expect(!decodes(beat(HybridTime(.max), wall: 1)))
    #expect(!decodes(beat(.zero, wall: 1 << 63)))
    func hello(partitions: UInt16, replicas: UInt8) -> PeerMessage {
      let cluster = ClusterIdentity(
        id: Identity128(high: 1, low: 1), ringSeed: 1, partitions: partitions, replicas: replicas)
      let hello = Hello(
        node: NodeID(1), name: "n1", bootID: 1, knownBootID: 0, actor: ActorID(1), cluster: cluster, membersDigest: 1,
        ringEpoch: 1, wallMilliseconds: 1)
      return PeerMessage(time: .zero, body: .hello(hello))
    }
    #expect(decodes(hello(partitions: 64, replicas: 3)))
    for (partitions, replicas) in [(48, 3), (0, 3), (64, 0), (64, 17)] as [(UInt16, UInt8)] {
      #expect(!decodes(hello(partitions: partitions, replicas: replicas)), "\(partitions) \(replicas)")
    }
  }
}
