import Client
import Platform
import Primitives
import Protocols
import Simulation

// What is told of one simulated run: to a person, as JSON, and from a worker process to the one that started it.

struct SimulationReport {
  let seed: UInt64
  /// The first broken promise; nil when the run passed.
  let failure: String?
  /// Which promise that was, in a word or two; `crash` where the process ended.
  let promise: String?
  let virtualMilliseconds: Int
  let operations: Int
  let succeeded: Int
  let handoff: HandoffTally
  let antiEntropy: AntiEntropyTally
  let rules: Tally<RuleEvent>
  let faults: Tally<Fault>
  /// The strikes that took effect, as a person reads them, by number.
  let strikes: [(number: Int, text: String)]
  /// Strikes that the whole run has.
  let strikesPlanned: Int
  var omissions: Omissions
  let traceHash: String

  init(_ result: SimulationResult, without omissions: Omissions = Omissions()) {
    seed = result.seed
    failure = result.violations.first.map(\.description)
    promise = result.violations.first?.promise.rawValue
    self.omissions = omissions
    virtualMilliseconds = Int(result.virtualTime.nanoseconds / 1_000_000)
    operations = result.operations.invoked
    succeeded = result.operations.succeeded
    handoff = result.handoff
    antiEntropy = result.antiEntropy
    rules = result.rules
    faults = result.faults
    strikes = result.strikes.map { strike in
      (strike.number, "\(strike.time.nanoseconds / 1_000_000) ms, \(strike.fault.rawValue): \(strike.text)")
    }
    strikesPlanned = result.strikesPlanned
    traceHash = String(result.traceHash, radix: 16)
  }

  /// A run that took its process with it: any strike of its plan may have had to do with that.
  init(crashed seed: UInt64, _ reason: String, without omissions: Omissions = Omissions()) {
    self.seed = seed
    failure = reason
    promise = "crash"
    self.omissions = omissions
    virtualMilliseconds = 0
    operations = 0
    succeeded = 0
    handoff = HandoffTally()
    antiEntropy = AntiEntropyTally()
    rules = Tally()
    faults = Tally()
    let planned = plannedStrikes(seed: seed)
    strikes = planned.filter { !omissions.contains(strike: $0.number, of: $0.fault) }
      .map { ($0.number, "\($0.fault.rawValue), if it took effect") }
    strikesPlanned = planned.count
    traceHash = ""
  }

  var summary: String {
    let facts =
      "\(operations) operations (\(succeeded) succeeded), \(strikes.count) faults, \(virtualMilliseconds / 1000) virtual seconds"
    return "seed \(seed) \(failure == nil ? "passed" : "FAILED"): \(facts), trace \(traceHash)"
  }

  /// What repeats the run.
  static func command(_ seed: UInt64, without omissions: Omissions) -> String {
    let faults = omissions.description
    let rules = omissions.rulesText
    return "cairn simulate --seed \(seed)" + (faults.isEmpty ? "" : " --without \(faults)")
      + (rules.isEmpty ? "" : " --without-rule \(rules)")
  }

  /// What repeats the failure, and what it was.
  var failureLine: String {
    "\(SimulationReport.command(seed, without: omissions))   # \(failure ?? "passed")"
  }

  /// What to do with a run that failed.
  var advice: String {
    let command = SimulationReport.command(seed, without: omissions)
    return """
      to see every event:      \(command) --trace
      to leave out what is not needed: \(command) --shrink

      """
  }

  var json: JSON {
    .object([
      JSON.Member(name: "seed", value: .string("\(seed)")),
      JSON.Member(name: "passed", value: .bool(failure == nil)),
      JSON.Member(name: "failure", value: failure.map { .string($0) } ?? .null),
      JSON.Member(name: "promise", value: promise.map { .string($0) } ?? .null),
      JSON.Member(name: "virtual_milliseconds", value: .integer(virtualMilliseconds)),
      JSON.Member(name: "operations", value: .integer(operations)),
      JSON.Member(name: "succeeded", value: .integer(succeeded)),
      JSON.Member(name: "handoff", value: handoff.json),
      JSON.Member(name: "anti_entropy", value: antiEntropy.json),
      JSON.Member(name: "rules", value: rules.json),
      JSON.Member(name: "fault_counts", value: faults.json),
      JSON.Member(name: "faults", value: .integer(strikes.count)),
      JSON.Member(name: "strikes_planned", value: .integer(strikesPlanned)),
      JSON.Member(
        name: "strikes",
        value: .array(
          strikes.map { strike in
            .object([
              JSON.Member(name: "number", value: .integer(strike.number)),
              JSON.Member(name: "what", value: .string(strike.text)),
            ])
          })),
      JSON.Member(name: "trace", value: .string(traceHash)),
    ])
  }

  // MARK: - Between a worker and its parent: `run SEED`, then one JSON object, one line each

  static func work(_ seed: UInt64, without omissions: Omissions) {
    writeToStandardOutput("run \(seed)\n")
    let report = SimulationReport(simulate(seed: seed, without: omissions))
    writeToStandardOutput(report.json.text(indent: false) + "\n")
  }

  /// Nil when `line` is not a worker's report.
  init?(line: String) {
    guard let json = try? JSON.parse(Array(line.utf8)), let seed = json["seed"]?.string.flatMap({ UInt64($0) }),
      let virtual = json["virtual_milliseconds"]?.integer, let operations = json["operations"]?.integer,
      let succeeded = json["succeeded"]?.integer, let planned = json["strikes_planned"]?.integer,
      let handoff = HandoffTally(json["handoff"]),
      let antiEntropy = AntiEntropyTally(json["anti_entropy"]), let rules = Tally<RuleEvent>(json["rules"]),
      let faults = Tally<Fault>(json["fault_counts"]), let strikes = json["strikes"]?.array,
      let traceHash = json["trace"]?.string
    else { return nil }
    self.seed = seed
    failure = json["failure"]?.string
    promise = json["promise"]?.string
    omissions = Omissions()
    virtualMilliseconds = virtual
    self.operations = operations
    self.succeeded = succeeded
    self.handoff = handoff
    self.antiEntropy = antiEntropy
    self.rules = rules
    self.faults = faults
    strikesPlanned = planned
    self.strikes = strikes.compactMap { strike in
      guard let number = strike["number"]?.integer, let text = strike["what"]?.string else { return nil }
      return (number, text)
    }
    self.traceHash = traceHash
  }
}
