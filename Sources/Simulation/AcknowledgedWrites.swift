package import Causality

// What clients were told is stored, per key: the highest stamp for each number of nodes that keep it. From it follows
// how new a read must be: a read of r nodes meets every write that at least n - r + 1 nodes keep. Order is by stamp,
// never by real time: two puts through clocks that disagree may be acknowledged in one order and stand in the other.

package struct AcknowledgedWrites: Sendable {
  private let n: Int
  /// [key][nodes that keep it]
  private var highest: [[Stamp]]

  package init(keys: Int, n: Int) {
    self.n = n
    highest = Array(repeating: Array(repeating: .zero, count: n + 1), count: keys)
  }

  /// A put or delete of `key` was acknowledged and `nodes` nodes keep it.
  package mutating func acknowledge(key: Int, stamp: Stamp, nodes: Int) {
    let nodes = min(nodes, n)
    if stamp > highest[key][nodes] { highest[key][nodes] = stamp }
  }

  /// The stamp below which nothing that `nodes` nodes are asked may be told as the newest; `Stamp.zero` without one.
  package func floor(key: Int, nodes: Int) -> Stamp {
    let meets = max(1, n - min(nodes, n) + 1)
    return highest[key][meets...].max() ?? .zero
  }
}
