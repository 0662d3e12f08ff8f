import Causality
import Cluster
import Messages
import Primitives
import Storage

// Time, the disk's answers, and the way out: ticks, finished syncs and jobs, leases, shutdown.

extension Node where Disk: ~Copyable {
  static var announcementMilliseconds: UInt64 { 500 }
  /// A node that meets nobody serves what it can after this time: its answers then say who is missing.
  private static var lonelyMilliseconds: UInt64 { 2000 }

  /// A node that waits to serve says so at this interval.
  private static var complaintMilliseconds: UInt64 { 5000 }

  mutating func tick(at now: Moment) {
    noticeStandstill(at: now)
    lastTick = now.instant
    for operation in wheel.expired(at: now.instant) { wake(operation, at: now) }
    reviewPeers(at: now)
    greetAndProbe(at: now)
    reviewLists(at: now)
    reviewExpiries(at: now)
    reviewFeeds(at: now)
    tellOldTombstones(at: now)
    reviewHandoffs(at: now)
    reviewExchanges(at: now)
    reviewDamage(at: now)
    reviewRoles(at: now)
    reviewRebuilds(at: now)
    tellClockDoubt(at: now)
    reviewDisk(at: now)
    if let engine { reviewQuarantine(engine) }
    keepLease(at: now)
    advancePhase(at: now)
    startEngineWork(at: now)
    finishShutdown(at: now)
  }

  private mutating func wake(_ operation: UInt64, at now: Moment) {
    switch OperationKind(of: operation) {
    case .write: wakeWrite(operation, at: now)
    case .get: wakeGet(operation, at: now)
    case .forward: wakeForward(operation, at: now)
    case .list, .handoff, .exchange, .secondRead, nil: break
    }
  }

  // MARK: - Phases

  private mutating func advancePhase(at now: Moment) {
    if phase == .founding || phase == .opening,
      now.instant.milliseconds(since: lastComplaint) >= Self.complaintMilliseconds
    {
      lastComplaint = now.instant
      free.append(.log(.info, "not serving yet: \(startingReason)"))
    }
    switch phase {
    case .founding: foundIfPossible(at: now)
    case .creating: break
    case .opening:
      announceStores(at: now)
      activateStores()
      guard let engine, !engine.storeIDs.contains(where: { awaitsGenesis($0, engine) }) else { return }
      let others = peers.peers.count
      let metEnough = peers.upCount + 1 > (others + 1) / 2
      if metEnough || now.instant.milliseconds(since: startedAt) >= Self.lonelyMilliseconds {
        phase = .serving
        free.append(.log(.info, "serving: \(engine.storeIDs.count) stores, \(peers.upCount) of \(others) peers up"))
      }
    case .serving: announceStores(at: now)
    case .stopping, .closing: break
    }
  }

  private mutating func announceStores(at now: Moment) {
    guard let engine, now.instant.milliseconds(since: lastAnnouncement) >= Self.announcementMilliseconds else { return }
    lastAnnouncement = now.instant
    let isWaiting = engine.storeIDs.contains { store in
      let role = engine.role(store)
      return role == .loading || role == .fenced
    }
    guard isWaiting else { return }
    for peer in peers.peers where peer.wasUp { repeatStoreStates(to: peer.member.id) }
  }

  // MARK: - Jobs

  mutating func start(_ purpose: JobTable.Purpose, _ steps: [DiskStep]) {
    free.append(.job(jobs.add(purpose, steps)))
  }

  mutating func jobFinished(_ id: JobID, at now: Moment) {
    guard let purpose = jobs.finish(id) else { return }
    switch purpose {
    case .identity:
      identity.renewed()
      resumeLeaseWaiters(at: now)
    case .join: joined()
    case .createStores(let seeds, let lost): storesCreated(seeds, lost: lost, at: now)
    case .rebuild: storeRebuilt()
    case .activate(let activated): storesActivated(activated, at: now)
    case .load(let store, let promises): storeLoaded(store, promises, at: now)
    case .engine:
      engine?.completeWork()
      answerMergeWaiters()
      answerSnapshot()
      // A floor may have become durable.
      feeds.noteChange()
    case .promises: promisesWritten()
    case .fence(let store): if engine?.contains(store) == true { engine?.completeFence(store) }
    case .mark(let stores): storesMarked(stores)
    case .lineage: lineageLeft(at: now)
    case .shutdown: stopReason = .clean
    }
  }

  private mutating func startEngineWork(at now: Moment) {
    guard let engine, phase != .closing else { return }
    guard !jobs.contains(where: { if case .engine = $0 { true } else { false } }) else { return }
    if let steps = engine.work(at: now.instant, on: &disk) { start(.engine, steps) }
    answerSnapshot()
  }

  // MARK: - Leases

  /// Says when this node begins or ceases to doubt its clock (rule CLOCKS, Docs/DeleteProtocol.md).
  private mutating func tellClockDoubt(at now: Moment) {
    let isInDoubt = peers.clockIsInDoubt(at: now)
    guard isInDoubt != clockWasInDoubt else { return }
    clockWasInDoubt = isInDoubt
    if isInDoubt {
      free.append(
        .log(
          .warning,
          "this machine's clock is more than \(PeerTable.clockDriftMillisecondsMax / 1000) s from the other nodes': "
            + "no write is coordinated here until it is set right; other owners do that meanwhile"))
    } else {
      free.append(.log(.info, "the clock agrees with the other nodes' again: writes are coordinated here"))
    }
  }

