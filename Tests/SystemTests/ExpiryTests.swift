import Client
import Platform
import Protocols
import Testing

// Objects that expire, on real processes. Becoming a tombstone takes minutes: the clocks of all nodes are set forward
// between two starts, as one would find them after a night.

extension SystemTests {
  @Suite struct ExpiryTests {
    @Test("an object with a lifetime is gone at its time, also where a node was down, and leaves nothing behind")
    func lifetime() throws {
      let settings = [
        "tombstone_hold=200ms", "feed_interval=100ms", "anti_entropy_interval=1s", "partitions=4", "clock_offset=1ms",
      ]
      try TestCluster.with("expiry", settings: settings) { cluster in
        #expect(try cairn("put", "test", "a", "old", "--w", "3", "--url", cluster.url(1)).code == 0)
        #expect(try cairn("put", "test", "b", "stays", "--url", cluster.url(1)).code == 0)
        try cluster.local("kill", "3")
        let put = try cairn("put", "test", "a", "short", "--expires-in", "3s", "--url", cluster.url(1))
        #expect(put.code == 0, "\(put.errors)")
        var client = try cluster.client(2)
        let found = try client.get("a")
        #expect(found.status == 404 || found.header("expires")?.hasSuffix(" GMT") == true)
        try eventually("the object is gone") { try client.get("a").status == 404 }
        #expect(try client.get("a").header("x-riak-deleted") == "true")
        #expect(try cairn("get", "test", "a", "--url", cluster.url(1)).code == 1)
        let listed = try client.send("GET", "/buckets/test/keys?keys=true")
        #expect(String(decoding: listed.body, as: UTF8.self) == "{\"keys\":[\"b\"]}")

        // Two good clocks are as far apart as this, and a merge goes over what was buried.
        for node in 1...2 { try cluster.local("stop", "\(node)") }
        try cluster.start(1, clock: "629s")
        try cluster.start(2, clock: "571s")
        try eventually("what has expired is a tombstone, which waits for the owner that is away") {
          try (1...2).allSatisfy { try cluster.pending($0) == 1 }
        }
        #expect(try cluster.counters("values_buried") > 0)
        try cluster.mergeAll(1...2)
        try cluster.start(3, clock: "10m")
        try cluster.untilUp()
        try eventually("the tombstone is collected") {
          for node in 1...3 { #expect(try cluster.isGone("a", through: node)) }
          return try (1...3).allSatisfy { try cluster.pending($0) == 0 }
        }
        try cluster.mergeAll(1...3)
        for node in 1...3 {
          var client = try cluster.client(node)
          for r in 1...3 { #expect(try client.get("a", query: "?r=\(r)").status == 404, "n\(node) r=\(r)") }
          #expect(try client.get("b").status == 200)
        }
        let before = try cluster.repairs()
        try cluster.untilRounds(3)
        #expect(try cluster.repairs() == before)
      }
    }

    @Test("an export says when an object expires, and an import keeps it; CSV says of how many it does not")
    func exported() throws {
      try TestCluster.with("expiry-export", settings: ["partitions=4"]) { cluster in
        let files = try BulkFiles("expiry-export")
        let url = ["--url", cluster.url(1)]
        #expect(try cairn(["put", "test", "a", "short", "--expires-in", "1h"] + url).code == 0)
        #expect(try cairn(["put", "test", "b", "stays"] + url).code == 0)
        #expect(try cairn(["export", files.path("out.jsonl"), "--bucket", "test"] + url).code == 0)
        #expect(try cairn(["import", files.path("out.jsonl"), "--bucket", "again"] + url).code == 0)
        var client = try cluster.client(2)
        func expires(_ key: String, in bucket: String) throws -> String? {
          let found = try client.send("GET", "/buckets/\(bucket)/keys/\(key)")
          #expect(found.status == 200)
          return found.header("expires")
        }
        let date = try #require(try expires("a", in: "test"))
        #expect(try expires("a", in: "again") == date)
        #expect(try expires("b", in: "again") == nil)
        let table = try cairn(["export", files.path("out.csv"), "--bucket", "test", "--json"] + url)
        #expect(try JSON.parse(table.output)["without_expiry"]?.integer == 1)
      }
    }

    @Test("cairn put says what a lifetime is")
    func usage() throws {
      for word in ["0s", "1500ms", "5", "soon", "40000d"] {
        let refused = try cairn("put", "b", "k", "v", "--expires-in", word)
        #expect(refused.code == 2 && refused.errors.hasPrefix("cairn: --expires-in is '\(word)', not a time"))
      }
    }
  }
}

extension TestCluster {
  /// Starts a node with another `clock_offset`, which was 1 ms, or what it was started with before.
  fileprivate func start(_ node: Int, clock offset: String) throws {
    let path = data + "/local.json"
    let words = String(decoding: try FileTree.read(path, bytesMax: 1 << 20), as: UTF8.self).split(
      separator: "\"", omittingEmptySubsequences: false)
    let text = words.map { $0.hasPrefix("clock_offset=") ? "clock_offset=\(offset)" : $0 }.joined(separator: "\"")
    try FileTree.write(Array(text.utf8), to: path)
    try local("start", "\(node)")
  }

  /// Whether a read that meets a majority finds nothing.
  fileprivate func isGone(_ key: String, through node: Int) throws -> Bool {
    var client = try client(node)
    return try client.get(key).status == 404
  }

  fileprivate func mergeAll(_ nodes: ClosedRange<Int>) throws {
    for node in nodes {
      var client = try client(node)
      #expect(try client.send("POST", "/admin/merge").status == 200)
    }
  }

  fileprivate func counters(_ name: String) throws -> Int {
    try (1...nodeCount).filter { try pids()[$0 - 1] != nil }.reduce(0) { $0 + (try counter($1, name)) }
  }

  private func rounds(_ node: Int) throws -> JSON? {
    var client = try client(node)
    return try JSON.parse(client.send("GET", "/admin/anti-entropy").body)["rounds"]
  }

  /// What owners have sent each other for being different.
  fileprivate func repairs() throws -> [Int] {
    try (1...nodeCount).flatMap { node -> [Int] in
      let (rounds, readRepairs) = (try rounds(node), try counter(node, "read_repairs"))
      return ["keys_pulled", "differing"].map { rounds?[$0]?.integer ?? -1 }
        + [readRepairs]
    }
  }

  /// So many rounds of every node.
  fileprivate func untilRounds(_ count: Int) throws {
    for node in 1...nodeCount {
      func done() throws -> Int { try rounds(node)?["done"]?.integer ?? 0 }
      let first = try done()
      try eventually("n\(node) has compared its stores \(count) times") { try done() >= first + count }
    }
  }
}
