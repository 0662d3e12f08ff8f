import Messages
import Primitives

// How far a write has come: which distinct nodes hold it, which hold it durably, and who keeps it for whom. The owners
// come first; where one cannot take the write now, a fallback joins and keeps it as a hint (a sloppy quorum, after
// Dynamo, DeCandia et al. 2007). Distinct nodes are counted, never copies: no node is asked twice, and what the
// coordinator keeps for others besides its own copy counts for nothing.

/// Why a node does not take part in an operation; put into words only when a client must be told.
enum Obstacle: Equatable, Sendable {
  case down
  case wentDown
  /// It has become suspect.
  case silent
  case refused(Refusal)
  /// As many writes as may wait for it wait for it.
  case busy
  /// It has purged the key's tombstone, and may not take an older write.
  case purged
  /// It has purged something newer, and could not ask all other owners what they hold.
  case unsettled

  /// It lacks the write and will want it: a hint is kept for it.
  var wantsHint: Bool {
    switch self {
    case .purged, .refused(.wrongConfig), .refused(.notOwner): false
    // A hint would only be where the tombstone may not be; the owner gets it by the feed of those that took it.
    case .refused(.tombstonesFull): false
    case .down, .wentDown, .silent, .busy, .unsettled, .refused: true
    }
  }
}

struct WriteProgress: Sendable {
  let quorum: ResolvedWrite
  /// The owners, then the fallbacks in the order in which they joined: at most `nodesMax`.
  private(set) var nodes: [NodeID]
  private let ownerCount: Int
  /// By index into `nodes`.
  private var applied: UInt64 = 0
  private var synced: UInt64 = 0
  private var failed: UInt64 = 0
  /// Whom the write was sent to.
  private var sent: UInt64 = 0
  /// Owners that somebody keeps a hint for, or will.
  private var hinted: UInt64 = 0
  /// Owners whose hint the coordinator itself is to keep.
  private var owed: UInt64 = 0
  /// The owner that each fallback keeps the write for.
  private var wards: [Int] = []
  private(set) var obstacles: [(node: NodeID, obstacle: Obstacle)] = []

  static let nodesMax = 64

  init(owners: [NodeID], quorum: ResolvedWrite) {
    invariant(owners.count <= WriteProgress.nodesMax, "\(owners.count) owners")
    nodes = owners
    ownerCount = owners.count
    self.quorum = quorum
  }

  var owners: ArraySlice<NodeID> { nodes[..<ownerCount] }

  func isOwner(_ node: NodeID) -> Bool { owners.contains(node) }

  // MARK: - The verdict

  private var all: UInt64 { nodes.count == 64 ? .max : 1 << UInt64(nodes.count) - 1 }
  private var ownerMask: UInt64 { ownerCount == 64 ? .max : 1 << UInt64(ownerCount) - 1 }

  /// Distinct nodes that hold the write; of them owners; and those that hold it durably.
  var appliedCount: Int { applied.nonzeroBitCount }
  var ownersApplied: Int { (applied & ownerMask).nonzeroBitCount }
  var syncedCount: Int { synced.nonzeroBitCount }

  /// Who holds it or still may.
  var mayApply: Int { (applied | all & ~failed).nonzeroBitCount }
  var ownersMayApply: Int { ((applied | all & ~failed) & ownerMask).nonzeroBitCount }
  var maySync: Int { (synced | all & ~failed).nonzeroBitCount }

  var verdict: QuorumTally.Verdict {
    if appliedCount >= quorum.w, syncedCount >= quorum.dw, ownersApplied >= quorum.pw { return .reached }
    return mayApply < quorum.w || maySync < quorum.dw || ownersMayApply < quorum.pw ? .impossible : .waiting
  }

  /// Nodes that will not lose it again with their power, where that is asked of any; else those that hold it.
  private var kept: UInt64 { quorum.dw > 0 ? synced : applied }

  /// Everybody who was asked has taken the write for good or cannot.
  var isSettled: Bool { kept | failed == all }

  /// A fallback holds the write and is needed for w or dw.
  var isSloppy: Bool { ownersApplied < quorum.w || (synced & ownerMask).nonzeroBitCount < quorum.dw }

  // MARK: - What nodes answer

  private func bit(_ node: NodeID) -> UInt64? {
    nodes.firstIndex(of: node).map { 1 << UInt64($0) }
  }

