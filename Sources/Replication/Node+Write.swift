import Causality
import Cluster
import Messages
import Primitives
import Storage

// What puts and deletes have in common: who is asked to take the write, who stands in for owners that cannot, what
// counts, and when the client is answered. How a put or a delete comes by its stamp stands in the files of those names.
//
// An owner that is down, refuses or has too much waiting is stood in for at once: by the next fallback, which keeps the
// write as a hint and counts toward w (and dw, after its fsync), or, when no other node is up, by a hint of this node's
// own, which counts for nothing. An owner that only does not answer is stood in for after a while, and still counts if
// it answers later. The operation goes on after its client has been answered, until everybody is settled.

extension Node where Disk: ~Copyable {
  /// Writes that one peer has been sent and has not answered; one more goes to somebody else, as a hint.
  static var awaitedWritesMax: Int { 8192 }
  /// Bytes of their values; a peer that owes nothing is sent a longer one.
  static var awaitedBytesMax: Int { 32 << 20 }

  // MARK: - Who takes it

  /// Gives up the owners that cannot take a write now, and finds who stands in for them. No effect outside `progress`.
  mutating func plan(_ progress: inout WriteProgress, store: StoreID, valueBytes: Int) {
    for owner in progress.owners {
      guard let obstacle = writeObstacle(to: owner, store: store, valueBytes: valueBytes) else { continue }
      _ = progress.fail(owner, obstacle)
    }
    for owner in progress.owners where owner != own.id && !progress.isOpen(owner) {
      standIn(for: owner, &progress, store: store)
    }
  }

  /// Why a node cannot take a write now, or nil.
  private mutating func writeObstacle(to node: NodeID, store: StoreID, valueBytes: Int) -> Obstacle? {
    if let obstacle = replicaObstacle(to: node, store: store) { return obstacle }
    guard node != own.id, let index = peers.index(node) else { return nil }
    if chaos.strikes(.peerBusy) { return .busy }
    let awaited = peers[index].awaitedWrites
    guard awaited > 0 else { return nil }
    let isBusy =
      awaited >= Self.awaitedWritesMax || peers[index].awaitedBytes + valueBytes > Self.awaitedBytesMax
    return isBusy ? .busy : nil
  }

  /// The next fallback joins for this owner, or this node itself keeps the hint.
  private mutating func standIn(for owner: NodeID, _ progress: inout WriteProgress, store: StoreID) {
    for node in ring.fallbacks(of: Int(store.partition)) where node != own.id && !progress.nodes.contains(node) {
      guard writeObstacle(to: node, store: store, valueBytes: 0) == nil else { continue }
      if progress.join(node, for: owner) { return }
    }
    progress.owe(owner)
  }

  // MARK: - On its way

  /// This node's copy is in the log (or a newer write is): the others hear of it now.
  mutating func ownCopyApplied(_ operation: UInt64, _ write: WriteOperation, _ position: LogPosition) {
    guard let engine else { return }
    counters.vnodePuts += 1
    write.isApplied = true
    sendOut(operation, write)
    let stamp = write.version.stamp
    if position <= engine.flushed {
      ownCopyFlushed(operation, stamp: stamp)
    } else {
      flushWaiters.append((position, operation, stamp))
    }
    // Without a dw nobody waits, and nothing is synced for it.
    guard write.quorum.dw > 0 else { return }
    if position <= engine.durable { return ownCopySynced(operation, stamp: stamp) }
    syncWaiters.append((position, operation, stamp))
  }

  /// Sends the write to whoever has not been sent it, and keeps the hints that are this node's to keep.
  private mutating func sendOut(_ operation: UInt64, _ write: WriteOperation) {
    guard write.isApplied else { return }
    let quorum = write.quorum
    while let (node, owner) = write.progress.nextToSend(besides: own.id) {
      peers.awaitWrite(node, bytes: write.version.value.count)
      let push = Push(
        kind: node == owner ? .write : .hint(for: owner), operation: operation, store: write.store,
        configID: write.configID, key: write.key, version: write.version, wantsApplied: quorum.dw < quorum.w,
        wantsSynced: quorum.dw > 0)
      send(.push(push), to: node)
    }
    for owner in write.progress.takeOwed() {
      keep(HintOffer(owner: owner, key: write.key, hash: write.hash, version: write.version), warm: nil)
    }
  }

