package import Cluster
package import Storage

// What operators see of anti-entropy: when each store was last compared with each of its other owners, what is being
// refilled and how long that will take, and what the scrub has found.

package struct AntiEntropyStatus: Equatable, Sendable {
  /// Between two rounds with a peer; 0: only when asked for.
  package var intervalMilliseconds: UInt64 = 0
  /// Every store that this node keeps with each of its other owners, in order of store, then of peer.
  package var pairs: [PairStatus] = []
  /// Stores that are being filled, or wait for that.
  package var refills: [RefillStatus] = []
  package var scrub = ScrubStatus()
  package init() {}
}

/// A store of this node, compared with one other owner's.
package struct PairStatus: Equatable, Sendable {
  package enum State: Equatable, Sendable {
    case idle
    case running
    /// The last round came to nothing, and why.
    case failed(reason: String)
  }

  package var store: StoreID
  package var peer: Member
  /// Since the last round that was completed; nil when none was since the start of the process.
  package var lastRoundMilliseconds: UInt64?
  /// Keys that this node lacked, or had older, when the last round was completed.
  package var differences: UInt64 = 0
  /// Since the start of the process.
  package var keysPulled: UInt64 = 0
  package var bytesPulled: UInt64 = 0
  package var state = State.idle
  package init(store: StoreID, peer: Member) {
    self.store = store
    self.peer = peer
  }
}

/// A store that is being filled from its other owners.
package struct RefillStatus: Equatable, Sendable {
  package var store: StoreID
  /// Whom it is read from now.
  package var source: Member?
  /// Keys that are here, and the source's; tombstones too. Bytes are those of the records.
  package var keys: UInt64 = 0
  package var keysTotal: UInt64 = 0
  package var bytes: UInt64 = 0
  package var bytesTotal: UInt64 = 0
  /// Since it began, in this life of the process.
  package var elapsedMilliseconds: UInt64 = 0
  /// Until it is done, as far as that can be told.
  package var etaMilliseconds: UInt64?
  /// Why nothing moves: whom, or what, it waits for.
  package var waiting: String?
  package init(store: StoreID) { self.store = store }
}

/// How far the reading of all sealed files is, and what it has found since the start of the process.
package struct ScrubStatus: Equatable, Sendable {
  /// Between the beginnings of two passes; 0: none.
  package var intervalMilliseconds: UInt64 = 0
  /// The file that is being read, under the node's directory; nil between passes.
  package var file: String?
  package var position: UInt64 = 0
  /// Of the pass under way.
  package var bytesDone: UInt64 = 0
  package var bytesTotal: UInt64 = 0
  package var passesDone: UInt64 = 0
  /// Since the last pass ended; nil when none has.
  package var lastPassMilliseconds: UInt64?
  /// Damages found by the scrub or by reads; those that peers have repaired; those that nobody had the record of.
  package var damagedFound: UInt64 = 0
  package var repaired: UInt64 = 0
  package var lost: UInt64 = 0
  /// Directories of stores that were set aside as damaged; nobody deletes them but the operator.
  package var setAside: [String] = []
  package init() {}
}

/// What rounds, refills and the scrub have done; totals since the start of the process.
package struct AntiEntropyCounters: Equatable, Sendable {
  /// Comparisons of a store with a peer's that were completed, and those that came to nothing.
  package var rounds: UInt64 = 0
  package var roundsFailed: UInt64 = 0
  /// Those completed that found the two stores different.
  package var roundsDiffering: UInt64 = 0
  /// Of stores, of segments and of leaves, by this node as the one who asks.
  package var rootsCompared: UInt64 = 0
  package var segmentsCompared: UInt64 = 0
  package var leavesCompared: UInt64 = 0
  package var keysPulled: UInt64 = 0
  package var bytesPulled: UInt64 = 0
  /// Pulled records that were asked for again because a purge came between (rule GUARD, Docs/DeleteProtocol.md).
  package var guarded: UInt64 = 0
  /// Stores that were filled and serve again.
  package var refills: UInt64 = 0
  package var scrubbedBytes: UInt64 = 0
  package var damages: UInt64 = 0
  package var repairs: UInt64 = 0
  package var losses: UInt64 = 0
  package init() {}
}

/// What became of a round that an operator asked for.
package struct AntiEntropyReport: Equatable, Sendable {
  /// A store that could not be compared with a peer's, and why; without a store: none could.
  package struct Obstacle: Equatable, Sendable {
    package var peer: Member
    package var store: StoreID?
    package var reason: String
    package init(peer: Member, store: StoreID?, reason: String) {
      self.peer = peer
      self.store = store
      self.reason = reason
    }
  }

  /// Stores that were compared with at least one peer's.
  package var stores = 0
  /// Pairs of a store and a peer; those of them that differed, and those that still do.
  package var compared = 0
  package var differing = 0
  package var stillDiffering = 0
  /// By this node; its peers have pulled what they lacked themselves.
  package var keysPulled: UInt64 = 0
  package var bytesPulled: UInt64 = 0
  package var obstacles: [Obstacle] = []
  package var milliseconds: UInt64 = 0
  package init() {}
}
