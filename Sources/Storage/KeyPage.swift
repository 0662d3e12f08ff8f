package import Causality
import Primitives

// The keys of a store, a page at a time, in the order of their hashes: what listings are made of. All owners of a
// partition hold their keys in this one order, so that pages of several can be merged without keeping more than a page
// of each. A page never ends between two keys with the same hash.

/// What a page's keys have in common: bytes that must stand at these places of the key.
package struct KeyPattern: Equatable, Sendable {
  package struct Part: Equatable, Sendable {
    package let offset: Int
    package let bytes: [UInt8]
    package init(offset: Int, bytes: [UInt8]) {
      self.offset = offset
      self.bytes = bytes
    }
  }
  package let parts: [Part]

  /// Parts of one pattern; more is no pattern.
  package static let partsMax = 2

  package init(_ parts: [Part]) { self.parts = parts }

  /// Whether the key in `bytes[range]` fits.
  func matches(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    for part in parts {
      let start = range.lowerBound + part.offset
      guard start + part.bytes.count <= range.upperBound else { return false }
      for index in part.bytes.indices where bytes[start + index] != part.bytes[index] { return false }
    }
    return true
  }
}

/// One key of a page.
package struct KeyEntry: Equatable, Sendable {
  package let hash: UInt64
  package let stamp: Stamp
  package let isTombstone: Bool
  package let expiry: Expiry
  package var rank: Rank { Rank(stamp, isTombstone: isTombstone) }

  /// The key is not to be told to a client.
  package func isGone(_ wallMilliseconds: UInt64) -> Bool { isTombstone || expiry.isPast(wallMilliseconds) }

  /// Where the key stands in the page's bytes.
  package let key: Range<Int>
}

/// Keys with their stamps, tombstones among them, ascending by hash. In memory as on the wire:
/// `(hash u64 | time u64 | actor u32 | flags u8 (1 tombstone, 2 expires) | keyLength u32 | [expiry u64] | key)*`,
/// little-endian.
package struct KeyPage: Equatable, Sendable {
  package private(set) var bytes: [UInt8] = []
  /// The hash at which the following page begins; nil when there is none.
  package var next: UInt64?
  /// Of the store when the page was made: a key that is not on it may have been deleted and forgotten up to this stamp.
  package var floor = Stamp.zero

  /// A page is ended when it holds this many bytes; the keys of one hash may carry it beyond.
  package static let bytesMax = 32 << 10
  private static let keyOffset = 25
  private static let tombstoneFlag: UInt8 = 1
  private static let expiryFlag: UInt8 = 2

  package init() {}

  package var isEmpty: Bool { bytes.isEmpty }

  mutating func append(hash: UInt64, _ header: RecordHeader, _ record: [UInt8]) {
    bytes.appendLittleEndian(hash)
    bytes.appendLittleEndian(header.stamp.time.rawValue)
    bytes.appendLittleEndian(header.stamp.actor.rawValue)
    let expires = header.expiry != .never
    bytes.append(header.isTombstone ? KeyPage.tombstoneFlag : expires ? KeyPage.expiryFlag : 0)
    bytes.appendLittleEndian(UInt32(header.keyLength))
    if expires { bytes.appendLittleEndian(header.expiry.milliseconds) }
    bytes.append(contentsOf: record[header.keyOffset..<header.valueOffset])
  }

  mutating func cut(to count: Int) { bytes.removeLast(bytes.count - count) }

  /// The entry at `offset` and, in its `key.upperBound`, where the next one begins; nil at the end.
  package func entry(at offset: Int) -> KeyEntry? {
    guard offset + KeyPage.keyOffset <= bytes.count else { return nil }
    let expires = bytes[offset + 20] & KeyPage.expiryFlag != 0
    let start = offset + KeyPage.keyOffset + (expires ? 8 : 0)
    guard start <= bytes.count else { return nil }
    return unsafe bytes.withUnsafeBytes { bytes in
      func load<T: FixedWidthInteger>(_: T.Type, _ field: Int) -> T {
        unsafe T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + field, as: T.self))
      }
      let stamp = Stamp(time: HybridTime(load(UInt64.self, 8)), actor: ActorID(load(UInt32.self, 16)))
      return KeyEntry(
        hash: load(UInt64.self, 0), stamp: stamp, isTombstone: load(UInt8.self, 20) & KeyPage.tombstoneFlag != 0,
        expiry: expires ? Expiry(milliseconds: load(UInt64.self, 25)) : .never,
        key: start..<start + Int(load(UInt32.self, 21)))
    }
  }

  /// What another node sent; nil when it is no page: entries that are not whole, out of order, with a time that nobody
  /// can have issued, or at or beyond `next`.
  package init?(decoding bytes: [UInt8], next: UInt64?, floor: Stamp = .zero) {
    self.bytes = bytes
    self.next = next
    self.floor = floor
    var offset = 0
    var last: UInt64 = 0
    while offset < bytes.count {
      guard let entry = entry(at: offset), entry.key.upperBound <= bytes.count,
        entry.key.count <= StorageLimits.keyBytesMax, entry.hash >= last, entry.stamp.time < .ceiling,
        bytes[offset + 20] <= KeyPage.expiryFlag, entry.expiry == .never || entry.expiry.isTime,
        next.map({ entry.hash < $0 }) ?? true
      else { return nil }
      last = entry.hash
      offset = entry.key.upperBound
    }
  }
}

/// What became of a request for a page.
package enum KeyPageOutcome: Equatable, Sendable {
  case page(KeyPage)
  /// Nothing yet: the first record must be read first.
  case cold(ColdRead)
}
