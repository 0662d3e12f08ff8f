package import Primitives

// What came of a run, and the way to start one.

package struct SimulationResult: Sendable {
  package let seed: UInt64
  /// Broken promises; empty when the run passed.
  package let violations: [Violation]
  package let virtualTime: Instant
  package let operations: OperationCounts
  /// Strikes per kind of fault, by name, in the order of the kinds.
  package let faults: [(name: String, count: Int)]
  /// Equal for equal runs.
  package let traceHash: UInt64

  package var hasPassed: Bool { violations.isEmpty }
  package var faultCount: Int { faults.reduce(0) { $0 + $1.count } }
}

/// Runs the cluster that this seed describes; `trace` gets one line per event: virtual seconds, node, what.
package func simulate(seed: UInt64, trace: ((String) -> Void)? = nil) -> SimulationResult {
  simulate(seed: seed, options: SimulationOptions(seed: seed), trace: trace)
}

/// Runs a cluster with these options.
package func simulate(
  seed: UInt64, options: SimulationOptions, trace: ((String) -> Void)? = nil
) -> SimulationResult {
  Simulator(seed: seed, options: options, trace: trace).run()
}

extension Simulator {
  func result() -> SimulationResult {
    SimulationResult(
      seed: seed, violations: history.violations, virtualTime: now, operations: history.counts,
      faults: Fault.allCases.map { (name: "\($0)", count: faultCounts[$0.rawValue]) }, traceHash: trace.hash)
  }
}
