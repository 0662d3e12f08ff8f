import Causality
package import Primitives

// Cursors and promises: how far this node has applied the feeds of the other owners, and what they have told of
// themselves. Both are changed in memory, written with the file `promises`, and only then durable; what is told to
// anybody, or relied upon, is what is durable.

struct PromisesState {
  /// Changes in memory since the engine was opened, and those of them that are on disk.
  var changes: UInt64 = 0
  var written: UInt64 = 0
  /// What the file says that is being written.
  var inFlight: (token: PromisesToken, contents: [Contents])?

  struct Contents {
    let store: Bitcask
    let role: StoreRole
    let cursors: [FeedCursor]
    let promises: [PeerPromise]
  }
}

/// Names one writing of the file.
package struct PromisesToken: Equatable, Sendable { let changes: UInt64 }

extension Engine {
  /// How far the peers' feeds are applied, as of now.
  package func cursors(_ id: StoreID) -> [FeedCursor] { store(id).cursors }
  /// What the peers have promised, as of now; among it, under this node's own id, the mark of a store that has lost
  /// something.
  package func promises(_ id: StoreID) -> [PeerPromise] { store(id).promises }

  package func cursor(_ id: StoreID, on peer: NodeID) -> FeedCursor? {
    store(id).cursors.first { $0.peer == peer }
  }
  package func promise(_ id: StoreID, of peer: NodeID) -> PeerPromise? {
    store(id).promises.first { $0.peer == peer }
  }
  /// What is on disk: only this is told to the peer.
  package func durableCursor(_ id: StoreID, on peer: NodeID) -> FeedCursor? {
    store(id).durableCursors.first { $0.peer == peer }
  }
  /// What is on disk: only upon this a tombstone is forgotten.
  package func durablePromise(_ id: StoreID, of peer: NodeID) -> PeerPromise? {
    store(id).durablePromises.first { $0.peer == peer }
  }

  /// Everything in the peer's feed up to there is applied here, and durable. A cursor on another incarnation takes the
  /// place of the one before; on the same one it never sinks.
  package func setCursor(_ id: StoreID, _ cursor: FeedCursor) {
    let store = store(id)
    guard let index = store.cursors.firstIndex(where: { $0.peer == cursor.peer }) else {
      invariant(store.cursors.count < StorageLimits.peersMax, "store \(id) has cursors on \(store.cursors.count) peers")
      store.cursors.append(cursor)
      promisesState.changes += 1
      return
    }
    let known = store.cursors[index]
    guard known.incarnation != cursor.incarnation || known.tsn < cursor.tsn else { return }
    store.cursors[index] = cursor
    promisesState.changes += 1
  }

  /// The peer has told this of its store. A promise of another incarnation takes the place of the one before; of the same
  /// one it is raised, and its configuration is the one told last.
  package func setPromise(_ id: StoreID, _ promise: PeerPromise) {
    invariant(promise.peer != options.nodeID, "store \(id) is to have a promise of its own node")
    let store = store(id)
    guard let index = store.promises.firstIndex(where: { $0.peer == promise.peer }) else {
      invariant(
        store.promises.count < StorageLimits.peersMax, "store \(id) has promises of \(store.promises.count) peers")
      store.promises.append(promise)
      promisesState.changes += 1
      return
    }
    let known = store.promises[index]
    let next = known.incarnation == promise.incarnation ? known.raised(to: promise) : promise
    guard next != known else { return }
    store.promises[index] = next
    promisesState.changes += 1
  }

  // MARK: The file

  /// Something is in memory that the file does not say.
  package var hasPendingPromises: Bool { promisesState.written < promisesState.changes }

  /// What the file is to say now, for a step that replaces the one at `StorePath.promises`; call `promisesWritten` with
  /// the token when that was performed. What was asked for before and is not written by then is given up.
  package func promisesFile() -> (bytes: [UInt8], token: PromisesToken) {
    var contents: [PromisesState.Contents] = []
    var entries: [PromisesFile.Entry] = []
    for id in storeIDs {
      let store = store(id)
      contents.append(
        PromisesState.Contents(store: store, role: store.role, cursors: store.cursors, promises: store.promises))
      entries.append(
        PromisesFile.Entry(
          store: id, incarnation: store.manifest.incarnation, role: store.role, tsnHead: durableHead(id),
          cursors: store.cursors, promises: store.promises))
    }
    let token = PromisesToken(changes: promisesState.changes)
    promisesState.inFlight = (token, contents)
    return (promisesBytes(entries), token)
  }

