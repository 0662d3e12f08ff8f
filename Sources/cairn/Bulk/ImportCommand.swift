import Client
import Platform
import Primitives
import Protocols
import Server

// `cairn import`: from words to a plan, and from the end of the import to an exit code.

let importCommand = Subcommand(
  name: "import", summary: "store the records of a file", operands: "FILE|- --bucket B",
  details: [
    "FILE is JSON lines (.jsonl, .ndjson, .json) or CSV (.csv, .tsv) with a header; - reads standard input.",
    "",
    "What is the key: the field or column of --key, else the one called 'key' (of JSON lines also 'key_base64').",
    "What is the value: the field or column of --value. Without it, of JSON lines 'value' or 'value_base64' where a",
    "line has one, with its 'content_type', 'metadata' and 'expires_at', as an export has them; else the line. Of CSV",
    "'value' where the header is that of an export (key,value or key,value,content_type); else the whole row, as a",
    "JSON object of its columns.",
    "",
    "What the cluster does not take at once is tried again. A record that it refuses, or that is malformed, goes to",
    "the rejects: a file that says why, and that can be repaired and imported again. Of two records with one key the",
    "later one stays.",
    "",
    "Stopped by ctrl-C, a crash or a cluster that stays away, the same command goes on where it stopped.",
    "Exit code 0 when all records are in, 1 when some were rejected or it stopped early, 130 after ctrl-C.",
  ],
  options: [
    Option("--bucket", "B", help: "where to store them"),
    Option("--type", "T", help: "bucket type (default: default)"),
    Option("--format", "F", help: "jsonl or csv (default: by the file's name)"),
    Option("--key", "NAME", help: "field or column of the key; with --no-header its number (default: key)"),
    Option("--value", "NAME", help: "field or column of the value; with --no-header its number"),
    Option("--value-json", help: "the value is the whole record as JSON, whatever fields it has"),
    Option("--content-type", "TYPE", help: "of all values (default: the record's own, or by what the value is)"),
    Option("--no-header", help: "the first row of CSV is a record"),
    Option("--delimiter", "C", help: "between the fields of CSV (default: a comma; a tab for .tsv)"),
    Option("--line-max", "SIZE", help: "longer records are rejected without being read (default: 92MiB)"),
    inFlightOption, Option("--retry-for", "TIME", help: "how long to try again before giving up (default: 60s)"),
    Option(
      "--checkpoint", "PATH", help: "remembers how far it is (default: FILE\(ImportCheckpoint.suffix); - has none)"),
    Option("--restart", help: "begin anew, whatever the checkpoint says"),
    Option("--rejects", "PATH", help: "where rejected records go (default: FILE\(RejectsFile.suffix))"),
    Option("--rejects-max", "N", help: "stop when so many are rejected (default: never)"),
    urlOption, quorumOption("w", "nodes that must have written each"),
    quorumOption("dw", "nodes that must have each on disk"), Option("--quiet", help: "show no progress"),
    Option("--json", help: "print the result as JSON"),
  ],
  examples: [
    "import users.csv --bucket users --key id", "import words.jsonl --bucket words --value text",
    "import users.csv.rejects --bucket users --key id", "import - --format jsonl --bucket b < old.jsonl",
  ],
  run: runImport)

let inFlightOption = Option(
  "--in-flight", "N",
  help: "requests in flight, 1 to \(BulkLimits.inFlightMax) (default: \(ImportPlan.inFlightDefault))")

enum BulkLimits {
  static let inFlightMax = 4096
  static let retryMillisecondsMax: UInt64 = 168 * 3_600_000
}

@Sendable private func runImport(_ arguments: Arguments) throws -> Int32 {
  let plan = try ImportPlan(arguments)
  let importer = try Importer(plan, command: "cairn import")
  if importer.isResumed && !plan.isQuiet {
    writeToStandardError(
      "cairn: going on behind \(grouped(importer.counts.records)) records (line \(importer.settledLine), "
        + "byte \(importer.settledOffset)); --restart begins anew\n")
  }
  let signals: TerminationSignals
  do throws(Errno) { signals = try TerminationSignals() } catch { throw Failure("cannot watch for signals: \(error)") }
  let began = SystemClock().now().instant
  let end: ImportEnd
  do {
    end = try importer.run(signals)
  } catch let failure as Failure {
    end = .stopped(failure.message)
  }
  let report = ImportReport(
    plan: plan, importer: importer, end: end, milliseconds: SystemClock().now().instant.milliseconds(since: began))
  if arguments.has("--json") { try printOut(report.json.text() + "\n") }
  if arguments.has("--json") && end == .complete { return report.exitCode }
  writeToStandardError(report.text)
  return report.exitCode
}

