import Client
import Platform
import Protocols
import Testing

// Replicas that lost something become whole again by themselves, and say nothing wrong meanwhile: real processes, real
// directories, kill -9.

extension SystemTests {
  @Suite struct AntiEntropyTests {
    private static let keys = 600

    @Test("a store whose directory is gone is filled by its peers, kill -9 in the middle included; no read is wrong")
    func storeLost() throws {
      try TestCluster.with("store-lost", settings: ["partitions=8", "pull_rate=16KiB"]) { cluster in
        try cluster.fill(Self.keys, bytes: 2000)
        try cluster.local("kill", "3")
        try FileTree.remove("\(cluster.data)/n3/stores/p003-n3")
        try cluster.local("start", "3")
        try cluster.untilRefilling(3)
        try cluster.readAll(Self.keys, through: 3, bytes: 2000)

        try eventually("a part of the store is there") { try cluster.refill(3).map { $0 > 8 } ?? false }
        let before = try cluster.refill(3) ?? 0
        try cluster.local("kill", "3")
        try cluster.local("start", "3")
        repeat { try cluster.readAll(Self.keys, through: 3, bytes: 2000) } while try cluster.refill(3) != nil
        try cluster.converge()
        let pulled = try cluster.antiEntropy(3)["rounds"]?["keys_pulled"]?.integer ?? -1
        let whole = try cluster.view(1).counts[3] ?? []
        #expect(pulled > 0 && pulled <= whole.reduce(0, +) - before, "what was there is not pulled again")
        try cluster.readAll(Self.keys, through: 3, bytes: 2000)
        try cluster.settleAndVerify()
      }
    }

    @Test("a node whose whole directory is gone comes back whole, and is not taken for a new cluster meanwhile")
    func nodeLost() throws {
      try TestCluster.with("node-lost", settings: ["partitions=8", "pull_rate=128KiB"]) { cluster in
        try cluster.fill(Self.keys, bytes: 1000)
        try cluster.local("kill", "3")
        try FileTree.remove("\(cluster.data)/n3")
        try cluster.local("start", "3")
        try cluster.untilRefilling(3)
        repeat { try cluster.readAll(Self.keys, through: 3, bytes: 1000) } while try cluster.refill(3) != nil
        try cluster.converge()
        // What the others have is not asked any more.
        try cluster.local("kill", "1")
        try cluster.readAll(Self.keys, through: 3, bytes: 1000)
        try cluster.local("start", "1")
        try cluster.settleAndVerify()
      }
    }

