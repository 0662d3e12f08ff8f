package import Storage

// What operators see of tombstones: how many wait, what they cost, how long the oldest has waited, and for what.

package struct TombstoneStatus: Equatable, Sendable {
  package struct Store: Equatable, Sendable {
    package let store: StoreID
    package let pending: Int
    package let bytes: TombstoneBytes
    /// Since the delete that waits longest, by this node's wall clock.
    package let oldestMilliseconds: UInt64
    /// What the one that waits longest waits for: never empty, and the first is what must go first.
    package let blockers: [TombstoneBlocker]
    /// The first of them in words.
    package var reason: String { blockers.first?.text ?? "" }

    package init(
      store: StoreID, pending: Int, bytes: TombstoneBytes = TombstoneBytes(), oldestMilliseconds: UInt64,
      blockers: [TombstoneBlocker]
    ) {
      self.store = store
      self.pending = pending
      self.bytes = bytes
      self.oldestMilliseconds = oldestMilliseconds
      self.blockers = blockers
    }
  }

  /// One first reason, and the stores that it keeps.
  package struct Block: Equatable, Sendable {
    /// That of the store which has waited longest.
    package let blocker: TombstoneBlocker
    package var stores = 0
    package var pending = 0
    package var oldestMilliseconds: UInt64 = 0
  }

  /// A store of this node that is being filled, whether tombstones wait in it or not.
  package struct Loading: Equatable, Sendable {
    package let store: StoreID
    package let percent: Int?
    package init(store: StoreID, percent: Int?) {
      self.store = store
      self.percent = percent
    }
  }

  package var pending = 0
  package var bytes: UInt64 = 0
  /// Forgotten, and still on the disk.
  package var blockedBytes: UInt64 = 0
  /// Nil when none waits.
  package var oldestMilliseconds: UInt64?
  /// Since the start of the process.
  package var purged: UInt64 = 0
  /// Values here that will be tombstones because they expire.
  package var expiring = 0
  /// Deletes that found as many tombstones as may wait; since the start of the process.
  package var refused: UInt64 = 0
  /// So many may wait in a store; nil: any number.
  package var pendingMax: Int?
  /// Those in which some wait, or have left bytes that cannot go, in order.
  package var stores: [Store] = []
  package var loading: [Loading] = []
  package init() {}

  package mutating func add(_ store: Store) {
    stores.append(store)
    bytes += store.bytes.pending
    blockedBytes += store.bytes.blocked
    guard store.pending > 0 else { return }
    pending += store.pending
    oldestMilliseconds = max(oldestMilliseconds ?? 0, store.oldestMilliseconds)
  }

  /// The first reasons of all stores, what the oldest waits for first.
  package var blockedBy: [Block] {
    var blocks: [Block] = []
    let waiting = stores.filter { $0.pending > 0 }.sorted { $0.oldestMilliseconds > $1.oldestMilliseconds }
    for store in waiting + stores.filter({ $0.pending == 0 }) {
      guard let first = store.blockers.first else { continue }
      var place = blocks.firstIndex { $0.blocker.node == first.node && $0.blocker.kind == first.kind }
      if place == nil {
        place = blocks.count
        blocks.append(Block(blocker: first, oldestMilliseconds: store.oldestMilliseconds))
      }
      blocks[place!].stores += 1
      blocks[place!].pending += store.pending
    }
    return blocks
  }
}
