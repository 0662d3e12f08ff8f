package import Causality
import Messages
import Primitives
package import Storage

// How far this node and each other owner of a store are with each other: what was said and answered, what the other has
// judged, how much of its tombstones is here, and which of ours it has acknowledged. In memory alone; what must outlive
// the process (cursors and promises) the engine keeps.

/// A store of this node and one other owner of it.
struct FeedPair: Sendable {
  /// Applied, and to be acknowledged when it is durable.
  struct Draft: Sendable {
    let incarnation: Identity128
    var tsn: UInt64
    var position: LogPosition
  }

  let store: StoreID
  let node: NodeID

  // What this node says
  /// As the peer's current boot has last answered it.
  var answered: StoreState?
  /// What the peer thinks of our store, in this boot of ours.
  var verdict: StoreVerdict?
  /// It has told of its own in this boot of ours.
  var hasMet = false

  // What the peer says, in its current boot
  /// What this node thinks of its store.
  var judged: StoreVerdict?
  /// Of its store, in whichever boot it was told last; and where its feed ends, as far as it has told.
  var incarnation = Identity128.none
  var head: UInt64 = 0
  /// What it has given last was not all that there was.
  var hasMore = false

  /// A cursor that is not durable yet.
  var draft: Draft?
  /// So much of our feed the peer has acknowledged, and what its own feed held then is here (rule ECHO).
  var settled: UInt64 = 0
  /// An acknowledgement that waits for what the peer's feed held when it was told.
  var candidate: (acknowledged: UInt64, head: UInt64)?

  /// The peer has another store: what was said of the one before says nothing of this one.
  mutating func begin(incarnation: Identity128) {
    self.incarnation = incarnation
    head = 0
    forgetProgress()
  }

  /// Its store, or ours, is another one.
  mutating func forgetProgress() {
    draft = nil
    hasMore = false
    settled = 0
    candidate = nil
  }
}

/// What is on its way to and from one peer.
struct FeedLine: Sendable {
  struct Question: Sendable {
    let sequence: UInt64
    let asked: Instant
    /// By pair.
    let said: [(pair: Int, state: StoreState)]
  }

  /// Tombstones of one of its stores, being applied here.
  struct Incoming: Sendable {
    let feed: StoreFeed
    /// Of our store, when it was asked for.
    let incarnation: Identity128
    var nextEntry = 0
    var position = LogPosition(0)
  }

  let node: NodeID
  var question: Question?
  /// How long it is waited for the answer; and the last question that was answered, in time or not.
  var patience = FeedTable.patienceMilliseconds
  var answered: UInt64 = 0
  /// Nothing is said before this time, except that a role or an incarnation has changed.
  var next: Instant
  /// Something may have changed that the peer is to hear.
  var isDirty = true
  /// One after the other.
  var incoming: [Incoming] = []
  var isReading = false
  var warm: WarmBytes?
  /// What it is told, as soon as the tombstones for it are read.
  var answer: FeedAnswer?

  /// - Returns: False where that was answered before.
  mutating func noteAnswer(to sequence: UInt64, at now: Instant) -> Bool {
    guard sequence > answered else { return false }
    answered = sequence
    let isLate = question?.sequence != sequence
    let needed = isLate ? 2 * patience : 2 * (question.map { now.milliseconds(since: $0.asked) } ?? 0)
    patience = min(FeedTable.patienceMillisecondsMax, max(FeedTable.patienceMilliseconds, needed))
    return true
  }
}

/// An answer that is being put together.
struct FeedAnswer: Sendable {
  /// Of the peer's current question.
  let bootID: UInt64
  let sequence: UInt64
  let verdicts: [StoreVerdict]
  /// Stores, and the positions behind which the asker lacks them.
  var wanted: [(store: StoreID, after: UInt64)]
  var nextWanted = 0
  var feeds: [StoreFeed] = []
  var entries = 0
  var bytes = 0
  var isReading = false
  var warm: WarmBytes?
}

/// A store of this node: how long its tombstones are here, and how many of them may go.
struct FeedStore: Sendable {
  let store: StoreID
  /// Of `FeedTable.pairs`, those with its other owners.
  var pairs: Range<Int>
  var incarnation: Identity128
  /// When its promises were first found whole, in this life of the process (rule HOLD).
  var contact: Instant?
  /// Everything up to a position had arrived by then, ascending.
  var marks: [(tsn: UInt64, at: Instant)] = []
  /// Everything up to here is old enough.
  var held: UInt64 = 0
  /// Everything up to here may be forgotten; nil when nothing of it is left.
  var limit: UInt64?
  var isReading = false
  var warm: WarmBytes?
  /// When its tombstones last began a round.
  var roundBegan: Instant?
}

