import Client
import Platform
import Primitives
import Protocols

// `cairn export`: from words to a plan, the listing, and from the end of the export to an exit code.

let exportCommand = Subcommand(
  name: "export", summary: "write the objects of a bucket to a file", operands: "[FILE|-] --bucket B",
  details: [
    "Lists the keys first, then reads their values. The output is JSON lines: key, value, content_type, metadata and",
    "expires_at, with key_base64 and value_base64 where bytes are not UTF-8; or CSV: key, value, content_type, raw bytes",
    "in quotes where they must be. cairn import stores from either what was there; CSV has no metadata and no expiry.",
    "- or nothing: standard output. Keys written after the listing are not in it; what was deleted after it is left",
    "out and counted.",
    "",
    "FILE appears when it is complete; until then there is FILE.partial, and the same command goes on where it stopped,",
    "with the keys that were listed then. An export to standard output, or one stopped while listing, starts over.",
    "Exit code 0 when everything is written, 1 when not, 130 after ctrl-C.",
  ],
  options: [
    Option("--bucket", "B", help: "which one"), Option("--type", "T", help: "bucket type (default: default)"),
    Option("--format", "F", help: "jsonl or csv (default: by the file's name; jsonl for -)"),
    Option(
      "--in-flight", "N",
      help: "requests in flight, 1 to \(BulkLimits.inFlightMax) (default: \(ExportPlan.inFlightDefault))"),
    Option("--retry-for", "TIME", help: "how long to try again before giving up (default: 60s)"),
    Option("--restart", help: "begin anew, whatever the checkpoint says"),
    Option("--rejects", "PATH", help: "keys that could not be read, with reasons (default: FILE\(RejectsFile.suffix))"),
    urlOption, quorumOption("r", "nodes that must have answered"), Option("--quiet", help: "show no progress"),
    Option("--json", help: "print the result as JSON"),
  ],
  examples: ["export fruit.jsonl --bucket fruit", "export --bucket fruit --format csv > fruit.csv"],
  run: runExport)

@Sendable private func runExport(_ arguments: Arguments) throws -> Int32 {
  let plan = try ExportPlan(arguments)
  let began = SystemClock().now().instant
  do throws(Errno) { try ignoreBrokenPipes() } catch { throw Failure("cannot ignore broken pipes: \(error)") }
  let checkpoint = try found(plan) ?? (try listKeys(plan))
  let exporter = try Exporter(plan, checkpoint: checkpoint)
  let signals: TerminationSignals
  do throws(Errno) { signals = try TerminationSignals() } catch { throw Failure("cannot watch for signals: \(error)") }
  var end: ImportEnd
  do {
    end = try exporter.run(signals)
  } catch let failure as Failure {
    end = .stopped(failure.message)
  } catch let error as Errno where error == .brokenPipe {
    try? FileTree.remove(plan.paths.spool)
    return BulkExit.brokenPipe
  }
  if plan.paths.isStandardOutput { try? FileTree.remove(plan.paths.spool) }
  let report = ExportReport(
    plan: plan, exporter: exporter, end: end, milliseconds: SystemClock().now().instant.milliseconds(since: began))
  if arguments.has("--json") { try printOut(report.json.text() + "\n") }
  if !arguments.has("--json") || report.exitCode != 0 { writeToStandardError(report.text) }
  return report.exitCode
}

enum BulkExit {
  /// What a shell reports of a program whose output nobody reads any more.
  static let brokenPipe: Int32 = 141
}

extension ExportPlan {
  init(_ arguments: Arguments) throws(UsageError) {
    if arguments.positionals.count > 1 {
      throw arguments.problem(
        "export writes one file, not \(arguments.positionals.count)", hint: "usage: cairn export [FILE|-] --bucket B")
    }
    let path = arguments.positionals.first ?? "-"
    if path.isEmpty { throw arguments.problem("an empty FILE names nothing; - is standard output") }
    bucket = try arguments.bucket()
    type = arguments.value("--type")
    format =
      try path == "-" && arguments.value("--format") == nil ? .jsonl : BulkFormat.chosen(arguments, path: path)
    endpoints = try arguments.endpoints()
    query = try arguments.quorumQuery(["r"])
    inFlightMax = try arguments.integer("--in-flight", in: 1...BulkLimits.inFlightMax) ?? ExportPlan.inFlightDefault
    retryMilliseconds = try arguments.retryMilliseconds()
    paths = ExportPaths(
      output: path, failures: arguments.value("--rejects") ?? (path == "-" ? "stdout" : path) + RejectsFile.suffix,
      temporaryDirectory: Console.environment("TMPDIR") ?? "/tmp")
    restarts = arguments.has("--restart")
    isQuiet = arguments.has("--quiet")
    if path == "-" && arguments.has("--json") {
      throw arguments.problem("--json prints the result, and standard output is taken by the objects: name a FILE")
    }
  }
}

/// The checkpoint of an earlier run of the same export; nil when there is none.
private func found(_ plan: ExportPlan) throws -> ExportCheckpoint? {
  guard let path = plan.paths.checkpoint, !plan.restarts, let found = try ExportCheckpoint.load(path) else {
    return nil
  }
  for (was, given) in zip(found.options, plan.identity) where was != given {
    throw Failure(
      "\(path) is of another export: --\(was.name) was \(was.value.text()) and is \(given.value.text()); "
        + "--restart begins anew")
  }
  if !plan.isQuiet {
    writeToStandardError(
      "cairn: going on behind \(grouped(found.counts.keys)) of \(grouped(found.keyCount)) keys; --restart begins anew\n"
    )
  }
  return found
}

