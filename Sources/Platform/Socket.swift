import CLinux
import Glibc

// TCP sockets for the loop (nonblocking), and one blocking socket for the command line. Errors name the address.

package enum SocketError: Error, Equatable, Sendable {
  case portInUse(SocketAddress)
  case addressNotAvailable(SocketAddress)
  case timedOut(SocketAddress)
  case system(String, SocketAddress, Errno)
}

extension SocketError: CustomStringConvertible {
  /// One line: what, where, and what to do.
  package var description: String {
    switch self {
    case .portInUse(let address):
      "\(address) is in use by another process; stop that one first, or choose another port"
    case .addressNotAvailable(let address): "\(address) is no address of this machine; choose one that is"
    case .timedOut(let address): "\(address) did not answer in time"
    case .system(let operation, let address, let error): "cannot \(operation) \(address): \(error)"
    }
  }
}

/// Names the socket call that failed, and where.
private func attempt<Result: ~Copyable>(
  _ operation: String, _ address: SocketAddress, _ body: () throws(Errno) -> Result
) throws(SocketError) -> Result {
  do throws(Errno) {
    return try body()
  } catch .addressInUse {
    throw .portInUse(address)
  } catch .addressNotAvailable {
    throw .addressNotAvailable(address)
  } catch {
    throw .system(operation, address, error)
  }
}

/// A socket for others to connect to: bound when it is made, so that a port in use is known at once, and reachable from
/// `start` on.
package struct Listener: ~Copyable, Sendable {
  package let descriptor: Descriptor
  /// Where it listens; with the port that the system chose when 0 was asked for.
  package let address: SocketAddress

  /// Connections that the kernel keeps until they are accepted.
  private static let backlog: Int32 = 1024

  package init(on address: SocketAddress) throws(SocketError) {
    let socket = try attempt("listen on", address) { () throws(Errno) in
      let socket = Descriptor(owning: try callNegated { cairn_tcp_socket(address.family, 1) })
      let number = socket.rawValue
      try callNegated { cairn_set_reuse_address(number) }
      try call { unsafe address.withSystemAddress { unsafe bind(number, $0, $1) } }
      return socket
    }
    let number = socket.rawValue
    self.address = unsafe SocketAddress.filled { unsafe getsockname(number, $0, &$1) } ?? address
    descriptor = socket
  }

  /// Lets connections come.
  package borrowing func start() throws(SocketError) {
    let number = descriptor.rawValue
    try attempt("listen on", address) { () throws(Errno) in
      try call { listen(number, Listener.backlog) }
      return
    }
  }

  /// The next connection, nonblocking and without Nagle's delay; nil when none waits (or it is gone already).
  /// - Throws: when the system has no descriptor left for it.
  package borrowing func accept() throws(Errno) -> Descriptor? {
    let listener = descriptor.rawValue
    do throws(Errno) {
      let connection = Descriptor(owning: try callNegated { cairn_accept(listener) })
      let number = connection.rawValue
      try callNegated { cairn_set_no_delay(number) }
      return connection
    } catch {
      switch error.rawValue {
      case EAGAIN, ECONNABORTED, EPROTO, EINVAL, ENETDOWN, EHOSTUNREACH: return nil
      default: throw error
      }
    }
  }
}

/// Begins a nonblocking connection; it is made, or has failed (`connectionFailure`), when it becomes writable.
/// - Parameter source: The local address to come from, its port ignored.
package func beginConnecting(to address: SocketAddress, from source: SocketAddress?) throws(SocketError) -> Descriptor {
  let socket = try attempt("connect to", address) { () throws(Errno) in
    Descriptor(owning: try callNegated { cairn_tcp_socket(address.family, 1) })
  }
  let number = socket.rawValue
  if let source, source.family == address.family {
    try attempt("connect from", source) { () throws(Errno) in
      try call { unsafe source.withAnyPort.withSystemAddress { unsafe bind(number, $0, $1) } }
      return
    }
  }
  try attempt("connect to", address) { () throws(Errno) in
    try callNegated { cairn_set_no_delay(number) }
    do throws(Errno) {
      try call { unsafe address.withSystemAddress { unsafe connect(number, $0, $1) } }
    } catch .inProgress {
      return
    }
  }
  return socket
}

extension Descriptor {
  /// Why a connection that was begun was not made; nil when it was.
  package borrowing func connectionFailure() -> Errno? {
    let result = cairn_socket_error(rawValue)
    return result == 0 ? nil : Errno(-result)
  }

  /// Gives the connection up when the other machine falls silent for this long.
  package borrowing func setDeadPeerTimeout(milliseconds: Int) throws(Errno) {
    let number = rawValue
    try callNegated { cairn_set_dead_peer_timeout(number, Int32(clamping: milliseconds)) }
  }

  /// The address at the other end; nil when there is none any more.
  package borrowing func peerAddress() -> SocketAddress? {
    let number = rawValue
    return unsafe SocketAddress.filled { unsafe getpeername(number, $0, &$1) }
  }
}

/// A blocking connection for programs that do one thing at a time.
package struct BlockingSocket: ~Copyable, Sendable {
  private let descriptor: Descriptor
  package let address: SocketAddress

  /// Connects; every later send and receive also fails after `timeoutMilliseconds` without progress.
  package init(connectingTo address: SocketAddress, timeoutMilliseconds: Int) throws(SocketError) {
    let socket = try beginConnecting(to: address, from: nil)
    let number = socket.rawValue
    let timeout = Int32(clamping: timeoutMilliseconds)
    let ready = try attempt("connect to", address) { () throws(Errno) in
      try callNegated { cairn_poll_one(number, CAIRN_WRITABLE, timeout) }
    }
    guard ready > 0 else { throw .timedOut(address) }
    if let failure = socket.connectionFailure() { throw .system("connect to", address, failure) }
    try attempt("connect to", address) { () throws(Errno) in
      let flags = try call { fcntl(number, F_GETFL) }
      try call { fcntl(number, F_SETFL, flags & ~O_NONBLOCK) }
      try callNegated { cairn_set_blocking_timeout(number, timeout) }
      return
    }
    descriptor = socket
    self.address = address
  }

  /// Sends all of `bytes`.
  package borrowing func send(_ bytes: [UInt8]) throws(SocketError) {
    var sent = 0
    while sent < bytes.count {
      do throws(Errno) {
        let count = try descriptor.write(bytes, from: sent)
        guard count > 0 else { throw Errno.timedOut }
        sent += count
      } catch {
        throw error == .timedOut ? .timedOut(address) : .system("send to", address, error)
      }
    }
  }

  /// The next bytes, at most `countMax`; empty when the other side has finished.
  package borrowing func receive(countMax: Int) throws(SocketError) -> [UInt8] {
    var failure: Errno?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: countMax) { buffer, filled in
      do throws(Errno) {
        switch unsafe try descriptor.read(into: UnsafeMutableRawBufferPointer(buffer)) {
        case .bytes(let count): filled = count
        case .end: return
        case .wouldBlock: failure = .timedOut
        }
      } catch {
        failure = error
      }
    }
    guard let failure else { return bytes }
    throw failure == .timedOut ? .timedOut(address) : .system("receive from", address, failure)
  }
}
