import Platform
import Primitives
import Protocols

// What `cairn bench` prints when it is done: what was done, on which machine, how fast, what failed.

struct BenchReport {
  private let options: BenchOptions
  private let result: BenchResult
  private let command: String
  private let machine: String

  static let percentiles = [50, 90, 99, 99.9, 99.99]

  init(_ options: BenchOptions, _ result: BenchResult, command: String, machine: String) {
    self.options = options
    self.result = result
    self.command = command
    self.machine = machine
  }

  private var recorder: BenchRecorder { result.recorder }
  private var seconds: Double { Double(result.elapsed) / 1e9 }

  // MARK: For eyes

  /// - Parameter histogram: Draw the latencies too.
  func text(histogram: Bool) -> String {
    var facts = [
      ["command", command], ["machine", machine], ["loop", loop],
      ["connections", "\(options.connectionCount), \(options.depth) in flight on each"],
      ["keys", "\(options.keyCount), \(options.distributionText); values of \(options.valueByteCount) bytes"],
      [
        "measured",
        "\(rounded(seconds, 1)) s after \(rounded(Double(options.warmupMilliseconds) / 1000, 1)) s of warm-up",
      ],
    ]
    if result.wasInterrupted { facts.append(["", "interrupted before its time"]) }
    facts.append(["longest gap", gapText])
    var lines = aligned(facts) + [""] + table
    lines += lossLines + errorLines
    if result.unsent > 0 { lines += ["", "! " + unsentText] }
    if histogram && recorder.opsCount > 0 {
      lines += ["", "latencies of all operations:"] + LatencyBars.lines(recorder.allLatencies)
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private var loop: String {
    if let rate = options.rate {
      return "open, \(Int(rate)) requests/s; latencies count from when a request was due"
    }
    return "closed; latencies suffer from coordinated omission: requests that a slow answer held up are not in them "
      + "(--rate counts them)"
  }

  private var gapText: String {
    "\(latencyText(recorder.longestGap.length)) without an answer, at "
      + "\(rounded(Double(recorder.longestGap.start) / 1e9, 1)) s"
  }

  private var unsentText: String {
    let due = result.unsent + recorder.opsCount + recorder.errorCount + recorder.lostCount
    return "\(plural(result.unsent, "request")) of \(due) were due and could not be sent in time: the nodes, or "
      + "\(options.connectionCount * options.depth) requests in flight, are too few for this rate, and the latencies "
      + "above are too low"
  }

  private var table: [String] {
    let names = BenchReport.percentiles.map { "P" + percentText($0) }
    let header = ["OPERATION", "OPS/S", "OPS", "NOT FOUND", "ERRORS"] + names + ["MAX"]
    let operations = options.mix.operations
    var rows = operations.map { operation in
      let index = Int(operation.rawValue)
      return row(
        operation.name, recorder.latencies[index], arrivals: recorder.arrivals[index],
        notFound: recorder.notFound[index],
        errors: recorder.errorCount(of: operation))
    }
    if operations.count > 1 {
      rows.append(
        row(
          "all", recorder.allLatencies, arrivals: recorder.arrivalCount, notFound: recorder.notFound.reduce(0, +),
          errors: recorder.errorCount))
    }
    return aligned([header] + rows)
  }

  private func row(
    _ name: String, _ latencies: LatencyHistogram, arrivals: UInt64, notFound: UInt64, errors: UInt64
  ) -> [String] {
    let rate = seconds > 0 ? Double(arrivals) / seconds : 0
    let isEmpty = latencies.isEmpty
    return [name, "\(Int(rate.rounded()))", "\(latencies.count)", "\(notFound)", "\(errors)"]
      + BenchReport.percentiles.map { isEmpty ? "-" : latencyText(latencies.value(atPercentile: $0)) }
      + [isEmpty ? "-" : latencyText(latencies.max)]
  }

  /// What broken connections cost.
  private var lossLines: [String] {
    guard let first = recorder.firstBreak, let (before, after) = recorder.latenciesAroundBreak else { return [] }
    let at = rounded(Double(first.at.nanoseconds - recorder.window.lowerBound.nanoseconds) / 1e9, 1)
    var lines = [
      "",
      "! \(plural(result.connectionsLost, "connection")) broke, the first at \(at) s; "
        + "\(plural(recorder.lostCount, "request")) in flight lost; latencies of all operations:",
    ]
    let names = BenchReport.percentiles.map { "P" + percentText($0) }
    func row(_ name: String, _ latencies: LatencyHistogram) -> [String] {
      [name, "\(latencies.count)"]
        + BenchReport.percentiles.map { latencies.isEmpty ? "-" : latencyText(latencies.value(atPercentile: $0)) }
        + [latencies.isEmpty ? "-" : latencyText(latencies.max)]
    }
    lines += aligned([["", "OPS"] + names + ["MAX"], row("before", before), row("after", after)])
    return lines
  }

  private var errorLines: [String] {
    guard !recorder.errors.isEmpty else { return [] }
    let rows = recorder.errors.sorted { $0.count > $1.count }.map { error in
      ["\(error.count)", error.operation.name, error.kind, oneLine(error.example)]
    }
    return [""] + aligned([["ERRORS", "OPERATION", "KIND", "THE FIRST SAID"]] + rows)
  }

  // MARK: For programs

  var json: JSON {
    .object([
      "command": .string(command), "machine": .string(machine), "cores": .integer(Machine.cores),
      "protocol": .string("\(options.wire)"),
      "loop": .string(options.rate == nil ? "closed" : "open"),
      "coordinated_omission": .bool(options.rate == nil), "rate": .optional(options.rate) { .number($0) },
      "connections": .integer(options.connectionCount), "depth": .integer(options.depth),
      "keys": .integer(options.keyCount), "distribution": .string(options.distributionText),
      "value_bytes": .integer(options.valueByteCount), "seed": .count(options.seed),
      "warmup_ms": .count(options.warmupMilliseconds), "measured_seconds": .number(seconds),
      "interrupted": .bool(result.wasInterrupted), "unsent": .count(result.unsent),
      "connections_lost": .count(result.connectionsLost), "lost": .count(recorder.lostCount),
      "longest_gap_ms": .number(Double(recorder.longestGap.length) / 1e6),
      "longest_gap_at_s": .number(Double(recorder.longestGap.start) / 1e9),
      "around_break": .optional(recorder.latenciesAroundBreak) { around in
        .object(["before": figures(around.before), "after": figures(around.after)])
      },
      "operations": .array(options.mix.operations.map(json)), "errors": .array(recorder.errors.map(json)),
    ])
  }

  private func figures(_ latencies: LatencyHistogram) -> JSON {
    .object([JSON.Member(name: "ops", value: .count(latencies.count))] + percentileMembers(latencies))
  }

  private func percentileMembers(_ latencies: LatencyHistogram) -> [JSON.Member] {
    func microseconds(_ nanoseconds: UInt64) -> JSON {
      latencies.isEmpty ? .null : .number(Double(nanoseconds) / 1000)
    }
    return BenchReport.percentiles.map { percentile in
      JSON.Member(
        name: "p\(percentText(percentile))_us", value: microseconds(latencies.value(atPercentile: percentile)))
    } + [JSON.Member(name: "max_us", value: microseconds(latencies.max))]
  }

  private func json(_ operation: BenchOperation) -> JSON {
    let latencies = recorder.latencies[Int(operation.rawValue)]
    let arrivals = recorder.arrivals[Int(operation.rawValue)]
    return .object(
      [
        JSON.Member(name: "operation", value: .string(operation.name)),
        JSON.Member(name: "ops", value: .count(latencies.count)),
        JSON.Member(name: "ops_per_second", value: .number(seconds > 0 ? Double(arrivals) / seconds : 0)),
        JSON.Member(name: "not_found", value: .count(recorder.notFound[Int(operation.rawValue)])),
        JSON.Member(name: "errors", value: .count(recorder.errorCount(of: operation))),
        JSON.Member(name: "lost", value: .count(recorder.lost[Int(operation.rawValue)])),
        JSON.Member(name: "mean_us", value: latencies.isEmpty ? .null : .number(latencies.mean / 1000)),
      ] + percentileMembers(latencies))
  }

  private func json(_ error: BenchErrors) -> JSON {
    .object([
      "operation": .string(error.operation.name), "kind": .string(error.kind), "count": .count(error.count),
      "example": .string(error.example),
    ])
  }

  // MARK: For spreadsheets

  /// A header line, then a row per second.
  static func csv(_ seconds: [BenchSecond]) -> String {
    func microseconds(_ nanoseconds: UInt64) -> String { rounded(Double(nanoseconds) / 1000, 1) }
    let rows = seconds.map { second in
      "\(second.second),\(second.ops),\(second.errors),\(second.lost),\(microseconds(second.p50)),\(microseconds(second.p99)),"
        + microseconds(second.max)
    }
    return (["second,ops,errors,lost,p50_us,p99_us,max_us"] + rows).joined(separator: "\n") + "\n"
  }
}

/// `50`, `99.9`.
private func percentText(_ percentile: Double) -> String {
  percentile == percentile.rounded() ? "\(Int(percentile))" : "\(percentile)"
}
