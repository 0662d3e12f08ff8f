import Platform
import Protocols
import Replication
import Testing

@testable import Server

@Suite struct AntiEntropyTests {
  private func ask(_ method: String, _ path: String, _ shard: RunningShard) throws -> (status: String, body: JSON) {
    let client = try shard.connect()
    try client.send(
      Array("\(method) \(path) HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8))
    let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
    let body = try #require(answer.split(separator: "\r\n\r\n", maxSplits: 1).last)
    return (String(answer.prefix(12)), try JSON.parse(Array(body.utf8)))
  }

  private func integers(_ rows: [JSON], _ name: String) -> [Int?] { rows.map { $0[name]?.integer } }

  @Test("rounds are shown per store and peer, and summed per peer; what never happened is null, not 0 s ago")
  func rounds() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    let document = try ask("GET", "/admin/anti-entropy", shard).body
    #expect(document["node"]?.string == "n1" && document["interval_seconds"]?.integer == 300)
    let rounds: JSON = .object([
      "done": .integer(31), "failed": .integer(32), "differing": .integer(33), "keys_pulled": .integer(37),
      "bytes_pulled": .integer(38),
    ])
    #expect(document["rounds"] == rounds)
    let pairs = try #require(document["pairs"]?.array)
    #expect(pairs.map { $0["store"]?.string } == ["p000-n3", "p000-n3", "p001-n3", "p001-n3"])
    #expect(pairs.map { $0["peer"]?.string } == ["n2", "n3", "n2", "n3"])
    #expect(pairs.map { $0["state"]?.string } == ["idle", "failed", "idle", "running"])
    #expect(pairs.map { $0["reason"]?.string } == ["", "n3 is down: not connected", "", ""])
    #expect(integers(pairs, "last_round_seconds") == [12, nil, 14, 1] && pairs[1]["last_round_seconds"] == .null)
    #expect(integers(pairs, "differences") == [4, 0, 4, 0] && integers(pairs, "keys_pulled") == [5, 0, 5, 0])
    #expect(integers(pairs, "bytes_pulled") == [600, 0, 600, 0] && document["pairs_total"]?.integer == 4)
    let peers = try #require(document["peers"]?.array)
    #expect(peers.map { $0["peer"]?.string } == ["n2", "n3"] && integers(peers, "stores") == [2, 2])
    #expect(integers(peers, "last_round_seconds") == [14, 1] && integers(peers, "never") == [0, 1])
    #expect(integers(peers, "differences") == [8, 0] && integers(peers, "keys_pulled") == [10, 0])
    #expect(integers(peers, "bytes_pulled") == [1200, 0])
    #expect(integers(peers, "running") == [0, 1] && integers(peers, "failed") == [0, 1])
    #expect(peers.map { $0["reason"]?.string } == ["", "n3 is down: not connected"])
    #expect(await shard.stop() == .clean)
  }

  @Test("refills say from whom, how far and how long, or what they wait for; the scrub what it found")
  func refills() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    let document = try ask("GET", "/admin/anti-entropy", shard).body
    let refills = try #require(document["refills"]?.array)
    let moving: JSON = .object([
      "store": .string("p007-n3"), "source": .string("n2"), "keys": .integer(100), "keys_total": .integer(400),
      "bytes": .integer(1000), "bytes_total": .integer(4000), "elapsed_seconds": .integer(3),
      "eta_seconds": .integer(9), "waiting": .string(""),
    ])
    #expect(refills.count == 2 && refills[0] == moving)
    #expect(refills[1]["source"] == .null && refills[1]["eta_seconds"] == .null)
    #expect(refills[1]["waiting"]?.string == "n3 is down: not connected")
    #expect(document["refills_done"]?.integer == 40 && document["refills_total"]?.integer == 2)
    let scrub: JSON = .object([
      "interval_seconds": .integer(604_800), "file": .string("stores/p000-n3/000001.data"),
      "bytes_done": .integer(30), "bytes_total": .integer(90), "passes": .integer(2),
      "last_pass_seconds": .integer(7), "damaged_found": .integer(2), "repaired": .integer(1), "lost": .integer(1),
    ])
    #expect(document["scrub"] == scrub && document["set_aside"] == .array([.string("damaged/p003-n3.1")]))
    let totals: JSON = .object([
      "rounds": .integer(31), "keys_pulled": .integer(37), "refilling": .integer(0), "damaged_found": .integer(2),
      "repaired": .integer(1), "lost": .integer(1),
    ])
    #expect(try ask("GET", "/admin/status", shard).body["anti_entropy"] == totals)
    #expect(await shard.stop() == .clean)
  }

