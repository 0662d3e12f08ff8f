package import Replication
package import Storage

// How often something happened in runs, by name: what no run has met no run has checked.

package struct Tally<Event: Hashable & CaseIterable & RawRepresentable & Sendable>: Equatable, Sendable
where Event.RawValue == String {
  private var counts: [Event: Int] = [:]

  package init() {}

  package subscript(event: Event) -> Int {
    get { counts[event] ?? 0 }
    set { counts[event] = newValue }
  }

  package mutating func count(_ event: Event, _ number: Int = 1) { self[event] += number }

  package static func += (tally: inout Tally, other: Tally) {
    for event in Event.allCases { tally.count(event, other[event]) }
  }
}

/// What the rules of the delete protocol did.
package enum RuleEvent: String, CaseIterable, Sendable {
  case purges
  /// Tombstones that came by feeds, messages that asked for them, and tombstones that were stored for them.
  case feedMessages = "feed messages"
  case feedSent = "feed entries sent"
  case feedApplied = "feed entries applied"
  /// Writes that were refused because they may be old copies.
  case stale
  /// Repairs and hints that were asked of all owners in their place; dropped because nobody had them; put off.
  case handled
  case dropped = "stale pushes dropped"
  case retried = "stale pushes put off"
  case guarded
  case reAsked = "re-asked"
  case withdrawn = "answers withdrawn"
  case regressed
  case rebuilt
  case quarantined
  case overlapKept = "overlap kept"
  /// Stores whose tombstones wait for an owner that is away, when the others have proved themselves.
  case waiting = "stores that wait"
  /// Records that left the disk.
  case tombstonesMerged = "tombstones merged away"
}

extension Tally<RuleEvent> {
  /// What one process has counted until its end.
  package mutating func add(_ counters: NodeCounters?, merge: MergeTotals?) {
    if let merge {
      count(.overlapKept, merge.tombstonesBlocked)
      count(.tombstonesMerged, merge.tombstonesDropped)
    }
    guard let counters else { return }
    count(.purges, Int(counters.purged))
    count(.feedMessages, Int(counters.feedMessages))
    count(.feedSent, Int(counters.feedEntriesSent))
    count(.feedApplied, Int(counters.feedEntriesApplied))
    count(.stale, Int(counters.stalePushesRefused))
    count(.handled, Int(counters.stalePushesPulled))
    count(.dropped, Int(counters.stalePushesDropped))
    count(.retried, Int(counters.stalePushesPutOff))
    count(.guarded, Int(counters.antiEntropy.guarded))
    count(.reAsked, Int(counters.revalidatedReads))
    count(.withdrawn, Int(counters.withdrawnReads))
    count(.regressed, Int(counters.regressions))
    count(.quarantined, Int(counters.quarantined))
  }
}

extension Tally<Fault> {
  /// Strikes that took effect; of what holds all the time, how often it did, or that it did.
  mutating func add(strikes: [StrikeReport]) { for strike in strikes { count(strike.fault) } }

  mutating func add(_ network: SimulatedNetwork) {
    count(.loss, network.lost)
    count(.duplication, network.doubled)
    count(.lateness, network.late)
  }

  /// Runs in which it holds.
  mutating func add(running options: SimulationOptions, without omissions: Omissions) {
    let clocks = options.clocks
    if clocks.offsetMillisecondsMax > 0, !omissions.contains(.offsets) { count(.offsets) }
    if clocks.driftPerMillionMax > 0, !omissions.contains(.drift) { count(.drift) }
    if options.disk.coldReadsPerThousand > 0, !omissions.contains(.coldReads) { count(.coldReads) }
    if options.faults.chaosPerThousand > 0, !omissions.contains(.chaos) { count(.chaos) }
    if options.faults.crashesDuringStart, !omissions.contains(.startCrashes) { count(.startCrashes) }
  }
}
