import Primitives

// What a session must be told of the node that it speaks for.

package struct HTTPConfiguration: Sendable {
  /// n_val, as properties show it.
  package var replicas: Int
  /// What keys are drawn from that are made here. No two connections of a cluster may have the same pair: they would
  /// make the same keys, and overwrite each other's objects. Nil for a session that makes none, which is safe to repeat.
  package var keySeeds: (UInt64, UInt64)?

  package init(replicas: Int = 3, keySeeds: (UInt64, UInt64)? = nil) {
    self.replicas = replicas
    self.keySeeds = keySeeds
  }
}

/// Makes keys for objects that come without one: 128 bits, as many letters and digits as that takes.
struct KeyGenerator: Sendable {
  static let keyBytes = 22
  private static let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

  // Two generators, because the state of one has only 64 bits.
  private var high: SeededGenerator
  private var low: SeededGenerator

  init(seeds: (UInt64, UInt64)) {
    high = SeededGenerator(seed: seeds.0)
    low = SeededGenerator(seed: seeds.1)
  }

  mutating func next() -> [UInt8] {
    var value = UInt128(high.next()) << 64 | UInt128(low.next())
    var key = [UInt8](repeating: 0, count: KeyGenerator.keyBytes)
    for index in key.indices.reversed() {
      let (quotient, digit) = value.quotientAndRemainder(dividingBy: 62)
      key[index] = KeyGenerator.digits[Int(digit)]
      value = quotient
    }
    return key
  }
}
