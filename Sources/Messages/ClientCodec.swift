import Causality
import Primitives
import Storage

// Client requests and responses as bytes: what travels inside `Forward` and `ForwardReply`. Each begins with a tag.
// Counts that no cluster can have are clamped to 32 bits.

extension ClientRequest {
  private enum Tag: UInt8 {
    case get = 1
    case put, delete
  }

  func append(to bytes: inout [UInt8]) {
    switch self {
    case .get(let request):
      bytes.append(Tag.get.rawValue)
      bytes.appendSized(request.key.encoded)
      request.r.append(to: &bytes)
      request.pr.append(to: &bytes)
      bytes.appendTimeout(request.timeoutMilliseconds)
    case .put(let request):
      bytes.append(Tag.put.rawValue)
      bytes.appendSized(request.key.encoded)
      request.quorum.append(to: &bytes)
      bytes.appendTimeout(request.timeoutMilliseconds)
      bytes.appendContext(request.context)
      request.lifetime.append(to: &bytes)
      bytes.appendSized(request.payload)
    case .delete(let request):
      bytes.append(Tag.delete.rawValue)
      bytes.appendSized(request.key.encoded)
      request.quorum.append(to: &bytes)
      bytes.appendTimeout(request.timeoutMilliseconds)
      bytes.append(request.always ? 1 : 0)
      bytes.appendContext(request.context)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let tag = try reader.takeEnum(Tag.self, "client request")
    let key = try reader.takeKey()
    switch tag {
    case .get:
      var request = GetRequest(key: key)
      request.r = try QuorumSize(from: &reader)
      request.pr = try QuorumSize(from: &reader)
      request.timeoutMilliseconds = try reader.takeTimeout()
      self = .get(request)
    case .put:
      var request = PutRequest(key: key, payload: [])
      request.quorum = try WriteQuorum(from: &reader)
      request.timeoutMilliseconds = try reader.takeTimeout()
      request.context = try reader.takeContext()
      request.lifetime = try Lifetime(from: &reader)
      request.payload = try reader.takeBytes()
      self = .put(request)
    case .delete:
      var request = DeleteRequest(key: key)
      request.quorum = try WriteQuorum(from: &reader)
      request.timeoutMilliseconds = try reader.takeTimeout()
      request.always = try reader.takeBool("always")
      request.context = try reader.takeContext()
      self = .delete(request)
    }
  }
}

extension Lifetime {
  private enum Tag: UInt8 { case standard, unlimited, seconds, until }

  func append(to bytes: inout [UInt8]) {
    switch self {
    case .standard: bytes.append(Tag.standard.rawValue)
    case .unlimited: bytes.append(Tag.unlimited.rawValue)
    case .seconds(let seconds):
      bytes.append(Tag.seconds.rawValue)
      bytes.appendLittleEndian(seconds)
    case .until(let expiry):
      bytes.append(Tag.until.rawValue)
      bytes.appendLittleEndian(expiry.milliseconds)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    switch try reader.takeEnum(Tag.self, "lifetime") {
    case .standard: self = .standard
    case .unlimited: self = .unlimited
    case .seconds:
      let seconds = try reader.takeUInt32()
      guard seconds > 0, seconds <= Expiry.lifetimeSecondsMax else { throw .malformed("lifetime") }
      self = .seconds(seconds)
    case .until: self = .until(try reader.takeExpiry())
    }
  }
}

extension QuorumSize {
  private enum Tag: UInt8 { case `default`, one, quorum, all, count }

  func append(to bytes: inout [UInt8]) {
    switch self {
    case .default: bytes.append(Tag.default.rawValue)
    case .one: bytes.append(Tag.one.rawValue)
    case .quorum: bytes.append(Tag.quorum.rawValue)
    case .all: bytes.append(Tag.all.rawValue)
    case .count(let count):
      bytes.append(Tag.count.rawValue)
      bytes.appendLittleEndian(UInt32(clamping: count))
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    switch try reader.takeEnum(Tag.self, "quorum") {
    case .default: self = .default
    case .one: self = .one
    case .quorum: self = .quorum
    case .all: self = .all
    case .count: self = .count(Int(try reader.takeUInt32()))
    }
  }
}

extension WriteQuorum {
  func append(to bytes: inout [UInt8]) {
    w.append(to: &bytes)
    dw.append(to: &bytes)
    pw.append(to: &bytes)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    self.init()
    w = try QuorumSize(from: &reader)
    dw = try QuorumSize(from: &reader)
    pw = try QuorumSize(from: &reader)
  }
}

extension ClientResponse {
  private enum Tag: UInt8 {
    case object = 1
    case notFound, tombstone, stored, deleted, failed, expiringObject
  }

