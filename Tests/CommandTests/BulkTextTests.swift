import Platform
import Primitives
import Protocols
import Testing

@testable import cairn

@Suite struct BulkTextTests {
  @Test("a file's name tells its format")
  func formats() {
    for name in ["a.jsonl", "a.ndjson", "A.JSON", "a.jsonl.rejects", "x/y.json.rejects.rejects"] {
      #expect(BulkFormat(path: name) == .jsonl, "\(name)")
    }
    for name in ["a.csv", "a.TSV", "a.csv.rejects"] { #expect(BulkFormat(path: name) == .csv, "\(name)") }
    for name in ["a", "a.txt", "-", "csv", ".rejects", "a.csv.gz"] { #expect(BulkFormat(path: name) == nil, "\(name)") }
  }

  @Test("counts and times are written for people")
  func numbers() {
    #expect([0, 999, 1000, 1_234_567, -1000].map(grouped) == ["0", "999", "1,000", "1,234,567", "-1,000"])
    #expect([0, 59, 61, 3600, 36_061].map(BulkMeter.clock) == ["0:00", "0:59", "1:01", "1:00:00", "10:01:01"])
  }

  @Test("a progress line tells rate, percent and time left, and without a total neither")
  func progress() {
    let start = Instant(nanoseconds: 1_000_000_000)
    var meter = BulkMeter("imported", began: start, from: BulkFacts(total: 1000))
    let half = BulkFacts(records: 5000, done: 500, total: 1000, bytes: 500_000)
    #expect(
      meter.line(half, now: start.adding(milliseconds: 2000))
        == "imported 5,000 records, 50 %, 2,500/s, 244 KiB/s, 0:02 left")
    #expect(
      meter.line(half, now: start.adding(milliseconds: 3000), hasBar: true)
        .hasPrefix("[############------------] imported 5,000 records, 50 %"))
    var pipe = BulkMeter("imported", began: start, from: BulkFacts())
    let some = BulkFacts(records: 10, done: 0, bytes: 100, rejected: 3, trouble: "waiting: x")
    #expect(
      pipe.line(some, now: start.adding(milliseconds: 1000))
        == "imported 10 records, 10/s, 100 B/s, 3 rejected, waiting: x")
  }

  @Test("rates are those of the last seconds")
  func recentRate() {
    let start = Instant(nanoseconds: 0)
    var meter = BulkMeter("imported", began: start, from: BulkFacts())
    var records = 0
    var line = ""
    for second in 1...60 {
      records += second <= 30 ? 100 : 1000
      line = meter.line(BulkFacts(records: records), now: start.adding(milliseconds: UInt64(second) * 1000))
    }
    #expect(line.contains(" 1,000/s"))
  }

  @Test("an answer stores, rejects, or asks to be repeated")
  func verdicts() {
    #expect([200, 204, 299].map { ImportVerdict(status: $0) } == [.stored, .stored, .stored])
    #expect([nil, 408, 425, 429, 500, 503, 507].map { ImportVerdict(status: $0) }.allSatisfy { $0 == .again })
    #expect([300, 304, 400, 404, 413, 415, 431].map { ImportVerdict(status: $0) }.allSatisfy { $0 == .rejected })
  }
}

@Suite struct ImportCheckpointTests {
  private var full: ImportCheckpoint {
    var checkpoint = ImportCheckpoint(
      options: [JSON.Member(name: "bucket", value: .string("b\n"))], inputBytes: 1000,
      beginning: Fingerprint(offset: 0, byteCount: 64, checksum: .max), isRejects: true, firstRow: [0xFF, 0x2C],
      offset: 500, line: 7)
    checkpoint.last = Fingerprint(offset: 400, byteCount: 99, checksum: 5)
    checkpoint.counts = ImportCounts(imported: 6, rejected: 2, valueBytes: 300)
    checkpoint.rejectsBytes = 77
    return checkpoint
  }

  @Test("what was saved is loaded again")
  func roundTrip() throws {
    let path = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-checkpoint-test-\(processIdentifier())"
    defer { try? FileTree.remove(path) }
    #expect(try ImportCheckpoint.load(path) == nil)
    try full.save(path)
    #expect(try ImportCheckpoint.load(path) == full)
    var pipe = full
    pipe.inputBytes = nil
    pipe.last = nil
    pipe.firstRow = nil
    try pipe.save(path)
    #expect(try ImportCheckpoint.load(path) == pipe)
  }

  @Test("a checkpoint with a member missing or of another kind is refused")
  func damaged() throws {
    guard case .object(let members) = full.json else { return }
    for index in members.indices where members[index].name != "input" {
      var fewer = members
      fewer.remove(at: index)
      #expect(ImportCheckpoint(.object(fewer)) == nil, "without \(members[index].name)")
      fewer = members
      fewer[index] = JSON.Member(name: members[index].name, value: .string("x"))
      #expect(ImportCheckpoint(.object(fewer)) == nil, "\(members[index].name) as a string")
    }
    #expect(ImportCheckpoint(.array([])) == nil)
  }

  @Test("another input or other options are named")
  func differences() {
    #expect(full.difference(options: full.options, inputBytes: 1000) == nil)
    #expect(full.difference(options: full.options, inputBytes: 999)?.contains("1000 bytes and has 999") == true)
    #expect(full.difference(options: full.options, inputBytes: nil)?.contains("pipe") == true)
    let other = [JSON.Member(name: "bucket", value: .string("c"))]
    #expect(full.difference(options: other, inputBytes: 1000) == "--bucket was \"b\\n\" and is \"c\"")
  }
}

