import Client
import Platform
import Primitives
import Protocols
import Testing

// `cairn bench` against a real cluster: short runs, and a node that goes away in the middle of one.

extension SystemTests {
  @Suite struct BenchTests {
    private func bench(_ cluster: TestCluster, _ words: String...) -> [String] {
      ["bench", "--json"] + (1...3).flatMap { ["--url", cluster.url($0)] } + words
    }

    private func sum(_ report: JSON, _ field: String) -> Int {
      (report["operations"]?.array ?? []).reduce(0) { $0 + ($1[field]?.integer ?? 0) }
    }

    @Test("closed and open loops measure what a cluster does, and what they say is there afterwards")
    func loops() throws {
      try TestCluster.with("bench") { cluster in
        let csv = cluster.directory.path + "/seconds.csv"
        let closed = try cairn(
          bench(
            cluster, "--op", "put", "--duration", "1s", "--warmup", "100ms", "--keys", "50", "--value-size", "20",
            "--depth", "4", "--csv", csv))
        #expect(closed.code == 0, "\(closed.errors)")
        var report = try JSON.parse(closed.output)
        #expect(report["loop"]?.string == "closed" && report["coordinated_omission"]?.bool == true)
        #expect(sum(report, "ops") > 0 && sum(report, "errors") == 0 && report["errors"]?.array == [])
        let rows = String(decoding: try FileTree.read(csv, bytesMax: 1 << 20), as: UTF8.self).split(separator: "\n")
        #expect(rows.count >= 2 && rows[0].hasPrefix("second,ops"))
        var client = try cluster.client(2)
        let stored = try client.send("GET", objectPath(type: nil, bucket: "bench", key: "0000000000000007"))
        #expect(stored.body.count == 20)

        let open = try cairn(
          bench(
            cluster, "--preload", "--keys", "100", "--bucket", "open", "--op", "get", "--rate", "200", "--duration",
            "1s", "--warmup", "0s", "--distribution", "zipf"))
        #expect(open.code == 0, "\(open.errors)")
        report = try JSON.parse(open.output)
        // What was due is accounted for, one way or another; every key was stored first.
        #expect(sum(report, "ops") + sum(report, "errors") + (report["unsent"]?.integer ?? 0) == 200)
        #expect(sum(report, "not_found") == 0 && report["loop"]?.string == "open")
      }
    }

    @Test("Protocol Buffers carry the same load: nodes named by either address, counted as over HTTP")
    func protocolBuffers() throws {
      try TestCluster.with("bench-pb") { cluster in
        func run(_ words: String...) throws -> JSON {
          let run = try cairn(["bench", "--json", "--protocol", "pb", "--duration", "500ms", "--warmup", "0s"] + words)
          #expect(run.code == 0 && run.errors.isEmpty, "\(run.errors)")
          return try JSON.parse(run.output)
        }
        var client = try cluster.client(2)
        let puts = try run(
          "--url", cluster.url(1), "--preload", "--keys", "50", "--value-size", "20", "--op", "mixed", "--mix",
          "get=1,put=1", "--connections", "3", "--depth", "4", "--r", "1", "--w", "all", "--dw", "1")
        #expect(puts["protocol"]?.string == "pb" && puts["errors"]?.array == [])
        #expect(puts["operations"]?.array?.allSatisfy { ($0["ops"]?.integer ?? 0) > 0 } == true)
        #expect(sum(puts, "not_found") == 0 && sum(puts, "errors") == 0)
        let stored = try client.send("GET", objectPath(type: nil, bucket: "bench", key: "0000000000000007"))
        #expect(stored.status == 200 && stored.body.count == 20)

        let direct = ["--url", "pb://127.0.0.1:\(cluster.pbPort(3))", "--url", cluster.url(2)]
        let absent = try run(
          direct[0], direct[1], direct[2], direct[3], "--bucket", "none", "--op", "get", "--rate", "100")
        #expect(sum(absent, "not_found") == sum(absent, "ops") && sum(absent, "errors") == 0)
        #expect(sum(absent, "ops") + (absent["unsent"]?.integer ?? 0) == 50)
        let refused = try cairn(["bench", "--protocol", "pb", "--url", "pb://127.0.0.1:\(cluster.httpPort(1))"])
        #expect(refused.code == 1 && refused.errors.contains("does not speak Protocol Buffers"), "\(refused.errors)")
        let tooMany = try cairn([
          "bench", "--protocol", "pb", "--url", cluster.url(1), "--op", "put", "--w", "9", "--duration", "100ms",
          "--warmup", "0s",
        ])
        #expect(tooMany.code == 1 && tooMany.errors.contains("n_val_violation"), "\(tooMany.errors)")
      }
    }

