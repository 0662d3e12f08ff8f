package import Messages
import Primitives

// A listing as an answer: JSON in chunks, because nobody knows how long it will be. Either one document that is written
// as its parts come, or with `stream` one small document a part. Nothing is written before the first part is there, so
// that a listing that cannot begin is an ordinary error. One that breaks off later has no last chunk.

/// What an answer that lists must know of its request.
package struct ListingTerms: Sendable {
  let noun: StaticString
  let streams: Bool
  /// `"props":{…}`, to come first; empty for none.
  let properties: [UInt8]

  init(_ subject: ListRequest.Subject, streams: Bool, properties: [UInt8]) {
    switch subject {
    case .keys: noun = "keys"
    case .buckets: noun = "buckets"
    }
    self.streams = streams
    self.properties = properties
  }
}

extension HTTPReply {
  /// How far an answer of several parts has come.
  package enum Progress: Equatable, Sendable {
    /// More parts are to come.
    case begun
    /// The answer is complete.
    case complete
    /// The answer ends without having been completed: the connection must be closed behind these bytes, so that nobody
    /// takes it for whole.
    case broken
  }

  /// Appends one part of a listing.
  package mutating func encode(_ part: ListingPart, into bytes: inout [UInt8]) -> Progress {
    guard case .listing(let listing) = special?.first else {
      fatalError("invariant: a part of a listing for a request that lists nothing")
    }
    switch part {
    case .names(let names) where names.isEmpty: return .begun
    case .names(let names):
      let isFirst = begin(listing, to: &bytes)
      appendChunk(to: &bytes) { bytes in
        if listing.streams || isFirst { listing.appendOpening(to: &bytes) } else { bytes.append(UInt8(ascii: ",")) }
        bytes.appendJSONTexts(names)
        if listing.streams { bytes.appendASCII("]}") }
      }
      return .begun
    case .end:
      let isFirst = begin(listing, to: &bytes)
      appendChunk(to: &bytes) { bytes in
        if listing.streams || isFirst { listing.appendOpening(to: &bytes) }
        bytes.appendASCII("]}")
      }
      if !isHTTP10 { bytes.appendASCII("0\r\n\r\n") }
      return .complete
    case .failed(let failure) where !hasBegun:
      appendFailure(failure, to: &bytes)
      return .complete
    case .failed(let failure):
      if listing.streams {
        appendChunk(to: &bytes) { bytes in
          bytes.appendASCII("{\"error\":")
          bytes.appendJSONText(Array(HTTPReply.text(failure).utf8))
          bytes.append(UInt8(ascii: "}"))
        }
      }
      return .broken
    }
  }

  /// What stands before the first part. True when this is it.
  private mutating func begin(_ listing: ListingTerms, to bytes: inout [UInt8]) -> Bool {
    guard !hasBegun else { return false }
    hasBegun = true
    appendListingHead(to: &bytes)
    if listing.streams, !listing.properties.isEmpty {
      appendChunk(to: &bytes) { bytes in
        bytes.append(UInt8(ascii: "{"))
        bytes.append(contentsOf: listing.properties)
        bytes.append(UInt8(ascii: "}"))
      }
    }
    return true
  }

  /// The head of a listing; all there is of it for HEAD.
  func appendListingHead(to bytes: inout [UInt8]) {
    appendHead(200, to: &bytes)
    bytes.appendASCII("Content-Type: application/json\r\n")
    if !isHTTP10 { bytes.appendASCII("Transfer-Encoding: chunked\r\n") }
    bytes.appendASCII("\r\n")
  }

  /// Appends what `content` appends, which is not nothing: an empty chunk would be the last. In HTTP/1.0, which has no
  /// chunks, as it is.
  private func appendChunk(to bytes: inout [UInt8], _ content: (inout [UInt8]) -> Void) {
    guard !isHTTP10 else { return content(&bytes) }
    let digitsMax = 8
    let start = bytes.count
    // Its size stands before it and is known after it: room for the digits, of which those not used go.
    bytes.appendASCII("00000000\r\n")
    content(&bytes)
    let size = bytes.count - start - digitsMax - 2
    invariant(size > 0 && size < 1 << 32, "a chunk of \(size) bytes")
    var digits: [UInt8] = []
    digits.appendHexadecimal(UInt64(size), digits: (size.bitWidth - size.leadingZeroBitCount + 3) / 4)
    bytes.replaceSubrange(start..<start + digitsMax, with: digits)
    bytes.appendASCII("\r\n")
  }
}

extension ListingTerms {
  /// Everything of a document that stands before its names.
  fileprivate func appendOpening(to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "{"))
    if !streams, !properties.isEmpty {
      bytes.append(contentsOf: properties)
      bytes.append(UInt8(ascii: ","))
    }
    bytes.append(UInt8(ascii: "\""))
    bytes.appendASCII(noun)
    bytes.appendASCII("\":[")
  }
}
