import Messages
import Primitives
import Testing

@testable import cairn

@Suite struct StoreCommandTests {
  @Test("any key can be shown, moves no cursor, and reads back from what was shown", arguments: UInt64(0)..<40)
  func keys(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let alphabets: [[UInt8]] = [
      Array(0...255), Array("abc\\x0".utf8), Array("pär 日本\u{202E}\u{85}".utf8), [0xC3, 0xA4, 0xFF, 0x5C],
    ]
    for alphabet in alphabets {
      let bytes = (0..<generator.below(40)).map { _ in alphabet[generator.below(alphabet.count)] }
      let text = keyText(bytes)
      #expect(keyBytes(text) == bytes)
      #expect(text == text.unicodeScalars.filter { $0.value >= 0x20 }.reduce(into: "") { $0.unicodeScalars.append($1) })
    }
  }

  @Test("what is printable stays as it is, everything else is hexadecimal")
  func samples() {
    #expect(keyText(Array("apple pie/ä".utf8)) == "apple pie/ä")
    #expect(keyText([0x61, 0xFF, 0x0A, 0x5C, 0x62]) == "a\\xff\\x0a\\\\b")
    #expect(keyText(Array("\u{202E}".utf8)) == "\\xe2\\x80\\xae")
    #expect(keyText([0xE2, 0x82]) == "\\xe2\\x82")
    for bad in ["\\", "\\x", "\\x1", "\\xg0", "\\x+1", "\\n"] { #expect(keyBytes(bad) == nil, "\(bad)") }
    #expect(keyText(Array(repeating: 0xFF, count: 65_535)).utf8.count == 4 * 65_535)
  }

  @Test("a filter asks for records, and an impossible one is refused")
  func filters() throws {
    func filter(_ words: String...) throws(UsageError) -> RecordFilter? {
      let options = RecordFilter.options + [Option("--records", help: "records")]
      return try RecordFilter(try Arguments(words, options: options, command: "cairn store inspect"))
    }
    #expect(try filter() == nil)
    for words in [["--records"], ["--tombstones"], ["--limit", "1"], ["--file=2"], ["--key=k"], ["--bucket=b"]] {
      let options = RecordFilter.options + [Option("--records", help: "records")]
      #expect(try RecordFilter(try Arguments(words, options: options, command: "")) != nil, "\(words)")
    }
    #expect(try filter("--key", "a\\xff")?.key == [0x61, 0xFF])
    #expect(throws: UsageError.self) { try filter("--key", "a\\q") }
    #expect(throws: UsageError.self) { try filter("--limit", "0") }
    #expect(throws: UsageError.self) { try filter("--file", "one") }
  }

  @Test("rows of several batches keep the widths of those before")
  func widths() {
    var widths: [Int] = []
    #expect(aligned([["A", "B"], ["long", "x"]], widths: &widths) == ["A     B", "long  x"])
    #expect(aligned([["a", "y"]], widths: &widths) == ["a     y"])
    #expect(aligned([["longer", "z"]], widths: &widths) == ["longer  z"])
  }
}

@Suite struct ProgressTests {
  private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: 5_000_000_000 + UInt64(seconds * 1e9)) }

  @Test("progress tells how far, how fast and how long")
  func line() {
    var progress = Progress("reading", .bytes, total: 4 << 20, start: at(0))
    #expect(progress.line(at: at(0)) == "reading  [------------------------]  0 %  0 B of 4.0 MiB")
    progress.advance(by: 1 << 20)
    #expect(
      progress.line(at: at(2)) == "reading  [######------------------]  25 %  1.0 MiB of 4.0 MiB  512 KiB/s  6 s left")
    progress.advance(by: 3 << 20)
    #expect(progress.line(at: at(4)) == "reading  [########################]  100 %  4.0 MiB of 4.0 MiB  1.0 MiB/s")
    // More than there was said to be, and a clock that did not move.
    progress.advance(by: 1)
    #expect(progress.line(at: at(0)) == "reading  [########################]  100 %  4.0 MiB of 4.0 MiB")
    var items = Progress("sending", .items("keys"), total: nil, start: at(0))
    items.advance(by: 25_400)
    #expect(items.line(at: at(2)) == "sending  25k keys  13k keys/s")
  }

  @Test("figures have three digits or so")
  func figures() {
    for (value, text) in [
      (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (12 << 20, "12 MiB"),
      (5 << 40, "5.0 TiB"), (5 << 50, "5120 TiB"),
    ] as [(Int, String)] { #expect(byteText(Double(value)) == text) }
    for (value, text) in [
      (999, "999"), (1000, "1.0k"), (9949, "9.9k"), (9960, "10k"), (1_234_567, "1.2M"), (12e9, "12G"),
    ] as [(Double, String)] { #expect(countText(value) == text) }
    #expect(plural(1, "key") == "1 key" && plural(0, "key") == "0 keys")
  }
}
