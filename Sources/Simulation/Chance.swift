package import Primitives

// What the simulator draws: numbers in a range, chances per million, and delays with a tail. Everything comes from a
// seed; one stream per concern, so that a change in the workload does not reshuffle the faults.

extension SeededGenerator {
  /// The stream of one concern of the run with this seed.
  package init(seed: UInt64, stream: UInt64) {
    var mixer = SeededGenerator(seed: seed ^ (stream &* 0xD1B5_4A32_D192_ED03))
    self.init(seed: mixer.next())
  }

  /// A number in `range`, which must not be empty.
  package mutating func number(in range: ClosedRange<Int>) -> Int {
    range.lowerBound + below(range.upperBound - range.lowerBound + 1)
  }

  /// True in `perMillion` of a million cases. Draws nothing when the chance is 0.
  package mutating func chance(perMillion: Int) -> Bool { perMillion > 0 && below(1_000_000) < perMillion }

  /// Nanoseconds in a range of microseconds.
  package mutating func duration(microseconds range: ClosedRange<Int>) -> UInt64 {
    UInt64(range.lowerBound) * 1000 + next() % (UInt64(range.upperBound - range.lowerBound) * 1000 + 1)
  }

  /// Nanoseconds in a range of milliseconds.
  package mutating func duration(milliseconds range: ClosedRange<Int>) -> UInt64 {
    duration(microseconds: range.lowerBound * 1000...range.upperBound * 1000)
  }

  package mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }
}

extension Instant {
  package func adding(nanoseconds delay: UInt64) -> Instant { Instant(nanoseconds: nanoseconds + delay) }
}
