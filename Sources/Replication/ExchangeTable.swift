import Messages
import Primitives
import Storage

// How far anti-entropy is: per store and other owner, per peer, and what is under way. In memory alone: a crash costs
// the round. A *round* compares a store with one peer's and pulls what is missing here; an *exchange* is one pass of it
// over the segments that differ. A round ends when the roots are equal, or when neither side finds anything more.

/// A store of this node and one other owner of it.
struct ExchangePair: Sendable {
  enum Phase: Equatable, Sendable {
    case idle
    /// It differs, and waits for its turn.
    case due
    case running
    /// What could be found here is here. The peer may still be pulling what it lacks, so it is looked at again.
    case settling
  }

  let store: StoreID
  let node: NodeID
  var phase = Phase.idle
  /// When this round found that something differs.
  var began: Instant?
  /// Of this round, and what they pulled.
  var passes = 0
  var found: UInt64 = 0
  var foundBytes: UInt64 = 0
  /// Own root and the peer's, when they were last seen to differ.
  var roots: [TreeHash]?
  var settlingSince: Instant?
  var lookAt: Instant?
  /// When a root of the peer's that differed last began a round here.
  var invited: Instant?
  /// Where the store's feed ended when this round began; and when the last one began that ended well (rule PURGE).
  var begunAt: UInt64 = 0
  var covered: UInt64 = 0

  // What operators see.
  var lastRound: Instant?
  var differences: UInt64 = 0
  var keysPulled: UInt64 = 0
  var bytesPulled: UInt64 = 0
  var failure: String?

  mutating func beginRound(at now: Instant) {
    phase = .due
    began = now
    passes = 0
    found = 0
    foundBytes = 0
    roots = nil
    settlingSince = nil
    lookAt = nil
  }
}

/// A question on its way, until it is answered.
package struct ExchangeQuestion: Sendable {
  /// One that is not answered is asked again after this time, milliseconds.
  package static let patienceMilliseconds: UInt64 = 5000
  /// One that was refused for overload is asked again after this time.
  static let pauseMilliseconds: UInt64 = 500
  /// Asked so often, it has failed.
  static let triesMax = 4

  let operation: UInt64
  var body: PeerBody
  var asked: Instant
  var tries = 1
  /// Refused for the time being.
  var pausedUntil: Instant?

  /// When something is to be done about it.
  var due: Instant { pausedUntil ?? asked.adding(milliseconds: Self.patienceMilliseconds) }
}

/// Comparing roots with one peer: one question at a time.
struct RootsLine: Sendable {
  let node: NodeID
  /// When the next round begins; nil: when somebody asks for it.
  var next: Instant?
  /// Pairs whose roots are to be asked, in order.
  var toAsk: [Int] = []
  var question: ExchangeQuestion?
  /// What the question is about.
  var asked: [Int] = []
  var beginsRound = false
}

/// Somebody who asked for a round and waits for its end.
struct RoundWaiter: Sendable {
  let session: SessionID
  let began: Instant
  /// Pairs that are not done, sorted.
  var pending: [Int]
  /// Of them, those whose round was under way when this one was asked for: they are compared once more after it.
  var joined: Set<Int> = []
  /// Stores of pairs that are done, failed ones aside.
  var compared: Set<StoreID> = []
  var report = AntiEntropyReport()
}

/// One pass over the segments of a store that differ at a peer.
struct Exchange: Sendable {
  /// Names it to the disk.
  let number: UInt64
  let pair: Int
  /// The store is loading: everything is wanted, and digests are not relied on.
  let isRefill: Bool
  /// Tombstones travel another way (rule AAE).
  let valuesOnly: Bool
  /// Of the store here: another life of it has nothing to do with this.
  let incarnation: Identity128
  var question: ExchangeQuestion?
  var hasSegments = false
  /// Still to be looked at, the next one last; and the one that is.
  var segments: [Int] = []
  var segment = 0

  /// The peer's slots of this segment, as far as they are known, and the next one to compare with ours.
  var slots: [SlotDigest] = []
  var nextSlot = 0
  var isHidden = false
  /// Where the next page of its slots begins.
  var slotsFrom: UInt64?
  /// Where the next page of its records begins, when we have none of this segment.
  var recordsFrom: UInt64?

  /// Hashes to be asked for, ascending; so many of them are.
  var items: [PullItem] = []
  var itemsAsked = 0
  /// To be asked for again, because of purges that came between; and how often that has happened.
  var again: [PullItem] = []
  var againTries = 0
  /// When the records were asked for.
  var generation: PullGeneration?
  var records: [PulledRecord] = []
  var nextRecord = 0

  var isReading = false
  var warm: WarmBytes?
  /// The disk refuses, or too many reads wait.
  var pausedUntil: Instant?
  var obstacle: String?

  var isPulling: Bool { if case .pull = question?.body { true } else { false } }
}

struct ExchangeTable: Sendable {
  /// Sorted by store, then by node.
  var pairs: [ExchangePair] = []
  /// Sorted by node.
  var lines: [RootsLine] = []
  /// Pairs that are due, in the order in which they became so.
  var due: [Int] = []
  var running: [Exchange] = []
  var waiters: [RoundWaiter] = []
  var validations: [ValidatedPull] = []
  /// Those that are done, for whoever asked for them.
  var validated: [ValidatedPull] = []
  var refills: [Refill] = []

  /// Bytes that may be pulled now, below zero after a page that cost more; and since when that was reckoned.
  var allowance = 0
  var reckoned: Instant?
  /// Own records that this turn may still look at.
  var looksLeft = 0
  var reviewed: Instant
  /// Something may be sent, or is on its way: checked first, because every turn asks.
  var isActive = false
  /// Some pair may be due to be looked at again: not every turn goes through all of them.
  var mayLook = false

  /// Questions that peers asked beyond what a turn may answer, oldest first; and what this turn still may.
  var questions: [(body: PeerBody, from: NodeID)] = []
  var unitsLeft = 0

  init(at now: Instant) {
    reviewed = now
    unitsLeft = 1
  }

  func index(_ store: StoreID, _ node: NodeID) -> Int? {
    var low = 0
    var high = pairs.count
    while low < high {
      let middle = (low + high) / 2
      let pair = pairs[middle]
      if pair.store < store || (pair.store == store && pair.node < node) { low = middle + 1 } else { high = middle }
    }
    return low < pairs.count && pairs[low].store == store && pairs[low].node == node ? low : nil
  }

  /// Index into `due` of the first pair that may have its turn. A store is compared with one peer at a time: what the first
  /// one brings need not be asked of the second.
  var nextDue: Int? {
    due.firstIndex { next in !running.contains { pairs[$0.pair].store == pairs[next].store } }
  }

  var refillsRunning: Int { running.reduce(0) { $0 + ($1.isRefill ? 1 : 0) } }

  /// Anything is under way that time has to pass for.
  var isBusy: Bool {
    !running.isEmpty || !due.isEmpty || !questions.isEmpty || !validations.isEmpty
      || lines.contains { $0.question != nil || !$0.toAsk.isEmpty } || pairs.contains { $0.phase == .settling }
  }
}
