package import Causality
package import Cluster
package import Messages
package import Primitives
package import Storage

// What a node says of itself to operators: one value, read between turns; the server turns it into JSON and metrics.

package struct NodeStatus: Sendable {
  package enum State: Equatable, Sendable {
    /// Not serving yet, and why.
    case starting(reason: String)
    case serving
    case stopping
  }

  package struct Peer: Sendable {
    package enum Link: Equatable, Sendable {
      case up
      /// Connected, but it does not answer: it is routed around, and asked until it answers again.
      case suspect(reason: String)
      case down(reason: String)
      /// The peer, or this node, refused the handshake.
      case refused(reason: String)
    }
    package let member: Member
    package let link: Link
    /// Since anything was heard from it; nil before the first contact.
    package let silentMilliseconds: UInt64?
    /// Its wall clock minus ours; nil before the first contact.
    package let clockOffsetMilliseconds: Int64?

    package init(member: Member, link: Link, silentMilliseconds: UInt64?, clockOffsetMilliseconds: Int64?) {
      self.member = member
      self.link = link
      self.silentMilliseconds = silentMilliseconds
      self.clockOffsetMilliseconds = clockOffsetMilliseconds
    }
  }

  package let member: Member
  package let state: State
  package let clusterID: Identity128?
  package let bootID: UInt64
  package let actor: ActorID
  package let ringEpoch: UInt64
  package let peers: [Peer]
  package let stores: [StoreStatus]
  /// Those that would serve but do not count yet: an owner that is up has not found them whole.
  package let storesUnvalidated: Int
  /// This node does not coordinate writes: its wall clock disagrees with the median of its peers'.
  package let clockInDoubt: Bool
  package let operationsInProgress: Int
  package let counters: NodeCounters
  package let recovery: RecoveryReport
  package let queues: NodeQueues
  package let journal: JournalStatus?
  package let merge: MergeStatus
  /// Nil until the node belongs to a cluster.
  package let space: SpaceStatus?
  /// What is kept here for each other node.
  package let hints: [HintQueueStatus]
  package let antiEntropy: AntiEntropyStatus
  package let quarantine: QuarantineStatus

  package init(
    member: Member, state: State, clusterID: Identity128?, bootID: UInt64, actor: ActorID, ringEpoch: UInt64,
    peers: [Peer], stores: [StoreStatus], storesUnvalidated: Int = 0, clockInDoubt: Bool, operationsInProgress: Int,
    counters: NodeCounters, recovery: RecoveryReport, queues: NodeQueues = NodeQueues(),
    journal: JournalStatus? = nil, merge: MergeStatus = MergeStatus(), space: SpaceStatus? = nil,
    hints: [HintQueueStatus] = [], antiEntropy: AntiEntropyStatus = AntiEntropyStatus(),
    quarantine: QuarantineStatus = QuarantineStatus()
  ) {
    self.member = member
    self.state = state
    self.clusterID = clusterID
    self.bootID = bootID
    self.actor = actor
    self.ringEpoch = ringEpoch
    self.peers = peers
    self.stores = stores
    self.storesUnvalidated = storesUnvalidated
    self.clockInDoubt = clockInDoubt
    self.operationsInProgress = operationsInProgress
    self.counters = counters
    self.recovery = recovery
    self.queues = queues
    self.journal = journal
    self.merge = merge
    self.space = space
    self.hints = hints
    self.antiEntropy = antiEntropy
    self.quarantine = quarantine
  }

  package var keysLive: Int { stores.reduce(0) { $0 + $1.keysLive } }
  package var tombstones: Int { stores.reduce(0) { $0 + $1.tombstones } }
}

/// What a node keeps for another one, and what becomes of it.
package struct HintQueueStatus: Equatable, Sendable {
  package enum State: Equatable, Sendable {
    case empty
    case sending
    /// And why.
    case waiting(reason: String)
  }

  package let member: Member
  package let count: Int
  /// Of the hints' records; and of the files that they are in.
  package let bytes: UInt64
  package let fileBytes: UInt64
  package var state = State.empty
  /// Since the oldest was written; nil when there is none, or it was not looked at yet.
  package var oldestMilliseconds: UInt64?
  /// Sent and not answered.
  package var inFlight = 0
  /// Handed over since the first of them was sent, which is so long ago; nil while none is.
  package var delivered = 0
  package var deliveringMilliseconds: UInt64?

  package init(member: Member, count: Int, bytes: UInt64, fileBytes: UInt64) {
    self.member = member
    self.count = count
    self.bytes = bytes
    self.fileBytes = fileBytes
  }
}

