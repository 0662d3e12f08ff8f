import Client
import Platform
import Primitives
import Protocols

// An export at work: lists the keys into a file, reads their values with many requests in flight, and writes them out in
// the order of the list.

/// What an export is to do.
struct ExportPlan: Sendable {
  var endpoints: [Endpoint]
  var type: String?
  var bucket: String
  /// Of the requests: `r=2`.
  var query: [String] = []
  var format: BulkFormat
  var paths: ExportPaths
  var inFlightMax = ExportPlan.inFlightDefault
  var retryMilliseconds = 60_000
  var restarts = false
  var isQuiet = false

  static let inFlightDefault = 256

  /// What must be the same for the rest as for the beginning.
  var identity: [JSON.Member] {
    [
      JSON.Member(name: "type", value: .optional(type) { .string($0) }),
      JSON.Member(name: "bucket", value: .string(bucket)),
      JSON.Member(name: "format", value: .string(format.rawValue)),
      JSON.Member(name: "rejects", value: .string(paths.failures)),
    ]
  }
}

final class Exporter {
  static let checkpointMilliseconds: UInt64 = 1000
  private static let turnMilliseconds = 100
  private static let signalToken: UInt32 = 1
  /// A damaged object is asked for so often before it is given up.
  private static let damagedAttemptsMax: UInt64 = 5
  /// Values in flight: no more requests than are expected to bring so many bytes.
  private static let answerBytesExpectedMax = 64 << 20
  /// Requests in flight at first, while nobody knows how large values are.
  private static let inFlightAtFirst = 16

  let plan: ExportPlan
  private let pump: RequestPump
  private let requests: ObjectRequests
  private let formatter: ExportFormatter
  private let output: ExportOutput
  private var spool: KeySpoolReader
  private var window = ExportWindow()
  private var progress: BulkProgress
  private var savedAt: Instant
  private var hasTakenLast = false
  private var end: ImportEnd?
  private var trouble = ""
  /// About the size of the largest recent answer, in bytes.
  private var largeAnswerBytes = 0
  private var answers = 0
  let startCounts: ExportCounts

  /// Continues at the checkpoint, whose list of keys is there.
  init(_ plan: ExportPlan, checkpoint: ExportCheckpoint) throws {
    self.plan = plan
    requests = ObjectRequests(type: plan.type, bucket: plan.bucket, query: plan.query)
    formatter = ExportFormatter(format: plan.format)
    spool = try KeySpoolReader(
      path: plan.paths.spool, from: checkpoint.spoolOffset, to: checkpoint.spoolBytes)
    output = try ExportOutput(plan.paths, checkpoint: checkpoint, header: formatter.header)
    startCounts = checkpoint.counts
    var limits = RequestPump.Limits()
    limits.inFlightPerConnectionMax = min(plan.inFlightMax, 64)
    limits.connectionsPerEndpoint = plan.inFlightMax / limits.inFlightPerConnectionMax / plan.endpoints.count + 1
    pump = try RequestPump(plan.endpoints, limits: limits)
    savedAt = pump.now
    progress = BulkProgress(
      "exported", from: Exporter.facts(checkpoint), isQuiet: plan.isQuiet, now: pump.now)
  }

  /// What is settled and on the disk; where it would go on.
  var saved: ExportCheckpoint { output.saved }

  /// Works until the end. - Throws: `Failure` when a file fails; the checkpoint is kept.
  func run(_ signals: borrowing TerminationSignals) throws -> ImportEnd {
    try pump.watch(signals.descriptor, token: Exporter.signalToken)
    while true {
      if end == nil {
        window.wake(now: pump.now)
        repeat { try fill() } while offerReady()
      }
      if end != nil ? pump.inFlight == 0 : hasTakenLast && window.isEmpty { break }
      for completion in try pump.poll(timeoutMilliseconds: Exporter.turnMilliseconds) { settle(completion) }
      while let signal = signals.next() {
        if end != nil { return try finish() }
        end = .interrupted(signal)
      }
      try retire()
      if pump.now.milliseconds(since: savedAt) >= Exporter.checkpointMilliseconds {
        savedAt = pump.now
        if plan.paths.isStandardOutput { try output.flush() } else { try output.save() }
      }
      progress.show(facts, now: pump.now)
    }
    return try finish()
  }

