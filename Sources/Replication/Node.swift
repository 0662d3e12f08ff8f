import Causality
import Cluster
package import Messages
package import Primitives
package import Storage

// The node: a value that learns events and asks for effects. It never reads a clock, never blocks and never throws; the
// server's loop and the simulator drive the same code through `step` and `flush`. This file holds its state and the
// turn; what it does with each event stands in the extensions, one file per duty.

package struct Node<Disk: FileSystem & ~Copyable>: ~Copyable {
  /// How often the driver must step `.tick` while operations are in progress, milliseconds.
  package static var tickMilliseconds: UInt64 { 10 }

  let options: NodeOptions
  let own: Member
  let bootID: UInt64
  let startedAt: Instant
  let recovery: RecoveryReport
  var generator: SeededGenerator
  var chaos: Chaos

  // Who we are
  var identity: IdentityKeeper
  var ring: Ring
  var hash = RingHash(seed: 0)
  var engine: Engine?
  var phase: NodePhase

  // Whom we know
  var peers: PeerTable
  /// Of each store where its feed ended when the process began, and which store it was then.
  let headsAtStart: [StoreID: (incarnation: Identity128, head: UInt64)]
  var genesis = GenesisTable()
  var feeds: FeedTable
  var burials = BurialTable()
  /// Pings for other nodes that are not answered yet.
  var relays: [PingRelay] = []

  // What is in progress
  var writes: [UInt64: WriteOperation] = [:]
  /// Of `writes`, those whose client has its answer: what is left to do is for replicas that have not answered.
  var answeredWrites = 0
  var gets: [UInt64: GetOperation] = [:]
  /// By the number of a question that a read asks for the second time, the read.
  var secondReads: [UInt64: UInt64] = [:]
  var readLatency: ReadLatency
  var forwards: [UInt64: ForwardOperation] = [:]
  var lists: [ListOperation] = []
  var listDoubts = ListDoubts()
  /// Flushes so far.
  var turns: UInt64 = 0
  /// Values that the operations in progress hold.
  var valueBytes = 0
  var nextOperation: UInt64
  var wheel: DeadlineWheel
  var admitted: ForwardLedger
  var merges = MergeProgress()
  var handoffs: HandoffTable
  var exchanges: ExchangeTable
  var scrubbing = Scrubbing()
  var damages = DamageTable()
  var rebuilds = RebuildTable()
  var roles = RoleRefusals()
  var quarantined = QuarantineTable()
  var stalePushes = StalePushTable()
  var salvage: SalvageWork?
  /// Who asked for the snapshot that is being made.
  var snapshotWaiter: SessionID?
  var leaseWaiters: [UInt64] = []
  /// Fenced because the directory is an older copy, and not durably yet.
  var unlinedStores: [StoreID] = []
  /// The highest edition that others were told by processes from the lineage that is left.
  var lineageKnown: UInt64 = 0
  var pendingReads: [UInt64: WaitingRead] = [:]
  var nextRead: UInt64 = 1

  // What waits for the disk
  /// Operations whose own copy stands in no file yet, in order of position: until the end of the turn, or, when the disk
  /// is full, for longer.
  var flushWaiters: [(position: LogPosition, operation: UInt64, stamp: Stamp)] = []
  /// Effects that say that a write of a store, up to a position, stands in a file, in order of position.
  var unflushed: [(position: LogPosition, store: StoreID, effect: Effect)] = []
  /// Effects that promise durability of a store's writes up to a position, in order of position.
  var held: [(position: LogPosition, store: StoreID, effect: Effect)] = []
  /// Operations whose own copy is not durable yet, in order of position.
  var syncWaiters: [(position: LogPosition, operation: UInt64, stamp: Stamp)] = []
  var jobs = JobTable()

  // What the turn asks for
  var free: [Effect] = []
  var stopReason: StopReason?
  package internal(set) var counters = NodeCounters()
  /// Of the event or the flush in progress.
  var present: Instant
  var nextProbes: Instant
  var lastAnnouncement: Instant
  var lastTick: Instant
  var lastComplaint: Instant
  var lastListReview: Instant
  /// Slots that this turn may still look at for pages of keys.
  var slotsLeft = Node.slotsPerTurn
  /// Pages that peers asked for beyond that, oldest first.
  var waitingPages: [(question: PeerList, from: NodeID)] = []
  /// As last told to the operator.
  var clockWasInDoubt = false
  var diskWasFull = false
  /// When the operator was last told that the disk refuses something.
  var lastDiskComplaint: Instant?
  /// When the operator was last told that a hint is not kept.
  var lastHintComplaint: Instant?
  /// The identity file found no room; it is not written again before then.
  var renewalPausedUntil: Instant?

  package var disk: Disk

  /// Bytes of values that client operations in progress hold; one more operation is answered `overloaded`.
  static var valueBytesMax: Int { 256 << 20 }

  /// Acknowledgements that wait for the disk at once; a push beyond them is refused as overload.
  static var heldMax: Int { 65_536 }

  /// Cold reads in progress at once; one more is refused as overload.
  package static var coldReadsMax: Int { 4096 }

  package init(options: NodeOptions, disk: consuming Disk, at now: Moment) throws(NodeStartError) {
    guard let own = options.members.first(where: { $0.name == options.name }) else {
      throw .notAMember(name: options.name, members: options.members.map(\.name))
    }
    var disk = disk
    var generator = SeededGenerator(seed: options.seed)
    let start = try NodeStart.run(options: options, own: own, generator: &generator, disk: &disk, at: now)
    self.options = options
    self.own = own
    bootID = start.bootID
    startedAt = now.instant
    recovery = start.recovery
    identity = start.identity
    ring = Ring(
      epoch: 1, partitionCount: Int(start.identity.manifest.cluster?.partitions ?? options.partitions),
      replicas: Int(start.identity.manifest.cluster?.replicas ?? options.replicas), members: options.members)
    engine = start.engine
    headsAtStart = NodeStart.heads(start.engine)
    hash = RingHash(seed: start.identity.manifest.cluster?.ringSeed ?? 0)
    phase = start.engine == nil ? .founding : .opening
    peers = PeerTable(
      members: options.members, self: own.id, suspectAfterMilliseconds: options.suspectAfterMilliseconds,
      generator: &generator)
    nextOperation = generator.next() / OperationKind.stride * OperationKind.stride
    wheel = DeadlineWheel(at: now.instant)
    admitted = ForwardLedger(at: now.instant, chaos: options.chaos)
    readLatency = ReadLatency(at: now.instant)
    handoffs = HandoffTable(options.members.map(\.id).filter { $0 != own.id }, at: now.instant)
    exchanges = ExchangeTable(at: now.instant)
    feeds = FeedTable(at: now.instant)
    chaos = options.chaos
    present = now.instant
    nextProbes = now.instant
    lastAnnouncement = now.instant
    lastTick = now.instant
    lastComplaint = now.instant
    lastListReview = now.instant
    self.generator = generator
    self.disk = disk
    tellRecovery()
    listSetAside()
    if identity.manifest.leavesLineage { goOnLeavingLineage() }
    beginStores(missing: start.missing)
  }

  /// Takes note of an event. Never throws, never blocks; what follows from it comes with the next `flush`.
  package mutating func step(_ event: Event, at now: Moment) {
    guard stopReason == nil else { return }
    present = now.instant
    switch event {
    case .tick: tick(at: now)
    case .client(let request, let session): receive(request, session: session, at: now)
    case .list(let request, let session): beginList(request, session: session, at: now)
    case .listContinues(let session): continueList(session, at: now)
    case .listAbandoned(let session): abandonList(session)
    case .admin(let request, let session): beginAdmin(request, session: session, at: now)
    case .peer(let message, let node): receive(message, from: node, at: now)
    case .link(let node, let up): linkChanged(node, up: up, at: now)
    case .synced(let ticket): synced(ticket, at: now)
    case .syncFailed(_, let error): stopReason = .failed(error)
    case .jobFailed(let id, let error): jobFailed(id, error, at: now)
    case .read(let ticket, let bytes): coldReadFinished(ticket, .success(bytes), at: now)
    case .readFailed(let ticket, let error): coldReadFinished(ticket, .failure(error), at: now)
    case .jobDone(let id): jobFinished(id, at: now)
    case .shutdown: beginShutdown()
    }
  }

  /// Ends the turn: writes what it appended, and hands over what it asked for, in the order of `Contract.swift`.
  package mutating func flush(at now: Moment) -> Batch {
    var batch = Batch()
    present = now.instant
    turns &+= 1
    if stopReason == nil { batch.wantsTurn = continuePages(at: now) }
    if stopReason == nil, continueMerge(at: now) { batch.wantsTurn = true }
    if stopReason == nil, continueHandoff(at: now) { batch.wantsTurn = true }
    if stopReason == nil, continueExchanges(at: now) { batch.wantsTurn = true }
    if stopReason == nil, continueStalePushes(at: now) { batch.wantsTurn = true }
    if stopReason == nil, continueSalvage(at: now) { batch.wantsTurn = true }
    if stopReason == nil, continueBurials(at: now) { batch.wantsTurn = true }
    if stopReason == nil, continueFeeds(at: now) { batch.wantsTurn = true }
    if stopReason == nil { continueScrub(at: now) }
    if stopReason == nil, let engine {
      do throws(StorageError) {
        try engine.flush(on: &disk)
      } catch {
        stopReason = .failed(error)
      }
    }
    if let stopReason {
      // Whatever this turn wanted to say may rest on a write that did not happen.
      free.removeAll()
      held.removeAll()
      unflushed.removeAll()
      batch.wantsTurn = false
      batch.free = [.stop(stopReason)]
      return batch
    }
    releaseFlushed()
    releaseHeld()
    let mayWait = options.sync == .always || !held.isEmpty || !syncWaiters.isEmpty || feedsWantSync(at: now)
    if mayWait, chaos.strikes(.syncPutOff) {
      batch.wantsTurn = true
    } else if let engine, mayWait, let request = engine.beginSync() {
      batch.sync = request
      batch.afterSync = takeHeld(upTo: engine.flushed)
      counters.syncs += 1
      noteFeedSync(at: now)
    }
    swap(&batch.free, &free)
    return batch
  }

  /// Operations that the driver should tick for.
  package var operationsInProgress: Int {
    clientOperations + answeredWrites + (merges.isActive ? 1 : 0) + (snapshotWaiter == nil ? 0 : 1)
      + (handoffs.isActive ? 1 : 0) + (exchanges.isActive ? 1 : 0) + (stalePushes.entries.isEmpty ? 0 : 1)
      + (salvage == nil ? 0 : 1) + (isFeeding ? 1 : 0) + (burials.lines.isEmpty ? 0 : 1)
  }

  /// Of them those that somebody waits for.
  var clientOperations: Int { writes.count - answeredWrites + gets.count + forwards.count + lists.count }

  package var isServing: Bool { phase == .serving }

  /// The nodes that keep this key.
  package func owners(of key: ObjectKey) -> [NodeID] { owners(storeID(hash(key.encoded))) }

  package func partition(of key: ObjectKey) -> Int { ring.partition(of: hash(key.encoded)) }
}

/// What keeps a node from serving, in order.
enum NodePhase: Equatable, Sendable {
  /// It belongs to no cluster yet.
  case founding
  /// Its stores are being created.
  case creating
  /// Its stores wait for the other owners, or it has not met enough peers yet.
  case opening
  case serving
  case stopping
  /// The last steps to the disk are under way.
  case closing
}

/// Why a node cannot start; one line for its operator.
package enum NodeStartError: Error, Equatable, Sendable, CustomStringConvertible {
  case notAMember(name: String, members: [String])
  case otherNode(directory: String, found: String, wanted: String)
  case otherMembers(directory: String)
  case storage(StorageError)

  package var description: String {
    switch self {
    case .notAMember(let name, let members):
      "this node is called \(name), but --initial-cluster names \(members.joined(separator: ", ")): correct one of them"
    case .otherNode(let directory, let found, let wanted):
      "\(directory) holds the data of node \(found), not of \(wanted): use its own --data, or --name \(found)"
    case .otherMembers(let directory):
      "\(directory) was created with another --initial-cluster: start it with the same list as the first time"
    case .storage(let error): error.description
    }
  }
}
