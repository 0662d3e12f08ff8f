import Primitives
import Testing

@testable import cairn

private func at(_ milliseconds: Double) -> Instant { Instant(nanoseconds: UInt64(1e9 + milliseconds * 1e6)) }

@Suite("Open and closed loops")
struct BenchLoadTests {
  /// A server without limits that needs 1 ms for an answer and stands still once, for a second.
  private struct Server {
    var stall: Range<Instant>?

    func answer(to sent: Instant) -> Instant {
      let end = sent.adding(milliseconds: 1)
      guard let stall, end >= stall.lowerBound, sent < stall.upperBound else { return end }
      return max(end, stall.upperBound.adding(milliseconds: 1))
    }
  }

  private func load(rate: Double?, seconds: Double = 10) -> BenchLoad {
    BenchLoad(
      mix: BenchMix(only: .get), distribution: .uniform(count: 10), seed: 1, rate: rate, start: at(0),
      end: at(seconds * 1000))
  }

  /// Drives the load with 16 connections, one request in flight on each, in time that passes by itself.
  private func run(rate: Double?, stall: Range<Instant>?) -> BenchRecorder {
    let server = Server(stall: stall)
    var load = load(rate: rate)
    var recorder = BenchRecorder(window: at(0)..<at(10_000))
    var free = [Instant](repeating: at(0), count: 16)
    while true {
      let connection = free.indices.min { (free[$0], $0) < (free[$1], $1) }!
      // The next request leaves when a connection is free and, in an open loop, when it is due.
      let now = max(free[connection], load.nextDue ?? free[connection])
      guard let (request, _) = load.next(at: now) else { break }
      free[connection] = server.answer(to: now)
      recorder.record(request, end: free[connection], .done)
    }
    recorder.finish(at: free.max()!)
    return recorder
  }

  @Test("a stall of a second shows in the p99 of an open loop, and a closed loop hides it: coordinated omission")
  func coordinatedOmission() {
    let stall = at(5000)..<at(6000)
    let open = run(rate: 1000, stall: stall)
    #expect(open.opsCount == 10_000)
    // A tenth of the requests were due while the server stood still: the worst hundredth waited for 0.9 s and more.
    #expect((890_000_000...920_000_000).contains(open.allLatencies.value(atPercentile: 99)))
    #expect((500_000_000...560_000_000).contains(open.allLatencies.value(atPercentile: 95)))
    #expect(open.allLatencies.value(atPercentile: 50) < 1_010_000)

    let closed = run(rate: nil, stall: stall)
    #expect(closed.opsCount > 140_000)
    // Sixteen of them met the stall.
    #expect(closed.allLatencies.value(atPercentile: 99) < 1_010_000)
    #expect(closed.allLatencies.value(atPercentile: 99.9) < 1_010_000)
    #expect(closed.allLatencies.max > 1_000_000_000)
    // The second in which nothing was answered has a row of its own, in both.
    for recorder in [open, closed] {
      #expect(recorder.seconds.map(\.second) == Array(1...11))
      #expect(recorder.seconds[5].ops == 0 && recorder.seconds[4].ops > 0 && recorder.seconds[6].ops > 0)
    }
  }

  @Test("without a stall both loops tell the same")
  func calm() {
    for rate in [nil, 1000.0] {
      let recorder = run(rate: rate, stall: nil)
      #expect(recorder.allLatencies.min == 1_000_000 && recorder.allLatencies.max == 1_000_000)
    }
  }

  @Test(
    "arrivals are even, do not drift, and none is lost or doubled", arguments: [1.0, 3, 7777, 1_000_000, 10_000_000])
  func schedule(rate: Double) {
    var schedule = ArrivalSchedule(start: at(0), perSecond: rate)
    #expect(schedule.next == at(0))
    let steps = Int(min(rate * 2, 100_000))
    for index in 0..<steps {
      let due = schedule.next
      let exact = Double(index) * 1e9 / rate
      #expect(abs(Double(due.nanoseconds - at(0).nanoseconds) - exact) <= 1)
      #expect(schedule.take(at: Instant(nanoseconds: due.nanoseconds - 1)) == nil)
      #expect(schedule.take(at: due) == due)
    }
    #expect(schedule.taken == UInt64(steps))
    #expect(schedule.left(before: schedule.next) == 0)
    let later = Instant(nanoseconds: schedule.next.nanoseconds + 1)
    #expect(schedule.left(before: later) == 1)
    #expect(ArrivalSchedule(start: at(0), perSecond: rate).left(before: at(1000)) == UInt64(rate))
  }

