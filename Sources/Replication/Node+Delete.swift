import Causality
import Cluster
import Messages
import Primitives
import Storage

// Coordinating a delete (rule DELETE OF NOTHING, Docs/Delete.md). Where this owner holds a live value the tombstone is
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
    let half = deadline.milliseconds(since: now.instant) / 2
    var delete = DeleteOperation(
      origin: origin, key: request.key, hash: hash, store: store, configID: configID(store), quorum: quorum,
      deadline: deadline, always: request.always, absent: QuorumTally(replicas: owners, wanted: owners.count),
      probeUntil: now.instant.adding(milliseconds: min(Self.probeMilliseconds, half)),
      offered: stamp, version: StoredVersion(stamp: .zero, isTombstone: true, value: []),
      progress: WriteProgress(replicas: owners, quorum: quorum))
    for node in owners {
      guard let obstacle = obstacle(to: node, store: store) else { continue }
      delete.progress.fail(node, obstacle)
      delete.absent.record(node, accepted: false)
    }
    noteMissingMembers(&delete.progress, n: ring.replicas)
    counters.deletes += 1
    guard delete.progress.verdict != .impossible else {
      return answer(origin, .failed(delete.progress.failure(quorum)))
    }
    let operation = newOperation(.delete)
    if delete.always || delete.absent.verdict == .impossible { delete.phase = .writing }
    deletes[operation] = delete
    schedule(operation, deadline: deadline, at: now)
    if delete.phase == .probing { wheel.schedule(operation, at: delete.probeUntil) }
    coordinateDelete(operation, warm: nil, at: now)
  }

  /// Does what the phase asks of this node's own store.
  mutating func coordinateDelete(_ operation: UInt64, warm: WarmBytes?, at now: Moment) {
    guard let delete = deletes[operation], let engine else { return }
    do throws(StorageError) {
      switch delete.phase {
      case .probing:
        let found = try engine.lookup(
          key: delete.key.encoded, hash: delete.hash, in: delete.store, warm: warm, on: &disk)
        probe(operation, own: found, at: now)
      case .writing:
        guard delete.isStamped else { return stampTombstone(operation, at: now) }
        let outcome = try engine.apply(
          delete.version, key: delete.key.encoded, hash: delete.hash, to: delete.store, warm: warm, on: &disk)
        tombstoneApplied(operation, outcome, at: now)
      }
    } catch {
      refuseDelete(operation, refusal(of: delete.store, error), detail: error.text(naming: objectName))
    }
  }

  /// This node's own store does not do its part, and no other has seen this stamp: where another node handed the delete
  /// over, that one offers it to the next owner.
  mutating func refuseDelete(_ operation: UInt64, _ refusal: Refusal, detail: String) {
    guard let delete = deletes.removeValue(forKey: operation) else { return }
    if case .forwarder(let node, let number, let bootID) = delete.origin {
      answerForwarder(node, operation: number, bootID: bootID, .refused(refusal))
    } else {
      answer(delete.origin, .failed(failure(refusal, detail: detail)))
    }
  }

  // MARK: - Probing

  private mutating func probe(_ operation: UInt64, own found: LookupOutcome, at now: Moment) {
    guard let delete = deletes[operation] else { return }
    switch found {
    case .cold(let read):
      if !readCold(read, for: .delete(operation)) { writeTombstone(operation, at: now) }
    case .found(let version) where !version.isTombstone: writeTombstone(operation, at: now)
    case .found(let version):
      ownHoldsNothing(operation, delete, tombstone: version.stamp)
    case .absent:
      ownHoldsNothing(operation, delete, tombstone: nil)
    }
  }

  private mutating func ownHoldsNothing(_ operation: UInt64, _ delete: DeleteOperation, tombstone: Stamp?) {
    noteAbsent(operation, own.id, tombstone: tombstone)
    let read = PeerRead(operation: operation, store: delete.store, configID: delete.configID, key: delete.key)
    for node in delete.absent.replicas where node != own.id { send(.read(read), to: node) }
  }

  /// One more owner holds nothing live; when all do, there is nothing to delete.
  private mutating func noteAbsent(_ operation: UInt64, _ node: NodeID, tombstone: Stamp?) {
    guard var delete = deletes[operation], delete.phase == .probing else { return }
    if let tombstone { delete.newestTombstone = max(tombstone, delete.newestTombstone ?? tombstone) }
    if delete.absent.record(node, accepted: true) == .reached {
      deletes[operation] = nil
      answer(delete.origin, .notFound(tombstone: delete.newestTombstone))
    } else {
      deletes[operation] = delete
    }
  }

  /// An owner answered the question whether it holds the key.
  mutating func receiveProbeReply(_ reply: PeerReadReply, from node: NodeID, at now: Moment) {
    guard deletes[reply.operation]?.phase == .probing else { return }
    switch reply.outcome {
    case .absent: noteAbsent(reply.operation, node, tombstone: nil)
    case .found(let version) where version.isTombstone:
      noteAbsent(reply.operation, node, tombstone: version.stamp)
    case .found, .refused: writeTombstone(reply.operation, at: now)
    }
  }

  // MARK: - Writing

  private mutating func writeTombstone(_ operation: UInt64, at now: Moment) {
    guard deletes[operation] != nil else { return }
    deletes[operation]?.phase = .writing
    stampTombstone(operation, at: now)
  }

  /// Gives the tombstone a stamp above everything seen so far and starts counting afresh.
  private mutating func stampTombstone(_ operation: UInt64, at now: Moment) {
    guard var delete = deletes[operation] else { return }
    guard delete.attempts < Self.attemptsMax else {
      return failDelete(
        operation, .timeout(detail: "\(delete.attempts) newer writes of this key overtook the delete; try again"))
    }
    guard let stamp = delete.offered ?? issueStamp(at: now) else { return waitForLease(operation, at: now) }
    identity.clock.observe(stamp.time)
    delete.attempts += 1
    delete.isStamped = true
    delete.version.stamp = stamp
    var progress = WriteProgress(replicas: delete.progress.applied.replicas, quorum: delete.quorum)
    for node in progress.applied.replicas {
      if let obstacle = obstacle(to: node, store: delete.store) { progress.fail(node, obstacle) }
    }
    delete.progress = progress
    deletes[operation] = delete
    if progress.verdict == .impossible { return failDelete(operation, progress.failure(delete.quorum)) }
    coordinateDelete(operation, warm: nil, at: now)
  }

  private mutating func tombstoneApplied(_ operation: UInt64, _ outcome: ApplyOutcome, at now: Moment) {
    switch outcome {
    case .applied(let position), .equal(let position):
      guard let delete = deletes[operation] else { return }
      counters.vnodePuts += 1
      pushToOthers(
        operation, store: delete.store, configID: delete.configID, key: delete.key, version: delete.version,
        quorum: delete.quorum, progress: delete.progress)
      ownCopyApplied(operation, position, stamp: delete.version.stamp, dw: delete.quorum.dw)
    case .newer(let stamp, _): beat(stamp.time, operation, at: now)
    case .belowFloor(let floor): beat(floor.time, operation, at: now)
    case .cold(let read):
      if !readCold(read, for: .delete(operation)) {
        failDelete(operation, .overloaded(detail: "\(Self.coldReadsMax) reads are waiting for the disk"))
      }
    case .refused(let disk): refuseDelete(operation, refusal(disk), detail: "")
    }
  }

  /// Something newer than the tombstone exists: a delete goes above it while its client is unanswered. Who forwarded it
  /// knows whether it is.
  private mutating func beat(_ time: HybridTime, _ operation: UInt64, at now: Moment) {
    identity.clock.observe(time)
    guard let delete = deletes[operation] else { return }
    if case .forwarder(let node, let number, let bootID) = delete.origin {
      deletes[operation] = nil
      answerForwarder(node, operation: number, bootID: bootID, .restamp(identity.clock.last))
    } else {
      stampTombstone(operation, at: now)
    }
  }

  mutating func receiveDeleteReply(_ reply: PushReply, from node: NodeID, at now: Moment) {
    let operation = reply.operation
    guard let delete = deletes[operation], delete.phase == .writing, delete.version.stamp == reply.stamp else { return }
    let replica = name(node)
    switch reply.outcome {
    case .applied(let synced):
      deletes[operation]?.progress.applied.record(node, accepted: true)
      if synced { deletes[operation]?.progress.synced.record(node, accepted: true) }
    case .haveNewer(let stamp, _): return beat(stamp.time, operation, at: now)
    case .stale(let time): return beat(time, operation, at: now)
    case .refused(let refusal):
      deletes[operation]?.progress.fail(node, "\(replica): \(refusal)", isFull: refusal == .full)
    }
    settleDelete(operation)
  }

  /// A tombstone that was stamped anew meanwhile does not count what became of the earlier one.
  mutating func deleteOwnCopyFlushed(_ operation: UInt64, stamp: Stamp) {
    guard deletes[operation]?.version.stamp == stamp else { return }
    deletes[operation]?.progress.applied.record(own.id, accepted: true)
    settleDelete(operation)
  }

  mutating func deleteOwnCopySynced(_ operation: UInt64, stamp: Stamp) {
    guard deletes[operation]?.version.stamp == stamp else { return }
    deletes[operation]?.progress.synced.record(own.id, accepted: true)
    settleDelete(operation)
  }

  mutating func deleteReplicaFailed(_ operation: UInt64, _ node: NodeID, _ reason: String, at now: Moment) {
    guard let delete = deletes[operation], delete.progress.applied.replicas.contains(node) else { return }
    deletes[operation]?.progress.fail(node, reason)
    switch delete.phase {
    // It cannot say any more that it holds nothing.
    case .probing: if delete.absent.isOpen(node) { writeTombstone(operation, at: now) }
    case .writing: settleDelete(operation)
    }
  }

  private mutating func settleDelete(_ operation: UInt64) {
    guard let delete = deletes[operation], delete.phase == .writing, delete.isStamped else { return }
    switch delete.progress.verdict {
    case .waiting: return
    case .reached:
      deletes[operation] = nil
      answer(delete.origin, .deleted(stamp: delete.version.stamp))
    case .impossible: failDelete(operation, delete.progress.failure(delete.quorum))
    }
  }

  private mutating func failDelete(_ operation: UInt64, _ failure: ClientFailure) {
    guard let delete = deletes.removeValue(forKey: operation) else { return }
    answer(delete.origin, .failed(failure))
  }

  mutating func wakeDelete(_ operation: UInt64, at now: Moment) {
    guard let delete = deletes[operation] else { return }
    if delete.deadline <= now.instant {
      failDelete(operation, .timeout(detail: missing(delete.progress, delete.quorum)))
    } else if delete.phase == .probing, delete.probeUntil <= now.instant {
      writeTombstone(operation, at: now)
    }
    if deletes[operation] != nil { schedule(operation, deadline: delete.deadline, at: now) }
  }
}
