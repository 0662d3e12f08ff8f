package import Causality
package import Cluster
package import Messages
package import Primitives
package import Storage

// Between the node and whatever drives it (the server's loop, or the simulator): all it can learn, all it can ask for,
// and the order in which that must happen.
//
// A turn: `step` every event that is ready, then `flush` once. Then, in this order:
//   1. perform `batch.free`;
//   2. if `batch.sync` is there, make its files durable on another thread; when that is done, perform
//      `batch.afterSync` and step `.synced` (or `.syncFailed`, and drop `afterSync`).
// At most one sync is in flight. Everything acknowledged to anybody is in `free` only if nothing durable was promised.

/// One request of one client; the driver knows which connection, and in which order the answers leave.
package struct SessionID: Hashable, Sendable {
  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

package struct ReadTicket: Hashable, Sendable {
  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// All a node can learn.
package enum Event: Sendable {
  /// Time passed. At least every `Node.tickMilliseconds`.
  case tick
  case client(ClientRequest, session: SessionID)
  /// Answered in parts, see `Effect.listing`.
  case list(ListRequest, session: SessionID)
  /// The client has taken the names it was given last.
  case listContinues(SessionID)
  /// The client of a listing is gone: nothing more is answered.
  case listAbandoned(SessionID)
  /// An operator's; answered by `Effect.adminDone`, when it is done.
  case admin(AdminRequest, session: SessionID)
  case peer(PeerMessage, from: NodeID)
  /// This node's own connection to the peer was made (and carries nothing yet), or was lost.
  case link(NodeID, up: Bool)
  case synced(SyncTicket)
  case syncFailed(SyncTicket, StorageError)
  case read(ReadTicket, bytes: [UInt8])
  case readFailed(ReadTicket, StorageError)
  case jobDone(JobID)
  case jobFailed(JobID, StorageError)
  /// Finish what is in flight, make everything durable, and answer with `Effect.stop(.clean)`.
  case shutdown
}

/// All a node can ask for.
package enum Effect: Sendable {
  case respond(ClientResponse, session: SessionID)
  /// After names nothing follows but `end`, until the driver says `listContinues`.
  case listing(ListingPart, session: SessionID)
  case adminDone(AdminOutcome, session: SessionID)
  /// Dropped by the driver when there is no connection or its queue is full; the node then relies on its deadlines.
  case send(PeerMessage, to: NodeID)
  /// Drop the connection to this peer and make a new one.
  case disconnect(NodeID)
  case read(ReadTicket, ColdRead)
  /// To be performed off the loop, the jobs of each lane in the order they were asked for.
  case job(DiskJob)
  case log(LogLevel, String)
  case stop(StopReason)
}

/// What an operator asks a node to do now.
package enum AdminRequest: Equatable, Sendable {
  /// Merge every store once.
  case merge
  /// Hand over all hints whose nodes are up.
  case drainHints
  /// Of all stores, or of one.
  case snapshot(SnapshotName, SnapshotPart)
  /// Which snapshots there are.
  case snapshots
  /// Forget no tombstone for so long from now, at least: a backup is being made of all nodes.
  case holdPurges(milliseconds: UInt64)
  /// Compare every store with every peer that is up, and pull what is missing, both ways.
  case antiEntropy
  /// What is in quarantine here: the page that begins at this hash, 0 for the first.
  case quarantine(from: UInt64)
  /// The value of one entry.
  case quarantineRead(ObjectKey)
  /// Write one entry anew, as a client's put of now, whatever is under its key. Then it leaves the quarantine.
  case quarantinePut(ObjectKey, Stamp)
  /// Forget one entry.
  case quarantineDiscard(ObjectKey, Stamp)
}

/// What became of it.
package enum AdminOutcome: Equatable, Sendable {
  /// The round is over; what merges did since it was asked for.
  case merged(MergeTotals, merges: Int)
  /// How many were handed over since it was asked for, and what is left.
  case drained(delivered: UInt64, [HintQueueStatus])
  case snapshot(SnapshotReport)
  case snapshots([SnapshotEntry])
  /// No tombstone was forgotten since then, in this boot, nor will one be while this lasts.
  case purgesHeld(boot: UInt64, since: Instant)
  case snapshotRefused(SnapshotRefusal)
  /// The round is over, here and at the peers.
  case antiEntropy(AntiEntropyReport)
  case quarantine(QuarantinePage)
  case quarantineRead(StoredVersion)
  /// It was written anew, with this stamp.
  case quarantinePut(Stamp)
  case quarantineDiscarded
  /// Nothing of this key and stamp is in quarantine here.
  case quarantineAbsent
  /// Not now, and why.
  case refused(String)
}

package enum LogLevel: UInt8, Comparable, Sendable, CaseIterable {
  case debug, info, warning, error
  package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

package enum StopReason: Equatable, Sendable {
  /// Everything is durable and marked so.
  case clean
  case failed(StorageError)
  /// One line for the operator: this node must not run as it is configured.
  case refused(String)
}

/// What a turn asks for.
package struct Batch: Sendable {
  package var free: [Effect] = []
  package var sync: SyncRequest?
  package var afterSync: [Effect] = []
  /// The node has work left that it broke off, so that others are not kept waiting: the next turn must not wait.
  package var wantsTurn = false
  package init() {}
}

/// What a node is told when it starts. Randomness comes from outside: the same arguments give the same node.
package struct NodeOptions: Sendable {
  package var name: String
  /// All members of a new cluster, this node among them; ids are positions in the list sorted by name, from 1.
  package var members: [Member]
  /// Root of everything the node stores; exists and is locked.
  package var directory: String
  /// Seeds the node's generator: actor, boot id, incarnations, choice of read replica.
  package var seed: UInt64
  /// Used when the cluster is founded.
  package var partitions: UInt16 = 64
  package var replicas: UInt8 = 3
  package var sync: SyncMode = .always
  package var syncIntervalMilliseconds: UInt64 = 1000
  package var fileBytesMax: UInt64 = 256 << 20
  /// Free bytes of the disk that puts leave alone; nil: twice `fileBytesMax`.
  package var reserveBytes: UInt64?
  package var merge = MergePolicy()
  /// Sealed data files open at once.
  package var openFilesMax: Int = 512
  /// A journal segment this long is followed by the next.
  package var journalSegmentBytes: UInt64 = 32 << 20
  /// Bytes, and age in seconds, at which written records are made durable in their stores and leave the journal.
  package var checkpointBytes: UInt64 = 32 << 20
  package var checkpointSeconds: UInt64 = 60
  /// Bytes of hints that this node keeps for others; one more is refused.
  package var hintBytesMax: UInt64 = 1 << 30
  /// Hints that were refused are offered again after this time, and after ever longer ones.
  package var hintRetryMilliseconds: UInt64 = 1000
  /// Bytes of hints handed over in a second, to all nodes together.
  package var handoffBytesPerSecond: UInt64 = 16 << 20
  /// Between two rounds of anti-entropy with a peer; 0: only when asked for.
  package var antiEntropyMilliseconds: UInt64 = 300_000
  /// Bytes of records pulled from other owners in a second, by rounds and refills together.
  package var pullBytesPerSecond: UInt64 = 32 << 20
  /// Between the beginnings of two readings of all sealed files; 0: none. And bytes read for that in a second, at most.
  package var scrubMilliseconds: UInt64 = 7 * 86_400_000
  package var scrubBytesPerSecond: UInt64 = 8 << 20
  /// Between two feeds of tombstones with a peer, while there is something to say.
  package var feedMilliseconds: UInt64 = 1000
  /// Tombstones of one answer to a feed; what is left follows at once.
  package var feedEntriesMax: Int = 4096
  /// A tombstone is kept at least so long, whoever has acknowledged it.
  package var tombstoneHoldMilliseconds: UInt64 = 60_000
  /// How long values live of which their writers say nothing.
  package var lifetime = Lifetime.unlimited
  /// Tombstones that wait in the store of a partition; a delete that would leave one more is refused.
  package var tombstonesMax = 100_000
  /// Keeps what was forgotten for `Node.takePurges`; for simulated runs alone.
  package var notesPurges = false
  /// Tombstones go without the round of anti-entropy that only delays them; for simulated runs alone.
  package var purgesBeforeRounds = false
  /// All of them, but in tests and simulated runs.
  package var rules = Rules.all
  package var requestTimeoutMilliseconds: UInt64 = 5000
  package var suspectAfterMilliseconds: UInt64 = 1000
  /// Client operations in progress at once; one more is answered `overloaded`.
  package var operationsMax: Int = 16_384
  /// Rare branches taken on purpose; for simulated runs alone.
  package var chaos = Chaos()
  package init(name: String, members: [Member], directory: String, seed: UInt64) {
    self.name = name
    self.members = members
    self.directory = directory
    self.seed = seed
  }
}
