import Client
import Platform
import Protocols
import Testing

// Starting what must not start: one line that says what to do, the right exit code, and no harm done.

extension SystemTests {
  @Suite struct StartTests {
    @Test("what must not start says why in one line, and the cluster does not notice")
    func refusals() throws {
      try TestCluster.with("refusals") { cluster in
        func node(_ arguments: [String]) throws -> CommandResult { try cairn(arguments) }
        func expectRefusal(_ result: CommandResult, code: Int32, _ words: String..., line: Int = #line) {
          let says = words.allSatisfy { result.errors.contains($0) }
          #expect(result.code == code && says, "line \(line): code \(result.code): \(result.errors)")
        }
        let free = cluster.base + 1
        // Another process on the directory of a node that runs.
        var arguments = cluster.nodeArguments(1)
        arguments[6] = "127.0.0.1:\(free)"
        arguments[8] = "127.0.0.1:\(free + 1)"
        arguments[10] = "n1=127.0.0.1:\(free + 1)"
        arguments[12] = "127.0.0.1:\(free + 2)"
        expectRefusal(try node(arguments), code: 1, "\(cluster.data)/n1")
        // A port in use.
        arguments = cluster.nodeArguments(1)
        arguments[4] = cluster.directory.path + "/other"
        expectRefusal(try node(arguments), code: 1, "127.0.0.1:\(cluster.httpPort(1))", "in use")
        let base = try cairn(
          "local", "up", "--data", cluster.directory.path + "/second", "--port-base", "\(cluster.base)")
        expectRefusal(base, code: 1, "port \(cluster.httpPort(1))", "--port-base")

        try cluster.local("kill", "2")
        // The directory of another node.
        arguments = cluster.nodeArguments(2)
        arguments[4] = cluster.data + "/n3"
        try cluster.local("stop", "3")
        expectRefusal(try node(arguments), code: 1, "n3")
        // A name that is no member, a setting that is none, a directory that cannot be made.
        arguments = cluster.nodeArguments(2)
        arguments[2] = "n7"
        expectRefusal(try node(arguments), code: 2, "n7")
        expectRefusal(try node(cluster.nodeArguments(2) + ["--set", "snyc=never"]), code: 2, "snyc", "sync")
        arguments = cluster.nodeArguments(2)
        arguments[4] = "/proc/nothing/n2"
        expectRefusal(try node(arguments), code: 1, "/proc/nothing")
        // The address of another node.
        arguments = cluster.nodeArguments(2)
        arguments[8] = "127.0.0.1:\(cluster.clusterPort(3))"
        expectRefusal(try node(arguments), code: 2, arguments[8], "127.0.0.1:\(cluster.clusterPort(2))")
        // An incomplete command line.
        expectRefusal(try node(["node", "--name", "n2"]), code: 2, "--data")
        #expect(try cluster.local("status").contains("serving"))
      }
    }

    @Test("up says which node could not start and why, and leaves nothing that down cannot clean up")
    func earlyEnd() throws {
      let directory = try ScratchDirectory("early-end")
      let data = directory.path + "/cluster"
      try FileTree.create(data)
      // A file where the second node wants its directory.
      try FileTree.write([1], to: data + "/n2")
      let result = try cairn(["local", "up", "--data", data, "--port-base", "\(try Ports.base())"])
      #expect(result.code == 1 && result.errors.contains("n2 exited with code 1"), "\(result.errors)")
      #expect(result.errors.contains(data + "/n2"))
      #expect(try cairn("local", "down", "--wipe", "--data", data).code == 0)
      #expect(!FileTree.exists(data))
    }

