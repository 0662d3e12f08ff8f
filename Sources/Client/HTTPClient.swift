package import Platform
import Primitives
package import Protocols

// A blocking HTTP/1.1 client for commands and tests: one request at a time on one connection, which is kept between
// requests as long as the server says it keeps it. It never repeats a request by itself, not even when a kept
// connection turns out to be closed: whether that is safe only the caller knows.

/// Why there is no answer. Each says to which node.
package enum HTTPClientError: Error, Equatable, CustomStringConvertible {
  /// No connection was made: the request was certainly not seen.
  case notReached(Endpoint, SocketError)
  /// The request was sent, wholly or in part, and no answer came: it may have been performed.
  case noAnswer(Endpoint, reason: String)
  /// A part of the answer came, and then no more.
  case cutShort(Endpoint, reason: String)

  package var description: String {
    switch self {
    case .notReached(let endpoint, .system(_, _, let error)): "cannot reach \(endpoint): \(error)"
    case .notReached(let endpoint, let error): "cannot reach \(endpoint): \(error)"
    case .noAnswer(let endpoint, let reason): "no answer from \(endpoint): \(reason)"
    case .cutShort(let endpoint, let reason): "the answer of \(endpoint) ended early: \(reason)"
    }
  }
}

package struct HTTPClient: ~Copyable {
  package let endpoint: Endpoint
  private let timeoutMilliseconds: Int
  private var connection: Connection?

  /// - Parameter timeoutMilliseconds: How long to wait for the connection, and for every next piece of an answer.
  package init(_ endpoint: Endpoint, timeoutMilliseconds: Int) {
    self.endpoint = endpoint
    self.timeoutMilliseconds = timeoutMilliseconds
  }

  /// Sends a request and returns the answer, whatever its status. A failure closes the connection; the next request
  /// makes a new one.
  package mutating func send(
    _ method: String, _ target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = []
  ) throws(HTTPClientError) -> HTTPResponse {
    let request = encoded(method, target, headers: headers, body: body)
    let connection: Connection
    if let kept = self.connection { connection = kept } else { connection = try connect() }
    self.connection = nil
    do throws(SocketError) {
      try connection.socket.send(request)
    } catch {
      // The server may have refused the request without reading all of it, and said why.
      if let response = try? answer(on: connection, isHead: method == "HEAD") { return response }
      throw .noAnswer(endpoint, reason: "\(error)")
    }
    let response = try answer(on: connection, isHead: method == "HEAD")
    if response.keepsConnection { self.connection = connection }
    return response
  }

  /// Sends a GET and hands the body of a 200 to `take` piece by piece, as it comes; nothing of it is kept.
  /// - Returns: The answer, when all of it has come; with a body when it is no 200.
  /// - Throws: `HTTPClientError`, and what `take` throws; the connection is closed then.
  package mutating func stream(_ target: String, _ take: ([UInt8]) throws -> Void) throws -> HTTPResponse {
    let request = encoded("GET", target, headers: [], body: [])
    let connection: Connection
    if let kept = self.connection { connection = kept } else { connection = try connect() }
    self.connection = nil
    do throws(SocketError) {
      try connection.socket.send(request)
    } catch {
      throw HTTPClientError.noAnswer(endpoint, reason: "\(error)")
    }
    var parser = HTTPResponseParser()
    parser.isStreaming = true
    while true {
      let (piece, response) = try nextPiece(of: &parser, on: connection)
      if !piece.isEmpty { try take(piece) }
      guard let response else { continue }
      if response.keepsConnection { self.connection = connection }
      return response
    }
  }

  /// Waits for more of a streamed answer.
  private func nextPiece(
    of parser: inout HTTPResponseParser, on connection: Connection
  ) throws(HTTPClientError) -> (piece: [UInt8], response: HTTPResponse?) {
    do {
      let bytes = try connection.socket.receive(countMax: 1 << 16)
      unsafe bytes.withUnsafeBytes { unsafe parser.receive($0) }
      let piece = try parser.nextPiece()
      if let response = try parser.next() { return (piece, response) }
      guard bytes.isEmpty else { return (piece, nil) }
      guard let response = try parser.end() else { throw HTTPResponseError.truncated }
      return (piece, response)
    } catch {
      let reason = self.reason(error)
      throw parser.statusInProgress == nil
        ? .noAnswer(endpoint, reason: reason) : .cutShort(endpoint, reason: reason)
    }
  }

  private func reason(_ error: any Error) -> String {
    switch error {
    case let error as SocketError: "\(error)"
    case HTTPResponseError.malformed(let what): "it does not speak HTTP: \(what)"
    default: "the connection was closed"
    }
  }

  /// Closes the connection, if there is one.
  package mutating func close() { connection = nil }

  private func connect() throws(HTTPClientError) -> Connection {
    do throws(SocketError) {
      return Connection(
        try BlockingSocket(connectingTo: endpoint.address, timeoutMilliseconds: timeoutMilliseconds))
    } catch {
      throw .notReached(endpoint, error)
    }
  }

  private func encoded(
    _ method: String, _ target: String, headers: [(name: String, value: String)], body: [UInt8]
  ) -> [UInt8] {
    var head = "\(method) \(target) HTTP/1.1\r\nHost: \(endpoint.address)\r\n"
    for header in headers {
      invariant(isHeaderText(header.name) && isHeaderText(header.value), "a header that would end early")
      head += "\(header.name): \(header.value)\r\n"
    }
    if !body.isEmpty || method == "PUT" || method == "POST" { head += "Content-Length: \(body.count)\r\n" }
    return Array((head + "\r\n").utf8) + body
  }

  private func answer(on connection: Connection, isHead: Bool) throws(HTTPClientError) -> HTTPResponse {
    var parser = HTTPResponseParser()
    parser.answersHead = isHead
    do {
      while true {
        if let response = try parser.next() { return response }
        let bytes = try connection.socket.receive(countMax: 1 << 16)
        if bytes.isEmpty {
          if let response = try parser.end() { return response }
          throw HTTPResponseError.truncated
        }
        unsafe bytes.withUnsafeBytes { unsafe parser.receive($0) }
      }
    } catch {
      throw .noAnswer(endpoint, reason: reason(error))
    }
  }
}

/// Whether `text` can be the value of a header: no control character in it ends the line.
package func isHeaderText(_ text: String) -> Bool {
  text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
}

/// A socket that can be handed on.
private final class Connection {
  let socket: BlockingSocket
  init(_ socket: consuming BlockingSocket) { self.socket = socket }
}