  /// Neither taken nor refused.
  func isOpen(_ node: NodeID) -> Bool { bit(node).map { (applied | failed) & $0 == 0 } ?? false }

  /// Nodes that were sent the write and have not said that they keep it or that they cannot.
  var awaited: [NodeID] { nodes(in: sent & ~kept & ~failed) }

  func isAwaited(_ node: NodeID) -> Bool { bit(node).map { sent & ~kept & ~failed & $0 != 0 } ?? false }

  /// The node holds the write, or something newer. True when it is not awaited any longer and was until now.
  mutating func take(_ node: NodeID, synced isSynced: Bool) -> Bool {
    guard let bit = bit(node) else { return false }
    let wasAwaited = isAwaited(node)
    applied |= bit
    if isSynced { synced |= bit }
    return wasAwaited && !isAwaited(node)
  }

  mutating func noteApplied(_ node: NodeID) { if let bit = bit(node) { applied |= bit } }
  mutating func noteSynced(_ node: NodeID) { if let bit = bit(node) { synced |= bit } }

  /// The node takes no further part; what it has taken stands. True when it lacks the write, or may lose it again with
  /// its power.
  mutating func fail(_ node: NodeID, _ obstacle: Obstacle) -> Bool {
    guard let bit = bit(node), failed & bit == 0 else { return false }
    failed |= bit
    if applied & bit == 0 { obstacles.append((node, obstacle)) }
    return kept & bit == 0
  }

  func wasSent(_ node: NodeID) -> Bool { bit(node).map { sent & $0 != 0 } ?? false }

  /// The next node that may still take the write and was not sent it, and the owner that it is given it for. It counts
  /// as sent from here on.
  mutating func nextToSend(besides own: NodeID) -> (node: NodeID, owner: NodeID)? {
    var rest = all & ~sent & ~applied & ~failed
    while rest != 0 {
      let index = rest.trailingZeroBitCount
      rest &= rest - 1
      guard nodes[index] != own else { continue }
      sent |= 1 << UInt64(index)
      return (nodes[index], index < ownerCount ? nodes[index] : nodes[wards[index - ownerCount]])
    }
    return nil
  }

  private func nodes(in mask: UInt64) -> [NodeID] {
    var found: [NodeID] = []
    var rest = mask
    while rest != 0 {
      found.append(nodes[rest.trailingZeroBitCount])
      rest &= rest - 1
    }
    return found
  }

  // MARK: - Hints

  /// The owner whose write this node was given: itself, or the one that it stands in for as a fallback.
  func ward(of node: NodeID) -> NodeID? {
    guard let index = nodes.firstIndex(of: node) else { return nil }
    return index < ownerCount ? node : nodes[wards[index - ownerCount]]
  }

  /// An owner that nobody keeps the write for.
  func lacksHint(_ owner: NodeID) -> Bool { bit(owner).map { hinted & $0 == 0 } ?? false }

  /// `fallback` is asked to keep the write for `owner`. False, and no effect, when there are too many nodes.
  mutating func join(_ fallback: NodeID, for owner: NodeID) -> Bool {
    guard nodes.count < WriteProgress.nodesMax, !nodes.contains(fallback), let ward = nodes.firstIndex(of: owner) else {
      return false
    }
    nodes.append(fallback)
    wards.append(ward)
    hinted |= 1 << UInt64(ward)
    return true
  }

  /// The coordinator keeps the hint itself; that counts for nothing.
  mutating func owe(_ owner: NodeID) {
    guard let bit = bit(owner) else { return }
    hinted |= bit
    owed |= bit
  }

  /// Nobody keeps it after all.
  mutating func loseHint(_ owner: NodeID) { if let bit = bit(owner) { hinted &= ~bit } }

  /// Hints that the coordinator is to keep, and has not kept; they count as kept from here on.
  mutating func takeOwed() -> [NodeID] {
    defer { owed = 0 }
    return owed == 0 ? [] : nodes(in: owed)
  }

  func fallbackHolds(for owner: NodeID) -> Bool {
    guard let ward = nodes.firstIndex(of: owner) else { return false }
    return wards.indices.contains { wards[$0] == ward && kept & 1 << UInt64(ownerCount + $0) != 0 }
  }
}
