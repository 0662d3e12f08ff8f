import Protocols
import Simulation

// How often simulated runs took which branch, as JSON and as lines under a campaign.

extension HandoffTally {
  private static var fields: [(name: String, path: WritableKeyPath<HandoffTally, Int>)] {
    [
      ("hints_kept", \.hintsKept),
      ("hints_delivered", \.hintsDelivered),
      ("hints_refused", \.hintsRefused),
      ("sloppy_writes", \.sloppyWrites),
      ("sloppy_reads", \.sloppyReads),
      ("read_repairs", \.readRepairs),
      ("hedged_reads", \.hedgedReads),
    ]
  }

  var json: JSON {
    .object(HandoffTally.fields.map { JSON.Member(name: $0.name, value: .integer(self[keyPath: $0.path])) })
  }

  init?(_ json: JSON?) {
    self.init()
    for field in HandoffTally.fields {
      guard let count = json?[field.name]?.integer else { return nil }
      self[keyPath: field.path] = count
    }
  }

  /// For the last line of a campaign.
  var summary: String {
    """
    hints: \(hintsKept) kept, \(hintsDelivered) delivered, \(hintsRefused) refused; \
    sloppy: \(sloppyWrites) writes, \(sloppyReads) reads; reads: \(readRepairs) repairs, \(hedgedReads) hedged
    """
  }
}

extension AntiEntropyTally {
  private static var fields: [(name: String, path: WritableKeyPath<AntiEntropyTally, Int>)] {
    [
      ("diverged", \.diverged),
      ("rounds", \.rounds),
      ("roots_equal", \.rootsEqual),
      ("roots_differing", \.rootsDiffering),
      ("keys_pulled", \.keysPulled),
      ("refills", \.refills),
      ("rebuilds", \.rebuilds),
      ("damages", \.damages),
      ("repairs", \.repairs),
      ("losses", \.losses),
    ]
  }

  var json: JSON {
    .object(AntiEntropyTally.fields.map { JSON.Member(name: $0.name, value: .integer(self[keyPath: $0.path])) })
  }

  init?(_ json: JSON?) {
    self.init()
    for field in AntiEntropyTally.fields {
      guard let count = json?[field.name]?.integer else { return nil }
      self[keyPath: field.path] = count
    }
  }

  /// For the last lines of a campaign.
  var summary: String {
    """
    anti-entropy: \(diverged) stores diverged, \(rounds) rounds, \(rootsEqual) roots equal, \(rootsDiffering) differing, \(keysPulled) keys pulled; \
    \(refills) refills, \(rebuilds) rebuilds; damage: \(damages) found, \(repairs) repaired, \(losses) lost
    """
  }
}

extension Tally {
  var json: JSON {
    .object(Event.allCases.map { JSON.Member(name: $0.rawValue, value: .integer(self[$0])) })
  }

  init?(_ json: JSON?) {
    self.init()
    for event in Event.allCases {
      guard let count = json?[event.rawValue]?.integer else { return nil }
      self[event] = count
    }
  }

  /// One line for each event under a title, its count in front.
  func table(_ title: String) -> String {
    title + "\n" + aligned(Event.allCases.map { ["\(self[$0])", $0.rawValue] }, indent: "  ").joined(separator: "\n")
      + "\n"
  }
}
