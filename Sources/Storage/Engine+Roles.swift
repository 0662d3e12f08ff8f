import Primitives

// What a store is to the others: whether it takes part, and why it does not.

extension Engine {
  /// Steps that make role and promises durable; call `adoptRole` with the same when they were performed. What was promised
  /// by peers that are not named is kept; the mark of a store that has lost something (a promise of this node itself)
  /// goes unless it is named.
  package func setRole(_ id: StoreID, _ role: StoreRole, promises: [PeerPromise]) -> [DiskStep] {
    store(id).askManifest(role, promises: promises)
  }

  package func adoptRole(_ id: StoreID, _ role: StoreRole, promises: [PeerPromise]) {
    let store = store(id)
    store.noteWritten(store.takeAskedManifest())
    store.role = store.damage == nil ? role : .fenced
    // Of a peer that has told of another store meanwhile that one counts.
    let current = promises.filter { named in
      let known = store.promises.first { $0.peer == named.peer }
      guard let known, named.peer != options.nodeID, known.incarnation != named.incarnation else { return true }
      return store.promisesWhenAsked.contains { $0.peer == known.peer && $0.incarnation == known.incarnation }
    }
    store.promises = PeerPromise.joined(current, over: store.promises, own: options.nodeID)
    store.durablePromises = PeerPromise.joined(promises, over: store.durablePromises, own: options.nodeID)
    promisesState.changes += 1
  }

  /// Takes a store out of service for good: it never serves again, and is to be made anew (`setAside`). From now on
  /// whatever is asked of it throws `reason`; the steps make it last, call `completeFence` when they were performed.
  /// - Parameter reason: `regressed`, as a rule.
  package func fence(_ id: StoreID, _ reason: StorageError) -> [DiskStep] {
    let store = store(id)
    store.fence(reason)
    return store.askManifest(.fenced, promises: store.durablePromises)
  }

  package func completeFence(_ id: StoreID) {
    let store = store(id)
    store.noteWritten(store.takeAskedManifest())
  }

  /// The steps of `setRole` or `fence` found no room: the store is what it was, and its next manifest says so.
  package func abandonRole(_ id: StoreID) {
    let store = store(id)
    _ = store.takeAskedManifest()
    store.manifest.role = store.role
    store.hasStaleManifest = true
  }

  /// Why a store is fenced; nil when it is not, or was fenced before this start.
  package func fenceReason(_ id: StoreID) -> StorageError? { store(id).damage }
}
