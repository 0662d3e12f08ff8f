package import Platform

// Where a node's interface for clients is, as a user types it.

/// Why a text is no address of a node.
package enum EndpointError: Error, Equatable, CustomStringConvertible {
  case noScheme(String)
  case otherScheme(String)
  /// A name where an address belongs. Names are not looked up.
  case hostName(String)
  case noPort(String)
  case noAddress(String)
  case path(String)

  /// What is wrong.
  package var problem: String {
    switch self {
    case .noScheme(""): "'' is no address"
    case .noScheme(let text): "'\(text)' has no scheme"
    case .otherScheme(let text): "'\(text)' does not begin with http://, and this speaks nothing else"
    case .hostName(let text): "'\(text)' names a host, and names are not looked up"
    case .noPort(let text): "'\(text)' has no port"
    case .noAddress(let text): "'\(text)' is no address of a node"
    case .path(let text): "'\(text)' goes on after the port"
    }
  }

  /// What would be right.
  package var suggestion: String {
    switch self {
    case .noScheme(let text), .otherScheme(let text), .path(let text):
      if let meant = EndpointError.meant(by: text) { "type \(meant)" } else { EndpointError.example }
    case .noPort(let text): EndpointError.meant(by: text + ":10018").map { "type \($0)" } ?? EndpointError.example
    case .hostName: "type its numeric address (only localhost is known by name), as in http://127.0.0.1:10018"
    case .noAddress: EndpointError.example
    }
  }

  /// One line: what is wrong, and what would be right.
  package var description: String { "\(problem): \(suggestion)" }

  private static let example = "type a numeric address and a port, as in http://127.0.0.1:10018"

  /// The address in `text`, without what is wrong around it; nil when there is none.
  private static func meant(by text: String) -> Endpoint? {
    let rest = text.firstRange(of: "://").map { text[$0.upperBound...] } ?? text[...]
    return try? Endpoint("http://" + rest.prefix { $0 != "/" && $0 != "?" })
  }
}

package struct Endpoint: Equatable, Sendable, CustomStringConvertible {
  package let address: SocketAddress
  /// `127.0.0.1:10018`, for a Host header.
  package let authority: [UInt8]
  package let wire: PumpWire
  package var description: String { "\(wire)://\(address)" }

  package init(address: SocketAddress, wire: PumpWire = .http) {
    self.address = address
    self.wire = wire
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
    guard let address = SocketAddress(String(rest)) else { throw Endpoint.problem(with: String(rest), in: text) }
    guard address.port > 0 else { throw .noAddress(text) }
    self.init(address: address)
  }

  /// Why `rest`, what stands behind the scheme, is no address.
  private static func problem(with rest: String, in text: String) -> EndpointError {
    if SocketAddress(rest + ":1") != nil { return .noPort(text) }
    let host = rest.lastIndex(of: ":").map { rest[..<$0] } ?? rest[...]
    let isName = host.first?.isLetter == true && host.allSatisfy { $0.isLetter || $0.isNumber || "-._".contains($0) }
    return isName ? .hostName(text) : .noAddress(text)
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
