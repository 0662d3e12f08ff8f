import Client
import Platform
import Protocols
import Testing

// Whatever keeps tombstones on real nodes is read in `cairn tombstones`; when it goes, they go.

extension SystemTests {
  @Suite struct TombstonesTests {
    /// One partition: what there is to read is one row of each node.
    private static let settings = [
      "partitions=1", "tombstone_hold=200ms", "feed_interval=50ms", "anti_entropy_interval=1s",
      "hint_retry_interval=100ms", "suspect_after=300ms",
    ]

    @Test("an owner that is down, and for how long; and what to do about it")
    func down() throws {
      try TestCluster.with("blocked-down", settings: Self.settings) { cluster in
        let promise = DeletePromise(cluster: cluster)
        try promise.begin()
        try cluster.local("kill", "3")
        try promise.delete(through: 1)
        try cluster.untilBlocked(1, by: "n3", "down")
        let result = try cairn(["tombstones"] + [1, 2].flatMap { ["--url", cluster.url($0)] })
        #expect(result.code == 0 && result.outputText.hasPrefix("NODE  STORE    PENDING  BYTES  "))
        let rows = result.outputText.split(separator: "\n").filter { $0.contains(" p000-n3 ") }
        #expect(rows.count == 2 && rows.allSatisfy { $0.contains("  n3 is down, not heard for ") })
        #expect(result.outputText.contains("\ntotal: \(2 * promise.dead) tombstones, "))
        #expect(result.outputText.contains("\nwhat to do: down (n3): start it again"))
        // Who asks all nodes is told of the one that does not answer.
        let all = try cairn("tombstones", "--data", cluster.data)
        #expect(all.code == 1 && all.errors.hasPrefix("cairn: cannot reach \(cluster.url(3))"))
        #expect(all.outputText == result.outputText || all.outputText.contains("n3 is down"))
        try cluster.local("start", "3")
        try promise.untilCollected()
        #expect(try cairn("tombstones", "--data", cluster.data).outputText == "no tombstones wait anywhere\n")
      }
    }

    @Test("the time that a tombstone is held")
    func hold() throws {
      try TestCluster.with("blocked-hold", settings: Self.settings + ["tombstone_hold=3s"]) { cluster in
        var client = try cluster.client(1)
        #expect(try client.put("k0", [1], query: "?w=3").status == 204)
        #expect(try client.delete("k0").status == 204)
        let left = try cluster.untilBlocked(1, by: "n1", "hold")["seconds_left"]?.integer
        #expect(left.map { (1...3).contains($0) } == true)
        try eventually("it is collected") { try (1...3).allSatisfy { try cluster.pending($0) == 0 } }
      }
    }

    @Test("an owner that is up and stands still has acknowledged less, and by how much is told")
    func lag() throws {
      // So patient that nobody takes it for dead.
      try TestCluster.with("blocked-lag", settings: Self.settings + ["suspect_after=60s"]) { cluster in
        let promise = DeletePromise(cluster: cluster, dead: 20, live: 1)
        try promise.begin()
        let process = try cluster.process(3)
        defer { process.signal(.proceed) }
        process.signal(.stop)
        for key in 0..<promise.dead {
          var client = try cluster.client(1)
          let answer = try client.send("DELETE", path("k\(key)") + "?timeout=20000&w=2")
          #expect(answer.status == 204, "k\(key)")
        }
        let behind = try cluster.untilBlocked(1, by: "n3", "cursor_lag")["behind"]?.integer
        #expect(behind == promise.dead)
        process.signal(.proceed)
        try promise.untilCollected()
      }
    }

