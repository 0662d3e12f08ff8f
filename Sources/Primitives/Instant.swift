// Time is an argument. Timeouts use the monotonic clock; wall time serves the hybrid logical clock only.

/// A point on the monotonic clock of one process.
package struct Instant: Comparable, Hashable, Sendable {
  /// Nanoseconds since an arbitrary start.
  package var nanoseconds: UInt64
  @inlinable package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
  @inlinable package static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
  @inlinable package func adding(milliseconds: UInt64) -> Instant {
    Instant(nanoseconds: nanoseconds &+ milliseconds &* 1_000_000)
  }
  /// Milliseconds from `earlier` to this instant; 0 when `earlier` is later.
  @inlinable package func milliseconds(since earlier: Instant) -> UInt64 {
    nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1_000_000 : 0
  }
}

/// What the clocks said at the start of a turn: read once, passed down.
package struct Moment: Sendable {
  package var instant: Instant
  /// Milliseconds since 1970, by this node's own wall clock.
  package var wallMilliseconds: UInt64
  @inlinable package init(instant: Instant, wallMilliseconds: UInt64) {
    self.instant = instant
    self.wallMilliseconds = wallMilliseconds
  }
}
