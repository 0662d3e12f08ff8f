import Primitives
import Testing

@testable import Protocols

// The codec of Protocol Buffers: every message comes back as it was written, whatever is cut, changed or added.

/// Fills every field of whatever it visits, or leaves it out.
struct RandomFields: PBVisitor {
  var generator: SeededGenerator
  /// Nested messages are filled with fields of their own to this depth.
  var depth = 3

  mutating func optional<Value: PBValue>(_ number: Int, _ value: inout Value?) {
    if generator.chance(2, in: 3) { value = make() }
  }
  mutating func required<Value: PBValue>(_ number: Int, _ value: inout Value?) { value = make() }
  mutating func repeated<Value: PBValue>(_ number: Int, _ values: inout [Value]) {
    for _ in 0..<generator.below(4) { if let value: Value = make() { values.append(value) } }
  }

  private mutating func make<Value: PBValue>() -> Value? {
    switch Value.self {
    case is UInt32.Type: return UInt32(truncatingIfNeeded: number()) as? Value
    case is Int64.Type: return Int64(bitPattern: number()) as? Value
    case is PBZigZag.Type: return PBZigZag(Int64(bitPattern: number())) as? Value
    case is Bool.Type: return generator.chance(1, in: 2) as? Value
    case is PBBytes.Type:
      let bytes = (0..<generator.below(300)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      return bytes[...] as? Value
    case let type as any PBMessage.Type: return random(type) as? Value
    default: return nil
    }
  }

  /// Of any length in bits.
  private mutating func number() -> UInt64 { generator.next() >> UInt64(generator.below(64)) }

  mutating func random<Message: PBMessage>(_: Message.Type) -> Message {
    var message = Message()
    message.visit(&self)
    return message
  }
}

/// All numbers in one message, those too that no message of today has.
struct AllNumbers: PBMessage {
  static var name: StaticString { "AllNumbers" }
  var whole: Int64?
  var folded: [PBZigZag] = []

  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure) {
    try visitor.optional(1, &whole)
    try visitor.repeated(536_870_911, &folded)
  }
}

let allMessages: [any PBMessage.Type] = [
  RpbPair.self, RpbLink.self, RpbContent.self, RpbGetReq.self, RpbGetResp.self, RpbPutReq.self, RpbPutResp.self,
  RpbDelReq.self, RpbErrorResp.self, RpbGetServerInfoResp.self, RpbClientID.self, RpbListBucketsReq.self,
  RpbListKeysReq.self, RpbListing.self, RpbBucketReq.self, RpbModFun.self, RpbCommitHook.self, RpbBucketProps.self,
  RpbGetBucketResp.self, RpbSetBucketReq.self, RpbGetBucketKeyPreflistReq.self, RpbBucketKeyPreflistItem.self,
  RpbGetBucketKeyPreflistResp.self, AllNumbers.self,
]

@Suite struct PBMessageTests {
  private func encoded(_ message: some PBMessage) -> [UInt8] {
    var bytes: [UInt8] = []
    message.appendFields(to: &bytes)
    return bytes
  }

  private func decoded<Message: PBMessage>(_: Message.Type, _ bytes: [UInt8]) throws -> Message {
    try Message(bytes, 0..<bytes.count)
  }

  @Test("every message comes back as it was written", arguments: 0..<allMessages.count)
  func roundTrip(index: Int) throws {
    func check<Message: PBMessage>(_ type: Message.Type) throws {
      for seed in 0..<UInt64(100) {
        var fields = RandomFields(generator: SeededGenerator(seed: seed))
        let message = fields.random(type)
        #expect(try decoded(type, encoded(message)) == message, "seed \(seed)")
      }
    }
    try check(allMessages[index])
  }

  @Test(
    "a message that is cut anywhere is refused, or is one with fewer fields; none traps",
    arguments: 0..<allMessages.count)
  func cut(index: Int) throws {
    func check<Message: PBMessage>(_ type: Message.Type) throws {
      for seed in 0..<UInt64(8) {
        var fields = RandomFields(generator: SeededGenerator(seed: seed))
        let bytes = encoded(fields.random(type))
        for count in 0..<bytes.count {
          guard let part = try? Message(bytes, 0..<count) else { continue }
          #expect(encoded(part).count <= count)
        }
      }
    }
    try check(allMessages[index])
  }

  @Test("fields that nobody knows are passed over, whatever they hold")
  func unknownFields() throws {
    var fields = RandomFields(generator: SeededGenerator(seed: 1))
    let message = fields.random(RpbGetReq.self)
    var bytes = encoded(message)
    bytes.appendTag(1000, .varint)
    bytes.appendVarint(.max)
    bytes.appendTag(1001, .fixed64)
    bytes += [1, 2, 3, 4, 5, 6, 7, 8]
    bytes.appendTag(1002, .bytes)
    bytes += [3, 7, 7, 7]
    bytes.appendTag(1003, .fixed32)
    bytes += [1, 2, 3, 4]
    bytes.appendTag(1004, .groupStart)
    bytes.appendTag(1, .groupStart)
    bytes.appendTag(2, .varint)
    bytes.append(5)
    bytes.appendTag(1, .groupEnd)
    bytes.appendTag(1004, .groupEnd)
    #expect(try decoded(RpbGetReq.self, bytes) == message)
  }

