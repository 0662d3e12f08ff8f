import Primitives

// The end of a load: a store that was filled by pulls takes part from now on. Whoever asks it after that takes its word
// for what it holds, so all of that is durable first, then a manifest is that says so, and only then it is active.

extension Engine {
  /// Steps that make everything in the store durable and then the store active; call `completeLoad` with the same
  /// promises when they were performed, `abandonLoad` when they cannot be. In every sync mode.
  /// - Returns: Nil, and nothing has happened, when something that was applied is not in files: `flush` first, and try
  ///   again later where the disk has no room. Nil as well when the store is damaged.
  package func loadSteps(_ id: StoreID, promises: [PeerPromise]) -> [DiskStep]? {
    let store = store(id)
    invariant(promises.count <= StorageLimits.peersMax, "store \(id) has promises of \(promises.count) peers")
    guard store.isOpen, store.damage == nil, store.buffer.isEmpty else { return nil }
    let targets = store.syncTargets
    store.loadTargets = targets
    var steps: [DiskStep] = targets.map { .sync(path: $0.path) }
    steps.append(.syncDirectory(store.directory))
    steps += store.askManifest(.active, promises: promises, afterSyncing: targets)
    return steps
  }

  /// The steps of `loadSteps` were performed.
  package func completeLoad(_ id: StoreID, promises: [PeerPromise]) {
    let store = store(id)
    if store.isOpen { store.markSynced(store.loadTargets, named: true) }
    store.loadTargets = []
    adoptRole(id, .active, promises: promises)
  }

  /// The steps of `loadSteps` came to nothing, or only the first of them were performed: the store goes on loading, and
  /// its next manifest says so.
  package func abandonLoad(_ id: StoreID) {
    store(id).loadTargets = []
    abandonRole(id)
  }
}
