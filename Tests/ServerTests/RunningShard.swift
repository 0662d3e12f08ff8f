import Cluster
import Platform
import Primitives
import Replication
import Server

/// A shard with a stand-in node, on a thread and ports of its own; stopped and joined by `stop`.
final class RunningShard: Sendable {
  let http: SocketAddress
  let pb: SocketAddress
  let cluster: SocketAddress
  let observations = Observations()
  private let shard: Shard<StandInNode>
  private let thread: Thread
  private let outcome = Locked<StopReason?>(nil)

  static let loopback = SocketAddress(host: [127, 0, 0, 1], port: 0)

  /// - Parameters:
  ///   - settings: `key=value`.
  ///   - peer: Where `n2` listens.
  init(in directory: String, settings: [String] = [], peer: SocketAddress? = nil) throws {
    let clients = try Listener(on: Self.loopback)
    let binary = try Listener(on: Self.loopback)
    let peers = try Listener(on: Self.loopback)
    // The shard does this too, but on its own thread, and tests connect at once.
    try clients.start()
    try binary.start()
    try peers.start()
    http = clients.address
    pb = binary.address
    cluster = peers.address
    let members = "n1=\(peers.address),n2=\(peer ?? SocketAddress(host: [127, 0, 0, 1], port: 1))"
    let arguments = ["--name", "n1", "--data", directory, "--http", "\(http)", "--cluster", "\(cluster)"]
    let configuration = try Configuration(
      arguments: arguments + ["--initial-cluster", members]
        + (settings + ["log_level=error"]).flatMap { ["--set", $0] })
    let node = try StandInNode(
      options: configuration.nodeOptions(seed: 1), files: PosixFileSystem(), observations: observations)
    let shard = try Shard(
      configuration: configuration, node: node, clients: clients, peers: peers, binary: binary, signals: nil, seed: 1)
    self.shard = shard
    thread = try Thread { [outcome] in
      let reason = try? shard.run()
      outcome.withLock { $0 = reason }
    }
  }

  func connect() throws -> BlockingSocket { try BlockingSocket(connectingTo: http, timeoutMilliseconds: 20_000) }
  func connectBinary() throws -> BlockingSocket { try BlockingSocket(connectingTo: pb, timeoutMilliseconds: 20_000) }
  func connectAsPeer() throws -> BlockingSocket {
    try BlockingSocket(connectingTo: cluster, timeoutMilliseconds: 20_000)
  }

  /// Stops the shard cleanly.
  func stop() async -> StopReason? {
    await shard.stop()
    return join()
  }

  /// Waits until the shard has stopped by itself, and says why it did.
  func join() -> StopReason? {
    thread.join()
    return outcome.withLock { $0 }
  }
}

extension BlockingSocket {
  borrowing func get(_ keys: [String]) throws {
    let requests = keys.map { "GET /buckets/b/keys/\($0) HTTP/1.1\r\nHost: x\r\n\r\n" }
    try send(Array(requests.joined().utf8))
  }

  /// Everything until the other side closes, or breaks, the connection.
  /// Throws when the other side has not finished in time: silence is no end.
  borrowing func receiveAll() throws(SocketError) -> [UInt8] {
    var all: [UInt8] = []
    while true {
      do throws(SocketError) {
        let bytes = try receive(countMax: 1 << 16)
        if bytes.isEmpty { return all }
        all += bytes
      } catch {
        if case .timedOut = error { throw error }
        // A reset is an end as well: the other side closed with our bytes unread.
        return all
      }
    }
  }

  /// The values of the next `count` answers, which must be complete.
  borrowing func values(_ count: Int) throws -> [String] {
    var reader = AnswerReader()
    while reader.values.count < count {
      let bytes = try receive(countMax: 1 << 16)
      guard !bytes.isEmpty else { break }
      reader.take(bytes)
    }
    return reader.values.map { String(decoding: $0, as: UTF8.self) }
  }
}

/// The simplest reader of answers with a Content-Length.
private struct AnswerReader {
  private var pending: [UInt8] = []
  var values: [[UInt8]] = []

  mutating func take(_ bytes: [UInt8]) {
    pending += bytes
    while let end = headEnd() {
      let head = String(decoding: pending[..<end], as: UTF8.self)
      let field = head.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }
      let length = field.flatMap { Int($0.dropFirst(16)) } ?? 0
      guard pending.count >= end + 4 + length else { return }
      values.append(Array(pending[(end + 4)..<(end + 4 + length)]))
      pending.removeSubrange(..<(end + 4 + length))
    }
  }

  private func headEnd() -> Int? {
    let mark = Array("\r\n\r\n".utf8)
    guard pending.count >= 4 else { return nil }
    return (0...pending.count - 4).first { pending[$0] == 13 && Array(pending[$0..<$0 + 4]) == mark }
  }
}
