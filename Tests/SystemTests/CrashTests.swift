import Client
import Platform
import Primitives
import Protocols
import Testing

extension SystemTests {
  @Suite struct CrashTests {
    @Test("after kill -9 of all three, every acknowledged write is there, byte for byte", arguments: [UInt64(1)])
    func allKilled(seed: UInt64) throws {
      try TestCluster.with("all-killed") { cluster in
        var generator = SeededGenerator(seed: seed)
        var expected: [[UInt8]] = []
        var one = try cluster.client(1)
        for number in 0..<2000 {
          let value = (0..<generator.below(200)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
          #expect(try one.put("k\(number)", value).status == 204)
          expected.append(value)
        }
        cluster.killAll()
        try cluster.local("up")
        var two = try cluster.client(2)
        for (number, value) in expected.enumerated() {
          let response = try two.get("k\(number)")
          #expect(response.status == 200, "k\(number): \(String(decoding: response.body, as: UTF8.self))")
          #expect(response.body == value, "k\(number)")
        }
      }
    }

    @Test("kill -9 of one node after the other under load loses no acknowledged write and fails few")
    func killedInTurn() throws {
      try TestCluster.with("killed-in-turn") { cluster in
        let writers = (1...3).map { Writer(number: $0, ports: (1...3).map(cluster.httpPort)) }
        let threads = try writers.map { writer in try Thread { writer.run() } }
        do {
          // Whatever happens, no writer outlives this block: what they have on the way must have an end.
          defer {
            for writer in writers { writer.stop() }
            for thread in threads { thread.join() }
          }
          for node in [1, 2, 3, 1] {
            try advance(writers)
            try cluster.local("kill", "\(node)")
            try advance(writers)
            try cluster.local("start", "\(node)")
          }
        }
        var reader = try cluster.client(2)
        for writer in writers {
          #expect(writer.refused == [], "writer \(writer.number)")
          for (key, versions) in writer.acceptable {
            let response = try reader.get(key)
            let found = response.status == 200 ? Int(String(decoding: response.body, as: UTF8.self)) : nil
            #expect(versions.contains(found), "\(key) is \(String(describing: found)), not one of \(versions)")
          }
        }
      }
    }

    /// Waits until every writer has had 40 more writes acknowledged.
    private func advance(_ writers: [Writer]) throws {
      let goals = writers.map { $0.acknowledged + 40 }
      try eventually("writers go on") { zip(writers, goals).allSatisfy { $0.acknowledged >= $1 } }
    }
  }
}

/// Writes over its own keys until it is stopped, through the next node whenever one does not answer.
private final class Writer: Sendable {
  private struct State {
    var isStopped = false
    var acknowledged = 0
    var refused: [String] = []
    /// Per key, what a read may find: the last acknowledged version, and those sent after it.
    var acceptable: [String: [Int?]] = [:]
  }

  let number: Int
  private let ports: [Int]
  private let state = Locked(State())
  private static let keysMax = 25

  init(number: Int, ports: [Int]) {
    self.number = number
    self.ports = ports
  }

  var acknowledged: Int { state.withLock { $0.acknowledged } }
  var refused: [String] { state.withLock { $0.refused } }
  var acceptable: [(key: String, values: [Int?])] {
    state.withLock { $0.acceptable.map { ($0.key, $0.value) } }.sorted { $0.key < $1.key }
  }
  func stop() { state.withLock { $0.isStopped = true } }

  func run() {
    var turn = number
    var round = 0
    while !state.withLock({ $0.isStopped }) {
      let address = SocketAddress(host: [127, 0, 0, 1], port: UInt16(ports[turn % ports.count]))
      turn += 1
      var client = HTTPClient(Endpoint(address: address), timeoutMilliseconds: 20_000)
      while !state.withLock({ $0.isStopped }) {
        round += 1
        guard write(round, through: &client) else { break }
      }
    }
  }

  /// False when the node did not answer.
  private func write(_ round: Int, through client: inout HTTPClient) -> Bool {
    let key = "w\(number)-\(round % Writer.keysMax)"
    let value = Array("\(round)".utf8)
    do throws(HTTPClientError) {
      let response = try client.send(
        "PUT", path(key), headers: [("Content-Type", "application/octet-stream")], body: value)
      state.withLock { state in
        if response.status == 204 {
          state.acknowledged += 1
          state.acceptable[key] = [round]
        } else {
          state.acceptable[key, default: [nil]].append(round)
          state.refused.append("\(response.status) \(String(decoding: response.body, as: UTF8.self))")
        }
      }
      return true
    } catch .notReached {
      pause(milliseconds: 5)
      return false
    } catch {
      state.withLock { $0.acceptable[key, default: [nil]].append(round) }
      return false
    }
  }
}
