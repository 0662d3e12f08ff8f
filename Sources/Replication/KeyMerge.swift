import Causality
import Messages
import Primitives
import Storage

// Merging what several owners of one partition say of its keys. All say it in the order of the hashes, a page at a
// time; a key is decided, by its highest stamp, as soon as every one of them has got past its hash. So each key is
// told once, and none of which a quorum knows that it is deleted. Whether what an owner does not tell was purged there
// shows its floor.

/// One owner's keys, as far as they have come.
struct KeyStream: Sendable {
  let node: NodeID
  /// Where its next page begins; nil when it has told all.
  private(set) var next: UInt64?
  /// The page that is being merged, or has been.
  private(set) var page = KeyPage()
  private var offset = 0

  init(_ node: NodeID, from hash: UInt64) {
    self.node = node
    next = hash
  }

  /// The entry that comes next; nil when another page is needed or there is none.
  var head: KeyEntry? { page.entry(at: offset) }

  /// The page has been merged.
  var isExhausted: Bool { offset == page.bytes.count }

  var needsPage: Bool { isExhausted && next != nil }
  var isDone: Bool { isExhausted && next == nil }

  /// Takes the page that was asked for; false when it is not that page.
  mutating func take(_ page: KeyPage) -> Bool {
    guard needsPage, let from = next, page.entry(at: 0).map({ $0.hash >= from }) ?? true,
      page.next.map({ $0 > from }) ?? true
    else { return false }
    self.page = page
    offset = 0
    next = page.next
    return true
  }

  mutating func pass(_ entry: KeyEntry) { offset = entry.key.upperBound }
}

/// The keys of one partition, merged from the streams of as many owners as a read asks.
struct KeyMerge: Sendable {
  /// How many owners must have told their keys: with fewer streams nothing is decided.
  let wanted: Int
  var streams: [KeyStream] = []
  /// Keys below this hash have been decided. Where a stream is replaced, the new one begins here.
  private(set) var decided: UInt64 = 0

  /// What one stream says of one key.
  private struct Claim {
    let stream: Int
    let entry: KeyEntry
    /// All streams that have the key, as bits.
    var tellers: UInt64
  }

  /// What was decided of a key that is live.
  enum Decision {
    case isLive
    /// An owner lacks it, and what it lacks it may have purged: the other one may have told it before (rule READ).
    case isDoubtful
  }

  init(wanted: Int) { self.wanted = wanted }

  /// True when every owner has told all that it has, and all of it is decided.
  var isDone: Bool { isComplete && streams.allSatisfy(\.isDone) }

  private var isComplete: Bool { streams.count == wanted }

  /// Decides what can be decided and calls `body` with every key that is live, until that returns false.
  /// - Parameter wallMilliseconds: What has expired by then is not live.
  mutating func decide(at wallMilliseconds: UInt64, _ body: (_ bytes: [UInt8], _ key: Range<Int>, Decision) -> Bool) {
    var claims: [Claim] = []
    while let hash = nextHash {
      claims.removeAll(keepingCapacity: true)
      for index in streams.indices {
        while let entry = streams[index].head, entry.hash == hash {
          add(Claim(stream: index, entry: entry, tellers: 1 << UInt64(index)), to: &claims)
          streams[index].pass(entry)
        }
      }
      decided = hash == .max ? hash : hash + 1
      var wantsMore = true
      for claim in claims where !claim.entry.isGone(wallMilliseconds) {
        let decision: Decision = isDoubtful(claim) ? .isDoubtful : .isLive
        wantsMore = body(streams[claim.stream].page.bytes, claim.entry.key, decision) && wantsMore
      }
      guard wantsMore else { return }
    }
  }

  /// The lowest hash of which all streams have said what they have. Pages do not end within a hash.
  private var nextHash: UInt64? {
    guard isComplete else { return nil }
    var lowest: UInt64?
    for stream in streams {
      guard let hash = stream.head?.hash ?? stream.next else { continue }
      if lowest.map({ hash < $0 }) ?? true { lowest = hash }
    }
    guard let lowest, !streams.contains(where: { $0.needsPage && $0.next == lowest }) else { return nil }
    return lowest
  }

  /// Keeps the highest stamp of each key. Different keys with one hash are rare: a handful at most.
  private func add(_ claim: Claim, to claims: inout [Claim]) {
    for index in claims.indices where isSameKey(claims[index], claim) {
      let tellers = claims[index].tellers | claim.tellers
      if claim.entry.rank > claims[index].entry.rank { claims[index] = claim }
      claims[index].tellers = tellers
      return
    }
    claims.append(claim)
  }

  /// The page of a stream that has got past the hash without the key is the one that would have it.
  private func isDoubtful(_ claim: Claim) -> Bool {
    streams.indices.contains {
      claim.tellers & 1 << UInt64($0) == 0 && streams[$0].page.floor >= claim.entry.stamp
    }
  }

  private func isSameKey(_ a: Claim, _ b: Claim) -> Bool {
    guard a.entry.key.count == b.entry.key.count else { return false }
    return streams[a.stream].page.bytes[a.entry.key] == streams[b.stream].page.bytes[b.entry.key]
  }
}
