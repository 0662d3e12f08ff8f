import Platform
import Protocols

// Where an import begins: at the beginning of its input, behind a byte order mark, the first line of a file of rejects
// and the header of CSV; or where an earlier run of it stopped.

struct ImportStart {
  /// A header of CSV, in bytes.
  static let headerBytesMax = 1 << 20
  /// Enough to see a byte order mark and the first line of a file of rejects.
  private static let preambleBytesMax = 64
  private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

  private(set) var splitter: RecordSplitter
  /// Nil while nothing has been read that says which columns there are: the input is empty.
  private(set) var reader: RecordReader?
  private(set) var checkpoint: ImportCheckpoint
  /// The first row of CSV without a header, which has been taken from the splitter already.
  private(set) var firstRow: RecordSplitter.Record?
  private(set) var isResumed = false
  private let command: String

  /// - Throws: `UsageError` when the options do not fit the input, `Failure` when the input is not the one that was begun.
  init(_ plan: ImportPlan, input: inout BulkInput, command: String) throws {
    self.command = command
    splitter = RecordSplitter(.lines, recordBytesMax: plan.lineBytesMax)
    checkpoint = ImportCheckpoint(
      options: plan.identity, inputBytes: input.byteCount, beginning: input.beginningFingerprint, isRejects: false,
      firstRow: nil, offset: 0, line: 1)
    if let path = plan.checkpointPath, !plan.restarts, let found = try ImportCheckpoint.load(path) {
      if let difference = found.difference(options: plan.identity, inputBytes: input.byteCount) {
        throw input.other("\(difference); its checkpoint is \(path)")
      }
      checkpoint = found
      isResumed = true
      try resume(plan, &input)
    } else {
      try begin(plan, &input)
    }
  }

  // MARK: At the beginning

  private mutating func begin(_ plan: ImportPlan, _ input: inout BulkInput) throws {
    var bytes: [UInt8] = []
    while bytes.count < ImportStart.preambleBytesMax,
      unsafe try input.read({ unsafe bytes.append(contentsOf: $0) })
    {}
    var start = bytes.starts(with: ImportStart.byteOrderMark) ? ImportStart.byteOrderMark.count : 0
    var line = 1
    if bytes[start...].starts(with: RejectsFile.magic) {
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      let format = String(decoding: bytes[(start + RejectsFile.magic.count)..<end], as: UTF8.self)
      guard format == plan.rules.format.rawValue else {
        throw UsageError(
          problem: "\(input.name) holds rejects of the format '\(oneLine(format))', not \(plan.rules.format.rawValue)",
          hint: "add --format \(format == "csv" ? "csv" : "jsonl")")
      }
      checkpoint.isRejects = true
      start = min(end + 1, bytes.count)
      line = 2
    }
    makeSplitter(plan, offset: start, line: line)
    unsafe bytes[start...].withUnsafeBytes { unsafe splitter.receive($0) }
    if plan.rules.format == .jsonl {
      reader = RecordReader(json: plan.rules)
    } else {
      try readFirstRow(plan, &input)
    }
    checkpoint.offset = start
    checkpoint.line = line
    if let headerEnd { (checkpoint.offset, checkpoint.line) = headerEnd }
    checkpoint.beginning = input.beginningFingerprint
  }

  /// Behind the header: byte and line.
  private var headerEnd: (Int, Int)?

  /// The first row says how many columns there are, and with a header what they are called.
  private mutating func readFirstRow(_ plan: ImportPlan, _ input: inout BulkInput) throws {
    while true {
      let next = splitter.next() ?? (input.isEnded ? splitter.finish() : nil)
      if let row = next {
        let isComment = checkpoint.isRejects && splitter.bytes[row.range].first == UInt8(ascii: "#")
        if row.range.isEmpty && !row.isTooLong || isComment { continue }
        return try takeFirstRow(row, plan, input.name)
      }
      if input.isEnded { return }
      _ = unsafe try input.read { unsafe splitter.receive($0) }
    }
  }

  private mutating func takeFirstRow(_ row: RecordSplitter.Record, _ plan: ImportPlan, _ name: String) throws {
    let bytes = Array(splitter.bytes[row.range])
    guard !row.isTooLong, bytes.count <= ImportStart.headerBytesMax else {
      throw Failure("the first row of \(name) has \(row.byteCount) bytes, more than \(ImportStart.headerBytesMax)")
    }
    // Also without a header: it tells how many columns there are.
    checkpoint.firstRow = bytes
    if plan.rules.hasHeader { headerEnd = (row.endOffset, row.nextLine) } else { firstRow = row }
    reader = try csvReader(plan, firstRow: bytes, name)
  }

  private func csvReader(_ plan: ImportPlan, firstRow bytes: [UInt8], _ name: String) throws -> RecordReader {
    var fields = CSVFields()
    do throws(CSVError) {
      try fields.parse(bytes, 0..<bytes.count, delimiter: plan.rules.delimiter)
    } catch {
      throw Failure("the first row of \(name) is no CSV: \(error)")
    }
    let columns = plan.rules.hasHeader ? (0..<fields.count).map { Array(fields[$0]) } : nil
    return RecordReader(
      csv: try CSVRowReader(plan.rules, columns: columns, columnCount: fields.count, command: command))
  }

  private mutating func makeSplitter(_ plan: ImportPlan, offset: Int, line: Int) {
    splitter = RecordSplitter(
      plan.rules.format == .jsonl
        ? .lines : .rows(delimiter: plan.rules.delimiter, comments: checkpoint.isRejects),
      recordBytesMax: plan.lineBytesMax, offset: offset, line: line)
  }

  // MARK: Going on

  private mutating func resume(_ plan: ImportPlan, _ input: inout BulkInput) throws {
    makeSplitter(plan, offset: checkpoint.offset, line: checkpoint.line)
    if plan.rules.format == .jsonl {
      reader = RecordReader(json: plan.rules)
    } else if let row = checkpoint.firstRow {
      reader = try csvReader(plan, firstRow: row, input.name)
    } else {
      // Nothing had been read yet.
      isResumed = false
      return try begin(plan, &input)
    }
    var rest: [UInt8] = []
    unsafe try input.skip(to: checkpoint.offset, beginning: checkpoint.beginning, last: checkpoint.last) {
      unsafe rest.append(contentsOf: $0)
    }
    unsafe rest.withUnsafeBytes { unsafe splitter.receive($0) }
    checkpoint.beginning = input.beginningFingerprint
  }
}

extension ImportPlan {
  /// What must be the same for the rest as for the beginning.
  var identity: [JSON.Member] {
    func text(_ value: String?) -> JSON { .optional(value) { .string($0) } }
    let value: JSON =
      switch rules.value {
      case .automatic: .null
      case .field(let name): .string(name)
      case .whole: .bool(true)
      }
    return [
      JSON.Member(name: "type", value: text(type)), JSON.Member(name: "bucket", value: .string(bucket)),
      JSON.Member(name: "format", value: .string(rules.format.rawValue)),
      JSON.Member(name: "key", value: text(rules.key)), JSON.Member(name: "value", value: value),
      JSON.Member(name: "content-type", value: text(rules.contentType)),
      JSON.Member(name: "delimiter", value: .integer(Int(rules.delimiter))),
      JSON.Member(name: "no-header", value: .bool(!rules.hasHeader)),
      JSON.Member(name: "line-max", value: .integer(lineBytesMax)),
      JSON.Member(name: "rejects", value: .string(rejectsPath)),
    ]
  }
}
