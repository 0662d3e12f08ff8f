package import Causality
package import Storage

// How an owner finds out what it lacks of a store, and gets it from another one (rules AAE and PULL, Docs/DeleteProtocol.md).
// Whoever answers keeps nothing between two questions: asking again does no harm, and a late answer is known by its
// number. Everything here is bounded, questions and answers; what does not fit into one of them goes into the next.

/// Bounds of these messages.
package enum ExchangeLimits {
  /// Stores in one comparison of roots.
  package static let rootsMax = 1024
  /// Slots in one answer. Two of one hash say all that there is to say: who has more of one is asked for its keys.
  package static let slotsMax = 4096
  /// Hashes in one question for records.
  package static let itemsMax = 1024
  /// An answer ends when it holds this many bytes of records; the one that passes the line, and those that share its
  /// hash, still belong to it.
  package static let pageBytes = 64 << 10
}

/// Asks how much of a store is the same at the addressee.
package struct PeerCompare: Equatable, Sendable {
  package var operation: UInt64
  /// Tombstones are passed over, in the question and in the answer: rounds ask so (rule AAE), refills do not.
  package var valuesOnly: Bool
  /// Values that have left by this minute are passed over, on both sides (`Expiry.leaves`): the asker's minute in rounds,
  /// 0 in refills, which want everything.
  package var leftBy: UInt64
  package var subject: CompareSubject
  package init(operation: UInt64, valuesOnly: Bool = false, leftBy: UInt64 = 0, subject: CompareSubject) {
    self.operation = operation
    self.valuesOnly = valuesOnly
    self.leftBy = leftBy
    self.subject = subject
  }
}

package enum CompareSubject: Equatable, Sendable {
  /// Of several stores, each store once. Without `beginsRound` this is another look by one that has pulled what it
  /// lacked: of what differs still the addressee makes a round of its own.
  case roots([StoreRoot], beginsRound: Bool)
  /// Which segments of a store differ.
  case segments(StoreID, configID: UInt64, [TreeHash])
  /// What the addressee holds in a segment where that differs.
  case slots(StoreID, configID: UInt64, SlotQuestion)
}

package struct StoreRoot: Equatable, Sendable {
  package var store: StoreID
  package var configID: UInt64
  package var root: TreeHash
  package init(store: StoreID, configID: UInt64, root: TreeHash) {
    self.store = store
    self.configID = configID
    self.root = root
  }
}

package struct SlotQuestion: Equatable, Sendable {
  package var segment: Int
  /// Of the asker's segment.
  package var hash: TreeHash
  /// Of its leaves, a power of two of them; empty: everything is wanted, whatever differs.
  package var leaves: [UInt32]
  /// The hash at which the answer begins.
  package var from: UInt64
  package init(segment: Int, hash: TreeHash, leaves: [UInt32], from: UInt64) {
    self.segment = segment
    self.hash = hash
    self.leaves = leaves
    self.from = from
  }
}

package struct PeerCompareReply: Equatable, Sendable {
  package var operation: UInt64
  package var outcome: CompareOutcome
  package init(operation: UInt64, outcome: CompareOutcome) {
    self.operation = operation
    self.outcome = outcome
  }
}

package enum CompareOutcome: Equatable, Sendable {
  /// In the order of the question.
  case roots([RootAnswer])
  case segments(SegmentAnswer)
  case slots(SlotPage)
  case refused(Refusal)
}

package struct RootAnswer: Equatable, Sendable {
  package enum Verdict: Equatable, Sendable {
    case equal
    /// This is the sender's root.
    case differs(TreeHash)
    case refused(Refusal)
  }
  package var store: StoreID
  package var verdict: Verdict
  package var activity: Activity
  package init(store: StoreID, verdict: Verdict, activity: Activity) {
    self.store = store
    self.verdict = verdict
    self.activity = activity
  }

  /// What the sender is about, with the addressee and this store.
  package enum Activity: UInt8, Sendable {
    case none
    /// It will look for what it lacks once more.
    case waiting
    case looking
  }
}

package struct SegmentAnswer: Equatable, Sendable {
  /// By segment, from the lowest bit.
  package var differing: UInt32
  /// What the whole store holds: keys, tombstones among them, and bytes of their records.
  package var keys: UInt64
  package var bytes: UInt64
  package var floor: Stamp
  package init(differing: UInt32, keys: UInt64, bytes: UInt64, floor: Stamp) {
    self.differing = differing
    self.keys = keys
    self.bytes = bytes
    self.floor = floor
  }
}

/// Slots of a segment, ascending by hash.
package struct SlotPage: Equatable, Sendable {
  /// Of the leaves that differ, or of all.
  package var slots: [SlotDigest]
  /// The hash at which the following answer begins; nil when there is none.
  package var next: UInt64?
  /// The segments differ and no leaf does: digests hide the difference, and the slots are all there are.
  package var isHidden: Bool
  package init(slots: [SlotDigest], next: UInt64?, isHidden: Bool) {
    self.slots = slots
    self.next = next
    self.isHidden = isHidden
  }
}

/// Asks for records, as they are now at the addressee.
package struct PeerPull: Equatable, Sendable {
  package var operation: UInt64
  package var store: StoreID
  package var configID: UInt64
  /// Answered when whatever the answer tells of is durable: something is to rest on it.
  package var wantsDurable: Bool
  package var subject: PullSubject
  package init(
    operation: UInt64, store: StoreID, configID: UInt64, wantsDurable: Bool = false, subject: PullSubject
  ) {
    self.operation = operation
    self.store = store
    self.configID = configID
    self.wantsDurable = wantsDurable
    self.subject = subject
  }
}

package enum PullSubject: Equatable, Sendable {
  /// Ascending by hash, none twice.
  case items([PullItem])
  /// Everything in a segment from a hash on.
  case range(segment: Int, from: UInt64)
}

/// All keys with this hash whose stamps are above this one.
package struct PullItem: Equatable, Sendable {
  package var hash: UInt64
  package var above: Stamp
  package init(hash: UInt64, above: Stamp) {
    self.hash = hash
    self.above = above
  }
}

package struct PeerPullReply: Equatable, Sendable {
  package var operation: UInt64
  package var outcome: PullAnswer
  package init(operation: UInt64, outcome: PullAnswer) {
    self.operation = operation
    self.outcome = outcome
  }
}

package enum PullAnswer: Equatable, Sendable {
  case page(PullPage)
  case refused(Refusal)
}

/// Records with their own stamps, tombstones among them, ascending by hash.
package struct PullPage: Equatable, Sendable {
  package var records: [PulledRecord]
  /// What was asked for is answered before this hash, and not from it on; nil when it is answered.
  package var next: UInt64?
  package var floor: Stamp
  package init(records: [PulledRecord], next: UInt64?, floor: Stamp) {
    self.records = records
    self.next = next
    self.floor = floor
  }
}
