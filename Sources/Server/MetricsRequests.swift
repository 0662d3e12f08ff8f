import Messages
import Platform
import Primitives

// What this node's clients asked for, what became of it, and how long it took: from the turn in which a request was
// taken to the end of that in which its answer was written to the connection. The hot path only appends; one clock
// reading at the end of a turn serves all answers of the turn.

/// What a client asked for.
enum RequestOperation: UInt8, CaseIterable, Sendable {
  case get, put, delete, list

  init(_ request: ClientRequest) {
    self =
      switch request {
      case .get: .get
      case .put: .put
      case .delete: .delete
      }
  }
}

/// What became of a request, as far as its client must care.
enum RequestOutcome: UInt8, CaseIterable, Sendable {
  /// Done.
  case ok
  /// Done: there is nothing.
  case notFound
  /// It asked for something that cannot be.
  case invalid
  /// Not done now: a quorum was missed, time was over, a bound was reached, a disk was full or did not answer, or the node
  /// did not serve.
  case unavailable
  /// A stored record did not read back.
  case damaged
  /// The client was gone before there was an answer.
  case abandoned

  init(_ response: ClientResponse) {
    self =
      switch response {
      case .object, .stored, .deleted: .ok
      case .notFound: .notFound
      case .failed(let failure): RequestOutcome(failure)
      }
  }

  init(_ failure: ClientFailure) {
    self =
      switch failure {
      case .unsatisfied, .timeout, .overloaded, .notReady, .full, .unavailable: .unavailable
      case .invalidQuorum, .invalidContext: .invalid
      case .damaged: .damaged
      }
  }

  /// As the metric's label has it.
  var label: String { self == .notFound ? "not_found" : "\(self)" }
}

/// What is remembered of a request until it is answered.
struct RequestStart: Equatable, Sendable {
  let operation: RequestOperation
  /// The instant of the turn that took it.
  let began: Instant
}

struct RequestMetrics {
  /// Answers of one turn that share a clock reading; more are given one before the turn ends.
  static let answersMax = 4096

  private let clock: SystemClock
  // In place rather than in arrays of their own: a reference and its count less on the hot path.
  private var durations = InlineArray<4, LatencyHistogram>(repeating: LatencyHistogram())
  private var outcomes = InlineArray<24, UInt64>(repeating: 0)
  /// When the requests began that are answered in this turn, in nanoseconds.
  private var answered = InlineArray<4, [UInt64]>(repeating: [])
  private var hasAnswered = false
  private var gets = LastMinute()
  private var puts = LastMinute()

  init(clock: SystemClock) {
    self.clock = clock
    invariant(
      durations.count == RequestOperation.allCases.count
        && outcomes.count == durations.count * RequestOutcome.allCases.count, "a count for every operation and outcome")
  }

  /// How long answered requests took, since the start of the process.
  func durations(_ operation: RequestOperation) -> LatencyHistogram { durations[Int(operation.rawValue)] }

  func count(_ operation: RequestOperation, _ outcome: RequestOutcome) -> UInt64 {
    outcomes[RequestMetrics.index(operation, outcome)]
  }

  /// The answer is ready and leaves with this turn.
  mutating func answer(_ request: RequestStart, _ outcome: RequestOutcome) {
    outcomes[RequestMetrics.index(request.operation, outcome)] &+= 1
    let operation = Int(request.operation.rawValue)
    answered[operation].append(request.began.nanoseconds)
    hasAnswered = true
    if answered[operation].count == RequestMetrics.answersMax { endTurn() }
  }

  /// These will never be answered.
  mutating func abandon(_ operations: [RequestOperation]) {
    for operation in operations { outcomes[RequestMetrics.index(operation, .abandoned)] += 1 }
  }

  /// The answers of this turn are written.
  mutating func endTurn() {
    guard hasAnswered else { return }
    hasAnswered = false
    let end = clock.instant().nanoseconds
    for operation in answered.indices where !answered[operation].isEmpty {
      durations[operation].record(from: answered[operation], to: end)
      answered[operation].removeAll(keepingCapacity: true)
    }
  }

  /// To be called once a second or so.
  mutating func sample(at now: Instant) {
    gets.sample(durations(.get), at: now)
    puts.sample(durations(.put), at: now)
  }

  var getsOfLastMinute: LatencyHistogram { gets.window(durations(.get)) }
  var putsOfLastMinute: LatencyHistogram { puts.window(durations(.put)) }

  private static func index(_ operation: RequestOperation, _ outcome: RequestOutcome) -> Int {
    Int(operation.rawValue) * RequestOutcome.allCases.count + Int(outcome.rawValue)
  }
}

/// The last minute of a histogram that only grows: what it has now without what it had then.
struct LastMinute {
  /// Copies are taken this far apart; one costs 20 KiB when something was recorded since.
  static let intervalMilliseconds: UInt64 = 5000
  /// A minute ago, and every five seconds since.
  static let samplesMax = 12

  /// Oldest first.
  private var samples: [(at: Instant, histogram: LatencyHistogram)] = []

  mutating func sample(_ histogram: LatencyHistogram, at now: Instant) {
    if let last = samples.last, now.milliseconds(since: last.at) < LastMinute.intervalMilliseconds { return }
    if samples.count == LastMinute.samplesMax { samples.removeFirst() }
    samples.append((now, histogram))
  }

  /// What came in the last minute, five seconds more or less.
  func window(_ histogram: LatencyHistogram) -> LatencyHistogram {
    samples.first.map { histogram.subtracting($0.histogram) } ?? histogram
  }
}
