import Causality
import Cluster
import Messages
import Primitives
import Storage

// How a store that lost something becomes whole (rules LOADING and GENESIS (b), Docs/DeleteProtocol.md). It takes part in nothing
// until everything that any other owner holds has been pulled: what an owner acknowledged may be nowhere else, so one
// that is down or silent is waited for. Only an owner that says that its own store does not serve need not be asked. What
// is here already stays: after a crash only the segments that differ are looked at again. What the store held before it
// lost something is gone through last (`Node+Salvage.swift`).

/// A store that is being filled.
struct Refill: Sendable {
  let store: StoreID
  let incarnation: Identity128
  let began: Instant
  /// Owners that have been asked for everything, in this life of the process, and when that was done.
  var passed: [(node: NodeID, at: Instant)] = []
  /// How often one of them was asked once more, because that was long ago when the last one had been asked.
  var repeats = 0
  /// Whom it is read from now.
  var source: NodeID?
  /// The owner whose answers came to nothing last: the others are asked before it.
  var failed: NodeID?
  /// Of the source.
  var keysTotal: UInt64 = 0
  var bytesTotal: UInt64 = 0
  /// Here, when the first owner was asked.
  var bytesBefore: UInt64 = 0
  /// Why nothing moves.
  var waiting: String?
  var pausedUntil: Instant?
  /// The steps that make it serve are under way.
  var isActivating = false
  /// What it lost has been gone through, as far as it is still here.
  var isSalvaged = false
  /// No owner serves, and this one goes on with what it has.
  var isAlone = false

  func hasPassed(_ node: NodeID) -> Bool { passed.contains { $0.node == node } }

  /// Owners that were asked so long ago count as not asked any more. - Returns: Whether there was one.
  mutating func dropStale(at now: Instant, _ milliseconds: UInt64) -> Bool {
    let count = passed.count
    passed.removeAll { now.milliseconds(since: $0.at) >= milliseconds }
    return passed.count < count
  }
}

extension Node where Disk: ~Copyable {
  /// An owner whose answers came to nothing is asked again after this time.
  private static var refillPauseMilliseconds: UInt64 { 1000 }
  /// What an owner acknowledged after it was asked is not here: one that was asked longer ago is asked again before the
  /// store serves. Only the segments that have changed are looked at.
  static var refillFreshMilliseconds: UInt64 { 10_000 }
  /// So often; under writes that never end, what is left is for hints and rounds.
  static var refillRepeatsMax: Int { 8 }

  // MARK: - Time

  mutating func reviewRefills(_ engine: Engine, at now: Moment) {
    guard phase == .opening || phase == .serving else { return }
    exchanges.refills.removeAll {
      engine.role($0.store) != .loading || engine.incarnation($0.store) != $0.incarnation
    }
    // One that is new, or is still to be marked as lost, has nothing to be filled with yet.
    for store in engine.storeIDs where engine.role(store) == .loading && !isNew(store, engine) {
      if !exchanges.refills.contains(where: { $0.store == store }) { beginRefill(store, engine, at: now) }
    }
    for refill in exchanges.refills.indices { continueRefill(refill, engine, at: now) }
  }

  private mutating func beginRefill(_ store: StoreID, _ engine: Engine, at now: Moment) {
    var refill = Refill(store: store, incarnation: engine.incarnation(store), began: now.instant)
    refill.bytesBefore = engine.status(store).liveBytes
    exchanges.refills.append(refill)
    free.append(.log(.info, "store \(store) is loading: it is filled from its other owners"))
  }

