import Glibc

// Where a socket is: a numeric address or "localhost", and a port. Names are not looked up: a node must not wait for,
// or depend on, a name server.

package struct SocketAddress: Hashable, Sendable {
  /// 4 bytes (IPv4) or 16 (IPv6), network order.
  package let host: [UInt8]
  package let port: UInt16

  package init(host: [UInt8], port: UInt16) {
    precondition(host.count == 4 || host.count == 16, "an address has 4 or 16 bytes")
    self.host = host
    self.port = port
  }

  /// Parses `127.0.0.1:10018`, `localhost:10018` or `[::1]:10018`; nil when it is none of these.
  package init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
    var name = String(text[..<colon])
    if name.lowercased() == "localhost" { name = "127.0.0.1" }
    if name.hasPrefix("[") && name.hasSuffix("]") {
      var address = in6_addr()
      guard unsafe inet_pton(AF_INET6, String(name.dropFirst().dropLast()), &address) == 1 else { return nil }
      self.init(host: unsafe withUnsafeBytes(of: address) { unsafe Array($0) }, port: port)
    } else {
      var address = in_addr()
      guard unsafe inet_pton(AF_INET, name, &address) == 1 else { return nil }
      self.init(host: unsafe withUnsafeBytes(of: address) { unsafe Array($0) }, port: port)
    }
  }

  /// Whether only this machine can be at the other end.
  package var isLoopback: Bool {
    if host.count == 4 { return host[0] == 127 }
    let mappedV4: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]
    if host.starts(with: mappedV4) { return host[12] == 127 }
    return host[..<15].allSatisfy { $0 == 0 } && host[15] == 1
  }

  /// The same host with a port that the system chooses.
  package var withAnyPort: SocketAddress { SocketAddress(host: host, port: 0) }
}

extension SocketAddress: CustomStringConvertible {
  package var description: String {
    if host.count == 4 { return host.map { String($0) }.joined(separator: ".") + ":\(port)" }
    var address = in6_addr()
    unsafe withUnsafeMutableBytes(of: &address) { unsafe $0.copyBytes(from: host) }
    let name = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
      unsafe inet_ntop(AF_INET6, &address, buffer.baseAddress!, 64) == nil
        ? "?" : unsafe String(cString: buffer.baseAddress!)
    }
    return "[\(name)]:\(port)"
  }
}

extension SocketAddress {
  var family: Int32 { host.count == 4 ? AF_INET : AF_INET6 }

  /// Calls `body` with the address as the system wants it.
  func withSystemAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    if host.count == 4 {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      unsafe withUnsafeMutableBytes(of: &address.sin_addr) { unsafe $0.copyBytes(from: host) }
      return unsafe withUnsafePointer(to: &address) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    address.sin6_port = port.bigEndian
    unsafe withUnsafeMutableBytes(of: &address.sin6_addr) { unsafe $0.copyBytes(from: host) }
    return unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
      }
    }
  }

  /// An address that `fill` (getsockname, getpeername) writes; nil when it fails or is of another family.
  static func filled(by fill: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = unsafe withUnsafeMutablePointer(to: &storage) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe fill($0, &length) }
    }
    guard result == 0 else { return nil }
    let family = Int32(storage.ss_family)
    return unsafe withUnsafeBytes(of: &storage) { bytes in
      let port = unsafe UInt16(bytes[2]) << 8 | UInt16(bytes[3])
      switch family {
      case AF_INET: return unsafe SocketAddress(host: Array(bytes[4..<8]), port: port)
      case AF_INET6: return unsafe SocketAddress(host: Array(bytes[8..<24]), port: port)
      default: return nil
      }
    }
  }
}
