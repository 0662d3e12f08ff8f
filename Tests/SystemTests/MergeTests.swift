import Client
import Platform
import Primitives
import Protocols
import Testing

@testable import cairn

extension SystemTests {
  @Suite struct MergeTests {
    /// Small files, looked at all the time: what takes a day otherwise takes seconds.
    private static let eager = [
      "max_file_size=64KiB", "merge_check_interval=100ms", "merge_small_file=4KiB", "partitions=4",
    ]

    private func merge(_ cluster: TestCluster, _ node: Int) throws -> JSON {
      var client = try cluster.client(node)
      let answer = try client.send("POST", "/admin/merge")
      #expect(answer.status == 200, "\(String(decoding: answer.body, as: UTF8.self))")
      return try JSON.parse(answer.body)
    }

    private func stores(_ cluster: TestCluster, _ node: Int) throws -> [JSON] {
      var client = try cluster.client(node)
      return try JSON.parse(client.send("GET", "/admin/status").body)["stores"]?.array ?? []
    }

    @Test("kill -9 of nodes that merge all the time, under load, loses and revives nothing", arguments: [UInt64(3)])
    func killed(seed: UInt64) throws {
      try TestCluster.with("merge-kills", settings: Self.eager) { cluster in
        var generator = SeededGenerator(seed: seed)
        let load = Load(6, on: cluster, seed: seed)
        try load.running {
          for _ in 1...6 {
            let node = 1 + generator.below(3)
            try load.advance(40)
            try cluster.kill(node, of: load)
            try load.advance(20)
            try cluster.start(node, of: load)
          }
          try load.advance(40)
        }
        #expect(try load.contradictions(in: cluster) == [])
        for node in 1...3 { _ = try merge(cluster, node) }
        #expect(try load.contradictions(in: cluster) == [])
        try cluster.local("down")
        let verified = try cairn(["store", "verify"] + (1...3).map { "\(cluster.data)/n\($0)" })
        #expect(verified.code == 0, "\(verified.outputText)")
      }
    }

    @Test("offline, what was overwritten goes from a killed node's files, and what its journal held is there")
    func offline() throws {
      let settings = ["max_file_size=64KiB", "merge_window=never", "partitions=4"]
      try TestCluster.with("merge-offline", nodes: 1, settings: settings) { cluster in
        var client = try cluster.client(1)
        let value = [UInt8](repeating: 7, count: 1000)
        for round in 0..<9 {
          for key in 0..<60 { #expect(try client.put("k\(key)", value + [UInt8(round)]).status == 204) }
        }
        let node = cluster.data + "/n1"
        let running = try cairn("store", "merge", node)
        #expect(running.code == 1 && running.errors.contains("in use by a running node"), "\(running.errors)")
        try cluster.local("kill", "1")
        let merged = try cairn("store", "merge", node, "--json")
        #expect(merged.code == 0, "\(merged.errors)")
        let stores = try JSON.parse(merged.output).array ?? []
        #expect(stores.allSatisfy { $0["dead_bytes"]?.integer == 0 })
        // Those of the partitions; the fifth is the quarantine, which is empty.
        #expect(stores.count { $0["dead_bytes_before"]?.integer ?? 0 > 0 } == 4)
        #expect(try cairn("store", "merge", node).outputText.contains("5 stores: "))
        #expect(try cairn("store", "verify", node).outputText.contains("clean: 5 stores, 60 records"))
        try cluster.local("start", "1")
        client = try cluster.client(1)
        for key in 0..<60 { #expect(try client.get("k\(key)").body == value + [8]) }
        let nowhere = try cairn("store", "merge", cluster.data)
        #expect(nowhere.code == 2 && nowhere.errors.contains("name the directory of one of them"))
      }
    }

    @Test("what was overwritten goes by itself, and at once when it is asked for; the status says why the rest stays")
    func freed() throws {
      try TestCluster.with("merge-frees", settings: Self.eager) { cluster in
        var client = try cluster.client(1)
        let value = [UInt8](repeating: 7, count: 1000)
        for round in 0..<12 {
          for key in 0..<100 {
            let answer = try client.put("k\(key)", value + [UInt8(round)], query: "?w=3")
            #expect(answer.status == 204)
          }
        }
        try eventually("merges have begun by themselves") {
          let text = try client.send("GET", "/metrics").body
          return !String(decoding: text, as: UTF8.self).contains("\ncairn_merges_total 0\n")
        }
        for node in 1...3 { _ = try merge(cluster, node) }
        // Asked for again only where something is dead: a round begins new files, small ones, which are merged by
        // themselves some time later, and while they are that is what is said.
        try eventually("nothing dead is left, and nothing is said about it") {
          let stores = try (1...3).map { try self.stores(cluster, $0) }
          for node in 1...3 where stores[node - 1].contains(where: { $0["dead_bytes"]?.integer != 0 }) {
            _ = try merge(cluster, node)
          }
          return stores.joined().allSatisfy { $0["dead_bytes"]?.integer == 0 && $0["merge_note"]?.string == "" }
        }
        for key in 0..<100 { #expect(try client.get("k\(key)").body == value + [11]) }
      }
    }
  }
}
