import Platform
import Primitives

// Which key a request is about: all alike, or a few much more often than the rest.

/// Numbers from 1 to `count`, k as often as 1/kᶿ says (Zipf's law). Exact, without a table, in constant time: rejection
/// from the inverted integral of the density, after Hörmann and Derflinger 1996, "Rejection-inversion to generate
/// variates from monotone discrete distributions". (The method of Gray et al. 1994 that YCSB uses is an approximation.)
struct ZipfSampler: Sendable {
  let count: Int
  let theta: Double
  private let integralOfFirst: Double
  private let integralOfAll: Double
  private let accepted: Double

  /// - Parameter theta: Above 0; 1 and more are fine.
  init(count: Int, theta: Double) {
    self.count = count
    self.theta = theta
    integralOfFirst = ZipfSampler.integral(1.5, theta) - 1
    integralOfAll = ZipfSampler.integral(Double(count) + 0.5, theta)
    accepted = 2 - ZipfSampler.inverse(ZipfSampler.integral(2.5, theta) - ZipfSampler.density(2, theta), theta)
  }

  func next(using generator: inout SeededGenerator) -> Int {
    while true {
      let u = integralOfAll + generator.unit() * (integralOfFirst - integralOfAll)
      let x = ZipfSampler.inverse(u, theta)
      let rank = min(max(Int(x + 0.5), 1), count)
      let k = Double(rank)
      if k - x <= accepted || u >= ZipfSampler.integral(k + 0.5, theta) - ZipfSampler.density(k, theta) { return rank }
    }
  }

  /// x⁻ᶿ.
  private static func density(_ x: Double, _ theta: Double) -> Double { exponential(-theta * logarithm(x)) }

  /// The integral of the density from 1 to x.
  private static func integral(_ x: Double, _ theta: Double) -> Double {
    let logX = logarithm(x)
    return expm1Quotient((1 - theta) * logX) * logX
  }

  /// The x whose integral is `value`.
  private static func inverse(_ value: Double, _ theta: Double) -> Double {
    exponential(log1pQuotient(max(-1, value * (1 - theta))) * value)
  }

  /// (eˣ - 1) / x, also near 0.
  private static func expm1Quotient(_ x: Double) -> Double {
    abs(x) > 1e-8 ? exponentialMinusOne(x) / x : 1 + x / 2 * (1 + x / 3)
  }

  /// ln(1 + x) / x, also near 0.
  private static func log1pQuotient(_ x: Double) -> Double {
    abs(x) > 1e-8 ? logarithmOfOnePlus(x) / x : 1 - x * (1 / 2 - x / 3)
  }
}

/// Every number below `count` as another one, so that the popular keys of Zipf's law are not neighbours.
struct KeyShuffle: Sendable {
  let count: Int
  private let factor: Int

  init(count: Int) {
    self.count = count
    // Near the golden section, which spreads best, and without a common divisor, so that no two become one.
    var factor = max(1, Int(Double(count) * 0.6180339887498949))
    while KeyShuffle.divisor(factor, count) != 1 { factor += 1 }
    self.factor = factor
  }

  func callAsFunction(_ number: Int) -> Int {
    let product = UInt64(number).multipliedFullWidth(by: UInt64(factor))
    return Int(UInt64(count).dividingFullWidth(product).remainder)
  }

  private static func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }
}

enum KeyDistribution: Sendable {
  case uniform(count: Int)
  case zipf(ZipfSampler, KeyShuffle)

  /// A key's number, from 0.
  func next(using generator: inout SeededGenerator) -> Int {
    switch self {
    case .uniform(let count): generator.below(count)
    case .zipf(let sampler, let shuffle): shuffle(sampler.next(using: &generator) - 1)
    }
  }
}

extension SeededGenerator {
  /// A number from 0 up to 1, which is not reached.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
