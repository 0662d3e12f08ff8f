import Causality
import Cluster
import Messages
import Primitives
import Storage

// A write whose key this node does not own (or may not coordinate) is handed to an owner. The stamp is chosen here and
// travels with the write: when the owner goes away, the next one is offered the same write with the same stamp, so
// that it takes effect once, however often it is offered (rule ONE STAMP, Docs/DeleteProtocol.md). Only this node, which knows
// whether its client still waits, ever chooses another one. Where it doubts its own clock, an owner lends it a stamp.

extension Node where Disk: ~Copyable {
  /// Stamps that one forwarded write tries before it gives up against writers that are always newer.
  private static var stampsMax: Int { 16 }

  mutating func beginForward(
    _ request: ClientRequest, key: ObjectKey, hash: UInt64, session: SessionID, deadline: Instant, at now: Moment
  ) {
    counters.forwarded += 1
    let operation = newOperation(.forward)
    let forward = ForwardOperation(session: session, request: request, key: key, hash: hash, deadline: deadline)
    forwards[operation] = forward
    valueBytes += forward.valueBytes
    sendForward(operation, at: now)
    if forwards[operation] != nil { schedule(operation, deadline: deadline, at: now) }
  }

  /// Offers the write to the next owner that is up and has not been asked.
  mutating func sendForward(_ operation: UInt64, at now: Moment) {
    guard var forward = forwards[operation] else { return }
    if forward.stamp == nil, !peers.clockIsInDoubt(at: now) {
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
    guard !candidates.isEmpty else { return finish(forward, .failed(failure(of: forward, at: now))) }
    let target = candidates[generator.below(candidates.count)]
    forward.target = target
    forward.tried.append(target)
    // A new number for each attempt: an answer that comes late or twice belongs to no other.
    let attempt = newOperation(.forward)
    forwards[attempt] = forward
    schedule(attempt, deadline: forward.deadline, at: now)
    let remaining = UInt32(clamping: forward.deadline.milliseconds(since: now.instant))
    send(
      .forward(
        Forward(
          operation: attempt, bootID: bootID, request: forward.request, stamp: forward.stamp,
          isFirstAttempt: !forward.mayBeApplied, remainingMilliseconds: remaining)),
      to: target)
  }

  /// Answers the client of a forwarded write that is in no table any more.
  private mutating func finish(_ forward: ForwardOperation, _ response: ClientResponse) {
    valueBytes -= forward.valueBytes
    respond(response, to: forward.session)
  }

  private func failure(of forward: ForwardOperation, at now: Moment) -> ClientFailure {
    let detail = forward.obstacles.joined(separator: "; ")
    if forward.mayBeApplied {
      return .timeout(detail: "the coordinating owner went away; the write may or may not have taken effect; \(detail)")
    }
    let wanted = writeQuorum(of: forward.request)?.w ?? 1
    let refusal = refusalToCoordinate(forward.request, hash: forward.hash, at: now)
    var reasons = ["no owner of the key can coordinate", detail].filter { !$0.isEmpty }
    if let refusal { reasons.append("\(own.name): \(refusal)") }
    if forward.metFullDisk || refusal == .full {
      return .full(detail: (reasons + [Self.roomAdvice]).joined(separator: "; "))
    }
    return .unsatisfied(.w, wanted: wanted, got: 0, detail: reasons.joined(separator: "; "))
  }

  mutating func receiveForwardReply(_ reply: ForwardReply, from node: NodeID, at now: Moment) {
    guard reply.bootID == bootID, let forward = forwards[reply.operation], forward.target == node else { return }
    let owner = name(node)
    // Nobody is asked now: a second copy of this answer, while the next attempt waits for a lease, answers nothing.
    forwards[reply.operation]?.target = nil
    switch reply.outcome {
    case .done(let response):
      forwards[reply.operation] = nil
      finish(forward, response)
    case .restamp(let time):
      identity.clock.observe(time)
      restamp(reply.operation, with: nil, at: now)
    case .loan(let stamp):
      guard forward.stamp == nil else { return }
      identity.clock.observe(stamp.time)
      restamp(reply.operation, with: stamp, at: now)
    case .refused(let refusal):
      if refusal == .full { forwards[reply.operation]?.metFullDisk = true }
      forwards[reply.operation]?.obstacles.append("\(owner): \(refusal)")
      sendForward(reply.operation, at: now)
    }
  }

  /// Offers the write again, also to the owner that has just answered, under another stamp. A delete may be stamped
  /// anew as long as its client waits, a put only while nobody can have applied it.
  private mutating func restamp(_ operation: UInt64, with stamp: Stamp?, at now: Moment) {
    guard var forward = forwards[operation], !forward.mayBeApplied || !forward.isPut else { return }
    forward.stampsTried += 1
    guard forward.stampsTried <= Self.stampsMax else {
      forwards[operation] = nil
      let detail = "\(Self.stampsMax) newer writes of this key overtook this one; try again"
      return finish(forward, .failed(.timeout(detail: detail)))
    }
    forward.stamp = stamp
    if !forward.tried.isEmpty { forward.tried.removeLast() }
    forwards[operation] = forward
    sendForward(operation, at: now)
  }

  /// The owner that was to coordinate is gone, perhaps after it applied the write.
  mutating func forwardTargetLost(_ operation: UInt64, _ reason: String, at now: Moment) {
    guard let forward = forwards[operation] else { return }
    // Without a stamp it was only asked for one.
    if forward.stamp != nil { forwards[operation]?.mayBeApplied = true }
    forwards[operation]?.obstacles.append(reason)
    sendForward(operation, at: now)
  }

  mutating func wakeForward(_ operation: UInt64, at now: Moment) {
    guard let forward = forwards[operation] else { return }
    guard forward.deadline <= now.instant else { return schedule(operation, deadline: forward.deadline, at: now) }
    forwards[operation] = nil
    let target = forward.target.map { name($0) } ?? "an owner"
    let detail = ["no answer from \(target), which was to coordinate"] + forward.obstacles
    finish(forward, .failed(.timeout(detail: detail.joined(separator: "; "))))
  }

  // MARK: - At the owner

  mutating func receiveForward(_ forward: Forward, from node: NodeID, at now: Moment) {
    let deadline = deadline(forward.remainingMilliseconds, at: now)
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
    if let refusal = refusalToCoordinate(forward.request, hash: hash, at: now) {
      return refuse(forward, from: node, refusal)
    }
    guard overload() == nil else { return refuse(forward, from: node, .overloaded) }
    guard let stamp = forward.stamp else { return lendStamp(forward, to: node, at: now) }
    coordinate(
      forward.request, hash: hash, origin: .forwarder(node, operation: forward.operation, bootID: forward.bootID),
      stamp: stamp, deadline: deadline, mayBeStampedAnew: forward.isFirstAttempt, at: now)
  }

  /// A stamp for a node that doubts its clock. Nothing is applied: if the loan is lost, nobody has used it.
  private mutating func lendStamp(_ forward: Forward, to node: NodeID, at now: Moment) {
    guard let stamp = issueStamp(at: now) else {
      renewIdentity(at: now)
      return refuse(forward, from: node, .notReady)
    }
    answerForwarder(node, operation: forward.operation, bootID: forward.bootID, .loan(stamp))
  }

  private mutating func refuse(_ forward: Forward, from node: NodeID, _ refusal: Refusal) {
    answerForwarder(node, operation: forward.operation, bootID: forward.bootID, .refused(refusal))
  }
}
