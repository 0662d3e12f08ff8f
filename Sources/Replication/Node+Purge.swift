import Causality
import Cluster
import Messages
import Primitives
import Storage

// When a tombstone is forgotten (rules PURGE, ECHO and HOLD, Docs/DeleteProtocol.md). Every owner decides for itself, on its own
// evidence, and there is no message about it: every other owner of this configuration has acknowledged it durably, and
// what that owner's feed held then is here; it is old enough; and since it came a round of anti-entropy with each of them
// has found nothing that it missed. There is no other way. A backup may keep all of them for some time (rule BACKUP).

extension Node where Disk: ~Copyable {
  /// Of the tombstones that were forgotten so many are kept for `takePurges`, the newest not.
  static var purgeNotesMax: Int { 1 << 20 }

  /// Marks of arrival are this far apart.
  private var markMilliseconds: UInt64 { options.tombstoneHoldMilliseconds / 16 }

  // MARK: - Looking through

  /// Which tombstones may go, and which want a round. Called when something has changed, or while some wait.
  mutating func reviewTombstones(_ engine: Engine, at now: Moment) {
    feeds.pending = 0
    feeds.wantsSync = false
    noteStoresAnew()
    for store in feeds.stores.indices where engine.contains(feeds.stores[store].store) {
      let status = engine.feedStatus(feeds.stores[store].store)
      noteArrivals(store, status.head, at: now.instant)
      feeds.pending += status.pending
      guard status.pending > 0 else { continue }
      if status.head > engine.durableHead(feeds.stores[store].store) { feeds.wantsSync = true }
      settleAcknowledgements(of: store, engine)
      let limit = purgeLimit(store, engine)
      let oldest = status.oldestTSN ?? 0
      if oldest <= limit {
        feeds.stores[store].limit = limit
        feeds.isActive = true
      }
      beginRounds(store, wanted: max(oldest, limit + 1), engine, at: now)
    }
  }

  /// Stores that are others than those that were known begin anew: positions of their feeds too.
  mutating func noteStoresAnew() {
    guard let engine else { return }
    for index in feeds.stores.indices where engine.contains(feeds.stores[index].store) {
      let store = feeds.stores[index].store
      guard engine.incarnation(store) != feeds.stores[index].incarnation else { continue }
      let pairs = feeds.stores[index].pairs
      feeds.stores[index] = FeedStore(store: store, pairs: pairs, incarnation: engine.incarnation(store))
      for pair in pairs { feeds.pairs[pair].forgetProgress() }
      for pair in exchanges.pairs.indices where exchanges.pairs[pair].store == store {
        exchanges.pairs[pair].covered = 0
      }
    }
    reviewValidation()
  }

  // MARK: - The conditions

  /// Rule HOLD: by the monotonic clock, since it came, and after a start since another owner was first met.
  private mutating func noteArrivals(_ index: Int, _ head: UInt64, at now: Instant) {
    if feeds.stores[index].contact == nil {
      let others = feeds.pairs[feeds.stores[index].pairs]
      guard others.isEmpty || others.contains(where: { $0.isMutual }) else { return }
      feeds.stores[index].contact = now
    }
    let last = feeds.stores[index].marks.last
    if head > last?.tsn ?? feeds.stores[index].held,
      last.map({ now.milliseconds(since: $0.at) >= markMilliseconds }) ?? true
    {
      feeds.stores[index].marks.append((head, now))
    }
    let old = feeds.stores[index].marks.prefix { now.milliseconds(since: $0.at) >= options.tombstoneHoldMilliseconds }
    guard let mark = old.last else { return }
    feeds.stores[index].held = mark.tsn
    feeds.stores[index].marks.removeFirst(old.count)
  }

  /// Rule ECHO: an acknowledgement counts when everything that the peer's feed held when it was given is here, durably:
  /// else two owners could hand a tombstone that both have forgotten to each other for ever.
  private mutating func settleAcknowledgements(of index: Int, _ engine: Engine) {
    let store = feeds.stores[index].store
    for pair in feeds.stores[index].pairs {
      let known = feeds.pairs[pair]
      guard let promise = engine.durablePromise(store, of: known.node), promise.incarnation == known.incarnation else {
        continue
      }
      let cursor = engine.durableCursor(store, on: known.node)
      let here = cursor?.incarnation == known.incarnation ? cursor?.tsn ?? 0 : 0
      for _ in 0..<2 {
        if feeds.pairs[pair].candidate == nil, promise.cursorOnMe > feeds.pairs[pair].settled {
          feeds.pairs[pair].candidate = (promise.cursorOnMe, promise.tsnHead)
        }
        guard let candidate = feeds.pairs[pair].candidate,
          here >= candidate.head || !options.rules.hold(.echo)
        else { break }
        feeds.pairs[pair].settled = candidate.acknowledged
        feeds.pairs[pair].candidate = nil
      }
    }
  }

  /// How far an owner has acknowledged the feed of our store in a way that counts; nil with the reason when it has not.
  private func acknowledged(by pair: Int, _ engine: Engine) -> UInt64? {
    let known = feeds.pairs[pair]
    guard known.isMutual, let promise = engine.durablePromise(known.store, of: known.node),
      promise.incarnation == known.incarnation, promise.configID == configID(known.store)
    else { return nil }
    return min(promise.cursorOnMe, known.settled)
  }

