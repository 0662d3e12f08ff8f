import Primitives
import Protocols
import Testing

@Suite struct RecordSplitterTests {
  private let rows = RecordSplitter.Form.rows(delimiter: UInt8(ascii: ","), comments: false)

  @Test("lines end with LF or CR LF, the last one with nothing, and each knows its place")
  func lines() {
    let found = records(.lines, "ab\r\n\n\"c\nd\re\r\n f")
    #expect(found.map(\.text) == ["ab", "", "\"c", "d\re", " f"])
    #expect(found.map(\.record.line) == [1, 2, 3, 4, 5])
    #expect(found.map(\.record.offset) == [0, 4, 5, 8, 13])
    #expect(found.map(\.record.endOffset) == [4, 5, 8, 13, 15])
    #expect(records(.lines, "").isEmpty && records(.lines, "a\n").map(\.text) == ["a"])
  }

  @Test("a quoted field holds line ends, a quote within a plain one does not")
  func quotedRows() {
    let found = records(rows, "a,\"b\r\nc\"\n\"d\"\"\n\"\r\ne\"f,\"g\nh\",\"\"\r\n\"open\ni")
    #expect(found.map(\.text) == ["a,\"b\r\nc\"", "\"d\"\"\n\"", "e\"f,\"g\nh\",\"\"", "\"open\ni"])
    #expect(found.map(\.record.line) == [1, 3, 5, 7])
    #expect(found.map(\.record.nextLine) == [3, 5, 7, 9])
    let semicolons = RecordSplitter.Form.rows(delimiter: UInt8(ascii: ";"), comments: false)
    #expect(records(semicolons, "a,\"b\nc;\"d\ne\"\n").map(\.text) == ["a,\"b", "c;\"d\ne\""])
  }

  @Test("where comments are allowed, a line that begins with # is one, whatever quotes are in it")
  func comments() {
    let text = "# x,\"\n\"#\n\"\na,#\",\"\n\""
    let commented = RecordSplitter.Form.rows(delimiter: UInt8(ascii: ","), comments: true)
    #expect(records(commented, text).map(\.text) == ["# x,\"", "\"#\n\"", "a,#\",\"\n\""])
    #expect(records(rows, text).map(\.text) == ["# x,\"\n\"#", "\"\na,#\",\"\n\""])
  }

  @Test("records are the same however the bytes are cut", arguments: UInt64(0)..<300)
  func cuts(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let alphabet = Array("ab,\"\"\n\n\r\"".utf8)
    let text = (0..<generator.below(80)).map { _ in alphabet[generator.below(alphabet.count)] }
    for form in [.lines, rows] {
      let max = 1 + generator.below(20)
      let whole = records(form, text, recordBytesMax: max)
      #expect(records(form, text, recordBytesMax: max, cutBy: &generator) == whole)
      // Nothing is lost between records.
      var offset = 0
      var line = 1
      for found in whole {
        #expect(found.record.offset == offset && found.record.line == line)
        let bytes = text[found.record.offset..<found.record.endOffset]
        offset = found.record.endOffset
        line = found.record.nextLine
        #expect(found.record.isTooLong || bytes.starts(with: found.bytes))
        if offset < text.count {
          #expect(found.record.nextLine - found.record.line == bytes.count { $0 == 0x0A })
        }
      }
      #expect(offset == text.count)
    }
  }

  @Test("a record of recordBytesMax is kept, one byte more is passed over to its end and told")
  func bound() {
    for end in ["\n", "\r\n"] {
      for form in [.lines, rows] {
        let text = "12345\(end)123456\(end)\(String(repeating: "x", count: 100))\(end)ab\(end)"
        let found = records(form, text, recordBytesMax: 5)
        #expect(found.map(\.record.isTooLong) == [false, true, true, false])
        #expect(found.map(\.text) == ["12345", "", "", "ab"])
        #expect(found.map { $0.record.byteCount - end.utf8.count } == [5, 6, 100, 2])
      }
    }
  }

  @Test("of a record that is too long no more than the bound is held")
  func memory() {
    var splitter = RecordSplitter(.lines, recordBytesMax: 1000)
    let piece = [UInt8](repeating: 0x61, count: 100)
    for _ in 0..<1000 {
      splitter.receive(piece)
      #expect(splitter.next() == nil && splitter.bytes.count <= 1101)
    }
    splitter.receive([0x0A])
    #expect(splitter.next()?.byteCount == 100_001)
  }

  @Test("a splitter that begins in the middle of a text counts from there")
  func middle() {
    var splitter = RecordSplitter(.lines, recordBytesMax: 10, offset: 1000, line: 50)
    splitter.receive(Array("a\nb".utf8))
    let first = splitter.next()
    #expect(first?.offset == 1000 && first?.line == 50)
    #expect(splitter.next() == nil)
    let last = splitter.finish()
    #expect(last?.offset == 1002 && last?.line == 51 && last?.endOffset == 1003)
    #expect(splitter.finish() == nil)
  }
}

private struct Found: Equatable {
  let record: RecordSplitter.Record
  let bytes: [UInt8]
  var text: String { String(decoding: bytes, as: UTF8.self) }

  static func == (a: Found, b: Found) -> Bool {
    a.bytes == b.bytes && a.record.offset == b.record.offset && a.record.endOffset == b.record.endOffset
      && a.record.line == b.record.line && a.record.nextLine == b.record.nextLine
      && a.record.isTooLong == b.record.isTooLong
  }
}

private func records(_ form: RecordSplitter.Form, _ text: String, recordBytesMax: Int = 1000) -> [Found] {
  records(form, Array(text.utf8), recordBytesMax: recordBytesMax)
}

private func records(_ form: RecordSplitter.Form, _ text: [UInt8], recordBytesMax: Int) -> [Found] {
  var generator: SeededGenerator? = nil
  return records(form, text, recordBytesMax, &generator)
}

private func records(
  _ form: RecordSplitter.Form, _ text: [UInt8], recordBytesMax: Int, cutBy generator: inout SeededGenerator
) -> [Found] {
  var own: SeededGenerator? = generator
  defer { generator = own! }
  return records(form, text, recordBytesMax, &own)
}

private func records(
  _ form: RecordSplitter.Form, _ text: [UInt8], _ recordBytesMax: Int, _ generator: inout SeededGenerator?
) -> [Found] {
  var splitter = RecordSplitter(form, recordBytesMax: recordBytesMax)
  var found: [Found] = []
  var rest = text[...]
  while !rest.isEmpty {
    let count = generator == nil ? rest.count : min(rest.count, 1 + generator!.below(7))
    splitter.receive(Array(rest.prefix(count)))
    rest = rest.dropFirst(count)
    while let record = splitter.next() {
      found.append(Found(record: record, bytes: Array(splitter.bytes[record.range])))
    }
  }
  if let record = splitter.finish() { found.append(Found(record: record, bytes: Array(splitter.bytes[record.range]))) }
  return found
}

extension RecordSplitter {
  fileprivate mutating func receive(_ bytes: [UInt8]) { unsafe bytes.withUnsafeBytes { unsafe receive($0) } }
}
