import Causality
import Primitives

// Which values of a store expire, by the minute in which they leave the comparison of owners (`Expiry.leaves`): beside the
// keydir, which has no room for it. It says nothing of where they stand. Invariant: an entry is here exactly as long as
// its record counts, so a store in which nothing expires has none.
//
// One ordered list, cut into chunks of so many entries: whatever is put in, taken out or looked for costs a search and a
// chunk, however many values expire in one minute and however many minutes there are. Every chunk knows what it adds to the
// hash tree, so that what has left by any minute is the sum of chunks and of a part of one.

struct ExpiryIndex {
  struct Entry: Equatable {
    let hash: UInt64
    let stamp: Stamp
    let expiry: Expiry

    /// The order of the index, the same in every process. Hashes of one segment of the tree follow each other.
    static func < (a: Entry, b: Entry) -> Bool {
      let (one, other) = (a.expiry.leaves, b.expiry.leaves)
      if one != other { return one < other }
      if a.hash != b.hash { return a.hash < b.hash }
      return a.stamp != b.stamp ? a.stamp < b.stamp : a.expiry < b.expiry
    }
  }

  private struct Chunk {
    /// Ascending; never empty outside a change.
    var entries: [Entry] = []
    /// By segment of the tree: what the entries add to it.
    var words = [UInt64](repeating: 0, count: HashTree.segmentCount)

    var first: Entry { entries[0] }
    var last: Entry { entries[entries.count - 1] }
  }

  /// Entries of one chunk, 8 KiB: what one change moves at most.
  static let chunkMax = 256

  private var chunks: [Chunk] = []
  private(set) var count = 0
  /// The last entry that could not be buried when its turn came: those behind it are next.
  private var passed: Entry?
  private let ringBits: UInt64

  /// - Parameter ringBits: How many top bits all hashes of the store share.
  init(ringBits: Int) { self.ringBits = UInt64(ringBits) }

  var isEmpty: Bool { count == 0 }

  // MARK: - Changes

  mutating func insert(_ expiry: Expiry, hash: UInt64, stamp: Stamp) {
    let entry = Entry(hash: hash, stamp: stamp, expiry: expiry)
    // What expires later than all others fills its chunk to the end.
    guard let end = chunks.last?.last, end < entry || end == entry else { return insert(entry, in: chunk(of: entry)) }
    guard end != entry else { return }
    if chunks[chunks.count - 1].entries.count >= Self.chunkMax { chunks.append(Chunk()) }
    insert(entry, in: chunks.count - 1)
  }

  private mutating func insert(_ entry: Entry, in index: Int) {
    if chunks.isEmpty { chunks.append(Chunk()) }
    let place = lowerBound(entry, in: chunks[index].entries)
    guard place == chunks[index].entries.count || chunks[index].entries[place] != entry else { return }
    chunks[index].entries.insert(entry, at: place)
    toggle(entry, in: index)
    count += 1
    if chunks[index].entries.count > Self.chunkMax { split(index) }
  }

  private mutating func split(_ index: Int) {
    let middle = chunks[index].entries.count / 2
    let upper = Array(chunks[index].entries[middle...])
    chunks[index].entries.removeSubrange(middle...)
    chunks.insert(Chunk(entries: upper), at: index + 1)
    for entry in upper {
      toggle(entry, in: index)
      toggle(entry, in: index + 1)
    }
  }

  mutating func remove(_ expiry: Expiry, hash: UInt64, stamp: Stamp) {
    let entry = Entry(hash: hash, stamp: stamp, expiry: expiry)
    let index = chunk(of: entry)
    guard index < chunks.count else { return }
    let place = lowerBound(entry, in: chunks[index].entries)
    guard place < chunks[index].entries.count, chunks[index].entries[place] == entry else { return }
    chunks[index].entries.remove(at: place)
    toggle(entry, in: index)
    count -= 1
    if chunks[index].entries.isEmpty {
      chunks.remove(at: index)
    } else if index + 1 < chunks.count {
      joinIfSmall(index)
    }
  }

  /// Half a chunk's worth in two of them is one.
  private mutating func joinIfSmall(_ index: Int) {
    guard chunks[index].entries.count + chunks[index + 1].entries.count <= Self.chunkMax / 2 else { return }
    let next = chunks.remove(at: index + 1)
    chunks[index].entries += next.entries
    for segment in next.words.indices { chunks[index].words[segment] ^= next.words[segment] }
  }

  private mutating func toggle(_ entry: Entry, in index: Int) {
    chunks[index].words[segment(of: entry.hash)] ^= HashTree.entryHash(entry.hash, entry.stamp)
  }

  // MARK: - Burying

