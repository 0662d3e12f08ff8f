import Primitives
import Protocols
import Testing

@testable import cairn

@Suite struct ExportFormatterTests {
  @Test("an export's record says the same when it is read again, whatever the bytes", arguments: UInt64(0)..<100)
  func roundTrip(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let key = [0x6B] + randomBytes(&generator)
    let value = randomBytes(&generator)
    var facts = ExportFormatter.Facts()
    facts.contentType = Array("text/plain; a=\"é\"".utf8)
    if generator.chance(1, in: 2) {
      facts.metadata = [(Array("X-Riak-Meta-A".utf8), [0xFF, 0x41]), (Array("x-riak-meta-b".utf8), Array("é\"".utf8))]
    }
    if generator.chance(1, in: 2) { facts.expiresAt = Array("Sun, 06 Nov 1994 08:49:37 GMT".utf8) }
    for format in [BulkFormat.jsonl, .csv] {
      var record: [UInt8] = []
      try ExportFormatter(format: format).append(key: key, facts, value: value[...], to: &record)
      let rules = RecordRules(format)
      var reader =
        format == .jsonl
        ? RecordReader(json: rules)
        : RecordReader(
          csv: try CSVRowReader(
            rules, columns: [BulkField.key, BulkField.value, BulkField.contentType], columnCount: 3, command: ""))
      var object = BulkObject()
      #expect(record.last == 0x0A)
      try reader.read(record, 0..<record.count - 1, into: &object)
      #expect(object.key == key && object.value == value)
      var headers = Array("Content-Type: ".utf8) + facts.contentType + [0x0D, 0x0A]
      if format == .jsonl {
        // Those that are text come first.
        for entry in facts.metadata.reversed() { headers += entry.name + [0x3A, 0x20] + entry.value + [0x0D, 0x0A] }
        if !facts.expiresAt.isEmpty {
          headers += Array("X-Cairn-Expires-At: Sun, 06 Nov 1994 08:49:37 GMT\r\n".utf8)
        }
      }
      #expect(object.headers == headers)
    }
  }

  @Test("a large value stands in the shorter form, so that its line can be imported")
  func large() throws {
    func line(_ value: [UInt8]) throws -> [UInt8] {
      var record: [UInt8] = []
      try ExportFormatter(format: .jsonl).append(key: [0x6B], ExportFormatter.Facts(), value: value[...], to: &record)
      return record
    }
    let controls = [UInt8](repeating: 1, count: (1 << 20) + 1)
    #expect(try line(controls).count < controls.count * 3 / 2)
    #expect(try line(Array(controls.dropLast())).count > controls.count * 5)
    let letters = [UInt8](repeating: 0x61, count: (1 << 20) + 1)
    #expect(try line(letters).starts(with: Array("{\"key\":\"k\",\"value\":\"aaa".utf8)))
  }

  @Test("a content type that JSON cannot hold is a failure, not a changed type")
  func contentType() {
    var facts = ExportFormatter.Facts()
    facts.contentType = [0x61, 0x2F, 0xFF]
    var record: [UInt8] = []
    #expect(throws: RecordProblem.self) {
      try ExportFormatter(format: .jsonl).append(key: [0x6B], facts, value: [], to: &record)
    }
  }
}

private func randomBytes(_ generator: inout SeededGenerator) -> [UInt8] {
  let parts: [[UInt8]] = [[0x61], [0x22], [0x2C], [0x0A], [0x0D], [0x00], Array("é😀".utf8), [0xFF], [0x23], [0x5C]]
  return (0..<generator.below(7)).flatMap { _ in parts[generator.below(parts.count)] }
}
