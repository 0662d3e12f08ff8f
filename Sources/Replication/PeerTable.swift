import Causality
import Cluster
import Messages
import Primitives

// Which of the other members can be talked to, and what their clocks say. A peer is up when this node's connection to
// it stands, each has accepted the other's HELLO of its current boot, and it answers, which `FailureDetector` judges.
// Nothing copies the table: every message asks it.

struct PeerTable: ~Copyable, Sendable {
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
    var helloSent: Instant?
    var lastPingSequence: UInt64 = 0
    /// The last states that were heard, of which boot: one that greets anew goes on counting.
    var lastStates: (bootID: UInt64, sequence: UInt64) = (0, 0)
    /// A process that gave this member's name and was refused.
    var impostorBootID: UInt64 = 0
    /// The HELLO that passed last, and the highest edition that its boot has told.
    var accepted: Hello?
    var edition: UInt64 = 0
    var displaced: DisplacedBoot?
    /// A boot that says it is this member, from an older copy of its directory: it is another process if the member's own
    /// boot answers a ping of this sequence.
    var doubted: (bootID: UInt64, member: UInt64, sequence: UInt64)?
    /// A boot that was found to be another process beside the member's (0: none).
    var cloneBootID: UInt64 = 0
    /// When the peer, which still waited, was last told about our stores for asking.
    var statesAnswered: Instant?
    /// The peer's wall clock minus our monotonic clock, milliseconds, when last told, and when that was.
    var clockReference: (milliseconds: Int64, told: Instant)?
    /// The ping whose answer is to tell the peer's clock, and when it was sent.
    var clockProbe: (sequence: UInt64, sent: Instant)?
    /// Writes that the peer was sent and that nobody has heard of yet, and the bytes of their values.
    var awaitedWrites = 0
    var awaitedBytes = 0
    /// What `isUp` was at the last review: the node learns of changes by review, so that both sides of a change run.
    var wasUp = false
    /// It is not up because it does not answer, and is not declared down yet.
    var isSuspect = false
    var downReason = "not connected yet"

