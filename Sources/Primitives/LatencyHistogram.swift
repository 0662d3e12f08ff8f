// How long things took, in fixed memory: counts of durations in buckets that grow with them (log-linear, as in
// HdrHistogram). Durations up to 127 ns have a bucket each; from there on every power of two is cut into 64 equal
// buckets. Count, sum, minimum and maximum are exact; whatever else is told is off by at most 0.8 % of itself.

/// A histogram of durations in nanoseconds, 20 KiB whatever it has recorded.
///
/// Error: `value(atPercentile:)` and the bounds of `cumulativeCounts` are off by at most half a bucket, which is 1/128
/// (0.78 %) of the value; below 128 ns they are exact.
package struct LatencyHistogram: Equatable, Sendable {
  /// Longer durations (9.7 hours) share the last bucket; of those only the longest is told apart, by `max`.
  package static let valueMax: UInt64 = 1 << 45 - 1
  /// 2 × 64 buckets of 1 ns, then 64 for each power of two from 2⁷ to 2⁴⁴.
  package static let bucketCount = 40 * 64

  private var counts = [UInt64](repeating: 0, count: bucketCount)
  package private(set) var count: UInt64 = 0
  /// Of all recorded durations, in nanoseconds: more than 64 bits, because 100 requests in progress fill those within
  /// six years.
  package private(set) var sum: UInt128 = 0
  private var least = UInt64.max
  private var greatest: UInt64 = 0

  package init() {}

  package var isEmpty: Bool { count == 0 }
  /// The shortest duration; 0 when there is none.
  package var min: UInt64 { count == 0 ? 0 : least }
  /// The longest duration; 0 when there is none.
  package var max: UInt64 { greatest }
  /// 0 when there is none.
  package var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }

  // MARK: Recording

  package mutating func record(_ nanoseconds: UInt64) {
    counts[LatencyHistogram.index(of: nanoseconds)] &+= 1
    count &+= 1
    sum &+= UInt128(nanoseconds)
    if nanoseconds < least { least = nanoseconds }
    if nanoseconds > greatest { greatest = nanoseconds }
  }

  /// Records the same duration `times` times.
  package mutating func record(_ nanoseconds: UInt64, times: UInt64) {
    guard times > 0 else { return }
    counts[LatencyHistogram.index(of: nanoseconds)] += times
    count += times
    sum += UInt128(nanoseconds) * UInt128(times)
    least = Swift.min(least, nanoseconds)
    greatest = Swift.max(greatest, nanoseconds)
  }

  /// Records what began at each of `starts` and ended at `end`; an end before its start counts as 0.
  package mutating func record(from starts: [UInt64], to end: UInt64) {
    var total: UInt128 = 0
    var shortest = UInt64.max
    var longest: UInt64 = 0
    // One look at who owns the buckets, for all of them.
    var buckets = counts.mutableSpan
    for start in starts {
      let nanoseconds = end &- Swift.min(start, end)
      buckets[LatencyHistogram.index(of: nanoseconds)] &+= 1
      total &+= UInt128(nanoseconds)
      shortest = Swift.min(shortest, nanoseconds)
      longest = Swift.max(longest, nanoseconds)
    }
    count &+= UInt64(starts.count)
    sum &+= total
    least = Swift.min(least, shortest)
    greatest = Swift.max(greatest, longest)
  }

  /// Adds everything that `other` has recorded.
  package mutating func merge(_ other: LatencyHistogram) {
    for index in counts.indices { counts[index] += other.counts[index] }
    count += other.count
    sum += other.sum
    least = Swift.min(least, other.least)
    greatest = Swift.max(greatest, other.greatest)
  }

  /// What was recorded since `earlier`, a copy of this histogram as it was then. The shortest and the longest duration
  /// since then are known only by their buckets: `min` may be lower and `max` higher, by at most a bucket (1.6 %).
  package func subtracting(_ earlier: LatencyHistogram) -> LatencyHistogram {
    var difference = LatencyHistogram()
    guard count > earlier.count else {
      invariant(count == earlier.count, "a histogram of \(count) durations began with \(earlier.count)")
      return difference
    }
    difference.count = count - earlier.count
    difference.sum = sum - earlier.sum
    var first = LatencyHistogram.bucketCount
    var last = 0
    for index in counts.indices {
      invariant(counts[index] >= earlier.counts[index], "bucket \(index) has lost durations")
      difference.counts[index] = counts[index] - earlier.counts[index]
      guard difference.counts[index] > 0 else { continue }
      first = Swift.min(first, index)
      last = index
    }
    difference.least = Swift.max(least, LatencyHistogram.lowest(first))
    difference.greatest = Swift.min(greatest, LatencyHistogram.highest(last))
    return difference
  }

  // MARK: Reading

  /// A value that `percentile` % of the durations do not exceed, and no lower one has: that of the middle of its
  /// bucket, and never outside `min` … `max`. 0 when there is none.
  /// - Parameter percentile: From 0 (the minimum) to 100 (the maximum), rounded to four decimals.
  package func value(atPercentile percentile: Double) -> UInt64 {
    guard count > 0 else { return 0 }
    if percentile <= 0 { return min }
    if percentile >= 100 { return max }
    // In whole numbers: 99.9 % of 1000 are 999, and not the 1000 that rounding errors make of it.
    let millionths = UInt128((percentile * 10_000).rounded())
    let rank = Swift.max(1, UInt64((UInt128(count) * millionths + 999_999) / 1_000_000))
    var seen: UInt64 = 0
    for index in counts.indices {
      seen += counts[index]
      if seen >= rank { return Swift.min(Swift.max(LatencyHistogram.middle(index), min), max) }
    }
    return max
  }

  /// How many durations are at most as long as each of `bounds`, which are in ascending order; what lies beyond the
  /// last bound is in `count` only. A bound within a bucket is moved to the nearer of its edges.
  package func cumulativeCounts(upTo bounds: [UInt64]) -> [UInt64] {
    var result: [UInt64] = []
    result.reserveCapacity(bounds.count)
    var seen: UInt64 = 0
    var index = 0
    for bound in bounds {
      while index < counts.count, LatencyHistogram.middle(index) <= bound {
        seen += counts[index]
        index += 1
      }
      result.append(seen)
    }
    return result
  }

  /// Durations that share a bucket.
  package struct Bucket: Equatable, Sendable {
    /// Nanoseconds, both included.
    package let lowest: UInt64
    package let highest: UInt64
    package let count: UInt64
  }

  /// Calls `body` with each bucket that is not empty, the shortest durations first.
  package func forEachBucket(_ body: (Bucket) -> Void) {
    for index in counts.indices where counts[index] > 0 {
      body(
        Bucket(
          lowest: LatencyHistogram.lowest(index), highest: LatencyHistogram.highest(index), count: counts[index]))
    }
  }

  // MARK: Buckets

  /// The bucket of a duration: the position of its highest bit, then the six bits that follow it.
  private static func index(of nanoseconds: UInt64) -> Int {
    let value = Swift.min(nanoseconds, valueMax)
    let shift = 57 - (value | 64).leadingZeroBitCount
    return shift &<< 6 &+ Int(truncatingIfNeeded: value &>> UInt64(truncatingIfNeeded: shift))
  }

  private static func shift(_ index: Int) -> Int { Swift.max(0, index >> 6 - 1) }

  private static func lowest(_ index: Int) -> UInt64 { UInt64(index - shift(index) << 6) << UInt64(shift(index)) }

  /// The last bucket has no upper edge.
  private static func highest(_ index: Int) -> UInt64 {
    index == bucketCount - 1 ? .max : lowest(index + 1) - 1
  }

  private static func middle(_ index: Int) -> UInt64 { lowest(index) + UInt64(1) << UInt64(shift(index)) / 2 }
}
