import Messages
import Protocols
import Replication

// What a connection's exchanges are made of, whatever its client speaks, and the name under which the node knows one.

/// What a client speaks, and what its session must be told.
enum ClientLanguage {
  case http(HTTPConfiguration)
  /// Riak's protocol of Protocol Buffers.
  case binary(PBConfiguration)
}

/// How the answer to a request becomes bytes.
enum ClientReply {
  case http(HTTPReply)
  case binary(PBReply)

  func encode(_ response: ClientResponse, into bytes: inout [UInt8]) {
    switch self {
    case .http(let reply): reply.encode(response, into: &bytes)
    case .binary(let reply): reply.encode(response, into: &bytes)
    }
  }

  /// Appends one part of a listing.
  mutating func encode(_ part: ListingPart, into bytes: inout [UInt8]) -> HTTPReply.Progress {
    switch self {
    case .http(var reply):
      defer { self = .http(reply) }
      return reply.encode(part, into: &bytes)
    case .binary(var reply):
      defer { self = .binary(reply) }
      return reply.encode(part, into: &bytes)
    }
  }
}

extension SessionID {
  /// `slot u16 | generation u24 | number u24`.
  init(connection key: SlabKey, number: UInt32) {
    self.init(UInt64(key.slot) << 48 | UInt64(key.generation) << 24 | UInt64(number))
  }

  var connection: SlabKey {
    SlabKey(
      slot: UInt16(rawValue >> 48), generation: UInt32(truncatingIfNeeded: rawValue >> 24) & SlabKey.generationMask)
  }

  var number: UInt32 { UInt32(truncatingIfNeeded: rawValue) & SlabKey.generationMask }
}
