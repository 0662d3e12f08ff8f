import Primitives

// Numbers for eyes.

/// `1 record`, `2 records`.
func plural(_ count: some BinaryInteger, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// `value` bytes with three digits or so: `17 B`, `1.2 KiB`, `340 MiB`.
func byteText(_ value: Double) -> String {
  if value < 1024 { return "\(Int(value)) B" }
  var scaled = value
  for unit in ["KiB", "MiB", "GiB", "TiB"] {
    scaled /= 1024
    if scaled < 999.5 || unit == "TiB" { return "\(threeDigits(scaled)) \(unit)" }
  }
  return "\(value)"
}

/// A count with three digits or so: `17`, `1.2k`, `340k`, `2.1M`.
func countText(_ value: Double) -> String {
  if value < 1000 { return "\(Int(value))" }
  var scaled = value
  for unit in ["k", "M", "G"] {
    scaled /= 1000
    if scaled < 999.5 || unit == "G" { return "\(threeDigits(scaled))\(unit)" }
  }
  return "\(value)"
}

private func threeDigits(_ value: Double) -> String {
  if value >= 9.95 { return "\(Int(value.rounded()))" }
  return "\((value * 10).rounded() / 10)"
}

/// How old something is: `under 1 s`, `12 s`, `5 min`.
func ageText(seconds: Int) -> String { seconds == 0 ? "under 1 s" : durationText(milliseconds: seconds * 1000) }

/// A latency with three digits: `840 ns`, `8.40 µs`, `123 µs`, `1.20 s`.
func latencyText(_ nanoseconds: UInt64) -> String {
  if nanoseconds < 1000 { return "\(nanoseconds) ns" }
  var value = Double(nanoseconds)
  for unit in ["µs", "ms", "s"] {
    value /= 1000
    if value < 999.5 || unit == "s" {
      return "\(rounded(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0)) \(unit)"
    }
  }
  return "\(nanoseconds) ns"
}

/// `value` with exactly so many decimals.
func rounded(_ value: Double, _ decimals: Int) -> String {
  let scale = (0..<decimals).reduce(1) { product, _ in product * 10 }
  let scaled = Int((abs(value) * Double(scale)).rounded())
  let sign = value < 0 && scaled > 0 ? "-" : ""
  guard decimals > 0 else { return "\(sign)\(scaled)" }
  let fraction = String(scaled % scale)
  return "\(sign)\(scaled / scale)." + String(repeating: "0", count: decimals - fraction.count) + fraction
}
