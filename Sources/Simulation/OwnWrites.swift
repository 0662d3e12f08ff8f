package import Causality

// What each client has written and been told is stored, by the process that it asked: as long as that process lives, a
// read of the same client through it must find it, or something newer, where the quorums of the two must meet. A machine
// that has lost something since the write was asked for counts as one copy less.

package struct OwnWrites: Sendable {
  private struct Place: Hashable {
    let asker: Operation.Asker
    let key: Int
  }
  private struct Own {
    let stamp: Stamp
    let nodes: Int
    /// Position in the history: what a machine loses later, it may have lost of this write.
    let asked: Int
  }

  private let n: Int
  private var newest: [Place: Own] = [:]
  /// By machine: the last operation that was asked for before it lost something; 0: it never did.
  private var lastLoss: [Int] = []

  package init(n: Int) { self.n = n }

  /// A machine loses what it has not synced, or more, after operation `number` was asked for.
  package mutating func lost(machine: Int, after number: Int) {
    while lastLoss.count <= machine { lastLoss.append(0) }
    lastLoss[machine] = number
  }

  /// A write was acknowledged and stood on `nodes` nodes then.
  package mutating func acknowledge(_ operation: Operation, stamp: Stamp, nodes: Int) {
    guard let asker = operation.asker else { return }
    let place = Place(asker: asker, key: operation.key)
    if let own = newest[place], own.stamp > stamp { return }
    newest[place] = Own(stamp: stamp, nodes: nodes, asked: operation.number)
  }

  /// The stamp below which a read by `asker` of `nodes` nodes may find nothing; nil when nothing is promised. A write
  /// that follows counts for itself: the newest one alone is looked at.
  package func floor(key: Int, of asker: Operation.Asker?, nodes: Int) -> Stamp? {
    guard let asker, let own = newest[Place(asker: asker, key: key)] else { return nil }
    let losses = lastLoss.count { $0 >= own.asked }
    return own.nodes - losses + nodes > n ? own.stamp : nil
  }
}