    @Test("a node that is killed in the middle costs what was in flight on its connections, and nothing else")
    func nodeLost() throws {
      try TestCluster.with("bench-lost") { cluster in
        var client = try cluster.client(1)
        func puts() throws -> Int { try puts(&client) }
        func puts(_ client: inout HTTPClient) throws -> Int {
          try JSON.parse(try client.send("GET", "/admin/status").body)["counters"]?["puts"]?.integer ?? 0
        }
        let run = try RunningCommand(
          bench(cluster, "--op", "put", "--duration", "1h", "--warmup", "0s", "--connections", "6", "--depth", "8"),
          name: "bench-lost-run")
        try eventually("the load has begun") { try puts() > 50 }
        try cluster.local("kill", "2")
        let atKill = try puts()
        try eventually("it goes on") { try puts() > atKill + 50 }
        try cluster.local("start", "2")
        // The connections of the next one that goes find the one that came back.
        var second = try cluster.client(2)
        try eventually("all see all") { try (1...3).allSatisfy { try cluster.view($0).missing.isEmpty } }
        let atStart = try puts(&second)
        try cluster.local("kill", "3")
        try eventually("the node that was lost has load again") { try puts(&second) > atStart + 50 }
        try cluster.local("start", "3")
        run.identity.signal(.terminate)
        let result = try run.finish()
        #expect(result.code == 0, "\(result.errors)")
        let report = try JSON.parse(result.output)
        // Six connections of eight requests, two on the node that went first, four at most on the one that went next.
        let lost = try #require(report["lost"]?.integer)
        #expect(sum(report, "ops") > 100 && (1...48).contains(lost) && sum(report, "lost") == lost)
        #expect(sum(report, "errors") == 0 && report["errors"]?.array == [], "\(report.text())")
        #expect((3...6).contains(report["connections_lost"]?.integer ?? 0))
        #expect(report["around_break"]?["after"]?["ops"]?.integer ?? 0 > 50)
        // Nobody there at all.
        for node in 1...3 { try cluster.local("stop", "\(node)") }
        let nobody = try cairn(bench(cluster))
        #expect(nobody.code == 1 && nobody.errors.contains("cannot reach \(cluster.url(3))"), "\(nobody.errors)")
      }
    }

    @Test("ctrl-C ends a run early, and what was measured is printed")
    func interrupted() throws {
      try TestCluster.with("bench-interrupted") { cluster in
        let run = try RunningCommand(
          bench(cluster, "--op", "put", "--duration", "1h", "--warmup", "0s"), name: "bench-interrupted-run")
        var client = try cluster.client(1)
        try eventually("the load has begun") {
          let status = try JSON.parse(try client.send("GET", "/admin/status").body)
          return status["counters"]?["puts"]?.integer ?? 0 > 50
        }
        run.identity.signal(.terminate)
        let result = try run.finish()
        let report = try JSON.parse(result.output)
        #expect(result.code == 0 && report["interrupted"]?.bool == true && sum(report, "ops") > 0, "\(result.errors)")
      }
    }

    @Test("the engine's benchmark that is interrupted says so and leaves no data behind")
    func engineInterrupted() throws {
      let data = try ScratchDirectory("bench-engine-data")
      let command = try RunningCommand(
        ["bench", "engine", "--workload", "put", "--keys", "100000000", "--data", data.path], name: "bench-engine")
      try eventually("keys are written") { try FileTree.names(in: data.path).count == 1 }
      command.identity.signal(.interrupt)
      let result = try command.finish()
      #expect(result.code == 1 && result.errors == "cairn: interrupted after 0 rows of 2\n", "\(result.errors)")
      #expect(try FileTree.names(in: data.path).isEmpty)
    }
  }
}
