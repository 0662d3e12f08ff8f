import Primitives
import Protocols

// What `cairn bench engine` prints: one object per line for programs, or a table for people.

/// A row: the repetition with the median rate, and how far the others were from it.
struct EngineBenchResult {
  let plan: EngineBenchPlan
  let perSecond: Double
  let slowest: Double
  let fastest: Double
  let rawPerSecond: Double?
  let latencies: LatencyHistogram?
  let memoryPerKey: Double?
  let diskPerKey: Double?

  /// - Parameter samples: At least one.
  init(_ plan: EngineBenchPlan, _ samples: [EngineBenchSample]) {
    let sorted = samples.sorted { $0.perSecond < $1.perSecond }
    let median = sorted[(sorted.count - 1) / 2]
    self.plan = plan
    perSecond = median.perSecond
    slowest = sorted[0].perSecond
    fastest = sorted[sorted.count - 1].perSecond
    rawPerSecond = median.rawPerSecond
    latencies = median.latencies
    memoryPerKey = median.memoryPerKey
    diskPerKey = median.diskPerKey
  }

  /// Of the raw loop's rate.
  var ratio: Double? { rawPerSecond.flatMap { $0 > 0 ? perSecond / $0 : nil } }

  // MARK: For programs

  var json: JSON {
    func percentile(_ percentile: Double) -> JSON {
      .optional(latencies) { .count($0.value(atPercentile: percentile)) }
    }
    return .object([
      "workload": .string(plan.workload.rawValue), "keys": .integer(plan.keyCount),
      "key_bytes": .integer(plan.keyByteCount), "value_bytes": .integer(plan.valueByteCount),
      "stores": .integer(plan.storeCount), "turn": .integer(plan.turn), "runs": .integer(plan.runs),
      "per_second": .number(perSecond), "per_second_min": .number(slowest), "per_second_max": .number(fastest),
      "unit": .string(plan.workload.unit), "raw_per_second": .optional(rawPerSecond) { .number($0) },
      "p50_ns": percentile(50), "p99_ns": percentile(99), "max_ns": .optional(latencies) { .count($0.max) },
      "bytes_per_key": .optional(memoryPerKey) { .number($0) },
      "disk_bytes_per_key": .optional(diskPerKey) { .number($0) },
    ])
  }

  // MARK: For eyes

  static let header = [
    "WORKLOAD", "KEY+VALUE", "TURN", "RATE", "MIN–MAX", "RAW", "RATIO", "P50", "P99", "MAX", "RAM/KEY", "DISK/KEY",
    "GOALS",
  ]

  var row: [String] {
    func rate(_ value: Double) -> String { rateText(value, unit: plan.workload.unit) }
    func percentile(_ percentile: Double) -> String {
      latencies.map { latencyText($0.value(atPercentile: percentile)) } ?? "-"
    }
    let goals = EngineGoal.goals(of: plan.workload, turn: plan.turn, valueByteCount: plan.valueByteCount).map { goal in
      "\(goal.text(unit: plan.workload.unit)) \(goal.isMet(by: self) ? "met" : "MISSED")"
    }
    return [
      plan.workload.rawValue, "\(plan.keyByteCount)+\(plan.valueByteCount)", "\(plan.turn)", rate(perSecond),
      slowest == fastest ? "-" : "\(rate(slowest))–\(rate(fastest))", rawPerSecond.map(rate) ?? "-",
      ratio.map { rounded($0, 2) } ?? "-", percentile(50), percentile(99),
      latencies.map { latencyText($0.max) } ?? "-", memoryPerKey.map { "\(rounded($0, 1)) B" } ?? "-",
      diskPerKey.map { "\(rounded($0, 1)) B" } ?? "-", goals.isEmpty ? "-" : goals.joined(separator: ", "),
    ]
  }

  static func table(_ results: [EngineBenchResult]) -> String {
    aligned([header] + results.map(\.row)).joined(separator: "\n") + "\n"
  }
}