    @Test("an owner whose store is fenced, for as long as there is no room to make it anew")
    func fenced() throws {
      try TestCluster.with("blocked-fenced", settings: Self.settings) { cluster in
        let promise = DeletePromise(cluster: cluster)
        try promise.begin()
        try cluster.local("stop", "3")
        let node = "\(cluster.data)/n3"
        let file = try #require(try FileTree.names(in: "\(node)/stores/p000-n3").first { $0.hasSuffix(".data") })
        let path = "\(node)/stores/p000-n3/\(file)"
        try FileTree.truncate(path, to: (FileTree.facts(path)?.bytes ?? 0) / 2)
        let kept = (1...16).map { "\(node)/damaged/p000-n3.\($0)" }
        for directory in kept { try FileTree.create(directory) }
        try cluster.local("start", "3")
        try cluster.untilUp()
        try promise.delete(through: 1)
        try cluster.untilBlocked(1, by: "n3", "fenced")
        #expect(try cairn("tombstones", "--url", cluster.url(1)).outputText.contains("the store is fenced at n3\n"))
        for directory in kept { try FileTree.remove(directory) }
        try promise.untilCollected()
        try cluster.untilWhole()
        try cluster.expectGone(promise.dead)
      }
    }

    @Test("an owner that is being filled, and how much of it is there")
    func loading() throws {
      try TestCluster.with("blocked-loading", settings: Self.settings + ["pull_rate=4KiB"]) { cluster in
        let promise = DeletePromise(cluster: cluster, dead: 20, live: 60, bytes: 500)
        try promise.begin()
        try cluster.local("kill", "3")
        try promise.delete(through: 1)
        try FileTree.remove("\(cluster.data)/n3")
        try cluster.local("start", "3")
        try cluster.untilBlocked(1, by: "n3", "loading")
        try eventually("n3 says how far it is") {
          try cairn("tombstones", "--data", cluster.data).outputText.contains(/n3 is loading, \d+ %\n/)
        }
        try promise.untilCollected()
        try promise.holds()
      }
    }

    @Test("a clock that is wrong is pointed out, and keeps nothing")
    func clock() throws {
      try TestCluster.with("blocked-clock", settings: Self.settings + ["tombstone_hold=5s"]) { cluster in
        var client = try cluster.client(1)
        #expect(try client.put("k0", [1], query: "?w=3").status == 204)
        try cluster.local("stop", "3")
        let wrong = try RunningCommand(
          cluster.nodeArguments(3)
            + (Self.settings + ["tombstone_hold=5s", "clock_offset=2m"]).flatMap { ["--set", $0] }, name: "wrong-clock")
        try eventually("n3 listens") { (try? cluster.view(3)) != nil }
        try cluster.untilUp()
        #expect(try client.delete("k0").status == 204)
        func doubted() throws -> Bool {
          let store = try cluster.tombstones(1)["stores"]?.array?.first
          return store?["blocked_by"]?.array?.contains {
            $0["reason"]?.string == "clock_doubted" && $0["node"]?.string == "n3"
          } ?? false
        }
        try eventually("n1 says that the clock of n3 is wrong", doubted)
        try eventually("it goes all the same") { try [1, 2].allSatisfy { try cluster.pending($0) == 0 } }
        wrong.identity.signal(.terminate)
        _ = try wrong.finish()
        try cluster.local("start", "3")
        try cluster.untilUp()
        #expect(try client.put("k1", [1], query: "?w=3").status == 204)
        #expect(try client.delete("k1").status == 204)
        #expect(try !doubted())
      }
    }

