import Messages
import Platform
import Primitives
import Replication
import Server
import Testing

@testable import Protocols

// Connections of Riak's binary protocol: one request in progress, answers in order, listings at the client's pace.

struct BinaryConnectionTests {
  private func frame(_ code: UInt8, _ message: [UInt8] = []) -> [UInt8] {
    let length = UInt32(message.count + 1)
    return (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) } + [code] + message
  }

  private func frame(_ code: PBCode, _ message: some PBMessage) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendFrame(code, message)
    return bytes
  }

  private func get(_ key: String) -> [UInt8] {
    frame(.getRequest, RpbGetReq(bucket: [98], key: [UInt8](key.utf8)[...]))
  }

  private func listKeys(_ bucket: String) -> [UInt8] {
    frame(.listKeysRequest, RpbListKeysReq(bucket: [UInt8](bucket.utf8)[...]))
  }

  /// The next frames of a connection that is not read from again.
  private func frames(_ socket: borrowing BlockingSocket, _ count: Int) throws -> [[UInt8]] {
    var reader = FrameReader()
    return try reader.next(count, from: socket)
  }

  /// What the answer to a get holds; what any other frame is, by its code.
  private func text(_ frame: [UInt8]) -> String {
    let code = frame[0]
    guard code == 10, let answer = try? RpbGetResp(frame, 1..<frame.count) else { return "code \(code)" }
    return String(decoding: answer.content.first?.value ?? [], as: UTF8.self)
  }

  @Test("pipelined frames are answered in order, with one request in progress")
  func pipelining() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connectBinary()
    var frames = FrameReader()
    try client.send(get("a") + get("hold") + frame(1) + get("b") + get("hold") + get("c"))
    var told = try frames.next(1, from: client).map(text)
    let other = try shard.connect()
    while shard.observations.inProgressMax == 0 {
      try other.get(["x"])
      _ = try other.values(1)
    }
    try other.release()
    told += try frames.next(3, from: client).map(text)
    // What has been read shows that the next request was begun in the same turn.
    try other.release()
    told += try frames.next(2, from: client).map(text)
    #expect(told == ["a", "release", "code 2", "b", "release", "c"])
    #expect(shard.observations.inProgressMax == 1)
    #expect(await shard.stop() == .clean)
  }

  @Test("a thousand pipelined frames are all answered, and so is what came before the client closed its side")
  func many() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connectBinary()
    let keys = (0..<1000).map { "k\($0)" }
    try client.send(keys.flatMap(get))
    #expect(try frames(client, 1000).map(text) == keys)
    #expect(await shard.stop() == .clean)
  }

  @Test("a conditional put reads and then writes in one exchange")
  func conditionalPut() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connectBinary()
    var put = RpbPutReq(bucket: [98], key: [107], content: RpbContent(value: [118]))
    put.ifNoneMatch = true
    // The stand-in finds every key but one.
    try client.send(frame(.putRequest, put) + frame(1))
    #expect(try frames(client, 2).map { $0[0] } == [0, 2])
    #expect(!shard.observations.events.contains("put"))
    put.key = [UInt8]("absent".utf8)[...]
    try client.send(frame(.putRequest, put) + frame(1))
    #expect(try frames(client, 2).map { $0[0] } == [12, 2])
    #expect(shard.observations.events.contains("put"))
    #expect(await shard.stop() == .clean)
  }

  @Test("a client that does not read holds its listing up, and is served the rest when it does")
  func backPressure() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connectBinary()
    let parts = 2000
    try client.send(listKeys("parts-\(parts)") + frame(1))
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
    let frames = try frames(client, parts + 2)
    #expect(frames.map { $0[0] } == Array(repeating: 18, count: parts + 1) + [2])
    // The last message of a listing says that it is done, and nothing else.
    #expect(frames[parts] == [18, 16, 1])
    #expect(await shard.stop() == .clean)
  }

  @Test("a listing that breaks off ends with an error, and the connection goes on")
  func brokenListing() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connectBinary()
    try client.send(listKeys("broken-1") + frame(1))
    #expect(try frames(client, 3).map { $0[0] } == [18, 0, 2])
    #expect(await shard.stop() == .clean)
  }

  @Test("a client that goes away while its listing is made is noticed")
  func abandoned() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    do {
      let client = try shard.connectBinary()
      try client.send(listKeys("silent-1"))
      let other = try shard.connect()
      while !shard.observations.events.contains("list") {
        try other.get(["x"])
        _ = try other.values(1)
      }
    }
    let other = try shard.connect()
    while !shard.observations.events.contains("abandoned") {
      try other.get(["x"])
      _ = try other.values(1)
    }
    #expect(await shard.stop() == .clean)
  }

  @Test("a frame that is too long is refused and the connection closed; others are served")
  func tooLong() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connectBinary()
    try client.send([0xFF, 0xFF, 0xFF, 0xFF, 9])
    let answer = try client.receiveAll()
    #expect(answer.count > 5 && answer[4] == 0)
    let other = try shard.connectBinary()
    try other.send(get("a"))
    #expect(try frames(other, 1).map(text) == ["a"])
    #expect(await shard.stop() == .clean)
  }

  @Test("a client that sends far ahead is not read from until it has been served")
  func farAhead() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["input_max=1MiB"])
    var put = RpbPutReq(bucket: [98], key: [107], content: RpbContent())
    put.content?.value = [UInt8](repeating: 0, count: 4096)[...]
    let bytes = get("hold") + Array(repeatElement(frame(.putRequest, put), count: 2000).joined())
    let answered = Locked(0)
    // More than input_max: the sockets hold what the shard leaves, and the sender waits.
    let sender = try Thread {
      var frames = FrameReader()
      guard let client = try? shard.connectBinary(), (try? client.send(bytes)) != nil else { return }
      let count = (try? frames.next(2001, from: client).count) ?? 0
      answered.withLock { $0 = count }
    }
    let other = try shard.connect()
    while shard.observations.inProgressMax == 0 {
      try other.get(["x"])
      _ = try other.values(1)
    }
    for _ in 0..<500 {
      try other.get(["x"])
      #expect(try other.values(1) == ["x"])
    }
    try other.release()
    sender.join()
    #expect(answered.withLock { $0 } == 2001)
    #expect(await shard.stop() == .clean)
  }

  @Test("garbage is answered with errors or waited for; others are served", arguments: UInt64(0)..<20)
  func garbage(seed: UInt64) async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    var generator = SeededGenerator(seed: seed)
    let client = try shard.connectBinary()
    for _ in 0..<50 {
      let message = (0..<generator.below(100)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      // Codes that nobody knows, or messages that are none.
      try client.send(frame(UInt8(100 + generator.below(100)), message))
    }
    #expect(try frames(client, 50).allSatisfy { $0[0] == 0 })
    let other = try shard.connectBinary()
    try other.send(get("a"))
    #expect(try frames(other, 1).map(text) == ["a"])
    #expect(await shard.stop() == .clean)
  }

  @Test("a preference list names the nodes that would be asked")
  func preflist() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let client = try shard.connectBinary()
    try client.send(frame(.preflistRequest, RpbGetBucketKeyPreflistReq(bucket: [98], key: [107])))
    let answer = try #require(try frames(client, 1).first)
    let list = try RpbGetBucketKeyPreflistResp(answer, 1..<answer.count)
    #expect(list.preflist == [RpbBucketKeyPreflistItem(partition: 0, node: [UInt8]("n1".utf8)[...], primary: true)])
    #expect(await shard.stop() == .clean)
  }

  @Test("one connection too many is told so")
  func connectionBound() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["connections_max=1"])
    let first = try shard.connectBinary()
    try first.send(get("a"))
    #expect(try frames(first, 1).map(text) == ["a"])
    let second = try shard.connectBinary()
    let answer = try second.receiveAll()
    #expect(answer == PBAnswers.error("too many connections"))
    #expect(await shard.stop() == .clean)
  }
}

extension BlockingSocket {
  fileprivate borrowing func release() throws {
    try get(["release"])
    _ = try values(1)
  }
}

/// Takes frames from what a connection brings.
private struct FrameReader {
  private var pending: [UInt8] = []
  private var start = 0

  /// The next `count` frames, each with its code first; fewer when the connection ends.
  mutating func next(_ count: Int, from socket: borrowing BlockingSocket) throws -> [[UInt8]] {
    var frames: [[UInt8]] = []
    while frames.count < count {
      if pending.count - start >= 4 {
        let length = pending[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
        if pending.count - start >= 4 + length {
          frames.append(Array(pending[start + 4..<start + 4 + length]))
          start += 4 + length
          continue
        }
      }
      pending.removeSubrange(..<start)
      start = 0
      let bytes = try socket.receive(countMax: 1 << 16)
      guard !bytes.isEmpty else { break }
      pending += bytes
    }
    return frames
  }
}
