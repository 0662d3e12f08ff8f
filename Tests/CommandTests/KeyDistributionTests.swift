import Primitives
import Testing

@testable import cairn

@Suite struct KeyDistributionTests {
  /// Chi-square of `draws` draws against Zipf's law, with the rare ranks joined into bins of at least 50 expected.
  private func chiSquare(count: Int, theta: Double, draws: Int, seed: UInt64) -> (statistic: Double, bins: Int) {
    let sampler = ZipfSampler(count: count, theta: theta)
    var generator = SeededGenerator(seed: seed)
    var seen = [Int](repeating: 0, count: count + 1)
    for _ in 0..<draws { seen[sampler.next(using: &generator)] += 1 }
    #expect(seen[0] == 0)
    var weights = [Double](repeating: 0, count: count + 1)
    for rank in 1...count { weights[rank] = ZipfTheory.power(Double(rank), -theta) }
    let total = weights.reduce(0, +)
    var statistic = 0.0
    var bins = 0
    var expected = 0.0
    var observed = 0.0
    for rank in 1...count {
      expected += weights[rank] / total * Double(draws)
      observed += Double(seen[rank])
      guard expected >= 50 || rank == count else { continue }
      statistic += (observed - expected) * (observed - expected) / expected
      bins += 1
      (expected, observed) = (0, 0)
    }
    return (statistic, bins)
  }

  @Test(
    "the sampler follows Zipf's law, rank for rank",
    arguments: [
      (1, 0.99), (2, 0.99), (3, 0.5), (10, 1.0), (100, 0.99), (1000, 0.99), (1000, 1.0), (1000, 0.01), (1000, 2.5),
      (50_000, 0.8),
    ])
  func law(count: Int, theta: Double) {
    // Chi-square has mean d and variance 2d: six standard deviations above the mean never come by chance. An error of a
    // few percent in one of the first ranks would be far beyond.
    let (statistic, bins) = chiSquare(count: count, theta: theta, draws: 200_000, seed: 7)
    let freedom = Double(max(1, bins - 1))
    #expect(statistic < freedom + 6 * (2 * freedom).squareRoot() + 6, "\(bins) bins: \(statistic)")
  }

  @Test("a shuffle of keys loses none and doubles none")
  func shuffle() {
    for count in Array(1...300) + [4096, 10_000] {
      let shuffle = KeyShuffle(count: count)
      #expect(Set((0..<count).map { shuffle($0) }) == Set(0..<count), "\(count) keys")
    }
    let large = KeyShuffle(count: BenchOptions.keysMax)
    #expect(Set((0..<1000).map { large($0) }).count == 1000)
    #expect((0..<1000).allSatisfy { (0..<BenchOptions.keysMax).contains(large($0)) })
  }

  @Test("with zipf the most popular key has its share, wherever it lies; with uniform none stands out")
  func shares() {
    var generator = SeededGenerator(seed: 1)
    func most(_ distribution: KeyDistribution) -> Int {
      var counts: [Int: Int] = [:]
      for _ in 0..<100_000 {
        let key = distribution.next(using: &generator)
        #expect((0..<1000).contains(key))
        counts[key, default: 0] += 1
      }
      return counts.values.max() ?? 0
    }
    // 1 / H(1000, 0.99) = 13.06 %.
    let zipf = most(.zipf(ZipfSampler(count: 1000, theta: 0.99), KeyShuffle(count: 1000)))
    #expect((12_500...13_600).contains(zipf), "\(zipf)")
    #expect(most(.uniform(count: 1000)) < 200)
  }
}

/// Powers by another way than the sampler's, so that both are not wrong together.
private enum ZipfTheory {
  static func power(_ base: Double, _ exponent: Double) -> Double {
    // base = m · 2ᵏ with m in [1, 2): ln by the series of artanh, e by halving and squaring.
    let logarithm = ln(base)
    let x = exponent * logarithm
    let halvings = 20
    let small = x / Double(1 << halvings)
    var result = 1 + small + small * small / 2 + small * small * small / 6
    for _ in 0..<halvings { result *= result }
    return result
  }

  private static func ln(_ x: Double) -> Double {
    let m = x.significand
    let t = (m - 1) / (m + 1)
    var term = t
    var sum = 0.0
    for k in 0..<40 {
      sum += term / Double(2 * k + 1)
      term *= t * t
    }
    return 2 * sum + Double(x.exponent) * 0.6931471805599453
  }
}
