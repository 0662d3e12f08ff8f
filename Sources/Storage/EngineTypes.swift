package import Causality
package import Primitives

// The vocabulary between the engine and the node above it: stores, records, and the outcomes of an operation.

/// One store: a partition of the ring at one replication factor, or the hints that wait for one node (0 replicas).
package struct StoreID: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let partition: UInt16
  package let replicas: UInt8
  @inlinable package init(partition: UInt16, replicas: UInt8) {
    self.partition = partition
    self.replicas = replicas
  }

  /// The store of the hints for a node, whose id is at most `UInt16.max`.
  package static func hints(for node: NodeID) -> StoreID {
    invariant(node.rawValue <= UInt16.max, "hints for node \(node): its id does not fit the id of a store")
    return StoreID(partition: UInt16(node.rawValue), replicas: 0)
  }

  /// It holds hints, not a partition.
  @inlinable package var isHints: Bool { replicas == 0 }
  /// The node that its hints are for; nil for a partition.
  package var hintTarget: NodeID? { isHints ? NodeID(UInt32(partition)) : nil }

  @inlinable package static func == (a: StoreID, b: StoreID) -> Bool {
    a.partition == b.partition && a.replicas == b.replicas
  }

  /// Partitions first.
  @inlinable package static func < (a: StoreID, b: StoreID) -> Bool {
    (a.isHints ? 1 : 0, a.partition, a.replicas) < (b.isHints ? 1 : 0, b.partition, b.replicas)
  }
  /// The directory name: `p042-n3`, or `hints-3`.
  package var description: String {
    if isHints { return StoreID.hintsPrefix + "\(partition)" }
    let digits = String(partition)
    return "p" + String(repeating: "0", count: max(0, 3 - digits.count)) + digits + "-n\(replicas)"
  }
}

/// A version of a key: a live value or a tombstone.
package struct StoredVersion: Equatable, Sendable {
  package var stamp: Stamp
  package var isTombstone: Bool
  /// Opaque to the engine; empty for a tombstone.
  package var value: [UInt8]
  /// Of a value; a tombstone never expires.
  package var expiry: Expiry
  package init(stamp: Stamp, isTombstone: Bool, value: [UInt8], expiry: Expiry = .never) {
    self.stamp = stamp
    self.isTombstone = isTombstone
    self.value = value
    self.expiry = expiry
  }
}

/// How much has been appended to the engine, in appends since it was opened. A write is durable when
/// `Engine.durable` has reached the position that its `apply` returned.
package struct LogPosition: Hashable, Comparable, Sendable {
  package let rawValue: UInt64
  @inlinable package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable package static func == (a: LogPosition, b: LogPosition) -> Bool { a.rawValue == b.rawValue }
  @inlinable package static func < (a: LogPosition, b: LogPosition) -> Bool { a.rawValue < b.rawValue }
}

/// Bytes that an operation needs and that are not in memory. Read them elsewhere, then repeat the operation with them.
package struct ColdRead: Equatable, Sendable {
  package let file: FileID
  package let offset: UInt64
  package let count: Int
  package init(file: FileID, offset: UInt64, count: Int) {
    self.file = file
    self.offset = offset
    self.count = count
  }
}

/// What a cold read brought: the answer to a `ColdRead`, given back to the repeated operation.
package struct WarmBytes: Sendable {
  package let read: ColdRead
  package let bytes: [UInt8]
  package init(read: ColdRead, bytes: [UInt8]) {
    self.read = read
    self.bytes = bytes
  }
}

/// What became of a version offered to a store.
package enum ApplyOutcome: Equatable, Sendable {
  /// It is the newest now and stands in the log up to this position.
  case applied(LogPosition)
  /// The store held exactly this stamp already; durable when the position is.
  case equal(LogPosition)
  /// The store holds a higher stamp, durable when the position is; nothing was appended.
  case newer(Stamp, LogPosition)
  /// The key is absent and the stamp is not above the store's floor: the version may be an old copy of a purged key.
  case belowFloor(Stamp)
  /// Nothing happened yet: the existing record must be read first.
  case cold(ColdRead)
  /// Nothing happened: the disk does not take it now.
  case refused(DiskRefusal)
}

/// Why a record is not taken now, and may be taken later. Nothing of it can be seen.
package enum DiskRefusal: Equatable, Sendable {
  /// There is no room, or only what is kept for tombstones and for freeing space.
  case full
  /// A file that it needs cannot be opened or made.
  case unavailable(StorageError)
  /// It is a tombstone, and `EngineOptions.tombstonesMax` wait in the store.
  case tombstonesFull

  init(_ error: StorageError) { self = error.isOutOfSpace ? .full : .unavailable(error) }
}

/// What became of a request to forget a tombstone.
package enum PurgeOutcome: Equatable, Sendable {
  case purged
  /// The key is absent, or the store holds another version of it.
  case isNotThere
  /// Nothing happened yet: the existing record must be read first.
  case cold(ColdRead)
}

/// What a store holds for a key.
package enum LookupOutcome: Equatable, Sendable {
  case absent
  case found(StoredVersion)
  case cold(ColdRead)
}

/// When an acknowledged write is on the device.
package enum SyncMode: String, Sendable, CaseIterable {
  /// Before it is acknowledged: through the journal.
  case always
  /// Within `sync_interval`.
  case interval
  /// When the operating system likes.
  case never
}

/// Whether a store takes part in reads and writes.
package enum StoreRole: UInt8, Sendable {
  /// New, or catching up: takes no pushes, counts for nothing.
  case loading = 1
  case active = 2
  /// Damaged or regressed: serves nothing until it is rebuilt.
  case fenced = 3
  /// No longer owned here.
  case retired = 4
}

