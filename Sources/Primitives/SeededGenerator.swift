// The only randomness of the core: a small generator whose whole state is one seed (SplitMix64, Steele et al. 2014).

/// A deterministic random number generator. Not for secrets.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64
  package init(seed: UInt64) { state = seed }
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  /// A number below `bound`, which must not be 0.
  package mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
  /// True in `numerator` of `denominator` cases.
  package mutating func chance(_ numerator: Int, in denominator: Int) -> Bool { below(denominator) < numerator }
}
