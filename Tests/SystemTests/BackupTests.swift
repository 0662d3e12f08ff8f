import Client
import Platform
import Primitives
import Protocols
import Testing

// A backup of a cluster at work, and clusters that are filled from it.

extension SystemTests {
  @Suite struct BackupTests {
    /// Deletes are collected at once, and hints take their time: both go on while the backup is made.
    private static let settings = DeletePromise.settings + ["handoff_rate=64KiB", "max_file_size=256KiB"]
    private static let keys = 240

    @Test(
      "a cluster under load, with hints, is restored into 3, 5 and 1 nodes: all that was acknowledged, none deleted")
    func underLoad() throws {
      try TestCluster.with("backup-load", settings: Self.settings) { cluster in
        let place = try ScratchDirectory("backup")
        let directory = place.path + "/b"
        var witness = BackupWitness()
        let load = Load(4, on: cluster, seed: 31, paddingMax: 2000)
        try load.running {
          try load.advance(30)
          try writeWithHints(cluster, load, &witness)
          try load.advance(20)
          witness.begins(load)
          let made = try cairn("backup", directory, "--data", cluster.data, "--json")
          #expect(made.code == 0, "\(made.errors)")
          witness.ends(load)
          try load.advance(20)
        }
        #expect(try load.contradictions(in: cluster) == [])
        let hints = try [1, 2].map { try FileTree.names(in: "\(directory)/node-\($0)/stores/hints-3") }
        #expect(hints.contains { $0.count > 1 }, "there were hints to be had")
        for node in 1...3 { #expect(try cluster.snapshots(node) == [], "n\(node) keeps none") }
        let verified = try cairn("backup", "verify", directory)
        #expect(verified.code == 0 && verified.outputText.hasPrefix("whole: 3 nodes, "), "\(verified.outputText)")
        try cluster.local("down")
        for nodes in [3, 5, 1] { try restore(directory, into: nodes, witness) }
      }
    }

    /// Some keys that all have, of which half are deleted while n3 is down; some that n3 never hears of before.
    private func writeWithHints(_ cluster: TestCluster, _ load: Load, _ witness: inout BackupWitness) throws {
      var one = try cluster.client(1)
      for key in 0..<Self.keys {
        #expect(try one.put("old\(key)", TestCluster.value(key, bytes: 500)).status == 204)
      }
      try cluster.kill(3, of: load)
      var two = try cluster.client(2)
      for key in 0..<Self.keys {
        if key % 2 == 0 { #expect(try two.delete("old\(key)").status == 204) }
        #expect(try two.put("new\(key)", TestCluster.value(key, bytes: 2000)).status == 204)
        witness.values["old\(key)"] = key % 2 == 0 ? .some(nil) : TestCluster.value(key, bytes: 500)
        witness.values["new\(key)"] = TestCluster.value(key, bytes: 2000)
      }
      try cluster.start(3, of: load)
      try cluster.untilUp()
    }

    private func restore(_ directory: String, into nodes: Int, _ witness: BackupWitness) throws {
      try TestCluster.with("restored-\(nodes)", nodes: nodes, settings: ["partitions=16"]) { cluster in
        let done = try cairn("restore", directory, "--data", cluster.data, "--json")
        #expect(done.code == 0, "\(done.errors)")
        var client = try cluster.client(nodes)
        let wrong = try witness.contradictions(&client)
        #expect(wrong.isEmpty, "restored into \(nodes): \(wrong.count), \(wrong.prefix(8))")
        let again = try cairn("restore", directory, "--data", cluster.data)
        #expect(again.code == 1 && again.errors.contains("is not empty ("), "\(again.errors)")
        let resumed = try cairn("restore", directory, "--data", cluster.data, "--resume", "--json")
        #expect(resumed.code == 0, "\(resumed.errors)")
        let document = try JSON.parse(resumed.output)
        #expect(document["stored"] == .integer(0) && document["present"] == document["values"])
        let own = try cairn("backup", directory, "--data", cluster.data)
        #expect(own.code == 1 && own.errors.contains("is not empty, a backup is in it"), "\(own.errors)")
      }
    }

    @Test("all that is stored with a value comes along, under any name; --resume writes over nothing that is another's")
    func everything() throws {
      let targets = [
        "/buckets/b/keys/k", "/buckets/%2E/keys/%2E%2E", "/buckets/%FF%00/keys/a%2Fb%20%25", "/buckets/b/keys/empty",
      ]
      let headers = [
        ("Content-Type", "text/html; charset=utf-8"), ("X-Riak-Meta-Colour", "red, and \u{FC}"),
        ("Content-Encoding", "gzip"), ("Link", "</buckets/x/keys/y>; riaktag=\"up\""),
      ]
      let place = try ScratchDirectory("backup")
      let directory = place.path + "/b"
      var seen: [[String?]] = []
      func see(_ client: inout HTTPClient) throws -> [[String?]] {
        try targets.map { target in
          let answer = try client.send("GET", target)
          let kept = ["content-type", "x-riak-meta-colour", "content-encoding", "link"].map { answer.header($0) }
          return ["\(answer.status)", String(decoding: answer.body, as: UTF8.self)] + kept
        }
      }
      try TestCluster.with("backup-one", nodes: 1, settings: DeletePromise.settings) { cluster in
        var client = try cluster.client(1)
        for (number, target) in targets.enumerated() {
          let value = number == 3 ? [] : Array("value \(number)".utf8)
          #expect(try client.send("PUT", target, headers: headers, body: value).status == 204)
        }
        seen = try see(&client)
        #expect(seen.allSatisfy { $0[0] == "200" && $0[5]?.contains("riaktag=\"up\"") == true }, "\(seen)")
        #expect(try cairn("backup", directory, "--data", cluster.data).code == 0)
      }
      try TestCluster.with("restored-one", nodes: 1, settings: DeletePromise.settings) { cluster in
        let done = try cairn("restore", directory, "--data", cluster.data)
        #expect(done.code == 0 && done.outputText.hasPrefix("restored 4 values ("), "\(done.errors)")
        var client = try cluster.client(1)
        #expect(try see(&client) == seen)
        #expect(try client.send("PUT", targets[0], headers: headers, body: Array("mine".utf8)).status == 204)
        let resumed = try cairn("restore", directory, "--data", cluster.data, "--resume")
        #expect(resumed.code == 1 && resumed.errors.contains("b/k is there with another value"), "\(resumed.errors)")
        #expect(try client.send("GET", targets[0]).body == Array("mine".utf8))
      }
    }

    @Test("an old copy is not slipped back in: neither into the cluster that it is of, nor into a node's directory")
    func refused() throws {
      try TestCluster.with("backup-refused", nodes: 3, settings: DeletePromise.settings) { cluster in
        let place = try ScratchDirectory("backup")
        let directory = place.path + "/b"
        var client = try cluster.client(1)
        #expect(try client.put("gone", [1]).status == 204)
        #expect(try client.put("stays", [1]).status == 204)
        #expect(try cairn("backup", directory, "--data", cluster.data).code == 0)
        #expect(try client.delete("gone").status == 204)
        #expect(try client.put("stays", [2]).status == 204)
        let same = try cairn("restore", directory, "--data", cluster.data)
        #expect(
          same.code == 1 && same.errors.contains("belongs to the cluster that this backup is of"), "\(same.errors)")
        #expect(same.errors.contains("start it with an empty data directory"), "\(same.errors)")
        #expect(try cairn("restore", directory, "--data", cluster.data, "--resume").code == 1)
        for words in [["--data", "\(cluster.data)/n1"], ["\(cluster.data)/n1"]] {
          let node = try cairn(["restore", directory] + words)
          #expect(node.code == 1 && node.errors.contains("is the data directory of node n1"), "\(node.errors)")
        }
        #expect(try client.get("gone").status == 404)
        #expect(try client.get("stays").body == [2])
        // What the text says to do instead.
        try cluster.local("kill", "2")
        try FileTree.remove("\(cluster.data)/n2")
        try cluster.local("start", "2")
        try cluster.untilWhole()
        client = try cluster.client(2)
        #expect(try client.get("gone", query: "?r=1").status == 404)
        try eventually("n2 has it again") { try client.get("stays", query: "?r=1").body == [2] }
      }
    }
  }
}

/// What a backup must hold, from what clients were told before it began and while it was made.
private struct BackupWitness {
  /// Keys that nobody touches meanwhile; nil for what was deleted.
  var values: [String: [UInt8]?] = [:]
  private var before: [LoadRecord] = []
  private var after: [LoadRecord] = []

