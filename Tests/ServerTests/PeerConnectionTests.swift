import Causality
import Messages
import Platform
import Primitives
import Replication
import Server
import Storage
import Testing

struct PeerConnectionTests {
  private static func hello(from node: UInt32, bootID: UInt64 = 5) -> PeerMessage {
    PeerMessage(
      time: .zero,
      body: .hello(
        Hello(
          node: NodeID(node), name: "n\(node)", bootID: bootID, knownBootID: 0, actor: ActorID(6), cluster: nil,
          membersDigest: 0,
          ringEpoch: 0, wallMilliseconds: 0)))
  }

  private static func frames(_ messages: [PeerMessage]) -> [UInt8] {
    var outbox = PeerOutbox(bytesMax: 1 << 20)
    for message in messages { _ = outbox.enqueue(message) }
    var bytes: [UInt8] = []
    while !outbox.isEmpty { outbox.drain(into: &bytes, atMost: 1 << 20) }
    return bytes
  }

  /// Waits until the node has seen what `condition` asks for; a failure shows as a test that does not end.
  private func wait(_ shard: RunningShard, until condition: ([String]) -> Bool) async {
    while !condition(shard.observations.events) { await Task.yield() }
  }

  @Test("after its hello, a peer's messages come as its own, split anywhere")
  func introduction() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let peer = try shard.connectAsPeer()
    let messages = [Self.hello(from: 2), StandInNode.ping(1), StandInNode.ping(2)]
    for byte in Self.frames(messages) { try peer.send([byte]) }
    await wait(shard) { $0.count == 3 }
    #expect(shard.observations.events == ["peer #2", "peer #2", "peer #2"])
    #expect(shard.observations.facts.withLock { $0.peerMessages } == messages)
    #expect(await shard.stop() == .clean)
  }

  @Test("a connection that does not begin with a hello is closed, and its message is not heard")
  func noHello() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let peer = try shard.connectAsPeer()
    try peer.send(Self.frames([StandInNode.ping(1), Self.hello(from: 2)]))
    #expect(try peer.receiveAll() == [])
    #expect(await shard.stop() == .clean)
    #expect(shard.observations.events == [])
  }

  @Test("a stranger is heard once and closed")
  func stranger() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let peer = try shard.connectAsPeer()
    try peer.send(Self.frames([Self.hello(from: 9), StandInNode.ping(1)]))
    #expect(try peer.receiveAll() == [])
    #expect(await shard.stop() == .clean)
    #expect(shard.observations.events == ["peer #9"])
  }

  @Test("a second connection of the same node replaces the first")
  func replacement() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let first = try shard.connectAsPeer()
    try first.send(Self.frames([Self.hello(from: 2)]))
    await wait(shard) { $0.count == 1 }
    let second = try shard.connectAsPeer()
    try second.send(Self.frames([Self.hello(from: 2)]))
    #expect(try first.receiveAll() == [])
    try second.send(Self.frames([StandInNode.ping(1)]))
    await wait(shard) { $0.count == 3 }
    #expect(await shard.stop() == .clean)
  }

  @Test("the connection of the boot before stays beside that of a new boot, and goes with the next one")
  func boots() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let first = try shard.connectAsPeer()
    try first.send(Self.frames([Self.hello(from: 2, bootID: 5)]))
    await wait(shard) { $0.count == 1 }
    let second = try shard.connectAsPeer()
    try second.send(Self.frames([Self.hello(from: 2, bootID: 6)]))
    await wait(shard) { $0.count == 2 }
    try first.send(Self.frames([StandInNode.ping(1)]))
    await wait(shard) { $0.count == 3 }
    let third = try shard.connectAsPeer()
    try third.send(Self.frames([Self.hello(from: 2, bootID: 7)]))
    #expect(try first.receiveAll() == [])
    try second.send(Self.frames([StandInNode.ping(2)]))
    await wait(shard) { $0.count == 5 }
    #expect(await shard.stop() == .clean)
  }

  @Test("a clone is closed when the boot whose place it took answers, which is heard as before")
  func clone() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let member = try shard.connectAsPeer()
    try member.send(Self.frames([Self.hello(from: 2)]))
    await wait(shard) { $0.count == 1 }
    let clone = try shard.connectAsPeer()
    try clone.send(Self.frames([Self.hello(from: 2, bootID: StandInNode.clonedBootID)]))
    await wait(shard) { $0.count == 2 }
    let reply = PingReply(bootID: 5, yourBootID: 1, sequence: 1, wallMilliseconds: 0)
    try member.send(Self.frames([PeerMessage(time: .zero, body: .pingReply(reply))]))
    #expect(try clone.receiveAll() == [])
    try member.send(Self.frames([StandInNode.ping(1)]))
    await wait(shard) { $0.count == 4 }
    #expect(await shard.stop() == .clean)
  }

  @Test("a node whose hello is refused is heard, closed, and does not cut off the member it claims to be")
  func impostor() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let member = try shard.connectAsPeer()
    try member.send(Self.frames([Self.hello(from: 2)]))
    await wait(shard) { $0.count == 1 }
    let impostor = try shard.connectAsPeer()
    try impostor.send(Self.frames([Self.hello(from: 2, bootID: StandInNode.refusedBootID)]))
    #expect(try impostor.receiveAll() == [])
    try member.send(Self.frames([StandInNode.ping(1)]))
    await wait(shard) { $0.count == 3 }
    #expect(await shard.stop() == .clean)
  }

  @Test("whoever sends and does not say hello is closed before it is given memory")
  func noHelloManyBytes() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    let stranger = try shard.connectAsPeer()
    // A large message travels in chunks, of which none is whole: nothing is decoded, everything would be kept.
    guard let key = ObjectKey(bucket: [1], key: [2]) else { return }
    let value = [UInt8](repeating: 7, count: 300_000)
    let push = Push(
      operation: 0, store: StoreID(partition: 0, replicas: 1), configID: 0, key: key,
      version: StoredVersion(stamp: .zero, isTombstone: false, value: value), wantsApplied: false, wantsSynced: false)
    let bytes = Self.frames([PeerMessage(time: .zero, body: .push(push))])
    try? stranger.send(Array(bytes.prefix(100_000)))
    #expect(try stranger.receiveAll() == [])
    #expect(await shard.stop() == .clean)
    #expect(shard.observations.events == [])
  }

  @Test("garbage on the cluster port closes the connection", arguments: UInt64(0)..<20)
  func garbage(seed: UInt64) async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path)
    var generator = SeededGenerator(seed: seed)
    let peer = try shard.connectAsPeer()
    // A length that no frame has, then noise: the closing does not depend on how much of it was read.
    let noise = (0..<generator.below(4000)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    try peer.send([0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0] + noise)
    #expect(try peer.receiveAll() == [])
    let client = try shard.connect()
    try client.get(["a"])
    #expect(try client.values(1) == ["a"])
    #expect(await shard.stop() == .clean)
  }

  @Test("a link is made, carries messages, and is made again after the peer closed it")
  func link() async throws {
    let directory = try TemporaryDirectory()
    let listener = try Listener(on: RunningShard.loopback)
    try listener.start()
    let shard = try RunningShard(in: directory.path, peer: listener.address)
    let loop = try EventLoop()
    try loop.watch(listener.descriptor, .reading, token: 1)
    for round in 1...2 {
      let message = try receiveOne(listener, loop)
      #expect(message == StandInNode.ping(1))
      await wait(shard) { $0.filter { $0 == "link #2 down" }.count == round }
    }
    #expect(shard.observations.events.prefix(4) == ["link #2 up", "link #2 down", "link #2 up", "link #2 down"])
    #expect(await shard.stop() == .clean)
  }

  /// Accepts one connection, reads one message, and closes it.
  private func receiveOne(_ listener: borrowing Listener, _ loop: EventLoop) throws -> PeerMessage? {
    var events: [Readiness] = []
    try loop.poll(timeoutMilliseconds: -1, into: &events)
    switch try listener.accept() {
    case .some(let connection):
      try loop.watch(connection, .reading, token: 2)
      let buffer = ReadBuffer(byteCount: 4096)
      var decoder = FrameDecoder()
      while true {
        if let message = try decoder.next() { return message }
        try loop.poll(timeoutMilliseconds: -1, into: &events)
        if unsafe try buffer.read(from: connection, { unsafe decoder.receive($0) }) == .end { return nil }
      }
    case nil: return nil
    }
  }
}
