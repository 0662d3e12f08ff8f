import Client
import Platform
import Protocols
import Simulation
import Storage

// `cairn simulate`: one simulated run, or many. Every failure is one line that starts with the command which repeats it.

let simulateCommand = Subcommand(
  name: "simulate", summary: "run simulated clusters under faults and check every promise",
  details: [
    "A run is decided by its seed alone: cluster, clients, faults. Failures are printed as the command that repeats them;",
    "with --trace a run tells what happens: virtual seconds, node, event. --shrink leaves out of a failing run what the",
    "failure does not need, until nothing more can go, and prints the smaller command.",
  ] + wrapped("Faults that can be left out:", Fault.allCases.map(\.rawValue))
    + wrapped("Rules of the delete protocol:", Rule.allCases.map(\.name)),
  options: [
    Option("--seed", "S", help: "run this seed"),
    Option("--trace", help: "print every event (with --seed)"),
    Option("--without", "WHAT", help: "leave out faults by name and strikes by number: loss,cut,3,7-12 (with --seed)"),
    Option("--without-rule", "NAMES", help: "nodes do not keep to these rules of the delete protocol"),
    Option("--shrink", help: "look for a smaller run that fails as well (with --seed)"),
    Option("--seeds", "A..<B", help: "run all seeds from A to B - 1"),
    Option("--jobs", "N", help: "processes at once (default 2, with --seeds)"),
    Option("--minutes", "M", help: "begin no run after this time (with --seeds)"),
    Option("--json", help: "print one JSON object per run"),
    Option("--worker", help: "report each run as it begins and ends (what --seeds starts)"),
  ],
  examples: [
    "simulate --seed 8812 --trace", "simulate --seed 8812 --shrink", "simulate --seed 8812 --without loss,3,7-12",
    "simulate --seeds '1..<501' --without-rule floor", "simulate --seeds '0..<1000' --jobs 2",
  ], run: simulateSeeds)

@Sendable private func simulateSeeds(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  if let text = arguments.value("--seed") {
    guard let seed = UInt64(text) else { throw arguments.problem("--seed is '\(text)', not a number from 0") }
    guard arguments.value("--seeds") == nil else { throw arguments.problem("--seed and --seeds exclude each other") }
    let omissions = try omissions(arguments)
    if arguments.has("--shrink") {
      guard !arguments.has("--trace"), !arguments.has("--json") else {
        throw arguments.problem(
          "--shrink makes many runs and prints no trace and no JSON", hint: "cairn simulate --seed \(seed) --shrink")
      }
      var shrinking = SimulationShrinking(seed: seed, omissions: omissions)
      return try shrinking.run()
    }
    return try runOne(seed, omissions, arguments)
  }
  guard let text = arguments.value("--seeds") else {
    throw arguments.problem("simulate needs --seed or --seeds", hint: "cairn simulate --seed 1")
  }
  for option in ["--trace", "--shrink", "--without"] where arguments.has(option) || arguments.value(option) != nil {
    throw arguments.problem("\(option) is for one run", hint: "give it with --seed S")
  }
  guard let seeds = seedRange(text) else {
    throw arguments.problem("--seeds is '\(text)', not a range", hint: "cairn simulate --seeds '0..<100'")
  }
  let omissions = try omissions(arguments)
  if arguments.has("--worker") {
    for seed in seeds { SimulationReport.work(seed, without: omissions) }
    return 0
  }
  var campaign = SimulationCampaign(
    seeds: seeds, jobs: try arguments.integer("--jobs", in: 1...64) ?? 2,
    minutes: try arguments.integer("--minutes", in: 1...100_000), printsJSON: arguments.has("--json"),
    omissions: omissions)
  return try campaign.run()
}

/// A list of words after its title, in lines that fit a terminal.
private func wrapped(_ title: String, _ words: [String]) -> [String] {
  var lines = [title]
  for (index, word) in words.enumerated() {
    let text = word + (index + 1 < words.count ? "," : ".")
    if lines[lines.count - 1].utf8.count + 1 + text.utf8.count > 118 {
      lines.append(text)
    } else {
      lines[lines.count - 1] += " " + text
    }
  }
  return lines
}

/// `A..<B` or `A..B`, B excluded in the first form only; nil when it is neither, or empty.
private func seedRange(_ text: String) -> Range<UInt64>? {
  let isHalfOpen = text.contains("..<")
  let sides = text.split(separator: isHalfOpen ? "..<" : "..", omittingEmptySubsequences: false)
  guard sides.count == 2, let first = UInt64(sides[0]), let last = UInt64(sides[1]), last < .max else { return nil }
  let end = isHalfOpen ? last : last + 1
  return first < end ? first..<end : nil
}

private func omissions(_ arguments: Arguments) throws -> Omissions {
  var omissions = Omissions()
  if let text = arguments.value("--without") {
    let problem: String?
    (omissions, problem) = Omissions.parse(text)
    if let problem {
      throw arguments.problem("--without: \(problem)", hint: "cairn simulate --seed 1 --without loss,3,7-12")
    }
  }
  if let text = arguments.value("--without-rule"), let word = omissions.leaveOutRules(text) {
    throw arguments.problem("--without-rule: there is no rule '\(word)'", hint: "cairn simulate --help")
  }
  return omissions
}

private func runOne(_ seed: UInt64, _ omissions: Omissions, _ arguments: Arguments) throws -> Int32 {
  let result =
    arguments.has("--trace")
    ? simulate(seed: seed, without: omissions) { writeToStandardOutput($0 + "\n") }
    : simulate(seed: seed, without: omissions)
  let report = SimulationReport(result, without: omissions)
  if arguments.has("--json") {
    try printOut(report.json.text(indent: false) + "\n")
  } else {
    for violation in result.violations { try printOut("\(violation)\n") }
    try printOut(report.summary + "\n")
    if !result.hasPassed { try printOut(report.advice) }
  }
  return result.hasPassed ? 0 : 1
}