  mutating func begins(_ load: Load) { before = load.clients.map(\.record) }
  mutating func ends(_ load: Load) { after = load.clients.map(\.record) }

  /// Every key that is not as it must be.
  func contradictions(_ client: inout HTTPClient) throws -> [String] {
    var wrong: [String] = []
    for (key, value) in values.sorted(by: { $0.key < $1.key }) {
      let answer = try client.get(key)
      let found = answer.status == 200 ? answer.body : nil
      if ![200, 404].contains(answer.status) || found != value { wrong.append("\(key): \(answer.status)") }
    }
    for (old, new) in zip(before, after) {
      for (key, acceptable) in old.acceptable.sorted(by: { $0.key < $1.key }) {
        guard let found = LoadClient.version(in: try client.get(key)) else {
          wrong.append("\(key) cannot be read")
          continue
        }
        if acceptable.contains(found) { continue }
        // Written while the backup was made, or on its way when it began; or deleted then. Nothing from before.
        let isTouched = new.acceptable[key] != acceptable || new.lastKey == key
        if let found, found >= old.lastVersion { continue }
        if found == nil, isTouched { continue }
        wrong.append("\(key) is \(String(describing: found)), not one of \(acceptable), touched: \(isTouched)")
      }
    }
    return wrong
  }
}

extension TestCluster {
  /// Names of the snapshots of a node.
  func snapshots(_ node: Int) throws -> [String] {
    var client = try client(node)
    let answer = try JSON.parse(try client.send("GET", "/admin/snapshots").body)
    return (answer["snapshots"]?.array ?? []).compactMap { $0["name"]?.string }
  }
}
