import Causality
import Cluster
import Messages
import Primitives
import Storage

// Coordinating a put: stamp it, apply it here, push it to the other owners, count distinct nodes, answer. The stamp is
// the put's for life (rule ONE STAMP, Docs/Delete.md): nothing below ever gives a put that may have been applied
// anywhere another one.

extension Node where Disk: ~Copyable {
  mutating func beginPut(
    _ request: PutRequest, hash: UInt64, quorum: ResolvedWrite, origin: Origin, stamp: Stamp?, mayBeStampedAnew: Bool,
    deadline: Instant, at now: Moment
  ) {
    let store = storeID(hash)
    let operation = newOperation(.put)
    var put = PutOperation(
      origin: origin, key: request.key, hash: hash, store: store, configID: configID(store), quorum: quorum,
      deadline: deadline, version: StoredVersion(stamp: stamp ?? .zero, isTombstone: false, value: request.payload),
      isStamped: stamp != nil, mayBeStampedAnew: mayBeStampedAnew,
      progress: WriteProgress(replicas: owners(store), quorum: quorum))
    for node in owners(store) {
      if let obstacle = obstacle(to: node, store: store) { put.progress.fail(node, obstacle) }
    }
    noteMissingMembers(&put.progress, n: ring.replicas)
    counters.puts += 1
    // Refused before anything was applied: a put that cannot succeed leaves no trace.
    guard put.progress.verdict != .impossible else {
      return answer(origin, .failed(put.progress.failure(quorum)))
    }
    puts[operation] = put
    valueBytes += request.payload.count
    schedule(operation, deadline: deadline, at: now)
    coordinatePut(operation, warm: nil, at: now)
  }

  /// A cluster with fewer members than n_val: say so where it is what makes a quorum impossible.
  func noteMissingMembers(_ progress: inout WriteProgress, n: Int) {
    let owners = progress.applied.replicas.count
    if owners < n { progress.obstacles.append("the cluster has \(owners) of n_val = \(n) nodes") }
  }

  /// Stamps the put if need be, applies it to this node's store and pushes it to the others.
  mutating func coordinatePut(_ operation: UInt64, warm: WarmBytes?, at now: Moment) {
    guard var put = puts[operation], let engine else { return }
    if !put.isStamped {
      guard let stamp = issueStamp(at: now) else { return waitForLease(operation, at: now) }
      put.version.stamp = stamp
      put.isStamped = true
      puts[operation]?.version.stamp = stamp
      puts[operation]?.isStamped = true
    }
    identity.clock.observe(put.version.stamp.time)
    do throws(StorageError) {
      let outcome = try engine.apply(
        put.version, key: put.key.encoded, hash: put.hash, to: put.store, warm: warm, on: &disk)
      switch outcome {
      case .applied(let position), .equal(let position): putApplied(operation, position)
      case .newer(let stamp, let position):
        if put.mayBeStampedAnew { return stampAnew(operation, above: stamp.time, at: now) }
        // Some owner may hold this put already, and a later write has replaced it here: the put lost, and is done.
        putApplied(operation, position)
      case .belowFloor(let floor):
        if put.mayBeStampedAnew { return stampAnew(operation, above: floor.time, at: now) }
        failPut(operation, .unsatisfied(.w, wanted: put.quorum.w, got: 0, detail: "an old write of a purged key"))
      case .cold(let read):
        if !readCold(read, for: .put(operation)) {
          failPut(operation, .overloaded(detail: "\(Self.coldReadsMax) reads are waiting for the disk"))
        }
      case .refused(let disk): refusePut(operation, refusal(disk), detail: "")
      }
    } catch {
      refusePut(operation, refusal(of: put.store, error), detail: error.text(naming: objectName))
    }
  }

  /// This node's own store does not take the put, and no other has seen it: where another node handed it over, that one
  /// offers it to the next owner.
  mutating func refusePut(_ operation: UInt64, _ refusal: Refusal, detail: String) {
    guard let put = removePut(operation) else { return }
    if case .forwarder(let node, let number, let bootID) = put.origin {
      answerForwarder(node, operation: number, bootID: bootID, .refused(refusal))
    } else {
      answer(put.origin, .failed(failure(refusal, detail: detail)))
    }
  }

  /// The stamp did not win here and nobody has applied it: another one, chosen where the first was.
  private mutating func stampAnew(_ operation: UInt64, above time: HybridTime, at now: Moment) {
    guard let put = puts[operation] else { return }
    identity.clock.observe(time)
    if case .forwarder(let node, let number, let bootID) = put.origin {
      removePut(operation)
      answerForwarder(node, operation: number, bootID: bootID, .restamp(identity.clock.last))
    } else {
      puts[operation]?.isStamped = false
      coordinatePut(operation, warm: nil, at: now)
    }
  }

  /// This node's copy is in the log (or a newer write is); the others hear of it now.
  private mutating func putApplied(_ operation: UInt64, _ position: LogPosition) {
    guard let put = puts[operation] else { return }
    counters.vnodePuts += 1
    puts[operation]?.mayBeStampedAnew = false
    pushToOthers(
      operation, store: put.store, configID: put.configID, key: put.key, version: put.version, quorum: put.quorum,
      progress: put.progress)
    ownCopyApplied(operation, position, stamp: put.version.stamp, dw: put.quorum.dw)
  }

