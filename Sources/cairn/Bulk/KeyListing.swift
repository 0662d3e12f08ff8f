import Client
import Platform
import Protocols

// The names that a node lists, as they come: of the keys of a bucket, or of the buckets of a type. Nothing is kept, so a
// listing may be of any length.

/// What is listed.
struct ListingSubject: Equatable, Sendable {
  let type: String?
  /// Nil for the buckets themselves.
  let bucket: String?

  var target: String {
    guard let bucket else {
      return (type.map { "/types/\(percentEncoded($0.utf8))" } ?? "") + "/buckets?buckets=stream"
    }
    let object = objectPath(type: type, bucket: bucket, key: "")
    return object.dropLast() + "?keys=stream"
  }

  var parser: ListingParser { ListingParser(bucket == nil ? .buckets : .keys) }
}

/// Why a listing is not complete.
struct ListingFailure: Error {
  let reason: String
  /// Some names were given out before.
  let hasBegun: Bool
  /// Another node, or the same one later, may do better.
  let mayRetry: Bool
}

extension Endpoint {
  /// Lists, and calls `body` with the names of each piece of the answer, one after the other.
  /// - Throws: `ListingFailure` when not all were told, and what `body` throws.
  func list(_ subject: ListingSubject, patienceMilliseconds: Int, _ body: (ListedNamesPiece) throws -> Void) throws {
    var client = HTTPClient(self, timeoutMilliseconds: patienceMilliseconds)
    var parser = subject.parser
    var hasBegun = false
    do {
      var piece = ListedNamesPiece()
      let response = try client.stream(subject.target) { bytes in
        piece.removeAll()
        try parser.receive(bytes) { piece.append($0) }
        guard !piece.isEmpty else { return }
        hasBegun = true
        try body(piece)
      }
      guard response.status == 200 else {
        throw ListingFailure(
          reason: "\(self) answered \(response.status): \(response.line)", hasBegun: false,
          mayRetry: response.status >= 500)
      }
      try parser.end()
    } catch let error as HTTPClientError {
      throw ListingFailure(reason: "\(error)", hasBegun: hasBegun, mayRetry: true)
    } catch let error as ListingError {
      throw ListingFailure(reason: "\(self): \(KeyListing.text(error))", hasBegun: hasBegun, mayRetry: true)
    }
  }
}

enum KeyListing {
  static func text(_ error: ListingError) -> String {
    switch error {
    case .failed(let reason): reason
    case .incomplete: "the listing ended before its end"
    case .malformed(let offset, let what): "the listing cannot be read at byte \(offset): \(what)"
    }
  }
}

/// Some names, one behind the other in one buffer.
struct ListedNamesPiece {
  private var bytes: [UInt8] = []
  private var ends: [Int] = []

  var count: Int { ends.count }
  var isEmpty: Bool { ends.isEmpty }

  subscript(index: Int) -> ArraySlice<UInt8> { bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]] }

  mutating func append(_ name: ArraySlice<UInt8>) {
    bytes.append(contentsOf: name)
    ends.append(bytes.count)
  }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
  }
}
