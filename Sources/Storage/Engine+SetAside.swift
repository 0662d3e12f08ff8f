import Primitives

// Giving a store up while the node goes on: its directory is kept for the operator under another name, and a new store
// takes its place (`create`, `adopt`) under a new incarnation. From here on nothing of this engine writes under the old
// names again: what could still do so makes the store wait, and the journal's records of it are nobody's, because their
// checksums begin with the old incarnation (`replay` in Engine+Recovery).

extension Engine {
  /// Gives the store up and returns the steps that move its directory to `<data>/damaged/p042-n3.1`, or the next number
  /// that is free. Until a new one is adopted the store is fenced: everything asked of it throws.
  ///
  /// The caller performs the steps before those of `create`, in one lane. What it is about to make of the store by
  /// `setRole` or `loadSteps` must be done before.
  /// - Throws: When the kept directories cannot be listed; then nothing has happened.
  package func setAside<FS: FileSystem & ~Copyable>(
    _ id: StoreID, on files: inout FS
  ) throws(StorageError) -> SetAsideOutcome {
    let store = store(id)
    guard !isNamed(store) else { return .busy }
    let kept = StorePath.damaged(directory)
    let names = try files.exists(kept) ? try files.list(kept) : []
    guard names.count(where: { $0.hasPrefix("\(id).") }) < StorageLimits.setAsideMax else { return .full }
    guard let name = (1...names.count + 1).lazy.map({ "\(id).\($0)" }).first(where: { !names.contains($0) }) else {
      return .full
    }
    // What was acknowledged may be durable in the journal alone, which does not keep it for a store that is given up.
    var syncs: [DiskStep] = store.syncTargets.map { .sync(path: $0.path) }
    if !syncs.isEmpty { syncs.append(.syncDirectory(store.directory)) }
    if merge.store === store { endMerge(of: store, on: &files) }
    // A round about some of its files is about no others of the same ids.
    merge.round?.removeAll { $0 == id }
    giveUp(store)
    let path = kept + "/" + name
    let moves: [DiskStep] = [
      .createDirectory(kept), .syncDirectory(directory), .rename(store.directory, to: path), .syncDirectory(kept),
      .syncDirectory(StorePath.stores(directory)),
    ]
    return .steps(syncs + moves, directory: path)
  }

  /// Something under way names files of the store, or would write its manifest later.
  private func isNamed(_ store: Bitcask) -> Bool {
    if checkpoint.job != nil || !store.manifestsAsked.isEmpty { return true }
    if sync.inFlight?.targets.contains(where: { $0.store === store }) ?? false { return true }
    switch snapshot.phase {
    case .idle, .requested, .failed: return false
    case .sealing, .sealed, .linking, .removing: return true
    }
  }
}

extension Bitcask {
  /// The store works no more, in the middle of a turn: reads that this turn has asked for still find its files open.
  func setAside() {
    for index in dataFiles.indices {
      openFiles.forget(self, index)
      if let handle = dataFiles[index].handle { openFiles.retire(handle) }
    }
    forgetFiles()
    buffer = []
    isOpen = false
    fence(.missing(path: directory, reason: "the store was set aside, to be made anew"))
  }
}
