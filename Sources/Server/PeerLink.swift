import Cluster
import Messages
import Platform
import Primitives

// This node's own connection to one other member: it carries this node's messages, nothing comes back on it. Lost
// connections are made again with growing, jittered pauses. Messages wait in a bounded outbox; what does not fit is
// dropped and counted, and the node relies on its deadlines. A new connection begins with an empty outbox.

final class PeerLink {
  enum State: Equatable {
    /// Not connected; the next attempt is due then.
    case waiting(until: Instant)
    /// Begun, to be given up then.
    case connecting(deadline: Instant)
    case up
  }

  private static let pauseMillisecondsMin: UInt64 = 50
  private static let pauseMillisecondsMax: UInt64 = 2000
  private static let connectMillisecondsMax: UInt64 = 2000
  /// A connection that lasted this long was a good one: the next pause is short again.
  private static let goodMilliseconds: UInt64 = 2000
  /// A peer that acknowledges nothing for this long is as good as gone.
  private static let deadPeerMilliseconds = 10_000
  /// Bytes taken out of the outbox at once.
  private static let drainBytesMax = 512 << 10

  let member: Member
  let index: Int
  private let address: SocketAddress?
  private(set) var state: State
  private var socket: Descriptor?
  private var outbox: PeerOutbox
  private var output = OutputBuffer()
  private var interest = Interest.none
  private var failures = 0
  private var upSince: Instant?
  /// Bytes wait that no write was tried for yet.
  var isDirty = false
  private(set) var messagesDropped: UInt64 = 0

  init(member: Member, index: Int, outboxBytesMax: Int, now: Instant) {
    self.member = member
    self.index = index
    address = SocketAddress(member.address)
    outbox = PeerOutbox(bytesMax: outboxBytesMax)
    state = .waiting(until: now)
  }

  /// Bytes that wait to be sent.
  var waitingBytes: Int { outbox.byteCount + output.pendingBytes }

  /// When this link wants to be looked at; nil when only its socket can have news.
  var due: Instant? {
    switch state {
    case .waiting(let instant): instant
    case .connecting(let instant): instant
    case .up: nil
    }
  }

  /// Starts a connection. - Returns: why not.
  func connect(from source: SocketAddress?, on loop: EventLoop, now: Instant) -> String? {
    guard let address else { return "'\(member.address)' is not a numeric address" }
    do throws(SocketError) {
      let socket = try beginConnecting(to: address, from: source)
      do throws(Errno) {
        try socket.setDeadPeerTimeout(milliseconds: PeerLink.deadPeerMilliseconds)
        interest = .both
        try loop.watch(socket, interest, token: Source.link(index).token)
      } catch {
        return "\(error)"
      }
      self.socket = consume socket
      state = .connecting(deadline: now.adding(milliseconds: PeerLink.connectMillisecondsMax))
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// The connection became writable or broke. - Returns: why it was not made; nil when it was.
  func finishConnecting(now: Instant) -> String? {
    switch socket {
    case .some(let socket):
      if let failure = socket.connectionFailure() { return "\(failure)" }
    case nil: return "no connection"
    }
    state = .up
    upSince = now
    outbox = PeerOutbox(bytesMax: outbox.bytesMax)
    output.clear()
    return nil
  }

  /// Gives the connection up and plans the next one. - Returns: whether it was up.
  func drop(now: Instant, jitter: inout SeededGenerator) -> Bool {
    let wasUp = state == .up
    if let upSince, now.milliseconds(since: upSince) >= PeerLink.goodMilliseconds { failures = 0 }
    upSince = nil
    socket = nil
    outbox = PeerOutbox(bytesMax: outbox.bytesMax)
    output.clear()
    let pause = min(PeerLink.pauseMillisecondsMax, PeerLink.pauseMillisecondsMin << UInt64(min(failures, 10)))
    failures += 1
    state = .waiting(until: now.adding(milliseconds: pause / 2 + jitter.next() % (pause / 2 + 1)))
    return wasUp
  }

  /// The peer has shown that it lives: a pause ends now.
  func hurry(now: Instant) {
    if case .waiting = state { state = .waiting(until: now) }
  }

  /// False, and the message is gone, when there is no connection or its outbox is full.
  func enqueue(_ message: PeerMessage) -> Bool {
    guard state == .up, outbox.enqueue(message) else {
      messagesDropped += 1
      return false
    }
    return true
  }

  /// Whether the peer has closed the connection. It never sends anything else on it.
  func isClosedByPeer(with buffer: ReadBuffer) -> Bool {
    switch socket {
    case .some(let socket):
      guard let received = unsafe try? buffer.read(from: socket, { _ in }) else { return true }
      return received != .wouldBlock
    case nil: return true
    }
  }

  /// Writes until the outbox is empty or the connection takes no more. - Throws: what broke the connection.
  func write(on loop: EventLoop) throws(Errno) {
    isDirty = false
    guard state == .up else { return }
    switch socket {
    case .some(let socket):
      while true {
        if output.isEmpty {
          if outbox.isEmpty { break }
          outbox.drain(into: &output.bytes, atMost: PeerLink.drainBytesMax)
        }
        _ = try output.write(to: socket)
        if !output.isEmpty { break }
      }
      let wanted = Interest(reading: true, writing: !output.isEmpty)
      if wanted != interest {
        interest = wanted
        try loop.change(socket, wanted, token: Source.link(index).token)
      }
    case nil: return
    }
  }
}

/// A connection that another node made to this one. Its first message says whose it is.
final class InboundLink {
  let descriptor: Descriptor
  let key: SlabKey
  let began: Instant
  var decoder = FrameDecoder()
  /// Known once it said hello.
  var sender: NodeID?
  /// What it said then.
  var hello: Hello?

  init(descriptor: consuming Descriptor, key: SlabKey, began: Instant) {
    self.descriptor = descriptor
    self.key = key
    self.began = began
  }
}