  func append(to bytes: inout [UInt8]) {
    switch self {
    case .object(let stamp, let payload, let expiry):
      bytes.append((expiry == .never ? Tag.object : .expiringObject).rawValue)
      stamp.append(to: &bytes)
      if expiry != .never { bytes.appendLittleEndian(expiry.milliseconds) }
      bytes.appendSized(payload)
    case .notFound(tombstone: nil):
      bytes.append(Tag.notFound.rawValue)
    case .notFound(tombstone: let stamp?):
      bytes.append(Tag.tombstone.rawValue)
      stamp.append(to: &bytes)
    case .stored(let stamp):
      bytes.append(Tag.stored.rawValue)
      stamp.append(to: &bytes)
    case .deleted(let stamp):
      bytes.append(Tag.deleted.rawValue)
      stamp.append(to: &bytes)
    case .failed(let failure):
      bytes.append(Tag.failed.rawValue)
      failure.append(to: &bytes)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    switch try reader.takeEnum(Tag.self, "client response") {
    case .object:
      let stamp = try reader.takeStamp()
      self = .object(stamp: stamp, payload: try reader.takeBytes())
    case .expiringObject:
      let stamp = try reader.takeStamp()
      let expiry = try reader.takeExpiry()
      self = .object(stamp: stamp, payload: try reader.takeBytes(), expiry: expiry)
    case .notFound: self = .notFound(tombstone: nil)
    case .tombstone: self = .notFound(tombstone: try reader.takeStamp())
    case .stored: self = .stored(stamp: try reader.takeStamp())
    case .deleted: self = .deleted(stamp: try reader.takeStamp())
    case .failed: self = .failed(try ClientFailure(from: &reader))
    }
  }
}

extension ClientFailure {
  private enum Tag: UInt8 {
    case unsatisfied = 1
    case timeout, invalidQuorum, overloaded, notReady, damaged, invalidContext, full, unavailable
  }

  func append(to bytes: inout [UInt8]) {
    switch self {
    case .unsatisfied(let name, let wanted, let got, let detail):
      bytes.append(Tag.unsatisfied.rawValue)
      bytes.append(name.rawValue)
      bytes.appendLittleEndian(UInt32(clamping: wanted))
      bytes.appendLittleEndian(UInt32(clamping: got))
      bytes.appendText(detail)
    case .timeout(let detail):
      bytes.append(Tag.timeout.rawValue)
      bytes.appendText(detail)
    case .invalidQuorum(let n):
      bytes.append(Tag.invalidQuorum.rawValue)
      bytes.appendLittleEndian(UInt32(clamping: n))
    case .invalidContext:
      bytes.append(Tag.invalidContext.rawValue)
    case .overloaded(let detail):
      bytes.append(Tag.overloaded.rawValue)
      bytes.appendText(detail)
    case .notReady(let detail):
      bytes.append(Tag.notReady.rawValue)
      bytes.appendText(detail)
    case .damaged(let detail):
      bytes.append(Tag.damaged.rawValue)
      bytes.appendText(detail)
    case .full(let detail):
      bytes.append(Tag.full.rawValue)
      bytes.appendText(detail)
    case .unavailable(let detail):
      bytes.append(Tag.unavailable.rawValue)
      bytes.appendText(detail)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    switch try reader.takeEnum(Tag.self, "failure") {
    case .unsatisfied:
      let name = try reader.takeEnum(QuorumName.self, "quorum name")
      let wanted = Int(try reader.takeUInt32())
      let got = Int(try reader.takeUInt32())
      self = .unsatisfied(name, wanted: wanted, got: got, detail: try reader.takeText("detail"))
    case .timeout: self = .timeout(detail: try reader.takeText("detail"))
    case .invalidQuorum: self = .invalidQuorum(n: Int(try reader.takeUInt32()))
    case .invalidContext: self = .invalidContext
    case .overloaded: self = .overloaded(detail: try reader.takeText("detail"))
    case .notReady: self = .notReady(detail: try reader.takeText("detail"))
    case .damaged: self = .damaged(detail: try reader.takeText("detail"))
    case .full: self = .full(detail: try reader.takeText("detail"))
    case .unavailable: self = .unavailable(detail: try reader.takeText("detail"))
    }
  }
}

extension [UInt8] {
  fileprivate mutating func appendTimeout(_ milliseconds: UInt32?) {
    append(milliseconds == nil ? 0 : 1)
    if let milliseconds { appendLittleEndian(milliseconds) }
  }

  fileprivate mutating func appendContext(_ context: Stamp?) {
    append(context == nil ? 0 : 1)
    context?.append(to: &self)
  }
}

extension ByteReader {
  fileprivate mutating func takeTimeout() throws(CodecError) -> UInt32? {
    try takeBool("timeout") ? try takeUInt32() : nil
  }

  fileprivate mutating func takeContext() throws(CodecError) -> Stamp? {
    try takeBool("context") ? try takeStamp() : nil
  }
}
