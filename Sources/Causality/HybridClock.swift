// Issues stamps that only go up: above the wall clock, above everything issued here, above everything seen. The time
// a node may issue is bounded by a lease that is on disk before it is used, so that a restart never repeats one.

/// A hybrid logical clock. It holds no wall clock of its own and never moves by wall time alone: a node whose wall
/// clock is wrong does not spread it by talking (DELETE-protocol rule CLOCKS, Docs/DeleteProtocol.md).
package struct HybridClock: Sendable {
  /// The highest time issued or seen.
  package private(set) var last: HybridTime
  /// No time at or above this may be issued. Durable before it is granted.
  package private(set) var leaseEnd: HybridTime

  package init(last: HybridTime, leaseEnd: HybridTime = .zero) {
    self.last = last
    self.leaseEnd = leaseEnd
  }

  /// Takes note of a time issued elsewhere; one that nobody can have issued changes nothing.
  package mutating func observe(_ time: HybridTime) {
    if time > last, time < .ceiling { last = time }
  }

  /// Allows times below `end` to be issued; `end` must be durable.
  package mutating func grantLease(until end: HybridTime) {
    if end > leaseEnd { leaseEnd = end }
  }

  /// The next time to issue, or nil (and no change) when the lease does not cover it.
  package mutating func issue(wallMilliseconds: UInt64) -> HybridTime? {
    let next = candidate(wallMilliseconds: wallMilliseconds)
    guard next < leaseEnd, next < .ceiling else { return nil }
    last = next
    return next
  }

  /// What `issue` would return if the lease allowed it.
  package func candidate(wallMilliseconds: UInt64) -> HybridTime {
    max(HybridTime(milliseconds: wallMilliseconds), HybridTime(last.rawValue &+ 1))
  }
}
