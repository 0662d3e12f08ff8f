import Messages

// The bounds of a connection's bytes, and what is said when one is passed.

package enum HTTPLimits {
  /// Method, target and version without the line's end; more is 414.
  package static let requestLineBytesMax = 200 << 10
  /// All header lines with their ends; more is 431.
  package static let headerBytesMax = 64 << 10
  package static let headerCountMax = 256
  /// Of an answer, as clients take it: what a request may bring grows when it is escaped, and the node adds its own.
  package static let answerHeaderBytesMax = 256 << 10
  package static let answerHeaderCountMax = 512
  /// An object's links as they are stored and come back, in one header, which clients must be able to read; more is 431.
  package static let linkBytesMax = 32 << 10
  /// More is 413.
  package static let bodyBytesMax = 64 << 20
  /// A chunk's size with its extensions, which are ignored.
  package static let chunkLineBytesMax = 256
  /// All trailer lines of a chunked body with their ends; they are ignored.
  package static let trailerBytesMax = 8 << 10
  /// Room made ahead for a body whose length was announced; more is taken as it comes.
  static let bodyBytesReserved = 1 << 20
}

/// A request that is answered without the node.
struct HTTPProblem: Error, Equatable, Sendable {
  let status: Int
  /// One line, without its end.
  let text: String
  /// Methods for an `Allow` header.
  var allow: String?

  static func malformed(_ what: String) -> HTTPProblem { HTTPProblem(status: 400, text: "Bad request: \(what)") }
  static let notFound = HTTPProblem(status: 404, text: "not found")
  static let nameTooLong = malformed("bucket and key are longer than \(ObjectKey.byteCountMax) bytes")
  static let contextAhead = HTTPProblem(
    status: 400, text: "X-Riak-Vclock is ahead of every clock: send what a read returned")
  static func notAcceptable(_ type: ArraySlice<UInt8>) -> HTTPProblem {
    HTTPProblem(status: 406, text: "Not acceptable: this is \(String(decoding: type, as: UTF8.self))")
  }
  static let noMediaType = HTTPProblem(status: 415, text: "Content-Type must be type/subtype, like text/plain")
  static let noKeysMade = HTTPProblem(status: 501, text: "Keys are not made here: name one, as in /buckets/B/keys/K")
  static let bodyTooLong = HTTPProblem(
    status: 413, text: "Body is longer than \(HTTPLimits.bodyBytesMax) bytes")
  static let headersTooLong = HTTPProblem(
    status: 431, text: "Headers are longer than \(HTTPLimits.headerBytesMax) bytes")
  static let tooManyHeaders = HTTPProblem(
    status: 431, text: "More than \(HTTPLimits.headerCountMax) headers")
  static let requestLineTooLong = HTTPProblem(
    status: 414, text: "Request line is longer than \(HTTPLimits.requestLineBytesMax) bytes")
}