/// Lists the keys into a file. A listing that breaks off is begun again, at another node, while there is time.
private func listKeys(_ plan: ExportPlan) throws -> ExportCheckpoint {
  let clock = SystemClock()
  let subject = ListingSubject(type: plan.type, bucket: plan.bucket)
  let began = clock.now().instant
  var progress = BulkProgress("listed", from: BulkFacts(), isQuiet: plan.isQuiet, now: began)
  var attempt = 0
  while true {
    let endpoint = plan.endpoints[attempt % plan.endpoints.count]
    attempt += 1
    do {
      var spool = try KeySpool(path: plan.paths.spool)
      try endpoint.list(subject, patienceMilliseconds: ObjectRequest.patienceMilliseconds) { keys in
        try spool.add(keys)
        let facts = BulkFacts(records: spool.keyCount, bytes: spool.byteCount)
        progress.show(facts, now: clock.now().instant)
      }
      try spool.finish()
      progress.clear()
      let checkpoint = ExportCheckpoint(
        options: plan.identity, keyCount: spool.keyCount, spoolBytes: spool.byteCount)
      if let path = plan.paths.checkpoint { try checkpoint.save(path) }
      return checkpoint
    } catch let failure as ListingFailure {
      progress.clear()
      let waited = clock.now().instant.milliseconds(since: began)
      guard failure.mayRetry, waited < UInt64(plan.retryMilliseconds) else {
        try? FileTree.remove(plan.paths.spool)
        throw Failure("the keys cannot be listed: \(failure.reason)")
      }
      pause(milliseconds: min(1000, 50 << min(attempt, 5)))
    }
  }
}

/// What is said at the end.
struct ExportReport {
  let plan: ExportPlan
  let exporter: Exporter
  let end: ImportEnd
  let milliseconds: UInt64

  var exitCode: Int32 {
    switch end {
    case .complete: exporter.saved.counts.failed == 0 ? 0 : 1
    case .interrupted(let signal): signal == "SIGINT" ? 130 : 143
    case .stopped: 1
    }
  }

  private var isWhole: Bool { end == .complete && exporter.saved.counts.failed == 0 }
  private var rate: Int {
    (exporter.saved.counts.exported - exporter.startCounts.exported) * 1000 / max(1, Int(milliseconds))
  }

  var json: JSON {
    let reason: JSON =
      switch end {
      case .complete: .null
      case .interrupted(let signal): .string(signal)
      case .stopped(let why): .string(why)
      }
    return .object([
      "complete": .bool(isWhole), "keys": .integer(exporter.saved.keyCount),
      "exported": .integer(exporter.saved.counts.exported), "gone": .integer(exporter.saved.counts.gone),
      "failed": .integer(exporter.saved.counts.failed),
      "without_metadata": .integer(exporter.saved.counts.withoutMetadata),
      "without_expiry": .integer(exporter.saved.counts.withoutExpiry),
      "bytes": .integer(exporter.saved.outputBytes), "seconds": .number(Double(milliseconds) / 1000),
      "per_second": .integer(rate), "stopped_by": reason,
      "file": .string(isWhole ? plan.paths.output : plan.paths.partial),
      "rejects": exporter.saved.counts.failed == 0 ? .null : .string(plan.paths.failures),
    ])
  }

  var text: String {
    let counts = exporter.saved.counts
    var lines: [String] = []
    switch end {
    case .complete:
      lines.append(
        "exported \(grouped(counts.exported)) objects, \(byteText(Double(exporter.saved.outputBytes))), in "
          + "\(Double(milliseconds / 100) / 10) s, \(grouped(rate))/s")
    case .interrupted(let signal): lines.append("cairn: stopped by \(signal)")
    case .stopped(let why): lines.append("cairn: \(oneLine(why))")
    }
    if counts.gone > 0 { lines.append("  \(grouped(counts.gone)) were deleted after they had been listed") }
    if counts.withoutMetadata > 0 {
      lines.append("  \(grouped(counts.withoutMetadata)) have metadata, which CSV does not hold; JSON lines do")
    }
    if counts.withoutExpiry > 0 {
      lines.append("  \(grouped(counts.withoutExpiry)) expire, which CSV does not say; JSON lines do")
    }
    if counts.failed > 0 {
      lines.append(
        "  \(grouped(counts.failed)) could not be exported; their keys and the reasons are in \(plan.paths.failures)")
    }
    if !isWhole { lines += incomplete }
    return lines.joined(separator: "\n") + "\n"
  }

  private var incomplete: [String] {
    let counts = exporter.saved.counts
    if plan.paths.isStandardOutput {
      return ["  what was written is not all of the \(grouped(exporter.saved.keyCount)) objects"]
    }
    if end == .complete { return ["  everything else is in \(plan.paths.partial); move it to use it as it is"] }
    let words = Console.arguments.compactMap { $0 }.filter { $0 != "--restart" }
    let call = ([Console.executablePath] + words).map(shellQuoted).joined(separator: " ")
    return [
      "  \(grouped(counts.keys)) of \(grouped(exporter.saved.keyCount)) keys are done; the first "
        + "\(exporter.saved.outputBytes) bytes of \(plan.paths.partial) are good", "  to go on: \(call)",
    ]
  }
}
