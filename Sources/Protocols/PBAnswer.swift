// Riak's binary protocol as a client speaks it: requests about objects as frames, and what a node's frame says. Only what
// a generator of load wants to know is read from an answer.

/// What a client finds where an answer should be: a frame and what it says.
package struct PBAnswer: Equatable, Sendable {
  package enum Outcome: Equatable, Sendable {
    case found
    /// The read found nothing, or a tombstone.
    case notFound
    case stored
    /// Deletions do not say whether there was something.
    case deleted
    case pong
    /// Riak's form of an error; the text is for people and for comparing.
    case refused(String)
  }

  package let outcome: Outcome
  /// Behind its last byte.
  package let end: Int

  /// The answer that begins at `start`; nil when it is not all there yet.
  /// - Throws: what is wrong with it: it holds more than `valueBytesMax` and its metadata, or is none that is known here.
  package static func find(
    in bytes: [UInt8], from start: Int, valueBytesMax: Int
  ) throws(PBProblem) -> PBAnswer? {
    let code = start + PBLimits.lengthBytes
    guard bytes.count >= code else { return nil }
    let length = bytes[start..<code].reduce(0) { $0 << 8 | Int($1) }
    let lengthMax = valueBytesMax + PBLimits.frameBytesMax - PBLimits.valueBytesMax
    guard (1...lengthMax).contains(length) else { throw PBProblem("a frame of \(length) bytes") }
    guard bytes.count - code >= length else { return nil }
    let outcome = try outcome(bytes[code], bytes, code + 1..<code + length)
    return PBAnswer(outcome: outcome, end: code + length)
  }

  private static func outcome(_ code: UInt8, _ bytes: [UInt8], _ range: Range<Int>) throws(PBProblem) -> Outcome {
    switch PBCode(rawValue: code) {
    case .error?:
      let error = try RpbErrorResp(bytes, range)
      return .refused(String(decoding: error.message ?? [], as: UTF8.self))
    case .getResponse?: return try RpbGetResp(bytes, range).content.isEmpty ? .notFound : .found
    case .putResponse?: return .stored
    case .deleteResponse?: return .deleted
    case .pingResponse?: return .pong
    default: throw PBProblem("an answer with the message code \(code)")
    }
  }
}

/// Requests as whole frames. A quorum is nil where the bucket's counts.
package enum PBRequests {
  package static let ping: [UInt8] = frame { $0.appendFrame(.pingRequest) }

  package static func get(bucket: [UInt8], key: [UInt8], r: UInt32?) -> [UInt8] {
    var request = RpbGetReq()
    request.bucket = bucket[...]
    request.key = key[...]
    request.r = r
    return frame { $0.appendFrame(.getRequest, request) }
  }

  package static func put(bucket: [UInt8], key: [UInt8], value: [UInt8], w: UInt32?, dw: UInt32?) -> [UInt8] {
    var request = RpbPutReq()
    request.bucket = bucket[...]
    request.key = key[...]
    request.content = RpbContent(value: value[...])
    request.w = w
    request.dw = dw
    return frame { $0.appendFrame(.putRequest, request) }
  }

  package static func delete(bucket: [UInt8], key: [UInt8], w: UInt32?, dw: UInt32?) -> [UInt8] {
    var request = RpbDelReq()
    request.bucket = bucket[...]
    request.key = key[...]
    request.w = w
    request.dw = dw
    return frame { $0.appendFrame(.deleteRequest, request) }
  }

  /// A quorum as HTTP names it (a number, `one`, `quorum`, `all`), as a field holds it; nil for anything else.
  package static func quorum(_ text: String) -> UInt32? {
    switch text {
    case "one": PBQuorum.one
    case "quorum": PBQuorum.quorum
    case "all": PBQuorum.all
    default: UInt32(text)
    }
  }

  private static func frame(_ append: (inout [UInt8]) -> Void) -> [UInt8] {
    var bytes: [UInt8] = []
    append(&bytes)
    return bytes
  }
}
