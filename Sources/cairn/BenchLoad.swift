import Primitives

// What a load generator decides, apart from any wire: which operation on which key comes next, and when it is due. A
// value driven by the caller's clock, so that it is tested without one.
//
// Closed loop: the next request of a connection begins when the last one is answered. A server that stands still for a
// second delays one request per connection, and the hundreds that would have come meanwhile are never sent: their
// latencies are missing ("coordinated omission", Gil Tene). Open loop: requests are due at fixed times whatever the
// answers take, and a latency counts from the time the request was due.

/// When the requests of an open loop are due: the first at once, then evenly.
struct ArrivalSchedule: Sendable {
  private let start: Instant
  private let nanosecondsEach: Double
  /// Requests that were taken.
  private(set) var taken: UInt64 = 0

  init(start: Instant, perSecond: Double) {
    self.start = start
    nanosecondsEach = 1e9 / perSecond
  }

  /// When the next request is due. Counted from the start each time, so that nothing adds up.
  var next: Instant { Instant(nanoseconds: start.nanoseconds + UInt64(Double(taken) * nanosecondsEach)) }

  /// The time the next request is due, if it has come; that request is taken then.
  mutating func take(at now: Instant) -> Instant? {
    let due = next
    guard due <= now else { return nil }
    taken += 1
    return due
  }

  /// Requests due before `end` that were not taken.
  func left(before end: Instant) -> UInt64 {
    guard next < end else { return 0 }
    let all = (Double(end.nanoseconds - start.nanoseconds) / nanosecondsEach).rounded(.up)
    return UInt64(all) - min(taken, UInt64(all))
  }
}

/// A request on its way: what it is and since when it counts. Fits the 64 bits of a tag.
struct BenchRequest: Equatable, Sendable {
  let operation: BenchOperation
  /// When it was sent, or in an open loop when it was due.
  let start: Instant

  init(_ operation: BenchOperation, start: Instant) {
    self.operation = operation
    self.start = start
  }

  /// Two bits for the operation leave 146 years of nanoseconds.
  var tag: UInt64 { start.nanoseconds << 2 | UInt64(operation.rawValue) }

  init?(tag: UInt64) {
    guard let operation = BenchOperation(rawValue: UInt8(tag & 3)) else { return nil }
    self.init(operation, start: Instant(nanoseconds: tag >> 2))
  }
}

/// Which requests there are, and when.
struct BenchLoad: Sendable {
  private let mix: BenchMix
  private let distribution: KeyDistribution
  private var generator: SeededGenerator
  /// Nil in a closed loop.
  private(set) var schedule: ArrivalSchedule?
  /// No request begins or is due from here on.
  var end: Instant

  init(
    mix: BenchMix, distribution: KeyDistribution, seed: UInt64, rate: Double?, start: Instant, end: Instant
  ) {
    self.mix = mix
    self.distribution = distribution
    generator = SeededGenerator(seed: seed)
    schedule = rate.map { ArrivalSchedule(start: start, perSecond: $0) }
    self.end = end
  }

  /// The next request and the number of its key, if there is one at `now`: in a closed loop always, in an open one when
  /// it is due.
  mutating func next(at now: Instant) -> (request: BenchRequest, key: Int)? {
    let start: Instant
    if schedule != nil {
      guard schedule!.next < end, let due = schedule!.take(at: now) else { return nil }
      start = due
    } else {
      guard now < end else { return nil }
      start = now
    }
    let operation = mix.choose(using: &generator)
    return (BenchRequest(operation, start: start), distribution.next(using: &generator))
  }

  /// The number of a key for a request that is sent again.
  mutating func nextKey() -> Int { distribution.next(using: &generator) }

  /// When `next` has something again, if it has nothing now; nil when there will be nothing more, or in a closed loop.
  var nextDue: Instant? { schedule.flatMap { $0.next < end ? $0.next : nil } }

  /// Requests that were due and never sent.
  var unsent: UInt64 { schedule?.left(before: end) ?? 0 }
}