  /// Renews before it is needed, also while nothing is written: the first write after a pause must not wait.
  private mutating func keepLease(at now: Moment) {
    if identity.manifest.leavesLineage, identity.pendingLeaseEnd == nil, !jobs.contains(where: \.writesIdentity),
      renewalPausedUntil.map({ $0 <= now.instant }) ?? true
    {
      goOnLeavingLineage()
    }
    guard phase == .serving || phase == .stopping, identity.pendingLeaseEnd == nil, !chaos.strikes(.leaseLate) else {
      return
    }
    let isShort = identity.wantsLease(wallMilliseconds: now.wallMilliseconds) || !leaseWaiters.isEmpty
    if identity.isDirty || (isShort && !peers.clockIsInDoubt(at: now)) { renewIdentity(at: now) }
  }

  /// Makes the identity file durable, with a longer lease if this node may issue stamps.
  mutating func renewIdentity(at now: Moment) {
    guard renewalPausedUntil.map({ $0 <= now.instant }) ?? true else { return }
    guard identity.pendingLeaseEnd == nil, !jobs.contains(where: \.writesIdentity) else { return }
    let isTrusted = !peers.clockIsInDoubt(at: now)
    start(.identity, identity.renewalSteps(wallMilliseconds: isTrusted ? now.wallMilliseconds : nil))
  }

  /// A fresh stamp above everything issued and seen here, or nil when the lease must be renewed first.
  mutating func issueStamp(at now: Moment) -> Stamp? {
    guard let time = identity.clock.issue(wallMilliseconds: now.wallMilliseconds) else { return nil }
    return Stamp(time: time, actor: identity.manifest.actor)
  }

  /// Parks an operation until a lease covers its stamp.
  mutating func waitForLease(_ operation: UInt64, at now: Moment) {
    leaseWaiters.append(operation)
    // Without a clock to trust there is no longer lease to wait for; the operation's deadline ends the wait then.
    if !peers.clockIsInDoubt(at: now) { renewIdentity(at: now) }
  }

  mutating func resumeLeaseWaiters(at now: Moment) {
    let waiters = leaseWaiters
    leaseWaiters.removeAll()
    for operation in waiters {
      switch OperationKind(of: operation) {
      case .write: coordinateWrite(operation, warm: nil, at: now)
      case .forward: sendForward(operation, at: now)
      case .get, .list, .handoff, .exchange, .secondRead, nil: break
      }
    }
  }

  // MARK: - Durability

  /// Sends `body`, which tells of a write of `store`, when everything up to `position` is durable.
  mutating func sendWhenDurable(_ body: PeerBody, of store: StoreID, to node: NodeID, position: LogPosition) {
    if let engine, position <= engine.durable {
      send(body, to: node)
    } else {
      held.append((position, store, .send(PeerMessage(time: identity.clock.last, body: body), to: node)))
    }
  }

  /// Effects whose position became durable without a sync of their own.
  mutating func releaseHeld() {
    guard let engine, let first = held.first, first.position <= engine.durable else { return }
    free += takeHeld(upTo: engine.durable)
  }

  mutating func takeHeld(upTo position: LogPosition) -> [Effect] {
    let count = held.firstIndex { $0.position > position } ?? held.count
    let effects = held[..<count].map(\.effect)
    if count == held.count { held.removeAll(keepingCapacity: true) } else { held.removeFirst(count) }
    return effects
  }

  mutating func synced(_ ticket: SyncTicket, at now: Moment) {
    engine?.completeSync(ticket)
    settleSyncWaiters(at: now)
  }

  private mutating func settleSyncWaiters(at now: Moment) {
    guard let engine else { return }
    let durable = engine.durable
    let count = syncWaiters.firstIndex { $0.position > durable } ?? syncWaiters.count
    guard count > 0 else { return }
    let ready = Array(syncWaiters[..<count])
    syncWaiters.removeFirst(count)
    for waiter in ready { ownCopySynced(waiter.operation, stamp: waiter.stamp) }
  }

  // MARK: - Shutdown

  mutating func beginShutdown() {
    guard phase != .stopping, phase != .closing else { return }
    phase = .stopping
    endMerges()
    endDrains()
    endExchanges()
    endLists(.notReady(detail: "node \(own.name) is stopping"))
    free.append(.log(.info, "stopping: \(clientOperations) operations to finish"))
  }

  /// A hint that is to be kept needs bytes from the disk first.
  private var isHintWaiting: Bool {
    pendingReads.values.contains { if case .hint = $0.waiter { true } else { false } }
  }

  private mutating func finishShutdown(at now: Moment) {
    settleSyncWaiters(at: now)
    guard phase == .stopping, clientOperations == 0 else { return }
    keepHintsOfAnsweredWrites()
    guard jobs.isEmpty, held.isEmpty, !isHintWaiting else { return }
    // What found no room must not be left behind: until it finds some this is no clean stop.
    if let engine, engine.flushed < engine.appended { return }
    phase = .closing
    start(.shutdown, (engine?.shutdownSteps() ?? []) + identity.finalSteps())
  }
}
