// One 64-bit hash of a key serves everywhere: its top bits choose the partition, the bits below them place the key in
// the keydir and order the hint files. It is keyed by the cluster's random seed, so that nobody can forge collisions
// or a hot partition from outside, and it is stable: the same bytes and seed give the same hash on every machine and
// in every version (test vectors: Docs/Formats.md). Structure after Wang Yi's wyhash: 128-bit multiply and fold.

/// The keyed hash of composite keys.
package struct RingHash: Sendable, Hashable {
  package let seed: UInt64
  /// All ones in production. Tests clear bits to force collisions.
  package let mask: UInt64

  package init(seed: UInt64, mask: UInt64 = .max) {
    self.seed = seed
    self.mask = mask
  }

  package func callAsFunction(_ bytes: [UInt8]) -> UInt64 {
    unsafe bytes.withUnsafeBytes { unsafe callAsFunction($0) }
  }

  package func callAsFunction(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    let count = bytes.count
    var state = seed ^ fold(seed ^ RingHash.prime0, RingHash.prime1)
    var offset = 0
    while count - offset > 16 {
      let low = unsafe word(bytes, offset)
      let high = unsafe word(bytes, offset + 8)
      state = fold(low ^ RingHash.prime1, high ^ state)
      offset += 16
    }
    let rest = count - offset
    var low: UInt64 = 0
    var high: UInt64 = 0
    if rest >= 8 {
      low = unsafe word(bytes, offset)
      high = unsafe word(bytes, count - 8)
    } else if rest > 0 {
      for index in 0..<rest { unsafe low |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
    }
    return fold(RingHash.prime1 ^ UInt64(count), fold(low ^ RingHash.prime2, high ^ state)) & mask
  }

  private static let prime0: UInt64 = 0xA076_1D64_78BD_642F
  private static let prime1: UInt64 = 0xE703_7ED1_A0B4_28DB
  private static let prime2: UInt64 = 0x8EBC_6AF0_9C88_C6E3

  @inline(__always) private func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  @inline(__always) private func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
