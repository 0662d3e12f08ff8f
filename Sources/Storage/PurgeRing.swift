import Primitives

// Rule GUARD: an answer to a pull may be older than a purge that happened since the pull was asked for. So each purge
// counts, and the hashes of the latest are kept; what is no longer known counts as purged.

struct PurgeRing {
  /// Purges that are kept; a store that never purges keeps no room for them.
  static let countMax = 1024

  /// Purges of this store since it was opened.
  private(set) var generation: UInt64 = 0
  /// The hash of purge `n` stands at `(n - 1) % countMax`.
  private var hashes: [UInt64] = []

  /// A key of this hash was forgotten.
  mutating func note(_ hash: UInt64) {
    if hashes.isEmpty { hashes = Array(repeating: 0, count: PurgeRing.countMax) }
    hashes[Int(generation % UInt64(PurgeRing.countMax))] = hash
    generation += 1
  }

  /// Whether a key of this hash may have been forgotten since `generation` was what it was.
  func hasMoved(_ hash: UInt64, since earlier: UInt64) -> Bool {
    guard earlier <= generation, generation - earlier <= UInt64(PurgeRing.countMax) else { return true }
    for purge in earlier..<generation where hashes[Int(purge % UInt64(PurgeRing.countMax))] == hash { return true }
    return false
  }
}