  private func finish() throws -> ImportEnd {
    try retire()
    progress.clear()
    let end = self.end ?? .complete
    if end == .complete { try output.complete() } else { try output.save() }
    return end
  }

  private static func facts(_ checkpoint: ExportCheckpoint) -> BulkFacts {
    BulkFacts(
      records: checkpoint.counts.exported, done: checkpoint.counts.keys, total: checkpoint.keyCount,
      bytes: checkpoint.outputBytes, rejected: checkpoint.counts.failed)
  }

  private var facts: BulkFacts {
    var facts = Exporter.facts(output.checkpoint)
    if let failure = window.oldestFailure(), pump.now.milliseconds(since: failure) > 2000 {
      facts.trouble = "waiting: \(trouble)"
    }
    return facts
  }

  // MARK: Asking

  private func fill() throws {
    while window.hasRoom && window.readyCount < plan.inFlightMax && !hasTakenLast {
      if let key = try spool.next() {
        window.append(ExportItem(key: key, spoolEnd: spool.offset))
      } else {
        hasTakenLast = true
      }
    }
  }

  /// Fewer while values are large, and at first.
  private var inFlightAllowed: Int {
    min(
      plan.inFlightMax, Exporter.inFlightAtFirst + answers,
      max(1, Exporter.answerBytesExpectedMax / max(1, largeAnswerBytes)))
  }

  /// True when more could be sent if there were more.
  private func offerReady() -> Bool {
    while let number = window.nextReady {
      guard pump.inFlight < inFlightAllowed else { return false }
      let key = window[number].key
      guard pump.offer(UInt64(number), { requests.appendGet(key[...], to: $1, &$0) }) else { return false }
      window.sent()
    }
    return !hasTakenLast && window.hasRoom && window.readyCount == 0 && pump.inFlight < inFlightAllowed && pump.hasRoom
  }

  // MARK: Answers

  private func settle(_ completion: PumpCompletion) {
    let number = Int(completion.tag)
    switch completion.status {
    case 200: write(number, completion)
    case 404: window.settle(number, .gone)
    case 500 where window[number].attempts + 1 < Exporter.damagedAttemptsMax: again(number, completion)
    case nil, 408, 425, 429, .some(501...): again(number, completion)
    case .some: window.settle(number, .failed(pump.reason(completion)))
    }
  }

  private func write(_ number: Int, _ completion: PumpCompletion) {
    let item = window[number]
    let value = pump.body(of: completion)
    answers += 1
    largeAnswerBytes = max(value.count, largeAnswerBytes - largeAnswerBytes / 64)
    let facts = ExportFormatter.Facts(completion, from: pump)
    do throws(RecordProblem) {
      item.record.reserveCapacity(item.key.count + value.count + facts.contentType.count + 48)
      try formatter.append(key: item.key, facts, value: value, to: &item.record)
      item.lacksMetadata = plan.format == .csv && !facts.metadata.isEmpty
      item.lacksExpiry = plan.format == .csv && !facts.expiresAt.isEmpty
      window.settle(number, .written)
    } catch {
      item.record = []
      window.settle(number, .failed(error.reason))
    }
  }

  private func again(_ number: Int, _ completion: PumpCompletion) {
    trouble = pump.reason(completion)
    window.retry(number, now: pump.now)
  }

  private func retire() throws {
    while let item = window.takeSettled() { try output.settle(item) }
    if end == nil, let failure = window.oldestFailure(),
      pump.now.milliseconds(since: failure) >= UInt64(plan.retryMilliseconds)
    {
      end = .stopped("no answer for \(plan.retryMilliseconds / 1000) s: \(trouble)")
    }
  }
}