  private func promisesBytes(_ entries: [PromisesFile.Entry]) -> [UInt8] {
    PromisesFile(cluster: options.clusterID, node: options.nodeID, entries: entries).encoded()
  }

  /// The same for a snapshot of these stores, in which everything is durable that they hold now: what is on disk of
  /// cursors and promises, for nothing else was told to anybody.
  func promisesBytes(ofSnapshot chosen: [Bitcask]) -> [UInt8] {
    promisesBytes(
      chosen.filter { !$0.id.isHints }.map { store in
        PromisesFile.Entry(
          store: store.id, incarnation: store.manifest.incarnation, role: store.role,
          tsnHead: store.manifest.tsnHead, cursors: store.durableCursors, promises: store.durablePromises)
      })
  }

  /// The file with this token is on disk: what it says is durable.
  package func promisesWritten(_ token: PromisesToken) {
    guard let (written, contents) = promisesState.inFlight, written == token else { return }
    promisesState.inFlight = nil
    promisesState.written = token.changes
    for (store, role, cursors, promises) in contents.map({ ($0.store, $0.role, $0.cursors, $0.promises) }) {
      store.durableCursors = cursors
      // A store whose role has changed meanwhile has agreed upon promises, and got rid of its mark, by a manifest.
      let known = store.durablePromises
      store.durablePromises =
        role == store.role
        ? PeerPromise.joined(promises, over: known, own: options.nodeID)
        : PeerPromise.joined(known, over: promises, own: options.nodeID)
    }
  }

  // MARK: Opening

  /// Takes what the file says over what the manifests say. Without the file the cursors begin at nothing and the promises
  /// are those of the manifests: if more was told to others, they find this node's stores regressed, and it makes them
  /// anew.
  func loadPromises<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    let path = StorePath.promises(directory)
    do throws(StorageError) {
      guard let file = try PromisesFile.read(in: directory, on: &files) else {
        // A node that has never served has nothing to lose there.
        guard stores.contains(where: { !$0.id.isHints && $0.role == .active }) else { return }
        throw .missing(path: path, reason: "what this node and its peers have promised each other is in it")
      }
      guard file.cluster == options.clusterID, file.node == options.nodeID else {
        throw .incompatible(path: path, reason: "it belongs to another node or cluster")
      }
      for entry in file.entries { take(entry) }
    } catch {
      switch error {
      case .damaged, .missing: recovery.promisesProblem = error
      case .io, .locked, .incompatible, .regressed: throw error
      }
      for store in stores { (store.cursors, store.durableCursors) = ([], []) }
      promisesState.changes += 1
    }
  }

  private func take(_ entry: PromisesFile.Entry) {
    guard !entry.store.isHints, let index = find(entry.store) else { return }
    let store = stores[index]
    guard store.manifest.incarnation == entry.incarnation else { return }
    store.manifest.take(entry)
    // Its manifest does not read back: what it had lost before stands here alone.
    if !store.isOpen, !store.manifest.promises.contains(where: { $0.peer == options.nodeID }), entry.role != .active {
      store.manifest.promises += entry.promises.filter { $0.peer == options.nodeID }
    }
    (store.promises, store.cursors) = (store.manifest.promises, store.manifest.cursors)
    (store.durablePromises, store.durableCursors) = (store.promises, store.cursors)
    guard store.isOpen, store.damage == nil, entry.tsnHead > store.manifest.tsnHead, options.rules.hold(.feedHead)
    else { return }
    let error = StorageError.regressed(
      path: store.directory,
      reason: "its tombstone feed ends at \(store.manifest.tsnHead), and \(entry.tsnHead) was promised; "
        + "it may have been copied while the node ran")
    recovery.damaged.append(StoreDamage(store.id, store.fence(error)))
  }
}