  /// A node takes no further part. If it was to take the write, somebody stands in for the owner concerned.
  mutating func replicaFailed(_ operation: UInt64, _ node: NodeID, _ obstacle: Obstacle) {
    guard let write = writes[operation], let owner = write.progress.ward(of: node) else { return }
    if write.progress.isAwaited(node) { noteAnswered(node, write) }
    guard write.progress.fail(node, obstacle) else { return }
    if owner != own.id, obstacle.wantsHint || owner != node {
      if owner != node { write.progress.loseHint(owner) }
      letSomebodyStandIn(for: owner, operation, write)
    }
  }

  private mutating func letSomebodyStandIn(for owner: NodeID, _ operation: UInt64, _ write: WriteOperation) {
    guard write.progress.lacksHint(owner) else { return }
    standIn(for: owner, &write.progress, store: write.store)
    sendOut(operation, write)
  }

  /// The node does not owe an answer to this write any more.
  private mutating func noteAnswered(_ node: NodeID, _ write: WriteOperation) {
    if write.progress.wasSent(node) { peers.writeAnswered(node, bytes: write.version.value.count) }
  }

  // MARK: - Answers

  mutating func receivePushReply(_ reply: PushReply, from node: NodeID, at now: Moment) {
    switch OperationKind(of: reply.operation) {
    case .write: receiveWriteReply(reply, from: node, at: now)
    case .handoff: receiveHandoffReply(reply, from: node, at: now)
    case .get, .forward, .list, .exchange, .secondRead, nil: break
    }
  }

  private mutating func receiveWriteReply(_ reply: PushReply, from node: NodeID, at now: Moment) {
    let operation = reply.operation
    guard let write = writes[operation], write.isApplied, write.version.stamp == reply.stamp,
      write.progress.wasSent(node)
    else { return }
    // Rule ONE STAMP: a put is never stamped anew, however late it learns of something newer.
    let mayBeat = write.isDelete ? !write.isAnswered : !options.rules.hold(.oneStamp)
    switch reply.outcome {
    case .applied(let synced): taken(write, by: node, synced: synced)
    case .haveNewer(let stamp, let synced):
      if mayBeat, write.isDelete { return beat(stamp.time, operation, at: now) }
      if mayBeat { return stampAnew(operation, above: stamp.time, at: now) }
      // A replica that holds something newer durably holds what this write loses to: it counts.
      taken(write, by: node, synced: synced)
    case .stale(let time):
      if mayBeat, write.isDelete { return beat(time, operation, at: now) }
      replicaFailed(operation, node, .purged)
    // Nobody says that to a client's write.
    case .handled, .retry: replicaFailed(operation, node, .refused(.unavailable))
    case .refused(let refusal): replicaFailed(operation, node, .refused(refusal))
    }
    settleWrite(operation, write)
  }

  private mutating func taken(_ write: WriteOperation, by node: NodeID, synced: Bool) {
    if write.progress.take(node, synced: synced) { noteAnswered(node, write) }
  }

  /// A tombstone that was stamped anew meanwhile does not count what became of the earlier one.
  mutating func ownCopyFlushed(_ operation: UInt64, stamp: Stamp) {
    guard let write = writes[operation], write.version.stamp == stamp else { return }
    write.progress.noteApplied(own.id)
    settleWrite(operation, write)
  }

  mutating func ownCopySynced(_ operation: UInt64, stamp: Stamp) {
    guard let write = writes[operation], write.version.stamp == stamp else { return }
    write.progress.noteSynced(own.id)
    settleWrite(operation, write)
  }