    /// Each has accepted the other: it can be asked.
    var isGreeted: Bool {
      // Asked at every tick: a comparison would copy the HELLO.
      guard linked, welcomed, refusal == nil, rejected == nil, case .some = hello else { return false }
      return true
    }
  }

  /// The boot whose place another one has taken, as long as it may be that it lives: it would answer a ping of this
  /// sequence.
  struct DisplacedBoot: Sendable {
    let hello: Hello
    let edition: UInt64
    let lastStates: (bootID: UInt64, sequence: UInt64)
    let sequence: UInt64
    let at: Instant
  }

  /// What a review found.
  enum Change: Equatable {
    case up(NodeID)
    /// Connection or handshake are gone.
    case down(NodeID, reason: String)
    /// It does not answer any more: it is routed around.
    case suspect(NodeID, reason: String)
    /// A suspect of which nothing was heard for long.
    case declaredDown(NodeID, reason: String)
    /// Its connection is to be made anew.
    case reconnect(NodeID)
  }

  private(set) var peers: [Peer]
  var detector: FailureDetector
  /// Of the peers. They are few, and asked for several times with every message: a look along them is shorter than a hash.
  private let ids: [NodeID]

  init(
    members: [Member], self own: NodeID, suspectAfterMilliseconds: UInt64, generator: inout SeededGenerator
  ) {
    peers = members.filter { $0.id != own }.sorted { $0.id < $1.id }.map { Peer(member: $0) }
    detector = FailureDetector(
      peers: peers.count, suspectAfterMilliseconds: suspectAfterMilliseconds, generator: &generator)
    ids = peers.map { $0.member.id }
  }

  func index(_ node: NodeID) -> Int? { ids.firstIndex(of: node) }

  subscript(_ index: Int) -> Peer {
    _read { yield peers[index] }
    _modify { yield &peers[index] }
  }

  /// As of the last review.
  func isUp(_ node: NodeID) -> Bool {
    guard let index = index(node) else { return false }
    return peers[index].wasUp
  }

  mutating func awaitWrite(_ node: NodeID, bytes: Int) {
    guard let index = index(node) else { return }
    peers[index].awaitedWrites += 1
    peers[index].awaitedBytes += bytes
  }

  mutating func writeAnswered(_ node: NodeID, bytes: Int) {
    guard let index = index(node) else { return }
    peers[index].awaitedWrites -= 1
    peers[index].awaitedBytes -= bytes
  }

  var upCount: Int { peers.reduce(0) { $0 + ($1.wasUp ? 1 : 0) } }

  /// Why the peer is not up at `now`, or nil when it is.
  private func obstacle(_ index: Int, at now: Instant) -> String? {
    // Asked at every tick: nothing of the peer is copied.
    guard peers[index].linked else { return "not connected" }
    if let refusal = peers[index].refusal { return "it refused this node: \(refusal.text)" }
    if let rejected = peers[index].rejected { return "this node refused it: \(rejected.text)" }
    if detector.state(index) == .reachable { return peers[index].isGreeted ? nil : "no handshake yet" }
    return (peers[index].isGreeted ? "" : "no handshake yet, ") + silence(index, at: now)
  }

  /// What is known of a peer that does not answer.
  private func silence(_ index: Int, at now: Instant) -> String {
    var text = "no answer for \(PeerTable.duration(detector.waitMilliseconds(index, at: now) ?? 0))"
    if detector.isHeard(index, at: now) { text += ", though it is heard" }
    if let helper = detector.helper(of: index, at: now) { text += "; \(peers[helper].member.name) reaches it" }
    return text
  }

  private static func duration(_ milliseconds: UInt64) -> String {
    switch milliseconds {
    case ..<1000: "\(milliseconds) ms"
    case ..<10_000: "\(milliseconds / 1000).\(milliseconds % 1000 / 100) s"
    default: "\(milliseconds / 1000) s"
    }
  }

  /// Compares what is with what was, and returns the changes, in id order.
  mutating func review(at now: Instant) -> [Change] {
    for index in peers.indices {
      if peers[index].isGreeted { detector.watch(index, at: now) } else { detector.unwatch(index) }
    }
    let found = detector.review(at: now)
    var changes: [Change] = []
    for index in peers.indices {
      let obstacle = obstacle(index, at: now)
      if let obstacle { peers[index].downReason = obstacle }
      peers[index].isSuspect = peers[index].isGreeted && detector.state(index) == .suspect
      guard (obstacle == nil) != peers[index].wasUp else { continue }
      peers[index].wasUp = obstacle == nil
      let node = peers[index].member.id
      if let obstacle {
        changes.append(peers[index].isSuspect ? .suspect(node, reason: obstacle) : .down(node, reason: obstacle))
      } else {
        changes.append(.up(node))
      }
    }
    for change in found {
      switch change {
      case .suspected: break
      case .declaredDown(let index):
        changes.append(.declaredDown(peers[index].member.id, reason: peers[index].downReason))
      case .reconnect(let index): changes.append(.reconnect(peers[index].member.id))
      }
    }
    return changes
  }

  // MARK: - Clocks (rule CLOCKS, Docs/DeleteProtocol.md)

  /// A node farther than this from the median of all clocks does not issue stamps.
  static let clockDriftMillisecondsMax: Int64 = 30_000

  /// True when this node's wall clock disagrees with the median of all clocks that are known, its own among them. The
  /// references are kept against the monotonic clock, so that a jump of our own wall clock shows at once.
  func clockIsInDoubt(at now: Moment) -> Bool {
    clockError(at: now).magnitude > UInt64(PeerTable.clockDriftMillisecondsMax)
  }

  /// What the clocks of the others say that is missing in ours, milliseconds; 0 where they are too few to say.
  private func clockError(at now: Moment) -> Int64 {
    var offsets: [Int64] = [0]
    for peer in peers {
      if let offset = clockOffset(peer, at: now) { offsets.append(offset) }
    }
    guard offsets.count > 2 else { return 0 }
    offsets.sort()
    let middle = offsets.count / 2
    // Between two middles the one nearer to our own clock decides: no majority says that we are wrong.
    return offsets.count % 2 == 1
      ? offsets[middle]
      : (offsets[middle - 1].magnitude < offsets[middle].magnitude ? offsets[middle - 1] : offsets[middle])
  }

  /// The time by which it is judged whether a value has expired: of our own clock, or, where that is in doubt, of the
  /// others'.
  func judgingMilliseconds(at now: Moment) -> UInt64 {
    let error = clockError(at: now)
    guard error.magnitude > UInt64(PeerTable.clockDriftMillisecondsMax) else { return now.wallMilliseconds }
    return error > 0
      ? now.wallMilliseconds &+ error.magnitude : now.wallMilliseconds - min(now.wallMilliseconds, error.magnitude)
  }

  /// Whether our clock is good enough for what cannot be taken back (rule EXPIRY): it is not in doubt, and a majority of
  /// all nodes, ourselves included, are no farther from it than two good clocks can be.
  func clockIsTrusted(at now: Moment) -> Bool {
    let agreeing = peers.count { clockOffset($0, at: now).map { $0.magnitude <= Expiry.clocksApartMax } ?? false }
    return 2 * (agreeing + 1) > peers.count + 1 && !clockIsInDoubt(at: now)
  }

  /// What a peer told of its clock is forgotten after so long: our monotonic clock, which it is kept against, runs up to
  /// 500 parts per million fast or slow, two seconds in an hour, and says nothing after a month of silence.
  static let clockReferenceMillisecondsMax: UInt64 = 3_600_000

  /// The peer's wall clock minus ours, milliseconds; nil when it has not told it for too long.
  func clockOffset(_ peer: Peer, at now: Moment) -> Int64? {
    guard let reference = peer.clockReference,
      now.instant.milliseconds(since: reference.told) <= PeerTable.clockReferenceMillisecondsMax
    else { return nil }
    return reference.milliseconds + Int64(now.instant.nanoseconds / 1_000_000)
      - Int64(bitPattern: now.wallMilliseconds)
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
    case .olderCopy: "its data directory is older than what it had told before; its stores are made anew"
    case .clone: "another process of this member runs: stop one of them, and never start a copy of a data directory"
    }
  }
}