  @Test("an open loop that was held up takes what was due, one after the other, each from when it was due")
  func backlog() {
    var load = load(rate: 1000, seconds: 1)
    var starts: [Instant] = []
    while let next = load.next(at: at(10.5)) { starts.append(next.request.start) }
    #expect(starts == (0...10).map { at(Double($0)) })
    #expect(load.nextDue == at(11) && load.unsent == 989)
    while load.next(at: at(5000)) != nil {}
    #expect(load.nextDue == nil && load.unsent == 0 && load.schedule?.taken == 1000)
  }

  @Test("a closed loop always has a request until its end")
  func closed() {
    var load = load(rate: nil, seconds: 1)
    #expect(load.next(at: at(3))?.request == BenchRequest(.get, start: at(3)))
    #expect(load.nextDue == nil && load.unsent == 0)
    #expect(load.next(at: at(999.9)) != nil)
    #expect(load.next(at: at(1000)) == nil)
  }

  @Test("a tag holds operation and time")
  func tags() {
    for operation in BenchOperation.allCases {
      for nanoseconds in [0, 1, 1 << 61] as [UInt64] {
        let request = BenchRequest(operation, start: Instant(nanoseconds: nanoseconds))
        #expect(BenchRequest(tag: request.tag) == request)
      }
    }
    #expect(BenchRequest(tag: 3) == nil)
  }

  @Test("the same seed gives the same requests, and a mix its shares")
  func mixes() throws {
    let mix = try #require(BenchMix("get=80,put=15,delete=5"))
    #expect(mix.operations == [.get, .put, .delete])
    func operations(seed: UInt64) -> [BenchOperation] {
      var generator = SeededGenerator(seed: seed)
      return (0..<10_000).map { _ in mix.choose(using: &generator) }
    }
    #expect(operations(seed: 1) == operations(seed: 1) && operations(seed: 1) != operations(seed: 2))
    #expect((7800...8200).contains(operations(seed: 1).count { $0 == .get }))
    #expect((400...600).contains(operations(seed: 1).count { $0 == .delete }))
    #expect(BenchMix("put=1")?.operations == [.put])
    var generator = SeededGenerator(seed: 1)
    #expect((0..<100).allSatisfy { _ in BenchMix("put=1,get=0")?.choose(using: &generator) == .put })
    for text in [
      "", "get", "get=", "get=x", "get=-1", "get=0", "get=1,get=2", "scan=1", "get=1,", "get=1=2", "get=9999999",
    ] {
      #expect(BenchMix(text) == nil, "\(text)")
    }
  }
}

@Suite("What a bench records")
struct BenchRecorderTests {
  private func request(_ milliseconds: Double, _ operation: BenchOperation = .get) -> BenchRequest {
    BenchRequest(operation, start: at(milliseconds))
  }

  @Test("what began before or after the window does not count, whenever it ended")
  func window() {
    var recorder = BenchRecorder(window: at(1000)..<at(2000))
    for (start, end) in [(999.9, 1500.0), (2000, 2001)] { recorder.record(request(start), end: at(end), .done) }
    #expect(recorder.opsCount == 0 && recorder.seconds.isEmpty)
    for (start, end) in [(1000.0, 1001.0), (1999.9, 5000)] { recorder.record(request(start), end: at(end), .done) }
    #expect(recorder.opsCount == 2)
  }

