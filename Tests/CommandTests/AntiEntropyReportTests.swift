import Protocols
import Testing

@testable import cairn

@Suite struct AntiEntropyReportTests {
  private static func peer(
    _ name: String, stores: Int = 64, last: Int? = 12, never: Int = 0, differences: Int = 0, keys: Int = 0,
    running: Int = 0, failed: Int = 0, reason: String = ""
  ) -> JSON {
    .object([
      "peer": .string(name), "stores": .integer(stores), "last_round_seconds": .optional(last) { .integer($0) },
      "never": .integer(never), "differences": .integer(differences), "keys_pulled": .integer(keys),
      "bytes_pulled": .integer(keys * 120), "running": .integer(running), "failed": .integer(failed),
      "reason": .string(reason),
    ])
  }

  private static func pair(_ store: String, _ peer: String, state: String = "idle", reason: String = "") -> JSON {
    .object([
      "store": .string(store), "peer": .string(peer), "last_round_seconds": .integer(0), "differences": .integer(1),
      "keys_pulled": .integer(2), "bytes_pulled": .integer(3), "state": .string(state), "reason": .string(reason),
    ])
  }

  private static func refill(
    _ store: String, from source: String?, keys: Int = 0, of total: Int = 0, eta: Int? = nil, waiting: String = ""
  ) -> JSON {
    .object([
      "store": .string(store), "source": .optional(source) { .string($0) }, "keys": .integer(keys),
      "keys_total": .integer(total), "bytes": .integer(keys * 1024), "bytes_total": .integer(total * 1024),
      "elapsed_seconds": .integer(3), "eta_seconds": .optional(eta) { .integer($0) }, "waiting": .string(waiting),
    ])
  }

  private static func scrub(
    interval: Int = 604_800, done: Int = 0, total: Int = 0, last: Int? = nil, found: Int = 0, repaired: Int = 0,
    lost: Int = 0
  ) -> JSON {
    .object([
      "interval_seconds": .integer(interval), "bytes_done": .integer(done), "bytes_total": .integer(total),
      "last_pass_seconds": .optional(last) { .integer($0) }, "damaged_found": .integer(found),
      "repaired": .integer(repaired), "lost": .integer(lost),
    ])
  }

  private static func document(
    _ name: String, _ peers: [JSON] = [], interval: Int = 300, pairs: [JSON] = [], pairsTotal: Int? = nil,
    refills: [JSON] = [], scrub: JSON = scrub(), aside: [String] = []
  ) -> JSON {
    .object([
      "node": .string(name), "interval_seconds": .integer(interval), "peers": .array(peers), "pairs": .array(pairs),
      "pairs_total": .integer(pairsTotal ?? pairs.count), "refills": .array(refills),
      "refills_total": .integer(refills.count), "scrub": scrub, "set_aside": .array(aside.map { .string($0) }),
    ])
  }

  private func text(_ documents: JSON..., perStore: Bool = false) -> String {
    AntiEntropyReport(documents, unreachable: []).text(perStore: perStore)
  }

  private func warnings(_ document: JSON) -> [String] {
    text(document).split(separator: "\n").map(String.init).filter { $0.hasPrefix("!") }
  }

