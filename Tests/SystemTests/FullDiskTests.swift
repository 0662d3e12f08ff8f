import Client
import Platform
import Protocols
import Testing

// A node on a small file system of its own, which only root can make, that somebody else fills.

extension SystemTests {
  @Suite struct FullDiskTests {
    private static let settings = ["max_file_size=4MiB", "disk_reserve=8MiB", "request_timeout=1s"]

    @Test("a full disk: puts are answered 507, reads and deletes go on; with room the same process takes puts again")
    func fullDisk() throws {
      try TestCluster.with("full-disk", nodes: 1, settings: Self.settings) { cluster in
        let disk = "\(cluster.data)/n1"
        try cluster.local("stop", "1")
        guard try shell("rm -r \(disk)/* && mount -t tmpfs -o size=64m cairn-test \(disk)") == .exited(0) else {
          print("SKIPPED: the test of a node on a full disk, because nothing can be mounted here")
          return
        }
        defer { _ = try? shell("umount -l \(disk)") }
        try cluster.local("start", "1")
        let process = try cluster.pids()
        try load(cluster, "\(disk)/ballast")
        #expect(try cluster.pids() == process, "it was no other process")
        try cluster.local("kill", "1")
        try cluster.local("start", "1")
        var client = try cluster.client(1)
        for number in 1..<20 { #expect(try client.get("k\(number)").status == 200) }
        #expect(try client.get("later").status == 200)
        #expect(try client.get("k0").status == 404)
        try cluster.local("stop", "1")
      }
    }

    private func load(_ cluster: TestCluster, _ ballast: String) throws {
      var client = try cluster.client(1)
      let value = [UInt8](repeating: 7, count: 1000)
      for number in 0..<20 { #expect(try client.put("k\(number)", value).status == 204) }
      // Below the reserve, and not full.
      #expect(try shell("head -c 58M /dev/zero > \(ballast)") == .exited(0))
      try eventually("puts are refused") { try client.put("k1", value).status == 507 }
      let refused = try client.put("more", value)
      let text = String(decoding: refused.body, as: UTF8.self)
      #expect(text.hasPrefix("insufficient storage: ") && text.contains("n1: its disk is full"), "\(text)")
      #expect(text.filter(\.isNewline).count == 1)
      #expect(try client.get("k1").status == 200)
      #expect(try client.get("more").status == 404)
      #expect(try client.delete("k0").status == 204)
      #expect(try disk(&client)["puts_refused"]?.bool == true)
      // Full to the last byte: what finds no room is not acknowledged, and what is there can be read.
      _ = try shell("head -c 64M /dev/zero >> \(ballast)")
      for number in 0..<8 {
        let status = try client.delete("none\(number)").status
        #expect([204, 404, 503, 507].contains(status), "\(status)")
        #expect(try client.get("k1").status == 200)
      }
      #expect(try client.put("k1", value).status == 507)
      #expect(try shell("rm \(ballast)") == .exited(0))
      try eventually("puts are taken again") { try client.put("later", value).status == 204 }
      #expect(try disk(&client)["puts_refused"]?.bool == false)
      let log = String(decoding: try FileTree.read("\(cluster.data)/n1.log", bytesMax: 1 << 20), as: UTF8.self)
      #expect(log.components(of: "the disk is full: ") == 1 && log.components(of: "the disk has room again: ") == 1)
    }

    private func disk(_ client: inout HTTPClient) throws -> JSON {
      let answer = try client.send("GET", "/admin/status")
      return try #require(JSON.parse(answer.body)["disk"])
    }
  }
}

extension String {
  /// How often a text stands in this one.
  fileprivate func components(of text: String) -> Int {
    var count = 0
    var rest = self[...]
    while let found = rest.firstRange(of: text) {
      count += 1
      rest = rest[found.upperBound...]
    }
    return count
  }
}