  @Test("errors are no successes and have no latency; a missing key is an answer")
  func errors() {
    var recorder = BenchRecorder(window: at(0)..<at(2000))
    recorder.record(request(1), end: at(2), .notFound)
    recorder.record(request(1, .put), end: at(500), .failed(kind: "answered 503")) { "first" }
    recorder.record(request(2, .put), end: at(500), .failed(kind: "answered 503")) { "second" }
    recorder.record(request(3, .delete), end: at(500), .failed(kind: "answered 503")) { "third" }
    #expect(recorder.opsCount == 1 && recorder.notFound == [1, 0, 0] && recorder.errorCount == 3)
    #expect(recorder.allLatencies.max == 1_000_000)
    #expect(
      recorder.errors == [
        BenchErrors(operation: .put, kind: "answered 503", count: 2, example: "first"),
        BenchErrors(operation: .delete, kind: "answered 503", count: 1, example: "third"),
      ])
    #expect(recorder.errorCount(of: .put) == 2)
    recorder.finish(at: at(600))
    #expect(recorder.seconds.map(\.errors) == [3] && recorder.seconds.map(\.ops) == [1])
  }

  @Test("more kinds of errors than are kept are counted together")
  func kinds() {
    var recorder = BenchRecorder(window: at(0)..<at(2000))
    for kind in 0..<BenchRecorder.errorKindsMax { recorder.record(request(1), end: at(2), .failed(kind: "\(kind)")) }
    #expect(recorder.errors.count == BenchRecorder.errorKindsMax)
    for kind in 100..<110 { recorder.record(request(1), end: at(2), .failed(kind: "\(kind)")) }
    #expect(recorder.errors.count == BenchRecorder.errorKindsMax + 1 && recorder.errors.last?.count == 10)
    #expect(recorder.errorCount == UInt64(BenchRecorder.errorKindsMax + 10))
  }

  @Test("a row per second, also for those in which nothing ended")
  func seconds() {
    var recorder = BenchRecorder(window: at(0)..<at(5000))
    recorder.advance(to: at(-500))
    recorder.record(request(10), end: at(20), .done)
    recorder.record(request(20), end: at(3100), .done)
    recorder.finish(at: at(4000))
    #expect(recorder.seconds.map(\.second) == [1, 2, 3, 4] && recorder.seconds.map(\.ops) == [1, 0, 0, 1])
    #expect(recorder.seconds[0].max == 10_000_000 && recorder.seconds[1].max == 0)
    let lines = BenchReport.csv(recorder.seconds).split(separator: "\n")
    #expect(lines.first == "second,ops,errors,lost,p50_us,p99_us,max_us" && lines.count == 5)
    #expect(lines[1] == "1,1,0,0,10000.0,10000.0,10000.0" && lines[2] == "2,0,0,0,0.0,0.0,0.0")
  }

  @Test("a request whose connection broke is lost: neither an error nor a success, and in a row of its own")
  func lost() {
    var recorder = BenchRecorder(window: at(0)..<at(5000))
    recorder.record(request(10, .put), end: at(1500), .lost)
    recorder.record(request(10), end: at(20), .done)
    recorder.finish(at: at(2000))
    #expect(recorder.lost == [0, 1, 0] && recorder.lostCount == 1 && recorder.errorCount == 0)
    #expect(recorder.opsCount == 1 && recorder.arrivalCount == 1)
    #expect(recorder.seconds.map(\.lost) == [0, 1])
  }

  @Test("the longest gap is between answers, errors being none, and counts from the begin and to the end too")
  func gaps() {
    func gap(_ answers: [Double], end: Double = 1000) -> [Double] {
      var recorder = BenchRecorder(window: at(0)..<at(1000))
      for time in answers { recorder.record(request(0), end: at(time), .done) }
      recorder.record(request(0), end: at(500), .failed(kind: "answered 503"))
      recorder.record(request(0), end: at(501), .lost)
      recorder.finish(at: at(end))
      return [Double(recorder.longestGap.start) / 1e6, Double(recorder.longestGap.length) / 1e6]
    }
    #expect(gap([100, 200, 600, 900]) == [200, 400])
    #expect(gap([450, 800]) == [0, 450])
    #expect(gap([100, 400]) == [400, 600])
    #expect(gap([100, 400], end: 3000) == [400, 600], "what comes behind the window is no part of it")
    #expect(gap([100, 400], end: 700) == [100, 300])
    #expect(gap([]) == [0, 1000])
  }

  @Test("latencies are told apart by the first break of a connection inside the window")
  func breaks() throws {
    var recorder = BenchRecorder(window: at(0)..<at(5000))
    recorder.noteBreak(at: at(-1))
    #expect(recorder.latenciesAroundBreak == nil)
    recorder.record(request(10), end: at(20), .done)
    recorder.noteBreak(at: at(100))
    for end in [200.0, 300] { recorder.record(request(100), end: at(end), .done) }
    recorder.noteBreak(at: at(400))
    let (before, after) = try #require(recorder.latenciesAroundBreak)
    #expect(recorder.firstBreak?.at == at(100))
    #expect(before.count == 1 && before.max == 10_000_000 && after.count == 2 && after.max == 200_000_000)
  }

  @Test("bars: every latency is in one row, and no row is missing between")
  func bars() {
    var latencies = LatencyHistogram()
    #expect(LatencyBars.lines(latencies) == [])
    for _ in 0..<60 { latencies.record(900_000) }
    for _ in 0..<30 { latencies.record(150_000) }
    for _ in 0..<10 { latencies.record(7_000_000) }
    let lines = LatencyBars.lines(latencies)
    #expect(lines.count == 6, "\(lines)")
    guard lines.count == 6 else { return }
    #expect(
      lines[0].contains("256 µs") && lines[0].contains("30.00 %")
        && lines[0].hasSuffix("  " + String(repeating: "#", count: 25)))
    #expect(lines[2].hasSuffix(" " + String(repeating: "#", count: LatencyBars.barCells)))
    #expect(lines[5].contains("10.00 %"))
    var one = LatencyHistogram()
    one.record(5)
    #expect(LatencyBars.lines(one).count == 1)
    one.record(LatencyHistogram.valueMax)
    #expect(LatencyBars.lines(one).count == LatencyBars.rowsMax)
    #expect(LatencyBars.lines(one).last?.contains(" 50.00 % ") == true)
  }
}
