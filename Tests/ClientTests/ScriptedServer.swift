import Client
import Platform
import Testing

// A server on a thread of its own that answers as the test says, for what a well-behaved node never does.

/// A request as the server saw it.
struct SeenRequest {
  let method: String
  let target: String
  let headers: [String]
  let body: [UInt8]
  /// Counted from 0, in order of arrival.
  let connection: Int
  let numberOnConnection: Int
}

final class ScriptedServer: Sendable {
  enum Reply {
    case send([UInt8])
    /// Sends these and then ends the connection.
    case sendAndClose([UInt8])
    /// Answers nothing, now or later.
    case ignore

    static func ok(_ body: [UInt8]) -> Reply { .send(ScriptedServer.answer(200, body)) }
    static var noContent: Reply { .send(Array("HTTP/1.1 204 No Content\r\n\r\n".utf8)) }
    static var close: Reply { .sendAndClose([]) }
  }

  let endpoint: Endpoint
  private let state: ServerState
  private let thread: Thread

  /// - Parameters:
  ///   - listens: When false, connections are refused until `listen`.
  ///   - sliceMax: Answers leave in writes of at most this many bytes.
  init(listens: Bool = true, sliceMax: Int = .max, _ reply: @escaping @Sendable (SeenRequest) -> Reply) throws {
    let listener = try Listener(on: SocketAddress(host: [127, 0, 0, 1], port: 0))
    endpoint = Endpoint(address: listener.address)
    let state = ServerState(listener, loop: try EventLoop())
    self.state = state
    if listens { try state.listener.start() }
    thread = try Thread { ServerRun(state, sliceMax: sliceMax, reply).run() }
  }

  deinit {
    state.isStopped.withLock { $0 = true }
    state.loop.wake()
    thread.join()
  }

  func listen() throws { try state.listener.start() }

  static func answer(_ status: Int, _ body: [UInt8], headers: String = "") -> [UInt8] {
    Array("HTTP/1.1 \(status) X\r\n\(headers)Content-Length: \(body.count)\r\n\r\n".utf8) + body
  }
}

private final class ServerState: Sendable {
  let listener: Listener
  let loop: EventLoop
  let isStopped = Locked(false)

  init(_ listener: consuming Listener, loop: EventLoop) {
    self.listener = listener
    self.loop = loop
  }
}

private final class ServerRun {
  private final class Peer {
    let descriptor: Descriptor
    var input: [UInt8] = []
    var output: [UInt8] = []
    var requests = 0
    var closes = false
    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
  }

  private let state: ServerState
  private let sliceMax: Int
  private let reply: (SeenRequest) -> ScriptedServer.Reply
  private var peers: [UInt64: Peer] = [:]
  private var accepted = 0
  private let buffer = ReadBuffer(byteCount: 1 << 16)

  init(_ state: ServerState, sliceMax: Int, _ reply: @escaping (SeenRequest) -> ScriptedServer.Reply) {
    self.state = state
    self.sliceMax = sliceMax
    self.reply = reply
  }

  func run() {
    do throws(Errno) {
      try state.loop.watch(state.listener.descriptor, .reading, token: 0)
      var events: [Readiness] = []
      while !state.isStopped.withLock({ $0 }) {
        events.removeAll(keepingCapacity: true)
        try state.loop.poll(timeoutMilliseconds: 10_000, into: &events)
        for event in events { try take(event) }
      }
    } catch {
      Issue.record("the scripted server failed: \(error)")
    }
  }

  private func take(_ event: Readiness) throws(Errno) {
    if event.token == 0 {
      while let descriptor = try state.listener.accept() {
        accepted += 1
        let peer = Peer(descriptor)
        try state.loop.watch(peer.descriptor, [.reading], token: UInt64(accepted))
        peers[UInt64(accepted)] = peer
      }
    } else if let peer = peers[event.token] {
      if serve(peer, event) {
        try state.loop.change(
          peer.descriptor, peer.output.isEmpty ? .reading : [.reading, .writing], token: event.token)
      } else {
        peers[event.token] = nil
      }
    }
  }

  /// False when the connection has ended.
  private func serve(_ peer: Peer, _ event: Readiness) -> Bool {
    if event.readable || event.broken {
      let received = unsafe try? buffer.read(from: peer.descriptor) { unsafe peer.input.append(contentsOf: $0) }
      guard let received, received != .end else { return false }
      while !peer.closes, let request = next(peer, connection: Int(event.token) - 1) {
        switch reply(request) {
        case .send(let bytes): peer.output += bytes
        case .sendAndClose(let bytes):
          peer.output += bytes
          peer.closes = true
        case .ignore: break
        }
      }
    }
    let slice = Array(peer.output.prefix(sliceMax))
    if !slice.isEmpty {
      guard let count = try? peer.descriptor.write(slice, from: 0) else { return false }
      peer.output.removeFirst(count)
    }
    return !(peer.closes && peer.output.isEmpty)
  }

  private func next(_ peer: Peer, connection: Int) -> SeenRequest? {
    let bytes = peer.input
    guard let end = (0..<max(0, bytes.count - 3)).first(where: { bytes[$0..<$0 + 4] == [13, 10, 13, 10] }) else {
      return nil
    }
    let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n").map(String.init)
    let words = lines[0].split(separator: " ").map(String.init)
    let length = lines.first { $0.hasPrefix("Content-Length: ") }.flatMap { Int($0.dropFirst(16)) } ?? 0
    guard bytes.count >= end + 4 + length else { return nil }
    defer {
      peer.input.removeFirst(end + 4 + length)
      peer.requests += 1
    }
    return SeenRequest(
      method: words[0], target: words[1], headers: Array(lines[1...]),
      body: Array(bytes[(end + 4)..<(end + 4 + length)]), connection: connection, numberOnConnection: peer.requests)
  }
}
