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
    /// Requests before this place have been taken, lines before the other been looked at.
    var parsed = 0
    var scanned = 0
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
        try state.loop.watch(peer.descriptor, .reading, token: UInt64(accepted))
        peers[UInt64(accepted)] = peer
      }
    } else if let peer = peers[event.token] {
      if serve(peer, event) {
        try state.loop.change(
          peer.descriptor, peer.output.isEmpty ? .reading : .both, token: event.token)
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
      defer {
        peer.input.removeFirst(peer.parsed)
        peer.scanned -= peer.parsed
        peer.parsed = 0
      }
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
    guard let end = headEnd(peer) else { return nil }
    let head = peer.input[peer.parsed..<end - 4]
    let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n").map(String.init)
    let words = lines[0].split(separator: " ").map(String.init)
    let length = lines.first { $0.hasPrefix("Content-Length: ") }.flatMap { Int($0.dropFirst(16)) } ?? 0
    guard peer.input.count >= end + length else { return nil }
    defer {
      peer.parsed = end + length
      peer.scanned = peer.parsed
      peer.requests += 1
    }
    return SeenRequest(
      method: words[0], target: words[1], headers: Array(lines[1...]), body: Array(peer.input[end..<end + length]),
      connection: connection, numberOnConnection: peer.requests)
  }

  /// The place behind the empty line of the next request; nil when it has not come.
  private func headEnd(_ peer: Peer) -> Int? {
    while let line = peer.input[peer.scanned...].firstIndex(of: 0x0A) {
      // Behind the line before, there is nothing but this line's end.
      if line == peer.scanned + 1, line > peer.parsed + 1 { return line + 1 }
      peer.scanned = line + 1
    }
    return nil
  }
}