extension ImportPlan {
  init(_ arguments: Arguments) throws {
    let path = try arguments.bulkOperand("import", "a FILE, or - for standard input")
    bucket = try arguments.bucket()
    type = arguments.value("--type")
    rules = try RecordRules(arguments, path: path)
    inputPath = path
    endpoints = try arguments.endpoints()
    query = try arguments.quorumQuery(["w", "dw"])
    inFlightMax = try arguments.integer("--in-flight", in: 1...BulkLimits.inFlightMax) ?? ImportPlan.inFlightDefault
    if let text = arguments.value("--line-max") {
      guard let bytes = parseSize(text), (1...(1 << 30)).contains(bytes) else {
        throw arguments.problem("--line-max is '\(text)', not a size from 1 to 1GiB, like 512KiB or 92MiB")
      }
      lineBytesMax = Int(bytes)
    }
    retryMilliseconds = try arguments.retryMilliseconds()
    let name = path == "-" ? "stdin" : path
    checkpointPath = arguments.value("--checkpoint") ?? (path == "-" ? nil : path + ImportCheckpoint.suffix)
    rejectsPath = arguments.value("--rejects") ?? name + RejectsFile.suffix
    rejectsMax = try arguments.integer("--rejects-max", in: 1...Int.max) ?? .max
    restarts = arguments.has("--restart")
    isQuiet = arguments.has("--quiet")
    if path != "-" && !FileTree.exists(path) { throw Failure("there is no file \(path)") }
  }
}

extension Arguments {
  /// The one operand, a file or `-`.
  func bulkOperand(_ verb: String, _ what: String) throws(UsageError) -> String {
    guard positionals.count == 1, !positionals[0].isEmpty else {
      let got = positionals.count > 1 ? "\(verb) takes one file, not \(positionals.count)" : "\(verb) needs \(what)"
      throw problem(got, hint: "usage: cairn \(verb) FILE --bucket B")
    }
    return positionals[0]
  }

  func bucket() throws(UsageError) -> String {
    guard let bucket = value("--bucket") else { throw problem("--bucket is missing: which bucket?") }
    guard !bucket.isEmpty else { throw problem("--bucket is empty, which names nothing") }
    return bucket
  }

  /// The options of these names, for a query.
  func quorumQuery(_ names: [String]) throws(UsageError) -> [String] {
    var query: [String] = []
    for name in names {
      guard let value = value("--" + name) else { continue }
      guard ObjectRequest.isQuorum(value) else {
        throw problem("--\(name) is '\(value)', not a number from 1 to 255, one, quorum or all")
      }
      query.append("\(name)=\(value)")
    }
    return query
  }

  func retryMilliseconds() throws(UsageError) -> Int {
    guard let text = value("--retry-for") else { return 60_000 }
    guard let milliseconds = parseDuration(text), milliseconds <= BulkLimits.retryMillisecondsMax else {
      throw problem("--retry-for is '\(text)', not a time of at most 168h, like 90s, 10m or 2h")
    }
    return Int(milliseconds)
  }
}

/// What is said at the end.
struct ImportReport {
  let plan: ImportPlan
  let importer: Importer
  let end: ImportEnd
  let milliseconds: UInt64

  var exitCode: Int32 {
    switch end {
    case .complete: importer.counts.rejected == 0 ? 0 : 1
    case .interrupted(let signal): signal == "SIGINT" ? 130 : 143
    case .stopped: 1
    }
  }

  private var rate: Int {
    (importer.counts.imported - importer.startCounts.imported) * 1000 / max(1, Int(milliseconds))
  }

  var json: JSON {
    let isComplete = end == .complete
    let reason: JSON =
      switch end {
      case .complete: .null
      case .interrupted(let signal): .string(signal)
      case .stopped(let why): .string(why)
      }
    return .object([
      "complete": .bool(isComplete), "imported": .integer(importer.counts.imported),
      "rejected": .integer(importer.counts.rejected), "value_bytes": .integer(importer.counts.valueBytes),
      "seconds": .number(Double(milliseconds) / 1000), "per_second": .integer(rate), "stopped_by": reason,
      "line": .integer(importer.settledLine), "offset": .integer(importer.settledOffset),
      "checkpoint": isComplete ? .null : .optional(plan.checkpointPath) { .string($0) },
      "rejects": importer.counts.rejected == 0 ? .null : .string(plan.rejectsPath),
    ])
  }

  var text: String {
    let counts = importer.counts
    var lines: [String] = []
    switch end {
    case .complete:
      lines.append(
        "imported \(grouped(counts.imported)) records in \(Double(milliseconds / 100) / 10) s, \(grouped(rate))/s")
    case .interrupted(let signal): lines.append("cairn: stopped by \(signal)")
    case .stopped(let why): lines.append("cairn: \(oneLine(why))")
    }
    if counts.rejected > 0 {
      lines.append(
        "  \(grouped(counts.rejected)) records were rejected; they and the reasons are in \(plan.rejectsPath)")
    }
    if end != .complete {
      lines.append(
        "  \(grouped(counts.imported)) records are in, up to line \(importer.settledLine), byte \(importer.settledOffset)"
      )
      lines.append(plan.checkpointPath == nil ? withoutCheckpoint : "  to go on: \(command)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private var withoutCheckpoint: String {
    "  there is no checkpoint: give --checkpoint PATH to be able to go on; importing everything again does no harm"
  }

  private var command: String {
    let words = Console.arguments.compactMap { $0 }.filter { $0 != "--restart" }
    let call = ([Console.executablePath] + words).map(shellQuoted).joined(separator: " ")
    return plan.inputPath == "-" ? "give the same input to \(call)" : call
  }
}
