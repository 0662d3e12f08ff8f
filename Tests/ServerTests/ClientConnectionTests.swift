import Platform
import Primitives
import Replication
import Server
import Storage
import Testing

struct ClientConnectionTests {
  @Test("answers leave in the order of the requests, in whatever order the node gives them")
  func pipeliningOrder() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    try client.get(["a", "hold", "b", "hold", "c", "release", "d"])
    #expect(try client.values(7) == ["a", "release", "b", "release", "c", "release", "d"])
    #expect(await shard.stop() == .clean)
  }

  @Test("at most 64 requests of a connection are in progress, and all are answered")
  func pipeliningBound() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    try client.get(Array(repeating: "hold", count: 100))
    // The 64th blocks the line; another connection lets it go on, until all hundred are done.
    let other = try shard.connect()
    var rest = 100
    while rest > 0 {
      try other.get(["release"])
      #expect(try other.values(1) == ["release"])
      rest -= min(rest, 64)
      if rest == 0 { break }
      #expect(try client.values(64).count == 64)
    }
    #expect(shard.observations.inProgressMax <= 64)
    try other.get(["release"])
    #expect(try client.values(36).count == 36)
    #expect(await shard.stop() == .clean)
  }

  @Test("a thousand pipelined requests arrive in one piece and are all answered")
  func manyRequests() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    let keys = (0..<1000).map { "k\($0)" }
    try client.get(keys)
    #expect(try client.values(1000) == keys)
    #expect(await shard.stop() == .clean)
  }

  @Test("requests that came before the client closed its side are answered before the connection ends")
  func halfClosed() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    try client.send(Array("GET /buckets/b/keys/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
    #expect(String(decoding: try client.receiveAll(), as: UTF8.self).hasSuffix("\r\n\r\nx"))
    #expect(await shard.stop() == .clean)
  }

  @Test("a client that reads nothing is closed at the bound, and others are served")
  func slowReader() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["output_max=1MiB", "slow_request_timeout=1s"])
    let slow = try shard.connect()
    try slow.get(Array(repeating: "big-16777216", count: 8))
    let other = try shard.connect()
    try other.get(["a"])
    #expect(try other.values(1) == ["a"])
    #expect(try slow.receiveAll().count < 8 << 24)
    #expect(await shard.stop() == .clean)
  }

  @Test("a large value arrives whole")
  func largeValue() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    try client.send(
      Array("GET /buckets/b/keys/big-9000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
    #expect(try client.receiveAll().suffix(9_000_000).allSatisfy { $0 == 120 })
    #expect(await shard.stop() == .clean)
  }

  @Test("garbage is answered with a 4xx or nothing, and closed", arguments: UInt64(0)..<20)
  func garbage(seed: UInt64) async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    var generator = SeededGenerator(seed: seed)
    let client = try shard.connect()
    let bytes = (0..<generator.below(4000) + 1).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    try client.send(bytes + Array("\r\n\r\n\r\n".utf8))
    let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
    #expect(answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.1 5"), "\(answer)")
    let other = try shard.connect()
    try other.get(["a"])
    #expect(try other.values(1) == ["a"])
    #expect(await shard.stop() == .clean)
  }

  @Test("one connection too many is told so")
  func connectionBound() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["connections_max=1"])
    let first = try shard.connect()
    try first.get(["a"])
    #expect(try first.values(1) == ["a"])
    let second = try shard.connect()
    #expect(String(decoding: try second.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 503 "))
    try first.get(["b"])
    #expect(try first.values(1) == ["b"])
    #expect(await shard.stop() == .clean)
  }

  @Test("a silent client and one that sends half a request are closed", arguments: ["", "GET /buckets/b"])
  func overdue(text: String) async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["idle_timeout=100ms", "slow_request_timeout=100ms"])
    let client = try shard.connect()
    if !text.isEmpty { try client.send(Array(text.utf8)) }
    #expect(try client.receiveAll() == [])
    #expect(await shard.stop() == .clean)
  }

  @Test("unfinished requests of all clients are bounded together")
  func inputBound() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["input_max=64KiB"])
    let client = try shard.connect()
    let head = "PUT /buckets/b/keys/k HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 900000\r\n\r\n"
    try? client.send(Array(head.utf8) + [UInt8](repeating: 0, count: 800_000))
    #expect(try client.receiveAll() == [])
    let other = try shard.connect()
    try other.get(["a"])
    #expect(try other.values(1) == ["a"])
    #expect(await shard.stop() == .clean)
  }

  @Test("an answer that waits for the device comes after its sync")
  func synced() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    try client.get(["sync", "sync", "a"])
    #expect(try client.values(3) == ["sync", "sync", "a"])
    #expect(await shard.stop() == .clean)
    #expect(shard.observations.events.contains("synced"))
  }

  @Test("the shard says why its node failed")
  func failure() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    try client.get(["fail"])
    #expect(shard.join() == .failed(.io(.sync, path: "log", errno: 5)))
  }
}