  @Test("groups are passed over to a bounded depth")
  func groupDepth() throws {
    func nested(_ depth: Int) -> [UInt8] {
      var bytes: [UInt8] = []
      for _ in 0..<depth { bytes.appendTag(100, .groupStart) }
      for _ in 0..<depth { bytes.appendTag(100, .groupEnd) }
      return bytes
    }
    #expect(try decoded(RpbListBucketsReq.self, nested(16)) == RpbListBucketsReq())
    #expect(throws: PBProblem("groups are nested deeper than 16")) {
      try decoded(RpbListBucketsReq.self, nested(17))
    }
    #expect(throws: PBProblem.self) { try decoded(RpbListBucketsReq.self, nested(100_000)) }
  }

  @Test("what is required must be there, also in what is nested")
  func required() throws {
    #expect(throws: PBProblem("RpbGetReq lacks its required field 1")) { try decoded(RpbGetReq.self, []) }
    #expect(throws: PBProblem("RpbGetReq lacks its required field 2")) { try decoded(RpbGetReq.self, [10, 1, 98]) }
    // RpbPutReq{bucket, content{}}
    #expect(throws: PBProblem("RpbContent lacks its required field 1")) {
      try decoded(RpbPutReq.self, [10, 1, 98, 34, 0])
    }
  }

  @Test("numbers: known bytes, folded signs, and none of more than 64 bits")
  func numbers() throws {
    #expect(encoded(AllNumbers(whole: 300)) == [8, 0xAC, 2])
    #expect(encoded(AllNumbers(whole: -1)) == [8] + [UInt8](repeating: 0xFF, count: 9) + [1])
    for (value, folded) in [(0, 0), (-1, 1), (1, 2), (-2, 3), (2_147_483_647, 4_294_967_294)] as [(Int64, UInt64)] {
      var bytes: [UInt8] = []
      var expected: [UInt8] = []
      PBZigZag(value).append(to: &bytes)
      expected.appendVarint(folded)
      #expect(bytes == expected)
    }
    #expect(try decoded(AllNumbers.self, [8] + [UInt8](repeating: 0xFF, count: 9) + [1]).whole == -1)
    #expect(throws: PBProblem("a number has more than 64 bits")) {
      try decoded(AllNumbers.self, [8] + [UInt8](repeating: 0xFF, count: 10) + [0])
    }
    #expect(throws: PBProblem("a number has more than 64 bits")) {
      try decoded(AllNumbers.self, [8] + [UInt8](repeating: 0x80, count: 9) + [2])
    }
    // Of a uint32 the low bits count.
    #expect(try decoded(RpbListBucketsReq.self, [8, 0x81, 0x80, 0x80, 0x80, 0x10]).timeout == 1)
  }

  @Test("a field that comes as another type, one with number 0, and a length beyond the end are refused")
  func malformed() {
    for bytes in [
      [8, 1], [0, 1], [10, 2, 98], [10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [14], [15], [12],
    ]
      as [[UInt8]]
    {
      #expect(throws: PBProblem.self, "\(bytes)") { try decoded(RpbBucketReq.self, bytes) }
    }
  }

  @Test("a repeated field has a bounded number of values")
  func repeatedBound() {
    func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: 2 * count).indices.map { $0 % 2 == 0 ? 10 : 0 } }
    #expect(throws: Never.self) { try decoded(RpbListing.self, bytes(PBDecoder.repeatedMax)) }
    #expect(throws: PBProblem.self) { try decoded(RpbListing.self, bytes(PBDecoder.repeatedMax + 1)) }
  }

  @Test("a frame has a bounded number of fields, known or not, in it and in what it holds")
  func fieldsBound() {
    let start: [UInt8] = [10, 1, 98, 0x12, 0]
    func bytes(_ field: [UInt8], _ count: Int) -> [UInt8] { start + (0..<count).flatMap { _ in field } }
    // Properties without a field; one with an unknown field; an unknown number; an empty group, which has an end too.
    for (field, weight) in [([0x12, 0], 1), ([0x12, 3, 0xF8, 0x3F, 0], 2), ([0x78, 0], 1), ([0x7B, 0x7C], 2)]
      as [([UInt8], Int)]
    {
      let most = (PBReader.fieldsMax - 2) / weight
      #expect(throws: Never.self, "\(field)") { try decoded(RpbSetBucketReq.self, bytes(field, most)) }
      #expect(throws: PBProblem.self, "\(field)") { try decoded(RpbSetBucketReq.self, bytes(field, most + 1)) }
    }
  }

  @Test("changed bytes are a message or are refused, and never trap", arguments: UInt64(0)..<40)
  func changed(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    func check<Message: PBMessage>(_ type: Message.Type, _ bytes: [UInt8]) { _ = try? Message(bytes, 0..<bytes.count) }
    for type in allMessages {
      func make<Message: PBMessage>(_ type: Message.Type) -> [UInt8] {
        var fields = RandomFields(generator: SeededGenerator(seed: generator.next()))
        return encoded(fields.random(type))
      }
      for _ in 0..<20 {
        var bytes = make(type)
        for _ in 0..<generator.below(8) + 1 where !bytes.isEmpty {
          bytes[generator.below(bytes.count)] = UInt8(truncatingIfNeeded: generator.next())
        }
        check(type, bytes)
        check(type, (0..<generator.below(64)).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
      }
    }
  }
}
