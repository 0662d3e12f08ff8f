import Causality
import Cluster
import Messages
import Primitives
import Storage

// Handing hints over: as soon as an owner is up again, everything kept for it is sent, in the order of the log, a few at
// a time, as pushes with the writes' own stamps. A hint is forgotten when the owner says that it durably holds the
// write or something newer, or that it has settled the matter with all other owners (`Node+StalePush.swift`). Whatever
// is not answered, or put off, stays and is sent again in the next pass: pushes may be repeated.

extension Node where Disk: ~Copyable {
  /// Hints of one target that have not been answered, and the bytes of their records.
  static var handoffsInFlightMax: Int { 256 }
  private static var inFlightBytesMax: Int { 1 << 20 }
  /// What one turn reads, at most, so that requests wait no longer than for a slice of a merge.
  private static var pageBytes: Int { 4 << 10 }
  /// A short record costs as much as this many bytes: it is messages that weigh then.
  private static var hintBytesMin: Int { 256 }
  private static var burstBytes: Int { 256 << 10 }
  /// An unanswered hint is not waited for any longer.
  private static var patienceMilliseconds: UInt64 { 5000 }
  /// Pauses grow from `hint_retry_interval` to this many times as much.
  private static var pausesMax: Int { 5 }
  /// What a node that has just come up needs until the other owners have found its stores whole, and it takes hints.
  private static var validationMilliseconds: UInt64 { 50 }

  // MARK: - A turn

  /// Sends what may be sent now. - Returns: Whether the next turn should not wait.
  mutating func continueHandoff(at now: Moment) -> Bool {
    guard handoffs.isActive, phase == .serving, let engine else { return false }
    allowHandoff(at: now.instant)
    var wantsTurn = false
    for index in handoffs.targets.indices where maySend(to: index, engine, at: now) {
      if sendPage(to: index, engine, at: now) { wantsTurn = true }
    }
    handoffs.isActive = isHandingOver(engine, at: now)
    return wantsTurn
  }

  private mutating func maySend(to index: Int, _ engine: Engine, at now: Moment) -> Bool {
    let target = handoffs.targets[index]
    guard !target.isAtEnd, !target.isReading, peers.isUp(target.node),
      engine.contains(.hints(for: target.node)), engine.role(.hints(for: target.node)) == .active
    else { return false }
    if let until = target.pausedUntil, until > now.instant { return false }
    return handoffs.allowance > 0 && target.inFlight.count < Self.handoffsInFlightMax
      && target.bytesInFlight < Self.inFlightBytesMax
  }

  private mutating func allowHandoff(at now: Instant) {
    let since = handoffs.reckoned ?? now
    let earned = now.milliseconds(since: since) * options.handoffBytesPerSecond / 1000
    guard earned > 0 || handoffs.reckoned == nil else { return }
    handoffs.reckoned = now
    handoffs.allowance = min(Self.burstBytes, handoffs.allowance + Int(clamping: max(earned, 1)))
  }

  private mutating func sendPage(to index: Int, _ engine: Engine, at now: Moment) -> Bool {
    let node = handoffs.targets[index].node
    let id = StoreID.hints(for: node)
    let warm = handoffs.targets[index].warm
    handoffs.targets[index].warm = nil
    do throws(StorageError) {
      switch try engine.hintPage(
        of: id, from: handoffs.targets[index].cursor, bytesMax: Self.pageBytes, warm: warm, on: &disk)
      {
      case .page(let hints, let next):
        handoffs.targets[index].cursor = next
        if !hints.isEmpty { handoffs.targets[index].began = handoffs.targets[index].began ?? now.instant }
        for hint in hints { hand(hint, to: index, at: now) }
        return maySend(to: index, engine, at: now)
      case .cold(let read):
        handoffs.targets[index].isReading = readCold(read, for: .handoff(node))
        return false
      case .end:
        endPass(index, engine, at: now)
        return false
      }
    } catch {
      _ = refusal(of: id, error)
      return false
    }
  }

  private mutating func hand(_ hint: Hint, to index: Int, at now: Moment) {
    let node = handoffs.targets[index].node
    guard let key = ObjectKey(encoded: hint.key) else { return }
    var version = hint.version
    if !options.rules.hold(.hintStamp), let stamp = issueStamp(at: now) { version.stamp = stamp }
    let operation = newOperation(.handoff)
    let byteCount = hint.key.count + hint.version.value.count
    let store = storeID(hash(hint.key))
    handoffs.targets[index].inFlight[operation] = HandoffTable.InFlight(
      place: hint.place, stamp: version.stamp, byteCount: byteCount, sent: now.instant)
    handoffs.targets[index].bytesInFlight += byteCount
    handoffs.allowance -= max(byteCount, Self.hintBytesMin)
    let push = Push(
      kind: .handoff, operation: operation, store: store, configID: configID(store), key: key, version: version,
      wantsApplied: false, wantsSynced: true)
    send(.push(push), to: node)
  }

