import Causality
import Cluster
import Messages
import Primitives

// Which of the other members can be talked to, and what their clocks say. A peer is up when this node's connection to
// it stands, each has accepted the other's HELLO of its current boot, and it was heard from within `suspect_after`.

struct PeerTable: Sendable {
  struct Peer: Sendable {
    let member: Member
    /// This node's own connection to the peer.
    var linked = false
    /// The peer's HELLO of its current boot, once it passed.
    var hello: Hello?
    /// Why the peer's last HELLO did not pass.
    var rejected: HelloRefusal?
    /// The peer accepted our HELLO of this boot.
    var welcomed = false
    /// Why the peer did not accept ours.
    var refusal: HelloRefusal?
    var lastHeard: Instant?
    var helloSent: Instant?
    var lastHeartbeatSequence: UInt64 = 0
    var lastStatesSequence: UInt64 = 0
    /// A process that gave this member's name and was refused.
    var impostorBootID: UInt64 = 0
    /// When the peer, which still waited, was last told about our stores for asking.
    var statesAnswered: Instant?
    /// The peer's wall clock minus our monotonic clock, milliseconds, when last told.
    var clockReference: Int64?
    /// Writes that the peer was sent and that nobody has heard of yet, and the bytes of their values.
    var awaitedWrites = 0
    var awaitedBytes = 0
    /// What `isUp` was at the last review: the node learns of changes by review, so that both sides of a change run.
    var wasUp = false
    var downReason = "not connected yet"
  }

  let suspectAfterMilliseconds: UInt64
  private(set) var peers: [Peer]
  private var indexOf: [NodeID: Int] = [:]

  init(members: [Member], self own: NodeID, suspectAfterMilliseconds: UInt64) {
    self.suspectAfterMilliseconds = suspectAfterMilliseconds
    peers = members.filter { $0.id != own }.sorted { $0.id < $1.id }.map { Peer(member: $0) }
    for (index, peer) in peers.enumerated() { indexOf[peer.member.id] = index }
  }

  func index(_ node: NodeID) -> Int? { indexOf[node] }

  subscript(_ index: Int) -> Peer {
    get { peers[index] }
    _modify { yield &peers[index] }
  }

  /// As of the last review.
  func isUp(_ node: NodeID) -> Bool {
    guard let index = indexOf[node] else { return false }
    return peers[index].wasUp
  }

  mutating func awaitWrite(_ node: NodeID, bytes: Int) {
    guard let index = indexOf[node] else { return }
    peers[index].awaitedWrites += 1
    peers[index].awaitedBytes += bytes
  }

  mutating func writeAnswered(_ node: NodeID, bytes: Int) {
    guard let index = indexOf[node] else { return }
    peers[index].awaitedWrites -= 1
    peers[index].awaitedBytes -= bytes
  }

  var upCount: Int { peers.reduce(0) { $0 + ($1.wasUp ? 1 : 0) } }

  /// Why the peer is not up at `now`, or nil when it is.
  func obstacle(_ peer: Peer, at now: Instant) -> String? {
    guard peer.linked else { return "not connected" }
    if let refusal = peer.refusal { return "it refused this node: \(refusal.text)" }
    if let rejected = peer.rejected { return "this node refused it: \(rejected.text)" }
    guard peer.welcomed, peer.hello != nil else { return "no handshake yet" }
    guard let heard = peer.lastHeard, now.milliseconds(since: heard) < suspectAfterMilliseconds else {
      return "silent for \(peer.lastHeard.map { now.milliseconds(since: $0) } ?? 0) ms"
    }
    return nil
  }

  /// This node itself has stood still: what the peers said meanwhile is still on its way, and nobody is silent for that.
  mutating func forgiveSilence(at now: Instant) {
    for index in peers.indices where peers[index].wasUp { peers[index].lastHeard = now }
  }

  /// Compares what is with what was, and returns the peers that changed, in id order.
  mutating func review(at now: Instant) -> [(node: NodeID, isUp: Bool, reason: String)] {
    var changes: [(node: NodeID, isUp: Bool, reason: String)] = []
    for index in peers.indices {
      let obstacle = obstacle(peers[index], at: now)
      if let obstacle { peers[index].downReason = obstacle }
      guard (obstacle == nil) != peers[index].wasUp else { continue }
      peers[index].wasUp = obstacle == nil
      changes.append((peers[index].member.id, obstacle == nil, obstacle ?? ""))
    }
    return changes
  }

  // MARK: - Clocks (rule CLOCKS, Docs/Delete.md)

  /// A node farther than this from the median of all clocks does not issue stamps.
  static let clockDriftMillisecondsMax: Int64 = 30_000

  /// True when this node's wall clock disagrees with the median of all clocks that are known, its own among them. The
  /// references are kept against the monotonic clock, so that a jump of our own wall clock shows at once.
  func clockIsInDoubt(at now: Moment) -> Bool {
    var offsets: [Int64] = [0]
    for peer in peers {
      if let offset = clockOffset(peer, at: now) { offsets.append(offset) }
    }
    guard offsets.count > 2 else { return false }
    offsets.sort()
    let middle = offsets.count / 2
    // Between two middles the one nearer to our own clock decides: no majority says that we are wrong.
    let median =
      offsets.count % 2 == 1
      ? offsets[middle]
      : (offsets[middle - 1].magnitude < offsets[middle].magnitude ? offsets[middle - 1] : offsets[middle])
    return median.magnitude > UInt64(PeerTable.clockDriftMillisecondsMax)
  }

  /// The peer's wall clock minus ours, milliseconds.
  func clockOffset(_ peer: Peer, at now: Moment) -> Int64? {
    peer.clockReference.map {
      $0 + Int64(now.instant.nanoseconds / 1_000_000) - Int64(bitPattern: now.wallMilliseconds)
    }
  }
}

extension HelloRefusal {
  /// What an operator should read.
  var text: String {
    switch self {
    case .version: "no common protocol version; upgrade the older one"
    case .otherCluster: "it belongs to another cluster; give it its own --data and --initial-cluster"
    case .otherMembers: "its --initial-cluster differs; it must be identical on every node"
    case .unknownNode: "it is not in --initial-cluster"
    case .actorTaken: "its actor id is in use by another node"
    case .nameMismatch: "its --name does not fit its place in --initial-cluster"
    }
  }
}
