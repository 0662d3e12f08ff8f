import Protocols
import Testing

@testable import cairn

@Suite struct HintReportTests {
  private static func target(
    _ name: String, _ count: Int, state: String = "waiting", reason: String = "", oldest: Int? = nil,
    perSecond: Int? = nil, eta: Int? = nil
  ) -> JSON {
    .object([
      "node": .string(name), "count": .integer(count), "bytes": .integer(count * 100),
      "oldest_seconds": .optional(oldest) { .integer($0) }, "state": .string(state), "reason": .string(reason),
      "per_second": .optional(perSecond) { .integer($0) }, "eta_seconds": .optional(eta) { .integer($0) },
    ])
  }

  private func view(_ name: String, _ targets: [JSON], refused: Int = 0, bytesMax: Int = 1 << 30) -> HintView {
    let bytes = targets.reduce(0) { $0 + ($1["bytes"]?.integer ?? 0) }
    return HintView(
      document: .object([
        "node": .string(name), "count": .integer(targets.reduce(0) { $0 + ($1["count"]?.integer ?? 0) }),
        "bytes": .integer(bytes), "hints_max": .integer(bytesMax), "refused": .integer(refused),
        "targets": .array(targets),
      ]))
  }

  private func text(_ views: HintView..., unreachable: [String] = []) -> String {
    HintReport(views, unreachable: unreachable).text
  }

  @Test("where nothing waits, that is all there is to say")
  func empty() {
    let none = Self.target("n3", 0, state: "empty")
    #expect(text(view("n1", [none]), view("n2", [])) == "no hints anywhere\n")
  }

  @Test("what waits has a row per holder and target, with its age and why it waits, and a total")
  func waiting() {
    let reason = "n3 is down: not connected"
    let one = Self.target("n3", 1200, reason: reason, oldest: 34)
    let two = Self.target("n3", 7, reason: reason, oldest: 0)
    #expect(
      text(view("n1", [Self.target("n2", 0, state: "empty"), one]), view("n2", [two])) == """
        HOLDER  FOR  HINTS  BYTES    OLDEST     STATE
        n1      n3   1,200  117 KiB  34 s       waiting: n3 is down: not connected
        n2      n3   7      700 B    under 1 s  waiting: n3 is down: not connected
        total: 1,207 hints, 118 KiB, the oldest kept for 34 s

        """)
  }

  @Test("what is on its way says how fast, and how long that takes")
  func sending() {
    let fast = Self.target("n3", 37_200, state: "sending", oldest: 3, perSecond: 12_400, eta: 3)
    let begun = Self.target("n2", 1, state: "sending")
    let lines = text(view("n1", [fast, begun])).split(separator: "\n").map(String.init)
    #expect(lines[1].hasSuffix("  sending 12,400/s, 3 s left"))
    #expect(lines[2].hasSuffix("  -       sending"), "nothing is delivered yet, and nothing is made up")
  }

  @Test("a node that was not reached is not told to have none")
  func unreachable() {
    let problem = "cannot reach http://n3: ECONNREFUSED"
    let report = HintReport([view("n1", []), view("n2", [])], unreachable: [problem])
    #expect(report.text == "no hints on n1, n2\n")
    #expect(report.json["unreachable"]?.array == [.string(problem)] && report.json["count"] == .integer(0))
    #expect(report.json["nodes"]?.array?.count == 2)
  }

  @Test("hints that were refused, and a holder that is nearly full, are pointed out")
  func full() {
    let waiting = Self.target("n3", 9, reason: "n3 is down: x")
    #expect(!text(view("n1", [waiting], bytesMax: 1010)).contains("!"), "below nine tenths")
    let lines = text(view("n1", [waiting], refused: 1, bytesMax: 1000)).split(separator: "\n")
    #expect(
      lines.suffix(2) == [
        "! n1 keeps 900 B of the 1000 B that hints_max allows: it refuses more",
        "! n1 has refused 1 hint since it started: those writes are left to anti-entropy",
      ])
  }

  @Test("what a node says cannot break the table")
  func escaping() {
    #expect(text(view("n1", [Self.target("a\u{1B}\nb", 1)])).contains("a\\u{1B}\\nb"))
  }

  @Test("a round says what was handed over, what is left and why; only when nothing is left did it succeed")
  func drained() {
    func outcome(_ name: String, delivered: Int, _ targets: [JSON]) -> DrainOutcome {
      let left = targets.reduce(0) { $0 + ($1["count"]?.integer ?? 0) }
      let document: JSON = .object([
        "delivered": .integer(delivered), "left": .integer(left), "targets": .array(targets),
      ])
      return DrainOutcome(answer: .success(document), name: name)
    }
    let done = DrainReport([outcome("n1", delivered: 1400, []), outcome("n2", delivered: 1, [])])
    #expect(done.text == "handed over 1,401 hints, none is left\n" && done.failure == nil)

    let left = Self.target("n3", 12, reason: "n3 is down: not connected", oldest: 90)
    let rest = DrainReport([outcome("n1", delivered: 0, [left]), outcome("n2", delivered: 1, [])])
    #expect(
      rest.text == """
        handed over 1 hint; what is left:

        HOLDER  FOR  HINTS  BYTES    OLDEST  STATE
        n1      n3   12     1.2 KiB  90 s    waiting: n3 is down: not connected
        total: 12 hints, 1.2 KiB, the oldest kept for 90 s

        """)
    #expect(rest.failure == "12 hints are left, see above")
    #expect(rest.json["left"] == .integer(12) && rest.json["nodes"]?.array?.first?["node"] == .string("n1"))

    let silent = DrainOutcome(answer: .failure(Failure("cannot reach n2")), name: "n2")
    let part = DrainReport([outcome("n1", delivered: 2, []), silent])
    #expect(part.failure == "cannot reach n2" && part.text == "handed over 2 hints, none is left on n1\n")
  }
}
