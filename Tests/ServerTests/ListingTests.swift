import Messages
import Platform
import Primitives
import Replication
import Server
import Testing

// Listings on a connection: in their turn, at the client's pace, and never whole when they are not.

struct ListingTests {
  private func request(_ bucket: String, _ more: String = "") -> [UInt8] {
    Array("GET /buckets/\(bucket)/keys?keys=stream HTTP/1.1\r\nHost: x\r\n\(more)\r\n".utf8)
  }

  @Test("a listing keeps its place among the answers of a connection")
  func order() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    let plain = { (key: String) in Array("GET /buckets/b/keys/\(key) HTTP/1.1\r\nHost: x\r\n\r\n".utf8) }
    let last = Array("GET /buckets/b/keys/end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8)
    try client.send(plain("hold") + request("parts-3") + plain("after") + last)
    let other = try shard.connect()
    try other.get(["release"])
    let text = String(decoding: try client.receiveAll(), as: UTF8.self)
    let names = text.components(of: "\"xxx")
    #expect(names == 3)
    let places = ["\r\n\r\nrelease", "{\"keys\":[\"xxx", "{\"keys\":[]}", "0\r\n\r\n", "\r\n\r\nafter", "\r\n\r\nend"]
      .map {
        text.offset(of: $0)
      }
    #expect(places == places.sorted { ($0 ?? .max) < ($1 ?? .max) } && !places.contains(nil))
    #expect(await shard.stop() == .clean)
  }

  @Test("a client that does not read holds its listing up, and is served the rest when it does")
  func backPressure() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    let parts = 2000
    try client.send(request("parts-\(parts)", "Connection: close\r\n"))
    // The shard answers others meanwhile; what it has asked for is what the sockets hold and a little more.
    let other = try shard.connect()
    var asked = -1
    while shard.observations.partsAsked != asked {
      asked = shard.observations.partsAsked
      for _ in 0..<50 {
        try other.get(["x"])
        #expect(try other.values(1) == ["x"])
      }
    }
    #expect(asked < parts / 2)
    #expect(try client.receiveAll().count > parts * StandInNode.partBytes)
    #expect(await shard.stop() == .clean)
  }

  @Test("a listing that breaks off ends the connection without its last chunk; requests behind it are not answered")
  func broken() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connect()
    try client.send(request("broken-2") + request("parts-1") + request("parts-1"))
    let text = String(decoding: try client.receiveAll(), as: UTF8.self)
    #expect(text.components(of: "\"xxx") == 2)
    #expect(text.contains("{\"error\":") && !text.contains("\r\n0\r\n\r\n"))
    #expect(text.components(of: "HTTP/1.1 200") == 1)
    // One at a time: the node never heard of the others.
    #expect(shard.observations.events.count { $0 == "list" } == 1)
    #expect(await shard.stop() == .clean)
  }

  @Test("a listing that has nothing to say yet is abandoned when its client goes")
  func goneEarly() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    do {
      let client = try shard.connect()
      try client.send(request("silent-1"))
      while !shard.observations.events.contains("list") { try ping(shard) }
    }
    while !shard.observations.events.contains("abandoned") { try ping(shard) }
    #expect(await shard.stop() == .clean)
  }

  @Test("a listing whose client has gone is abandoned")
  func abandoned() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    do {
      let client = try shard.connect()
      try client.send(request("parts-100000"))
      _ = try client.receive(countMax: 1000)
    }
    while !shard.observations.events.contains("abandoned") { try ping(shard) }
    #expect(await shard.stop() == .clean)
  }

  private func ping(_ shard: RunningShard) throws {
    let other = try shard.connect()
    try other.get(["x"])
    #expect(try other.values(1) == ["x"])
  }
}

extension String {
  fileprivate func offset(of part: String) -> Int? {
    let bytes = Array(utf8)
    let part = Array(part.utf8)
    guard bytes.count >= part.count else { return nil }
    return (0...bytes.count - part.count).first { start in
      bytes[start] == part[0] && bytes[start..<start + part.count].elementsEqual(part)
    }
  }

  /// How often `part` occurs.
  fileprivate func components(of part: String) -> Int {
    let bytes = Array(utf8)
    let part = Array(part.utf8)
    guard bytes.count >= part.count else { return 0 }
    return (0...bytes.count - part.count).count { start in
      bytes[start] == part[0] && bytes[start..<start + part.count].elementsEqual(part)
    }
  }
}
