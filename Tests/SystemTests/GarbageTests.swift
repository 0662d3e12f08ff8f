import Client
import Platform
import Primitives
import Protocols
import Testing

extension SystemTests {
  @Suite struct GarbageTests {
    @Test("garbage on both ports closes the connection or is answered 4xx, and harms nobody")
    func garbage() throws {
      try TestCluster.with("garbage") { cluster in
        let before = try cluster.pids()
        var generator = SeededGenerator(seed: 42)
        for (name, port) in [("http", cluster.httpPort(1)), ("cluster", cluster.clusterPort(1))] {
          for bytes in messages(&generator) {
            let answer = try exchange(bytes, port: port)
            if name == "http" && !answer.isEmpty {
              let text = String(decoding: answer.prefix(12), as: UTF8.self)
              #expect(text.hasPrefix("HTTP/1.1 4") || text.hasPrefix("HTTP/1.1 5"), "\(text)")
            }
          }
        }
        var client = try cluster.client(1)
        #expect(try client.put("k", [1]).status == 204)
        #expect(try client.get("k").body == [1])
        #expect(try cluster.pids() == before, "the same processes still run")
      }
    }

    @Test("unknown values of parameters are refused by name")
    func parameters() throws {
      try TestCluster.with("parameters") { cluster in
        var client = try cluster.client(1)
        for (query, word) in [("?w=many", "w"), ("?timeout=soon", "timeout"), ("?r=-1", "r"), ("?dw=2.5", "dw")] {
          let method = query.hasPrefix("?r") ? "GET" : "PUT"
          let response = try client.send(method, path("k") + query, headers: [("Content-Type", "a/b")], body: [])
          let text = String(decoding: response.body, as: UTF8.self)
          #expect(response.status == 400 && text.lowercased().contains(word), "\(query): \(response.status) \(text)")
        }
      }
    }

    private func messages(_ generator: inout SeededGenerator) -> [[UInt8]] {
      var messages: [[UInt8]] = [
        [], [0], Array("\r\n\r\n".utf8), Array("GET / HTTP/9.9\r\n\r\n".utf8), Array("NONSENSE\r\n\r\n".utf8),
        Array("GET /buckets/b/keys/%zz HTTP/1.1\r\nHost: x\r\n\r\n".utf8),
        Array("PUT /buckets/b/keys/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".utf8),
        Array("PUT /buckets/b/keys/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n".utf8),
        Array("GET /\(String(repeating: "a", count: 300_000)) HTTP/1.1\r\n\r\n".utf8),
        Array("GET / HTTP/1.1\r\n\(String(repeating: "X: y\r\n", count: 20_000))\r\n".utf8),
        Array(repeating: 0xFF, count: 100_000),
      ]
      for _ in 0..<30 {
        messages.append((0..<generator.below(5000)).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
      }
      return messages
    }

    /// Sends bytes, closes nothing, and returns what comes back until the server closes or is silent for a second.
    private func exchange(_ bytes: [UInt8], port: Int) throws -> [UInt8] {
      let socket = try BlockingSocket(
        connectingTo: SocketAddress(host: [127, 0, 0, 1], port: UInt16(port)), timeoutMilliseconds: 300)
      var answer: [UInt8] = []
      do {
        if !bytes.isEmpty { try socket.send(bytes) }
        while answer.count < 1 << 16 {
          let more = try socket.receive(countMax: 4096)
          if more.isEmpty { break }
          answer += more
        }
      } catch {
        return answer
      }
      return answer
    }
  }
}
