import Client
import Platform
import Protocols
import Simulation

// `cairn simulate`: one simulated run, or many. Every failure is one line that starts with the command which repeats it.

let simulateCommand = Subcommand(
  name: "simulate", summary: "run simulated clusters under faults and check every promise",
  details: [
    "A run is decided by its seed alone: cluster, clients, faults. Failures are printed as the command that repeats them;",
    "with --trace a run tells what happens: virtual seconds, node, event.",
  ],
  options: [
    Option("--seed", "S", help: "run this seed"),
    Option("--trace", help: "print every event (with --seed)"),
    Option("--seeds", "A..<B", help: "run all seeds from A to B - 1"),
    Option("--jobs", "N", help: "processes at once (default 2, with --seeds)"),
    Option("--minutes", "M", help: "begin no run after this time (with --seeds)"),
    Option("--json", help: "print one JSON object per run"),
    Option("--worker", help: "report each run as it begins and ends (what --seeds starts)"),
  ],
  examples: ["simulate --seed 8812 --trace", "simulate --seeds '0..<1000' --jobs 2"], run: simulateSeeds)

@Sendable private func simulateSeeds(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  if let text = arguments.value("--seed") {
    guard let seed = UInt64(text) else { throw arguments.problem("--seed is '\(text)', not a number from 0") }
    guard arguments.value("--seeds") == nil else { throw arguments.problem("--seed and --seeds exclude each other") }
    return try runOne(seed, arguments)
  }
  guard let text = arguments.value("--seeds") else {
    throw arguments.problem("simulate needs --seed or --seeds", hint: "cairn simulate --seed 1")
  }
  guard !arguments.has("--trace") else {
    throw arguments.problem("--trace is for one run", hint: "give it with --seed S")
  }
  guard let seeds = seedRange(text) else {
    throw arguments.problem("--seeds is '\(text)', not a range", hint: "cairn simulate --seeds '0..<100'")
  }
  if arguments.has("--worker") {
    for seed in seeds { SimulationReport.work(seed) }
    return 0
  }
  var campaign = SimulationCampaign(
    seeds: seeds, jobs: try arguments.integer("--jobs", in: 1...64) ?? 2,
    minutes: try arguments.integer("--minutes", in: 1...100_000), printsJSON: arguments.has("--json"))
  return try campaign.run()
}

/// `A..<B` or `A..B`, B excluded in the first form only; nil when it is neither, or empty.
private func seedRange(_ text: String) -> Range<UInt64>? {
  let isHalfOpen = text.contains("..<")
  let sides = text.split(separator: isHalfOpen ? "..<" : "..", omittingEmptySubsequences: false)
  guard sides.count == 2, let first = UInt64(sides[0]), let last = UInt64(sides[1]), last < .max else { return nil }
  let end = isHalfOpen ? last : last + 1
  return first < end ? first..<end : nil
}

private func runOne(_ seed: UInt64, _ arguments: Arguments) throws -> Int32 {
  let result =
    arguments.has("--trace")
    ? simulate(seed: seed) { writeToStandardOutput($0 + "\n") } : simulate(seed: seed)
  let report = SimulationReport(result)
  if arguments.has("--json") {
    try printOut(report.json.text(indent: false) + "\n")
  } else {
    for violation in result.violations { try printOut("\(violation)\n") }
    try printOut(report.summary + "\n")
  }
  return result.hasPassed ? 0 : 1
}