  /// The values that are to be buried next, at most so many, by the order of minutes. Fewer: all that may be buried at this
  /// time have been gone through but for these.
  func nextBuriable(at wallMilliseconds: UInt64, max countMax: Int) -> [Entry] {
    var entries: [Entry] = []
    var (index, place) = start(after: passed)
    while entries.count < countMax, index < chunks.count {
      guard place < chunks[index].entries.count else {
        (index, place) = (index + 1, 0)
        continue
      }
      let entry = chunks[index].entries[place]
      guard Expiry.buriable(leaves: entry.expiry.leaves) <= wallMilliseconds else { break }
      entries.append(entry)
      place += 1
    }
    return entries
  }

  /// This entry, and what stands before it, cannot be buried now: others come first.
  mutating func pass(_ entry: Entry) { passed = entry }

  /// Those that were passed over are next.
  mutating func beginAnew() { passed = nil }

  /// When the next value may be buried.
  var nextBurial: UInt64? { chunks.first.map { Expiry.buriable(leaves: $0.first.expiry.leaves) } }

  /// How many may be buried at this time; looks at every chunk up to then.
  func buriableCount(at wallMilliseconds: UInt64) -> Int {
    var sum = 0
    for chunk in chunks {
      guard Expiry.buriable(leaves: chunk.last.expiry.leaves) > wallMilliseconds else {
        sum += chunk.entries.count
        continue
      }
      return sum + chunk.entries.count { Expiry.buriable(leaves: $0.expiry.leaves) <= wallMilliseconds }
    }
    return sum
  }

  // MARK: - What has left

  /// Something has left by this minute and is still here.
  func hasLeft(by minute: UInt64) -> Bool { chunks.first.map { $0.first.expiry.leaves <= minute } ?? false }

  /// By segment of the tree: what the values that have left by this minute add to it.
  func words(leftBy minute: UInt64) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: HashTree.segmentCount)
    for chunk in chunks {
      guard chunk.last.expiry.leaves > minute else {
        for segment in words.indices { words[segment] ^= chunk.words[segment] }
        continue
      }
      for entry in chunk.entries where entry.expiry.leaves <= minute {
        words[segment(of: entry.hash)] ^= HashTree.entryHash(entry.hash, entry.stamp)
      }
      break
    }
    return words
  }

  /// Those of one segment that have left by this minute, as their slots have them. Of a minute with many it looks at the
  /// segment's alone.
  func visitLeft(by minute: UInt64, segment: Int, _ body: (SlotDigest) -> Void) {
    for chunk in chunks {
      let (first, last) = (chunk.first, chunk.last)
      guard first.expiry.leaves <= minute else { return }
      if first.expiry.leaves == last.expiry.leaves,
        self.segment(of: first.hash) > segment || self.segment(of: last.hash) < segment
      {
        continue
      }
      for entry in chunk.entries where entry.expiry.leaves <= minute && self.segment(of: entry.hash) == segment {
        body(SlotDigest(hash: entry.hash, digest: entry.stamp.digest, isTombstone: false))
      }
    }
  }

  private func segment(of hash: UInt64) -> Int {
    Int(truncatingIfNeeded: (hash &<< ringBits) &>> UInt64(64 - HashTree.segmentBits))
  }

  // MARK: - Looking

  /// Bytes allocated, about.
  var byteCount: Int {
    chunks.capacity * MemoryLayout<Chunk>.stride
      + chunks.reduce(0) {
        $0 + $1.entries.capacity * MemoryLayout<Entry>.stride + $1.words.capacity * MemoryLayout<UInt64>.stride
      }
  }

  /// All of them, in their order: for tests.
  var all: [Entry] { chunks.flatMap(\.entries) }
  /// For tests.
  var chunkCounts: [Int] { chunks.map(\.entries.count) }

  /// The chunk in which an entry is, if it is anywhere: the last one that begins no later, or the first one.
  private func chunk(of entry: Entry) -> Int {
    var range = 0..<chunks.count
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      range = entry < chunks[middle].first ? range.lowerBound..<middle : middle + 1..<range.upperBound
    }
    return max(0, range.lowerBound - 1)
  }

  /// Where the first entry of all is, or the first one behind this one; the end of a chunk is the beginning of the next.
  private func start(after entry: Entry?) -> (chunk: Int, place: Int) {
    guard let entry, !chunks.isEmpty else { return (0, 0) }
    let index = chunk(of: entry)
    let place = lowerBound(entry, in: chunks[index].entries)
    let isThere = place < chunks[index].entries.count && chunks[index].entries[place] == entry
    return (index, isThere ? place + 1 : place)
  }

  /// The first place whose entry is not below this one.
  private func lowerBound(_ entry: Entry, in entries: [Entry]) -> Int {
    var range = 0..<entries.count
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      range = entries[middle] < entry ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return range.lowerBound
  }
}
