import Causality
import Messages
import Primitives
import Storage

// What a node remembers of a request that it coordinates or has handed on: what is known of whom, and until when. The
// decisions stand in the files named after them.

/// Who waits for the answer.
enum Origin: Sendable {
  case client(SessionID)
  /// A node that handed the write to us; `operation` is its own number for it, valid in its boot.
  case forwarder(NodeID, operation: UInt64, bootID: UInt64)
}

/// Which table an operation's number belongs to: its lowest bits.
enum OperationKind: UInt64 {
  case write = 0
  case get = 1
  case forward = 2
  case list = 3
  case handoff = 4
  case exchange = 5
  /// An owner asked once more by a read (`secondReads`).
  case secondRead = 6

  /// Numbers of one kind are this far apart.
  static let stride: UInt64 = 8

  /// Nil for a number that no operation has.
  init?(of operation: UInt64) { self.init(rawValue: operation % OperationKind.stride) }
}

/// The quorums of a write, resolved against n.
struct ResolvedWrite: Equatable, Sendable {
  let w: Int
  let dw: Int
  let pw: Int

  /// Nil when one of them is above n. Without `sync = always` a default dw means w: no fsync is waited for.
  init?(_ quorum: WriteQuorum, n: Int, sync: SyncMode) {
    let majority = n / 2 + 1
    w = quorum.w.resolved(n: n, default: majority)
    pw = quorum.pw.resolved(n: n, default: 1)
    dw = quorum.dw.resolved(n: n, default: sync == .always ? w : 0)
    guard w <= n, dw <= n, pw <= n else { return nil }
  }
}

/// A put or a delete that this node coordinates. It stays until every node that was sent it has answered or cannot any
/// more, also when its client has its answer: whoever missed it gets a hint then. A reference: many hands look at it
/// during its life, and copies of it cost a tenth of the throughput.
final class WriteOperation {
  enum Intent: Sendable {
    /// A put has one stamp for life (rule ONE STAMP). The flag is true while no node, this one included, can have
    /// applied it under the stamp that it has.
    case put(mayBeStampedAnew: Bool)
    case delete(Deletion)
  }

  let origin: Origin
  let key: ObjectKey
  let hash: UInt64
  let store: StoreID
  let configID: UInt64
  let deadline: Instant
  /// Whoever has not answered by then is stood in for.
  let movesOnAt: Instant
  // Nothing here hands one of these to a function that could reach it by another way.
  @safe @exclusivity(unchecked) var intent: Intent
  @safe @exclusivity(unchecked) var version: StoredVersion
  @safe @exclusivity(unchecked) var isStamped: Bool
  @safe @exclusivity(unchecked) var progress: WriteProgress
  /// This node's own copy is in its log, and the others have been sent theirs.
  @safe @exclusivity(unchecked) var isApplied = false
  @safe @exclusivity(unchecked) var isAnswered = false

  init(
    origin: Origin, key: ObjectKey, hash: UInt64, store: StoreID, configID: UInt64, deadline: Instant,
    movesOnAt: Instant, intent: Intent, version: StoredVersion, isStamped: Bool, progress: WriteProgress
  ) {
    self.origin = origin
    self.key = key
    self.hash = hash
    self.store = store
    self.configID = configID
    self.deadline = deadline
    self.movesOnAt = movesOnAt
    self.intent = intent
    self.version = version
    self.isStamped = isStamped
    self.progress = progress
  }

  var quorum: ResolvedWrite { progress.quorum }

  /// What the client asked for. The version that it had read is not in it: stamps are above that by now.
  var request: ClientRequest {
    var quorum = WriteQuorum()
    quorum.w = .count(self.quorum.w)
    quorum.dw = .count(self.quorum.dw)
    quorum.pw = .count(self.quorum.pw)
    guard let deletion else {
      var put = PutRequest(key: key, payload: version.value)
      put.lifetime = version.expiry == .never ? .unlimited : .until(version.expiry)
      put.quorum = quorum
      return .put(put)
    }
    var delete = DeleteRequest(key: key)
    delete.quorum = quorum
    delete.always = deletion.always
    return .delete(delete)
  }

  var deletion: Deletion? { if case .delete(let deletion) = intent { deletion } else { nil } }
  var isDelete: Bool { if case .delete = intent { true } else { false } }
  var isProbing: Bool { if case .delete(let deletion) = intent { deletion.phase == .probing } else { false } }
}

/// What a delete knows beyond any write.
struct Deletion: Sendable {
  enum Phase: Sendable {
    /// Asking the other owners whether there is anything to delete.
    case probing
    case writing
  }
  let always: Bool
  var phase = Phase.probing
  /// Owners that hold nothing live; all of them must say so before "not found" is true.
  var absent: QuorumTally
  var newestTombstone: Stamp?
  /// After this the tombstone is written without waiting for answers any longer.
  let probeUntil: Instant
  /// The stamp that a forwarded delete came with; only its sender may choose another.
  let offered: Stamp?
  /// Stamps tried; every further one had to beat something newer.
  var attempts = 0
}

/// A read that this node coordinates. A reference for the same reason as `WriteOperation`.
final class GetOperation {
  /// What a replica said of its copy.
  struct Answer: Sendable {
    let node: NodeID
    /// Nil: it has none.
    let stamp: Stamp?
    let isTombstone: Bool
    /// Of a value.
    let expiry: Expiry
    let isOwner: Bool
    /// Of its store, where it has none.
    let floor: Stamp
    /// Owners with which its store is validated, by their place among them.
    let validatedWith: UInt16
    /// How many answers the read had when this came.
    let arrival: Int