  /// Everything in files was looked at. What is left then was refused, not answered, or kept meanwhile.
  private mutating func endPass(_ index: Int, _ engine: Engine, at now: Moment) {
    handoffs.targets[index].isAtEnd = true
    finishPass(index, engine, at: now)
  }

  private mutating func finishPass(_ index: Int, _ engine: Engine, at now: Moment) {
    guard handoffs.targets[index].isAtEnd, handoffs.targets[index].inFlight.isEmpty else { return }
    let id = StoreID.hints(for: handoffs.targets[index].node)
    guard engine.contains(id), engine.hintStatus(id).count > 0 else {
      handoffs.targets[index].rewind()
      handoffs.targets[index].isAtEnd = true
      handoffs.targets[index].pauses = 0
      handoffs.targets[index].obstacle = nil
      tellHandedOver(index, at: now)
      return answerDrainWaiters(at: now)
    }
    let isFruitless = handoffs.targets[index].deliveredInPass == 0
    handoffs.targets[index].rewind()
    if handoffs.targets[index].pausedUntil.map({ $0 <= now.instant }) ?? true {
      pause(index, isFruitless ? handoffs.targets[index].obstacle : nil, at: now)
    }
    answerDrainWaiters(at: now)
  }

  /// Nothing is left for this node: the next hints begin another account.
  private mutating func tellHandedOver(_ index: Int, at now: Moment) {
    let target = handoffs.targets[index]
    handoffs.targets[index].began = nil
    handoffs.targets[index].deliveredSince = 0
    guard let began = target.began, target.deliveredSince > 0 else { return }
    let hints = target.deliveredSince == 1 ? "1 hint" : "\(target.deliveredSince) hints"
    let milliseconds = now.instant.milliseconds(since: began)
    free.append(.log(.info, "handed \(hints) over to \(name(target.node)) in \(milliseconds) ms: none is left"))
  }

  /// Tries again later, and ever later as long as nothing is taken.
  private mutating func pause(_ index: Int, _ obstacle: Obstacle?, at now: Moment) {
    let isUnvalidated = obstacle == .refused(.unvalidated)
    let exponent = min(handoffs.targets[index].pauses, Self.pausesMax)
    handoffs.targets[index].pausedUntil = now.instant.adding(
      milliseconds: isUnvalidated ? Self.validationMilliseconds : options.hintRetryMilliseconds << UInt64(exponent))
    handoffs.targets[index].obstacle = obstacle
    if obstacle != nil, !isUnvalidated { handoffs.targets[index].pauses += 1 }
    // What was refused stands behind the cursor.
    handoffs.targets[index].cursor = .start
    handoffs.targets[index].isAtEnd = false
    handoffs.targets[index].deliveredInPass = 0
  }

  // MARK: - Answers

  mutating func receiveHandoffReply(_ reply: PushReply, from node: NodeID, at now: Moment) {
    guard let engine, let index = handoffs.index(node),
      let hint = handoffs.targets[index].inFlight[reply.operation], hint.stamp == reply.stamp
    else { return }
    handoffs.targets[index].inFlight[reply.operation] = nil
    handoffs.targets[index].bytesInFlight -= hint.byteCount
    switch reply.outcome {
    case .applied(synced: true), .haveNewer(_, synced: true), .handled:
      handoffs.targets[index].pauses = 0
      handoffs.targets[index].obstacle = nil
      handoffs.targets[index].deliveredSince += 1
      handoffs.targets[index].deliveredInPass += 1
      counters.hintsDelivered += 1
      _ = engine.forgetHint(hint.place, of: .hints(for: node))
    case .applied, .haveNewer: break
    case .stale: handoffs.targets[index].obstacle = .purged
    case .retry: handoffs.targets[index].obstacle = .unsettled
    case .refused(let refusal):
      handoffs.targets[index].obstacle = .refused(refusal)
      if refusal.concernsNode, handoffs.targets[index].pausedUntil.map({ $0 <= now.instant }) ?? true {
        pause(index, .refused(refusal), at: now)
      }
    }
    finishPass(index, engine, at: now)
  }

  // MARK: - Time

  private static var handoffReviewMilliseconds: UInt64 { 250 }
  /// Pages without a hint that are passed over for the age of the oldest, each time.
  private static var pagesForAge: Int { 8 }

