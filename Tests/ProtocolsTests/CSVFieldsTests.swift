import Primitives
import Protocols
import Testing

@Suite struct CSVFieldsTests {
  private func fields(_ row: String, delimiter: Character = ",") throws -> [String] {
    let bytes = Array("before\(row)after".utf8)
    var fields = CSVFields()
    try fields.parse(bytes, 6..<bytes.count - 5, delimiter: delimiter.asciiValue!)
    return (0..<fields.count).map { String(decoding: fields[$0], as: UTF8.self) }
  }

  @Test("fields as RFC 4180 has them; spaces belong to them")
  func examples() throws {
    #expect(try fields("aaa,bbb,ccc") == ["aaa", "bbb", "ccc"])
    #expect(try fields("\"aaa\",\"b\r\nbb\",\"c,\"\"c\"") == ["aaa", "b\r\nbb", "c,\"c"])
    #expect(try fields("") == [""])
    #expect(try fields(",,\"\",") == ["", "", "", ""])
    #expect(try fields(" a , b") == [" a ", " b"])
    #expect(try fields("\"\"\"\"") == ["\""])
    #expect(try fields("a;\"b;c\"", delimiter: ";") == ["a", "b;c"])
    #expect(try fields("a,b", delimiter: "\t") == ["a,b"])
  }

  @Test("what is no row says where")
  func refused() {
    #expect(throws: CSVError.quoteInPlainField(2)) { try fields("a,b\"c") }
    #expect(throws: CSVError.quoteInPlainField(1)) { try fields(" \"a\"") }
    #expect(throws: CSVError.textBehindQuote(1)) { try fields("\"a\"b,c") }
    #expect(throws: CSVError.textBehindQuote(2)) { try fields("a,\"b\" ") }
    #expect(throws: CSVError.quoteWithoutEnd(2)) { try fields("a,\"b") }
    #expect(throws: CSVError.quoteWithoutEnd(1)) { try fields("\"a\"\"") }
  }

  @Test("what was written reads back the same, through the splitter", arguments: UInt64(0)..<200)
  func roundTrip(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let delimiter = [UInt8(ascii: ","), UInt8(ascii: ";"), 0x09][generator.below(3)]
    let rows = (0..<generator.below(6)).map { _ in
      (0..<1 + generator.below(4)).map { _ in randomBytes(&generator) }
    }
    var text: [UInt8] = []
    for row in rows {
      for (index, field) in row.enumerated() {
        if index > 0 { text.append(delimiter) }
        text.appendCSVField(field[...], delimiter: delimiter)
      }
      text += generator.chance(1, in: 2) ? [0x0A] : [0x0D, 0x0A]
    }
    var splitter = RecordSplitter(.rows(delimiter: delimiter), recordBytesMax: 10_000)
    unsafe text.withUnsafeBytes { unsafe splitter.receive($0) }
    var fields = CSVFields()
    for row in rows {
      let next = splitter.next()
      let record = try #require(next)
      try fields.parse(splitter.bytes, record.range, delimiter: delimiter)
      #expect((0..<fields.count).map { Array(fields[$0]) } == row)
    }
    #expect(splitter.next() == nil && splitter.finish() == nil)
  }
}

private func randomBytes(_ generator: inout SeededGenerator) -> [UInt8] {
  let alphabet = Array("ab \",;\t\r\n#".utf8) + [0, 0xFF, 0xC3]
  return (0..<generator.below(7)).map { _ in alphabet[generator.below(alphabet.count)] }
}