/// Nothing copies it: every write asks it (Docs/Decisions/021-hot-values-are-borrowed.md).
struct FeedTable: ~Copyable, Sendable {
  /// What is not answered is said again after this time, milliseconds. An answer to what was said before does not count
  /// then: so when one comes after its time, as over a slow link, it is waited for longer, up to the highest.
  static let patienceMilliseconds: UInt64 = 1000
  static let patienceMillisecondsMax: UInt64 = 16_000
  /// Between two writings of the promises file.
  static let promisesMilliseconds: UInt64 = 100

  /// Sorted by store, then by node.
  var pairs: [FeedPair] = []
  /// Of `pairs`, the store and the node alone: every write looks one up, and a pair is long.
  private var places: [(store: StoreID, node: NodeID)] = []
  /// Sorted by node.
  var lines: [FeedLine] = []
  /// Sorted.
  var stores: [FeedStore] = []
  /// Of the states that this node has sent, the last one's.
  var sequence: UInt64 = 0
  /// Active stores that count for nothing until the owners that are up have found their promises whole.
  var unvalidated: Set<StoreID> = []

  /// When the stores were last looked through, and what stood in the log then.
  var reviewed: Instant
  var seen = (appended: LogPosition(0), durable: LogPosition(0))
  /// Something other than the log has changed since.
  var isDirty = true
  /// Tombstones that wait, of all stores, as of then.
  var pending = 0
  /// Something is to be applied, answered or forgotten: checked first, because every turn asks.
  var isActive = false
  /// No tombstone is forgotten while this lasts, because a backup is being made (rule BACKUP, Docs/DeleteProtocol.md).
  var backupHold: (since: Instant, until: Instant)?
  /// Some pair has a draft.
  var hasDrafts = false
  /// Tombstones of this node's own wait for a sync.
  var wantsSync = false
  /// No sync is begun for the feeds alone before this time.
  var syncNext: Instant
  /// What the promises file being written says.
  var promises: PromisesToken?
  var promisesNext: Instant
  var purged: [PurgeNote] = []
  /// When the oldest that waits is looked for next.
  var oldNext: Instant

  init(at now: Instant) {
    oldNext = now
    reviewed = now
    syncNext = now
    promisesNext = now
  }

  /// To be called when `pairs` has got others.
  mutating func notePlaces() { places = pairs.map { ($0.store, $0.node) } }

  func index(_ store: StoreID, _ node: NodeID) -> Int? {
    var low = 0
    var high = places.count
    while low < high {
      let middle = (low + high) / 2
      if places[middle] < (store, node) { low = middle + 1 } else { high = middle }
    }
    return low < places.count && places[low] == (store, node) ? low : nil
  }

  /// What the peer of this pair thinks of our store. Asked with every write: the pair is not copied for it.
  func verdict(_ pair: Int) -> StoreVerdict? { pairs.span[pair].verdict }
  /// What this node thinks of the peer's store.
  func judged(_ pair: Int) -> StoreVerdict? { pairs.span[pair].judged }

  func line(_ node: NodeID) -> Int? { lines.firstIndex { $0.node == node } }

  func storeIndex(_ store: StoreID) -> Int? { stores.firstIndex { $0.store == store } }

  /// Everybody may have to hear something.
  mutating func noteChange() {
    isDirty = true
    for line in lines.indices { lines[line].isDirty = true }
  }

  /// The peer has forgotten what it was told by this boot.
  mutating func sayAgain(to node: NodeID) {
    for pair in pairs.indices where pairs[pair].node == node { pairs[pair].answered = nil }
    isDirty = true
    if let line = line(node) { lines[line].isDirty = true }
  }

  /// The peer began a new boot: what was said to the old one, and what that said of itself, does not count. What that has
  /// found of our stores does: they have only grown since.
  mutating func forget(_ node: NodeID) {
    for pair in pairs.indices where pairs[pair].node == node {
      pairs[pair].answered = nil
      pairs[pair].judged = nil
      pairs[pair].head = 0
    }
    guard let line = line(node) else { return }
    lines[line].question = nil
    lines[line].patience = FeedTable.patienceMilliseconds
    lines[line].answer = nil
    lines[line].incoming = []
    lines[line].isDirty = true
  }
}

/// A tombstone that was forgotten, for whoever watches over it.
package struct PurgeNote: Equatable, Sendable {
  package let store: StoreID
  package let hash: UInt64
  package let stamp: Stamp
  package let tsn: UInt64
}
