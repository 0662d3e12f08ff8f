import Platform
import Protocols
import Replication
import Server
import Testing

struct AdminTests {
  private func fetch(_ path: String, _ shard: RunningShard) throws -> (head: String, body: String) {
    let client = try shard.connect()
    try client.send(Array("GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
    let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
    let parts = answer.split(separator: "\r\n\r\n", maxSplits: 1).map(String.init)
    return (parts.first ?? "", parts.count > 1 ? parts[1] : "")
  }

  @Test("the server's own routes answer")
  func routes() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    #expect(try fetch("/ping", shard).body == "OK")
    #expect(try fetch("/ready", shard).head.hasPrefix("HTTP/1.1 200 "))
    let stats = try fetch("/stats", shard).body
    for name in ["riak_kv_version", "node_gets_total", "vnode_puts_total", "ring_num_partitions", "nodename"] {
      #expect(stats.contains("\"\(name)\":"), "\(name)")
    }
    let sync = #""sync":{"value":"never","source":"--set","default":"always","unit":"always|interval|never"}"#
    #expect(try fetch("/admin/config", shard).body.contains(sync))
    #expect(try fetch("/admin/status", shard).body.contains(#""state":"serving""#))
    let disk =
      #""disk":{"free_bytes":3221225472,"reserve_bytes":536870912,"resume_bytes":671088640,"puts_refused":false,"#
    #expect(try fetch("/admin/status", shard).body.contains(disk))
    #expect(try fetch("/admin/members", shard).body.contains(#""name":"n1""#))
    #expect(try fetch("/admin/ring", shard).body.hasSuffix(#""owners":[["n1"],["n1"]]}"#))
    #expect(await shard.stop() == .clean)
  }

  @Test("hints are shown per node that they are for: how many, since when, what becomes of them, and when that is done")
  func hints() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never", "hints_max=2MiB"])
    let document = try JSON.parse(Array(try fetch("/admin/hints", shard).body.utf8))
    #expect(document["node"]?.string == "n1" && document["count"]?.integer == 1041)
    #expect(document["bytes"]?.integer == 94_000 && document["hints_max"]?.integer == 2 << 20)
    #expect(document["oldest_seconds"]?.integer == 61 && document["refused"]?.integer == 0)
    let targets = try #require(document["targets"]?.array)
    #expect(targets.map { $0["node"]?.string } == ["n2", "n3", "n4"])
    #expect(targets.map { $0["state"]?.string } == ["empty", "waiting", "sending"])
    #expect(targets.map { $0["reason"]?.string } == ["", "n3 is down: not connected", ""])
    #expect(targets.map { $0["count"]?.integer } == [0, 40, 1001])
    #expect(targets[0]["oldest_seconds"] == .null && targets[1]["oldest_seconds"] == .integer(61))
    #expect(targets[1]["per_second"] == .null && targets[1]["eta_seconds"] == .null)
    #expect(targets[2]["in_flight"] == .integer(7) && targets[2]["delivered"] == .integer(2000))
    #expect(targets[2]["per_second"] == .integer(500) && targets[2]["eta_seconds"] == .integer(3))
    #expect(targets[2]["file_bytes"] == .integer(100_000))
    let status = try fetch("/admin/status", shard).body
    #expect(status.contains(#""hints":{"count":1041,"bytes":94000}"#) && status.contains(#""hints_refused":0"#))
    #expect(await shard.stop() == .clean)
  }

  @Test("tombstones are shown per store, with what keeps them, and what that comes to in all")
  func tombstones() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    let document = try JSON.parse(Array(try fetch("/admin/tombstones", shard).body.utf8))
    #expect(document["node"]?.string == "n1" && document["pending"] == .integer(3))
    #expect(document["oldest_seconds"] == .integer(4) && document["bytes"] == .integer(240))
    #expect(document["purged"] == .integer(7) && document["refused"] == .integer(2))
    #expect(document["tombstones_max"] == .integer(100))
    let first = try #require(document["blocked_by"]?.array?.first)
    #expect(document["blocked_by"]?.array?.count == 1 && first["stores"] == .integer(1))
    #expect(first["node"]?.string == "n3" && first["reason"]?.string == "down" && first["seconds"] == .integer(3))
    #expect(first["since"]?.string?.hasSuffix("Z") == true && first["do"]?.string?.hasPrefix("start it again") == true)
    #expect(document["loading"]?.array?.first?["percent"] == .integer(40))
    let store = try #require(document["stores"]?.array?.first)
    #expect(store["store"]?.string == "p005-n3" && store["partition"] == .integer(5))
    #expect(store["reason"]?.string == "n3 is down, not heard for 3 s: not connected")
    #expect(store["blocked_by"]?.array?.map { $0["reason"]?.string } == ["down", "cursor_lag"])
    #expect(store["blocked_by"]?.array?.last?["behind"] == .integer(3))
    let metrics = try fetch("/metrics", shard).body
    #expect(metrics.contains("\ncairn_tombstones_blocked{peer=\"n3\",reason=\"down\"} 3\n"))
    #expect(metrics.contains("\ncairn_tombstones_oldest_seconds 4.2\n"))
    #expect(await shard.stop() == .clean)
  }

  @Test("a round of handing over answers with what was delivered, what is left and why")
  func drain() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    let client = try shard.connect()
    try client.send(
      Array("POST /admin/drain-hints HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8))
    let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
    let body = try #require(answer.split(separator: "\r\n\r\n", maxSplits: 1).last)
    let document = try JSON.parse(Array(body.utf8))
    #expect(answer.hasPrefix("HTTP/1.1 200 "))
    #expect(document["delivered"]?.integer == 3 && document["left"]?.integer == 1041)
    let targets = try #require(document["targets"]?.array)
    #expect(targets.map { $0["node"]?.string } == ["n3", "n4"], "those with nothing left are not told of")
    #expect(targets[0]["reason"]?.string == "n3 is down: not connected")
    #expect(await shard.stop() == .clean)
  }

  @Test("what an operator asks for is answered in its turn, when it is done")
  func task() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    let client = try shard.connect()
    let post = "POST /admin/merge HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    try client.send(
      Array((post + "\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n" + post + "Connection: close\r\n\r\n").utf8))
    let answers = String(decoding: try client.receiveAll(), as: UTF8.self).split(separator: "HTTP/1.1 ").map(
      String.init)
    #expect(answers.count == 3 && answers.allSatisfy { $0.hasPrefix("200 ") })
    #expect(answers.first?.contains(#""records_dropped":7"#) == true && answers[1].hasSuffix("OK"))
    #expect(await shard.stop() == .clean)
  }

  @Test(
    "a snapshot that is not made says so by its status",
    arguments: [
      ("name=there", "409"), ("name=nowhere&store=p001-n3", "404"), ("name=busy", "503"), ("name=..", "400"),
      ("", "400"), ("name=a&store=p1", "400"),
    ])
  func snapshotRefusals(query: String, status: String) async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    let client = try shard.connect()
    let request =
      "POST /admin/snapshot?\(query) HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    try client.send(Array(request.utf8))
    let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
    #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && answer.contains("{\"error\":"), "\(answer)")
    #expect(try fetch("/admin/snapshots", shard).body == #"{"snapshots":[]}"#)
    #expect(await shard.stop() == .clean)
  }
}