  mutating func writePeerFailed(_ operation: UInt64, _ node: NodeID, _ obstacle: Obstacle, at now: Moment) {
    guard let write = writes[operation], write.progress.nodes.contains(node) else { return }
    let wasProbing = write.isProbing
    replicaFailed(operation, node, obstacle)
    // It cannot say any more that it holds nothing.
    if wasProbing {
      if write.deletion?.absent.isOpen(node) == true { writeTombstone(operation, at: now) }
    } else {
      settleWrite(operation, write)
    }
  }

  /// Answers the client once the quorums are met or cannot be met any more, and ends the operation once nobody is
  /// waited for.
  private mutating func settleWrite(_ operation: UInt64, _ write: WriteOperation) {
    guard write.isStamped, !write.isProbing else { return }
    if !write.isAnswered {
      switch write.progress.verdict {
      case .waiting: return
      case .reached:
        if write.progress.isSloppy { counters.sloppyWrites += 1 }
        let stamp = write.version.stamp
        answerWrite(write, write.isDelete ? .deleted(stamp: stamp) : .stored(stamp: stamp))
      case .impossible: answerWrite(write, .failed(failure(of: write.progress, in: write.store)))
      }
    }
    if !write.isApplied || write.progress.isSettled { endWrite(operation) }
  }

  private mutating func answerWrite(_ write: WriteOperation, _ response: ClientResponse) {
    guard !write.isAnswered else { return }
    write.isAnswered = true
    answeredWrites += 1
    answer(write.origin, response)
  }

  /// Answers with a failure and forgets the write: no other node has been sent it, or it is no use any more.
  mutating func failWrite(_ operation: UInt64, _ failure: ClientFailure) {
    if let write = writes[operation] { answerWrite(write, .failed(failure)) }
    endWrite(operation)
  }

  /// Forgets the operation without an answer, if it has none yet.
  @discardableResult
  mutating func endWrite(_ operation: UInt64) -> WriteOperation? {
    guard let write = writes.removeValue(forKey: operation) else { return nil }
    if write.isAnswered { answeredWrites -= 1 }
    valueBytes -= write.version.value.count
    if !write.progress.isSettled { forgetAwaited(write) }
    return write
  }

  /// Whoever has not answered will not be waited for.
  mutating func forgetAwaited(_ write: WriteOperation) {
    for node in write.progress.awaited { peers.writeAnswered(node, bytes: write.version.value.count) }
  }

  // MARK: - Time

  mutating func wakeWrite(_ operation: UInt64, at now: Moment) {
    guard let write = writes[operation] else { return }
    if write.deadline <= now.instant { return writeDeadlinePassed(operation, write) }
    if let deletion = write.deletion, deletion.phase == .probing {
      if deletion.probeUntil <= now.instant { writeTombstone(operation, at: now) }
    } else if !write.isAnswered, write.movesOnAt <= now.instant {
      for node in write.progress.awaited {
        if let owner = write.progress.ward(of: node) { letSomebodyStandIn(for: owner, operation, write) }
      }
    }
    if writes[operation] != nil { schedule(operation, deadline: write.deadline, at: now) }
  }

  /// Nobody is waited for any longer; the owners that have not answered get a hint here.
  private mutating func writeDeadlinePassed(_ operation: UInt64, _ write: WriteOperation) {
    answerWrite(write, .failed(.timeout(detail: missing(write.progress))))
    for node in write.progress.awaited {
      guard let owner = write.progress.ward(of: node), write.isApplied else { continue }
      if node == owner && write.progress.fallbackHolds(for: owner) { continue }
      keep(HintOffer(owner: owner, key: write.key, hash: write.hash, version: write.version), warm: nil)
    }
    endWrite(operation)
  }

  /// Nobody is waited for because this node stops.
  mutating func keepHintsOfAnsweredWrites() {
    for operation in writes.keys.sorted() {
      if let write = writes[operation] { writeDeadlinePassed(operation, write) }
    }
  }

