import Causality
import Cluster
import Messages
package import Primitives
import Storage

// What keeps the tombstones of this node, told from what rule PURGE goes by (`Node+Purge.swift`): nothing is noted for
// this, and a delete costs nothing for it. Of each store the tombstone that waits longest is asked about, because they go
// in their order: so one look costs a few comparisons for each store and each other owner of it.

extension Node where Disk: ~Copyable {
  package func tombstoneStatus(at now: Moment) -> TombstoneStatus {
    var status = TombstoneStatus()
    status.purged = counters.purged
    status.refused = counters.tombstonesRefused
    status.pendingMax = options.tombstonesMax < .max ? options.tombstonesMax : nil
    guard let engine else { return status }
    let doubting = nodesInDoubt(at: now)
    for store in engine.storeIDs {
      status.expiring += engine.expiringCount(store)
      if engine.role(store) == .loading {
        status.loading.append(TombstoneStatus.Loading(store: store, percent: loadedPercent(store, engine)))
      }
      let feed = engine.feedStatus(store)
      let bytes = engine.tombstoneBytes(store)
      let overdue = burialObstacle(store, engine, at: now)
      guard feed.pending > 0 || overdue != nil || bytes.blocked > 0 && !bytes.blockers.isEmpty else { continue }
      var blockers = feed.oldestTSN.map { self.blockers(of: store, $0, engine, at: now.instant) } ?? []
      if bytes.blocked > 0 && !bytes.blockers.isEmpty {
        blockers.append(TombstoneBlocker(node: own.name, .mergeOverlap(files: bytes.blockers)))
      }
      let owners = owners(store)
      if let overdue { blockers.append(TombstoneBlocker(node: own.name, overdue)) }
      for node in doubting where owners.contains(node) && (overdue == nil || node != own.id) {
        blockers.append(TombstoneBlocker(node: name(node), .clockDoubted(expired: 0)))
      }
      // One that was a value waits since that expired, not since it was written.
      let since = feed.oldest.map { max($0.time.milliseconds, feed.oldestExpired?.milliseconds ?? 0) }
      let age = since.map { now.wallMilliseconds - min(now.wallMilliseconds, $0) } ?? 0
      status.add(
        TombstoneStatus.Store(
          store: store, pending: feed.pending, bytes: bytes, oldestMilliseconds: age, blockers: blockers))
    }
    return status
  }

  // MARK: - One store

  /// Everything that the tombstone at this position of our feed waits for, what must go first before the rest. Never empty.
  func blockers(of store: StoreID, _ tsn: UInt64, _ engine: Engine, at now: Instant) -> [TombstoneBlocker] {
    var found: [TombstoneBlocker] = []
    func add(_ node: String, _ reason: TombstoneBlocker.Reason) { found.append(TombstoneBlocker(node: node, reason)) }
    switch engine.role(store) {
    case .active: break
    case .loading: add(own.name, .loading(percent: loadedPercent(store, engine)))
    case .fenced: add(own.name, .fenced)
    case .retired: add(own.name, .otherOwners)
    }
    let durable = engine.durableHead(store)
    if durable < tsn { add(own.name, .unsynced) }
    let known = feeds.stores.first { $0.store == store }
    if options.rules.hold(.acknowledgements) {
      for pair in known?.pairs ?? 0..<0 { found += obstacles(of: pair, tsn, durable, engine, at: now) }
    }
    if known.map({ $0.held < tsn }) ?? true { add(own.name, .hold(leftMilliseconds: holdLeft(known, tsn, at: now))) }
    if let hold = feeds.backupHold, feeds.isHeld(at: now) {
      add(own.name, .backup(leftMilliseconds: hold.until.milliseconds(since: now)))
    }
    if found.isEmpty { add(own.name, .purging) }
    // Sorted by what must go first; of equals the first owner's.
    return found.enumerated().sorted { ($0.element.kind, $0.offset) < ($1.element.kind, $1.offset) }.map(\.element)
  }

  /// What an owner keeps it for; empty when it has done all that it must.
  private func obstacles(
    of pair: Int, _ tsn: UInt64, _ durable: UInt64, _ engine: Engine, at now: Instant
  ) -> [TombstoneBlocker] {
    let known = feeds.pairs[pair]
    var reasons: [TombstoneBlocker.Reason] = []
    let promise = engine.durablePromise(known.store, of: known.node)
    let isKnown = known.isMutual && promise?.incarnation == known.incarnation
    let cursor = promise?.incarnation == known.incarnation ? promise?.cursorOnMe ?? 0 : 0
    if known.judged?.judgement == .wrongConfig || promise.map({ $0.configID != configID(known.store) }) ?? false {
      reasons.append(.otherOwners)
    } else if !isKnown {
      reasons.append(.unvalidated)
    }
    if cursor < tsn {
      reasons.append(.cursorLag(behind: max(durable, tsn) - cursor))
    } else if known.settled < tsn {
      let here = engine.durableCursor(known.store, on: known.node)
      let place = here?.incarnation == known.incarnation ? here?.tsn ?? 0 : 0
      let head = known.candidate?.head ?? promise?.tsnHead ?? place
      reasons.append(.feedLag(behind: head - min(head, place)))
    }
    if covered(known.store, known.node) < tsn {
      let index = exchanges.index(known.store, known.node)
      reasons.append(.antiEntropy(failure: index.flatMap { exchanges.pairs[$0].failure }))
    }
    guard !reasons.isEmpty else { return [] }
    if let away = away(known.store, known.node, at: now) { reasons.insert(away, at: 0) }
    let name = name(known.node)
    return reasons.map { TombstoneBlocker(node: name, $0) }
  }

