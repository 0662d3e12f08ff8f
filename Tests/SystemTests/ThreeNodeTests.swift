import Client
import Platform
import Protocols
import Testing

extension SystemTests {
  @Suite struct ThreeNodeTests {
    @Test("any node serves any key, and the cluster goes on with one node killed")
    func story() throws {
      try TestCluster.with("story") { cluster in
        var one = try cluster.client(1)
        var two = try cluster.client(2)
        var three = try cluster.client(3)
        #expect(try one.put("apple", Array("red".utf8)).status == 204)
        let read = try two.get("apple")
        #expect(read.status == 200 && read.body == Array("red".utf8))
        #expect(read.header("content-type") == "application/octet-stream")
        #expect(try three.delete("apple").status == 204)
        #expect(try one.get("apple").status == 404)

        try cluster.local("kill", "2")
        for number in 0..<20 {
          // Right after the kill a request may still wait for the dead node, but it must not fail.
          #expect(try one.put("k\(number)", [UInt8(number)]).status == 204)
          #expect(try three.get("k\(number)").body == [UInt8(number)])
        }
        #expect(try three.delete("k0").status == 204)
        #expect(try one.get("k0").status == 404)
        #expect(try one.get("apple").status == 404)

        try cluster.local("start", "2")
        var again = try cluster.client(2)
        #expect(try again.put("later", [1]).status == 204)
        for number in 1..<20 { #expect(try again.get("k\(number)").body == [UInt8(number)]) }
        #expect(try again.get("k0").status == 404)
      }
    }

    @Test("the commands put, get, delete and ring do what they say, with exit codes that scripts can use")
    func commands() throws {
      try TestCluster.with("commands") { cluster in
        let url = ["--url", cluster.url(2)]
        let bytes: [UInt8] = [0, 255, 10, 13, 0]
        #expect(try cairn(["put", "b", "word", "hello"] + url).code == 0)
        #expect(try cairn(["put", "b", "bytes/é %", "-"] + url, input: bytes).code == 0)
        #expect(try cairn(["get", "b", "word"] + url).output == Array("hello".utf8))
        #expect(try cairn(["get", "b", "bytes/é %", "--r", "all"] + url).output == bytes)
        #expect(try cairn(["put", "b", "empty", ""] + url).code == 0)
        let empty = try cairn(["get", "b", "empty"] + url)
        #expect(empty.code == 0 && empty.output == [])

        let missing = try cairn(["get", "b", "nothing"] + url)
        #expect(missing.code == 1 && missing.output == [] && missing.errors == "cairn: not found: b/nothing\n")
        #expect(try cairn(["delete", "b", "word"] + url).code == 0)
        #expect(try cairn(["get", "b", "word"] + url).code == 1)
        #expect(try cairn(["delete", "b", "word"] + url).code == 1)

        let impossible = try cairn(["put", "b", "k", "v", "--w", "4"] + url)
        #expect(impossible.code == 1 && impossible.errors.contains("400"))
        // A node that is not there is passed over.
        #expect(try cairn(["get", "b", "empty", "--url", "http://127.0.0.1:\(cluster.base)"] + url).code == 0)

        let ring = try cairn(["ring"] + url)
        #expect(ring.code == 0 && ring.outputText.contains("64 partitions, each on 3 nodes"))
        let json = try JSON.parse(try cairn(["ring", "--json"] + url).output)
        #expect(json["owners"]?.array?.count == 64)

        let status = try cluster.local("status")
        #expect(status.split(separator: "\n").count == 4 && status.contains("serving"))
        let again = try cairn("local", "up", "--data", cluster.data, "--nodes", "5")
        #expect(again.code == 2 && again.errors.contains("--nodes 3"))
      }
    }

    @Test("with two of three nodes down, a write is refused with the reason and never told as not found")
    func noQuorum() throws {
      try TestCluster.with("no-quorum", settings: ["request_timeout=2s"]) { cluster in
        var one = try cluster.client(1)
        #expect(try one.put("k", [1]).status == 204)
        try cluster.local("kill", "2")
        try cluster.local("kill", "3")
        for _ in 0..<2 {
          let put = try one.put("k", [2])
          #expect(put.status == 503 && !put.body.isEmpty)
          let get = try one.get("k")
          #expect(get.status == 503 && !get.body.isEmpty)
          #expect(try one.delete("absent").status == 503)
        }
        #expect(try cairn("get", "test", "k", "--url", cluster.url(1)).errors.contains("503"))
        try cluster.local("start", "2")
        try eventually("a quorum reads again") { try one.get("k").status == 200 }
      }
    }

    @Test("stopping cleanly and coming up again keeps everything")
    func downAndUp() throws {
      try TestCluster.with("down-up") { cluster in
        var one = try cluster.client(1)
        for number in 0..<50 { #expect(try one.put("k\(number)", Array("value \(number)".utf8)).status == 204) }
        #expect(try one.delete("k7").status == 204)
        #expect(try cluster.local("stop", "3").contains("stopped"))
        #expect(try cluster.local("down").contains("2 nodes stopped"))
        try cluster.local("up")
        var three = try cluster.client(3)
        for number in 0..<50 where number != 7 {
          #expect(try three.get("k\(number)").body == Array("value \(number)".utf8))
        }
        #expect(try three.get("k7").status == 404)

        let before = try cluster.pids()
        try cluster.local("kill", "1")
        try cluster.local("up")
        let after = try cluster.pids()
        #expect(after[0] != nil && after[0] != before[0] && after[1...] == before[1...], "only the dead one is started")
        #expect(try cluster.local("down", "--wipe").contains("wiped"))
        #expect(!FileTree.exists(cluster.data))
      }
    }
  }
}