  @Test("a round that was asked for is answered with what it came to, and with what could not be compared and why")
  func round() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    let (status, document) = try ask("POST", "/admin/anti-entropy", shard)
    #expect(status == "HTTP/1.1 200")
    let whole: JSON = .object([
      "stores": .integer(3), "differing": .integer(2), "still_differing": .integer(1), "keys_pulled": .integer(17),
      "bytes_pulled": .integer(2040), "milliseconds": .integer(1234),
      "failed": .array([
        .object([
          "store": .null, "peer": .string("n3"), "reason": .string("n3 is down: not connected"),
        ]),
        .object([
          "store": .string("p001-n3"), "peer": .string("n2"), "reason": .string("n2 does not answer"),
        ]),
      ]), "failed_total": .integer(2),
    ])
    #expect(document == whole)
    #expect(await shard.stop() == .clean)
  }

  @Test("an interval below a second is not told as \"only when asked for\"")
  func shortIntervals() {
    var status = AntiEntropyStatus()
    func seconds() -> Int? {
      let node = NodeStatus.withAntiEntropy(status)
      return AdminDocuments.antiEntropy(node)["interval_seconds"]?.integer
    }
    #expect(seconds() == 0)
    status.intervalMilliseconds = 100
    #expect(seconds() == 1)
    status.intervalMilliseconds = 2000
    #expect(seconds() == 2)
  }

  @Test("a document has a bounded number of rows; first come those with something to tell, and sums are of all")
  func bounded() {
    let rowsMax = AdminDocuments.rowsMax
    var status = AntiEntropyStatus()
    status.pairs = (0..<rowsMax).map { place in
      var pair = PairStatus(store: AntiEntropyStatus.store(place), peer: AntiEntropyStatus.member(2))
      pair.lastRoundMilliseconds = 1000
      pair.keysPulled = 1
      return pair
    }
    #expect(AdminDocuments.shown(status.pairs) == status.pairs, "as many as there is room for")
    var late = PairStatus(store: AntiEntropyStatus.store(rowsMax), peer: AntiEntropyStatus.member(2))
    late.keysPulled = 1
    status.pairs.append(late)
    let shown = AdminDocuments.shown(status.pairs)
    #expect(shown.count == rowsMax && shown.last == late && shown.first == status.pairs.first)
    let document = AdminDocuments.antiEntropy(.withAntiEntropy(status))
    #expect(document["pairs"]?.array?.count == rowsMax && document["pairs_total"]?.integer == rowsMax + 1)
    #expect(document["peers"]?.array?.first?["keys_pulled"]?.integer == rowsMax + 1)
    #expect(document["peers"]?.array?.first?["never"]?.integer == 1)
    for place in status.pairs.indices { status.pairs[place].state = .running }
    #expect(AdminDocuments.shown(status.pairs) == Array(status.pairs.prefix(rowsMax)))

    status.refills = (0...rowsMax).map { RefillStatus(store: AntiEntropyStatus.store($0)) }
    let filling = AdminDocuments.antiEntropy(.withAntiEntropy(status))
    #expect(filling["refills"]?.array?.count == rowsMax && filling["refills_total"]?.integer == rowsMax + 1)
    var report = AntiEntropyReport()
    report.obstacles = (0...rowsMax).map {
      .init(peer: AntiEntropyStatus.member(2), store: AntiEntropyStatus.store($0), reason: "x")
    }
    let round = AdminDocuments.round(report)
    #expect(round["failed"]?.array?.count == rowsMax && round["failed_total"]?.integer == rowsMax + 1)
  }

  @Test("a peer that was never compared with counts from the start of the process")
  func neverCompared() {
    let peers = PeerRounds.all(AntiEntropyStatus.sample.pairs)
    #expect(peers.map { $0.longestMilliseconds(uptime: 90_000) } == [14_999, 90_000])
    #expect(PeerRounds.all([]).isEmpty)
  }
}