  /// Gives up what is not answered, begins what is due, and looks after the ages.
  mutating func reviewHandoffs(at now: Moment) {
    guard let engine, phase == .serving || phase == .opening,
      now.instant.milliseconds(since: handoffs.reviewed) >= Self.handoffReviewMilliseconds
    else { return }
    handoffs.reviewed = now.instant
    for index in handoffs.targets.indices {
      let id = StoreID.hints(for: handoffs.targets[index].node)
      giveUpLate(index, at: now)
      guard engine.contains(id), engine.hintStatus(id).count > 0 else {
        handoffs.targets[index].oldest = nil
        handoffs.targets[index].head = .start
        continue
      }
      finishPass(index, engine, at: now)
      lookForOldest(index, id, engine)
    }
    handoffs.isActive = isHandingOver(engine, at: now)
    answerDrainWaiters(at: now)
  }

  private mutating func giveUpLate(_ index: Int, at now: Moment) {
    for (operation, hint) in handoffs.targets[index].inFlight.sorted(by: { $0.key < $1.key })
    where now.instant.milliseconds(since: hint.sent) >= Self.patienceMilliseconds {
      handoffs.targets[index].inFlight[operation] = nil
      handoffs.targets[index].bytesInFlight -= hint.byteCount
    }
  }

  /// The first hint of the log is the oldest, but for those that a merge has moved.
  private mutating func lookForOldest(_ index: Int, _ id: StoreID, _ engine: Engine) {
    guard !handoffs.targets[index].isReading, engine.role(id) == .active else { return }
    for _ in 0..<Self.pagesForAge {
      let warm = handoffs.targets[index].warm
      let page: HintPageOutcome
      do throws(StorageError) {
        page = try engine.hintPage(
          of: id, from: handoffs.targets[index].head, bytesMax: Self.pageBytes, warm: warm, on: &disk)
      } catch {
        _ = refusal(of: id, error)
        return
      }
      switch page {
      case .page(let hints, let next):
        if let first = hints.first {
          handoffs.targets[index].oldest = first.version.stamp.time
          return
        }
        handoffs.targets[index].head = next
      case .cold(let read):
        handoffs.targets[index].isReading = readCold(read, for: .handoff(handoffs.targets[index].node))
        return
      case .end:
        // A merge has moved what was here behind the end that was reached.
        handoffs.targets[index].head = .start
        return
      }
    }
  }

  /// Hints are on their way, or could be sent now.
  private func isHandingOver(_ engine: Engine, at now: Moment) -> Bool {
    handoffs.targets.contains { target in
      let id = StoreID.hints(for: target.node)
      if !target.inFlight.isEmpty { return true }
      guard peers.isUp(target.node), !target.isAtEnd, engine.contains(id), engine.role(id) == .active else {
        return false
      }
      return engine.hintStatus(id).count > 0 && target.pausedUntil.map { $0 <= now.instant } ?? true
    }
  }

  /// The owner is up: its hints go out now, whatever was paused before.
  mutating func handoffPeerIsUp(_ node: NodeID, at now: Moment) {
    guard let index = handoffs.index(node) else { return }
    handoffs.targets[index].rewind()
    handoffs.targets[index].pausedUntil = now.instant.adding(milliseconds: Self.validationMilliseconds)
    handoffs.targets[index].pauses = 0
    handoffs.targets[index].obstacle = nil
    handoffs.isActive = true
    handoffs.targets[index].began = nil
    handoffs.targets[index].deliveredSince = 0
  }

  mutating func handoffPeerWentDown(_ node: NodeID, at now: Moment) {
    guard let index = handoffs.index(node) else { return }
    handoffs.targets[index].rewind()
    handoffs.targets[index].began = nil
    answerDrainWaiters(at: now)
  }

  mutating func handoffReadFinished(_ node: NodeID, _ warm: WarmBytes?) {
    guard let index = handoffs.index(node) else { return }
    handoffs.targets[index].isReading = false
    handoffs.targets[index].warm = warm
  }
}

extension Refusal {
  /// It will refuse everything else as well for a while; otherwise some of it goes through.
  fileprivate var concernsNode: Bool {
    switch self {
    case .overloaded, .notReady, .unavailable, .clockInDoubt, .hintsFull, .unvalidated: true
    // A full disk takes tombstones all the same, and needs them.
    // Values go through, and tombstones of keys that have one; the others are offered again with the next pass.
    case .tombstonesFull: false
    case .loading, .fenced, .wrongConfig, .notOwner, .damaged, .full: false
    }
  }
}
