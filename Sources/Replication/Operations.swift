import Causality
import Messages
import Primitives
import Storage

// What a node remembers of a request that it coordinates or has handed on. Plain values: what is known of whom, and
// until when. The decisions stand in the files named after them.

/// Who waits for the answer.
enum Origin: Sendable {
  case client(SessionID)
  /// A node that handed the write to us; `operation` is its own number for it, valid in its boot.
  case forwarder(NodeID, operation: UInt64, bootID: UInt64)
}

/// Which table an operation's number belongs to: its lowest bits.
enum OperationKind: UInt64 {
  case put = 0
  case get = 1
  case delete = 2
  case forward = 3
  case list = 4

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

  /// Distinct replicas that must hold the write. All targets are primaries, so pw asks for nothing that w does not.
  var applied: Int { max(w, pw) }
}

/// How far a write has come: who holds it, who holds it durably, and who cannot any more.
struct WriteProgress: Sendable {
  var applied: QuorumTally
  var synced: QuorumTally
  /// Why replicas did not take part, for the client's error.
  var obstacles: [String] = []
  /// Of the replicas that refused, so many have no room.
  private var full = 0

  init(replicas: [NodeID], quorum: ResolvedWrite) {
    applied = QuorumTally(replicas: replicas, wanted: quorum.applied)
    synced = QuorumTally(replicas: replicas, wanted: quorum.dw)
  }

  var verdict: QuorumTally.Verdict {
    switch (applied.verdict, synced.verdict) {
    case (.reached, .reached): .reached
    case (.impossible, _), (_, .impossible): .impossible
    case (.waiting, _), (_, .waiting): .waiting
    }
  }

  mutating func fail(_ node: NodeID, _ reason: String, isFull: Bool = false) {
    guard applied.isOpen(node) || synced.isOpen(node) else { return }
    applied.record(node, accepted: false)
    synced.record(node, accepted: false)
    obstacles.append(reason)
    if isFull { full += 1 }
  }

  /// Which promise is short, and of how many nodes; or that room is all that was lacking.
  func failure(_ quorum: ResolvedWrite) -> ClientFailure {
    let detail = obstacles.joined(separator: "; ")
    // Who did or still could: a write refused before it began has been accepted by nobody.
    let applying = applied.replicas.count - applied.refused
    let syncing = synced.replicas.count - synced.refused
    if full > 0, applying + full >= quorum.applied, syncing + full >= quorum.dw {
      let got = "\(min(applying, syncing)) of \(max(quorum.applied, quorum.dw)) nodes have room"
      return .full(detail: "\(got); \(detail); free or add space there; reads and deletes go on")
    }
    if applying < quorum.w { return .unsatisfied(.w, wanted: quorum.w, got: applying, detail: detail) }
    if applying < quorum.pw { return .unsatisfied(.pw, wanted: quorum.pw, got: applying, detail: detail) }
    return .unsatisfied(.dw, wanted: quorum.dw, got: syncing, detail: detail)
  }
}

struct PutOperation: Sendable {
  let origin: Origin
  let key: ObjectKey
  let hash: UInt64
  let store: StoreID
  let configID: UInt64
  let quorum: ResolvedWrite
  let deadline: Instant
  /// The put's one stamp for life (rule ONE STAMP); nil only before it was issued.
  var version: StoredVersion
  var isStamped: Bool
  /// True while no node, this one included, can have applied the stamp.
  var mayBeStampedAnew: Bool
  var progress: WriteProgress
}

struct DeleteOperation: Sendable {
  enum Phase: Sendable {
    /// Asking the other owners whether there is anything to delete.
    case probing
    case writing
  }
  let origin: Origin
  let key: ObjectKey
  let hash: UInt64
  let store: StoreID
  let configID: UInt64
  let quorum: ResolvedWrite
  let deadline: Instant
  let always: Bool
  var phase = Phase.probing
  /// Owners that hold nothing live; all of them must say so before "not found" is true.
  var absent: QuorumTally
  var newestTombstone: Stamp?
  /// After this the tombstone is written without waiting for answers any longer.
  let probeUntil: Instant
  /// The stamp that a forwarded delete came with; only its sender may choose another.
  let offered: Stamp?
  var version: StoredVersion
  var isStamped = false
  /// Stamps tried; every further one had to beat something newer.
  var attempts = 0
  var progress: WriteProgress
}

struct GetOperation: Sendable {
  let session: SessionID
  let key: ObjectKey
  let hash: UInt64
  let store: StoreID
  let configID: UInt64
  let r: Int
  let pr: Int
  let deadline: Instant
  var answers: QuorumTally
  /// Replicas asked so far.
  var asked: [NodeID] = []
  /// The newest version that any replica held, a tombstone included.
  var newest: StoredVersion?
  var obstacles: [String] = []
  var sawDamage = false
  /// All replicas have been asked: whoever is slow cannot be replaced any more.
  var askedAll = false
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

/// What waits for bytes from the disk.
struct WaitingRead: Sendable {
  let read: ColdRead
  let waiter: PendingRead
}

/// An operation that waits for bytes from the disk.
enum PendingRead: Sendable {
  case put(UInt64)
  case get(UInt64)
  case delete(UInt64)
  case push(Push, from: NodeID)
  case peerRead(PeerRead, from: NodeID)
  case list(PeerList)
  case peerList(PeerList, from: NodeID)
  /// The merge under way.
  case merge
}