    @Test("forgotten tombstones whose bytes stay, and the file that keeps them; when that is merged they are free")
    func overlap() throws {
      let settings =
        Self.settings + [
          "max_file_size=64KiB", "merge_check_interval=100ms", "merge_trigger_dead_bytes=1GiB", "merge_dead_bytes=1GiB",
          "merge_small_file=0", "merge_trigger_fragmentation=60", "merge_fragmentation=60",
          // A file that is full is made durable at once, not with the next checkpoint in a minute: only then is it merged.
          "sync=interval",
        ]
      try TestCluster.with("blocked-overlap", settings: settings) { cluster in
        var client = try cluster.client(1)
        // The first file keeps what lives, and old values of what is deleted: too few of them to be merged.
        let old = [UInt8](repeating: 1, count: 1200)
        for key in 0..<60 { #expect(try client.put("old\(key)", old, query: "?w=3").status == 204) }
        for key in 0..<10 { #expect(try client.delete("old\(key)").status == 204) }
        // Forgotten before the first merge: one before would carry them into a file that none comes for afterwards.
        try eventually("they are collected") { try (1...3).allSatisfy { try cluster.pending($0) == 0 } }
        // The next ones, with the tombstones in them, are dead soon.
        for round in 0..<12 {
          for key in 0..<20 {
            let value = [UInt8](repeating: UInt8(round), count: 1000)
            #expect(try client.put("hot\(key)", value, query: "?w=3").status == 204)
          }
        }
        let file = try cluster.untilBlocked(1, by: "n1", "merge_overlap")["files"]?.array?.first?.integer
        #expect(file == 1)
        #expect(try cluster.pending(1) == 0 && cluster.tombstones(1)["blocked_bytes"]?.integer ?? 0 > 0)
        let text = try cairn("tombstones", "--url", cluster.url(1)).outputText
        #expect(text.contains("forgotten, and on the disk of n1 until file 1 is merged\n"), "\(text)")
        #expect(text.contains(" of forgotten ones wait for a merge\n"))
        for node in 1...3 {
          var client = try cluster.client(node)
          #expect(try client.send("POST", "/admin/merge").status == 200)
        }
        #expect(try cairn("tombstones", "--data", cluster.data).outputText == "no tombstones wait anywhere\n")
      }
    }

    @Test("a delete that would leave more tombstones than may wait is answered 507, with who keeps them and why")
    func full() throws {
      try TestCluster.with("tombstones-max", settings: Self.settings + ["tombstones_max=10"]) { cluster in
        try cluster.local("kill", "3")
        var client = try cluster.client(1)
        for key in 0..<10 { #expect(try client.delete("never\(key)").status == 204) }
        let refused = try client.delete("never10")
        let text = String(decoding: refused.body, as: UTF8.self)
        #expect(refused.status == 507, "\(text)")
        let words = "10 tombstones wait in store p000-n3 of n1, where tombstones_max allows 10; n3 is down, "
        #expect(text.contains(words), "\(text)")
        #expect(try client.delete("never3").status == 204, "one that waits already")
        #expect(try client.put("k", [1]).status == 204)
        #expect(try cluster.pending(1) == 10 && cluster.tombstones(1)["refused"] == .integer(1))
        try cluster.local("start", "3")
        try eventually("they are collected") { try (1...3).allSatisfy { try cluster.pending($0) == 0 } }
        #expect(try client.delete("never10").status == 404, "all owners say that it was never there")
        try cluster.deleteNothing(20)
      }
    }
  }
}

extension TestCluster {
  /// What the oldest tombstone of a node waits for first, as soon as it is that.
  @discardableResult
  fileprivate func untilBlocked(_ node: Int, by peer: String, _ reason: String) throws -> JSON {
    var block: JSON?
    try eventually("n\(node) says that \(peer) keeps tombstones: \(reason)") {
      let result = try cairn("tombstones", "--json", "--url", url(node))
      let document = try JSON.parse(result.output)["nodes"]?.array?.first
      block = document?["blocked_by"]?.array?.first
      return block?["node"]?.string == peer && block?["reason"]?.string == reason
    }
    return block ?? .null
  }

  /// Keys that were never there leave nothing.
  fileprivate func deleteNothing(_ count: Int) throws {
    for key in 0..<count {
      var client = try client(1 + key % nodeCount)
      #expect(try client.delete("nothing\(key)").status == 404)
    }
    #expect(try (1...nodeCount).map(pending) == (1...nodeCount).map { _ in 0 })
  }
}