    @Test("writes that left no hint behind are found by one round, and a round over equal stores moves nothing")
    func withoutHints() throws {
      let settings = ["partitions=8", "hints_max=4KiB", "anti_entropy_interval=0s"]
      try TestCluster.with("no-hints", settings: settings) { cluster in
        try cluster.fill(Self.keys, bytes: 100)
        try cluster.local("kill", "3")
        var one = try cluster.client(1)
        for key in 100..<400 { #expect(try one.put("k\(key)", Array("newer \(key)".utf8)).status == 204) }
        for key in 400..<500 where key % 10 != 0 { #expect(try one.delete("k\(key)").status == 204) }
        for key in 0..<100 { #expect(try one.put("new\(key)", [UInt8(key)]).status == 204) }
        try cluster.local("start", "3")
        try eventually("no hint is left") { try cluster.view(1).status["hints"]?["count"] == .integer(0) }
        #expect(NodeView.unrest(try (1...3).map(cluster.view)) != nil, "something is left for anti-entropy")

        let round = try cairn("anti-entropy", "--run", "--url", cluster.url(3))
        #expect(round.code == 0, "\(round.errors)")
        try cluster.converge()
        var three = try cluster.client(3)
        for key in 100..<400 { #expect(try three.get("k\(key)", query: "?r=1").body == Array("newer \(key)".utf8)) }
        for key in 400..<500 { #expect(try three.get("k\(key)", query: "?r=1").status == 404) }
        for key in 0..<100 { #expect(try three.get("new\(key)", query: "?r=1").body == [UInt8(key)]) }

        for node in 1...3 {
          var client = try cluster.client(node)
          let again = try JSON.parse(client.send("POST", "/admin/anti-entropy").body)
          #expect(again["differing"] == .integer(0) && again["keys_pulled"] == .integer(0), "\(again)")
          #expect(again["stores"] == .integer(8) && again["failed"]?.array == [])
        }
      }
    }

    @Test("replicas that differ become equal by themselves within the interval")
    func byThemselves() throws {
      let settings = ["partitions=8", "hints_max=4KiB", "anti_entropy_interval=2s"]
      try TestCluster.with("by-themselves", settings: settings) { cluster in
        try cluster.local("kill", "3")
        try cluster.fill(Self.keys, bytes: 100)
        try cluster.local("start", "3")
        try cluster.converge()
      }
    }

    @Test("a flipped bit is found by scrub or by the read that meets it, and repaired; no answer is wrong at any r")
    func flippedBit() throws {
      let settings = ["partitions=8", "max_file_size=64KiB", "scrub_interval=2s", "merge_check_interval=100ms"]
      try TestCluster.with("flipped-bit", settings: settings) { cluster in
        try cluster.fill(Self.keys, bytes: 2000)
        // A clean stop leaves a hint beside every file.
        try cluster.local("stop", "2")
        try cluster.local("start", "2")
        let paths = try cluster.flipBits(2)
        let damaged = paths.count
        #expect(damaged >= 8)
        // What was hit and still counts is repaired; then the files go, those too in which a superseded record was hit.
        try eventually("no file with damage is left") {
          for node in 1...3 {
            for r in 1...3 { try cluster.readAll(60, through: node, bytes: 2000, query: "?r=\(r)", mayRefuse: r == 3) }
          }
          return paths.allSatisfy { !FileTree.exists($0) }
        }
        let scrub = try cluster.antiEntropy(2)["scrub"]
        #expect(scrub?["damaged_found"] == .integer(damaged) && scrub?["lost"] == .integer(0), "\(scrub ?? .null)")
        let repaired = scrub?["repaired"]?.integer ?? 0
        #expect((1...damaged).contains(repaired))
        #expect(scrub?["bytes_total"]?.integer ?? 0 > 0 && scrub?["passes"]?.integer != nil, "\(scrub ?? .null)")
        var client = try cluster.client(2)
        let metrics = String(decoding: try client.send("GET", "/metrics").body, as: UTF8.self)
        #expect(metrics.contains("\ncairn_scrub_damages_found_total \(damaged)\n"))
        #expect(metrics.contains("\ncairn_scrub_repaired_total \(repaired)\n"))
        #expect(metrics.contains("\ncairn_scrub_lost_total 0\n"))
        #expect(metrics.contains(/\ncairn_scrub_read_bytes_total [1-9]/))
        for r in 1...3 { try cluster.readAll(Self.keys, through: 2, bytes: 2000, query: "?r=\(r)") }
        try cluster.converge()
        try cluster.settleAndVerify()
      }
    }

    @Test("a store that is found damaged at a start is set aside, made anew and filled; the old bytes are kept")
    func damagedAtStart() throws {
      try TestCluster.with("damaged-store", settings: ["partitions=8"]) { cluster in
        try cluster.fill(Self.keys, bytes: 100)
        try cluster.local("stop", "2")
        let store = "\(cluster.data)/n2/stores/p005-n3"
        try FileTree.remove("\(store)/000001.hint")
        try cluster.flip(byte: 300, of: "\(store)/000001.data")
        try cluster.local("start", "2")
        try cluster.converge()
        try cluster.readAll(Self.keys, through: 2, bytes: 100)
        #expect(try cluster.antiEntropy(2)["set_aside"]?.array?.map(\.string) == ["damaged/p005-n3.1"])
        #expect(FileTree.exists("\(cluster.data)/n2/damaged/p005-n3.1/000001.data"))
        let shown = try cairn("anti-entropy", "--url", cluster.url(2))
        #expect(shown.code == 0 && shown.outputText.contains("damaged/p005-n3.1"), "\(shown.outputText)")
        try cluster.settleAndVerify()
      }
    }
  }
}

extension TestCluster {
  /// Writes so many keys through all nodes that run, and deletes every tenth again.
  fileprivate func fill(_ count: Int, bytes: Int) throws {
    let nodes = try pids().enumerated().filter { $0.element != nil }.map { $0.offset + 1 }
    for node in nodes {
      var client = try client(node)
      for key in 0..<count where nodes[key % nodes.count] == node {
        #expect(try client.put("k\(key)", Self.value(key, bytes: bytes)).status == 204)
        if key % 10 == 0 { #expect(try client.delete("k\(key)").status == 204) }
      }
    }
  }

  /// - Parameter mayRefuse: An answer may be "unavailable" or "damaged", never a wrong one.
  fileprivate func readAll(
    _ count: Int, through node: Int, bytes: Int, query: String = "?r=1", mayRefuse: Bool = false
  ) throws {
    var client = try client(node)
    for key in 0..<count {
      let answer = try client.get("k\(key)", query: query)
      if mayRefuse, answer.status >= 500 { continue }
      if key % 10 == 0 {
        #expect(answer.status == 404, "k\(key) \(query) through n\(node)")
      } else {
        #expect(answer.status == 200 && answer.body == Self.value(key, bytes: bytes), "k\(key) \(query) n\(node)")
      }
    }
  }

  func antiEntropy(_ node: Int) throws -> JSON {
    var client = try client(node)
    return try JSON.parse(client.send("GET", "/admin/anti-entropy").body)
  }

  /// Keys that are there in the stores that are being filled; nil when none is.
  fileprivate func refill(_ node: Int) throws -> Int? {
    let refills = try antiEntropy(node)["refills"]?.array ?? []
    return refills.isEmpty ? nil : refills.reduce(0) { $0 + ($1["keys"]?.integer ?? 0) }
  }

  fileprivate func untilRefilling(_ node: Int) throws {
    try eventually("n\(node) fills a store") { try refill(node) != nil }
  }

  /// One bit of a byte in the middle of a file that others may have open.
  func flip(byte offset: Int, of path: String) throws {
    let old = try FileTree.read(path, bytesMax: 64 << 20)[offset]
    let digits = String(old ^ 4, radix: 8)
    let end = try shell("printf '\\\(digits)' | dd of='\(path)' bs=1 seek=\(offset) conv=notrunc")
    #expect(end == .exited(0))
  }

  /// Flips a bit in the middle of every full file of a node that runs. - Returns: Their paths.
  fileprivate func flipBits(_ node: Int) throws -> [String] {
    var paths: [String] = []
    for store in try FileTree.names(in: "\(data)/n\(node)/stores") where store.hasPrefix("p") {
      let directory = "\(data)/n\(node)/stores/\(store)"
      // The last one still takes records.
      for name in try FileTree.names(in: directory).filter({ $0.hasSuffix(".data") }).dropLast() {
        paths.append("\(directory)/\(name)")
        try flip(byte: Int((FileTree.facts("\(directory)/\(name)")?.bytes ?? 0) / 2), of: paths[paths.count - 1])
      }
    }
    return paths
  }

  fileprivate func settleAndVerify() throws {
    try local("down")
    let verified = try cairn(["store", "verify"] + (1...nodeCount).map { "\(data)/n\($0)" })
    #expect(verified.code == 0, "\(verified.outputText)")
  }
}
