import Client
import Platform
import Primitives
import Protocols
import Testing

@testable import cairn

@Suite struct BenchOptionsTests {
  private func options(_ words: String...) throws -> BenchOptions {
    try BenchOptions(Arguments(words, options: BenchOptions.table, command: "cairn bench"))
  }

  @Test("what is not given has its default, what is given is taken")
  func good() throws {
    let plain = try options()
    #expect(plain.mix == BenchMix("get=80,put=15,delete=5") && plain.keyCount == 10_000 && plain.valueByteCount == 100)
    #expect(plain.connectionCount == 16 && plain.depth == 1 && plain.rate == nil && !plain.preloads)
    #expect(plain.durationMilliseconds == 10_000 && plain.warmupMilliseconds == 1000 && plain.queries == ["", "", ""])
    let full = try options(
      "--op", "put", "--value-size", "4KiB", "--duration", "1m", "--warmup", "0s", "--rate", "500", "--w", "all",
      "--dw=1", "--r", "one", "--depth", "8", "--distribution", "zipf", "--zipf-theta", "1.2")
    #expect(full.mix.operations == [.put] && full.valueByteCount == 4096 && full.durationMilliseconds == 60_000)
    #expect(full.queries == ["?r=one", "?w=all&dw=1", "?w=all&dw=1"] && full.rate == 500 && full.depth == 8)
    #expect(full.distributionText == "zipf, theta 1.2")
  }