    @Test("a new cluster with settings that its nodes refuse is not begun, and the corrected command works")
    func refusedSettings() throws {
      let directory = try ScratchDirectory("refused-settings")
      let data = directory.path + "/a cluster"
      let up = ["local", "up", "--nodes", "1", "--n", "1", "--data", data, "--port-base", "\(try Ports.base())"]
      let result = try cairn(up + ["--set", "partitions=63"])
      #expect(result.code == 2 && result.errors.contains("63 is not a power of two"), "\(result.errors)")
      #expect(!FileTree.exists(data))
      // A log that cannot be written is blamed, and nothing else.
      try FileTree.create(data + "/n1.log")
      let blamed = try cairn(up)
      #expect(
        blamed.code == 1 && blamed.errors.hasPrefix("cairn: cannot write the log \(data)/n1.log"), "\(blamed.errors)")
      try FileTree.remove(data + "/n1.log")
      // So is a lock.
      try FileTree.remove(data + "/local.lock")
      try FileTree.create(data + "/local.lock")
      #expect(try cairn(up).errors.ranges(of: "cannot lock").count == 1)
      try FileTree.remove(data + "/local.lock")
      let output = try cairn(up + ["--set", "partitions=32"]).outputText
      #expect(output.contains("local down --data '\(data)'"), "\(output)")
      // What only the node finds is told in its words.
      #expect(try cairn("local", "stop", "1", "--data", data).code == 0)
      let record = String(decoding: try FileTree.read(data + "/local.json", bytesMax: 1 << 20), as: UTF8.self)
      try FileTree.write(Array(record.replacing("partitions=32", with: "partitions=33").utf8), to: data + "/local.json")
      let told = try cairn("local", "start", "1", "--data", data)
      #expect(
        told.code == 2 && told.errors.hasPrefix("cairn: n1 exited with code 2: cairn: partitions = 33 is"),
        "\(told.errors)")
      #expect(try cairn("local", "down", "--wipe", "--data", data).code == 0)
    }

    @Test("a result that cannot be written is a failure", arguments: [["--help"], ["node", "--help"], ["--version"]])
    func fullDevice(words: [String]) throws {
      let result = try cairn(words, outputPath: "/dev/full")
      #expect(result.code == 1 && result.errors.hasPrefix("cairn: cannot write"), "\(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1)
    }

    @Test("status tells a node that was started by hand from one that is down")
    func byHand() throws {
      try TestCluster.with("by-hand") { cluster in
        try cluster.local("stop", "2")
        #expect(try cluster.local("status").contains("down"))
        let node = try RunningCommand(cluster.nodeArguments(2), name: "by-hand-node")
        try eventually("n2 serves") { try cluster.local("status").contains("serving (not started by local)") }
        #expect(try cluster.pids()[1] == nil)
        let ring = try cairn(["ring", "--url", cluster.url(1)], outputPath: "/dev/full")
        #expect(ring.code == 1 && ring.errors.contains("cannot write"), "\(ring.errors)")
        node.identity.signal(.terminate)
        #expect(try node.finish().end == .exited(0))
      }
    }

    @Test("a command line that is wrong is answered with what to type, and exit code 2")
    func usage() throws {
      for (words, expected) in [
        (["locla"], "did you mean cairn local?"), (["loacl", "up"], "did you mean cairn local up?"),
        (["up"], "did you mean cairn local up?"), (["put", "b", "k", "a", "b"], "cairn put b k 'a b'"),
        (["get", "b", "k", "--url", "https://127.0.0.1:1"], "type http://127.0.0.1:1"),
        (["get", "b", "k", "--url", "http://n1:1"], "names a host"), (["local", "kill"], "type cairn local kill 2"),
        (["store", "verify"], "which directory?"), (["cluster"], "status"), (["local"], "up, status"),
        (["local", "upp"], "cairn local up"),
        (["put", "b"], "usage: cairn put"), (["get", "b", "k", "--ur", "x"], "--url"),
        (["get", "b", "k", "--url", "127.0.0.1:1"], "http://127.0.0.1:1"),
        (["local", "up", "--nodes", "10"], "1 to 9"),
        (["local", "up", "--nodes", "2"], "--n 2"), (["local", "up", "--set", "x"], "KEY=VALUE"),
        (["delete", "b", "k", "--w", "many"], "number from 1 to 255, one, quorum or all"),
        (["get", "b", "k", "--r", "0"], "number from 1 to 255"), (["put", "b", "k", "@"], "@FILE"),
        (["put", "b", "k", "v", "--content-type", "a/b\r\nX: y"], "a/b\\r\\nX: y"),
        (["local", "status", "--data", ""], "--data is empty"), (["node", "--data", ""], "data"),
        (["ge\nt"], "'ge\\nt'"), (["local", "down", "now"], "now"),
      ] as [([String], String)] {
        let result = try cairn(words)
        #expect(result.code == 2 && result.errors.contains(expected), "cairn \(words): \(result.errors)")
      }
      let first = try cairn()
      #expect(first.code == 2 && first.outputText.isEmpty)
      #expect(first.errors.contains("    cairn local up\n    cairn put fruit apple red\n    cairn get fruit apple\n"))
      for words in [["help"], ["help", "local", "up"], ["local", "help"]] {
        let help = try cairn(words)
        #expect(help.code == 0 && help.outputText.contains("usage: cairn"), "\(words)")
      }
      #expect(try cairn("--help").code == 0)
      #expect(try cairn("--version").outputText.hasPrefix("cairn 0."))
    }

    @Test("a node prints ready when it serves and stops cleanly on SIGTERM")
    func foreground() throws {
      let directory = try ScratchDirectory("foreground")
      let base = try Ports.base()
      let command = try RunningCommand(
        [
          "node", "--name", "solo", "--data", directory.path + "/data", "--http", "127.0.0.1:\(base + 18)", "--cluster",
          "127.0.0.1:\(base + 16)", "--initial-cluster", "solo=127.0.0.1:\(base + 16)", "--set", "n_val=1",
        ], name: "foreground-node")
      try eventually("ready is printed") { (command.output + command.errors).contains("ready") }
      var client = HTTPClient(try Endpoint("http://127.0.0.1:\(base + 18)"), timeoutMilliseconds: 10_000)
      #expect(try client.send("GET", "/ping").body == Array("OK".utf8))
      #expect(try client.put("k", [1]).status == 204)
      #expect(try client.get("k").body == [1])
      command.identity.signal(.terminate)
      #expect(try command.finish().end == .exited(0))
    }
  }
}
