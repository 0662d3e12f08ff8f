// When a value ceases to be (rules TTL and EXPIRY, Docs/DeleteProtocol.md). From its expiry on it reads as a tombstone of its own
// stamp. It leaves the comparison of owners at the next full minute, which all of them reckon alike, and is buried, made
// that tombstone, once no good clock is before that minute any more. Nothing here reads a clock.

/// Milliseconds since 1970, or never; 8 bytes on disk and on the wire, where a value has one.
package struct Expiry: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let milliseconds: UInt64

  @inlinable package init(milliseconds: UInt64) { self.milliseconds = milliseconds }

  /// The value does not expire. Above every time, and never written. Every record that is read is asked for it: as a
  /// constant of another module it cost a seventh of a read.
  @inlinable package static var never: Expiry { Expiry(milliseconds: .max) }
  /// The last one that there is: the year 9999 ends.
  package static let last = Expiry(milliseconds: 253_402_300_799_999)
  /// The longest lifetime, in seconds: 100 years.
  package static let lifetimeSecondsMax: UInt32 = 3_155_760_000

  /// Of a value that lives so long from this time on.
  package init(after seconds: UInt32, wallMilliseconds: UInt64) {
    milliseconds = min(wallMilliseconds &+ UInt64(seconds) * 1000, Expiry.last.milliseconds)
  }

  /// What is written of a value that expires can be no other time.
  package var isTime: Bool { milliseconds > 0 && self <= .last }

  @inlinable package func isPast(_ wallMilliseconds: UInt64) -> Bool { milliseconds <= wallMilliseconds }

  /// Minutes since 1970 from which on owners leave the value out when they compare themselves.
  package var leaves: UInt64 { (milliseconds + 59_999) / 60_000 }

  /// Two good clocks, each off by as much as the cluster bears, are so far from each other, milliseconds.
  package static let clocksApartMax: UInt64 = 60_000

  /// From when on it may be buried: at least `clocksApartMax` after the minute in which it left.
  package static func buriable(leaves minute: UInt64) -> UInt64 { minute * 60_000 + clocksApartMax }

  @inlinable package static func == (a: Expiry, b: Expiry) -> Bool { a.milliseconds == b.milliseconds }
  @inlinable package static func < (a: Expiry, b: Expiry) -> Bool { a.milliseconds < b.milliseconds }
  package var description: String { self == .never ? "never" : "\(milliseconds)" }
}
