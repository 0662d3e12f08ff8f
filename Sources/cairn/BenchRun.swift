import Client
import Platform
import Primitives
import Protocols

// The loop of `cairn bench`: sends what the load says is next, takes the answers, records them. Each connection is an
// endpoint of its own for the pump, so that a connection that is lost stops no other, not even to the same node: it moves
// on to the next node, and what it had not sent whole goes out again.

/// What a run brought.
struct BenchResult: Sendable {
  let recorder: BenchRecorder
  /// Nanoseconds that requests were sent for, the warm-up not counted.
  let elapsed: UInt64
  /// Requests of an open loop that were due and never sent.
  let unsent: UInt64
  let connectionsLost: UInt64
  let wasInterrupted: Bool
}

final class BenchRun {
  private let options: BenchOptions
  private let encoder: BenchEncoder
  private let pump: RequestPump
  private let clock = SystemClock()
  private let timer: MonotonicTimer
  private let signals: TerminationSignals
  private var interruptions = 0
  /// Requests that each connection has room for.
  private var free: [Int]
  /// Requests that came back before they were sent, at most as many as may be in flight.
  private var returned: [BenchRequest] = []
  private var connectionsLost: UInt64 = 0

  private static let timerToken: UInt32 = 1
  private static let signalToken: UInt32 = 2
  /// How long a node may take for an answer.
  static let patienceMilliseconds = 10_000
  /// How long an open loop goes on, after its end, to send what is due and was held up.
  private static let backlogMilliseconds: UInt64 = 2000
  /// Failed writes after which preloading gives up.
  private static let preloadFailuresMax = 1000
  private static let preloadDepth = 16
  private static let pollMilliseconds = 100

  init(_ options: BenchOptions) throws {
    self.options = options
    encoder = BenchEncoder(options)
    free = Array(repeating: options.depth, count: options.connectionCount)
    do throws(Errno) {
      signals = try TerminationSignals()
      timer = try MonotonicTimer()
      pump = try BenchRun.makePump(options, depth: options.depth)
      try pump.watch(signals.descriptor, token: BenchRun.signalToken)
      try pump.watch(timer.descriptor, token: BenchRun.timerToken)
    } catch {
      throw Failure("cannot poll: \(error)")
    }
  }

  private static func makePump(_ options: BenchOptions, depth: Int) throws(Errno) -> RequestPump {
    var limits = RequestPump.Limits()
    limits.wire = options.wire
    limits.connectionsPerEndpoint = 1
    limits.inFlightPerConnectionMax = depth
    limits.patienceMilliseconds = patienceMilliseconds
    // A load generator is no polite client: it goes on whatever it is answered.
    limits.restsAfterRefusal = false
    let nodes = options.endpoints
    let places = (0..<options.connectionCount).map { BenchRun.places(of: $0, nodes: nodes) }
    return try RequestPump(substitutes: places, limits: limits)
  }

  /// Where a connection goes: to its home, and when that fails to the others, which take turns in being next.
  static func places(of connection: Int, nodes: [Endpoint]) -> [Endpoint] {
    let home = connection % nodes.count
    let others = nodes[(home + 1)...] + nodes[..<home]
    guard !others.isEmpty else { return [nodes[home]] }
    let first = connection / nodes.count % others.count
    return [nodes[home]] + others.dropFirst(first) + others.prefix(first)
  }

  // MARK: The measurement

  func run() throws -> BenchResult {
    let start = clock.now().instant
    let begin = start.adding(milliseconds: options.warmupMilliseconds)
    let end = begin.adding(milliseconds: options.durationMilliseconds)
    var load = BenchLoad(
      mix: options.mix, distribution: options.distribution, seed: options.seed, rate: options.rate, start: start,
      end: end)
    var recorder = BenchRecorder(window: begin..<end)
    var display = BenchDisplay(options)
    var deadline = end.adding(milliseconds: BenchRun.backlogMilliseconds)
    while true {
      let now = clock.now().instant
      if now < deadline { fill(&load, at: now) }
      let isDone = now >= end && load.nextDue == nil && returned.isEmpty
      if pump.inFlight == 0 && (now >= deadline || isDone) { break }
      let completions = try poll(load, at: now)
      // Read behind the answers: a latency is never told shorter than it was.
      let answered = clock.now().instant
      for completion in completions { take(completion, at: answered, until: deadline, &recorder) }
      noteBreaks(at: answered, &recorder)
      if takeSignals() {
        if interruptions > 1 { break }
        load.end = min(load.end, answered)
        deadline = min(deadline, load.end)
      }
      recorder.advance(to: min(answered, end))
      display.show(recorder, at: answered)
    }
    display.clear()
    for request in returned {
      recorder.record(request, end: clock.now().instant, .failed(kind: "not sent: no node was there any more"))
    }
    recorder.finish(at: clock.now().instant)
    let elapsed = load.end.nanoseconds - min(begin.nanoseconds, load.end.nanoseconds)
    return BenchResult(
      recorder: recorder, elapsed: elapsed, unsent: load.unsent, connectionsLost: connectionsLost,
      wasInterrupted: interruptions > 0)
  }

  private func noteBreaks(at now: Instant, _ recorder: inout BenchRecorder) {
    guard pump.connectionsLost > connectionsLost else { return }
    connectionsLost = pump.connectionsLost
    recorder.noteBreak(at: now)
  }

