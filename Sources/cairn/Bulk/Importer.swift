import Client
import Platform
import Primitives
import Protocols

// An import at work: reads records, keeps them in flight, repeats what failed while the cluster may come back, writes
// down what was rejected, and remembers how far it is. One thread; everything that waits, waits in the pump's poll.

/// What an import is to do.
struct ImportPlan: Sendable {
  var endpoints: [Endpoint]
  var type: String?
  var bucket: String
  /// Of the requests: `w=2`.
  var query: [String] = []
  var rules: RecordRules
  var inputPath: String
  var lineBytesMax = ImportPlan.lineBytesMaxDefault
  var inFlightMax = ImportPlan.inFlightDefault
  var retryMilliseconds = 60_000
  /// Nil for none.
  var checkpointPath: String?
  var rejectsPath: String
  var rejectsMax = Int.max
  var restarts = false
  var isQuiet = false

  /// Room for a value of 64 MiB as an export writes it, in base64.
  static let lineBytesMaxDefault = 92 << 20
  static let inFlightDefault = 1024
}

/// How an import ended.
enum ImportEnd: Equatable {
  case complete
  /// A signal came.
  case interrupted(String)
  /// It would not go on; says why.
  case stopped(String)
}

final class Importer {
  /// At most so long after a record was settled, and at most so many records later, the checkpoint knows.
  static let checkpointMilliseconds: UInt64 = 1000
  static let checkpointRecordsMax = 100_000
  /// When all of the first records are rejected, no other fate awaits the rest.
  static let hopelessRejects = 1000
  /// How often to look up from waiting.
  private static let turnMilliseconds = 100
  private static let signalToken: UInt32 = 1
  private static let inputToken: UInt32 = 2

  let plan: ImportPlan
  let pump: RequestPump
  private(set) var input: BulkInput
  var splitter: RecordSplitter
  private(set) var reader: RecordReader?
  var window = ImportWindow()
  private var writer: ImportWriter
  private let encoder: ImportEncoder
  private var progress: BulkProgress
  private var canWatchInput = true
  private var isInputWatched = false
  private var isInputReady = true
  private var hasTakenLast = false
  private var end: ImportEnd?
  /// Why the last request failed, to be told while waiting.
  private var trouble = ""
  /// Records of this run settled in each way, to see whether all are rejected.
  let startCounts: ImportCounts
  let isResumed: Bool

  /// Opens everything and goes to the place where an earlier run stopped.
  init(_ plan: ImportPlan, command: String) throws {
    self.plan = plan
    var input = try BulkInput(path: plan.inputPath)
    let start = try ImportStart(plan, input: &input, command: command)
    splitter = start.splitter
    reader = start.reader
    writer = try ImportWriter(plan, start: start, input: input)
    encoder = ImportEncoder(plan, skipsComments: start.checkpoint.isRejects)
    startCounts = start.checkpoint.counts
    isResumed = start.isResumed
    pump = try RequestPump(plan.endpoints, limits: ImportPlan.pumpLimits(plan))
    progress = BulkProgress(
      "imported", from: writer.facts(total: input.byteCount), isQuiet: plan.isQuiet, now: pump.now)
    self.input = input
    if let first = start.firstRow { take(first) }
  }

  var counts: ImportCounts { writer.counts }
  var settledOffset: Int { writer.checkpoint.offset }
  var settledLine: Int { writer.checkpoint.line }

  /// Works until the end. - Throws: `Failure` when the input or a file of its own fails; the checkpoint is kept.
  func run(_ signals: borrowing TerminationSignals) throws -> ImportEnd {
    try pump.watch(signals.descriptor, token: Importer.signalToken)
    try writer.save(input)
    isInputReady = !input.isPipe
    try watchInput()
    while true {
      if end == nil {
        window.wake(now: pump.now)
        repeat { try fill() } while offerReady()
      }
      if isDone { break }
      try watchInput()
      for completion in try pump.poll(timeoutMilliseconds: Importer.turnMilliseconds) { settle(completion) }
      if pump.isReady(Importer.inputToken) { isInputReady = true }
      while let signal = signals.next() {
        if end != nil { return try finish() }
        end = .interrupted(signal)
        progress.clear()
        writeToStandardError("cairn: \(signal): waiting for \(pump.inFlight) requests; once more to stop at once\n")
      }
      try retire()
      try writer.saveIfDue(input, now: pump.now)
      progress.show(facts, now: pump.now)
    }
    return try finish()
  }

  private var isDone: Bool {
    if end != nil { return pump.inFlight == 0 }
    return hasTakenLast && window.isEmpty
  }

  private func finish() throws -> ImportEnd {
    try retire()
    progress.clear()
    let end = self.end ?? .complete
    if end == .complete {
      try writer.complete(at: input.offset)
    } else {
      try writer.save(input)
    }
    return end
  }

