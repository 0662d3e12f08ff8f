package import Primitives
import Replication

// What came of a run, and the way to start one.

package struct SimulationResult: Sendable {
  package let seed: UInt64
  /// Broken promises; empty when the run passed.
  package let violations: [Violation]
  package let virtualTime: Instant
  package let operations: OperationCounts
  package let handoff: HandoffTally
  package let antiEntropy: AntiEntropyTally
  package let rules: Tally<RuleEvent>
  package let faults: Tally<Fault>
  /// The strikes that took effect, in order.
  package let strikes: [StrikeReport]
  /// Strikes that the whole run has.
  package let strikesPlanned: Int
  /// Equal for equal runs.
  package let traceHash: UInt64

  package var hasPassed: Bool { violations.isEmpty }
}

/// A strike, as told to a person.
package struct StrikeReport: Equatable, Sendable {
  package let number: Int
  package let fault: Fault
  package let time: Instant
  /// What it did.
  package let text: String
}

/// Runs the cluster that this seed describes; `trace` gets one line per event: virtual seconds, node, what.
package func simulate(
  seed: UInt64, without omissions: Omissions = Omissions(), trace: ((String) -> Void)? = nil
) -> SimulationResult {
  simulate(seed: seed, options: SimulationOptions(seed: seed), without: omissions, trace: trace)
}

/// The strikes that the run of this seed has, whether or not they will take effect.
package func plannedStrikes(seed: UInt64) -> [(number: Int, fault: Fault)] {
  FaultPlan(options: SimulationOptions(seed: seed).faults, seed: seed).strikes.map { ($0.number, $0.fault) }
}

/// Runs a cluster with these options.
package func simulate(
  seed: UInt64, options: SimulationOptions, without omissions: Omissions = Omissions(),
  trace: ((String) -> Void)? = nil
) -> SimulationResult {
  Simulator(seed: seed, options: options, without: omissions, trace: trace).run()
}

extension Simulator {
  func result() -> SimulationResult {
    for machine in machines {
      tally.add(machine.node?.counters)
      antiEntropyTally.add(machine.node?.counters)
      ruleEvents.add(machine.node?.counters, merge: machine.node?.mergeTotals)
      antiEntropyTally.rebuilds += machine.platter.disk.directories(in: Simulator.asideDirectory).count
    }
    antiEntropyTally.add(wiretap.exchanges)
    ruleEvents.count(.rebuilt, antiEntropyTally.rebuilds)
    var faults = Tally<Fault>()
    faults.add(strikes: strikes)
    faults.add(network)
    faults.add(running: options, without: omissions)
    return SimulationResult(
      seed: seed, violations: history.violations, virtualTime: now, operations: history.counts, handoff: tally,
      antiEntropy: antiEntropyTally, rules: ruleEvents, faults: faults, strikes: strikes,
      strikesPlanned: plan.strikes.count, traceHash: trace.hash)
  }
}