  @Test(
    "what cannot be is refused before anything is sent",
    arguments: [
      ["--op", "scan"], ["--mix", "get=0"], ["--op", "put", "--mix", "get=1"], ["--keys", "0"],
      ["--keys", "1000000001"], ["--value-size", "65MiB"], ["--value-size", "x"], ["--distribution", "normal"],
      ["--zipf-theta", "1"], ["--distribution", "zipf", "--zipf-theta", "0"],
      ["--distribution", "zipf", "--zipf-theta", "nan"], ["--connections", "0"], ["--connections", "1025"],
      ["--connections", "1", "--url", "http://127.0.0.1:1", "--url", "http://127.0.0.1:2"], ["--depth", "65"],
      ["--duration", "10"], ["--duration", "1ms"], ["--duration", "25h"], ["--warmup", "x"], ["--rate", "0"],
      ["--rate", "10000001"], ["--protocol", "grpc"], ["--url", "pb://127.0.0.1:10017"],
      ["--protocol", "pb", "--url", "pb://127.0.0.1"], ["--protocol", "pb", "--url", "x"], ["--bucket", ""],
      ["--r", "0"], ["--w", "many"], ["--dw", ""],
      ["--seed", "-1"], ["--csv", ""], ["--url", "x"], ["operand"],
    ])
  func bad(words: [String]) {
    #expect(throws: UsageError.self) {
      try BenchOptions(Arguments(words, options: BenchOptions.table, command: "cairn bench"))
    }
  }

  @Test("a request is the bytes that its protocol wants")
  func encoding() {
    let encoder = BenchEncoder(bucket: "a/b", queries: ["?r=1", "?w=2", ""], valueByteCount: 3, seed: 1)
    func text(_ operation: BenchOperation, _ key: Int) -> String {
      var bytes: [UInt8] = []
      encoder.append(operation, key: key, to: &bytes)
      return String(decoding: bytes, as: UTF8.self)
    }
    #expect(text(.get, 0) == "GET /buckets/a%2Fb/keys/0000000000000000?r=1 HTTP/1.1\r\nHost: cairn\r\n\r\n")
    #expect(text(.delete, 1234) == "DELETE /buckets/a%2Fb/keys/0000000000001234 HTTP/1.1\r\nHost: cairn\r\n\r\n")
    let put = text(.put, 999_999_999)
    #expect(put.hasPrefix("PUT /buckets/a%2Fb/keys/0000000999999999?w=2 HTTP/1.1\r\nHost: cairn\r\nContent-Type: "))
    #expect(put.contains("\r\nContent-Length: 3\r\n\r\n") && put.count == text(.put, 0).count)
    #expect(Array(put.utf8.suffix(7).prefix(4)) == Array("\r\n\r\n".utf8))
  }

  @Test("a report says which loop it was, what failed, and what was never sent")
  func report() throws {
    var recorder = BenchRecorder(window: Instant(nanoseconds: 0)..<Instant(nanoseconds: 2_000_000_000))
    let request = BenchRequest(.put, start: Instant(nanoseconds: 0))
    for _ in 0..<100 { recorder.record(request, end: Instant(nanoseconds: 1_000_000), .done) }
    recorder.record(request, end: Instant(nanoseconds: 1_000_000), .failed(kind: "answered 503")) { "no\nquorum" }
    recorder.finish(at: Instant(nanoseconds: 2_000_000_000))
    func report(_ options: BenchOptions, unsent: UInt64 = 0) -> BenchReport {
      let result = BenchResult(
        recorder: recorder, elapsed: 2_000_000_000, unsent: unsent, connectionsLost: 0, wasInterrupted: false)
      return BenchReport(options, result, command: "cairn bench", machine: "2 cores")
    }
    let closed = report(try options("--op", "put")).text(histogram: true)
    #expect(closed.contains("coordinated omission") && closed.contains("put        50     100  0          1 "))
    #expect(closed.contains("1.00 ms") && closed.contains("answered 503") && closed.contains("no\\nquorum"))
    #expect(closed.contains("latencies of all operations") && !closed.contains("could not be sent"))
    let open = report(try options("--op", "put", "--rate", "100"), unsent: 7)
    let text = open.text(histogram: false)
    #expect(text.contains("open, 100 requests/s") && text.contains("7 requests of 108 were due and could not be sent"))
    #expect(!text.contains("coordinated omission") && !text.contains("####"))
    #expect(open.json["operations"]?.array?.first?["ops_per_second"] == .number(50))
    #expect(open.json["errors"]?.array?.first?["count"]?.integer == 1)
    #expect(open.json["unsent"]?.integer == 7 && open.json["coordinated_omission"]?.bool == false)
  }

  @Test("a report says what broken connections cost, and how long nothing was answered")
  func losses() throws {
    func instant(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
    var recorder = BenchRecorder(window: instant(0)..<instant(2000))
    recorder.record(BenchRequest(.put, start: instant(0)), end: instant(100), .done)
    recorder.noteBreak(at: instant(500))
    recorder.record(BenchRequest(.put, start: instant(400)), end: instant(500), .lost)
    recorder.record(BenchRequest(.put, start: instant(1500)), end: instant(1700), .done)
    recorder.finish(at: instant(2000))
    let result = BenchResult(
      recorder: recorder, elapsed: 2_000_000_000, unsent: 0, connectionsLost: 6, wasInterrupted: false)
    let report = BenchReport(try options("--op", "put"), result, command: "cairn bench", machine: "2 cores")
    let text = report.text(histogram: false)
    #expect(text.contains("1.60 s without an answer, at 0.1 s"))
    #expect(text.contains("6 connections broke, the first at 0.5 s; 1 request in flight lost"))
    #expect(report.json["lost"]?.integer == 1 && report.json["connections_lost"]?.integer == 6)
    #expect(report.json["longest_gap_ms"] == .number(1600) && report.json["longest_gap_at_s"] == .number(0.1))
    #expect(report.json["around_break"]?["before"]?["ops"]?.integer == 1)
    #expect(report.json["around_break"]?["after"]?["max_us"] == .number(200_000))
    #expect(report.json["errors"]?.array?.isEmpty == true)
  }

  @Test("every connection has a home, all nodes have equally many, and those of one home move on to different nodes")
  func places() {
    let nodes = (1...3).map { Endpoint(address: SocketAddress(host: [127, 0, 0, 1], port: $0)) }
    let places = (0..<6).map { BenchRun.places(of: $0, nodes: nodes).map(\.address.port) }
    #expect(places == [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 3, 2], [2, 1, 3], [3, 2, 1]])
    #expect(BenchRun.places(of: 5, nodes: [nodes[0]]) == [nodes[0]])
  }

  @Test("latencies and numbers have as many digits as they need")
  func figures() {
    for (nanoseconds, text) in [
      (0, "0 ns"), (999, "999 ns"), (1000, "1.00 µs"), (9994, "9.99 µs"), (9995, "10.0 µs"), (99_949, "99.9 µs"),
      (123_456, "123 µs"), (999_499, "999 µs"), (999_500, "1.00 ms"), (1_200_000_000, "1.20 s"),
      (3_600_000_000_000, "3600 s"),
    ] as [(UInt64, String)] { #expect(latencyText(nanoseconds) == text) }
    for (value, decimals, text) in [
      (0, 0, "0"), (1.05, 1, "1.1"), (-1.25, 1, "-1.3"), (2.999, 2, "3.00"), (-0.001, 2, "0.00"), (7, 3, "7.000"),
    ] as [(Double, Int, String)] { #expect(rounded(value, decimals) == text) }
  }
}
