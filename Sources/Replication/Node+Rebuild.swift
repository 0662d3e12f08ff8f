import Cluster
import Messages
import Primitives
import Storage

// A fenced store comes back as a new one: its directory is kept aside for the operator, a store takes its place under a
// new incarnation, marked as one that has lost something (rule GENESIS, Docs/DeleteProtocol.md), and the other owners fill it. So
// at least one of them must serve: with none the damaged store is the best there is, and stays as it is. A store of hints
// has no other owner; it is made anew at once, and its hints are lost.

extension Node where Disk: ~Copyable {
  mutating func reviewRebuilds(at now: Moment) {
    guard phase == .opening || phase == .serving, let engine else { return }
    lookForLosses(engine)
    if rebuilds.current != nil { return retryRebuild(at: now) }
    let fenced = (engine.storeIDs + engine.hintStoreIDs).filter { engine.role($0) == .fenced }
    if fenced.isEmpty {
      guard !rebuilds.waiting.isEmpty else { return }
      rebuilds.waiting.removeAll()
      rebuilds.told.removeAll()
      return
    }
    for store in fenced {
      if !store.isHints, !isServedElsewhere(store), !goesOnAlone(store, engine) {
        stays(store, "no other owner's store serves, from which it could be filled", at: now)
        continue
      }
      guard !jobs.contains(where: \.keepsFromRebuilding) else { return }
      if rebuild(store, engine, at: now) { return }
    }
  }

  // MARK: - What it has promised

  /// A sync in flight may end with acknowledgements of this store's writes, which cannot be taken back, and so may the one
  /// that follows it. The store has taken no write since it was found to be fenced, so none comes after these.
  private mutating func isBeingAcknowledged(_ store: StoreID, _ engine: Engine) -> Bool {
    let begun = rebuilds.syncsBegun[store] ?? engine.syncsBegun
    rebuilds.syncsBegun[store] = begun
    return engine.isSyncing && engine.syncsBegun <= begun + 1
  }

  /// Nobody hears of what went with the store, and this node does not count its own copies in it.
  private mutating func withdrawAcknowledgements(of store: StoreID, at now: Moment) {
    unflushed.removeAll { $0.store == store }
    held.removeAll { $0.store == store }
    let waiters = (flushWaiters + syncWaiters).filter { writes[$0.operation]?.store == store }
    guard !waiters.isEmpty else { return }
    flushWaiters.removeAll { writes[$0.operation]?.store == store }
    syncWaiters.removeAll { writes[$0.operation]?.store == store }
    for waiter in waiters where writes[waiter.operation]?.version.stamp == waiter.stamp {
      writePeerFailed(waiter.operation, own.id, .refused(.fenced), at: now)
    }
  }

  // MARK: - Steps

  func isServedElsewhere(_ store: StoreID) -> Bool {
    owners(store).contains { node in
      node != own.id && peers.isUp(node) && genesis.state(of: store, at: node)?.role == .active
    }
  }

  /// - Returns: Whether it was begun, or something under way must end first.
  private mutating func rebuild(_ store: StoreID, _ engine: Engine, at now: Moment) -> Bool {
    guard !isBeingAcknowledged(store, engine) else { return true }
    do throws(StorageError) {
      let hints = store.isHints ? engine.hintStatus(store).count : 0
      switch try engine.setAside(store, on: &disk) {
      case .busy: return true
      case .full:
        stays(
          store, "\(StorageLimits.setAsideMax) directories of it are kept in \(options.directory)/damaged: remove some",
          at: now)
        return false
      case .steps(let steps, let directory):
        rebuilds.syncsBegun[store] = nil
        withdrawAcknowledgements(of: store, at: now)
        begin(store, engine, steps, directory, hints: hints)
        return true
      }
    } catch {
      stays(store, error.description, at: now)
      return false
    }
  }

