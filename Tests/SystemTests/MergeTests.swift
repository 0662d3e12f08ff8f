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

    @Test("what was overwritten goes by itself, and at once when it is asked for; the status says why the rest stays")
    func freed() throws {
      try TestCluster.with("merge-frees", settings: Self.eager) { cluster in
        var client = try cluster.client(1)
        let value = [UInt8](repeating: 7, count: 1000)
        for round in 0..<12 {
          for key in 0..<100 {
            let answer = try client.put("k\(key)", value + [UInt8(round)])
            #expect(answer.status == 204)
          }
        }
        try eventually("merges have begun by themselves") {
          let text = try client.send("GET", "/metrics").body
          return !String(decoding: text, as: UTF8.self).contains("\ncairn_merges_total 0\n")
        }
        for node in 1...3 { _ = try merge(cluster, node) }
        for node in 1...3 {
          for store in try stores(cluster, node) {
            #expect(store["dead_bytes"]?.integer == 0, "\(store.text(indent: false))")
            #expect(store["merge_note"]?.string == "")
          }
        }
        for key in 0..<100 { #expect(try client.get("k\(key)").body == value + [11]) }
      }
    }
  }
}