  /// Everything up to here may be forgotten; 0: nothing.
  func purgeLimit(_ index: Int, _ engine: Engine) -> UInt64 {
    let store = feeds.stores[index].store
    guard engine.role(store) == .active, isValidated(store), !feeds.isHeld(at: present) else { return 0 }
    var limit = min(engine.durableHead(store), feeds.stores[index].held)
    guard options.rules.hold(.acknowledgements) else { return limit }
    for pair in feeds.stores[index].pairs {
      guard let acknowledged = acknowledged(by: pair, engine) else { return 0 }
      limit = min(limit, acknowledged)
      // A simulated run may do without: no key comes back for want of a round.
      if !options.purgesBeforeRounds { limit = min(limit, covered(store, feeds.pairs[pair].node)) }
    }
    return limit
  }

  // MARK: - Rounds

  /// Everything in our feed up to here came before a round with this owner that has ended well.
  func covered(_ store: StoreID, _ node: NodeID) -> UInt64 {
    exchanges.index(store, node).map { exchanges.pairs[$0].covered } ?? 0
  }

  /// Tombstones that have waited half their time begin a round of their own, at most one in a feed interval.
  /// - Parameter wanted: The first position that is to be covered.
  private mutating func beginRounds(_ index: Int, wanted: UInt64, _ engine: Engine, at now: Moment) {
    let store = feeds.stores[index].store
    let half = options.tombstoneHoldMilliseconds / 2
    let mature = feeds.stores[index].marks.last { now.instant.milliseconds(since: $0.at) >= half }?.tsn
    let head = min(mature ?? feeds.stores[index].held, engine.durableHead(store))
    guard phase == .serving, engine.role(store) == .active, isValidated(store), wanted <= head,
      feeds.stores[index].roundBegan.map({ now.instant.milliseconds(since: $0) >= options.feedMilliseconds }) ?? true
    else { return }
    for pair in feeds.pairs[feeds.stores[index].pairs] where pair.isMutual && peers.isUp(pair.node) {
      guard covered(store, pair.node) < wanted, genesis.state(of: store, at: pair.node)?.role == .active else {
        continue
      }
      if beginRound(store, pair.node) { feeds.stores[index].roundBegan = now.instant }
    }
  }

  // MARK: - Forgetting

  mutating func purge(_ index: Int, _ engine: Engine, _ left: inout Int) {
    let store = feeds.stores[index].store
    guard let limit = feeds.stores[index].limit, !feeds.stores[index].isReading else { return }
    guard engine.contains(store), engine.role(store) == .active,
      engine.incarnation(store) == feeds.stores[index].incarnation, !feeds.isHeld(at: present)
    else {
      feeds.stores[index].limit = nil
      return
    }
    guard left > 0 else {
      feeds.isActive = true
      return
    }
    let warm = feeds.stores[index].warm
    feeds.stores[index].warm = nil
    do throws(StorageError) {
      switch try engine.purgeFeed(store, upTo: limit, max: left, warm: warm, on: &disk) {
      case .purged(let purged, let more):
        left -= purged.count
        note(purged, of: store)
        if more { feeds.isActive = true } else { feeds.stores[index].limit = nil }
      case .cold(let read):
        feeds.stores[index].isReading = readCold(read, for: .purge(store))
        if !feeds.stores[index].isReading { feeds.stores[index].limit = nil }
      }
    } catch {
      feeds.stores[index].limit = nil
      _ = refusal(of: store, error)
    }
  }

  private mutating func note(_ purged: [PurgedTombstone], of store: StoreID) {
    counters.purged += UInt64(purged.count)
    feeds.noteChange()
    guard options.notesPurges else { return }
    for tombstone in purged where feeds.purged.count < Self.purgeNotesMax {
      feeds.purged.append(
        PurgeNote(store: store, hash: tombstone.hash, stamp: tombstone.stamp, tsn: tombstone.tsn))
    }
  }

  /// The disk's answer to `PendingRead.purge`; nil when there is none.
  mutating func purgeReadFinished(_ store: StoreID, _ warm: WarmBytes?) {
    guard let index = feeds.storeIndex(store) else { return }
    feeds.stores[index].isReading = false
    feeds.stores[index].warm = warm
    if warm == nil { feeds.stores[index].limit = nil }
    feeds.isActive = true
  }

  /// What was forgotten since this was last asked, where `NodeOptions.notesPurges` is set.
  package mutating func takePurges() -> [PurgeNote] {
    defer { feeds.purged = [] }
    return feeds.purged
  }
}

extension FeedTable {
  /// Lengthens the time in which nothing is forgotten, or begins one. It ends by itself, and with the process.
  mutating func holdPurges(until: Instant, at now: Instant) {
    let since = isHeld(at: now) ? backupHold?.since ?? now : now
    backupHold = (since, max(until, backupHold?.until ?? until))
  }

  func isHeld(at now: Instant) -> Bool { backupHold.map { now < $0.until } ?? false }
}

extension FeedPair {
  /// Each has found the other's store whole, in the peer's current boot and in ours.
  var isMutual: Bool { judged?.judgement == .ok && verdict?.judgement == .ok }
}
