// Names of things that several modules must agree on. Wrapped, because a node is not an actor is not a partition.

/// One node of the cluster, for ever: an id is never given to another node.
package struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let rawValue: UInt32
  @inlinable package init(_ rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable package static func == (a: NodeID, b: NodeID) -> Bool { a.rawValue == b.rawValue }
  @inlinable package static func < (a: NodeID, b: NodeID) -> Bool { a.rawValue < b.rawValue }
  package var description: String { "#\(rawValue)" }
}

/// A 128-bit identity: of a cluster, random, or of one life of a store (its incarnation): half random, and the high half
/// grows from each of its node's lives of stores to the next.
package struct Identity128: Hashable, Sendable, CustomStringConvertible {
  package let high: UInt64
  package let low: UInt64
  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
  /// 32 lower-case hexadecimal digits.
  package var description: String { hexadecimal(high) + hexadecimal(low) }
  /// The identity that nobody has.
  package static let none = Identity128(high: 0, low: 0)
}

/// `value` as 16 lower-case hexadecimal digits.
package func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
