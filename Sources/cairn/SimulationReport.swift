import Client
import Platform
import Primitives
import Protocols
import Simulation

// What is told of one simulated run: to a person, as JSON, and from a worker process to the one that started it.

struct SimulationReport: Equatable {
  let seed: UInt64
  /// The first broken promise; nil when the run passed.
  let failure: String?
  let virtualMilliseconds: Int
  let operations: Int
  let succeeded: Int
  let faults: Int
  let traceHash: String

  init(_ result: SimulationResult) {
    seed = result.seed
    failure = result.violations.first.map(\.description)
    virtualMilliseconds = Int(result.virtualTime.nanoseconds / 1_000_000)
    operations = result.operations.invoked
    succeeded = result.operations.succeeded
    faults = result.faultCount
    traceHash = String(result.traceHash, radix: 16)
  }

  /// A run that took its process with it.
  init(crashed seed: UInt64, _ reason: String) {
    self.seed = seed
    failure = reason
    virtualMilliseconds = 0
    operations = 0
    succeeded = 0
    faults = 0
    traceHash = ""
  }

  var summary: String {
    let facts =
      "\(operations) operations (\(succeeded) succeeded), \(faults) faults, \(virtualMilliseconds / 1000) virtual seconds"
    return "seed \(seed) \(failure == nil ? "passed" : "FAILED"): \(facts), trace \(traceHash)"
  }

  /// What repeats the failure, and what it was.
  var failureLine: String { "cairn simulate --seed \(seed)   # \(failure ?? "passed")" }

  var json: JSON {
    .object([
      JSON.Member(name: "seed", value: .string("\(seed)")),
      JSON.Member(name: "passed", value: .bool(failure == nil)),
      JSON.Member(name: "failure", value: failure.map { .string($0) } ?? .null),
      JSON.Member(name: "virtual_milliseconds", value: .integer(virtualMilliseconds)),
      JSON.Member(name: "operations", value: .integer(operations)),
      JSON.Member(name: "succeeded", value: .integer(succeeded)),
      JSON.Member(name: "faults", value: .integer(faults)),
      JSON.Member(name: "trace", value: .string(traceHash)),
    ])
  }

  // MARK: - Between a worker and its parent: `run SEED`, then one JSON object, one line each

  static func work(_ seed: UInt64) {
    writeToStandardOutput("run \(seed)\n")
    writeToStandardOutput(SimulationReport(simulate(seed: seed)).json.text(indent: false) + "\n")
  }

  /// Nil when `line` is not a worker's report.
  init?(line: String) {
    guard let json = try? JSON.parse(Array(line.utf8)), let seed = json["seed"]?.string.flatMap({ UInt64($0) }),
      let virtual = json["virtual_milliseconds"]?.integer, let operations = json["operations"]?.integer,
      let succeeded = json["succeeded"]?.integer, let faults = json["faults"]?.integer,
      let traceHash = json["trace"]?.string
    else { return nil }
    self.seed = seed
    failure = json["failure"]?.string
    virtualMilliseconds = virtual
    self.operations = operations
    self.succeeded = succeeded
    self.faults = faults
    self.traceHash = traceHash
  }
}
