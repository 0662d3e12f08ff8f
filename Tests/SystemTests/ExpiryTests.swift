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

        for node in 1...2 { try cluster.local("stop", "\(node)") }
        try cluster.setClocks("10m")
        for node in 1...3 { try cluster.local("start", "\(node)") }
        try cluster.untilUp()
        try eventually("what has expired is a tombstone, and that is collected") {
          try (1...3).allSatisfy { try cluster.pending($0) == 0 }
            && (1...3).reduce(0) { try $0 + cluster.counter($1, "values_buried") } > 0
        }
        for node in 1...3 {
          var client = try cluster.client(node)
          for r in 1...3 { #expect(try client.get("a", query: "?r=\(r)").status == 404, "n\(node) r=\(r)") }
          #expect(try client.get("b").status == 200)
        }
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
  /// What nodes that are started from now on take for their `clock_offset`, which was 1 ms.
  fileprivate func setClocks(_ offset: String) throws {
    let path = data + "/local.json"
    let text = String(decoding: try FileTree.read(path, bytesMax: 1 << 20), as: UTF8.self)
    try FileTree.write(Array(text.replacing("clock_offset=1ms", with: "clock_offset=\(offset)").utf8), to: path)
  }
}