  /// The next owner is asked, or the store serves, or it is said what it waits for.
  private mutating func continueRefill(_ refill: Int, _ engine: Engine, at now: Moment) {
    let store = exchanges.refills[refill].store
    guard !exchanges.refills[refill].isActivating, refillExchange(of: store) == nil else { return }
    if let until = exchanges.refills[refill].pausedUntil, until > now.instant { return }
    exchanges.refills[refill].source = nil
    if let reason = unrecognized(store, engine) {
      exchanges.refills[refill].waiting = reason
      return
    }
    var waiting: [String] = []
    let failed = exchanges.refills[refill].failed
    let others = owners(store).filter { $0 != own.id && $0 != failed } + owners(store).filter { $0 == failed }
    for node in others where !exchanges.refills[refill].hasPassed(node) {
      let state = genesis.state(of: store, at: node)
      if !peers.isUp(node) {
        waiting.append(describe(.down, of: node))
      } else if state?.role == .active {
        guard isValidated(store, with: node) else {
          waiting.append("\(name(node)) is not validated")
          continue
        }
        return ask(node, forAllOf: refill, engine)
      }
    }
    if waiting.isEmpty, exchanges.refills[refill].passed.isEmpty {
      exchanges.refills[refill].isAlone = goesOnAlone(store, engine)
      if !exchanges.refills[refill].isAlone { waiting = ["no other owner's store serves"] }
    } else {
      exchanges.refills[refill].isAlone = false
    }
    guard waiting.isEmpty else {
      exchanges.refills[refill].waiting = waiting.joined(separator: "; ")
      return
    }
    guard exchanges.refills[refill].isSalvaged else { return beginSalvage(refill, engine, at: now) }
    if exchanges.refills[refill].repeats < Self.refillRepeatsMax,
      exchanges.refills[refill].dropStale(at: now.instant, Self.refillFreshMilliseconds)
    {
      exchanges.refills[refill].repeats += 1
      return continueRefill(refill, engine, at: now)
    }
    activate(refill, engine, at: now)
  }

  /// Why nothing may be pulled yet; nil when every other owner has it on record, durably, that another store is here now.
  /// Else one of them could forget a tombstone on the word of the store that was here before, while an owner that lacks it
  /// gives the old value (rule GENESIS; found by the model).
  private func unrecognized(_ store: StoreID, _ engine: Engine) -> String? {
    for node in owners(store) where node != own.id {
      guard let state = genesis.state(of: store, at: node) else {
        return peers.isUp(node)
          ? "\(name(node)) has not said yet whether its store serves" : describe(.down, of: node)
      }
      // One that is fenced forgets nothing, and neither does one that is new.
      guard state.recognizes == engine.incarnation(store) || state.role == .fenced || state.isNew else {
        return "\(name(node)) has not taken note of the new store yet"
      }
    }
    return nil
  }

  private func refillExchange(of store: StoreID) -> Int? {
    exchanges.running.firstIndex { $0.isRefill && exchanges.pairs[$0.pair].store == store }
  }

  private mutating func ask(_ node: NodeID, forAllOf refill: Int, _ engine: Engine) {
    let store = exchanges.refills[refill].store
    guard exchanges.refillsRunning < Self.refillsMax, exchanges.running.count < Self.exchangesMax,
      let pair = exchanges.index(store, node)
    else {
      exchanges.refills[refill].waiting = "other stores are being filled"
      return
    }
    exchanges.refills[refill].source = node
    exchanges.refills[refill].waiting = nil
    exchanges.running.append(
      Exchange(
        number: newOperation(.exchange), pair: pair, isRefill: true, valuesOnly: false,
        incarnation: engine.incarnation(store)))
    exchanges.isActive = true
  }

  // MARK: - Progress

  mutating func noteRefillSource(_ store: StoreID, _ node: NodeID, _ answer: SegmentAnswer) {
    guard let refill = exchanges.refills.firstIndex(where: { $0.store == store }) else { return }
    exchanges.refills[refill].keysTotal = answer.keys
    exchanges.refills[refill].bytesTotal = answer.bytes
  }

  /// Everything that this owner has is here.
  mutating func refillPassed(_ exchange: Exchange, at now: Moment) {
    let pair = exchanges.pairs[exchange.pair]
    guard let refill = exchanges.refills.firstIndex(where: { $0.store == pair.store }) else { return }
    exchanges.refills[refill].passed.append((pair.node, now.instant))
    exchanges.refills[refill].source = nil
    if let engine { continueRefill(refill, engine, at: now) }
  }

