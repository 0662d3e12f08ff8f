import Causality
import Cluster
import Messages
import Primitives
import Storage

// Coordinating a delete (rule DELETE OF NOTHING, Docs/DeleteProtocol.md). Where this owner holds a live value the tombstone is
// written at once. Where it does not, the other owners are asked first: only when every one of them says that it holds
// nothing live is the client told "not found" and nothing written. Whoever is down or slow makes it a tombstone, never
// a "not found". The tombstone is stamped above everything its quorum saw: an owner that holds something newer makes
// the delete try again with a higher stamp.

extension Node where Disk: ~Copyable {
  /// How long the other owners may take to say that they hold nothing, milliseconds.
  private static var probeMilliseconds: UInt64 { 500 }
  /// Stamps that one delete tries before it gives up against writers that are always newer.
  private static var attemptsMax: Int { 16 }

  mutating func beginDelete(
    _ request: DeleteRequest, hash: UInt64, quorum: ResolvedWrite, origin: Origin, stamp: Stamp?, deadline: Instant,
    at now: Moment
  ) {
    let store = storeID(hash)
    let owners = owners(store)
    var progress = WriteProgress(owners: owners, quorum: quorum)
    plan(&progress, store: store, valueBytes: 0)
    counters.deletes += 1
    guard progress.verdict != .impossible else { return answer(origin, .failed(failure(of: progress, in: store))) }
    let half = deadline.milliseconds(since: now.instant) / 2
    var deletion = Deletion(
      always: request.always, absent: QuorumTally(replicas: owners, wanted: owners.count),
      probeUntil: now.instant.adding(milliseconds: min(Self.probeMilliseconds, half)), offered: stamp)
    for node in owners where !progress.isOpen(node) { deletion.absent.record(node, accepted: false) }
    // Rule DELETE OF NOTHING: a success always has its tombstone.
    let isWritten = deletion.always && options.rules.hold(.deleteOfNothing)
    if isWritten || deletion.absent.verdict == .impossible { deletion.phase = .writing }
    let operation = newOperation(.write)
    let movesOnAt = movesOnAt(deadline: deadline, at: now)
    writes[operation] = WriteOperation(
      origin: origin, key: request.key, hash: hash, store: store, configID: configID(store),
      deadline: deadline, movesOnAt: movesOnAt, intent: .delete(deletion),
      version: StoredVersion(stamp: .zero, isTombstone: true, value: []), isStamped: false, progress: progress)
    wheel.schedule(operation, at: movesOnAt)
    if deletion.phase == .probing { wheel.schedule(operation, at: deletion.probeUntil) }
    coordinateDelete(operation, warm: nil, at: now)
  }

  /// Does what the phase asks of this node's own store.
  mutating func coordinateDelete(_ operation: UInt64, warm: WarmBytes?, at now: Moment) {
    guard let delete = writes[operation], delete.isDelete, let engine else { return }
    do throws(StorageError) {
      if delete.isProbing {
        let found = try engine.lookup(
          key: delete.key.encoded, hash: delete.hash, in: delete.store, warm: warm, on: &disk)
        return probe(operation, own: found, at: now)
      }
      guard delete.isStamped else { return stampTombstone(operation, at: now) }
      let outcome = try engine.apply(
        delete.version, key: delete.key.encoded, hash: delete.hash, to: delete.store, warm: warm, on: &disk)
      tombstoneApplied(operation, delete, outcome, at: now)
    } catch {
      refuseWrite(operation, refusal(of: delete.store, error), detail: error.text(naming: objectName), at: now)
    }
  }

  // MARK: - Probing

  private mutating func probe(_ operation: UInt64, own found: LookupOutcome, at now: Moment) {
    switch found {
    case .cold(let read):
      if !readCold(read, for: .write(operation)) { writeTombstone(operation, at: now) }
    // Also one that has expired: it is there still by a clock that is behind ours.
    case .found(let version) where !version.isTombstone: writeTombstone(operation, at: now)
    case .found(let version): ownHoldsNothing(operation, tombstone: version.stamp)
    case .absent: ownHoldsNothing(operation, tombstone: nil)
    }
  }

  private mutating func ownHoldsNothing(_ operation: UInt64, tombstone: Stamp?) {
    noteAbsent(operation, own.id, tombstone: tombstone)
    guard let delete = writes[operation] else { return }
    let read = PeerRead(.digest, operation: operation, store: delete.store, configID: delete.configID, key: delete.key)
    for node in delete.progress.owners where node != own.id { send(.read(read), to: node) }
  }