    var rank: Rank { Rank(stamp ?? .zero, isTombstone: isTombstone) }
  }

  let session: SessionID
  let key: ObjectKey
  let hash: UInt64
  let store: StoreID
  let configID: UInt64
  let owners: [NodeID]
  let r: Int
  let began: Instant
  let deadline: Instant
  /// Distinct nodes: owners, and fallbacks that keep a hint of the key.
  @safe @exclusivity(unchecked) var answers: QuorumTally
  /// Owners alone.
  @safe @exclusivity(unchecked) var primaries: QuorumTally
  /// Replicas asked so far.
  @safe @exclusivity(unchecked) var asked: [NodeID] = []
  /// Whom the value itself was asked of; the others tell its stamp.
  @safe @exclusivity(unchecked) var valueAsked: NodeID?
  /// Who is asked for a value that only its digest was known of.
  @safe @exclusivity(unchecked) var fetchedFrom: NodeID?
  @safe @exclusivity(unchecked) var seen: [Answer] = []
  @safe @exclusivity(unchecked) var arrivals = 0
  /// Of those that were asked when others had answered: after how many answers, when they were asked last.
  @safe @exclusivity(unchecked) var askedAfter: [(node: NodeID, arrivals: Int)] = []
  /// Owners that are asked once more, and the number of that question; and how often that has happened.
  @safe @exclusivity(unchecked) var second: [(node: NodeID, number: UInt64)] = []
  /// The newest version that came whole, a tombstone included.
  @safe @exclusivity(unchecked) var newest: StoredVersion?
  @safe @exclusivity(unchecked) var obstacles: [(node: NodeID, obstacle: Obstacle)] = []
  var sawDamage = false
  /// One more replica than the quorum needs has been asked: there is no second time.
  var isHedged = false
  var askedFallbacks = false
  var isRevalidated = false

  init(
    session: SessionID, key: ObjectKey, hash: UInt64, store: StoreID, configID: UInt64, owners: [NodeID], r: Int,
    pr: Int, began: Instant, deadline: Instant
  ) {
    self.session = session
    self.key = key
    self.hash = hash
    self.store = store
    self.configID = configID
    self.owners = owners
    self.r = r
    self.began = began
    self.deadline = deadline
    answers = QuorumTally(replicas: owners, wanted: r)
    primaries = QuorumTally(replicas: owners, wanted: pr)
  }

  /// It was asked now; what others say from here on it may have known.
  func noteAsked(_ node: NodeID) {
    askedAfter.removeAll { $0.node == node }
    if arrivals > 0 { askedAfter.append((node, arrivals)) }
  }

  func arrivals(whenAsking node: NodeID) -> Int { askedAfter.first { $0.node == node }?.arrivals ?? 0 }
}

struct ForwardOperation: Sendable {
  let session: SessionID
  let request: ClientRequest
  let key: ObjectKey
  let hash: UInt64
  let deadline: Instant
  /// Nil until this node, or an owner that lends it one, has issued it.
  var stamp: Stamp?
  var stampsTried = 0
  /// An owner that went away may have applied the stamp: a put must keep it from here on.
  var mayBeApplied = false
  var target: NodeID?
  var tried: [NodeID] = []
  var obstacles: [String] = []
  /// An owner refused because its disk is full.
  var metFullDisk = false

  var isPut: Bool { if case .put = request { true } else { false } }
  var valueBytes: Int { if case .put(let put) = request { put.payload.count } else { 0 } }
}

/// A write that a node is asked to keep for an owner.
struct HintOffer: Sendable {
  let owner: NodeID
  let key: ObjectKey
  let hash: UInt64
  let version: StoredVersion
}

/// The newest version that a read saw, for this node's own copy.
struct Repair: Sendable {
  let key: ObjectKey
  let hash: UInt64
  let store: StoreID
  let version: StoredVersion
}

/// What waits for bytes from the disk.
struct WaitingRead: Sendable {
  let read: ColdRead
  let waiter: PendingRead
}

/// An operation that waits for bytes from the disk.
enum PendingRead: Sendable {
  case write(UInt64)
  case get(UInt64)
  case push(Push, from: NodeID)
  case peerRead(PeerRead, from: NodeID)
  case list(PeerList)
  case peerList(PeerList, from: NodeID)
  /// A hint that this node is to keep.
  case hint(HintOffer)
  /// Hints for this node that are to be handed over.
  case handoff(NodeID)
  /// This node's own copy, which a read found behind.
  case repair(Repair)
  /// The merge under way.
  case merge
  /// A chunk of a sealed file, to be verified.
  case scrub
  /// An exchange of this node's own, by its number.
  case exchange(UInt64)
  /// Records that another owner asked for.
  case pullAnswer(PullWork)
  /// A push that was not above the floor, by its number.
  case stalePush(UInt64)
  /// What a store held that was set aside, or a record of the store that took its place.
  case salvage
  /// An entry of the quarantine, for an operator.
  case quarantine(QuarantineWork, SessionID)
  /// A tombstone of this peer's feed.
  case feed(NodeID)
  /// Tombstones that this peer asked for.
  case feedAnswer(NodeID)
  /// A tombstone of this store that may be forgotten.
  case purge(StoreID)
  /// An expired value of this store.
  case burial(StoreID)
}
