package import Primitives

// When a write happened, cluster-wide: a hybrid logical time and the actor that issued it. Stamps are unique and
// totally ordered; "newest" always means "highest stamp". A stamp is also the write's dot. Every message and every record
// has some: other modules compare them in place.

/// Who issues stamps: drawn at random when a node's data is created and again after every unclean stop; never reused.
package struct ActorID: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let rawValue: UInt32
  @inlinable package init(_ rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable package static func == (a: ActorID, b: ActorID) -> Bool { a.rawValue == b.rawValue }
  @inlinable package static func < (a: ActorID, b: ActorID) -> Bool { a.rawValue < b.rawValue }
  package var description: String { String(rawValue, radix: 16) }
}

/// Hybrid logical time: 48 bits of milliseconds since 1970, 16 bits of counter.
/// Source: Kulkarni et al. 2014, "Logical Physical Clocks".
package struct HybridTime: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let rawValue: UInt64
  @inlinable package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  package init(milliseconds: UInt64, counter: UInt16 = 0) { rawValue = milliseconds << 16 | UInt64(counter) }
  /// Milliseconds since 1970.
  package var milliseconds: UInt64 { rawValue >> 16 }
  package var counter: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
  @inlinable package static func == (a: HybridTime, b: HybridTime) -> Bool { a.rawValue == b.rawValue }
  @inlinable package static func < (a: HybridTime, b: HybridTime) -> Bool { a.rawValue < b.rawValue }
  package static let zero = HybridTime(0)
  /// Times from here on (the year 6429) are nobody's: peers that name one are not listened to, and none is issued.
  package static let ceiling = HybridTime(milliseconds: 1 << 47)
  package var description: String { "\(milliseconds).\(counter)" }
}

/// The version of one write; 12 bytes on disk and on the wire.
package struct Stamp: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let time: HybridTime
  package let actor: ActorID
  @inlinable package init(time: HybridTime, actor: ActorID) {
    self.time = time
    self.actor = actor
  }
  /// Below every stamp that was ever issued.
  package static let zero = Stamp(time: .zero, actor: ActorID(0))
  @inlinable package static func == (a: Stamp, b: Stamp) -> Bool { a.time == b.time && a.actor == b.actor }
  @inlinable package static func < (a: Stamp, b: Stamp) -> Bool {
    a.time.rawValue != b.time.rawValue ? a.time < b.time : a.actor < b.actor
  }
  package var description: String { "\(time)@\(actor)" }

  /// From what `description` gives; nil for anything else.
  package init?(_ text: String) {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count == 2, let actor = UInt32(parts[1], radix: 16) else { return nil }
    let time = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    guard time.count == 2, let milliseconds = UInt64(time[0]), milliseconds < 1 << 48, let counter = UInt16(time[1])
    else { return nil }
    self.init(time: HybridTime(milliseconds: milliseconds, counter: counter), actor: ActorID(actor))
    guard description == text else { return nil }
  }

  package static let byteCount = 12

  /// From what `append` wrote; nil for bytes of any other length.
  package init?(encoded bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard bytes.count == Stamp.byteCount, let stamp = reader.readStamp() else { return nil }
    self = stamp
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(time.rawValue)
    bytes.appendLittleEndian(actor.rawValue)
  }
}

extension ByteReader {
  package mutating func readStamp() -> Stamp? {
    guard let time = read(UInt64.self), let actor = read(UInt32.self) else { return nil }
    return Stamp(time: HybridTime(time), actor: ActorID(actor))
  }
}