  @Test("where all is well there is a row per node and peer, and one for each scrub, and nothing else")
  func quiet() {
    let one = Self.document(
      "n1", [Self.peer("n2"), Self.peer("n3", last: 0, differences: 1200, keys: 1300)],
      scrub: Self.scrub(done: 37, total: 1000, last: 172_800))
    let two = Self.document("n2", [Self.peer("n1", last: 400)], scrub: Self.scrub(interval: 0, last: 9))
    #expect(
      text(one, two) == """
        NODE  PEER  STORES  LAST ROUND     DIFFERENCES  PULLED  BYTES    STATE
        n1    n2    64      12 s ago       0            0       0 B      idle
        n1    n3    64      under 1 s ago  1,200        1,300   152 KiB  idle
        n2    n1    64      6 min ago      0            0       0 B      idle

        SCRUB  PASS           LAST PASS  DAMAGED  REPAIRED  LOST
        n1     3 % of 1000 B  2 d ago    0        0         0
        n2     off            9 s ago    0        0         0

        """)
  }

  @Test("a peer that was never compared with is not told as compared; rounds under way and failed ones are counted")
  func states() {
    let never = Self.peer("n2", last: nil, never: 64, failed: 64, reason: "n2 is down: not connected")
    let partly = Self.peer("n3", never: 2, running: 4, failed: 1, reason: "n3 does not answer")
    let lines = text(Self.document("n1", [never, partly])).split(separator: "\n").map(String.init)
    #expect(lines[1].contains("  never  ") && lines[1].hasSuffix("  failed for 64"))
    #expect(lines[2].contains("  12 s ago, 2 never  ") && lines[2].hasSuffix("  running, failed for 1"))
    #expect(
      lines.suffix(2) == [
        "! n1 could not compare 64 stores with n2: n2 is down: not connected",
        "! n1 could not compare 1 store with n3: n3 does not answer",
      ])
  }

  @Test("with --stores there is a row per store, with its reason; what a node leaves out is counted")
  func perStore() {
    let pairs = [Self.pair("p000-n3", "n2"), Self.pair("p000-n3", "n3", state: "failed", reason: "n3 is down: x")]
    let report = text(Self.document("n1", pairs: pairs, pairsTotal: 5002), perStore: true)
    #expect(
      report.hasPrefix(
        """
        NODE  STORE    PEER  LAST ROUND     DIFFERENCES  PULLED  BYTES  STATE
        n1    p000-n3  n2    under 1 s ago  1            2       3 B    idle
        n1    p000-n3  n3    under 1 s ago  1            2       3 B    failed: n3 is down: x
        and 5,000 more of n1, which it does not show

        """))
    #expect(!text(Self.document("n1", pairs: pairs), perStore: true).contains("more of"))
  }

  @Test("stores that are being filled say from whom, how far and how long, or what they wait for")
  func refills() {
    let refills = [
      Self.refill("p003-n3", from: "n1", keys: 199, of: 400, eta: 9),
      Self.refill("p004-n3", from: "n2", keys: 1, of: 1600),
      Self.refill("p005-n3", from: nil, keys: 7, of: 7, waiting: "n2 is down: not connected"),
    ]
    let report = text(Self.document("n3", [Self.peer("n1")], refills: refills))
    #expect(
      report.contains(
        """

        FILLING  STORE    FROM  KEYS        BYTES               DONE  STATE
        n3       p003-n3  n1    199 of 400  199 KiB of 400 KiB  49 %  9 s left
        n3       p004-n3  n2    1 of 1,600  1.0 KiB of 1.6 MiB  0 %   for 3 s
        n3       p005-n3  -     7           7.0 KiB             -     waiting: n2 is down: not connected
        total: 3 stores are being filled; 207 keys are there

        """))
    let one = text(Self.document("n3", refills: [refills[1]]))
    #expect(one.contains("total: 1 store is being filled; 1 of 1,600 keys, 0 %\n"))
  }

  @Test("stores that wait for the same share a row, unless there is to be a row for each")
  func queued() {
    let queue = (3..<64).map {
      Self.refill("p0\($0)-n3", from: nil, keys: 1, of: 1, waiting: "other stores are being filled")
    }
    let document = Self.document("n3", refills: [Self.refill("p002-n3", from: "n1", keys: 9, of: 10, eta: 1)] + queue)
    let lines = text(document).split(separator: "\n").map(String.init)
    #expect(lines[2].hasPrefix("n3       p002-n3    n1    9 of 10  "))
    #expect(
      lines[3].hasPrefix("n3       61 stores  -     61       ")
        && lines[3].hasSuffix(" waiting: other stores are being filled"))
    #expect(lines[4] == "total: 62 stores are being filled; 70 keys are there")
    #expect(text(document, perStore: true).split(separator: "\n").count == lines.count + 60)
  }

  @Test("lost records, directories set aside and rounds that nobody begins are pointed out")
  func warnings() {
    #expect(warnings(Self.document("n1", scrub: Self.scrub(found: 3, repaired: 3))) == [])
    #expect(
      warnings(Self.document("n1", scrub: Self.scrub(found: 3, repaired: 2, lost: 1)))
        == ["! n1 has lost 1 record: damaged, and no other owner had it; its log names each"])
    #expect(
      warnings(Self.document("n1", aside: ["damaged/p005-n3.1", "damaged/p005-n3.2"])) == [
        "! n1 keeps what it has set aside as damaged, until you delete it: damaged/p005-n3.1, damaged/p005-n3.2"
      ])
    #expect(
      warnings(Self.document("n1", interval: 0)) == ["! n1 compares nothing by itself: anti_entropy_interval = 0"])
  }

  @Test("a node alone has nothing to compare; what a node says cannot break the table; JSON is what nodes said")
  func edges() {
    #expect(text(Self.document("n1")).hasPrefix("no store is shared with another node\n"))
    #expect(text(Self.document("n1", [Self.peer("a\u{1B}\nb")])).contains("a\\u{1B}\\nb"))
    #expect(text(.object([])).hasPrefix("no store is shared"), "a document that says nothing is no trap")
    let document = Self.document("n1", [Self.peer("n2")])
    let report = AntiEntropyReport([document], unreachable: ["cannot reach n2"])
    #expect(report.json["nodes"] == .array([document]))
    #expect(report.json["unreachable"] == .array([.string("cannot reach n2")]))
  }

  @Test(
    "words that do not go together, or mean nothing, are told with what to type, before any node is asked",
    arguments: [
      (["--run", "--stores"], "leave --stores out"), (["now"], "see cairn anti-entropy --help"),
      (["--url", "http://127.0.0.1:1", "--data", "x"], "see cairn anti-entropy --help"),
      (["--rum"], "did you mean --run?"), (["--url"], "see cairn anti-entropy --help"),
    ])
  func wrongInput(words: [String], hint: String) throws {
    let error = #expect(throws: UsageError.self) {
      let arguments = try Arguments(words, options: antiEntropyCommand.options, command: "cairn anti-entropy")
      _ = try antiEntropyCommand.run(arguments)
    }
    #expect(error?.hint == hint, "\(words)")
  }

  // MARK: Rounds that were asked for

  private static func outcome(
    _ name: String, stores: Int = 64, differing: Int = 0, still: Int = 0, keys: Int = 0, failed: [JSON] = [],
    failedTotal: Int? = nil
  ) -> RoundOutcome {
    let document: JSON = .object([
      "stores": .integer(stores), "differing": .integer(differing), "still_differing": .integer(still),
      "keys_pulled": .integer(keys), "bytes_pulled": .integer(keys * 120), "milliseconds": .integer(1234),
      "failed": .array(failed), "failed_total": .integer(failedTotal ?? failed.count),
    ])
    return RoundOutcome(answer: .success(document), name: name)
  }

  private static func failure(_ store: String?, _ peer: String, _ reason: String) -> JSON {
    .object([
      "store": .optional(store) { .string($0) }, "peer": .string(peer), "reason": .string(reason),
    ])
  }

  @Test("a round says what each node compared and pulled; it succeeded when everything could be compared")
  func round() {
    let report = RoundReport([Self.outcome("n1", differing: 3, keys: 17), Self.outcome("n2")])
    #expect(
      report.text == """
        NODE  STORES  DIFFERING  PULLED  BYTES    TIME
        n1    64      3          17      2.0 KiB  1 s
        n2    64      0          0       0 B      1 s
        total: 17 keys pulled, 2.0 KiB

        """)
    #expect(report.failure == nil && report.json["keys_pulled"] == .integer(17))
    #expect(report.json["nodes"]?.array?.map { $0["node"]?.string } == ["n1", "n2"])
    let busy = RoundReport([Self.outcome("n1", differing: 2, still: 2, keys: 1)])
    #expect(busy.failure == nil && busy.text.contains("total: 1 key pulled"))
    #expect(busy.text.contains("! n1: 2 stores differ from a peer's again: writes came meanwhile"))
  }

  @Test("what could not be compared is named with its reason and makes a failure, as does a node that has no answer")
  func failedRound() {
    let failed = [
      Self.failure(nil, "n3", "n3 is down: not connected"), Self.failure("p001-n3", "n2", "n2 does not answer"),
    ]
    let silent = RoundOutcome(answer: .failure(Failure("cannot reach n3")), name: "n3")
    let report = RoundReport([Self.outcome("n1", failed: failed), silent])
    #expect(
      report.text.hasSuffix(
        """
        total: 0 keys pulled, 0 B
        ! n1 could not compare its stores with n3: n3 is down: not connected
        ! n1 could not compare p001-n3 with n2: n2 does not answer

        """))
    #expect(report.failure == "not everything could be compared, see above; cannot reach n3")
    #expect(report.json["failed"] == .integer(2) && report.json["unreachable"]?.array?.count == 1)
    #expect(!RoundReport([silent]).isWorthPrinting && RoundReport([silent]).failure == "cannot reach n3")
  }

  @Test("stores that fail for the same reason share a line; of many reasons so many are named, the rest is counted")
  func manyFailures() {
    func lines(_ failed: [JSON], total: Int) -> [String] {
      RoundReport([Self.outcome("n1", failed: failed, failedTotal: total)]).text.split(separator: "\n").map(String.init)
        .filter { $0.hasPrefix("!") }
    }
    let loading = (0..<64).map { Self.failure("p\($0)-n3", "n3", "n3: loading") }
    #expect(
      lines([Self.failure(nil, "n2", "n2 is down: x")] + loading, total: 65) == [
        "! n1 could not compare its stores with n2: n2 is down: x",
        "! n1 could not compare 64 stores with n3: n3: loading",
      ])
    let reasons = (0...RoundReport.causesShown).map { Self.failure("p000-n3", "n2", "reason \($0)") }
    #expect(lines(reasons.dropLast(), total: reasons.count - 1).count == RoundReport.causesShown)
    let more = lines(reasons, total: 5000)
    #expect(more.count == RoundReport.causesShown + 1)
    #expect(more.last == "! n1 could not compare \(grouped(5000 - RoundReport.causesShown)) more")
  }
}
