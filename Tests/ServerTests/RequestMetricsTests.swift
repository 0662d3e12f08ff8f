import Causality
import Messages
import Platform
import Primitives
import Replication
import Testing

@testable import Server

@Suite struct RequestMetricsTests {
  private func fetch(_ path: String, _ shard: RunningShard) throws -> (head: String, body: String) {
    let client = try shard.connect()
    try client.send(Array("GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
    let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
    let parts = answer.split(separator: "\r\n\r\n", maxSplits: 1).map(String.init)
    return (parts.first ?? "", parts.count > 1 ? parts[1] : "")
  }

  private func page(_ shard: RunningShard) throws -> MetricsPage { try MetricsPage(try fetch("/metrics", shard).body) }

  private func requests(_ operation: String, _ outcome: String) -> String {
    "cairn_requests_total{operation=\"\(operation)\",outcome=\"\(outcome)\"}"
  }

  @Test("every answered request is counted and timed once, under what was asked and what became of it")
  func counted() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    let before = SystemClock().instant()
    try client.get(["a", "b", "sync", "c"])
    #expect(try client.values(4).count == 4)
    try client.send(Array("DELETE /buckets/b/keys/x HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
    #expect(try client.values(1).count == 1)
    let page = try page(shard)
    let elapsed = Double(SystemClock().instant().nanoseconds - before.nanoseconds) / 1e9
    #expect(page[requests("get", "ok")] == 4)
    #expect(page[requests("delete", "not_found")] == 1)
    #expect(page.families.first { $0.name == "cairn_requests_total" }?.samples.reduce(0) { $0 + $1.value } == 5)
    #expect(page["cairn_request_duration_seconds_count{operation=\"get\"}"] == 4)
    #expect(page["cairn_request_duration_seconds_count{operation=\"delete\"}"] == 1)
    #expect(page["cairn_request_duration_seconds_count{operation=\"put\"}"] == 0)
    let sum = try #require(page["cairn_request_duration_seconds_sum{operation=\"get\"}"])
    #expect(sum > 0 && sum <= 4 * elapsed)
    #expect(page["cairn_sync_duration_seconds_count"] == 1)
    #expect(await shard.stop() == .clean)
  }

  @Test("requests whose client left first are counted as abandoned, and not timed")
  func abandoned() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let other = try shard.connect()
    func roundTrip() throws {
      try other.get(["x"])
      _ = try other.values(1)
    }
    do {
      let client = try shard.connect()
      try client.get(["a", "hold", "b", "hold"])
      for _ in 0..<10_000 where shard.observations.inProgressMax < 2 { try roundTrip() }
      // Another turn: the answer to "a" has been written. Closing without reading it resets the connection.
      try roundTrip()
    }
    var count = try page(shard)[requests("get", "abandoned")]
    for _ in 0..<10_000 where count == 0 { count = try page(shard)[requests("get", "abandoned")] }
    #expect(count == 2)
    let after = try page(shard)
    let answered = try #require(after[requests("get", "ok")])
    #expect(answered >= 2, "b was answered, though behind a request that was not")
    #expect(after["cairn_request_duration_seconds_count{operation=\"get\"}"] == answered)
    #expect(await shard.stop() == .clean)
  }

  @Test("/metrics is text of format 0.0.4, answers HEAD, and keeps its order from page to page")
  func route() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let first = try fetch("/metrics", shard)
    #expect(first.head.hasPrefix("HTTP/1.1 200 "))
    #expect(first.head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
    let page = try MetricsPage(first.body)
    let again = try MetricsPage(try fetch("/metrics", shard).body)
    #expect(page.families == again.families)
    for (family, other) in zip(page.families, again.families) {
      #expect(family.samples.map(\.key) == other.samples.map(\.key))
    }
    let client = try shard.connect()
    try client.send(Array("HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
    let head = String(decoding: try client.receiveAll(), as: UTF8.self)
    #expect(head.hasPrefix("HTTP/1.1 200 ") && head.hasSuffix("\r\n\r\n"))
    #expect(await shard.stop() == .clean)
  }

  @Test("neither addresses nor paths are shown where other machines may look")
  func nothingPrivate() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    for path in ["/metrics", "/stats"] {
      let text = try fetch(path, shard).body
      #expect(!text.contains("127.0.0.1") && !text.contains(directory.path), "\(path)")
      #expect(!text.contains("\(shard.http.port)") && !text.contains("\(shard.cluster.port)"), "\(path)")
    }
    #expect(await shard.stop() == .clean)
  }

  @Test("more answers in a turn than share a clock reading are all timed")
  func manyAnswers() {
    var metrics = RequestMetrics(clock: SystemClock())
    let count = RequestMetrics.answersMax * 2 + 1
    for _ in 0..<count { metrics.answer(RequestStart(operation: .put, began: Instant(nanoseconds: 1)), .ok) }
    #expect(metrics.durations(.put).count == UInt64(RequestMetrics.answersMax * 2))
    metrics.endTurn()
    #expect(metrics.durations(.put).count == UInt64(count))
    #expect(metrics.count(.put, .ok) == UInt64(count))
    metrics.endTurn()
    #expect(metrics.durations(.put).count == UInt64(count))
  }

  @Test("the last minute forgets what is older, and nothing else")
  func lastMinute() {
    var minute = LastMinute()
    var histogram = LatencyHistogram()
    for second in UInt64(0)..<300 {
      minute.sample(histogram, at: Instant(nanoseconds: second * 1_000_000_000))
      histogram.record(second)
      let window = minute.window(histogram)
      #expect(window.max == second && window.count <= 61)
      #expect(window.count >= min(second + 1, 55), "after \(second) s")
    }
    #expect(LastMinute().window(histogram) == histogram)
  }

  @Test("every outcome of a request has its label, and every failure its outcome")
  func outcomes() {
    let labels = RequestOutcome.allCases.map(\.label)
    #expect(labels == ["ok", "not_found", "invalid", "unavailable", "damaged", "abandoned"])
    let cases: [(ClientResponse, RequestOutcome)] = [
      (.stored(stamp: .zero), .ok), (.deleted(stamp: .zero), .ok), (.object(stamp: .zero, payload: []), .ok),
      (.notFound(tombstone: nil), .notFound), (.failed(.invalidQuorum(n: 3)), .invalid),
      (.failed(.invalidContext), .invalid), (.failed(.timeout(detail: "")), .unavailable),
      (.failed(.unsatisfied(.r, wanted: 2, got: 1, detail: "")), .unavailable),
      (.failed(.overloaded(detail: "")), .unavailable), (.failed(.notReady(detail: "")), .unavailable),
      (.failed(.full(detail: "")), .unavailable), (.failed(.unavailable(detail: "")), .unavailable),
      (.failed(.damaged(detail: "")), .damaged),
    ]
    for (response, outcome) in cases { #expect(RequestOutcome(response) == outcome, "\(response)") }
  }
}
