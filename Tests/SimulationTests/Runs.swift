import Simulation

// Runs as the tests of the simulator ask for them.

/// A run, and every event of it, a line each.
func traced(_ seed: UInt64, _ options: SimulationOptions) -> (result: SimulationResult, trace: String) {
  var lines: [String] = []
  let result = simulate(seed: seed, options: options) { lines.append($0) }
  return (result, lines.joined(separator: "\n"))
}

/// Runs of one seed after the other, until one shows what is looked for: which one does changes with everything that
/// draws.
func simulate(
  seeds: ClosedRange<UInt64>, options: SimulationOptions, until isShown: (SimulationResult) -> Bool
) -> [SimulationResult] {
  var results: [SimulationResult] = []
  for seed in seeds where !results.contains(where: isShown) { results.append(simulate(seed: seed, options: options)) }
  return results
}
