import Client
import Platform
import Primitives
import Protocols
import Storage
import Testing

@testable import cairn

extension SystemTests {
  @Suite struct SnapshotTests {
    private static let settings = [
      "max_file_size=64KiB", "merge_check_interval=100ms", "merge_small_file=4KiB", "partitions=8",
    ]

    /// The snapshots that a node knows, and whether each is whole.
    private func listed(_ cluster: TestCluster, _ node: Int) throws -> [String: Bool] {
      var client = try cluster.client(node)
      let answer = try client.send("GET", "/admin/snapshots")
      #expect(answer.status == 200)
      var found: [String: Bool] = [:]
      for entry in try JSON.parse(answer.body)["snapshots"]?.array ?? [] {
        if let name = entry["name"]?.string { found[name] = entry["complete"] == .bool(true) }
      }
      return found
    }

    /// The steps of Docs/Operations.md for one node.
    private func restore(_ name: String, _ directory: String) throws {
      var files = PosixFileSystem()
      try files.rename(directory, to: directory + ".old")
      for part in ["node", "stores"] {
        try FileTree.create(directory)
        try FileTree.copy("\(directory).old/snapshots/\(name)/\(part)", to: "\(directory)/\(part)")
      }
    }

    @Test("kill -9 of a node that makes a snapshot under load: whole or told from one, and the node loses nothing")
    func killed() throws {
      try TestCluster.with("snapshot-kills", settings: Self.settings) { cluster in
        let load = Load(4, on: cluster, seed: 11)
        try load.running {
          try load.advance(60)
          for round in 0..<4 {
            let socket = try BlockingSocket(
              connectingTo: SocketAddress(host: [127, 0, 0, 1], port: UInt16(cluster.httpPort(1))),
              timeoutMilliseconds: 20_000)
            let request = "POST /admin/snapshot?name=k\(round) HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
            try socket.send(Array(request.utf8))
            // Begun by the time that something of it is on the disk.
            try eventually("snapshot k\(round) has begun") {
              FileTree.exists("\(cluster.data)/n1/snapshots/k\(round).partial")
                || FileTree.exists("\(cluster.data)/n1/snapshots/k\(round)")
            }
            try cluster.kill(1, of: load)
            try load.advance(10)
            try cluster.start(1, of: load)
          }
          let good = try cairn("store", "snapshot", "\(cluster.data)/n1", "--name", "good", "--json")
          #expect(good.code == 0, "\(good.errors)")
          #expect(try JSON.parse(good.output)["stores"]?.integer == 11)
          try load.advance(40)
        }
        #expect(try load.contradictions(in: cluster) == [])
        let snapshots = try listed(cluster, 1)
        #expect(snapshots["good"] == true && snapshots.values.allSatisfy { $0 }, "\(snapshots)")
        try cluster.local("down")
        let directories = snapshots.keys.map { "\(cluster.data)/n1/snapshots/\($0)" }
        let verified = try cairn(["store", "verify", "\(cluster.data)/n1"] + directories)
        #expect(verified.code == 0, "\(verified.outputText)")
      }
    }

    @Test("a cluster restored from snapshots of all its nodes has what was acknowledged before, and nothing later")
    func restored() throws {
      try TestCluster.with("snapshot-restore", settings: Self.settings) { cluster in
        var client = try cluster.client(2)
        for key in 0..<60 { #expect(try client.put("k\(key)", Array("value \(key)".utf8)).status == 204) }
        for key in 0..<20 { #expect(try client.delete("k\(key)").status == 204) }
        for node in 1...3 {
          let directory = "\(cluster.data)/n\(node)"
          let made = try cairn("store", "snapshot", directory, "--name", "s", "--url", cluster.url(node))
          #expect(made.code == 0 && made.outputText.contains("11 stores"), "\(made.errors)")
        }
        for key in 20..<60 { #expect(try client.put("k\(key)", [1]).status == 204) }
        #expect(try client.put("later", [1]).status == 204)
        try cluster.local("down")
        for node in 1...3 { try restore("s", "\(cluster.data)/n\(node)") }
        try cluster.local("up")
        for node in 1...3 {
          var client = try cluster.client(node)
          for key in 0..<20 { #expect(try client.get("k\(key)").status == 404) }
          for key in 20..<60 { #expect(try client.get("k\(key)").body == Array("value \(key)".utf8)) }
          #expect(try client.get("later").status == 404)
          #expect(try client.put("again \(node)", [2]).status == 204)
        }
        try cluster.local("down")
        let verified = try cairn(["store", "verify"] + (1...3).map { "\(cluster.data)/n\($0)" })
        #expect(verified.code == 0, "\(verified.outputText)")
      }
    }

    @Test("a node that does not run has its snapshot too, and what cannot be made is said")
    func offline() throws {
      try TestCluster.with("snapshot-offline", nodes: 1, settings: Self.settings) { cluster in
        var client = try cluster.client(1)
        for key in 0..<30 { #expect(try client.put("k\(key)", Array("value \(key)".utf8)).status == 204) }
        let node = "\(cluster.data)/n1"
        let wrong = try cairn("store", "snapshot", node, "--url", "http://127.0.0.1:1")
        #expect(wrong.code == 1 && wrong.errors.contains("none of these is node n1"), "\(wrong.errors)")
        // Killed: the journal holds what the data files may lack.
        try cluster.local("kill", "1")
        #expect(try cairn("store", "snapshot", node, "--name", "off").code == 0)
        let verified = try cairn("store", "verify", "\(node)/snapshots/off")
        #expect(verified.code == 0 && verified.outputText.contains("30 records"), "\(verified.outputText)")
        let again = try cairn("store", "snapshot", node, "--name", "off")
        #expect(again.code == 1 && again.errors.contains("there already"), "\(again.errors)")
        for words in [["--name", "a/b"], ["--name", "x.partial"], ["--store", "p1"]] {
          #expect(try cairn(["store", "snapshot", node] + words).code == 2)
        }
        let store = try #require(FileTree.names(in: "\(node)/stores").first)
        let one = try cairn("store", "snapshot", node, "--name", "one", "--store", store)
        #expect(one.code == 0, "\(one.errors)")
        #expect(try FileTree.names(in: "\(node)/snapshots/one/stores") == [store])
        #expect(try cairn("store", "inspect", "\(node)/snapshots/one/stores/\(store)").code == 0)
        try cluster.local("start", "1")
        client = try cluster.client(1)
        for key in 0..<30 { #expect(try client.get("k\(key)").body == Array("value \(key)".utf8)) }
      }
    }
  }
}