  /// When owners that have not answered are stood in for: before the deadline, so that the write can still succeed.
  func movesOnAt(deadline: Instant, at now: Moment) -> Instant {
    now.instant.adding(
      milliseconds: min(options.suspectAfterMilliseconds, deadline.milliseconds(since: now.instant) / 2))
  }

  // MARK: - Words

  /// Which promise is short, and of how many nodes; or that room, or patience, is all that was lacking.
  func failure(of progress: WriteProgress, in store: StoreID) -> ClientFailure {
    let quorum = progress.quorum
    let detail = describe(progress)
    let full = progress.obstacles.count { $0.obstacle == .refused(.full) }
    if full > 0, progress.mayApply + full >= quorum.w, progress.maySync + full >= quorum.dw {
      let got = "\(min(progress.mayApply, progress.maySync)) of \(max(quorum.w, quorum.dw)) nodes have room"
      return .full(detail: "\(got); \(detail); \(Self.roomAdvice)")
    }
    let crowded = progress.obstacles.count { $0.obstacle == .refused(.tombstonesFull) }
    if crowded > 0, progress.mayApply + crowded >= quorum.w, progress.maySync + crowded >= quorum.dw {
      return .full(detail: tellTombstonesFull(store, detail))
    }
    let busy = progress.obstacles.count { $0.obstacle == .busy }
    if busy > 0, progress.mayApply + busy >= quorum.w, progress.maySync + busy >= quorum.dw {
      return .overloaded(detail: detail)
    }
    if progress.mayApply < quorum.w {
      return .unsatisfied(.w, wanted: quorum.w, got: progress.mayApply, detail: detail)
    }
    if progress.ownersMayApply < quorum.pw {
      return .unsatisfied(.pw, wanted: quorum.pw, got: progress.ownersMayApply, detail: detail)
    }
    return .unsatisfied(.dw, wanted: quorum.dw, got: progress.maySync, detail: detail)
  }

  /// What a write still waits for, for the client's error.
  func missing(_ progress: WriteProgress) -> String {
    let quorum = progress.quorum
    let words = ["w \(progress.appliedCount)/\(quorum.w)", "dw \(progress.syncedCount)/\(quorum.dw)"]
    let silent = progress.nodes.filter { progress.isOpen($0) }.map { name($0) }
    let waiting = silent.isEmpty ? [] : ["no answer from \(silent.joined(separator: ", "))"]
    return (words + waiting + [describe(progress)]).filter { !$0.isEmpty }.joined(separator: "; ")
  }

  private func describe(_ progress: WriteProgress) -> String {
    describe(progress.obstacles, owners: progress.owners.count)
  }

  /// Who does not take part and why; and that the cluster is too small, where it is.
  func describe(_ obstacles: [(node: NodeID, obstacle: Obstacle)], owners: Int) -> String {
    var words = obstacles.map { describe($0.obstacle, of: $0.node) }
    if owners < ring.replicas { words.append("the cluster has \(owners) of n_val = \(ring.replicas) nodes") }
    return words.joined(separator: "; ")
  }

  func describe(_ obstacle: Obstacle, of node: NodeID) -> String {
    switch obstacle {
    case .down:
      guard let index = peers.index(node) else { return "\(name(node)): unknown" }
      return "\(name(node)) is \(peers[index].isSuspect ? "suspect" : "down"): \(peers[index].downReason)"
    case .wentDown: return "\(name(node)) went down"
    case .silent: return "\(name(node)) does not answer"
    case .refused(let refusal): return "\(name(node)): \(refusal)"
    case .busy: return "\(name(node)): too many writes wait for it"
    case .purged: return "\(name(node)): the key was deleted and purged meanwhile"
    case .unsettled: return "\(name(node)) has purged newer tombstones, and cannot ask every other owner what it holds"
    }
  }
}
