import Causality
import Platform
import Storage

// The newest record of each key in a range of hashes, in memory that is bounded: where there are more keys than may be,
// the range loses its upper half while they are learned, and that half is learned later.

struct BackupNewest {
  /// A key, as well as it can be told from others in few bytes; the hash is keyed, so nobody can choose two alike.
  struct Name: Hashable {
    let hash: UInt64
    let checksum: UInt32
  }

  /// Where a record is.
  struct Place: Hashable {
    let file: UInt32
    let offset: UInt64
  }

  struct Record {
    var stamp: Stamp
    var isTombstone: Bool
    var place: Place
    /// The store of an owner has a record of this key.
    var isOwned: Bool

    /// At one stamp the tombstone counts.
    func isOlder(than other: Record) -> Bool {
      stamp != other.stamp ? stamp < other.stamp : !isTombstone && other.isTombstone
    }
  }

  let keysMax: Int
  /// What it is of: never more than it was made with.
  private(set) var range: ClosedRange<UInt64>
  private(set) var records: [Name: Record] = [:]

  init(_ range: ClosedRange<UInt64>, keysMax: Int) {
    self.range = range
    self.keysMax = keysMax
  }

  /// Takes a record of the range. - Throws: `Failure` when as many keys as that cannot be.
  mutating func add(_ name: Name, _ record: Record) throws(Failure) {
    if let known = records[name] {
      var newer = known.isOlder(than: record) ? record : known
      newer.isOwned = known.isOwned || record.isOwned
      records[name] = newer
      return
    }
    records[name] = record
    while records.count > keysMax {
      guard range.lowerBound < range.upperBound else {
        throw Failure("more than \(keysMax) keys have one hash, which cannot be")
      }
      let last = range.lowerBound + (range.upperBound - range.lowerBound) / 2
      range = range.lowerBound...last
      records = records.filter { $0.key.hash <= last }
    }
  }

  /// All of them, by hash.
  var sorted: [(name: Name, record: Record)] {
    records.map { ($0.key, $0.value) }.sorted { ($0.0.hash, $0.0.checksum) < ($1.0.hash, $1.0.checksum) }
  }
}