  private var facts: BulkFacts {
    var facts = writer.facts(total: input.byteCount)
    if let failure = window.oldestFailure(), pump.now.milliseconds(since: failure) > 2000 {
      facts.trouble = "waiting: \(trouble)"
    }
    return facts
  }

  // MARK: Reading

  /// Reads records until there are enough to be sent, or no more now.
  private func fill() throws {
    while window.hasRoom && window.readyCount < plan.inFlightMax && !hasTakenLast {
      if let record = splitter.next() {
        take(record)
      } else if input.isEnded {
        if let record = splitter.finish() { take(record) }
        hasTakenLast = true
      } else {
        guard isInputReady else { return }
        let gotSome = unsafe try input.read { unsafe splitter.receive($0) }
        if !gotSome && !input.isEnded {
          isInputReady = false
          return
        }
        // The next read of a pipe could wait.
        if input.isPipe && canWatchInput { isInputReady = false }
      }
    }
  }

  /// A pipe is read when it has something, so that a wait for it is no wait for answers; and it is looked at only while
  /// there is room for what it brings.
  private func watchInput() throws {
    guard input.isPipe, canWatchInput else { return }
    let isWanted = !isInputReady && !input.isEnded && end == nil
    guard isWanted != isInputWatched else { return }
    if isWanted {
      // What cannot be watched is always ready, like a device of zeros.
      canWatchInput = (try? pump.watch(input.file.descriptor, token: Importer.inputToken)) != nil
      isInputReady = !canWatchInput
    } else {
      try pump.forget(input.file.descriptor)
    }
    isInputWatched = isWanted && canWatchInput
  }

  private func take(_ record: RecordSplitter.Record) {
    guard let entry = encoder.record(record, in: splitter.bytes, &reader) else { return }
    window.append(entry)
  }

  // MARK: Sending

  /// True when more could be sent if there were more.
  private func offerReady() -> Bool {
    while let number = window.nextReady {
      guard pump.inFlight < plan.inFlightMax else { return false }
      let record = window[number]
      let isTaken = pump.offer(UInt64(number)) { out, endpoint in
        out.append(contentsOf: record.begin)
        out.append(contentsOf: endpoint.authority)
        out.append(contentsOf: record.end)
      }
      guard isTaken else { return false }
      window.sent()
    }
    let mayRead = !hasTakenLast && window.hasRoom && (isInputReady || input.isEnded)
    return mayRead && pump.inFlight < plan.inFlightMax && pump.hasRoom
  }

  private func settle(_ completion: PumpCompletion) {
    let number = Int(completion.tag)
    switch ImportVerdict(status: completion.status) {
    case .stored: window.acknowledge(number)
    case .rejected: window.reject(number, pump.reason(completion))
    case .again:
      trouble = pump.reason(completion)
      window.retry(number, now: pump.now)
    }
  }

  /// Lets go of what is settled, and gives up when it is time to.
  private func retire() throws {
    while let record = window.takeSettled() { try writer.settle(record, &reader, plan) }
    guard end == nil else { return }
    if let failure = window.oldestFailure(), pump.now.milliseconds(since: failure) >= UInt64(plan.retryMilliseconds) {
      end = .stopped("no success for \(plan.retryMilliseconds / 1000) s: \(trouble)")
    } else if counts.rejected - startCounts.rejected >= Importer.hopelessRejects && counts.imported == 0 {
      end = .stopped("all of the first \(grouped(counts.rejected)) records were rejected")
    } else if counts.rejected >= plan.rejectsMax {
      end = .stopped("\(grouped(counts.rejected)) records were rejected, and --rejects-max is \(plan.rejectsMax)")
    }
  }
}

/// What an answer means for a record.
enum ImportVerdict: Equatable {
  case stored
  /// It would be refused again.
  case rejected
  /// It may be taken later, or by another node: a put of the same value may be repeated.
  case again

  /// - Parameter status: Nil when no answer came.
  init(status: Int?) {
    switch status {
    case .some(200..<300): self = .stored
    case nil, 408, 425, 429, .some(500...): self = .again
    case .some: self = .rejected
    }
  }
}

extension ImportPlan {
  /// Few connections, so that each carries much at once; some more than what all nodes together need.
  static func pumpLimits(_ plan: ImportPlan) -> RequestPump.Limits {
    var limits = RequestPump.Limits()
    limits.inFlightPerConnectionMax = min(plan.inFlightMax, 64)
    let perEndpoint = plan.inFlightMax / limits.inFlightPerConnectionMax / plan.endpoints.count
    limits.connectionsPerEndpoint = perEndpoint + 1
    return limits
  }
}
