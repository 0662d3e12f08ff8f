import Primitives
import Protocols
import Testing

@Suite struct JSONMembersTests {
  private func members(_ text: String) throws -> [(String, String, JSONMembers.Kind)] {
    let bytes = Array(text.utf8)
    var found = JSONMembers()
    try found.parse(bytes, 0..<bytes.count)
    return found.members.map {
      (String(decoding: bytes[$0.name], as: UTF8.self), String(decoding: bytes[$0.value], as: UTF8.self), $0.kind)
    }
  }

  @Test("each member stands where it is said to, and numbers keep their digits")
  func places() throws {
    let found = try members(#" { "a" : "x\n", "b":1.50e+09,"c":{"a":[1,{}]} , "d":[ ], "e":null,"\u0066":true} "#)
    #expect(found.map(\.0) == ["a", "b", "c", "d", "e", "\\u0066"])
    #expect(found.map(\.1) == ["x\\n", "1.50e+09", #"{"a":[1,{}]}"#, "[ ]", "null", "true"])
    #expect(found.map(\.2) == [.string, .number, .object, .array, .word, .word])
    #expect(try members("{}").isEmpty)
  }

  @Test("a member is found by its name, escaped or not, and only when there is one")
  func names() throws {
    let bytes = Array(#"xx{"k\u0065y":1,"b":2,"b":3}"#.utf8)
    var found = JSONMembers()
    try found.parse(bytes, 2..<bytes.count)
    #expect(try found.member(Array("key".utf8), in: bytes)?.kind == .number)
    #expect(try found.member(Array("none".utf8), in: bytes) == nil)
    #expect(throws: JSONError.self) { try found.member(Array("b".utf8), in: bytes) }
  }

  @Test(
    "what is no object is refused",
    arguments: [
      "", " ", "[]", "1", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":1}x", "{\"a\":01}", "{\"a\":1.}",
      "{\"a\":.5}", "{\"a\":+1}", "{\"a\":-}", "{\"a\":1e}", "{\"a\":tru}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}",
      "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}", "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\"\u{1}\"}", "{\"a\":\"b}",
      "{a:1}", "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\" 1}", "{\"a\":'b'}", "{\"a\":NaN}",
    ])
  func refused(text: String) {
    #expect(throws: JSONError.self) { try members(text) }
  }

  @Test("bytes that are no UTF-8 are refused, wherever they stand")
  func notUTF8() {
    for bytes: [UInt8] in [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0x80], [0xF5, 0x80, 0x80, 0x80]] {
      let line = Array("{\"a\":\"".utf8) + bytes + Array("\"}".utf8)
      var found = JSONMembers()
      #expect(throws: JSONError.self, "\(bytes)") { try found.parse(line, 0..<line.count) }
    }
  }

  @Test("nesting is bounded")
  func depth() throws {
    func nested(_ depth: Int) -> String {
      "{\"a\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
    }
    _ = try members(nested(JSON.depthMax - 1))
    #expect(throws: JSONError.self) { try members(nested(JSON.depthMax)) }
    #expect(throws: JSONError.self) { try members(nested(100_000)) }
  }

  @Test("what it takes the parser takes too, and both read the same strings", arguments: UInt64(0)..<1000)
  func agrees(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var bytes = Array(#"{"a\u00e9":"x\ud83d\ude00\"","b":[1,-2.5,{"c":null}],"d":{"e":"é"},"f":true}"#.utf8)
    if seed > 0 {
      for _ in 0...generator.below(2) { bytes[generator.below(bytes.count)] = UInt8(generator.below(256)) }
    }
    var found = JSONMembers()
    do { try found.parse(bytes, 0..<bytes.count) } catch { return }
    let parsed = try JSON.parse(bytes).members ?? []
    #expect(parsed.count == found.members.count)
    for (a, b) in zip(parsed, found.members) {
      var name: [UInt8] = []
      name.appendJSONStringContent(bytes, b.name)
      #expect(name == Array(a.name.utf8))
      guard b.kind == .string else { continue }
      var value: [UInt8] = []
      value.appendJSONStringContent(bytes, b.value)
      #expect(value == a.value.string.map { Array($0.utf8) })
    }
  }

  @Test("a written string reads back the same, and its length was known", arguments: UInt64(0)..<100)
  func strings(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let scalars: [Unicode.Scalar] = ["a", "\"", "\\", "\n", "\r", "\t", "\u{0}", "\u{7F}", "é", "😀", "\u{2028}"]
    var text = ""
    for _ in 0..<generator.below(9) { text.unicodeScalars.append(scalars[generator.below(scalars.count)]) }
    var bytes: [UInt8] = []
    bytes.appendJSONString(Array(text.utf8)[...])
    #expect(try JSON.parse(bytes) == .string(text))
    #expect(bytes.count == [UInt8].jsonStringBytes(Array(text.utf8)[...]))
  }
}

@Suite struct Base64Tests {
  @Test("the examples of RFC 4648, both ways")
  func examples() {
    let texts = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]
    for (count, text) in texts.enumerated() {
      let bytes = Array("foobar".utf8.prefix(count))
      var encoded: [UInt8] = []
      encoded.appendBase64(bytes[...])
      #expect(encoded == Array(text.utf8))
      var decoded: [UInt8] = [1]
      #expect(decoded.appendDecodedBase64(encoded, 0..<encoded.count) && decoded == [1] + bytes)
    }
  }

  @Test("any bytes survive", arguments: UInt64(0)..<50)
  func roundTrip(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let bytes = (0..<generator.below(50)).map { _ in UInt8(generator.below(256)) }
    var encoded: [UInt8] = [0x78]
    encoded.appendBase64(bytes[...])
    var decoded: [UInt8] = []
    #expect(decoded.appendDecodedBase64(encoded, 1..<encoded.count) && decoded == bytes)
  }

  @Test(
    "what is no base64 is refused, and nothing is appended",
    arguments: [
      "A", "AA", "AAA", "AA=A", "=AAA", "A===", "====", "AB==", "AAB=", "AA==AAAA", "AAA-", "AAA_", "AA A", "AAAAA",
      "\nAAA",
    ])
  func refused(text: String) {
    var decoded: [UInt8] = [7]
    let bytes = Array(text.utf8)
    #expect(!decoded.appendDecodedBase64(bytes, 0..<bytes.count) && decoded == [7])
  }
}
