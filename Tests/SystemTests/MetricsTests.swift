import Client
import Platform
import Protocols
import Testing

// What a running cluster says of itself after requests whose number is known.

extension SystemTests {
  @Suite struct MetricsTests {
    /// Samples of `/metrics` by name and labels.
    private func metrics(_ cluster: TestCluster, _ node: Int) throws -> [String: Double] {
      var client = try cluster.client(node)
      let answer = try client.send("GET", "/metrics")
      guard answer.status == 200 else { throw Stuck("/metrics answered \(answer.status)") }
      var samples: [String: Double] = [:]
      for line in String(decoding: answer.body, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("#") {
        guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else {
          throw Stuck("no sample: \(line)")
        }
        samples[String(line[..<space])] = value
      }
      return samples
    }

    private func requests(_ operation: String, _ outcome: String) -> String {
      "cairn_requests_total{operation=\"\(operation)\",outcome=\"\(outcome)\"}"
    }

    private func load(_ cluster: TestCluster) throws {
      var one = try cluster.client(1)
      var two = try cluster.client(2)
      var three = try cluster.client(3)
      for number in 0..<20 { #expect(try one.put("k\(number)", [UInt8(number)]).status == 204) }
      #expect(try one.put("k", [1], query: "?w=4").status == 400)
      for number in 0..<10 { #expect(try two.get("k\(number)").status == 200) }
      for number in 0..<2 { #expect(try two.get("missing\(number)").status == 404) }
      for number in 0..<3 { #expect(try three.delete("k\(number)").status == 204) }
      #expect(try three.delete("never").status == 404)
    }

    @Test("every request is counted once where its client is connected, by outcome, and every copy where it is kept")
    func counts() throws {
      try TestCluster.with("metrics", settings: ["request_timeout=2s"]) { cluster in
        try load(cluster)
        let one = try metrics(cluster, 1)
        let two = try metrics(cluster, 2)
        let three = try metrics(cluster, 3)
        let expected: [(samples: [String: Double], operation: String, outcome: String, count: Double)] = [
          (one, "put", "ok", 20), (one, "put", "invalid", 1), (one, "get", "ok", 0), (two, "get", "ok", 10),
          (two, "get", "not_found", 2), (three, "delete", "ok", 3), (three, "delete", "not_found", 1),
          (three, "put", "ok", 0),
        ]
        for (samples, operation, outcome, count) in expected {
          #expect(samples[requests(operation, outcome)] == count, "\(operation) \(outcome)")
        }
        #expect(one["cairn_request_duration_seconds_count{operation=\"put\"}"] == 21)
        #expect(two["cairn_request_duration_seconds_bucket{operation=\"get\",le=\"+Inf\"}"] == 12)
        #expect(one["cairn_request_failures_total{reason=\"invalid\"}"] == 1)
        #expect(one["cairn_coordinated_operations_total{operation=\"put\"}"] == 20)
        for samples in [one, two, three] {
          #expect(samples["cairn_serving"] == 1 && samples["cairn_stores{role=\"active\"}"] == 64)
          #expect(samples["cairn_sync_duration_seconds_count"] ?? 0 > 0)
          #expect(samples["cairn_journal_segments"] ?? 0 > 0)
        }
        try eventually("all copies are written and counted") {
          for node in 1...3 {
            let samples = try metrics(cluster, node)
            guard samples["cairn_keys"] == 17, samples["cairn_tombstones"] == 3 else { return false }
            guard samples["cairn_store_operations_total{operation=\"put\"}"] == 23 else { return false }
          }
          return true
        }
        try stats(cluster)
        try failures(cluster)
      }
    }

    private func stats(_ cluster: TestCluster) throws {
      var client = try cluster.client(1)
      let stats = try JSON.parse(try client.send("GET", "/stats").body)
      #expect(stats["node_puts_total"]?.integer == 20 && stats["node_puts"]?.integer == 20)
      #expect(stats["node_gets_total"]?.integer == 0 && stats["node_get_fsm_time_100"]?.integer == 0)
      let times = ["median", "95", "99", "100"].map { stats["node_put_fsm_time_\($0)"]?.integer ?? -1 }
      #expect(times[0] > 0 && times == times.sorted(), "\(times)")
      #expect(stats["node_put_fsm_time_mean"]?.integer ?? 0 > 0)
      let owned = (stats["ring_ownership"]?.string ?? "").matches(of: /\{'n\d',(\d+)\}/).compactMap { Int($0.output.1) }
      #expect(owned.count == 3 && owned.reduce(0, +) == 64)
      #expect(stats["vnode_puts_total"]?.integer == 23)
      #expect(stats["sys_wordsize"]?.integer == 8 && stats["uptime"] != nil)
      // What is not done here has no name, rather than a 0.
      #expect(stats["pbc_active"] == nil)
      #expect(stats["read_repairs_total"]?.integer == 0 && stats["read_repairs"]?.integer == 0)
    }

    private func failures(_ cluster: TestCluster) throws {
      try cluster.local("kill", "2")
      try cluster.local("kill", "3")
      try eventually("node 1 knows that it is alone") {
        let samples = try metrics(cluster, 1)
        return samples["cairn_peer_up{peer=\"n2\"}"] == 0 && samples["cairn_peer_up{peer=\"n3\"}"] == 0
      }
      var one = try cluster.client(1)
      for _ in 0..<2 { #expect(try one.get("k9").status == 503) }
      #expect(try one.get("k9", query: "?r=1&pr=2").status == 503)
      #expect(try one.put("k9", [1]).status == 503)
      #expect(try one.get("k9", query: "?r=1").status == 200)
      let samples = try metrics(cluster, 1)
      #expect(samples[requests("get", "unavailable")] == 3 && samples[requests("put", "unavailable")] == 1)
      #expect(samples[requests("get", "ok")] == 1)
      #expect(samples["cairn_quorum_failures_total{quorum=\"r\"}"] == 2)
      #expect(samples["cairn_quorum_failures_total{quorum=\"pr\"}"] == 1)
      #expect(samples["cairn_quorum_failures_total{quorum=\"w\"}"] == 1)
      #expect(samples["cairn_quorum_failures_total{quorum=\"dw\"}"] == 0)
    }
  }
}
