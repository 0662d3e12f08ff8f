package import Primitives

// The clocks of one simulated machine. The wall clock is offset, drifts and jumps; the monotonic clock only runs a
// little fast or slow. Neither is ever read by a node: the simulator reads them once per turn and passes them down.

package struct SimulatedClock: Sendable {
  /// The wall time of the true clock at virtual time zero, milliseconds since 1970.
  package static let epochMilliseconds: UInt64 = 1_790_000_000_000

  /// Parts per million by which both clocks of this machine run fast; between -1000 and 1000.
  package let driftPerMillion: Int
  /// What the wall clock is ahead of the true one, drift aside.
  package private(set) var offsetMilliseconds: Int
  /// The drift is counted from here: healing a clock forgets what it had run ahead.
  private var healed = Instant(nanoseconds: 0)

  package init(driftPerMillion: Int, offsetMilliseconds: Int) {
    invariant(abs(driftPerMillion) <= 1000, "a drift of \(driftPerMillion) ppm is no drift any more")
    self.driftPerMillion = driftPerMillion
    self.offsetMilliseconds = offsetMilliseconds
  }

  /// Moves the wall clock; the monotonic clock does not notice.
  package mutating func jump(byMilliseconds delta: Int) { offsetMilliseconds += delta }

  /// Time passes in which somebody keeps the wall clock from drifting.
  package mutating func pass(nanoseconds: UInt64) { healed = healed.adding(nanoseconds: nanoseconds) }

  /// Sets the wall clock right.
  package mutating func heal(at now: Instant) {
    offsetMilliseconds = 0
    healed = now
  }

  /// What this machine's clocks show when it is `now` in truth.
  package func moment(at now: Instant) -> Moment {
    let run = Int64(now.nanoseconds)
    // In two parts: over months the product would not fit.
    let (millions, rest) = run.quotientAndRemainder(dividingBy: 1_000_000)
    let drifted = run + millions * Int64(driftPerMillion) + rest * Int64(driftPerMillion) / 1_000_000
    let sinceHealed = Int64(now.nanoseconds - healed.nanoseconds)
    let wallDrift = sinceHealed / 1_000_000 * Int64(driftPerMillion) / 1_000_000
    let wall =
      Int64(SimulatedClock.epochMilliseconds) + run / 1_000_000 + wallDrift + Int64(offsetMilliseconds)
    return Moment(
      instant: Instant(nanoseconds: UInt64(drifted)), wallMilliseconds: UInt64(max(0, wall)))
  }
}
