import Primitives

// Metrics as text: Prometheus' exposition format, version 0.0.4. Every family has one HELP and one TYPE line and then
// all of its samples; nothing comes from a dictionary, so the order never changes.

/// One value of a metric, told from the others of its family by its labels.
struct MetricSample {
  enum Value {
    case count(UInt64)
    case amount(Double)
    case histogram(LatencyHistogram)
  }

  let labels: [(name: String, value: String)]
  let value: Value

  init(_ labels: [(name: String, value: String)] = [], _ value: Value) {
    self.labels = labels
    self.value = value
  }
}

struct MetricsText {
  /// Upper bounds of the buckets of every duration, in nanoseconds: 50 µs to 10 s.
  static let bounds: [UInt64] = [
    50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
    250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
  ]

  private(set) var text = ""
  var bytes: [UInt8] { Array(text.utf8) }

  /// Appends a family; one without samples is left out.
  mutating func append(_ name: String, _ kind: String, help: String, _ samples: [MetricSample]) {
    guard !samples.isEmpty else { return }
    text += "# HELP \(name) \(MetricsText.escaped(help, quotes: false))\n# TYPE \(name) \(kind)\n"
    for sample in samples {
      switch sample.value {
      case .count(let count): append(name, sample.labels, "\(count)")
      case .amount(let amount): append(name, sample.labels, MetricsText.number(amount))
      case .histogram(let histogram): append(name, sample.labels, histogram)
      }
    }
  }

  private mutating func append(
    _ name: String, _ labels: [(name: String, value: String)], _ histogram: LatencyHistogram
  ) {
    let counts = histogram.cumulativeCounts(upTo: MetricsText.bounds)
    for (bound, count) in zip(MetricsText.bounds, counts) {
      append(name + "_bucket", labels + [("le", MetricsText.number(Double(bound) / 1e9))], "\(count)")
    }
    append(name + "_bucket", labels + [("le", "+Inf")], "\(histogram.count)")
    append(name + "_sum", labels, MetricsText.number(Double(histogram.sum) / 1e9))
    append(name + "_count", labels, "\(histogram.count)")
  }

  private mutating func append(_ name: String, _ labels: [(name: String, value: String)], _ value: String) {
    text += name
    if !labels.isEmpty {
      let pairs = labels.map { "\($0.name)=\"\(MetricsText.escaped($0.value, quotes: true))\"" }
      text += "{\(pairs.joined(separator: ","))}"
    }
    text += " \(value)\n"
  }

  /// Whole numbers without a fraction, as Prometheus itself writes them: `le="1"`, not `le="1.0"`.
  static func number(_ value: Double) -> String {
    let text = "\(value)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// Backslashes and line ends, and in the value of a label quotes too.
  static func escaped(_ text: String, quotes: Bool) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
