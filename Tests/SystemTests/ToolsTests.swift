import Client
import Platform
import Protocols
import Storage
import Testing

// The operator's tools on a real cluster: what it looks like from outside, and its files when a node is down.

extension SystemTests {
  @Suite struct ToolsTests {
    private func urls(_ cluster: TestCluster, _ nodes: Int...) -> [String] {
      nodes.flatMap { ["--url", cluster.url($0)] }
    }

    @Test("cluster status shows every member, and says who is down and what that means")
    func clusterStatus() throws {
      try TestCluster.with("status") { cluster in
        var client = try cluster.client(1)
        #expect(try client.put("k", [1]).status == 204)
        let all = try cairn(["cluster", "status"] + urls(cluster, 1, 2, 3))
        #expect(all.code == 0 && all.outputText.contains("nothing is wrong, as n1 sees it"), "\(all.outputText)")
        #expect(all.outputText.contains("127.0.0.1:\(cluster.clusterPort(3))"))
        try cluster.local("kill", "2")
        func status() throws -> JSON {
          try JSON.parse(try cairn(["cluster", "status", "--json"] + urls(cluster, 3, 2)).output)
        }
        try eventually("n3 sees that n2 is down") {
          try status()["members"]?.array?[1]["link"]?.string == "down"
        }
        let problems = (try status()["problems"]?.array ?? []).compactMap(\.string)
        #expect(problems.contains { $0.hasPrefix("cannot reach \(cluster.url(2))") }, "\(problems)")
        #expect(problems.contains { $0.hasPrefix("n2 is down for n3") }, "\(problems)")
        #expect(problems.contains { $0.contains("one more node down and all 64 partitions") }, "\(problems)")
        let nobody = try cairn(["cluster", "status"] + urls(cluster, 2))
        #expect(nobody.code == 1 && nobody.errors.hasPrefix("cairn: cannot reach"))
      }
    }

    @Test("the files of a stopped node can be read, checked and given hints; those of a running one cannot")
    func store() throws {
      try TestCluster.with("store", settings: ["partitions=8"]) { cluster in
        var client = try cluster.client(1)
        for key in 0..<40 { #expect(try client.put("k\(key)", Array("value \(key)".utf8)).status == 204) }
        #expect(try client.delete("k7").status == 204)
        let running = try cairn("store", "verify", cluster.data + "/n1")
        #expect(running.code == 1 && running.errors.contains("in use by a running node"), "\(running.errors)")
        let group = try cairn("store", "inspect", cluster.data)
        #expect(group.code == 2 && group.errors.contains("\(cluster.data)/n1"), "\(group.errors)")
        try cluster.local("kill", "1")
        // Killed: the journal holds what the data files may lack.
        #expect(try cairn("store", "verify", cluster.data + "/n1").code == 0)
        try cluster.local("stop", "3")
        let node = cluster.data + "/n3"
        let verified = try cairn("store", "verify", node)
        #expect(
          verified.code == 0 && verified.outputText.contains("clean: 11 stores, 41 records"), "\(verified.outputText)")
        let records = try cairn("store", "inspect", node, "--bucket", "test", "--key", "k7", "--json").outputText
        let kinds = try records.split(separator: "\n").map { try JSON.parse(Array($0.utf8))["kind"]?.string }
        #expect(kinds == ["value", "tombstone"])
        #expect(try cairn("store", "inspect", node, "--limit", "5").outputText.split(separator: "\n").count == 6)
        try hints(node)
        try damage(node)
      }
    }

    @Test("hints --write gives full files the hints that they lack, and no others")
    func writeHints() throws {
      try TestCluster.with("hints", nodes: 1, settings: ["partitions=1", "max_file_size=64KiB"]) { cluster in
        var client = try cluster.client(1)
        let value = [UInt8](repeating: 7, count: 10_000)
        for key in 0..<20 { #expect(try client.put("k\(key)", value).status == 204) }
        try cluster.local("stop", "1")
        let store = cluster.data + "/n1/stores/p000-n1"
        let files = try FileTree.names(in: store).filter { $0.hasSuffix(".data") }
        #expect(files.count > 2)
        for file in files { try FileTree.remove("\(store)/\(file.dropLast(5)).hint") }
        func states(_ words: String...) throws -> [String?] {
          let result = try cairn(["store", "hints", store, "--json"] + words)
          #expect(result.code == 0, "\(result.errors)")
          return (try JSON.parse(result.output).array ?? []).map { $0["hint"]?.string }
        }
        let full = files.count - 1
        #expect(try states() == Array(repeating: "missing", count: files.count))
        #expect(try states("--write") == Array(repeating: "fits", count: full) + ["missing"])
        let verified = try cairn("store", "verify", store)
        #expect(verified.code == 0 && verified.outputText.contains("  \(full)      clean"), "\(verified.outputText)")
        // A full file that does not read to its end gets none.
        var bytes = try FileTree.read("\(store)/\(files[0])", bytesMax: 1 << 20)
        bytes[5000] ^= 1
        try FileTree.write(bytes, to: "\(store)/\(files[0])")
        try FileTree.remove("\(store)/\(files[0].dropLast(5)).hint")
        let refused = try cairn("store", "hints", store, "--write")
        #expect(refused.code == 1 && refused.errors.contains("no hint could be written for \(store)/\(files[0])"))
      }
    }

    @Test("what a start found of its disk is in the status: bytes that were cut, and damage with file, place and key")
    func recovery() throws {
      try TestCluster.with("recovery", nodes: 1, settings: ["partitions=1"]) { cluster in
        var client = try cluster.client(1)
        #expect(try client.put("apple", Array("red".utf8)).status == 204)
        try cluster.local("stop", "1")
        let store = cluster.data + "/n1/stores/p000-n1"
        let data = store + "/000001.data"
        var bytes = try FileTree.read(data, bytesMax: 1 << 20)
        try FileTree.write(bytes + [1, 2, 3, 4, 5], to: data)
        #expect(try cluster.recovery()["bytes_cut"]?.integer == 5)
        #expect(try FileTree.read(cluster.data + "/n1.log", bytesMax: 1 << 20).text.contains("info n1 cut 5 bytes"))
        try cluster.local("stop", "1")
        #expect(try FileTree.read(data, bytesMax: 1 << 20) == bytes)
        bytes[bytes.count - 9] ^= 1
        try FileTree.write(bytes, to: data)
        try FileTree.remove(store + "/000001.hint")
        let damage = "\(data) is damaged at byte 64: a checksum that does not match; key hit, probably: test/apple"
        let recovery = try cluster.recovery()
        #expect(recovery["damaged"]?.array?.map(\.string) == ["store p000-n1: \(damage)"], "\(recovery)")
        let log = try FileTree.read(cluster.data + "/n1.log", bytesMax: 1 << 20).text
        #expect(log.contains("error n1 store p000-n1 is fenced: \(damage)"), "\(log)")
      }
    }

    /// A hint that is lost is missed, told, and made again.
    private func hints(_ node: String) throws {
      let store = try #require(
        try FileTree.names(in: node + "/stores").first { name in
          FileTree.exists("\(node)/stores/\(name)/000001.hint")
        })
      try FileTree.write([1, 2, 3], to: "\(node)/stores/\(store)/000001.hint")
      let found = try cairn("store", "hints", "\(node)/stores/\(store)").outputText
      #expect(found.contains("damaged"), "\(found)")
      #expect(try cairn("store", "verify", node).code == 1)
      // Files that still take records get their hint when the node stops.
      let open = try cairn("store", "hints", "\(node)/stores/\(store)", "--write")
      #expect(open.code == 0 && open.outputText.contains("damaged"), "\(open.outputText)")
      try FileTree.remove("\(node)/stores/\(store)/000001.hint")
      #expect(try cairn("store", "verify", node).code == 0)
    }

