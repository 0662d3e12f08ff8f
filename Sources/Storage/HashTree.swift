package import Causality
import Primitives

// What two stores compare instead of their records (rule AAE): the keys of a store are cut by their hashes into 32
// segments, and the tree holds one word per segment, the XOR of a hash of every record that counts. A record that comes
// to count, or counts no more, is one XOR; moving it is none. The order of changes leaves no trace, so two stores with
// the same contents have the same tree whatever happened to them. Nothing of it is on disk: recovery meets every record
// that counts and makes it anew. Below a segment, *leaves* are made from the keydir when they are asked for.
//
// All hashes here are part of what nodes say to each other, and fixed (test vectors: Docs/Formats.md). They need not be
// keyed: the hash of a key is.

/// One node of the tree. Rounds compare values alone: tombstones travel by the feed. Refills, which need both, compare
/// both.
package struct TreeHash: Hashable, Sendable {
  /// Of live values.
  package var values: UInt64
  /// Of tombstones.
  package var tombstones: UInt64
  package init(values: UInt64, tombstones: UInt64) {
    self.values = values
    self.tombstones = tombstones
  }
  package static let empty = TreeHash(values: 0, tombstones: 0)
}

/// A slot of the keydir, as far as another owner needs it to see whether it has the same record.
package struct SlotDigest: Hashable, Sendable {
  package let hash: UInt64
  /// `Stamp.digest` of the record.
  package let digest: UInt16
  package let isTombstone: Bool
  package init(hash: UInt64, digest: UInt16, isTombstone: Bool) {
    self.hash = hash
    self.digest = digest
    self.isTombstone = isTombstone
  }
}

/// The tree of one store; it changes only by `toggle`.
package struct HashTree: Equatable, Sendable {
  /// How many bits of a hash choose the segment: those below the bits that chose the partition.
  package static let segmentBits = 5
  package static let segmentCount = 1 << segmentBits
  /// A segment is cut into 2^14 leaves at most.
  package static let leafBitsMax = 14
  /// So many slots a leaf should have.
  static let slotsPerLeaf = 16

  /// By segment, values at even and tombstones at odd indices; none for a store of hints.
  private var words: [UInt64]
  private let ringBits: UInt64

  /// The tree of a store that is not compared.
  init() {
    words = []
    ringBits = 0
  }

  /// - Parameter ringBits: How many top bits all hashes of the store share.
  package init(ringBits: Int) {
    words = Array(repeating: 0, count: 2 * HashTree.segmentCount)
    self.ringBits = UInt64(ringBits)
  }

  /// A record comes to count, or counts no more.
  @inline(__always) package mutating func toggle(_ hash: UInt64, _ stamp: Stamp, isTombstone: Bool) {
    guard !words.isEmpty else { return }
    let segment = Int(truncatingIfNeeded: (hash &<< ringBits) &>> UInt64(64 - HashTree.segmentBits))
    words[2 * segment + (isTombstone ? 1 : 0)] ^= HashTree.entryHash(hash, stamp)
  }

  /// By segment.
  package var segments: [TreeHash] {
    stride(from: 0, to: words.count, by: 2).map { TreeHash(values: words[$0], tombstones: words[$0 + 1]) }
  }

  package var root: TreeHash { HashTree.root(of: segments) }

  static func root(of segments: [TreeHash]) -> TreeHash {
    var root = TreeHash.empty
    for (number, segment) in segments.enumerated() {
      root.values ^= HashTree.rootShare(segment.values, number)
      root.tombstones ^= HashTree.rootShare(segment.tombstones, number)
    }
    return root
  }

  // MARK: Leaves

  /// How finely a segment with so many slots is to be cut, so that a leaf has about `slotsPerLeaf` of them.
  package static func leafBits(slots: Int) -> Int {
    var bits = 0
    while bits < leafBitsMax && slots >> bits > slotsPerLeaf { bits += 1 }
    return bits
  }

  /// The hashes of a leaf, rotated as the keydir has them.
  static func range(segment: Int, leaf: Int, bits: Int) -> ClosedRange<UInt64> {
    invariant(
      (0..<segmentCount).contains(segment) && (0...leafBitsMax).contains(bits) && (0..<1 << bits).contains(leaf),
      "leaf \(leaf) of 2^\(bits) of segment \(segment)")
    let shift = UInt64(64 - segmentBits - bits)
    let first = UInt64(segment << bits | leaf) << shift
    return first...(first | (1 << shift - 1))
  }

  // MARK: The hashes

  /// What a record adds to its segment.
  package static func entryHash(_ hash: UInt64, _ stamp: Stamp) -> UInt64 {
    fold(hash ^ prime2, stamp.word ^ prime1)
  }

  /// What a slot adds to its leaf, before that is folded to 32 bits.
  static func slotHash(_ slot: SlotDigest) -> UInt64 {
    fold(slot.hash ^ prime2, UInt64(slot.digest | (slot.isTombstone ? 1 << 9 : 0)) ^ prime1)
  }

  /// What a segment adds to the root; an empty one nothing.
  static func rootShare(_ word: UInt64, _ number: Int) -> UInt64 {
    fold(word, prime1 &+ UInt64(number) << 1)
  }

  fileprivate static let prime0: UInt64 = 0xA076_1D64_78BD_642F
  fileprivate static let prime1: UInt64 = 0xE703_7ED1_A0B4_28DB
  private static let prime2: UInt64 = 0x8EBC_6AF0_9C88_C6E3

  @inline(__always) fileprivate static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }
}

extension Stamp {
  /// All bits of a digest.
  static let digestMax: UInt16 = 0x1FF

  /// Nine bits of a stamp: different stamps have the same in one of 512 cases.
  package var digest: UInt16 { UInt16(truncatingIfNeeded: word >> 55) }

  /// All of a stamp in one word. Neither factor is ever 0: times are below `HybridTime.ceiling`, actors have 32 bits.
  fileprivate var word: UInt64 {
    HashTree.fold(time.rawValue ^ HashTree.prime0, UInt64(actor.rawValue) ^ HashTree.prime1)
  }
}