  private mutating func begin(
    _ store: StoreID, _ engine: Engine, _ steps: [DiskStep], _ directory: String, hints: Int
  ) {
    guard let old = identity.manifest.stores.first(where: { $0.id == store }) else { return }
    let seed = StoreSeed(id: store, incarnation: drawIncarnation(after: old.incarnation), configID: old.configID)
    var lost: [StoreID: [PeerPromise]] = [:]
    if !store.isHints {
      // One that was being filled may not have got back yet what it lost before.
      let earlier = engine.promises(store).filter { $0.peer == own.id }
      lost[store] =
        [
          PeerPromise(
            peer: own.id, incarnation: old.incarnation, configID: old.configID, floor: engine.floor(store))
        ] + earlier
    }
    let rest =
      store.isHints
      ? store == quarantine
        ? "a new one is made; the \(kept(in: store)) in it stay there alone"
        : "a new one is made; \(hints == 0 ? "the hints" : "\(hints) hints") in it are lost, and read repair and "
          + "anti-entropy bring what they said"
      : "a new one is made, and filled from the other owners; what none of them has it brings along itself"
    free.append(.log(.warning, "store \(store) was fenced and is kept in \(directory): \(rest)"))
    if store.isHints, store != quarantine { counters.hintsLost += UInt64(hints) }
    rebuilds.waiting[store] = nil
    rebuilds.current = RebuildTable.Rebuild(seed: seed, lost: lost, directory: directory, setAside: steps)
    startRebuild(engine)
  }

  private mutating func startRebuild(_ engine: Engine) {
    guard let rebuild = rebuilds.current else { return }
    var isAside = false
    do throws(StorageError) { isAside = try disk.exists(rebuild.directory) } catch { isAside = false }
    var steps = rebuild.setAside
    if isAside {
      // Nothing is where it was: what comes before the move is done.
      let moved = steps.firstIndex { if case .rename = $0 { true } else { false } } ?? steps.startIndex
      steps.removeFirst(moved + 1)
    }
    steps += engine.create([rebuild.seed], promises: rebuild.lost)
    identity.manifest.stores = (identity.manifest.stores.filter { $0.id != rebuild.seed.id } + [rebuild.seed])
      .sorted { $0.id < $1.id }
    steps.append(.replace(path: identity.path, bytes: identity.manifest.encoded()))
    rebuilds.current?.isRunning = true
    rebuilds.current?.pausedUntil = nil
    start(.rebuild, steps)
  }

  /// What found no room is tried again: the directory is aside by then, or not.
  private mutating func retryRebuild(at now: Moment) {
    guard let engine, let rebuild = rebuilds.current, !rebuild.isRunning,
      rebuild.pausedUntil.map({ $0 <= now.instant }) ?? true, !jobs.contains(where: \.keepsFromRebuilding)
    else { return }
    startRebuild(engine)
  }

  mutating func rebuildFailed(at now: Moment) {
    rebuilds.current?.isRunning = false
    rebuilds.current?.pausedUntil = now.instant.adding(milliseconds: RebuildTable.pauseMilliseconds)
  }

  /// The new store is there: it is empty and loading, and everybody hears of it.
  mutating func storeRebuilt() {
    guard let engine, let rebuild = rebuilds.current else { return }
    rebuilds.current = nil
    rebuilds.losses[rebuild.seed.id] = (rebuild.seed.incarnation, true)
    do throws(StorageError) {
      try engine.adopt([rebuild.seed], promises: rebuild.lost, on: &disk)
    } catch {
      stopReason = .failed(error)
      return
    }
    // What it had purged itself it knows from its first moment.
    for marker in rebuild.lost[rebuild.seed.id] ?? [] { engine.raiseFloor(rebuild.seed.id, to: marker.floor) }
    listSetAside()
    noteStoresAnew()
    for peer in peers.peers where peer.wasUp { sendStoreStates(to: peer.member.id) }
  }

  /// Says once that a store stays as it is, when that has lasted a while.
  private mutating func stays(_ store: StoreID, _ reason: String, at now: Moment) {
    let since = rebuilds.waiting[store] ?? now.instant
    rebuilds.waiting[store] = since
    guard now.instant.milliseconds(since: since) >= RebuildTable.patienceMilliseconds,
      rebuilds.told.insert(store).inserted
    else { return }
    free.append(.log(.warning, "store \(store) stays fenced: \(reason)"))
  }

  /// What is kept of damaged stores.
  mutating func listSetAside() {
    let path = options.directory + "/damaged"
    do throws(StorageError) {
      rebuilds.setAside = try disk.exists(path) ? try disk.list(path).sorted().map { "damaged/" + $0 } : []
    } catch {
      rebuilds.setAside = []
    }
  }
}

extension JobTable.Purpose {
  /// It may name files of a store, or writes the identity file.
  var keepsFromRebuilding: Bool {
    switch self {
    case .engine: true
    default: writesIdentity
    }
  }
}
