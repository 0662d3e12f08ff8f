import Causality
import Cluster
import Messages
import Primitives
import Storage

// A write whose key this node does not own (or may not coordinate) is handed to an owner. The stamp is chosen here and
// travels with the write: when the owner goes away, the next one is offered the same write with the same stamp, so
// that it takes effect once, however often it is offered (rule ONE STAMP, Docs/Delete.md).

extension Node where Disk: ~Copyable {
  mutating func beginForward(
    _ request: ClientRequest, key: ObjectKey, hash: UInt64, session: SessionID, deadline: Instant, at now: Moment
  ) {
    counters.forwarded += 1
    let operation = newOperation(.forward)
    forwards[operation] = ForwardOperation(
      session: session, request: request, key: key, hash: hash, deadline: deadline)
    wheel.schedule(operation, at: deadline)
    sendForward(operation, at: now)
  }

  /// Offers the write to the next owner that is up and has not been asked.
  mutating func sendForward(_ operation: UInt64, at now: Moment) {
    guard var forward = forwards[operation] else { return }
    if case .put = forward.request, forward.stamp == nil, !forward.mayBeApplied, !peers.clockIsInDoubt(at: now) {
      guard let stamp = issueStamp(at: now) else { return waitForLease(operation, at: now) }
      forward.stamp = stamp
    }
    let store = storeID(forward.hash)
    var candidates: [NodeID] = []
    for node in owners(store) where node != own.id && !forward.tried.contains(node) {
      if let obstacle = obstacle(to: node, store: store) {
        if !forward.obstacles.contains(obstacle) { forward.obstacles.append(obstacle) }
      } else {
        candidates.append(node)
      }
    }
    forwards[operation] = nil
    guard !candidates.isEmpty else { return respond(.failed(failure(of: forward, at: now)), to: forward.session) }
    let target = candidates[generator.below(candidates.count)]
    forward.target = target
    forward.tried.append(target)
    // A new number for each attempt: an answer that comes late or twice belongs to no other.
    let attempt = newOperation(.forward)
    forwards[attempt] = forward
    wheel.schedule(attempt, at: forward.deadline)
    let remaining = UInt32(clamping: forward.deadline.milliseconds(since: now.instant))
    send(
      .forward(
        Forward(
          operation: attempt, bootID: bootID, request: forward.request, stamp: forward.stamp,
          isFirstAttempt: !forward.mayBeApplied, remainingMilliseconds: remaining)),
      to: target)
  }

  private func failure(of forward: ForwardOperation, at now: Moment) -> ClientFailure {
    let detail = forward.obstacles.joined(separator: "; ")
    if forward.mayBeApplied {
      return .timeout(detail: "the coordinating owner went away; the write may or may not have taken effect; \(detail)")
    }
    let wanted = writeQuorum(of: forward.request)?.applied ?? 1
    let own = refusalToCoordinate(forward.hash, at: now).map { ["\(self.own.name): \($0)"] } ?? []
    return .unsatisfied(
      .w, wanted: wanted, got: 0,
      detail: (["no owner of the key can coordinate", detail] + own).filter { !$0.isEmpty }.joined(separator: "; "))
  }

  mutating func receiveForwardReply(_ reply: ForwardReply, from node: NodeID, at now: Moment) {
    guard reply.bootID == bootID, let forward = forwards[reply.operation], forward.target == node else { return }
    let owner = name(node)
    // Nobody is asked now: a second copy of this answer, while the next attempt waits for a lease, answers nothing.
    forwards[reply.operation]?.target = nil
    switch reply.outcome {
    case .done(let response):
      forwards[reply.operation] = nil
      respond(response, to: forward.session)
    case .restamp(let time):
      identity.clock.observe(time)
      guard !forward.mayBeApplied else { return }
      forwards[reply.operation]?.stamp = nil
      forwards[reply.operation]?.tried.removeLast()
      sendForward(reply.operation, at: now)
    case .refused(let refusal):
      forwards[reply.operation]?.obstacles.append("\(owner): \(refusal)")
      sendForward(reply.operation, at: now)
    }
  }

  /// The owner that was to coordinate is gone, perhaps after it applied the write.
  mutating func forwardTargetLost(_ operation: UInt64, _ reason: String, at now: Moment) {
    guard let forward = forwards[operation] else { return }
    forwards[operation]?.mayBeApplied = true
    forwards[operation]?.obstacles.append(reason)
    if case .put = forward.request, forward.stamp == nil {
      // The lost owner stamped it; another would stamp it anew, and one put would take effect twice.
      guard let lost = forwards.removeValue(forKey: operation) else { return }
      return respond(.failed(failure(of: lost, at: now)), to: lost.session)
    }
    sendForward(operation, at: now)
  }

  mutating func wakeForward(_ operation: UInt64, at now: Moment) {
    guard let forward = forwards[operation], forward.deadline <= now.instant else { return }
    forwards[operation] = nil
    let target = forward.target.map { name($0) } ?? "an owner"
    let detail = ["no answer from \(target), which was to coordinate"] + forward.obstacles
    respond(.failed(.timeout(detail: detail.joined(separator: "; "))), to: forward.session)
  }

  // MARK: - At the owner

  mutating func receiveForward(_ forward: Forward, from node: NodeID, at now: Moment) {
    let deadline = now.instant.adding(milliseconds: UInt64(forward.remainingMilliseconds))
    // Noted before it is judged: a second copy must find the first one's answer final, whatever has changed since.
    switch admitted.admit(
      node, bootID: forward.bootID, operation: forward.operation, until: deadline, at: now.instant)
    {
    case .fresh: break
    case .repeated: return
    case .full: return refuse(forward, from: node, .overloaded)
    }
    let key: ObjectKey
    switch forward.request {
    case .put(let put): key = put.key
    case .delete(let delete): key = delete.key
    case .get: return refuse(forward, from: node, .notOwner)
    }
    let hash = hash(key.encoded)
    if let refusal = refusalToCoordinate(hash, at: now) { return refuse(forward, from: node, refusal) }
    guard operationsInProgress < options.operationsMax else {
      counters.overloads += 1
      return refuse(forward, from: node, .overloaded)
    }
    coordinate(
      forward.request, hash: hash, origin: .forwarder(node, operation: forward.operation, bootID: forward.bootID),
      stamp: forward.stamp, deadline: deadline, mayBeStampedAnew: forward.isFirstAttempt, at: now)
  }

  private mutating func refuse(_ forward: Forward, from node: NodeID, _ refusal: Refusal) {
    answerForwarder(node, operation: forward.operation, bootID: forward.bootID, .refused(refusal))
  }
}