  /// Why the store of an owner takes no part at all, or nil.
  private func away(_ store: StoreID, _ node: NodeID, at now: Instant) -> TombstoneBlocker.Reason? {
    guard peers.isUp(node) else {
      guard let index = peers.index(node) else { return .down(milliseconds: nil, why: "unknown") }
      return .down(
        milliseconds: peers.detector.lastHeard(index).map { now.milliseconds(since: $0) },
        why: peers[index].downReason)
    }
    switch genesis.state(of: store, at: node)?.role {
    case .active, nil: return nil
    case .loading: return .loading(percent: nil)
    case .fenced: return .fenced
    case .retired: return .otherOwners
    }
  }

  private func holdLeft(_ known: FeedStore?, _ tsn: UInt64, at now: Instant) -> UInt64 {
    let hold = options.tombstoneHoldMilliseconds
    // Without a mark that covers it the next one will.
    guard let mark = known?.marks.first(where: { $0.tsn >= tsn }) else { return hold }
    return hold - min(hold, now.milliseconds(since: mark.at))
  }

  /// How much of the store that it is filled from is here; nil where nobody has said how much that is.
  private func loadedPercent(_ store: StoreID, _ engine: Engine) -> Int? {
    guard let refill = exchanges.refills.first(where: { $0.store == store }), refill.keysTotal > 0 else { return nil }
    let status = engine.status(store)
    return min(99, (status.keysLive + status.tombstones) * 100 / Int(clamping: refill.keysTotal))
  }

  /// Members whose clocks are so far from the median of all that they know it themselves.
  private func nodesInDoubt(at now: Moment) -> [NodeID] {
    var clocks: [(node: NodeID, offset: Int64)] = [(own.id, 0)]
    for peer in peers.peers {
      if let offset = peers.clockOffset(peer, at: now) { clocks.append((peer.member.id, offset)) }
    }
    guard clocks.count > 2 else { return [] }
    let middle = clocks.map(\.offset).sorted()[clocks.count / 2]
    let far = UInt64(PeerTable.clockDriftMillisecondsMax)
    return clocks.filter { $0.node == own.id ? peers.clockIsInDoubt(at: now) : ($0.offset - middle).magnitude > far }
      .map(\.node).sorted()
  }

  /// What the clock of this node keeps from becoming tombstones (rule EXPIRY); nil when it keeps nothing.
  private func burialObstacle(_ store: StoreID, _ engine: Engine, at now: Moment) -> TombstoneBlocker.Reason? {
    guard engine.role(store) == .active, !peers.clockIsTrusted(at: now) else { return nil }
    let expired = engine.buriableCount(store, at: peers.judgingMilliseconds(at: now))
    guard expired > 0 else { return nil }
    return peers.clockIsInDoubt(at: now) ? .clockDoubted(expired: expired) : .clockUnconfirmed(expired: expired)
  }

  // MARK: - The bound

  /// What a client is told whose delete found as many tombstones as may wait: who keeps them, and why.
  func tellTombstonesFull(_ store: StoreID, _ others: String = "") -> String {
    guard let engine, engine.contains(store), let tsn = engine.feedStatus(store).oldestTSN else { return others }
    let pending = engine.feedStatus(store).pending
    let words =
      "\(pending) tombstones wait in store \(store) of \(own.name), where tombstones_max allows \(options.tombstonesMax)"
    guard let first = blockers(of: store, tsn, engine, at: present).first else { return words }
    return [words, others, first.text].filter { !$0.isEmpty }.joined(separator: "; ")
  }

  // MARK: - Time

  /// The oldest is looked for so often, and told of when it has waited so long, again each time.
  private static var oldLookMilliseconds: UInt64 { 60_000 }
  private static var oldMilliseconds: UInt64 { 3_600_000 }

  /// Says, once in an hour at most, that the oldest tombstone here has waited for an hour, and for whom.
  mutating func tellOldTombstones(at now: Moment) {
    guard feeds.pending > 0, feeds.oldNext <= now.instant else { return }
    feeds.oldNext = now.instant.adding(milliseconds: Self.oldLookMilliseconds)
    let status = tombstoneStatus(at: now)
    guard let oldest = status.oldestMilliseconds, oldest >= Self.oldMilliseconds, let block = status.blockedBy.first
    else { return }
    feeds.oldNext = now.instant.adding(milliseconds: Self.oldMilliseconds)
    free.append(
      .log(
        .warning,
        "\(status.pending) tombstones wait here, the oldest for \(oldest / 60_000) min: \(block.blocker.text); "
          + block.blocker.advice))
  }
}