  private func fill(_ load: inout BenchLoad, at now: Instant) {
    sendReturned(&load)
    if load.schedule != nil {
      while pump.hasRoom, let next = load.next(at: now), let connection = pump.takeFreestConnection() {
        send(next.request, key: next.key, on: connection)
      }
      return
    }
    for connection in free.indices {
      while free[connection] > 0, pump.hasRoom(onConnection: connection), let next = load.next(at: now) {
        send(next.request, key: next.key, on: connection)
      }
    }
  }

  /// On any connection that has room: its own may have to wait for its node. Which key it is does not matter.
  private func sendReturned(_ load: inout BenchLoad) {
    while let request = returned.last, let connection = connectionWithRoom() {
      send(request, key: load.nextKey(), on: connection)
      returned.removeLast()
    }
  }

  private func connectionWithRoom() -> Int? {
    free.indices.first { free[$0] > 0 && pump.hasRoom(onConnection: $0) }
  }

  private func send(_ request: BenchRequest, key: Int, on connection: Int) {
    free[connection] -= 1
    let wasTaken = pump.offer(request.tag, on: connection) { bytes, _ in
      encoder.append(request.operation, key: key, to: &bytes)
    }
    invariant(wasTaken, "a connection with room took no request")
  }

  /// Waits for answers, or for the time that the next request of an open loop is due.
  private func poll(_ load: BenchLoad, at now: Instant) throws(Failure) -> [PumpCompletion] {
    do throws(Errno) {
      // Without room only an answer helps, and an alarm that has gone off would keep the loop awake.
      let later = now.adding(milliseconds: UInt64(BenchRun.pollMilliseconds))
      if load.schedule != nil { try timer.set(pump.hasRoom ? load.nextDue ?? later : later) }
    } catch {
      throw Failure("cannot set a timer: \(error)")
    }
    return try BenchRun.poll(pump)
  }

  private static func poll(_ pump: RequestPump) throws(Failure) -> [PumpCompletion] {
    do throws(Errno) {
      return try pump.poll(timeoutMilliseconds: pollMilliseconds)
    } catch {
      throw Failure("cannot poll: \(error)")
    }
  }

  private func take(
    _ completion: PumpCompletion, at end: Instant, until deadline: Instant, _ recorder: inout BenchRecorder
  ) {
    guard let request = BenchRequest(tag: completion.tag) else { return }
    free[completion.connection] += 1
    if case .notPerformed = completion.outcome, end < deadline {
      returned.append(request)
      return
    }
    let outcome = BenchRun.outcome(of: completion.outcome, request.operation)
    recorder.record(request, end: end, outcome) { pump.reason(completion) }
  }

  static func outcome(of outcome: PumpCompletion.Outcome, _ operation: BenchOperation) -> BenchOutcome {
    switch outcome {
    case .answered(let answer):
      switch (answer.status, operation) {
      case (200, .get), (200, .put), (201, .put), (204, .put), (200, .delete), (204, .delete): return .done
      case (404, .get), (404, .delete): return .notFound
      default: return .failed(kind: "answered \(answer.status)")
      }
    case .answeredFrame(let answer):
      switch (answer.outcome, operation) {
      case (.found, .get), (.stored, .put), (.deleted, .delete): return .done
      case (.notFound, .get): return .notFound
      case (.refused(let text), _): return .failed(kind: refusalKind(text))
      default: return .failed(kind: "answered something else")
      }
    case .notPerformed(let failure): return .failed(kind: "not sent: \(failure)")
    case .unanswered(.closed), .unanswered(.broken): return .lost
    case .unanswered(let failure): return .failed(kind: "no answer: \(failure)")
    }
  }

  /// Riak's own errors are one word (`timeout`, `{w_val_unsatisfied,2,1}`); others may name what they are about.
  private static func refusalKind(_ text: String) -> String {
    "answered " + (text.contains(" ") || text.isEmpty ? "an error" : text)
  }

  private func takeSignals() -> Bool {
    guard pump.isReady(BenchRun.signalToken) else { return interruptions > 0 }
    while signals.next() != nil { interruptions += 1 }
    return interruptions > 0
  }

  // MARK: Preloading

  /// Stores every key once, again until each was acknowledged.
  func preload() throws {
    let pump: RequestPump
    do throws(Errno) {
      pump = try BenchRun.makePump(options, depth: BenchRun.preloadDepth)
      try pump.watch(signals.descriptor, token: BenchRun.signalToken)
    } catch {
      throw Failure("cannot poll: \(error)")
    }
    var line = ProgressLine("storing", .items("keys"), total: UInt64(options.keyCount))
    defer { line.finish() }
    var next = 0
    var again: [Int] = []
    var failures = 0
    while next < options.keyCount || !again.isEmpty || pump.inFlight > 0 {
      while pump.hasRoom, let key = again.popLast() ?? (next < options.keyCount ? next : nil) {
        if key == next { next += 1 }
        _ = pump.offer(UInt64(key)) { bytes, _ in encoder.append(.put, key: key, to: &bytes) }
      }
      for completion in try BenchRun.poll(pump) {
        guard BenchRun.outcome(of: completion.outcome, .put) != .done else {
          line.advance(by: 1)
          continue
        }
        failures += 1
        if failures > BenchRun.preloadFailuresMax {
          throw Failure("storing the keys failed \(failures) times, last: \(pump.reason(completion))")
        }
        again.append(Int(completion.tag))
      }
      if pump.isReady(BenchRun.signalToken) { throw Failure("interrupted while the keys were stored") }
    }
  }
}
