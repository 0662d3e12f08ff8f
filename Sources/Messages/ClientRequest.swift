package import Causality

// What a client may ask and what it is told, whatever protocol it speaks.

/// A quorum as a client names it; resolved against n when the request is coordinated.
package enum QuorumSize: Equatable, Sendable {
  case `default`, one, quorum, all
  case count(Int)

  /// Distinct nodes for a replication factor of `n`; `default` becomes `fallback`.
  package func resolved(n: Int, default fallback: Int) -> Int {
    switch self {
    case .default: fallback
    case .one: 1
    case .quorum: n / 2 + 1
    case .all: n
    case .count(let count): count
    }
  }
}

/// Which object, and how many distinct nodes must have answered. Milliseconds; nil takes the node's `request_timeout`.
package struct GetRequest: Equatable, Sendable {
  package var key: ObjectKey
  package var r = QuorumSize.default
  package var pr = QuorumSize.default
  package var timeoutMilliseconds: UInt32?
  package init(key: ObjectKey) { self.key = key }
}

package struct WriteQuorum: Equatable, Sendable {
  package var w = QuorumSize.default
  /// Nodes that must have fsynced the write.
  package var dw = QuorumSize.default
  package var pw = QuorumSize.default
  package init() {}
}

/// How long a value lives. The node that a client talks to makes a time of it, once, so that the put expires then whoever
/// coordinates it, and however often it is offered. Not from its stamp: stamps may be ahead of every clock.
package enum Lifetime: Equatable, Sendable {
  /// As the node says that the client talks to (`default_ttl`).
  case standard
  case unlimited
  /// At least one, at most `Expiry.lifetimeSecondsMax`.
  case seconds(UInt32)
  case until(Expiry)

  /// With a time in place of seconds.
  /// - Parameter standard: What the node says.
  package func resolved(_ standard: Lifetime, at wallMilliseconds: UInt64) -> Lifetime {
    switch self == .standard ? standard : self {
    case .standard, .unlimited: .unlimited
    case .seconds(let seconds): .until(Expiry(after: seconds, wallMilliseconds: wallMilliseconds))
    case .until(let expiry): .until(expiry)
    }
  }

  /// Of one that is resolved.
  package var expiry: Expiry { if case .until(let expiry) = self { expiry } else { .never } }
}

package struct PutRequest: Equatable, Sendable {
  package var key: ObjectKey
  /// An encoded `ObjectContent`.
  package var payload: [UInt8]
  package var lifetime = Lifetime.standard
  package var quorum = WriteQuorum()
  package var timeoutMilliseconds: UInt32?
  /// The version that the client has read: its write stands above that.
  package var context: Stamp?
  package init(key: ObjectKey, payload: [UInt8]) {
    self.key = key
    self.payload = payload
  }
}

package struct DeleteRequest: Equatable, Sendable {
  package var key: ObjectKey
  package var quorum = WriteQuorum()
  package var timeoutMilliseconds: UInt32?
  /// The client cannot be told "not found" (Protocol Buffers), or brought a version: the tombstone is always written.
  package var always = false
  /// The version that the client has read: its delete stands above that.
  package var context: Stamp?
  package init(key: ObjectKey) { self.key = key }
}

package enum ClientRequest: Equatable, Sendable {
  case get(GetRequest)
  case put(PutRequest)
  case delete(DeleteRequest)
}

package enum ClientResponse: Equatable, Sendable {
  case object(stamp: Stamp, payload: [UInt8], expiry: Expiry = .never)
  /// Nothing live under this key; the stamp is the tombstone's where there is one.
  case notFound(tombstone: Stamp?)
  case stored(stamp: Stamp)
  case deleted(stamp: Stamp)
  case failed(ClientFailure)
}

/// Which promise of a request could not be kept.
package enum QuorumName: UInt8, Sendable {
  case r = 1
  case pr, w, dw, pw
}

/// Why a request was not done. "Not found" is never among these, and none of these is ever told as "not found".
package enum ClientFailure: Equatable, Sendable {
  /// `name` wanted `wanted` distinct nodes and only `got` can or did answer; `detail` says who did not and why.
  case unsatisfied(QuorumName, wanted: Int, got: Int, detail: String)
  /// The deadline passed first; `detail` says what was still missing. A write may or may not have taken effect.
  case timeout(detail: String)
  /// A quorum above n was asked for.
  case invalidQuorum(n: Int)
  /// The version that the client brought lies so far ahead of every clock that no node can have issued it.
  case invalidContext
  /// A bound was reached: try again later.
  case overloaded(detail: String)
  /// This node cannot serve yet (starting) or any more (stopping).
  case notReady(detail: String)
  /// A stored record does not read back as it was written.
  case damaged(detail: String)
  /// The disks of too many owners have no room for values; `detail` says whose, and what to do.
  case full(detail: String)
  /// A disk does not do now what was asked; what it holds is not known to be damaged.
  case unavailable(detail: String)
}
