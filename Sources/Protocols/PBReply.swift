import Causality
package import Messages
import Primitives

// The answer to one request in Riak's binary protocol: what must be remembered of the request until the node has
// answered, and the bytes that are then sent.

/// Made by `PBSession` with each request; encodes its answer, which for a listing has parts.
package struct PBReply: Sendable {
  enum Kind: Sendable { case get, put, delete, keys, buckets, bucketsInParts }

  /// What a read asks of what it finds, and what few requests have at all.
  enum Special: Sendable {
    /// Only what is another version than this one is sent.
    case ifModified(Stamp)
    case put(PutTerms)
  }

  /// What is special about a write's answer.
  struct PutTerms: Sendable {
    /// Comes back when it was stored.
    var echo: [UInt8]?
    var echoesValue = false
    /// The key was made here.
    var madeKey: [UInt8]?
    /// Stored when the read before it has met its condition.
    var conditional: (put: PutRequest, condition: Condition)?
    init() {}

    var isEmpty: Bool { echo == nil && madeKey == nil && conditional == nil }
  }

  /// Of a write, as Riak has it: looked at in a read of its own, not in one step with the write.
  enum Condition: Equatable, Sendable {
    case nothingThere
    /// The version that is there; nil for none that could be.
    case version(Stamp?)
  }

  let kind: Kind
  var isHead = false
  /// The version of a tombstone is told.
  var showsTombstone = false
  /// One at most. An array is the box of what few have.
  var special: [Special]?
  /// The names of a listing that is answered in one piece, as fields.
  private var collected: [UInt8] = []
  /// There were more names than one answer may have.
  private var isOverfull = false

  init(_ kind: Kind) { self.kind = kind }

  /// A write, whatever is asked before it.
  package var isPut: Bool { kind == .put }

  /// Bytes of a write that waits for the read before it.
  package var heldBytes: Int {
    if case .put(let terms)? = special?.first { terms.conditional?.put.payload.count ?? 0 } else { 0 }
  }

  /// What the node's answer to the read of a conditional write leads to: the write, where its condition is met.
  package mutating func takeWrite(after response: ClientResponse) -> ClientRequest? {
    guard case .put(var terms)? = special?.first, let (put, condition) = terms.conditional,
      condition.verdict(on: response) == nil
    else { return nil }
    if case .failed = response { return nil }
    terms.conditional = nil
    special = [.put(terms)]
    return .put(put)
  }

  /// Appends the answer to an object's request.
  package func encode(_ response: ClientResponse, into bytes: inout [UInt8]) {
    switch response {
    case .failed(let failure): bytes.appendErrorFrame(PBRefusal(failure).text)
    case .object(let stamp, let payload, _): appendObject(stamp, payload, to: &bytes)
    case .notFound(let tombstone): appendNotFound(tombstone, response, to: &bytes)
    case .stored(let stamp): appendStored(stamp, to: &bytes)
    case .deleted: bytes.appendFrame(.deleteResponse)
    }
  }

  private func appendObject(_ stamp: Stamp, _ payload: [UInt8], to bytes: inout [UInt8]) {
    switch special?.first {
    case .put(let terms):
      let refusal = terms.conditional?.condition.verdict(on: .object(stamp: stamp, payload: [])) ?? .modified
      return bytes.appendErrorFrame(refusal.text)
    case .ifModified(let known) where known == stamp:
      return bytes.appendFrame(.getResponse, RpbGetResp(content: [], vclock: nil, unchanged: true))
    case .ifModified, nil: break
    }
    guard let content = RpbContent(payload, stamp, isHead: isHead) else {
      return bytes.appendErrorFrame(
        PBRefusal(.damaged(detail: "the stored object has no readable content")).text)
    }
    bytes.appendFrame(.getResponse, RpbGetResp(content: [content], vclock: PBReply.clock(stamp), unchanged: nil))
  }

  private func appendNotFound(_ tombstone: Stamp?, _ response: ClientResponse, to bytes: inout [UInt8]) {
    switch kind {
    case .delete: bytes.appendFrame(.deleteResponse)
    // A conditional write that found nothing where something had to be.
    case .put: bytes.appendErrorFrame(PBRefusal.notFound.text)
    case .get, .keys, .buckets, .bucketsInParts:
      let clock = showsTombstone ? tombstone.map(PBReply.clock) : nil
      bytes.appendFrame(.getResponse, RpbGetResp(content: [], vclock: clock, unchanged: nil))
    }
  }

  private func appendStored(_ stamp: Stamp, to bytes: inout [UInt8]) {
    guard case .put(let terms)? = special?.first else { return bytes.appendFrame(.putResponse) }
    var response = RpbPutResp()
    if let echo = terms.echo, let content = RpbContent(echo, stamp, isHead: !terms.echoesValue) {
      response.content = [content]
      response.vclock = PBReply.clock(stamp)
    }
    response.key = terms.madeKey.map { $0[...] }
    bytes.appendFrame(.putResponse, response)
  }

  /// A version as clients bring it back.
  static func clock(_ stamp: Stamp) -> PBBytes {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Stamp.byteCount)
    stamp.append(to: &bytes)
    return bytes[...]
  }
}

extension PBReply.Condition {
  /// Why the write is not to be done; nil when it is, or when the read told nothing.
  func verdict(on response: ClientResponse) -> PBRefusal? {
    switch (self, response) {
    case (.nothingThere, .object): .matchFound
    case (.version(let wanted), .object(let stamp, _, _)): wanted == stamp ? nil : .modified
    case (.version, .notFound): .notFound
    case (.nothingThere, .notFound), (_, .stored), (_, .deleted), (_, .failed): nil
    }
  }
}

// MARK: - Listings

extension PBReply {
  /// Appends one part of a listing. One that fails ends with an error, which tells the client that it is not whole.
  package mutating func encode(_ part: ListingPart, into bytes: inout [UInt8]) -> HTTPReply.Progress {
    switch part {
    case .names(let names):
      if kind == .buckets {
        collect(names)
      } else if !names.isEmpty {
        bytes.appendFrame(listingCode) { $0.appendNames(names) }
      }
      return .begun
    case .end where isOverfull:
      bytes.appendErrorFrame(
        "the names of the buckets are longer than \(PBLimits.bucketNamesBytesMax) bytes: ask with stream = true")
    case .end where kind == .buckets: bytes.appendFrame(listingCode) { $0.append(contentsOf: collected) }
    case .end: bytes.appendFrame(listingCode, RpbListing(names: [], done: true))
    case .failed(let failure): bytes.appendErrorFrame(PBRefusal(failure).text)
    }
    return .complete
  }

  private var listingCode: PBCode { kind == .keys ? .listKeysResponse : .listBucketsResponse }

  /// Keeps the names for the end.
  private mutating func collect(_ names: ListedNames) {
    if collected.count + names.bytes.count > PBLimits.bucketNamesBytesMax {
      isOverfull = true
      collected = []
    }
    if !isOverfull { collected.appendNames(names) }
  }
}

extension [UInt8] {
  /// Appends names as the fields of a listing.
  fileprivate mutating func appendNames(_ names: ListedNames) {
    for index in 0..<names.count {
      appendTag(1, .bytes)
      names.bytes[names.place(index)].append(to: &self)
    }
  }
}