@Suite struct RejectsFileTests {
  @Test("a rejected record that begins like a comment is written in another way, with the same meaning")
  func escapes() {
    func escaped(_ record: String, _ format: BulkFormat) -> String {
      String(
        decoding: RejectsFile.escaped(Array(record.utf8), format: format, delimiter: Delimiter.comma), as: UTF8.self)
    }
    #expect(escaped("a,b", .csv) == "a,b")
    #expect(escaped("#! a,\"b\"", .csv) == "\"#! a\",\"b\"")
    #expect(escaped("#\"x", .csv) == "\"#\"\"x\"")
    #expect(escaped("#", .jsonl) == " #")
  }

  @Test("reasons are one line of JSON behind a mark")
  func reasons() throws {
    let line = RejectsFile.reasonLine(
      RejectsFile.Reject(
        line: 3, offset: 40, byteCount: 12, key: [0xFF, 0x0A], reason: "a \"b\"\nc", record: nil))
    #expect(line.starts(with: Array("#! {".utf8)) && line.filter { $0 == 0x0A }.count == 1)
    let text = String(decoding: line, as: UTF8.self)
    #expect(text.contains(#""line":3,"offset":40,"bytes":12,"key":"\udcff\n","reason":"a \"b\"\nc","omitted":true"#))
  }
}

@Suite struct BulkUsageTests {
  private func problem(_ words: String...) -> String {
    let error = #expect(throws: UsageError.self) {
      _ = try ImportPlan(Arguments(words, options: importCommand.options, command: "cairn import"))
    }
    return "\(error?.problem ?? "") | \(error?.hint ?? "")"
  }

  @Test("mistakes say what was wrong and what to type")
  func mistakes() {
    #expect(problem() == "import needs a FILE, or - for standard input | usage: cairn import FILE --bucket B")
    #expect(problem("a.csv", "b.csv").hasPrefix("import takes one file, not 2"))
    #expect(problem("a.csv").hasPrefix("--bucket is missing"))
    #expect(problem("a.csv", "--bucket", "").hasPrefix("--bucket is empty"))
    #expect(problem("a.csv", "--bukcet", "b").hasSuffix("did you mean --bucket?"))
    #expect(problem("a.dat", "--bucket", "b").hasSuffix("add --format jsonl or --format csv"))
    #expect(problem("-", "--bucket", "b").hasPrefix("a pipe has no name"))
    #expect(problem("a.csv", "--bucket", "b", "--format", "cvs").hasSuffix("did you mean --format csv?"))
    #expect(problem("a.jsonl", "--bucket", "b", "--no-header").hasPrefix("--no-header is for CSV"))
    #expect(problem("a.csv", "--bucket", "b", "--no-header").contains("which column is the key"))
    #expect(problem("a.csv", "--bucket", "b", "--no-header", "--key", "id").contains("a column's number"))
    #expect(problem("a.csv", "--bucket", "b", "--delimiter", "ab").contains("one ASCII character"))
    #expect(problem("a.csv", "--bucket", "b", "--value", "v", "--value-json").contains("one of the two"))
    #expect(problem("a.csv", "--bucket", "b", "--in-flight", "0").contains("from 1 to \(BulkLimits.inFlightMax)"))
    #expect(problem("a.csv", "--bucket", "b", "--in-flight", "4097").contains("from 1 to"))
    #expect(problem("a.csv", "--bucket", "b", "--line-max", "many").contains("not a size"))
    #expect(problem("a.csv", "--bucket", "b", "--retry-for", "5").contains("not a time"))
    #expect(problem("a.csv", "--bucket", "b", "--retry-for", "169h").contains("168h"))
    #expect(problem("a.csv", "--bucket", "b", "--w", "0").contains("from 1 to 255"))
    #expect(problem("a.csv", "--bucket", "b", "--url", "127.0.0.1:1").contains("has no scheme"))
    #expect(problem("a.csv", "--bucket", "b", "--content-type", "a\nb").contains("cannot stand in a header"))
  }

  @Test("defaults come from the file's name")
  func defaults() throws {
    func plan(_ words: String...) throws -> ImportPlan {
      try ImportPlan(Arguments(words, options: importCommand.options, command: "cairn import"))
    }
    let pipe = try plan("-", "--bucket", "b", "--format", "csv")
    #expect(pipe.checkpointPath == nil && pipe.rejectsPath == "stdin.rejects" && pipe.rules.delimiter == 0x2C)
    #expect(throws: Failure("there is no file no/such.tsv")) { try plan("no/such.tsv", "--bucket", "b") }
  }

  @Test("an export's mistakes too")
  func exports() throws {
    func plan(_ words: String...) throws -> ExportPlan {
      try ExportPlan(Arguments(words, options: exportCommand.options, command: "cairn export"))
    }
    #expect(throws: UsageError.self) { try plan() }
    #expect(throws: UsageError.self) { try plan("a.jsonl", "b.jsonl", "--bucket", "b") }
    #expect(throws: UsageError.self) { try plan("a.dat", "--bucket", "b") }
    #expect(throws: UsageError.self) { try plan("--bucket", "b", "--json") }
    #expect(try plan("--bucket", "b").format == .jsonl)
    let file = try plan("d/a.csv", "--bucket", "b")
    #expect(file.format == .csv && file.paths.partial == "d/a.csv.partial" && file.paths.failures == "d/a.csv.rejects")
  }
}
