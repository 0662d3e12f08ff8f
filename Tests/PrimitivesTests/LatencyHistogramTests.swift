import Primitives
import Testing

@Suite struct LatencyHistogramTests {
  /// Durations as they come: most near each other, some far out, in every order of magnitude.
  private static func durations(seed: UInt64, count: Int) -> [UInt64] {
    var random = SeededGenerator(seed: seed)
    let scale = random.next() % 40
    return (0..<count).map { _ in
      switch random.below(4) {
      case 0: random.next() % 300
      case 1: random.next() >> (19 + random.next() % 45)
      default: (1 << scale) + random.next() % (1 << scale)
      }
    }
  }

  private static func histogram(_ durations: [UInt64]) -> LatencyHistogram {
    var histogram = LatencyHistogram()
    for duration in durations { histogram.record(duration) }
    return histogram
  }

  /// At most half a bucket, 1/128.
  private static func isNear(_ told: UInt64, _ exact: UInt64) -> Bool {
    (told > exact ? told - exact : exact - told) <= exact / 128
  }

  private static let percentiles = [0, 1, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100]

  @Test("count, sum, least, greatest and mean are exact, percentiles within 0.8 %", arguments: UInt64(0)..<100)
  func againstSortedArray(seed: UInt64) {
    let durations = Self.durations(seed: seed, count: 1 + Int(seed * seed))
    let histogram = Self.histogram(durations)
    let sorted = durations.sorted()
    let sum = sorted.reduce(UInt128(0)) { $0 + UInt128($1) }
    #expect(histogram.count == UInt64(sorted.count))
    #expect(histogram.sum == sum)
    #expect(histogram.min == sorted.first)
    #expect(histogram.max == sorted.last)
    #expect(histogram.mean == Double(sum) / Double(sorted.count))
    for percentile in Self.percentiles {
      let millionths = Int((percentile * 10_000).rounded())
      let rank = max(1, (sorted.count * millionths + 999_999) / 1_000_000)
      let told = histogram.value(atPercentile: percentile)
      #expect(Self.isNear(told, sorted[rank - 1]), "p\(percentile): \(told), exact \(sorted[rank - 1])")
    }
  }

  @Test("cumulative counts are those at bounds moved by at most 0.8 %", arguments: UInt64(0)..<100)
  func cumulative(seed: UInt64) {
    let durations = Self.durations(seed: seed, count: 500)
    var random = SeededGenerator(seed: ~seed)
    let bounds = (0..<20).map { _ in random.next() >> (19 + random.next() % 45) }.sorted()
    let counts = Self.histogram(durations).cumulativeCounts(upTo: bounds)
    #expect(counts.count == bounds.count && counts == counts.sorted())
    for (bound, count) in zip(bounds, counts) {
      let least = durations.count { $0 + $0 / 127 <= bound }
      let greatest = durations.count { $0 - $0 / 127 <= bound }
      #expect((least...greatest).contains(Int(count)), "\(count) up to \(bound)")
    }
  }

  @Test("every duration lies in one bucket, and that is at most 1/64 wide", arguments: UInt64(0)..<20)
  func buckets(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let edges = (0..<46).flatMap { shift -> [UInt64] in
      let power: UInt64 = 1 << shift
      return [power - 1, power, power + 1, power + power / 64, power + random.next() % power]
    }
    for duration in edges where duration <= LatencyHistogram.valueMax {
      var found: [LatencyHistogram.Bucket] = []
      Self.histogram([duration]).forEachBucket { found.append($0) }
      #expect(found.count == 1 && found[0].count == 1)
      guard let bucket = found.first, bucket.highest < .max else { continue }
      #expect((bucket.lowest...bucket.highest).contains(duration), "\(duration)")
      #expect((bucket.highest - bucket.lowest) <= bucket.lowest / 64, "\(duration)")
    }
  }

