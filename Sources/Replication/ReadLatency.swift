import Primitives

// How long reads take, over about the last minute: a read that takes longer than 99 of 100 is given a second chance at
// another replica (after Dean and Barroso 2013, "The Tail at Scale").

struct ReadLatency: Sendable {
  /// The minute is counted in so many parts, and the oldest goes when a new one begins.
  private static let parts = 4
  private static let partMilliseconds: UInt64 = 15_000
  /// Fewer reads say nothing about one in a hundred.
  private static let readsMin: UInt64 = 200
  static let hedgeMillisecondsDefault: UInt64 = 100
  /// The loop does not look at operations more often.
  static let hedgeMillisecondsMin: UInt64 = 10
  static let hedgeMillisecondsMax: UInt64 = 1000
  /// The percentile is reckoned anew this often.
  private static let reckonMilliseconds: UInt64 = 1000

  private var histograms: [LatencyHistogram] = []
  private var partBegan: Instant
  private var reckoned: Instant
  private var hedge = hedgeMillisecondsDefault

  init(at now: Instant) {
    partBegan = now
    reckoned = now
  }

  mutating func record(_ nanoseconds: UInt64, at now: Instant) {
    if histograms.isEmpty || now.milliseconds(since: partBegan) >= ReadLatency.partMilliseconds {
      partBegan = now
      histograms.append(LatencyHistogram())
      if histograms.count > ReadLatency.parts { histograms.removeFirst() }
    }
    histograms[histograms.count - 1].record(nanoseconds)
  }

  /// After so long a read is worth a duplicate.
  mutating func hedgeMilliseconds(at now: Instant) -> UInt64 {
    if now.milliseconds(since: reckoned) >= ReadLatency.reckonMilliseconds {
      reckoned = now
      var all = LatencyHistogram()
      for histogram in histograms { all.merge(histogram) }
      let percentile = (all.value(atPercentile: 99) + 999_999) / 1_000_000
      hedge =
        all.count < ReadLatency.readsMin
        ? ReadLatency.hedgeMillisecondsDefault
        : min(ReadLatency.hedgeMillisecondsMax, max(ReadLatency.hedgeMillisecondsMin, percentile))
    }
    return hedge
  }
}