  /// Sends a version to every other owner that has not been given up.
  mutating func pushToOthers(
    _ operation: UInt64, store: StoreID, configID: UInt64, key: ObjectKey, version: StoredVersion,
    quorum: ResolvedWrite, progress: WriteProgress
  ) {
    let push = Push(
      operation: operation, store: store, configID: configID, key: key, version: version,
      wantsApplied: quorum.dw < quorum.applied, wantsSynced: quorum.dw > 0)
    for node in progress.applied.replicas where node != own.id && progress.applied.isOpen(node) {
      send(.push(push), to: node)
    }
  }

  /// Counts this node's own copy toward w as soon as it is in a file, and toward dw as soon as it is durable. Without a
  /// dw nobody waits, and nothing is synced for it.
  mutating func ownCopyApplied(_ operation: UInt64, _ position: LogPosition, stamp: Stamp, dw: Int) {
    guard let engine else { return }
    if position <= engine.flushed {
      ownCopyFlushed(operation, stamp: stamp)
    } else {
      flushWaiters.append((position, operation, stamp))
    }
    guard dw > 0 else { return }
    if position <= engine.durable { return ownCopySynced(operation, stamp: stamp) }
    syncWaiters.append((position, operation, stamp))
  }

  mutating func ownCopyFlushed(_ operation: UInt64, stamp: Stamp) {
    switch OperationKind(of: operation) {
    case .put:
      puts[operation]?.progress.applied.record(own.id, accepted: true)
      settlePut(operation)
    case .delete:
      deleteOwnCopyFlushed(operation, stamp: stamp)
    case .get, .forward, .list, nil: break
    }
  }

  mutating func ownCopySynced(_ operation: UInt64, stamp: Stamp) {
    switch OperationKind(of: operation) {
    case .put:
      puts[operation]?.progress.synced.record(own.id, accepted: true)
      settlePut(operation)
    case .delete:
      deleteOwnCopySynced(operation, stamp: stamp)
    case .get, .forward, .list, nil: break
    }
  }

  mutating func receivePushReply(_ reply: PushReply, from node: NodeID, at now: Moment) {
    switch OperationKind(of: reply.operation) {
    case .put: receivePutReply(reply, from: node)
    case .delete: receiveDeleteReply(reply, from: node, at: now)
    case .get, .forward, .list, nil: break
    }
  }

  private mutating func receivePutReply(_ reply: PushReply, from node: NodeID) {
    guard let stamp = puts[reply.operation]?.version.stamp, stamp == reply.stamp else { return }
    let replica = name(node)
    switch reply.outcome {
    // A replica that holds something newer durably holds what this put loses to: it counts.
    case .applied(let synced), .haveNewer(_, let synced):
      puts[reply.operation]?.progress.applied.record(node, accepted: true)
      if synced { puts[reply.operation]?.progress.synced.record(node, accepted: true) }
    case .stale:
      puts[reply.operation]?.progress.fail(node, "\(replica): the key was deleted and purged meanwhile")
    case .refused(let refusal):
      puts[reply.operation]?.progress.fail(node, "\(replica): \(refusal)", isFull: refusal == .full)
    }
    settlePut(reply.operation)
  }

  mutating func putReplicaFailed(_ operation: UInt64, _ node: NodeID, _ reason: String) {
    puts[operation]?.progress.fail(node, reason)
    settlePut(operation)
  }

  /// Answers once the quorums are met, or cannot be met any more.
  private mutating func settlePut(_ operation: UInt64) {
    guard let verdict = puts[operation]?.progress.verdict, verdict != .waiting,
      let put = puts[operation]
    else { return }
    removePut(operation)
    if verdict == .reached {
      answer(put.origin, .stored(stamp: put.version.stamp))
    } else {
      answer(put.origin, .failed(put.progress.failure(put.quorum)))
    }
  }

  mutating func failPut(_ operation: UInt64, _ failure: ClientFailure) {
    guard let put = removePut(operation) else { return }
    answer(put.origin, .failed(failure))
  }

  @discardableResult
  private mutating func removePut(_ operation: UInt64) -> PutOperation? {
    guard let put = puts.removeValue(forKey: operation) else { return nil }
    valueBytes -= put.version.value.count
    return put
  }

  mutating func wakePut(_ operation: UInt64, at now: Moment) {
    guard let put = puts[operation] else { return }
    guard put.deadline <= now.instant else { return schedule(operation, deadline: put.deadline, at: now) }
    failPut(operation, .timeout(detail: missing(put.progress, put.quorum)))
  }

  /// What a write still waits for, for the client's error.
  func missing(_ progress: WriteProgress, _ quorum: ResolvedWrite) -> String {
    let silent = progress.applied.replicas.filter { progress.applied.isOpen($0) || progress.synced.isOpen($0) }
    let words = ["w \(progress.applied.accepted)/\(quorum.w)", "dw \(progress.synced.accepted)/\(quorum.dw)"]
    let waiting = silent.isEmpty ? [] : ["no answer from \(silent.map { name($0) }.joined(separator: ", "))"]
    return (words + waiting + progress.obstacles).joined(separator: "; ")
  }
}