  @Test("buckets come in order, meet without a gap, and hold everything", arguments: UInt64(0)..<20)
  func iteration(seed: UInt64) {
    let durations = Self.durations(seed: seed, count: 2000)
    var seen: [LatencyHistogram.Bucket] = []
    Self.histogram(durations).forEachBucket { seen.append($0) }
    for (bucket, next) in zip(seen, seen.dropFirst()) { #expect(bucket.highest < next.lowest) }
    for bucket in seen {
      #expect(bucket.count == UInt64(durations.count { (bucket.lowest...bucket.highest).contains($0) }))
    }
    #expect(seen.reduce(0) { $0 + $1.count } == 2000)
  }

  @Test("merging is recording all in one, recording n times is recording n times", arguments: UInt64(0)..<20)
  func merge(seed: UInt64) {
    let durations = Self.durations(seed: seed, count: 300)
    var merged = Self.histogram(Array(durations[..<100]))
    merged.merge(Self.histogram(Array(durations[100...])))
    merged.merge(LatencyHistogram())
    #expect(merged == Self.histogram(durations))

    var times = LatencyHistogram()
    times.record(7, times: 0)
    #expect(times == LatencyHistogram())
    for (index, duration) in durations.enumerated() { times.record(duration, times: UInt64(index % 3)) }
    #expect(times == Self.histogram(durations.enumerated().flatMap { Array(repeating: $1, count: $0 % 3) }))
  }

  @Test("recording starts against one end is recording each difference", arguments: UInt64(0)..<20)
  func starts(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let end = (random.next() >> 8) + 1000
    let starts = (0..<300).map { _ in random.next() >> (random.next() % 40) }
    var histogram = Self.histogram([5])
    histogram.record(from: starts, to: end)
    #expect(histogram == Self.histogram([5] + starts.map { end - min($0, end) }))
    histogram.record(from: [], to: end)
    #expect(histogram.count == 301)
    #expect(starts.contains { $0 > end }, "starts after the end are among them")
  }

  @Test("what was recorded since a copy was taken is known, its extremes to a bucket", arguments: UInt64(0)..<20)
  func window(seed: UInt64) {
    let durations = Self.durations(seed: seed, count: 400)
    let earlier = Self.histogram(Array(durations[..<150]))
    let window = Self.histogram(durations).subtracting(earlier)
    let exact = Self.histogram(Array(durations[150...]))
    #expect(window.count == exact.count && window.sum == exact.sum)
    for percentile in Self.percentiles where percentile > 0 && percentile < 100 {
      #expect(Self.isNear(window.value(atPercentile: percentile), exact.value(atPercentile: percentile)))
    }
    #expect(window.min <= exact.min && exact.min - window.min <= exact.min / 64)
    #expect(window.max >= exact.max && window.max - exact.max <= exact.max / 64)
    #expect(exact.subtracting(exact) == LatencyHistogram())
    #expect(exact.subtracting(LatencyHistogram()).value(atPercentile: 50) == exact.value(atPercentile: 50))
  }

  @Test("an empty histogram says 0 everywhere")
  func empty() {
    let empty = LatencyHistogram()
    #expect(empty.isEmpty && empty.count == 0 && empty.sum == 0 && empty.mean == 0)
    #expect(empty.min == 0 && empty.max == 0)
    for percentile in Self.percentiles { #expect(empty.value(atPercentile: percentile) == 0) }
    #expect(empty.cumulativeCounts(upTo: [0, 1, .max]) == [0, 0, 0])
  }

  @Test("durations beyond the range count as the longest, with an exact maximum and sum")
  func beyondTheRange() {
    var histogram = LatencyHistogram()
    for duration in [LatencyHistogram.valueMax, LatencyHistogram.valueMax + 1, .max] { histogram.record(duration) }
    #expect(histogram.max == .max && histogram.value(atPercentile: 100) == .max)
    #expect(histogram.sum == UInt128(UInt64.max) + 2 * UInt128(LatencyHistogram.valueMax) + 1)
    var seen: [LatencyHistogram.Bucket] = []
    histogram.forEachBucket { seen.append($0) }
    #expect(seen.count == 1 && seen[0].count == 3 && seen[0].highest == .max)
    #expect(Self.isNear(seen[0].lowest, LatencyHistogram.valueMax - LatencyHistogram.valueMax / 128))
    #expect(histogram.cumulativeCounts(upTo: [LatencyHistogram.valueMax / 2]) == [0])
  }

  @Test("a percentile of round numbers is not one rank too high")
  func ranks() {
    let histogram = Self.histogram(Array(1...100))
    for percentile in 1...100 { #expect(histogram.value(atPercentile: Double(percentile)) == UInt64(percentile)) }
    var thousand = LatencyHistogram()
    thousand.record(1, times: 999)
    thousand.record(100, times: 1)
    #expect(thousand.value(atPercentile: 99.9) == 1)
    #expect(thousand.value(atPercentile: 99.9001) == 100)
  }
}
