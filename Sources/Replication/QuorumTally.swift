package import Primitives

// Counts distinct nodes, not replies: a node that answers twice counts once, and a node that is not a replica of the
// key never counts.

/// Whether enough of a key's replicas have accepted.
package struct QuorumTally: Equatable, Sendable {
  package enum Verdict: Equatable, Sendable { case waiting, reached, impossible }

  package private(set) var replicas: [NodeID]
  /// How many distinct replicas must accept.
  package let wanted: Int
  private var acceptedMask: UInt64 = 0
  private var refusedMask: UInt64 = 0

  /// At most 64 replicas.
  package init(replicas: [NodeID], wanted: Int) {
    invariant(replicas.count <= 64, "\(replicas.count) replicas")
    self.replicas = replicas
    self.wanted = wanted
  }

  package var accepted: Int { acceptedMask.nonzeroBitCount }
  package var refused: Int { refusedMask.nonzeroBitCount }

  package var verdict: Verdict {
    if accepted >= wanted { return .reached }
    return replicas.count - refused < wanted ? .impossible : .waiting
  }

  /// Takes note of one node's answer. An acceptance stands whatever follows it; answers of other nodes change nothing.
  @discardableResult
  package mutating func record(_ node: NodeID, accepted ok: Bool) -> Verdict {
    guard let index = replicas.firstIndex(of: node) else { return verdict }
    let bit: UInt64 = 1 << UInt64(index)
    if ok {
      acceptedMask |= bit
      refusedMask &= ~bit
    } else if acceptedMask & bit == 0 {
      refusedMask |= bit
    }
    return verdict
  }

  /// One more node may answer.
  package mutating func join(_ node: NodeID) {
    guard replicas.count < 64, !replicas.contains(node) else { return }
    replicas.append(node)
  }

  /// The node has not accepted after all, and will not.
  package mutating func withdraw(_ node: NodeID) {
    guard let index = replicas.firstIndex(of: node) else { return }
    acceptedMask &= ~(1 << UInt64(index))
    refusedMask |= 1 << UInt64(index)
  }

  /// The node has been asked once more: what it said does not count until it answers.
  package mutating func reopen(_ node: NodeID) {
    guard let index = replicas.firstIndex(of: node) else { return }
    acceptedMask &= ~(1 << UInt64(index))
    refusedMask &= ~(1 << UInt64(index))
  }

  /// True when this replica has said neither yes nor no.
  package func isOpen(_ node: NodeID) -> Bool {
    guard let index = replicas.firstIndex(of: node) else { return false }
    return (acceptedMask | refusedMask) & (1 << UInt64(index)) == 0
  }

  package func hasAccepted(_ node: NodeID) -> Bool {
    guard let index = replicas.firstIndex(of: node) else { return false }
    return acceptedMask & (1 << UInt64(index)) != 0
  }
}
