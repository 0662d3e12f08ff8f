import Causality
import Cluster
import Messages
import Primitives
import Storage

// The handing over of hints as operators see it, and as they ask for it.

extension Node where Disk: ~Copyable {
  /// Requests to drain that wait at once; one more is refused.
  static var drainWaitersMax: Int { 64 }

  // MARK: - Asked for

  /// Everything that can be handed over goes now, whatever was paused; answered when it has gone or cannot.
  mutating func beginDrain(session: SessionID, at now: Moment) {
    guard handoffs.waiters.count < Self.drainWaitersMax else {
      return free.append(
        .adminDone(.refused("\(handoffs.waiters.count) requests wait already"), session: session))
    }
    for index in handoffs.targets.indices {
      handoffs.targets[index].pausedUntil = nil
      if handoffs.targets[index].inFlight.isEmpty { handoffs.targets[index].rewind() }
    }
    handoffs.isActive = true
    handoffs.waiters.append((session, counters.hintsDelivered))
    answerDrainWaiters(at: now)
  }

  mutating func answerDrainWaiters(at now: Moment) {
    guard !handoffs.waiters.isEmpty, let engine else { return }
    let isUnderWay = handoffs.targets.contains { target in
      let id = StoreID.hints(for: target.node)
      guard peers.isUp(target.node), engine.contains(id), engine.role(id) == .active, engine.hintStatus(id).count > 0
      else { return false }
      return !target.inFlight.isEmpty || target.pausedUntil.map { $0 <= now.instant } ?? true
    }
    guard !isUnderWay else { return }
    let statuses = hintStatuses(at: now)
    for waiter in handoffs.waiters {
      let delivered = counters.hintsDelivered - waiter.delivered
      free.append(.adminDone(.drained(delivered: delivered, statuses), session: waiter.session))
    }
    handoffs.waiters.removeAll()
  }

  /// The node stops: hints stay where they are.
  mutating func endDrains() {
    for waiter in handoffs.waiters {
      free.append(.adminDone(.refused("node \(own.name) is stopping"), session: waiter.session))
    }
    handoffs.waiters.removeAll()
  }

  // MARK: - What operators see

  /// Per other node, what is kept for it here and what becomes of it.
  func hintStatuses(at now: Moment) -> [HintQueueStatus] {
    guard let engine else { return [] }
    return handoffs.targets.compactMap { target in
      let id = StoreID.hints(for: target.node)
      guard engine.contains(id), let member = ring.member(target.node) else { return nil }
      let kept = engine.hintStatus(id)
      var status = HintQueueStatus(member: member, count: kept.count, bytes: kept.bytes, fileBytes: kept.fileBytes)
      if kept.count > 0 {
        status.oldestMilliseconds = target.oldest.map {
          now.wallMilliseconds - min(now.wallMilliseconds, $0.milliseconds)
        }
      }
      status.inFlight = target.inFlight.count
      status.delivered = target.deliveredSince
      status.deliveringMilliseconds = target.began.map { now.instant.milliseconds(since: $0) }
      status.state = hintState(target, kept.count, engine.role(id), at: now)
      return status
    }
  }

  private func hintState(
    _ target: HandoffTable.Target, _ count: Int, _ role: StoreRole, at now: Moment
  ) -> HintQueueStatus.State {
    if role != .active {
      return .waiting(
        reason: "\(StoreID.hints(for: target.node)) is damaged: it is kept aside, and a new one is made")
    }
    if count == 0 { return .empty }
    if !peers.isUp(target.node) { return .waiting(reason: describe(.down, of: target.node)) }
    if let until = target.pausedUntil, until > now.instant {
      let reason = target.obstacle.map { describe($0, of: target.node) } ?? "the next pass is due"
      return .waiting(reason: reason)
    }
    return .sending
  }
}
