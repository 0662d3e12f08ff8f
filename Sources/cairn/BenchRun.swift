import Client
import Platform
import Primitives
import Protocols

// The loop of `cairn bench`: sends what the load says is next, takes the answers, records them. Each connection is an
// endpoint of its own for the pump, so that a connection that is lost stops no other, not even to the same node.

/// What a run brought.
struct BenchResult: Sendable {
  let recorder: BenchRecorder
  /// Nanoseconds that requests were sent for, the warm-up not counted.
  let elapsed: UInt64
  /// Requests of an open loop that were due and never sent.
  let unsent: UInt64
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
  /// Requests that each connection of a closed loop has room for.
  private var free: [Int]

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
    encoder = BenchEncoder(
      bucket: options.bucket, queries: options.queries, valueByteCount: options.valueByteCount, seed: options.seed)
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
    limits.connectionsPerEndpoint = 1
    limits.inFlightPerConnectionMax = depth
    limits.patienceMilliseconds = patienceMilliseconds
    // A load generator is no polite client: it goes on whatever it is answered.
    limits.restsAfterRefusal = false
    let endpoints = (0..<options.connectionCount).map { options.endpoints[$0 % options.endpoints.count] }
    return try RequestPump(endpoints, limits: limits)
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
      if pump.inFlight == 0 && (now >= deadline || now >= end && load.nextDue == nil) { break }
      let completions = try poll(load, at: now)
      // Read behind the answers: a latency is never told shorter than it was.
      let answered = clock.now().instant
      for completion in completions { take(completion, at: answered, &recorder) }
      if takeSignals() {
        if interruptions > 1 { break }
        load.end = min(load.end, answered)
        deadline = min(deadline, load.end)
      }
      recorder.advance(to: min(answered, end))
      display.show(recorder, at: answered)
    }
    display.clear()
    recorder.finish(at: clock.now().instant)
    let elapsed = load.end.nanoseconds - min(begin.nanoseconds, load.end.nanoseconds)
    return BenchResult(
      recorder: recorder, elapsed: elapsed, unsent: load.unsent, wasInterrupted: interruptions > 0)
  }

  private func fill(_ load: inout BenchLoad, at now: Instant) {
    if load.schedule != nil {
      while pump.hasRoom, let next = load.next(at: now) { offer(next.request, key: next.key, on: nil) }
      return
    }
    for connection in free.indices {
      while free[connection] > 0, pump.hasRoom(onConnection: connection), let next = load.next(at: now) {
        offer(next.request, key: next.key, on: connection)
        free[connection] -= 1
      }
    }
  }

  private func offer(_ request: BenchRequest, key: Int, on connection: Int?) {
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

  private func take(_ completion: PumpCompletion, at end: Instant, _ recorder: inout BenchRecorder) {
    guard let request = BenchRequest(tag: completion.tag) else { return }
    if options.rate == nil { free[completion.connection] += 1 }
    let outcome = BenchRun.outcome(of: completion, request.operation)
    recorder.record(request, end: end, outcome) { pump.reason(completion) }
  }

  static func outcome(of completion: PumpCompletion, _ operation: BenchOperation) -> BenchOutcome {
    switch completion.outcome {
    case .answered(let answer):
      switch (answer.status, operation) {
      case (200, .get), (200, .put), (201, .put), (204, .put), (200, .delete), (204, .delete): return .done
      case (404, .get), (404, .delete): return .notFound
      default: return .failed(kind: "answered \(answer.status)")
      }
    case .notPerformed(let failure): return .failed(kind: "not sent: \(failure)")
    case .unanswered(let failure): return .failed(kind: "no answer: \(failure)")
    }
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
        guard BenchRun.outcome(of: completion, .put) != .done else {
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
