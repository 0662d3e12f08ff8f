package import Causality
package import Primitives

// All stores of one node, their journal, and what of them is durable. A turn applies records (to buffers, and to the
// keydirs at once), then `flush` hands every touched file its bytes with one append, the journal first. Nothing here
// waits for a device while the engine runs: syncs are requests that the node's driver performs, checkpoints and the
// like are disk steps that a job thread performs. After a failed append the engine refuses everything: what is in
// memory is then not what is on disk. An append that only found no room is no failure, see Engine+Space.

package final class Engine {
  package let options: EngineOptions
  package internal(set) var recovery = RecoveryReport()
  let directory: String
  // Unchecked for the same reason as those of `Bitcask`.
  /// Sorted by id: those of partitions, then those of hints.
  @safe @exclusivity(unchecked) private(set) var stores: [Bitcask] = []
  /// How many of them are of partitions.
  @safe @exclusivity(unchecked) private var partitionStores = 0
  /// Index of the first store of a partition, or that of the next partition's.
  @safe @exclusivity(unchecked) private var firstOfPartition: [Int] = []
  @safe @exclusivity(unchecked) var journal: Journal?

  /// Appends since the engine was opened; those of them in files; those in durable data files; those durable anyhow.
  @safe @exclusivity(unchecked) private var appendedCount: UInt64 = 0
  @safe @exclusivity(unchecked) private(set) var flushedCount: UInt64 = 0
  var checkpointedCount: UInt64 = 0
  var durableCount: UInt64 = 0
  @safe @exclusivity(unchecked) private var touched: [Bitcask] = []
  @safe @exclusivity(unchecked) private var bufferedBytes = 0
  /// The append that failed.
  @safe @exclusivity(unchecked) private var failure: StorageError?

  let openFiles: OpenFiles
  var sync = SyncState()
  var checkpoint = CheckpointState()
  var space = SpaceState()
  var merge = MergeState()
  var snapshot = SnapshotState()
  var scrub = ScrubState()
  var feedPages = FeedPageCache()
  var promisesState = PromisesState()
  var salvage: SalvageRun?

  init(_ directory: String, options: EngineOptions) {
    self.directory = directory
    self.options = options
    openFiles = OpenFiles(countMax: options.openFilesMax)
  }

  // MARK: Stores

  package func contains(_ id: StoreID) -> Bool { find(id) != nil }
  /// Of partitions, sorted.
  package var storeIDs: [StoreID] { stores[..<partitionStores].map(\.id) }
  package func role(_ id: StoreID) -> StoreRole { store(id).role }
  package func floor(_ id: StoreID) -> Stamp { store(id).manifest.floor }
  package func incarnation(_ id: StoreID) -> Identity128 { store(id).manifest.incarnation }
  package func configID(_ id: StoreID) -> UInt64 { store(id).manifest.configID }
  package func status(_ id: StoreID) -> StoreStatus { store(id).status }
  /// Nil without a journal.
  package var journalStatus: JournalStatus? {
    journal.map { JournalStatus(bytes: $0.byteCount, segments: $0.earlier.count + 1) }
  }

  /// A store of a partition never held a key, as far as it knows: no record and no position given in its feed.
  package func isEmpty(_ id: StoreID) -> Bool {
    let store = store(id)
    return store.isOpen && store.damage == nil && store.keydir.count == 0 && store.manifest.tsnHead == 0
      && store.manifest.floor == .zero
  }

  /// True when some key of the store, a deleted one too, can be given.
  package func holdsRecords(_ id: StoreID) -> Bool {
    let store = store(id)
    return store.isOpen && store.damage == nil && store.keydir.count > 0
  }

  /// Steps that create these stores durably, loading (those of hints: active) and empty; call `adopt` with the same arguments when they were
  /// performed.
  /// - Parameter promises: What a store is to remember from its beginning, by its id.
  package func create(_ seeds: [StoreSeed], promises: [StoreID: [PeerPromise]] = [:]) -> [DiskStep] {
    var steps: [DiskStep] = []
    for seed in seeds {
      let path = StorePath.store(directory, seed.id)
      let manifest = newManifest(seed, promises: promises[seed.id] ?? [])
      steps.append(.createDirectory(path))
      steps.append(.replace(path: StorePath.manifest(path), bytes: manifest.encoded()))
    }
    if !seeds.isEmpty { steps.append(.syncDirectory(StorePath.stores(directory))) }
    return steps
  }

  /// Takes stores into service that `create` made. One of the same id that was there before is given up.
  package func adopt<FS: FileSystem & ~Copyable>(
    _ seeds: [StoreSeed], promises: [StoreID: [PeerPromise]] = [:], on files: inout FS
  ) throws(StorageError) {
    for seed in seeds {
      let path = StorePath.store(directory, seed.id)
      let manifest = newManifest(seed, promises: promises[seed.id] ?? [])
      let store = Bitcask(manifest, directory: path, options: options, openFiles: openFiles)
      for name in try files.list(path) {
        guard let id = StorePath.number(name, suffix: ".data"), id < UInt32.max else { continue }
        store.manifest.nextFileID = max(store.manifest.nextFileID, id + 1)
      }
      if let index = find(seed.id) { giveUp(stores[index], on: &files) }
      store.notesDamage = true
      store.feed.settle()
      insert(store)
    }
  }

  func insert(_ store: Bitcask) {
    stores.removeAll { $0.id == store.id }
    stores.append(store)
    stores.sort { $0.id < $1.id }
    partitionStores = stores.count { !$0.id.isHints }
    let partitions = stores[..<partitionStores].last.map { Int($0.id.partition) + 1 } ?? 0
    firstOfPartition = Array(repeating: 0, count: partitions + 1)
    for store in stores[..<partitionStores] { firstOfPartition[Int(store.id.partition) + 1] += 1 }
    for partition in 0..<partitions { firstOfPartition[partition + 1] += firstOfPartition[partition] }
  }

  /// Those of hints; there are fewer of them than nodes.
  var hintStores: ArraySlice<Bitcask> { stores[partitionStores...] }

  func giveUp(_ store: Bitcask) {
    touched.removeAll { $0 === store }
    store.setAside()
  }

  private func giveUp<FS: FileSystem & ~Copyable>(_ store: Bitcask, on files: inout FS) {
    touched.removeAll { $0 === store }
    store.close(on: &files)
  }

  func find(_ id: StoreID) -> Int? {
    if id.isHints { return hintStores.firstIndex { $0.id == id } }
    let partition = Int(id.partition)
    guard partition + 1 < firstOfPartition.count else { return nil }
    for index in firstOfPartition[partition]..<firstOfPartition[partition + 1] where stores[index].id == id {
      return index
    }
    return nil
  }

  func store(_ id: StoreID) -> Bitcask {
    guard let index = find(id) else { fatalError("invariant: store \(id) is not in this engine") }
    return stores[index]
  }

  private func newManifest(_ seed: StoreSeed, promises: [PeerPromise]) -> StoreManifest {
    let role: StoreRole = seed.id.isHints ? .active : .loading
    var manifest = StoreManifest(cluster: options.clusterID, node: options.nodeID, seed: seed, role: role)
    manifest.promises = promises
    return manifest
  }

  /// Slots looked at for one page of keys.
  package static let slotsPerPage = 256

  // MARK: The data path

  /// Offers a version to a store. The highest stamp wins; a version that loses is not written.
  /// - Parameter hash: The ring hash of `key`.
  /// - Throws: `damaged` when the existing record does not read back (the store is fenced then), or what the file
  ///   system said.
  package func apply<FS: FileSystem & ~Copyable>(
    _ version: StoredVersion, key: [UInt8], hash: UInt64, to id: StoreID, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> ApplyOutcome {
    if version.isTombstone, isFullOfTombstones(id),
      let outcome = try atTheBound(version, key: key, hash: hash, in: id, warm: warm, on: &files)
    {
      return outcome
    }
    return try offer(version, key: key, hash: hash, to: id, .push, warm: warm, on: &files)
  }

  @inline(__always) func offer<FS: FileSystem & ~Copyable>(
    _ version: StoredVersion, key: [UInt8], hash: UInt64, to id: StoreID, _ origin: Bitcask.Origin, warm: WarmBytes?,
    on files: inout FS
  ) throws(StorageError) -> ApplyOutcome {
    if let failure { throw failure }
    if space.isShort && !version.isTombstone { return .refused(.full) }
    let store = store(id)
    guard try prepare(store, on: &files) else { return .refused(space.refusal.map(DiskRefusal.init) ?? .full) }
    do throws(StorageError) {
      switch try store.apply(
        version, key: key, hash: hash, origin: origin, warm: warm, mayBlock: false, on: &files)
      {
      case .appended(let range, let fileID):
        // Behind the floor: what brings it back after a crash must not meet the floor then either.
        var isPulled = false
        switch origin {
        case .pull, .feed: isPulled = version.stamp <= store.manifest.floor
        case .push, .journaledPull: break
        }
        noteAppend(range, fileID: fileID, in: store, isPulled: isPulled)
        return .applied(appended)
      case .equal(let isSynced): return .equal(isSynced ? durable : appended)
      case .newer(let stamp, let isSynced): return .newer(stamp, isSynced ? durable : appended)
      case .belowFloor(let floor): return .belowFloor(floor)
      case .cold(let read): return .cold(read)
      }
    } catch {
      guard error.refusesNewFile else { throw refuse(error, by: store) }
      if error.isOutOfSpace { noteOutOfSpace() }
      return .refused(DiskRefusal(error))
    }
  }

  /// Forgets the tombstone of a key if it is exactly the one of this stamp, and raises the floor of its store above it.
  /// The conditions of rule PURGE (Docs/DeleteProtocol.md) are the caller's.
  package func purge<FS: FileSystem & ~Copyable>(
    key: [UInt8], hash: UInt64, stamp: Stamp, in id: StoreID, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> PurgeOutcome {
    let store = store(id)
    do throws(StorageError) {
      return try store.purge(key, hash: hash, stamp: stamp, warm: warm, on: &files)
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }

  /// The newest version of a key.
  /// - Throws: `damaged` when the record does not read back: never "absent" instead.
  package func lookup<FS: FileSystem & ~Copyable>(
    key: [UInt8], hash: UInt64, in id: StoreID, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> LookupOutcome {
    let store = store(id)
    do throws(StorageError) {
      return try store.lookup(key, hash: hash, warm: warm, on: &files)
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }

  /// The keys of a store in hash order, tombstones among them, from `from` on; 0 for the first page.
  /// - Throws: `damaged` when a record does not read back (the store is fenced then): no key is ever left out.
  package func keys<FS: FileSystem & ~Copyable>(
    in id: StoreID, from hash: UInt64, matching pattern: KeyPattern, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> KeyPageOutcome {
    let store = store(id)
    do throws(StorageError) {
      return try store.keys(from: hash, matching: pattern, warm: warm, on: &files)
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }

  /// Ends the turn: hands all bytes to the file system, the journal with one append, then every touched store with one.
  /// Where there is no room they stay in memory, `flushed` stays behind `appended`, and a later flush goes on.
  package func flush<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    try flushBuffers(on: &files)
    openFiles.endTurn(on: &files)
  }

  /// The same within a turn, whose reads have not begun: no file that it has used may be closed yet.
  func flushBuffers<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    if let failure { throw failure }
    guard space.mayAppend else { return }
    space.mayRetry = false
    do throws(StorageError) {
      if journal != nil {
        try journal!.flush(sequence: appendedCount, on: &files)
        if checkpoint.rotatesSoon && journal!.spare != nil {
          try journal!.rotate(on: &files)
          checkpoint.rotatesSoon = journal!.spare != nil
        }
      }
      while let store = touched.last {
        try store.flush(on: &files)
        store.feedHead.noteFlush(store.manifest.tsnHead, position: appendedCount)
        store.isTouched = false
        touched.removeLast()
      }
    } catch {
      guard error.isRefusal else {
        failure = error
        throw error
      }
      space.refusal = error
      if error.isOutOfSpace { noteOutOfSpace() }
      return
    }
    space.refusal = nil
    checkpoint.bytes += UInt64(bufferedBytes)
    space.appendedBytes += UInt64(bufferedBytes)
    bufferedBytes = 0
    flushedCount = appendedCount
    if space.appendedBytes >= Engine.bytesPerSpaceReview { measureSpace(on: &files) }
  }

  /// Everything applied so far.
  package var appended: LogPosition { LogPosition(appendedCount) }
  /// Everything applied up to here is in files and survives the death of the process.
  package var flushed: LogPosition { LogPosition(flushedCount) }
  /// Everything applied up to here survives the loss of power.
  package var durable: LogPosition { LogPosition(durableCount) }
  package func isDurable(_ position: LogPosition) -> Bool { position.rawValue <= durableCount }

  /// Keeps the buffers bounded, and writes what is buffered before a store begins another file. False when there is no
  /// room for that.
  func prepare<FS: FileSystem & ~Copyable>(_ store: Bitcask, on files: inout FS) throws(StorageError) -> Bool {
    if store.mustRoll {
      try flushBuffers(on: &files)
      checkpoint.hasRolled = true
      return store.buffer.isEmpty
    }
    guard bufferedBytes >= StorageLimits.bufferedBytesMax else { return true }
    try flushBuffers(on: &files)
    return bufferedBytes < StorageLimits.bufferedBytesMax
  }

  /// Bytes in memory that are to be appended.
  var unflushedBytes: UInt64 { UInt64(bufferedBytes + (journal?.bufferedBytes ?? 0)) }

  func checkHealth() throws(StorageError) { if let failure { throw failure } }

  func noteAppend(_ range: Range<Int>, fileID: UInt32, in store: Bitcask, isPulled: Bool) {
    appendedCount += 1
    journal?.append(
      store.buffer, range, store: store.id, file: fileID, sequence: appendedCount, durable: sync.journalDurable,
      isPulled: isPulled)
    touch(store, byteCount: range.count)
  }

  func touch(_ store: Bitcask, byteCount: Int) {
    bufferedBytes += byteCount
    if !store.isTouched {
      store.isTouched = true
      touched.append(store)
    }
  }

  /// A read of a record's bytes, performed elsewhere, has failed: the store that they belong to is fenced until the next
  /// start, the others go on. Its id; nil when the store was not to blame, or has been given up.
  package func readFailed(_ read: ColdRead, _ error: StorageError) -> StoreID? {
    guard !error.isOutOfFiles else { return nil }
    let store = stores.first { store in
      store.dataFiles.indices.contains { store.dataFiles[$0].handle == read.file }
    }
    store?.fence(error)
    return store?.id
  }

  /// After a failed write or sync the engine does nothing any more.
  package var hasFailed: Bool { failure != nil }

  /// A read that fails fences its store; a failed write ends the engine.
  func refuse(_ error: StorageError, by store: Bitcask, isReading: Bool = false) -> StorageError {
    switch error {
    case .io where error.isRefusal: break
    case .io(.read, _, _): store.fence(error)
    case .io: if isReading { store.fence(error) } else { failure = error }
    case .locked, .damaged, .incompatible, .missing, .regressed: break
    }
    return error
  }
}