  /// One more owner holds nothing live; when all do, there is nothing to delete.
  private mutating func noteAbsent(_ operation: UInt64, _ node: NodeID, tombstone: Stamp?) {
    guard let delete = writes[operation], var deletion = delete.deletion, deletion.phase == .probing else { return }
    if let tombstone { deletion.newestTombstone = max(tombstone, deletion.newestTombstone ?? tombstone) }
    if deletion.absent.record(node, accepted: true) == .reached {
      endWrite(operation)
      answer(
        delete.origin,
        deletion.always
          ? .deleted(stamp: deletion.newestTombstone ?? .zero) : .notFound(tombstone: deletion.newestTombstone))
    } else {
      delete.intent = .delete(deletion)
    }
  }

  /// An owner answered the question whether it holds the key.
  mutating func receiveProbeReply(_ reply: PeerReadReply, from node: NodeID, at now: Moment) {
    guard let delete = writes[reply.operation], delete.isProbing, delete.progress.isOwner(node) else { return }
    switch reply.outcome {
    case .absent: noteAbsent(reply.operation, node, tombstone: nil)
    case .digest(let stamp, isTombstone: true, _): noteAbsent(reply.operation, node, tombstone: stamp)
    case .digest, .found, .refused: writeTombstone(reply.operation, at: now)
    }
  }

  // MARK: - Writing

  mutating func writeTombstone(_ operation: UInt64, at now: Moment) {
    guard let delete = writes[operation], var deletion = delete.deletion else { return }
    deletion.phase = .writing
    delete.intent = .delete(deletion)
    stampTombstone(operation, at: now)
  }

  /// Gives the tombstone a stamp above everything seen so far and starts counting afresh.
  private mutating func stampTombstone(_ operation: UInt64, at now: Moment) {
    guard let delete = writes[operation], var deletion = delete.deletion else { return }
    guard deletion.attempts < Self.attemptsMax else {
      return failWrite(
        operation, .timeout(detail: "\(deletion.attempts) newer writes of this key overtook the delete; try again"))
    }
    guard let stamp = deletion.offered ?? issueStamp(at: now) else { return waitForLease(operation, at: now) }
    identity.clock.observe(stamp.time)
    deletion.attempts += 1
    forgetAwaited(delete)
    var progress = WriteProgress(owners: Array(delete.progress.owners), quorum: delete.quorum)
    plan(&progress, store: delete.store, valueBytes: 0)
    delete.intent = .delete(deletion)
    delete.isStamped = true
    delete.isApplied = false
    delete.version.stamp = stamp
    delete.progress = progress
    if progress.verdict == .impossible { return failWrite(operation, failure(of: progress, in: delete.store)) }
    coordinateDelete(operation, warm: nil, at: now)
  }

  private mutating func tombstoneApplied(
    _ operation: UInt64, _ delete: WriteOperation, _ outcome: ApplyOutcome, at now: Moment
  ) {
    switch outcome {
    case .applied(let position), .equal(let position): ownCopyApplied(operation, delete, position)
    case .newer(let stamp, _): beat(stamp.time, operation, at: now)
    case .belowFloor(let floor): beat(floor.time, operation, at: now)
    case .cold(let read):
      if !readCold(read, for: .write(operation)) {
        failWrite(operation, .overloaded(detail: "\(Self.coldReadsMax) reads are waiting for the disk"))
      }
    case .refused(.tombstonesFull):
      counters.tombstonesRefused += 1
      // No other owner is asked to coordinate: it has as many, or it is told of this one.
      failWrite(operation, .full(detail: tellTombstonesFull(delete.store)))
    case .refused(let disk): refuseWrite(operation, refusal(disk), detail: "", at: now)
    }
  }

  /// Something newer than the tombstone exists: a delete goes above it while its client is unanswered. Who forwarded it
  /// knows whether it is.
  mutating func beat(_ time: HybridTime, _ operation: UInt64, at now: Moment) {
    identity.clock.observe(time)
    guard let delete = writes[operation] else { return }
    if case .forwarder(let node, let number, let bootID) = delete.origin {
      endWrite(operation)
      answerForwarder(node, operation: number, bootID: bootID, .restamp(identity.clock.last))
    } else {
      // It may have to wait for a lease first.
      delete.isStamped = false
      stampTombstone(operation, at: now)
    }
  }
}