/// Totals since the start of the process.
package struct NodeCounters: Equatable, Sendable {
  /// Operations coordinated here.
  package var gets: UInt64 = 0
  package var puts: UInt64 = 0
  package var deletes: UInt64 = 0
  package var lists: UInt64 = 0
  /// Operations that this node's stores performed.
  package var vnodeGets: UInt64 = 0
  package var vnodePuts: UInt64 = 0
  /// Pages of keys.
  package var vnodePages: UInt64 = 0
  /// Writes handed to an owner.
  package var forwarded: UInt64 = 0
  /// Records that were not in memory and were read from the disk off the loop.
  package var coldReads: UInt64 = 0
  package var failures = FailureCounters()
  package var overloads: UInt64 = 0
  package var stalePushesRefused: UInt64 = 0
  /// Of repairs and hints below the floor: asked of all other owners, found to be in nobody's hands, put off.
  package var stalePushesPulled: UInt64 = 0
  package var stalePushesDropped: UInt64 = 0
  package var stalePushesPutOff: UInt64 = 0
  /// Values that went to quarantine, and those that found no room there and wait.
  package var quarantined: UInt64 = 0
  package var quarantineRefused: UInt64 = 0
  /// Records that a store held which was made anew, and nobody else has, and that are in the new one.
  package var salvaged: UInt64 = 0
  /// Reads in which an owner was asked once more, because another had purged what it told; and in which an answer did
  /// not count, because its owner was not validated with that other, or because it was an old hint.
  package var revalidatedReads: UInt64 = 0
  package var withdrawnReads: UInt64 = 0
  package var syncs: UInt64 = 0
  /// Pings to peers, for others too.
  package var probes: UInt64 = 0
  /// Peers that ceased to answer, each time.
  package var suspicions: UInt64 = 0
  /// Other nodes' words that they reach a peer which does not answer this one.
  package var indirectAcknowledgements: UInt64 = 0
  package var snapshots: UInt64 = 0
  package var snapshotsFailed: UInt64 = 0
  /// Hints that this node took on, could not take on, and handed over.
  package var hintsKept: UInt64 = 0
  package var hintsRefused: UInt64 = 0
  package var hintsDelivered: UInt64 = 0
  /// In stores of hints that were damaged and made anew.
  package var hintsLost: UInt64 = 0
  /// Operations whose quorum was met with a fallback's help.
  package var sloppyWrites: UInt64 = 0
  package var sloppyReads: UInt64 = 0
  /// Versions sent to owners that a read found behind.
  package var readRepairs: UInt64 = 0
  /// Reads whose value had to be fetched because another replica's stamp was newer.
  package var digestMismatches: UInt64 = 0
  /// Reads that asked one more replica because they took long.
  package var hedgedReads: UInt64 = 0
  package var antiEntropy = AntiEntropyCounters()
  /// Expired values that were made tombstones here (rule EXPIRY).
  package var buried: UInt64 = 0
  /// Tombstones that found as many here as may wait, offered by a client, a coordinator, a hint or a repair.
  package var tombstonesRefused: UInt64 = 0
  /// Tombstones that were forgotten here, given to other owners, and taken from them (what was here already not counted).
  package var purged: UInt64 = 0
  package var feedEntriesSent: UInt64 = 0
  package var feedEntriesApplied: UInt64 = 0
  /// States of stores and answers to them that this node has sent.
  package var feedMessages: UInt64 = 0
  /// Stores here that another owner found to have gone back to an earlier state.
  package var regressions: UInt64 = 0
  /// Processes that gave the name of a member that was there and answered.
  package var clones: UInt64 = 0
  package init() {}
}

/// Requests of this node's own clients that failed, by reason; totals since the start of the process.
package struct FailureCounters: Equatable, Sendable {
  // The promise that could not be kept.
  package var r: UInt64 = 0
  package var pr: UInt64 = 0
  package var w: UInt64 = 0
  package var dw: UInt64 = 0
  package var pw: UInt64 = 0
  // Whatever the quorum was.
  package var timeout: UInt64 = 0
  package var overloaded: UInt64 = 0
  package var notReady: UInt64 = 0
  package var damaged: UInt64 = 0
  package var full: UInt64 = 0
  package var unavailable: UInt64 = 0
  /// A quorum above n, or a version that no node can have issued.
  package var invalid: UInt64 = 0
  package init() {}

  package var quorums: UInt64 { r + pr + w + dw + pw }

  package mutating func count(_ failure: ClientFailure) {
    switch failure {
    case .unsatisfied(.r, _, _, _): r += 1
    case .unsatisfied(.pr, _, _, _): pr += 1
    case .unsatisfied(.w, _, _, _): w += 1
    case .unsatisfied(.dw, _, _, _): dw += 1
    case .unsatisfied(.pw, _, _, _): pw += 1
    case .timeout: timeout += 1
    case .overloaded: overloaded += 1
    case .notReady: notReady += 1
    case .damaged: damaged += 1
    case .full: full += 1
    case .unavailable: unavailable += 1
    case .invalidQuorum, .invalidContext: invalid += 1
    }
  }
}

/// What waits inside a node, in numbers of things.
package struct NodeQueues: Equatable, Sendable {
  // Operations in progress, for clients here or for nodes that handed them over; `forwards` were handed to others.
  package var gets = 0
  package var puts = 0
  package var deletes = 0
  package var forwards = 0
  package var lists = 0
  /// Acknowledgements that wait for the disk: of this node's own copies, and to coordinators that the next sync will
  /// allow. Those that the sync in flight will allow are with the driver.
  package var unsynced = 0
  package var coldReads = 0
  package var diskJobs = 0
  /// Writes whose clients have their answer, and some replica has not answered.
  package var answeredWrites = 0
  package init() {}
}
