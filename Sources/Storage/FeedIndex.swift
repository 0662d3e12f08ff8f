import Causality
import Primitives

// Which tombstones of a store wait to be forgotten, by their place in its feed (rule FEED): the others are told of them
// in this order, and in this order they go. It says nothing of where they stand: the keydir does. Invariant: an entry is
// here exactly as long as its record counts.

struct FeedIndex {
  struct Entry: Equatable {
    fileprivate var word: UInt64
    let hash: UInt64
    let stamp: Stamp
    /// Of a value that was buried in this life of the store: when it had expired, in seconds since 1970, else 0. There is
    /// room for it anyway.
    fileprivate(set) var expired: UInt32 = 0

    var tsn: UInt64 { word & ~FeedIndex.removedBit }
    fileprivate var isRemoved: Bool { word & FeedIndex.removedBit != 0 }

    static func == (a: Entry, b: Entry) -> Bool { (a.word, a.hash, a.stamp) == (b.word, b.hash, b.stamp) }

    init(tsn: UInt64, hash: UInt64, stamp: Stamp) {
      word = tsn
      self.hash = hash
      self.stamp = stamp
    }
  }

  /// Nobody ever gives so high a position.
  fileprivate static let removedBit: UInt64 = 1 << 63

  private struct Write: Hashable {
    let hash: UInt64
    let stamp: Stamp

    init(_ entry: Entry) {
      hash = entry.hash
      stamp = entry.stamp
    }

    init(_ hash: UInt64, _ stamp: Stamp) {
      self.hash = hash
      self.stamp = stamp
    }

    /// Hardly ever do two tombstones of a key wait, so the stamp adds nothing.
    func hash(into hasher: inout Hasher) { hasher.combine(hash) }
  }

  /// Ascending by tsn, except while the store is opened. Those that were removed stay until there are many of them.
  private var entries: [Entry] = []
  /// Those before it are removed.
  private var first = 0
  /// Entries that are not removed.
  private(set) var count = 0
  /// Counts removals: whoever kept something of the feed sees whether it still holds.
  private(set) var generation: UInt64 = 0
  /// The places of the entries by what they are of, once the store is open.
  private var places: [Write: UInt64] = [:]
  /// Keys of the tombstones that came last, the first of them at position `keysFrom` and none left out: while they are
  /// fresh nobody need read their records to tell of them.
  private var keys: [[UInt8]] = []
  private var keysFrom: UInt64 = 0
  /// What was removed while the store is opened; nil afterwards.
  private var removedEarly: [Entry]? = []

  /// The tombstone that waits longest.
  var oldest: Entry? { count > 0 ? entries[first] : nil }

  /// Bytes allocated.
  var byteCount: Int { entries.capacity * MemoryLayout<Entry>.stride }

  mutating func insert(tsn: UInt64, hash: UInt64, stamp: Stamp) {
    let entry = Entry(tsn: tsn, hash: hash, stamp: stamp)
    count += 1
    if removedEarly == nil { places[Write(entry)] = tsn }
    if removedEarly != nil || entries.last.map({ $0.tsn < tsn }) ?? true { return entries.append(entry) }
    // Replay of a journal alone comes here.
    let place = lowerBound(tsn)
    entries.insert(entry, at: place)
    first = min(first, place)
  }

  mutating func remove(tsn: UInt64, hash: UInt64, stamp: Stamp) {
    let entry = Entry(tsn: tsn, hash: hash, stamp: stamp)
    guard removedEarly == nil else {
      removedEarly?.append(entry)
      count -= 1
      return
    }
    var place = lowerBound(tsn)
    while place < entries.count, entries[place] != entry {
      if entries[place].tsn > tsn { return }
      place += 1
    }
    if place < entries.count { remove(at: place) }
  }

  private mutating func remove(at place: Int) {
    entries[place].word |= FeedIndex.removedBit
    places[Write(entries[place])] = nil
    count -= 1
    generation &+= 1
    while first < entries.count, entries[first].isRemoved { first += 1 }
    if count == 0 {
      entries = []
      first = 0
      places = [:]
      keys = []
    } else if entries.count >= 2 * count + FeedIndex.slack {
      var kept: [Entry] = []
      kept.reserveCapacity(count + FeedIndex.slack / 2)
      for entry in entries[first...] where !entry.isRemoved { kept.append(entry) }
      entries = kept
      first = 0
      places = Dictionary(kept.lazy.map { (Write($0), $0.tsn) }, uniquingKeysWith: { $1 })
    }
  }

