import Primitives

// Hints: writes that this node keeps for others, in stores of their own, one per node that they are for
// (`StoreID.hints`). Journal, checkpoints, merges, recovery and snapshots treat them as any store. What is different:
// they have no partition, no floor and no purge; and what is delivered is forgotten and its files go by themselves.

extension Engine {
  /// Of hints, sorted.
  package var hintStoreIDs: [StoreID] { hintStores.map(\.id) }

  /// The hints of a store behind a cursor, in the order in which they were written; each one comes at most once in a
  /// pass, unless it is moved by a merge meanwhile, and none is left out that was there when the pass began. Those that
  /// are not in files yet (`flush`) come later.
  /// - Parameters:
  ///   - cursor: `.start`, or where the page before ended.
  ///   - bytesMax: How much is read for a page, about; one record at least.
  /// - Throws: `damaged` when a record does not read back: the store is fenced then.
  package func hintPage<FS: FileSystem & ~Copyable>(
    of id: StoreID, from cursor: HintCursor, bytesMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> HintPageOutcome {
    let store = hintStore(id)
    do throws(StorageError) {
      return try store.hintPage(from: cursor, bytesMax: bytesMax, warm: warm, on: &files)
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }

  /// The hint at this place is delivered. False when another has taken its place or a merge has moved it: then it stays.
  ///
  /// Nothing is written about it. After a restart a hint that was forgotten may be there again, and is delivered again.
  /// That does no harm: a hint is a push with the stamp that the write had, and pushes may be repeated.
  package func forgetHint(_ place: HintPlace, of id: StoreID) -> Bool { hintStore(id).forgetHint(place) }

  /// How much waits in a store of hints.
  package func hintStatus(_ id: StoreID) -> HintStatus { hintStore(id).hintStatus }

  /// Bytes of the records of all hints that wait.
  package var hintBytes: UInt64 { hintStores.reduce(0) { $0 + $1.liveBytes } }
  /// The same without what is in quarantine.
  package func hintBytes(besides quarantine: StoreID) -> UInt64 {
    hintStores.reduce(0) { $1.id == quarantine ? $0 : $0 + $1.liveBytes }
  }

  private func hintStore(_ id: StoreID) -> Bitcask {
    invariant(id.isHints, "store \(id) holds no hints")
    return store(id)
  }

  // MARK: Files of delivered hints

  /// Files of delivered hints go at most this often: a target that comes and goes must not make every write a file.
  package static let hintRemovalMilliseconds: UInt64 = 1000

  /// The steps that remove files of hint stores without a hint in them, when there are any.
  func addHintRemoval<FS: FileSystem & ~Copyable>(
    _ job: inout CheckpointState.Job, _ steps: inout [DiskStep], at now: Instant, on files: inout FS
  ) {
    let last = checkpoint.lastHintRemoval
    guard last.map({ now.milliseconds(since: $0) >= Engine.hintRemovalMilliseconds }) ?? true else { return }
    // With something in the buffer, what a record lost to might be in memory only.
    for store in hintStores
    where store.isOpen && store.damage == nil && store.buffer.isEmpty && merge.store !== store {
      let ids = store.retireDeadFiles(on: &files)
      guard !ids.isEmpty else { continue }
      let targets = store.syncTargets
      steps += store.removalSteps(of: ids, syncing: targets)
      job.targets.append((store: store, targets: targets, floor: store.settledFloor))
      job.removed.append((store: store, files: ids))
    }
    if !steps.isEmpty { checkpoint.lastHintRemoval = now }
  }
}
