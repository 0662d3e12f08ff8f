import Primitives

// A histogram as text: a row per stretch of latencies, each twice as long as the one before, with a bar for its share.

enum LatencyBars {
  static let barCells = 50
  /// Rows at most: a shorter stretch is joined to the first, a longer one to the last.
  static let rowsMax = 24
  /// The first row may end here: 1 µs.
  private static let firstBound: UInt64 = 1000

  static func lines(_ latencies: LatencyHistogram) -> [String] {
    guard latencies.count > 0 else { return [] }
    var bounds: [UInt64] = []
    var bound = firstBound
    while bound <= latencies.min, bound < latencies.max { bound *= 2 }
    bounds.append(bound)
    while bound < latencies.max && bounds.count < rowsMax {
      bound *= 2
      bounds.append(bound)
    }
    var counts = latencies.cumulativeCounts(upTo: bounds)
    // The last bound lies above the maximum, unless the rows did not suffice.
    counts[counts.count - 1] = latencies.count
    var before: UInt64 = 0
    let shares = counts.map { count in
      defer { before = count }
      return count - before
    }
    let most = Double(shares.max() ?? 1)
    let rows = zip(bounds, shares).map { bound, count in
      let cells = count == 0 ? 0 : max(1, Int((Double(count) / most * Double(barCells)).rounded()))
      let percent = Double(count) / Double(latencies.count) * 100
      return [
        "up to", latencyText(bound), "\(rounded(percent, 2)) %", "\(count)", String(repeating: "#", count: cells),
      ]
    }
    return aligned(rows, indent: "  ")
  }
}
