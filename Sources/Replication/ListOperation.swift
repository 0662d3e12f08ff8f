import Messages
import Primitives
import Storage

// What a node remembers of a listing that it coordinates: a few partitions at a time, of each a page from every owner
// that is asked, and the names that the client has not been given yet. However long the listing, that is all.

struct ListOperation: Sendable {
  let number: UInt64
  let session: SessionID
  let request: ListRequest
  let pattern: KeyPattern
  /// Owners of each partition that must have told their keys.
  let r: Int
  let partitions: Int
  let deadline: Instant?
  /// Partitions that are being read.
  var lanes: [ListLane] = []
  var nextPartition = 0
  var nextSequence: UInt32 = 0
  /// Decided and not told yet.
  var names = ListedNames()
  /// The client has taken what it was given.
  var clientIsReady = true
  /// Buckets that were told already, and their bytes.
  var buckets: Set<[UInt8]> = []
  var bucketBytes = 0
  /// When a page last came.
  var progressed: Instant
  /// It could go on at once, had it not had its share of this turn.
  var isHungry = false
  /// What is there goes to the client however little it is.
  var handsOverAll = false
  /// Why the listing cannot go on.
  var failure: ClientFailure?

  init(
    number: UInt64, session: SessionID, request: ListRequest, r: Int, partitions: Int, deadline: Instant?,
    at now: Instant
  ) {
    self.number = number
    self.session = session
    self.request = request
    self.r = r
    self.partitions = partitions
    self.deadline = deadline
    pattern = request.pattern
    progressed = now
  }

  /// Names are handed over when there are this many bytes of them.
  static let partBytes = 16 << 10
  /// No more is decided than this before the client takes it.
  static let namesBytesMax = 64 << 10
  /// What remembering a bucket takes beyond its name.
  private static let bucketOverheadBytes = 80
  /// Names of buckets are remembered, so that each is told once. More than this, overhead included, is refused.
  static let bucketBytesMax = 16 << 20
  /// Partitions read at once: enough that no owner waits for another.
  static let lanesMax = 4

  /// Everything has been decided.
  var isComplete: Bool { nextPartition == partitions && lanes.isEmpty }
  var isOver: Bool { isComplete && names.isEmpty }
  var isFull: Bool { names.bytes.count >= ListOperation.namesBytesMax }

  mutating func newSequence() -> UInt32 {
    nextSequence &+= 1
    return nextSequence
  }

  /// Takes over what the lane can decide.
  /// - Parameters:
  ///   - isRuled: Rule READ holds.
  ///   - wallMilliseconds: What has expired by then is not told.
  mutating func decide(_ lane: Int, isRuled: Bool, at wallMilliseconds: UInt64) {
    guard !isFull, lanes[lane].doubts.count < ListLane.doubtsMax else { return }
    var merge = lanes[lane].merge
    lanes[lane].merge = KeyMerge(wanted: r)
    merge.decide(at: wallMilliseconds) { bytes, key, decision in
      switch decision {
      case .isDoubtful where isRuled && !isTold(bytes, key):
        lanes[lane].doubts.append(ListLane.Doubt(key: Array(bytes[key])))
      case .isDoubtful, .isLive: tell(bytes, key, of: lane)
      }
      return !isFull && failure == nil && lanes[lane].doubts.count < ListLane.doubtsMax
    }
    lanes[lane].merge = merge
  }

  /// Another key has brought its bucket already.
  private func isTold(_ bytes: [UInt8], _ key: Range<Int>) -> Bool {
    guard case .buckets = request.subject, let bucket = ObjectKey.bucketRange(in: bytes, key) else { return false }
    return buckets.contains(Array(bytes[bucket]))
  }

  mutating func tell(_ bytes: [UInt8], _ key: Range<Int>, of lane: Int) {
    guard let bucket = ObjectKey.bucketRange(in: bytes, key) else {
      failure = .damaged(detail: "an owner of partition \(lanes[lane].store.partition) sent bytes that are no key")
      return
    }
    switch request.subject {
    case .keys: names.append(bytes[bucket.upperBound..<key.upperBound])
    case .buckets:
      let name = Array(bytes[bucket])
      guard buckets.insert(name).inserted else { return }
      bucketBytes += name.count + ListOperation.bucketOverheadBytes
      names.append(name[...])
      if bucketBytes > ListOperation.bucketBytesMax {
        failure = .overloaded(
          detail: "the names of all buckets take more than \(ListOperation.bucketBytesMax >> 20) MiB")
      }
    }
  }
}

/// One partition of a listing.
struct ListLane: Sendable {
  /// A page that was asked for.
  struct Question: Sendable {
    let node: NodeID
    let sequence: UInt32
    let asked: Instant
  }
  /// A key that is read before it is told.
  struct Doubt: Sendable {
    let key: [UInt8]
    /// Under which it is read; nil before that.
    var session: UInt64?
  }
  /// Of one partition at once; then no more is decided. The keys of one hash may carry it beyond.
  static let doubtsMax = 16
  let store: StoreID
  var merge: KeyMerge
  var doubts: [Doubt] = []
  var questions: [Question] = []
  /// Owners that are not asked again, and why.
  var obstacles: [(node: NodeID, reason: String)] = []
  var sawDamage = false

  init(store: StoreID, r: Int) {
    self.store = store
    merge = KeyMerge(wanted: r)
  }

  var isDone: Bool { merge.isDone && doubts.isEmpty }

  func isAsked(_ node: NodeID) -> Bool { questions.contains { $0.node == node } }

  /// Gives an owner up: another one is to tell the rest. With a reason it is not asked again here.
  mutating func giveUp(_ node: NodeID, _ reason: String?) {
    merge.streams.removeAll { $0.node == node }
    questions.removeAll { $0.node == node }
    if let reason { obstacles.append((node, reason)) }
  }
}

extension ListRequest {
  /// What the encoded keys that are meant have in common (the layout stands at `ObjectKey`).
  var pattern: KeyPattern {
    var lengths: [UInt8] = []
    lengths.appendLittleEndian(UInt16(type.count))
    switch subject {
    case .keys(let bucket):
      lengths.appendLittleEndian(UInt16(bucket.count))
      return KeyPattern([KeyPattern.Part(offset: 0, bytes: lengths + type + bucket)])
    case .buckets:
      return KeyPattern([KeyPattern.Part(offset: 0, bytes: lengths), KeyPattern.Part(offset: 4, bytes: type)])
    }
  }
}
