import Messages
import Primitives
import Storage

// How far this node and each other owner of a store are with each other: what was said and answered, what the other has
// judged, how much of its tombstones is here, and which of ours it has acknowledged. In memory alone; what must outlive
// the process (cursors and promises) the engine keeps.

/// A store of this node and one other owner of it.
struct FeedPair: Sendable {
  let store: StoreID
  let node: NodeID

  // What this node says
  /// As the peer's current boot has last answered it.
  var answered: StoreState?
  /// What the peer thinks of our store, in this boot of ours.
  var verdict: StoreVerdict?

  // What the peer says, in its current boot
  /// What this node thinks of its store.
  var judged: StoreVerdict?
  /// Where its feed ends, as far as it has told.
  var head: UInt64 = 0
}

/// What is on its way to one peer.
struct FeedLine: Sendable {
  struct Question: Sendable {
    let sequence: UInt64
    let asked: Instant
    /// By pair.
    var said: [(pair: Int, state: StoreState)]
  }

  let node: NodeID
  var question: Question?
  /// Nothing is said before this time, except that a role or an incarnation has changed.
  var next: Instant
}

struct FeedTable: Sendable {
  /// What is not answered is said again after this time, milliseconds.
  static let patienceMilliseconds: UInt64 = 1000

  /// Sorted by store, then by node.
  var pairs: [FeedPair] = []
  /// Sorted by node.
  var lines: [FeedLine] = []
  /// Of the states that this node has sent, the last one's.
  var sequence: UInt64 = 0
  /// Active stores that count for nothing until the owners that are up have found their promises whole.
  var unvalidated: Set<StoreID> = []

  func index(_ store: StoreID, _ node: NodeID) -> Int? {
    var low = 0
    var high = pairs.count
    while low < high {
      let middle = (low + high) / 2
      let isBefore = pairs[middle].store < store || (pairs[middle].store == store && pairs[middle].node < node)
      if isBefore { low = middle + 1 } else { high = middle }
    }
    return low < pairs.count && pairs[low].store == store && pairs[low].node == node ? low : nil
  }

  func line(_ node: NodeID) -> Int? { lines.firstIndex { $0.node == node } }

  /// The peer began a new boot: what was said to the old one, and what that said of itself, does not count. What that has
  /// found of our stores does: they have only grown since.
  mutating func forget(_ node: NodeID) {
    for pair in pairs.indices where pairs[pair].node == node {
      pairs[pair].answered = nil
      pairs[pair].judged = nil
      pairs[pair].head = 0
    }
    if let line = line(node) { lines[line].question = nil }
  }
}
