import Client
import Platform
import Primitives
import Protocols
import Testing

// Owners that are killed and come back, in every order: who stands in for them, and that nothing is lost.

extension SystemTests {
  @Suite struct FiveNodeTests {
    @Test("with two owners of a key killed writes succeed on fallbacks, and whoever starts first, nothing is lost")
    func twoOwnersKilled() throws {
      try TestCluster.with("five", nodes: 5) { cluster in
        var expected: [String: [UInt8]?] = [:]
        // The third of a round is a node that serves and may keep hints: it is killed when they are written.
        for (round, order) in [[1, 2], [2, 1], [4, 5, 1], [1, 5, 4]].enumerated() {
          let dead = order.sorted(by: >).prefix(2)
          for node in dead { try cluster.local("kill", "\(node)") }
          let serving = (1...5).filter { !dead.contains($0) }
          try write(round, through: serving, of: cluster, &expected)
          for node in order where !dead.contains(node) { try cluster.local("kill", "\(node)") }
          for node in order { try cluster.local("start", "\(node)") }
          try cluster.converge()
          try check(expected, on: cluster)
        }
      }
    }

    /// Every key has three owners of five nodes: with two nodes down some have both of them down, and others none.
    private func write(
      _ round: Int, through nodes: [Int], of cluster: TestCluster, _ expected: inout [String: [UInt8]?]
    ) throws {
      for (place, node) in nodes.enumerated() {
        var client = try cluster.client(node)
        for number in 0..<12 {
          let key = "k\(round)-\(place)-\(number)"
          // With w = 3, two fallbacks that were the same node would count once.
          let query = number % 2 == 0 ? "?w=2" : "?w=3"
          let put = try client.put(key, Array("\(key) \(round)".utf8), query: query)
          #expect(put.status == 204, "\(key): \(put.line)")
          expected[key] = Array("\(key) \(round)".utf8)
          guard round > 0, number % 3 == 0 else { continue }
          let older = "k\(round - 1)-\(place)-\(number)"
          if number % 2 == 0 {
            #expect(try client.put(older, [UInt8(round)]).status == 204)
            expected[older] = [UInt8(round)]
          } else {
            #expect(try client.delete(older).status == 204)
            expected[older] = .some(nil)
          }
        }
      }
    }

    private func check(_ expected: [String: [UInt8]?], on cluster: TestCluster) throws {
      for node in 1...5 {
        var client = try cluster.client(node)
        for (key, value) in expected.sorted(by: { $0.key < $1.key }) {
          let read = try client.get(key, query: "?r=1")
          #expect((read.status == 200 ? read.body : nil) == value, "\(key) through n\(node): \(read.status)")
        }
      }
    }

    @Test("with one of three nodes left w = 1 works, and a quorum is refused with what was missing")
    func oneLeft() throws {
      try TestCluster.with("one-left") { cluster in
        var one = try cluster.client(1)
        #expect(try one.put("k", [1]).status == 204)
        for node in [2, 3] { try cluster.local("kill", "\(node)") }
        try eventually("n1 knows") { try cluster.view(1).missing.keys.sorted() == ["n2", "n3"] }
        #expect(try one.put("k", [2], query: "?w=1&dw=1").status == 204)
        let read = try one.get("k", query: "?r=1")
        #expect(read.status == 200 && read.body == [2])

        let put = try one.put("k", [3], query: "?w=quorum")
        #expect(put.status == 503 && put.line.hasPrefix("W-value unsatisfied: 1/2"), "\(put.line)")
        let get = try one.get("k")
        #expect(get.status == 503 && get.line.hasPrefix("R-value unsatisfied: 1/2"), "\(get.line)")
        for line in [put.line, get.line] {
          #expect(line.contains("n2 is down: ") && line.contains("n3 is down: "), "\(line)")
        }
        for node in [3, 2] { try cluster.local("start", "\(node)") }
        try cluster.converge()
        // Until then they have as many keys, but the older value of one.
        try eventually("no hint is left") { try cluster.hintsLeft() == 0 }
        for node in 1...3 {
          var client = try cluster.client(node)
          // What was refused may have been kept.
          let found = try client.get("k", query: "?r=1").body
          #expect(found == [2] || found == [3], "n\(node)")
        }
      }
    }

    @Test(
      "kill -9 and start of random nodes of five under load loses and revives nothing, and the owners agree in the end",
      arguments: [UInt64(1)])
    func restarts(seed: UInt64) throws {
      try TestCluster.with("five-restarts", nodes: 5) { cluster in
        var generator = SeededGenerator(seed: seed)
        let load = Load(5, on: cluster, seed: seed)
        try load.running {
          for _ in 1...6 {
            let node = 1 + generator.below(5)
            try load.advance(generator.below(10))
            try cluster.kill(node, of: load)
            try load.advance(5 + generator.below(10))
            try cluster.start(node, of: load)
          }
          try load.advance(10)
        }
        // A coordinator that was killed with a write on its way left some owner without: full reads repair that.
        #expect(try load.contradictions(in: cluster, query: "?r=all") == [])
        try cluster.converge()
        #expect(try load.contradictions(in: cluster, query: "?r=1") == [])
      }
    }
  }
}

extension HTTPResponse {
  /// The body as one line of text.
  fileprivate var line: String {
    String(decoding: body.prefix(1000), as: UTF8.self).split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}
