import Primitives

// What a load generator measures: latencies per operation, errors by kind, and a row per second. A request belongs to
// the measurement when it began, or was due, inside the window; whatever the answer took. The rate is that of the
// answers that came inside the window: what came after it is backlog, and no throughput. Errors are never counted as
// successes, and their latencies are not recorded. A request whose connection broke is lost, which is no error: nobody
// can answer on a connection to a node that is gone.

enum BenchOutcome: Equatable, Sendable {
  case done
  /// Answered, and there was no such key.
  case notFound
  /// It was sent, and its connection broke before it was answered.
  case lost
  /// - Parameter kind: Why, in words that repeat: errors are counted by it.
  case failed(kind: String)
}

/// Errors of one kind.
struct BenchErrors: Equatable, Sendable {
  let operation: BenchOperation
  let kind: String
  var count: UInt64
  /// What the first one said.
  let example: String
}

/// One second of the measurement.
struct BenchSecond: Equatable, Sendable {
  /// From 1: requests that ended between `second - 1` and `second` after its begin.
  let second: Int
  let ops: UInt64
  let errors: UInt64
  let lost: UInt64
  /// Nanoseconds.
  let p50: UInt64
  let p99: UInt64
  let max: UInt64
}

/// A time without any answer.
struct BenchGap: Equatable, Sendable {
  /// Nanoseconds; the first counts from the begin of the window.
  var start: UInt64 = 0
  var length: UInt64 = 0
}

/// What was measured until the first connection broke.
struct BenchBreak: Sendable {
  let at: Instant
  let latencies: LatencyHistogram
}

struct BenchRecorder: Sendable {
  /// Kinds of errors that are told apart; more are counted together.
  static let errorKindsMax = 32
  private static let otherKind = "other errors"

  let window: Range<Instant>
  /// By `BenchOperation.rawValue`, of successes.
  private(set) var latencies = Array(repeating: LatencyHistogram(), count: BenchOperation.allCases.count)
  private(set) var notFound = Array(repeating: UInt64(0), count: BenchOperation.allCases.count)
  /// Answers, "not found" among them, that came inside the window, whenever their requests were due: what the rate is
  /// told from. By `BenchOperation.rawValue`.
  private(set) var arrivals = Array(repeating: UInt64(0), count: BenchOperation.allCases.count)
  /// By `BenchOperation.rawValue`.
  private(set) var lost = Array(repeating: UInt64(0), count: BenchOperation.allCases.count)
  /// The longest time inside the window in which no answer came.
  private(set) var longestGap = BenchGap()
  /// Nil as long as no connection has broken inside the window.
  private(set) var firstBreak: BenchBreak?
  private(set) var errors: [BenchErrors] = []
  private(set) var seconds: [BenchSecond] = []
  /// The second that requests end in now, from 0.
  private var current = 0
  private var currentLatencies = LatencyHistogram()
  private var currentArrivals: UInt64 = 0
  private var currentErrors: UInt64 = 0
  private var currentLost: UInt64 = 0
  private var lastArrival: Instant
  /// Of successes since the first break.
  private var latenciesSinceBreak = LatencyHistogram()

  init(window: Range<Instant>) {
    self.window = window
    lastArrival = window.lowerBound
  }

  /// - Parameter example: What the failure said; asked for only when it is the first of its kind.
  mutating func record(
    _ request: BenchRequest, end: Instant, _ outcome: BenchOutcome, example: () -> String = { "" }
  ) {
    let index = Int(request.operation.rawValue)
    if window.contains(end) {
      advance(to: end)
      if outcome == .done || outcome == .notFound {
        arrivals[index] += 1
        currentArrivals += 1
        noteGap(until: end)
      }
    }
    guard window.contains(request.start) else { return }
    advance(to: end)
    switch outcome {
    case .failed(let kind):
      currentErrors += 1
      count(kind, request.operation, example)
    case .lost:
      currentLost += 1
      lost[index] += 1
    case .notFound, .done:
      let nanoseconds = end.nanoseconds - min(end.nanoseconds, request.start.nanoseconds)
      latencies[index].record(nanoseconds)
      currentLatencies.record(nanoseconds)
      if firstBreak != nil { latenciesSinceBreak.record(nanoseconds) }
      if outcome == .notFound { notFound[index] += 1 }
    }
  }

  /// A connection has broken. Only the first time counts.
  mutating func noteBreak(at now: Instant) {
    guard firstBreak == nil, window.contains(now) else { return }
    firstBreak = BenchBreak(at: now, latencies: allLatencies)
  }

  private mutating func noteGap(until end: Instant) {
    let length = end.nanoseconds - min(lastArrival.nanoseconds, end.nanoseconds)
    if length > longestGap.length {
      longestGap = BenchGap(start: lastArrival.nanoseconds - window.lowerBound.nanoseconds, length: length)
    }
    lastArrival = max(lastArrival, end)
  }

  /// Closes the seconds before `now`, those in which nothing ended too.
  mutating func advance(to now: Instant) {
    guard now >= window.lowerBound else { return }
    let second = Int((now.nanoseconds - window.lowerBound.nanoseconds) / 1_000_000_000)
    while current < second { closeSecond() }
  }

  /// Closes the last second, and the last gap.
  mutating func finish(at now: Instant) {
    noteGap(until: min(max(now, window.lowerBound), window.upperBound))
    advance(to: now)
    if !currentLatencies.isEmpty || currentArrivals + currentErrors + currentLost > 0 { closeSecond() }
  }

  private mutating func closeSecond() {
    seconds.append(
      BenchSecond(
        second: current + 1, ops: currentArrivals, errors: currentErrors, lost: currentLost,
        p50: currentLatencies.value(atPercentile: 50), p99: currentLatencies.value(atPercentile: 99),
        max: currentLatencies.max))
    current += 1
    currentArrivals = 0
    currentErrors = 0
    currentLost = 0
    if !currentLatencies.isEmpty { currentLatencies = LatencyHistogram() }
  }

  private mutating func count(_ kind: String, _ operation: BenchOperation, _ example: () -> String) {
    if let index = errors.firstIndex(where: { $0.kind == kind && $0.operation == operation }) {
      errors[index].count += 1
    } else if errors.count < BenchRecorder.errorKindsMax {
      errors.append(BenchErrors(operation: operation, kind: kind, count: 1, example: example()))
    } else if let index = errors.firstIndex(where: { $0.kind == BenchRecorder.otherKind }) {
      errors[index].count += 1
    } else {
      errors.append(BenchErrors(operation: operation, kind: BenchRecorder.otherKind, count: 1, example: example()))
    }
  }

  var arrivalCount: UInt64 { arrivals.reduce(0, +) }
  var opsCount: UInt64 { latencies.reduce(0) { $0 + $1.count } }
  var lostCount: UInt64 { lost.reduce(0, +) }
  var errorCount: UInt64 { errors.reduce(0) { $0 + $1.count } }

  func errorCount(of operation: BenchOperation) -> UInt64 {
    errors.reduce(0) { $0 + ($1.operation == operation ? $1.count : 0) }
  }

  /// Of all operations, those that were answered before the first connection broke, and those after.
  var latenciesAroundBreak: (before: LatencyHistogram, after: LatencyHistogram)? {
    firstBreak.map { ($0.latencies, latenciesSinceBreak) }
  }

  /// Of all operations together.
  var allLatencies: LatencyHistogram { latencies.reduce(into: LatencyHistogram()) { $0.merge($1) } }
}