  /// Removed entries that are always let be.
  private static let slack = 32

  /// The store is open: from now on the entries are in order.
  mutating func settle() {
    guard let removed = removedEarly?.sorted(by: FeedIndex.isBefore) else { return }
    removedEarly = nil
    guard !entries.isEmpty else { return }
    entries.sort(by: FeedIndex.isBefore)
    var kept: [Entry] = []
    kept.reserveCapacity(count)
    var next = 0
    for entry in entries {
      if next < removed.count, removed[next] == entry { next += 1 } else { kept.append(entry) }
    }
    invariant(next == removed.count && kept.count == count, "a feed of \(count) entries has \(kept.count)")
    entries = kept
    places = Dictionary(kept.lazy.map { (Write($0), $0.tsn) }, uniquingKeysWith: { $1 })
  }

  /// The tombstone that has just been given this position took the place of a value that had expired then.
  mutating func noteExpired(_ expiry: Expiry, at tsn: UInt64) {
    guard entries.last?.tsn == tsn else { return }
    entries[entries.count - 1].expired = UInt32(clamping: expiry.milliseconds / 1000)
  }

  /// The place of the tombstone of this key and stamp, which counts here. Nil also where its key is not among the last
  /// ones.
  func position(of key: [UInt8], hash: UInt64, _ stamp: Stamp) -> UInt64? {
    guard let tsn = places[Write(hash, stamp)], self.key(at: tsn) == key else { return nil }
    return tsn
  }

  // MARK: Keys

  /// The key of the tombstone that has just been given this position.
  mutating func noteKey(_ key: [UInt8], at tsn: UInt64) {
    if tsn != keysFrom &+ UInt64(keys.count) {
      keys.removeAll()
      keysFrom = tsn
    }
    if keys.count >= FeedIndex.keysMax {
      keys.removeFirst(FeedIndex.keysMax / 2)
      keysFrom &+= UInt64(FeedIndex.keysMax / 2)
    }
    keys.append(key)
  }

  /// Nil when it is not among the last ones.
  func key(at tsn: UInt64) -> [UInt8]? {
    tsn >= keysFrom && tsn - keysFrom < UInt64(keys.count) ? keys[Int(tsn - keysFrom)] : nil
  }

  /// As many of a store are kept, and half of them at least.
  static let keysMax = 2048

  private static func isBefore(_ a: Entry, _ b: Entry) -> Bool {
    (a.word, a.hash, a.stamp) < (b.word, b.hash, b.stamp)
  }

  /// The entry that follows a position, as long as it is not above `last`.
  func next(after tsn: UInt64, upTo last: UInt64) -> Entry? {
    var place = max(first, lowerBound(tsn &+ 1))
    while place < entries.count, entries[place].isRemoved { place += 1 }
    guard place < entries.count, entries[place].tsn <= last else { return nil }
    return entries[place]
  }

  /// All that are not removed, in order: for tests.
  var all: [Entry] { entries.filter { !$0.isRemoved } }

  /// The first place whose tsn is not below this one.
  private func lowerBound(_ tsn: UInt64) -> Int {
    var range = 0..<entries.count
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      range = entries[middle].tsn < tsn ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return range.lowerBound
  }
}

/// How far the feed of a store is durable, in positions that were given.
struct FeedHead {
  /// Everything given up to here survives the loss of power.
  private(set) var durable: UInt64 = 0
  /// Heads that were flushed and are not known to be durable, each with what had been appended to the engine then.
  private var marks: [(tsn: UInt64, position: UInt64)] = []
  /// With more of them, the last ones count as one: where nobody syncs for long, a head that is a little late does no harm.
  static let marksMax = 64

  /// Everything given so far is durable.
  mutating func open(at tsn: UInt64) {
    durable = tsn
    marks = []
  }

  /// The feed stands at this head, all of it handed to the file system with everything else up to `position`.
  mutating func noteFlush(_ tsn: UInt64, position: UInt64) {
    guard tsn > marks.last?.tsn ?? durable else { return }
    if marks.count < FeedHead.marksMax {
      marks.append((tsn, position))
    } else {
      marks[marks.count - 1] = (tsn, position)
    }
  }

  /// Everything up to this position is durable.
  mutating func settle(_ position: UInt64) {
    guard let first = marks.first, first.position <= position else { return }
    let count = marks.firstIndex { $0.position > position } ?? marks.count
    durable = marks[count - 1].tsn
    marks.removeFirst(count)
  }
}
