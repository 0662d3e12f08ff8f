import Client
import Platform
import Protocols
import Testing

extension SystemTests {
  @Suite struct HintTests {
    @Test("a node that was down has all that it missed as soon as the hints are delivered, without a read")
    func story() throws {
      try TestCluster.with("hints") { cluster in
        for number in 1...2 {
          var client = try cluster.client(number)
          for key in 0..<60 { #expect(try client.put("old\(number)-\(key)", Array("old".utf8)).status == 204) }
        }
        try cluster.local("kill", "3")
        for number in 1...2 {
          var client = try cluster.client(number)
          for key in 0..<150 { #expect(try client.put("k\(number)-\(key)", Array("v\(key)".utf8)).status == 204) }
          for key in 0..<50 { #expect(try client.delete("old\(number)-\(key)").status == 204) }
        }

        // What operators see meanwhile.
        let shown = try cairn("hints", "--url", cluster.url(1), "--url", cluster.url(2))
        #expect(shown.code == 0)
        let rows = shown.outputText.split(separator: "\n").filter { $0.contains("waiting: n3 is down") }
        #expect(rows.map { $0.prefix(2) } == ["n1", "n2"], "\(shown.outputText)")
        #expect(shown.outputText.contains("\ntotal: 400 hints, "))
        let all = try cairn("hints", "--data", cluster.data)
        #expect(all.code == 1 && all.outputText.contains("\ntotal: 400 hints, "))
        #expect(all.errors == "cairn: cannot reach \(cluster.url(3)): connection refused (error 111)\n")
        let both = try cairn("hints", "--data", cluster.data, "--url", cluster.url(1))
        #expect(both.code == 2 && both.errors.contains("\n  see cairn hints --help\n"))
        let json = try JSON.parse(try cairn("hints", "--json", "--data", cluster.data).output)
        #expect(json["count"] == .integer(400) && json["nodes"]?.array?.count == 2)
        #expect(json["unreachable"]?.array?.count == 1)
        let status = try JSON.parse(Array(try cluster.local("status", "--json").utf8))
        #expect((status.array ?? []).reduce(0) { $0 + ($1["hints"]?.integer ?? 0) } == 400)

        try cluster.local("start", "3")
        try cluster.untilDelivered()
        #expect(try cairn("hints", "--data", cluster.data).outputText == "no hints anywhere\n")
        let stores = try (1...3).map { try cluster.stores($0) }
        #expect(stores[0].count == 64 && stores[1] == stores[0] && stores[2] == stores[0])
        let totals = try (1...3).map { try cluster.status($0) }
        #expect(totals.allSatisfy { $0["keys_live"] == .integer(320) && $0["tombstones"] == .integer(100) })
        #expect(totals.allSatisfy { $0["counters"]?["read_repairs"] == .integer(0) })

        var three = try cluster.client(3)
        for number in 1...2 {
          for key in 0..<150 {
            #expect(try three.get("k\(number)-\(key)", query: "?r=1").body == Array("v\(key)".utf8))
          }
          for key in 0..<60 {
            #expect(try three.get("old\(number)-\(key)", query: "?r=1").status == (key < 50 ? 404 : 200))
          }
        }
      }
    }

    @Test("a round while the node is down answers at once with what is left; hints survive kill -9 of their holder")
    func holderKilled() throws {
      try TestCluster.with("hint-holder") { cluster in
        try cluster.local("kill", "3")
        var one = try cluster.client(1)
        for key in 0..<200 { #expect(try one.put("k\(key)", [UInt8(key)]).status == 204) }
        let round = try JSON.parse(one.send("POST", "/admin/drain-hints").body)
        let kept = try cluster.hints(1)
        #expect(kept == 200, "the node that coordinated them, since no other is there")
        #expect(round["delivered"] == .integer(0) && round["left"] == .integer(kept))
        let target = try #require(round["targets"]?.array?.first)
        #expect(target["node"] == .string("n3") && target["count"] == .integer(kept))
        #expect(target["reason"]?.string?.hasPrefix("n3 is down: ") == true)
        let drained = try cairn("hints", "--drain", "--url", cluster.url(1))
        #expect(drained.code == 1 && drained.errors == "cairn: 200 hints are left, see above\n")
        #expect(drained.outputText.hasPrefix("handed over 0 hints; what is left:\n"))

        try cluster.local("kill", "1")
        try cluster.local("start", "1")
        #expect(try cluster.hints(1) == kept, "all were in its files")
        try cluster.local("start", "3")
        try cluster.untilDelivered()
        let done = try cairn("hints", "--drain", "--data", cluster.data)
        #expect(done.code == 0 && done.outputText == "handed over 0 hints, none is left\n")
        #expect(try cluster.status(3)["keys_live"] == .integer(200))
      }
    }

    @Test("a hint that hints_max leaves no room for is refused, counted and told of; the write succeeds all the same")
    func noRoom() throws {
      try TestCluster.with("hints-max", settings: ["hints_max=4KiB"]) { cluster in
        try cluster.local("kill", "3")
        var one = try cluster.client(1)
        for key in 0..<200 { #expect(try one.put("k\(key)", [UInt8](repeating: 7, count: 100)).status == 204) }
        let document = try JSON.parse(one.send("GET", "/admin/hints").body)
        let kept = document["count"]?.integer ?? 0
        #expect(kept > 0 && document["bytes"]?.integer ?? .max <= 4096)
        #expect(try cluster.status(1)["counters"]?["hints_refused"] == .integer(200 - kept))
        let metrics = String(decoding: try one.send("GET", "/metrics").body, as: UTF8.self)
        #expect(metrics.contains("\ncairn_hints_refused_total \(200 - kept)\n"))
        let shown = try cairn("hints", "--url", cluster.url(1)).outputText
        #expect(shown.contains("! n1 keeps ") && shown.contains("! n1 has refused \(200 - kept) hints since"))
        let log = String(decoding: try FileTree.read("\(cluster.data)/n1.log", bytesMax: 1 << 20), as: UTF8.self)
        #expect(log.contains("a hint for n3 is not kept: n1: it keeps as many hints as hints_max allows"))

        try cluster.local("start", "3")
        try cluster.untilDelivered()
        #expect(try cluster.status(3)["keys_live"] == .integer(kept))
        // The rest comes by read repair.
        for key in 0..<200 { #expect(try one.get("k\(key)", query: "?r=3").status == 200) }
        try eventually("n3 has everything") { try cluster.status(3)["keys_live"] == .integer(200) }
      }
    }

    @Test("with two owners down, fallbacks count for what they keep, never say \"not found\", and hand it over")
    func fallbacks() throws {
      try TestCluster.with("fallbacks", nodes: 5) { cluster in
        var one = try cluster.client(1)
        var two = try cluster.client(2)
        for key in 0..<100 { #expect(try one.put("old\(key)", [UInt8(key)]).status == 204) }
        try cluster.local("kill", "4")
        try cluster.local("kill", "5")
        let answers = try (0..<100).map { try two.get("old\($0)") }
        #expect(Set(answers.map(\.status)) == [200, 503])
        let refusals = Set(answers.filter { $0.status == 503 }.map { String(decoding: $0.body, as: UTF8.self) })
        let reasons = ["n4 is down: not connected", "n5 is down: not connected"]
        let known = [reasons, reasons.reversed()].map { "R-value unsatisfied: 1/2: \($0.joined(separator: "; "))\n" }
        #expect(refusals.isSubset(of: known), "\(refusals)")
        for key in 0..<100 { #expect(try one.put("k\(key)", [UInt8(key)]).status == 204) }
        for key in 0..<100 { #expect(try two.get("k\(key)").body == [UInt8(key)]) }
        let counters = try (1...3).map { try cluster.status($0)["counters"] }
        #expect(counters.reduce(0) { $0 + ($1?["sloppy_writes"]?.integer ?? 0) } > 0)
        #expect(counters.reduce(0) { $0 + ($1?["sloppy_reads"]?.integer ?? 0) } > 0)
        try cluster.local("start", "4")
        try cluster.local("start", "5")
        try cluster.untilDelivered()
        let totals = try (1...5).map { try cluster.status($0)["keys_live"]?.integer ?? 0 }
        #expect(totals.reduce(0, +) == 600, "each key is on its three owners")
      }
    }
  }
}

extension TestCluster {
  fileprivate func status(_ node: Int) throws -> JSON {
    var client = try client(node)
    return try JSON.parse(client.send("GET", "/admin/status").body)
  }

  /// How many hints a node keeps.
  fileprivate func hints(_ node: Int) throws -> Int { try status(node)["hints"]?["count"]?.integer ?? -1 }

  /// Live keys and tombstones of each store of a node.
  fileprivate func stores(_ node: Int) throws -> [String: [Int]] {
    let stores = try status(node)["stores"]?.array ?? []
    return Dictionary(
      uniqueKeysWithValues: stores.map {
        ($0["store"]?.string ?? "", [$0["keys_live"]?.integer ?? -1, $0["tombstones"]?.integer ?? -1])
      })
  }

  fileprivate func untilDelivered() throws {
    try eventually("no node keeps a hint") { try (1...nodeCount).allSatisfy { try hints($0) == 0 } }
  }
}
