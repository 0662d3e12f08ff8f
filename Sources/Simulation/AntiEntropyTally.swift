package import Messages
package import Replication

// How often the owners of a run compared what they have, and what came of it, so that a campaign shows which branches it
// has taken.

/// Comparisons and pulls on the wires, by kind.
package struct ExchangeTally: Equatable, Sendable {
  package var rootsEqual = 0
  package var rootsDiffering = 0
  /// Questions that go below the roots, and records that are sent.
  package var deeper = 0
  package var records = 0
  /// Versions that nobody asked for, and questions for tombstones.
  package var pushes = 0
  package var feeds = 0

  package init() {}

  package mutating func count(_ body: PeerBody) {
    switch body {
    case .compare(let compare):
      if case .roots = compare.subject { return }
      deeper += 1
    case .pull: deeper += 1
    case .compareReply(let reply):
      guard case .roots(let answers) = reply.outcome else { return }
      rootsEqual += answers.count { $0.verdict == .equal }
      rootsDiffering += answers.count { if case .differs = $0.verdict { true } else { false } }
    case .pullReply(let reply):
      if case .page(let page) = reply.outcome { records += page.records.count }
    case .push: pushes += 1
    case .storeStates: feeds += 1
    default: break
    }
  }
}

package struct AntiEntropyTally: Equatable, Sendable {
  /// Stores whose owners differed when calm began.
  package var diverged = 0
  package var rounds = 0
  package var rootsEqual = 0
  package var rootsDiffering = 0
  package var keysPulled = 0
  package var refills = 0
  /// Directories of stores that were set aside.
  package var rebuilds = 0
  package var damages = 0
  package var repairs = 0
  package var losses = 0

  package init() {}

  /// What one process has counted until its end.
  package mutating func add(_ counters: NodeCounters?) {
    guard let counters = counters?.antiEntropy else { return }
    rounds += Int(counters.rounds)
    keysPulled += Int(counters.keysPulled)
    refills += Int(counters.refills)
    damages += Int(counters.damages)
    repairs += Int(counters.repairs)
    losses += Int(counters.losses)
  }

  package mutating func add(_ exchanges: ExchangeTally) {
    rootsEqual += exchanges.rootsEqual
    rootsDiffering += exchanges.rootsDiffering
  }

  package static func += (tally: inout AntiEntropyTally, other: AntiEntropyTally) {
    for path in fields { tally[keyPath: path] += other[keyPath: path] }
  }

  private static var fields: [WritableKeyPath<AntiEntropyTally, Int>] {
    [
      \.diverged, \.rounds, \.rootsEqual, \.rootsDiffering, \.keysPulled, \.refills, \.rebuilds, \.damages, \.repairs,
      \.losses,
    ]
  }
}
