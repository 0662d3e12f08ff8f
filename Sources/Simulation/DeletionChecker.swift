package import Causality
package import Primitives

// What was deleted stays deleted, per key: told of the tombstones that are seen anywhere, of the deletes that clients
// were told are done, and of the tombstones that owners have forgotten. A read that was asked for after a delete was
// acknowledged returns no value below it, where their quorums meet; and once one owner has forgotten a tombstone no read
// at all does, if more owners answer it than may have forgotten more than they say. "Nothing there" is an answer that
// only a tombstone can give for a key that was written: somebody must have seen it.

package struct DeletionChecker: Sendable {
  private struct Fate: Sendable {
    /// Highest stamp of a tombstone that was seen, and of one that an owner has forgotten.
    var tombstone = Stamp.zero
    var forgotten = Stamp.zero
  }

  private let n: Int
  private let keys: Int
  private var fates: [Fate]
  /// Deletes, each with all nodes that must hold it because who loses it finds out that he has.
  private var acknowledged: AcknowledgedWrites

  package init(keys: Int, n: Int) {
    self.n = n
    self.keys = keys
    fates = Array(repeating: Fate(), count: keys)
    acknowledged = AcknowledgedWrites(keys: keys, n: n)
  }

  package mutating func saw(tombstoneOf key: Int, stamp: Stamp) {
    fates[key].tombstone = max(fates[key].tombstone, stamp)
  }

  /// An owner has forgotten this tombstone: every owner had it, or something newer, for good.
  package mutating func forgot(key: Int, stamp: Stamp) {
    saw(tombstoneOf: key, stamp: stamp)
    fates[key].forgotten = max(fates[key].forgotten, stamp)
  }

  package mutating func acknowledge(key: Int, stamp: Stamp, owners: Int) {
    if owners > 0 { acknowledged.acknowledge(key: key, stamp: stamp, nodes: owners) }
  }

  /// A machine has lost some of them and nobody can know.
  package mutating func loseAcknowledged() { acknowledged = AcknowledgedWrites(keys: keys, n: n) }

  /// The newest tombstone of this key that any owner has forgotten; zero when none has.
  package func forgotten(key: Int) -> Stamp { fates[key].forgotten }

  /// A read of so many owners that is asked for at this moment must return no value below this stamp.
  package func floor(key: Int, nodes: Int, thatForget: Int) -> Stamp {
    let forgotten = nodes > thatForget ? fates[key].forgotten : .zero
    return max(forgotten, acknowledged.floor(key: key, nodes: nodes))
  }

  /// Whether an answer that nothing is there may be given where the newest version is at `floor` or above.
  package func mayBeGone(key: Int, above floor: Stamp) -> Bool { fates[key].tombstone >= floor }
}

/// No read finds one value, a later one something else, and one later still the first value again: told of the reads of
/// all owners, in the order in which they end.
package struct OutcomeOrder: Sendable {
  private struct Outcome: Sendable {
    let stamp: Stamp
    /// When the first read ended that found it.
    let found: Instant
    /// When a read ended that was asked for after that and found something else.
    var superseded: Instant?
  }

  /// Values that are remembered of a key; older ones are forgotten first.
  static let outcomesMax = 64

  /// By key.
  private var outcomes: [[Outcome]]

  package init(keys: Int) { outcomes = Array(repeating: [], count: keys) }

  /// A machine has lost what it had not synced, or more: what was read before may be gone.
  package mutating func lost() { outcomes = Array(repeating: [], count: outcomes.count) }

  /// A read of all owners has ended. Returns when something else was found, if its value had been found before that.
  /// - Parameter value: The stamp of the value that it found; nil when nothing is there.
  package mutating func read(key: Int, value: Stamp?, invoked: Instant, ended: Instant) -> Instant? {
    for index in outcomes[key].indices where outcomes[key][index].stamp != value {
      if outcomes[key][index].found < invoked, outcomes[key][index].superseded == nil {
        outcomes[key][index].superseded = ended
      }
    }
    guard let value else { return nil }
    if let known = outcomes[key].first(where: { $0.stamp == value }) {
      guard let superseded = known.superseded, superseded < invoked else { return nil }
      return superseded
    }
    if outcomes[key].count == OutcomeOrder.outcomesMax { outcomes[key].removeFirst() }
    outcomes[key].append(Outcome(stamp: value, found: ended))
    return nil
  }
}
