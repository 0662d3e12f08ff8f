package import Replication

// How often nodes stood in for each other in a run, so that a campaign shows which branches it has taken.

package struct HandoffTally: Equatable, Sendable {
  package var hintsKept = 0
  package var hintsDelivered = 0
  package var hintsRefused = 0
  package var sloppyWrites = 0
  package var sloppyReads = 0
  package var readRepairs = 0
  package var hedgedReads = 0

  package init() {}

  /// What one process has counted until its end.
  package mutating func add(_ counters: NodeCounters?) {
    guard let counters else { return }
    hintsKept += Int(counters.hintsKept)
    hintsDelivered += Int(counters.hintsDelivered)
    hintsRefused += Int(counters.hintsRefused)
    sloppyWrites += Int(counters.sloppyWrites)
    sloppyReads += Int(counters.sloppyReads)
    readRepairs += Int(counters.readRepairs)
    hedgedReads += Int(counters.hedgedReads)
  }

  package static func += (tally: inout HandoffTally, other: HandoffTally) {
    tally.hintsKept += other.hintsKept
    tally.hintsDelivered += other.hintsDelivered
    tally.hintsRefused += other.hintsRefused
    tally.sloppyWrites += other.sloppyWrites
    tally.sloppyReads += other.sloppyReads
    tally.readRepairs += other.readRepairs
    tally.hedgedReads += other.hedgedReads
  }
}