    /// One flipped bit in the middle of a data file: found, with place and key.
    private func damage(_ node: String) throws {
      let store = try #require(
        try FileTree.names(in: node + "/stores").first { name in
          (FileTree.facts("\(node)/stores/\(name)/000001.data")?.bytes ?? 0) > 300
        })
      let path = "\(node)/stores/\(store)/000001.data"
      var bytes = try FileTree.read(path, bytesMax: 1 << 20)
      bytes[FileHeader.byteCount + RecordHeader.fixedByteCount + 12] ^= 4
      try FileTree.write(bytes, to: path)
      let report = try cairn("store", "verify", node, "--json")
      #expect(report.code == 1 && report.errors.contains("1 error"), "\(report.errors)")
      let finding = try #require(try JSON.parse(report.output)["findings"]?.array?.first)
      #expect(finding["path"]?.string == path && finding["offset"]?.integer == FileHeader.byteCount)
      #expect(finding["key_after"]?.string?.hasPrefix("test/k") == true, "\(finding)")
      try repair("\(node)/stores/\(store)", of: node)
      let listed = try cairn("store", "inspect", node, "--records")
      #expect(listed.code == 1 && listed.errors.contains("damaged at byte 64"), "\(listed.errors)")
      #expect(listed.outputText.split(separator: "\n").count == 41, "all but the damaged one, and the header")
    }

    /// What is whole goes into a new store, the rest is told, and the old store stays as it is.
    private func repair(_ store: String, of node: String) throws {
      let new = node + ".new"
      func bytes(_ directory: String) throws -> [[UInt8]] {
        try FileTree.names(in: directory).map { try FileTree.read("\(directory)/\($0)", bytesMax: 1 << 20) }
      }
      let before = try bytes(store)
      let repaired = try cairn("store", "repair", store, new)
      #expect(repaired.code == 1 && repaired.outputText.contains("\n000001.data   64 "), "\(repaired.outputText)")
      #expect(repaired.outputText.contains("next key behind: test/k"), "\(repaired.outputText)")
      #expect(repaired.outputText.contains("NOT complete: 1 place"), "\(repaired.outputText)")
      #expect(repaired.errors.hasPrefix("cairn: 1 place, "), "\(repaired.errors)")
      #expect(try bytes(store) == before)
      #expect(try cairn("store", "verify", new).code == 0)
      // A whole one loses nothing; a copy is told its node.
      let again = try cairn("store", "repair", new, node + ".again/", "--node", node, "--json")
      let report = try JSON.parse(again.output)
      #expect(again.code == 0 && report["complete"]?.bool == true && report["bytes_lost"]?.integer == 0)
      #expect(report["role"]?.string == "fenced" && report["hints_written"]?.integer == 1)
      for words in [
        [store, new], [store], [], [node, node + ".x"], [store, store + "/x"], [store, new + "x", "--node", store],
      ] {
        let refused = try cairn(["store", "repair"] + words)
        #expect(refused.code == 2 && refused.errors.split(separator: "\n").count == 2, "\(words): \(refused.errors)")
      }
      #expect(!FileTree.exists(node + ".x") && !FileTree.exists(store + "/x"))
      try FileTree.remove(new)
      try FileTree.remove(node + ".again")
    }
  }
}

extension TestCluster {
  /// Starts the first node, and what its status says of the start.
  fileprivate func recovery() throws -> JSON {
    try local("start", "1")
    var client = try client(1)
    let status = try JSON.parse(try client.send("GET", "/admin/status").body)
    return try #require(status["recovery"])
  }
}

extension [UInt8] {
  fileprivate var text: String { String(decoding: self, as: UTF8.self) }
}
