import Protocols
import Testing

@testable import cairn

@Suite struct TombstoneReportTests {
  private func blocker(_ node: String, _ reason: String, _ text: String, percent: Int? = nil) -> JSON {
    .object([
      "node": .string(node), "reason": .string(reason), "text": .string(text),
      "percent": .optional(percent) { .integer($0) },
    ])
  }

  private func store(
    _ name: String, _ pending: Int, oldest: Int, bytes: Int = 2048, isEstimate: Bool = false, _ blockers: JSON...
  ) -> JSON {
    .object([
      "store": .string(name), "pending": .integer(pending), "bytes": .integer(bytes),
      "bytes_estimated": .bool(isEstimate), "blocked_bytes": .integer(0), "oldest_seconds": .integer(oldest),
      "reason": blockers.first?["text"] ?? .null, "blocked_by": .array(blockers),
    ])
  }

  private func view(
    _ node: String, _ stores: [JSON], blocks: [JSON] = [], loading: [JSON] = [], blockedBytes: Int = 0,
    total: Int? = nil
  ) -> TombstoneView {
    let pending = stores.reduce(0) { $0 + ($1["pending"]?.integer ?? 0) }
    let oldest = stores.filter { $0["pending"]?.integer ?? 0 > 0 }.compactMap { $0["oldest_seconds"]?.integer }.max()
    return TombstoneView(
      document: .object([
        "node": .string(node), "pending": .integer(pending), "oldest_seconds": .optional(oldest) { .integer($0) },
        "bytes": .integer(stores.reduce(0) { $0 + ($1["bytes"]?.integer ?? 0) }),
        "blocked_bytes": .integer(blockedBytes), "blocked_by": .array(blocks), "loading": .array(loading),
        "stores": .array(stores), "stores_total": .integer(total ?? stores.count),
      ]))
  }

  private func block(_ node: String, _ reason: String, pending: Int, oldest: Int, advice: String) -> JSON {
    .object([
      "node": .string(node), "reason": .string(reason), "pending": .integer(pending),
      "oldest_seconds": .integer(oldest), "do": .string(advice),
    ])
  }

  @Test("where nothing waits, that is all there is to say, and only of nodes that were reached")
  func empty() {
    #expect(TombstoneReport([view("n1", []), view("n2", [])], unreachable: []).text == "no tombstones wait anywhere\n")
    let part = TombstoneReport([view("n1", [])], unreachable: ["cannot reach n2"])
    #expect(part.text == "no tombstones wait on n1\n" && part.json["unreachable"]?.array?.count == 1)
  }

  @Test("a row for each node and store, the oldest first; a total; what to do, once for each reason")
  func rows() {
    let down = blocker("n3", "down", "n3 is down, not heard for 3 h: not connected")
    let held = blocker("n2", "hold", "held for 40 s more on n2")
    let one = view(
      "n1", [store("p001-n3", 7, oldest: 5, down), store("p004-n3", 1200, oldest: 10_800, isEstimate: true, down)],
      blocks: [block("n3", "down", pending: 1207, oldest: 10_800, advice: "start it again")])
    let two = view(
      "n2", [store("p001-n3", 7, oldest: 6, down), store("p002-n3", 1, oldest: 0, held)],
      blocks: [
        block("n3", "down", pending: 7, oldest: 6, advice: "start it again"),
        block("n2", "hold", pending: 1, oldest: 0, advice: "wait"),
      ], blockedBytes: 512)
    let report = TombstoneReport([one, two], unreachable: [])
    #expect(
      report.text == """
        NODE  STORE    PENDING  BYTES     OLDEST     BLOCKED BY
        n1    p004-n3  1,200    ~2.0 KiB  3 h        n3 is down, not heard for 3 h: not connected
        n2    p001-n3  7        2.0 KiB   6 s        n3 is down, not heard for 3 h: not connected
        n1    p001-n3  7        2.0 KiB   5 s        n3 is down, not heard for 3 h: not connected
        n2    p002-n3  1        2.0 KiB   under 1 s  held for 40 s more on n2
        total: 1215 tombstones, 8.0 KiB, the oldest for 3 h; 512 B of forgotten ones wait for a merge
        what to do: down (n3): start it again
        what to do: hold (n2): wait

        """)
    let causes = report.json["blocked_by"]?.array ?? []
    #expect(causes.map { $0["reason"]?.string } == ["down", "hold"])
    #expect(causes.first?["pending"] == .integer(1214) && causes.first?["nodes"] == .array([.string("n3")]))
    #expect(report.json["pending"] == .integer(1215) && report.json["oldest_seconds"] == .integer(10_800))
  }

  @Test("how far a node is that is being filled, it says itself")
  func loading() {
    let stores = [store("p001-n3", 7, oldest: 5, blocker("n3", "loading", "n3 is loading"))]
    let filled = view(
      "n3", [], loading: [.object(["store": .string("p001-n3"), "percent": .integer(40)])])
    #expect(TombstoneReport([view("n1", stores), filled], unreachable: []).text.contains("  n3 is loading, 40 %\n"))
    #expect(TombstoneReport([view("n1", stores)], unreachable: []).text.contains("  n3 is loading\n"))
  }

  @Test("rows have a bound, and what is left out is told", arguments: [64, 65])
  func bound(count: Int) {
    let stores = (0..<count).map { store("p\($0)", 1, oldest: 1, blocker("n3", "down", "x")) }
    let text = TombstoneReport([view("n1", stores, total: count + 2)], unreachable: []).text
    #expect(text.split(separator: "\n").count { $0.hasPrefix("n1 ") } == 64)
    #expect(text.contains("\n… and \(count - 62) more, of which --json has \(count - 64)\n"))
  }

  @Test("what a node says cannot break the table")
  func escaping() {
    let stores = [store("p\u{1B}", 1, oldest: 1, blocker("n3", "down", "a\nb"))]
    let text = TombstoneReport([view("n1", stores)], unreachable: []).text
    #expect(text.contains("p\\u{1B}") && text.contains("a\\nb"))
  }
}
