package import Causality
package import Primitives
package import Storage

// What owners of a store say to each other of it: STATE and FEED of the delete protocol are one exchange. A state tells
// how far its sender is, and how much of the addressee's tombstones it holds durably, which is its acknowledgement of
// them. The answer says whether that fits to what the addressee remembers, and brings the tombstones that follow.

/// Bounds of these messages.
package enum FeedLimits {
  /// Tombstones of one store in one answer.
  package static let entriesMax = 8192
  /// Stores of which one answer brings tombstones, and stores that it judges.
  package static let storesMax = 65_535
  /// An answer takes no more tombstones when it holds this many bytes of them.
  package static let pageBytes = 128 << 10
}

/// What an owner says of stores that it shares with the addressee, and its request for their tombstones. One that is not
/// newer than the last seen of that boot, or of another boot than the accepted one, is ignored (rule STATE ORDER,
/// Docs/DeleteProtocol.md).
package struct StoreStates: Equatable, Sendable {
  package var bootID: UInt64
  /// The boot of the addressee that this is said to: what was said to an earlier one says nothing of this one's stores.
  package var yourBootID: UInt64
  package var sequence: UInt64
  package var states: [StoreState]
  package init(bootID: UInt64, yourBootID: UInt64, sequence: UInt64, states: [StoreState]) {
    self.bootID = bootID
    self.yourBootID = yourBootID
    self.sequence = sequence
    self.states = states
  }
}

/// What an owner says of one of its stores. Head, floor and cursor are durable before they are told.
package struct StoreState: Equatable, Sendable {
  package var store: StoreID
  package var incarnation: Identity128
  package var configID: UInt64
  package var role: StoreRole
  /// Loading, empty, and holding no promise of anybody.
  package var isNew: Bool
  /// What it held before it ceased to serve is there, at least in part: a store that has nothing is not to go on alone.
  package var holds: Bool
  /// The incarnation of the addressee that this store has recorded, `Identity128.none` where it has none.
  package var recognizes: Identity128
  /// The highest position in the feed of this store.
  package var tsnHead: UInt64
  /// The highest stamp of any tombstone that it has purged.
  package var floor: Stamp
  /// How much it holds of the addressee's feed, and of which incarnation of that: the request for what follows.
  package var cursor: Cursor

  package struct Cursor: Equatable, Sendable {
    package var incarnation: Identity128
    package var tsn: UInt64
    package init(incarnation: Identity128, tsn: UInt64) {
      self.incarnation = incarnation
      self.tsn = tsn
    }
    package static let none = Cursor(incarnation: .none, tsn: 0)
  }

  package init(
    store: StoreID, incarnation: Identity128, configID: UInt64 = 0, role: StoreRole, isNew: Bool,
    holds: Bool = true, recognizes: Identity128, tsnHead: UInt64 = 0, floor: Stamp = .zero, cursor: Cursor = .none
  ) {
    self.store = store
    self.incarnation = incarnation
    self.configID = configID
    self.role = role
    self.isNew = isNew
    self.holds = holds
    self.recognizes = recognizes
    self.tsnHead = tsnHead
    self.floor = floor
    self.cursor = cursor
  }
}

/// The answer to `StoreStates`.
package struct StoreStatesReply: Equatable, Sendable {
  package var bootID: UInt64
  /// The boot that said it: an answer to an earlier one is ignored.
  package var yourBootID: UInt64
  /// The number of what is answered.
  package var answers: UInt64
  /// The number of the last states that the sender has told of itself: those that come after this answer and were sent
  /// before it say less than it does, and are ignored (rule STATE ORDER).
  package var follows: UInt64
  /// Of every store that was told of and that the sender has.
  package var verdicts: [StoreVerdict]
  package var feeds: [StoreFeed]
  package init(
    bootID: UInt64, yourBootID: UInt64, answers: UInt64, follows: UInt64, verdicts: [StoreVerdict], feeds: [StoreFeed]
  ) {
    self.bootID = bootID
    self.yourBootID = yourBootID
    self.answers = answers
    self.follows = follows
    self.verdicts = verdicts
    self.feeds = feeds
  }
}

/// Whether what was told of a store fits to what the sender remembers of it (rule IDENT, Docs/DeleteProtocol.md).
package struct StoreVerdict: Equatable, Sendable {
  package var store: StoreID
  /// Of the store that was judged.
  package var incarnation: Identity128
  package var judgement: Judgement

  package enum Judgement: UInt8, Sendable {
    case ok = 1
    case wrongConfig
    // What went backwards.
    case head, floor, cursor
    /// Its feed ends before what the sender has read of it.
    case feed
    /// It serves, and another one served before it.
    case incarnation
    /// The same, and the sender's own store has not been found whole: say it again.
    case undecided

    package var isRegressed: Bool {
      switch self {
      case .ok, .wrongConfig, .undecided: false
      case .head, .floor, .cursor, .feed, .incarnation: true
      }
    }
  }

  package init(store: StoreID, incarnation: Identity128, judgement: Judgement) {
    self.store = store
    self.incarnation = incarnation
    self.judgement = judgement
  }
}

/// Tombstones of the sender's store, durable there, in the order of its feed.
package struct StoreFeed: Equatable, Sendable {
  package var store: StoreID
  /// Of the sender's store.
  package var incarnation: Identity128
  /// The entries follow this position, and are all there are up to `next`.
  package var after: UInt64
  package var next: UInt64
  /// Where the feed ends now.
  package var head: UInt64
  package var entries: [FeedEntry]
  package init(
    store: StoreID, incarnation: Identity128, after: UInt64, next: UInt64, head: UInt64, entries: [FeedEntry]
  ) {
    self.store = store
    self.incarnation = incarnation
    self.after = after
    self.next = next
    self.head = head
    self.entries = entries
  }
}