  mutating func refillFailed(_ exchange: Exchange, _ reason: String) {
    let pair = exchanges.pairs[exchange.pair]
    guard let refill = exchanges.refills.firstIndex(where: { $0.store == pair.store }) else { return }
    exchanges.refills[refill].source = nil
    exchanges.refills[refill].failed = pair.node
    exchanges.refills[refill].waiting = reason
    exchanges.refills[refill].pausedUntil = present.adding(milliseconds: Self.refillPauseMilliseconds)
  }

  mutating func endRefillExchanges(with node: NodeID, _ reason: String) {
    let ended = exchanges.running.filter { $0.isRefill && exchanges.pairs[$0.pair].node == node }
    exchanges.running.removeAll { $0.isRefill && exchanges.pairs[$0.pair].node == node }
    for exchange in ended { refillFailed(exchange, reason) }
  }

  // MARK: - The end

  /// Makes the store serve: what is in it first, then that it does, both durable. It records who its fellow owners are
  /// now, as a new store does.
  private mutating func activate(_ refill: Int, _ engine: Engine, at now: Moment) {
    let store = exchanges.refills[refill].store
    var promises: [PeerPromise] = []
    for node in owners(store) where node != own.id {
      guard let state = genesis.state(of: store, at: node) else {
        exchanges.refills[refill].waiting = "\(name(node)) has not said yet which store it has"
        return
      }
      promises.append(PeerPromise(peer: node, incarnation: state.incarnation, configID: engine.configID(store)))
    }
    guard let steps = engine.loadSteps(store, promises: promises) else {
      exchanges.refills[refill].waiting = "what was pulled is not in its files yet"
      return
    }
    exchanges.refills[refill].waiting = nil
    exchanges.refills[refill].isActivating = true
    start(.load(store, promises), steps)
  }

  mutating func storeLoaded(_ store: StoreID, _ promises: [PeerPromise], at now: Moment) {
    guard let engine else { return }
    engine.completeLoad(store, promises: promises)
    guard let index = exchanges.refills.firstIndex(where: { $0.store == store }) else { return }
    let refill = exchanges.refills.remove(at: index)
    counters.antiEntropy.refills += 1
    for pair in exchanges.pairs.indices where exchanges.pairs[pair].store == store {
      exchanges.pairs[pair].failure = nil
    }
    let status = engine.status(store)
    let milliseconds = now.instant.milliseconds(since: refill.began)
    free.append(
      .log(
        .info,
        "store \(store) is filled after \(milliseconds) ms and serves: \(status.keysLive) keys, "
          + "\(status.liveBytes) bytes"))
    for peer in peers.peers where peer.wasUp { sendStoreStates(to: peer.member.id) }
  }

  /// The disk did not take the steps: they are tried again.
  mutating func loadFailed(_ store: StoreID, at now: Moment) {
    engine?.abandonLoad(store)
    guard let refill = exchanges.refills.firstIndex(where: { $0.store == store }) else { return }
    exchanges.refills[refill].isActivating = false
    exchanges.refills[refill].waiting = "the disk refuses"
    exchanges.refills[refill].pausedUntil = now.instant.adding(milliseconds: Self.refillPauseMilliseconds)
  }

  // MARK: - What operators see

  func refillStatuses(at now: Moment) -> [RefillStatus] {
    guard let engine else { return [] }
    return exchanges.refills.map { refill in
      let held = engine.status(refill.store)
      var status = RefillStatus(store: refill.store)
      status.source = refill.source.flatMap { ring.member($0) }
      status.keys = UInt64(held.keysLive + held.tombstones)
      status.keysTotal = max(refill.keysTotal, status.keys)
      status.bytes = held.liveBytes
      status.bytesTotal = max(refill.bytesTotal, status.bytes)
      status.elapsedMilliseconds = now.instant.milliseconds(since: refill.began)
      status.waiting = refillExchange(of: refill.store).flatMap { exchanges.running[$0].obstacle } ?? refill.waiting
      let gained = status.bytes - min(status.bytes, refill.bytesBefore)
      if status.waiting == nil, gained > 0 {
        let left = Double(status.bytesTotal - status.bytes)
        // What a peer says of its store is no reason to trap.
        status.etaMilliseconds = UInt64(min(left / Double(gained) * Double(status.elapsedMilliseconds), 1e15))
      }
      return status
    }
  }
}
