import Causality
import Primitives

// Which values of a store expire, by the minute in which they leave the comparison of owners (`Expiry.leaves`): beside the
// keydir, which has no room for it. It says nothing of where they stand. Invariant: an entry is here exactly as long as
// its record counts, so a store in which nothing expires has none.

struct ExpiryIndex {
  struct Name: Hashable {
    let hash: UInt64
    let stamp: Stamp

    /// Hardly ever do two of a key expire in one minute, so the stamp adds nothing.
    func hash(into hasher: inout Hasher) { hasher.combine(hash) }
  }

  struct Entry: Equatable {
    let hash: UInt64
    let stamp: Stamp
    let expiry: Expiry
  }

  /// What two owners leave out when they compare themselves: values that have left.
  struct Left {
    /// By segment of the tree: what they add to it; none before the first of them.
    fileprivate(set) var words: [UInt64] = []
    /// Their slots, as far as digests tell.
    fileprivate(set) var slots: Set<SlotDigest> = []

    fileprivate mutating func toggle(_ name: Name, _ ringBits: UInt64, isIn: Bool) {
      let segment = Int(truncatingIfNeeded: (name.hash &<< ringBits) &>> UInt64(64 - HashTree.segmentBits))
      if words.isEmpty { words = Array(repeating: 0, count: HashTree.segmentCount) }
      words[segment] ^= HashTree.entryHash(name.hash, name.stamp)
      let slot = SlotDigest(hash: name.hash, digest: name.stamp.digest, isTombstone: false)
      if isIn { slots.insert(slot) } else { slots.remove(slot) }
    }
  }

  private struct Minute {
    let leaves: UInt64
    /// With the milliseconds before the minute, fewer than 60,000.
    var names: [Name: UInt16] = [:]
  }

  /// Ascending; none is empty.
  private var minutes: [Minute] = []
  private(set) var count = 0
  /// What has left by a minute, kept so: comparisons ask for one minute after the other.
  private var left = Left()
  private var leftBy: UInt64 = 0
  private let ringBits: UInt64
  /// The entries of a minute that are to be buried, the next one last; some may be gone by now. 0: of none.
  private var queue: [Entry] = []
  private var queued: UInt64 = 0

  /// - Parameter ringBits: How many top bits all hashes of the store share.
  init(ringBits: Int) { self.ringBits = UInt64(ringBits) }

  var isEmpty: Bool { count == 0 }

  mutating func insert(_ expiry: Expiry, hash: UInt64, stamp: Stamp) {
    let leaves = expiry.leaves
    let place = lowerBound(leaves)
    if place == minutes.count || minutes[place].leaves != leaves { minutes.insert(Minute(leaves: leaves), at: place) }
    let before = UInt16(leaves * 60_000 - expiry.milliseconds)
    let name = Name(hash: hash, stamp: stamp)
    guard minutes[place].names.updateValue(before, forKey: name) == nil else { return }
    count += 1
    if leaves <= leftBy { left.toggle(name, ringBits, isIn: true) }
  }

  mutating func remove(_ expiry: Expiry, hash: UInt64, stamp: Stamp) {
    let leaves = expiry.leaves
    let place = lowerBound(leaves)
    let name = Name(hash: hash, stamp: stamp)
    guard place < minutes.count, minutes[place].leaves == leaves,
      minutes[place].names.removeValue(forKey: name) != nil
    else { return }
    count -= 1
    if minutes[place].names.isEmpty { minutes.remove(at: place) }
    if leaves <= leftBy { left.toggle(name, ringBits, isIn: false) }
  }

  /// The value that is to be buried next, by the order of minutes; nil when all that may be at this time have been gone
  /// through, those that were passed over included: then it begins anew.
  mutating func nextBuriable(at wallMilliseconds: UInt64) -> Entry? {
    while true {
      let current = lowerBound(queued)
      if current < minutes.count, minutes[current].leaves == queued {
        while let entry = queue.last {
          if minutes[current].names[Name(hash: entry.hash, stamp: entry.stamp)] != nil { return entry }
          queue.removeLast()
        }
      }
      let next = lowerBound(queued + 1)
      guard next < minutes.count, Expiry.buriable(leaves: minutes[next].leaves) <= wallMilliseconds else {
        queue = []
        queued = 0
        return nil
      }
      fillQueue(minutes[next])
    }
  }

  /// The entry that is next cannot be buried now: others come first.
  mutating func pass() { if !queue.isEmpty { queue.removeLast() } }

  /// When the next value may be buried.
  var nextBurial: UInt64? { minutes.first.map { Expiry.buriable(leaves: $0.leaves) } }

  /// How many may be buried at this time; looks at every minute up to then.
  func buriableCount(at wallMilliseconds: UInt64) -> Int {
    minutes.prefix { Expiry.buriable(leaves: $0.leaves) <= wallMilliseconds }.reduce(0) { $0 + $1.names.count }
  }

  /// Sorted: the order in which a dictionary has them is different in every process.
  private mutating func fillQueue(_ minute: Minute) {
    queue = minute.names.map {
      Entry(
        hash: $0.key.hash, stamp: $0.key.stamp,
        expiry: Expiry(milliseconds: minute.leaves * 60_000 - UInt64($0.value)))
    }
    queue.sort { ($1.expiry, $1.hash, $1.stamp) < ($0.expiry, $0.hash, $0.stamp) }
    queued = minute.leaves
  }

  /// What has left by this minute.
  mutating func left(by minute: UInt64) -> Left {
    let between = lowerBound(min(minute, leftBy) + 1)..<lowerBound(max(minute, leftBy) + 1)
    for place in between {
      // The order does not matter: all of it goes into a set and exclusive ors.
      for name in minutes[place].names.keys { left.toggle(name, ringBits, isIn: minute > leftBy) }
    }
    leftBy = minute
    return left
  }

  /// Something has left by this minute and is still here.
  func hasLeft(by minute: UInt64) -> Bool { minutes.first.map { $0.leaves <= minute } ?? false }

  /// Bytes allocated, about.
  var byteCount: Int {
    minutes.capacity * MemoryLayout<Minute>.stride
      + minutes.reduce(0) { $0 + $1.names.capacity * (MemoryLayout<Name>.stride + MemoryLayout<UInt16>.stride) * 4 / 3 }
  }

  /// All of them, by minute and then in any order: for tests.
  var all: [Entry] {
    minutes.flatMap { minute in
      minute.names.map {
        Entry(
          hash: $0.key.hash, stamp: $0.key.stamp,
          expiry: Expiry(milliseconds: minute.leaves * 60_000 - UInt64($0.value)))
      }
    }
  }

  /// The first place whose minute is not below this one.
  private func lowerBound(_ minute: UInt64) -> Int {
    if let last = minutes.last, last.leaves < minute { return minutes.count }
    var range = 0..<minutes.count
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      range = minutes[middle].leaves < minute ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return range.lowerBound
  }
}