/// What another owner of a store has promised (DELETE protocol, `promise[peer]`): its identity and how far it was.
package struct PeerPromise: Equatable, Sendable {
  package var peer: NodeID
  package var incarnation: Identity128
  package var configID: UInt64
  package var tsnHead: UInt64
  package var floor: Stamp
  package var cursorOnMe: UInt64
  package init(
    peer: NodeID, incarnation: Identity128, configID: UInt64, tsnHead: UInt64 = 0, floor: Stamp = .zero,
    cursorOnMe: UInt64 = 0
  ) {
    self.peer = peer
    self.incarnation = incarnation
    self.configID = configID
    self.tsnHead = tsnHead
    self.floor = floor
    self.cursorOnMe = cursorOnMe
  }
}

/// How much of a peer's tombstone feed this store has durably applied (DELETE protocol, `cursor[peer]`).
package struct FeedCursor: Equatable, Sendable {
  package var peer: NodeID
  package var incarnation: Identity128
  package var tsn: UInt64
  package init(peer: NodeID, incarnation: Identity128, tsn: UInt64) {
    self.peer = peer
    self.incarnation = incarnation
    self.tsn = tsn
  }
}

/// What a new store is created with; one of hints has no configuration (0).
package struct StoreSeed: Equatable, Sendable {
  package let id: StoreID
  package let incarnation: Identity128
  package let configID: UInt64
  package init(id: StoreID, incarnation: Identity128, configID: UInt64) {
    self.id = id
    self.incarnation = incarnation
    self.configID = configID
  }
}

/// What `/admin/status` says of one store.
package struct StoreStatus: Equatable, Sendable {
  package var id: StoreID
  package var role: StoreRole
  package var incarnation: Identity128
  package var keysLive: Int
  package var tombstones: Int
  package var floor: Stamp
  package var tsnHead: UInt64
  /// Bytes of records that a newer record of the same key has superseded.
  package var deadBytes: UInt64
  /// Bytes of records that are the newest of their key.
  package var liveBytes: UInt64
  /// Of all data files, their headers included.
  package var totalBytes: UInt64
  package var deadRecords: Int
  package var files: Int
  /// Why dead bytes stay, or what is done about them; empty when nothing is worth a word.
  package var mergeNote = ""
  /// The other owners that have found it whole in this boot of its node, as the node fills in.
  package var validatedWith: [NodeID] = []
  package init(
    id: StoreID, role: StoreRole, incarnation: Identity128, keysLive: Int, tombstones: Int, floor: Stamp,
    tsnHead: UInt64, deadBytes: UInt64, liveBytes: UInt64, totalBytes: UInt64, deadRecords: Int,
    files: Int
  ) {
    self.id = id
    self.role = role
    self.incarnation = incarnation
    self.keysLive = keysLive
    self.tombstones = tombstones
    self.floor = floor
    self.tsnHead = tsnHead
    self.deadBytes = deadBytes
    self.liveBytes = liveBytes
    self.totalBytes = totalBytes
    self.deadRecords = deadRecords
    self.files = files
  }
}

/// What metrics say of the journal.
package struct JournalStatus: Equatable, Sendable {
  /// Of the segments that hold, or held, records and are not dropped yet.
  package var bytes: UInt64
  package var segments: Int
  package init(bytes: UInt64, segments: Int) {
    self.bytes = bytes
    self.segments = segments
  }
}

/// How the node's disk stands, as far as the engine knows.
package struct SpaceStatus: Equatable, Sendable {
  /// As the file system said last; nil before it was asked, and where it does not say.
  package var freeBytes: UInt64?
  /// Kept for tombstones, checkpoints and merging: with less than this free, values are refused.
  package var reserveBytes: UInt64
  /// Values are taken again from here on.
  package var resumeBytes: UInt64
  /// Values are refused.
  package var isShort: Bool
  /// The append that found no room: what it was to write waits in memory, and nothing of it has been acknowledged.
  package var refusal: StorageError?
  package init(
    freeBytes: UInt64?, reserveBytes: UInt64, resumeBytes: UInt64, isShort: Bool, refusal: StorageError? = nil
  ) {
    self.freeBytes = freeBytes
    self.reserveBytes = reserveBytes
    self.resumeBytes = resumeBytes
    self.isShort = isShort
    self.refusal = refusal
  }
}

package struct SyncTicket: Hashable, Comparable, Sendable {
  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  package static func < (a: SyncTicket, b: SyncTicket) -> Bool { a.rawValue < b.rawValue }
}

/// Files to make durable now, for a ticket that effects wait for. At most one is in flight per engine.
package struct SyncRequest: Equatable, Sendable {
  package let ticket: SyncTicket
  /// Open files of the node's own file system, still open when the answer comes.
  package let files: [FileID]
  package init(ticket: SyncTicket, files: [FileID]) {
    self.ticket = ticket
    self.files = files
  }
}

/// What opening the engine found.
package struct RecoveryReport: Equatable, Sendable {
  package var records: Int = 0
  package var journalRecords: Int = 0
  /// Unsynced bytes behind the last whole record, cut off.
  package var bytesCut: UInt64 = 0
  /// The highest time of any stamp on disk.
  package var highestTime: HybridTime = .zero
  /// Stores of partitions that should be there and are not.
  package var missing: [StoreID] = []
  /// Stores of hints that should be there and are not: what they held is gone.
  package var missingHints: [StoreID] = []
  /// Stores that are damaged.
  package var damaged: [StoreDamage] = []
  /// Why the file of cursors and promises was not read, where it should have been.
  package var promisesProblem: StorageError?
  package init() {}
}

/// Why a store did not open.
package struct StoreDamage: Equatable, Sendable {
  package let store: StoreID
  package let error: StorageError
  package init(_ store: StoreID, _ error: StorageError) {
    self.store = store
    self.error = error
  }
}
