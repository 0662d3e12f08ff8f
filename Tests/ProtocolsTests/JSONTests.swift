import Primitives
import Protocols
import Testing

@Suite struct JSONTests {
  @Test("what was written reads back the same, on one line and indented", arguments: UInt64(0)..<100)
  func roundTrip(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let value = randomValue(depth: 0, &generator)
    #expect(try JSON.parse(Array(value.text().utf8)) == value)
    #expect(try JSON.parse(Array(value.text(indent: true).utf8)) == value)
  }

  @Test("a document cut anywhere is refused, never misread")
  func truncated() throws {
    let bytes = Array(#"{"a":[1,-2.5e3,"x\u00e9\n"],"b":{"c":null,"d":[true,false]}}"#.utf8)
    #expect(try JSON.parse(bytes)["a"]?.array == [.integer(1), .number(-2500), .string("xé\n")])
    for count in 0..<bytes.count {
      #expect(throws: JSONError.self, "prefix of \(count) bytes") { try JSON.parse(Array(bytes[..<count])) }
    }
  }

  @Test(
    "what is not JSON is refused",
    arguments: [
      "", "{", "[1,]", "{\"a\" 1}", "{a:1}", "tru", "01x", "+1", "\"\u{1}\"", "\"\\x\"", "\"\\ud800\"",
      "\"\\ud800\\u0041\"",
      "\"\\u12\"", "[1] 2", "1e999", "--1", "[1 2]", "NaN",
    ])
  func refused(text: String) {
    #expect(throws: JSONError.self) { try JSON.parse(Array(text.utf8)) }
  }

  @Test("surrogate pairs and escapes become characters")
  func escapes() throws {
    #expect(try JSON.parse(Array(#""\ud83d\ude00\/\b\f\r\t\"\\""#.utf8)) == .string("😀/\u{8}\u{C}\r\t\"\\"))
    #expect(JSON.string("a\u{1}\"\n").text() == #""a\u0001\"\n""#)
  }

  @Test("a string that is not UTF-8 is refused")
  func invalidText() {
    #expect(throws: JSONError.self) { try JSON.parse([0x22, 0xFF, 0x22]) }
  }

  @Test("nesting is bounded")
  func depth() throws {
    func nested(_ depth: Int) -> [UInt8] {
      Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
    }
    #expect(throws: Never.self) { try JSON.parse(nested(JSON.depthMax)) }
    #expect(throws: JSONError.self) { try JSON.parse(nested(JSON.depthMax + 1)) }
    #expect(throws: JSONError.self) { try JSON.parse(nested(100_000)) }
  }
}

private func randomValue(depth: Int, _ generator: inout SeededGenerator) -> JSON {
  switch generator.below(depth > 3 ? 5 : 7) {
  case 0: return .null
  case 1: return .bool(generator.chance(1, in: 2))
  case 2: return .integer(Int(truncatingIfNeeded: generator.next()))
  case 3: return .number(Double(generator.below(1000)) + 0.5)
  case 4: return .string(randomText(&generator))
  case 5: return .array((0..<generator.below(4)).map { _ in randomValue(depth: depth + 1, &generator) })
  default:
    return .object(
      (0..<generator.below(4)).map { _ in
        JSON.Member(name: randomText(&generator), value: randomValue(depth: depth + 1, &generator))
      })
  }
}

private func randomText(_ generator: inout SeededGenerator) -> String {
  let scalars: [Unicode.Scalar] = ["a", "\"", "\\", "\n", "\u{0}", "\u{7F}", "é", "😀", "/", " "]
  var text = ""
  for _ in 0..<generator.below(8) { text.unicodeScalars.append(scalars[generator.below(scalars.count)]) }
  return text
}
