package import Platform

// Where a node's HTTP interface is, as a user types it.

/// Why a text is no address of a node.
package enum EndpointError: Error, Equatable, CustomStringConvertible {
  case noScheme(String)
  case otherScheme(String)
  case noAddress(String)
  case path(String)

  /// One line: what is wrong, and what would be right.
  package var description: String {
    switch self {
    case .noScheme(let text): "'\(text)' has no scheme: type http://\(text)"
    case .otherScheme(let text): "'\(text)' does not begin with http://; Cairn speaks plain HTTP"
    case .noAddress(let text): "'\(text)' names no node: type a numeric address and a port, http://127.0.0.1:10018"
    case .path(let text): "'\(text)' goes on after the port: type the address alone, http://127.0.0.1:10018"
    }
  }
}

package struct Endpoint: Equatable, Sendable, CustomStringConvertible {
  package let address: SocketAddress
  /// `127.0.0.1:10018`, for a Host header.
  package let authority: [UInt8]
  package var description: String { "http://\(address)" }

  package init(address: SocketAddress) {
    self.address = address
    authority = Array(address.description.utf8)
  }

  /// Parses `http://127.0.0.1:10018`, with or without a slash at the end.
  package init(_ text: String) throws(EndpointError) {
    let scheme = "http://"
    guard text.lowercased().hasPrefix(scheme) else {
      throw text.contains("://") ? .otherScheme(text) : .noScheme(text)
    }
    var rest = text.dropFirst(scheme.count)
    if rest.hasSuffix("/") { rest.removeLast() }
    if rest.contains("/") || rest.contains("?") { throw .path(text) }
    guard let address = SocketAddress(String(rest)), address.port > 0 else { throw .noAddress(text) }
    self.init(address: address)
  }
}

/// `bytes` as they stand between two slashes of a path: everything but letters, digits and `-._~` is escaped.
package func percentEncoded(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789ABCDEF".utf8)
  var encoded: [UInt8] = []
  for byte in bytes {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
      UInt8(ascii: "~"):
      encoded.append(byte)
    default:
      encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
  }
  return String(decoding: encoded, as: UTF8.self)
}

/// The path of an object. "." and ".." are escaped too: they would mean something else in a path.
package func objectPath(type: String?, bucket: String, key: String) -> String {
  func segment(_ text: String) -> String {
    text == "." || text == ".." ? text.map { _ in "%2E" }.joined() : percentEncoded(text.utf8)
  }
  let prefix = type.map { "/types/\(segment($0))" } ?? ""
  return "\(prefix)/buckets/\(segment(bucket))/keys/\(segment(key))"
}
