import Client
import Platform
import Protocols
import Testing

extension SystemTests {
  @Suite struct PowerLossTests {
    @Test("a power cut of all three nodes takes no acknowledged write")
    func everybody() throws {
      let power = try PowerCut("power-all")
      try TestCluster.with("power-all", environment: power.environment) { cluster in
        var client = try cluster.client(1)
        for number in 0..<300 { #expect(try client.put("k\(number)", Array("value \(number)".utf8)).status == 204) }
        for number in 0..<20 { #expect(try client.delete("k\(number)").status == 204) }
        cluster.killAll()
        for node in 1...3 { _ = try power.strike("\(cluster.data)/n\(node)") }
        try cluster.local("up")
        var reader = try cluster.client(2)
        for number in 0..<20 { #expect(try reader.get("k\(number)").status == 404) }
        for number in 20..<300 { #expect(try reader.get("k\(number)").body == Array("value \(number)".utf8)) }
      }
    }

    @Test("the power cut of this test does take what nobody synced")
    func unsynced() throws {
      let power = try PowerCut("power-never")
      try TestCluster.with("power-never", settings: ["sync=never"], environment: power.environment) { cluster in
        var client = try cluster.client(1)
        for number in 0..<50 { #expect(try client.put("k\(number)", [1]).status == 204) }
        cluster.killAll()
        var lost: UInt64 = 0
        for node in 1...3 { lost += try power.strike("\(cluster.data)/n\(node)") }
        #expect(lost > 0)
        try cluster.local("up")
        var reader = try cluster.client(2)
        let statuses = try (0..<50).map { try reader.get("k\($0)").status }
        #expect(statuses.contains(404), "\(statuses)")
      }
    }

    @Test("no 2xx leaves before the fdatasync that covers it")
    func trace() throws {
      let power = try PowerCut("power-trace")
      try TestCluster.with("power-trace", nodes: 1, environment: power.environment) { cluster in
        var client = try cluster.client(1)
        for number in 0..<100 { #expect(try client.put("k\(number)", Array("value".utf8)).status == 204) }
        cluster.killAll()
        // One client, one request at a time, one node: at each answer to a put, the whole journal must be durable.
        let entries = try power.entries()
        let trace = answersBeforeSync(entries)
        #expect(trace.answers >= 100 && trace.journalWrites >= 100 && trace.early == 0, "\(trace)")
        #expect(answersBeforeSync(entries.filter { $0.kind != "S" }).early >= 100, "the trace would show it")
      }
    }

    private func answersBeforeSync(
      _ ledger: [(kind: Substring, file: PowerCut.FileKey, size: UInt64)]
    ) -> (answers: Int, early: Int, journalWrites: Int) {
      var journal: Set<PowerCut.FileKey> = []
      var written: [PowerCut.FileKey: UInt64] = [:]
      var durable: [PowerCut.FileKey: UInt64] = [:]
      var result = (answers: 0, early: 0, journalWrites: 0)
      for entry in ledger {
        switch entry.kind {
        case "J": journal.insert(entry.file)
        case "W" where journal.contains(entry.file):
          written[entry.file] = entry.size
          result.journalWrites += 1
        case "S": durable[entry.file] = entry.size
        case "A":
          result.answers += 1
          if written.contains(where: { durable[$0.key, default: 0] < $0.value }) { result.early += 1 }
        default: break
        }
      }
      return result
    }
  }
}
