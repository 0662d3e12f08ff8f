package import Primitives

// Merges of all stores: one at a time, a slice per turn of the loop, as fast as the node allows. When a merge has read
// its inputs, a job makes the outputs durable, replaces the manifest and then removes the inputs, in this order (rule
// MANIFEST, Docs/Storage.md); the steps are part of `work`.

struct MergeState {
  /// The store that is being merged, until its inputs are gone.
  var store: Bitcask?
  /// Its last job came to nothing, and is to be given again.
  var unfinished: MergeRun?
  /// What had been appended when its inputs were read: what the merge left behind may have lost to any of it.
  var copiedAt: UInt64?
  /// A round over all stores that somebody asked for: those not merged yet.
  var round: [StoreID]?
  /// The store of the round whose active file was ended already, and its newest file then: the round is about what was
  /// there, and does not wait for what a busy store has begun since.
  var ended: (store: StoreID, upTo: UInt32)?
  /// Ids of the files that the round is about; nil when it is about all that are worth it.
  var roundFiles: Set<UInt32>?
  /// The merge under way is one of the round. Another one may have begun before the round was asked for, of some files
  /// only, and does not stand for it.
  var isOfRound = false
  /// The round waits for hints of files that stay.
  var awaitsHints = false
  var lastCheck: Instant?
  /// When a merge met a disk without room, or a system without descriptors.
  var lastShortage: Instant?
  var totals = MergeTotals()
  var merges = 0
  /// Why the last merge was broken off.
  var postponement: StorageError?
}

/// What a step of merging came to.
package enum MergeStep: Equatable, Sendable {
  /// Nothing is to be merged now.
  case idle
  /// A slice was merged.
  case worked
  /// The next step waits for a job of `work`.
  case waiting
  /// Nothing goes on before these bytes are there; give them to the next call.
  case cold(ColdRead)
}

extension Engine {
  /// Asks for a round: every store, or each of these, is merged once, beginning with the next `continueMerge`.
  package func requestMerge(in ids: [StoreID]? = nil) {
    merge.round = stores.filter { $0.isOpen && ids?.contains($0.id) ?? true }.map(\.id)
    merge.ended = nil
    merge.isOfRound = false
    merge.roundFiles = nil
  }

  /// Asks for a merge of exactly these files of one store, whatever is in them. Those that are gone are left out. No
  /// merge is under way.
  package func requestMerge(of files: [UInt32], in id: StoreID) {
    invariant(merge.store == nil, "files of \(id) are to be merged while another merge is under way")
    merge.round = [id]
    merge.ended = nil
    merge.isOfRound = false
    merge.roundFiles = Set(files)
  }

  /// A round that was asked for has not ended.
  package var isMergeRequested: Bool { merge.round != nil }

  package var mergeStatus: MergeStatus {
    var status = MergeStatus()
    status.store = merge.store?.id
    status.merges = merge.merges
    status.totals = merge.totals
    status.postponement = merge.postponement?.description
    return status
  }

  /// Begins a merge if one is due, or goes on with the one under way.
  /// - Parameters:
  ///   - hour: Of the day, UTC: merges that nobody asked for keep to the window.
  ///   - budget: Bytes of input.
  ///   - rule: For stores of partitions; those of hints have their own.
  /// - Throws: What the file system said of a write: the engine is done for then. Damage fences the store and ends its
  ///   merge; a shortage (of space, of descriptors) ends it as well. Neither is thrown.
  package func continueMerge<FS: FileSystem & ~Copyable>(
    at now: Instant, hour: Int, budget: Int, warm: WarmBytes?, rule: any MergeRule = OverlapRule(), on files: inout FS
  ) throws(StorageError) -> MergeStep {
    do throws(StorageError) {
      if merge.store == nil, let step = try begin(at: now, hour: hour, rule: rule, on: &files) { return step }
      guard let store = merge.store else { return .idle }
      // Its last job is under way, which ends it whatever becomes of the store, or could not be done yet.
      guard store.merge != nil else {
        guard merge.unfinished != nil, !store.isOpen || store.damage != nil else { return .waiting }
        endMerge(of: store, on: &files)
        return .worked
      }
      guard store.isOpen, store.damage == nil else {
        endMerge(of: store, on: &files)
        return .worked
      }
      let outputs = store.merge?.outputs.count ?? 0
      defer {
        // An output that is full is made durable soon: only then may it be closed.
        if let now = store.merge?.outputs.count, now > max(1, outputs) { checkpoint.isUrgent = true }
      }
      switch try store.mergeSlice(budget: budget, warm: warm, on: &files) {
      case .worked: return .worked
      case .cold(let read): return .cold(read)
      case .copied:
        merge.copiedAt = merge.copiedAt ?? appended.rawValue
        return .waiting
      }
    } catch {
      guard let store = merge.store else { throw error }
      if error.isShortage {
        merge.lastShortage = now
        if error.isOutOfSpace { noteOutOfSpace() }
        do throws(StorageError) { try store.undoTornMerge(on: &files) } catch { throw refuse(error, by: store) }
      } else {
        _ = refuse(error, by: store)
        // Damage that fences a hash alone was noted: the file is merged when its place is taken.
        if case .damaged = error {} else if store.damage == nil { throw error }
      }
      merge.postponement = error
      endMerge(of: store, on: &files)
      return .worked
    }
  }

  /// Breaks off the merge under way, unless only its last job is missing, and any round.
  package func cancelMerge<FS: FileSystem & ~Copyable>(on files: inout FS) {
    merge.round = nil
    if let store = merge.store, store.merge != nil { endMerge(of: store, on: &files) }
  }

  func endMerge<FS: FileSystem & ~Copyable>(of store: Bitcask, on files: inout FS) {
    store.cancelMerge(on: &files)
    merge.store = nil
    merge.copiedAt = nil
    merge.unfinished = nil
    merge.lastCheck = nil
    endOfRound(store)
  }

  /// The merge of this store has ended, whatever came of it.
  private func endOfRound(_ store: Bitcask) {
    guard merge.isOfRound else { return }
    merge.isOfRound = false
    merge.round?.removeAll { $0 == store.id }
  }

  // MARK: Which store

  /// Nil when a merge was begun.
  private func begin<FS: FileSystem & ~Copyable>(
    at now: Instant, hour: Int, rule: any MergeRule, on files: inout FS
  ) throws(StorageError) -> MergeStep? {
    let sinceShortage = merge.lastShortage.map { now.milliseconds(since: $0) } ?? .max
    if merge.round == nil, sinceShortage >= options.merge.checkIntervalMilliseconds, beginDamaged(rule: rule) {
      return nil
    }
    if merge.round != nil { return try beginRequested(rule: rule, on: &files) }
    guard options.merge.window.contains(hour: hour) else { return .idle }
    let last = merge.lastCheck ?? now
    merge.lastCheck = last
    guard now.milliseconds(since: last) >= options.merge.checkIntervalMilliseconds else { return .idle }
    merge.lastCheck = now
    try endActiveFiles(on: &files)
    var best: (store: Bitcask, inputs: [UInt32], freeable: UInt64)?
    for store in stores where store.isOpen && store.damage == nil {
      let candidates = store.mergeable.map(store.mergeFacts)
      let inputs = options.merge.choose(candidates, liveBytesMax: options.fileBytesMax)
      // Without the hints of the files that stay, tombstones would stay as well.
      guard store.id.isHints || store.hasHints(besides: inputs) else {
        checkpoint.mayNeedHints = true
        continue
      }
      let freeable = candidates.reduce(0) { inputs.contains($1.id) ? $0 + $1.freeableBytes : $0 }
      if !inputs.isEmpty && freeable >= best?.freeable ?? 0 { best = (store, inputs, freeable) }
    }
    guard let best else { return .idle }
    // More may be due: the next look comes as soon as this merge has ended, unless it is broken off.
    merge.lastCheck = last
    let inputs = best.store.withBlocked(best.inputs, liveBytesMax: options.fileBytesMax)
    best.store.beginMerge(of: inputs, rule: best.store.id.isHints ? HintRule() : rule)
    merge.store = best.store
    return nil
  }

  /// Files with damaged bytes that nobody needs any more come first, at any hour: until they are gone, a restart would
  /// fence their stores.
  private func beginDamaged(rule: any MergeRule) -> Bool {
    for store in stores where store.isOpen && store.damage == nil && !store.damages.isEmpty {
      let inputs = store.damagedInputs
      guard !inputs.isEmpty else { continue }
      guard store.hasHints(besides: inputs) else {
        checkpoint.mayNeedHints = true
        // Only a durable file gets a hint.
        if store.hasUnsyncedSealed { checkpoint.isUrgent = true }
        continue
      }
      store.beginMerge(of: inputs, rule: rule)
      merge.store = store
      return true
    }
    return false
  }

  /// Files that still take records and are mostly dead make room for new ones, to be merged when they are durable.
  private func endActiveFiles<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    let ending = stores.filter { store in
      store.active.map { options.merge.endsActive(store.mergeFacts($0)) } ?? false
    }
    try seal(ending, on: &files)
  }

  /// Ends the active files of these stores; the next checkpoint, at once, makes them durable.
  func seal<FS: FileSystem & ~Copyable>(_ ending: [Bitcask], on files: inout FS) throws(StorageError) {
    guard !ending.isEmpty else { return }
    try flushBuffers(on: &files)
    // A file that could not take all that is to be in it goes on taking it.
    for store in ending where store.buffer.isEmpty {
      store.seal(on: &files)
      store.hasStaleManifest = true
    }
    checkpoint.isUrgent = true
  }

  /// The next store of the round: its active file is ended and made durable first, and every file that stays has its
  /// hint, so that tombstones are judged exactly.
  private func beginRequested<FS: FileSystem & ~Copyable>(
    rule: any MergeRule, on files: inout FS
  ) throws(StorageError) -> MergeStep? {
    while let id = merge.round?.first, let index = find(id) {
      let store = stores[index]
      let chosen = merge.roundFiles
      func isWanted(_ file: Int) -> Bool {
        chosen?.contains(store.dataFiles[file].id) ?? store.isWorthMerging(file)
      }
      if store.isOpen, store.damage == nil, store.dataFiles.indices.contains(where: isWanted) {
        guard let upTo = try endFiles(of: store, if: isWanted, on: &files) else { return .waiting }
        let mergeable = Set(store.mergeable)
        let isSettled = store.dataFiles.indices.allSatisfy {
          $0 == store.active || store.dataFiles[$0].id > upTo || mergeable.contains($0)
            || store.isHeldByDamage(store.dataFiles[$0])
        }
        let inputs = store.mergeable.filter {
          isWanted($0) || chosen == nil && store.dataFiles[$0].length < options.merge.smallFileBytes
        }.map { store.dataFiles[$0].id }
        merge.awaitsHints = isSettled && !id.isHints && !store.hasHints(besides: inputs, upTo: upTo)
        guard isSettled && !merge.awaitsHints else {
          if isSettled { checkpoint.mayNeedHints = true } else { checkpoint.isUrgent = true }
          return .waiting
        }
        if !inputs.isEmpty {
          store.beginMerge(of: inputs, rule: id.isHints ? HintRule() : rule)
          merge.store = store
          merge.isOfRound = true
          return nil
        }
      }
      merge.round?.removeFirst()
      merge.ended = nil
    }
    merge.round = nil
    return .idle
  }

  /// Ends the active file of the round's store, once: a busy store has another such file at the next look.
  /// - Returns: The newest file that the round is about; nil as long as what is in memory finds no room.
  private func endFiles<FS: FileSystem & ~Copyable>(
    of store: Bitcask, if isWanted: (Int) -> Bool, on files: inout FS
  ) throws(StorageError) -> UInt32? {
    if let ended = merge.ended, ended.store == store.id { return ended.upTo }
    if let active = store.active, isWanted(active) {
      try seal([store], on: &files)
      if store.active != nil { return nil }
    }
    let upTo = store.dataFiles.indices.filter { $0 != store.active }.map { store.dataFiles[$0].id }.max() ?? 0
    merge.ended = (store.id, upTo)
    return upTo
  }

  // MARK: The job

  /// The steps that put the outputs in place of the inputs, when a merge has got so far.
  func addMerge<FS: FileSystem & ~Copyable>(
    _ job: inout CheckpointState.Job, _ steps: inout [DiskStep], on files: inout FS
  ) {
    // What a record lost to must be in a file that this job syncs before the record goes.
    guard let store = merge.store, store.isOpen, store.damage == nil, store.buffer.isEmpty,
      let copiedAt = merge.copiedAt, copiedAt <= flushedCount,
      let run = merge.unfinished ?? store.retireInputs(on: &files)
    else { return }
    merge.unfinished = nil
    // A purged tombstone leaves the disk here. The journal may have an older value of its key that would pass the floor
    // again (`JournalFrame.isPulled`): so the journal has the tombstone behind it, durably.
    if let journal { steps += journal.syncSteps(above: sync.journalDurable) }
    let targets = store.syncTargets
    steps += store.removalSteps(of: run.inputs, syncing: targets)
    job.targets.append((store: store, targets: targets, floor: store.settledFloor))
    job.merged = (store: store, run: run)
  }

  func completeMerge(of store: Bitcask, _ run: MergeRun) {
    store.succeed(run.inputs, by: run.outputs)
    store.dropFiles(run.inputs)
    merge.totals += run.totals
    merge.merges += 1
    merge.postponement = nil
    merge.store = nil
    merge.copiedAt = nil
    endOfRound(store)
    checkpoint.mayNeedHints = true
  }
}

extension Bitcask {
  /// Rule MANIFEST: what stays is durable, then a manifest is that does not list these retired files, then they go.
  func removalSteps(of ids: [UInt32], syncing targets: [SyncTarget]) -> [DiskStep] {
    var steps: [DiskStep] = targets.map { .sync(path: $0.path) }
    steps.append(.syncDirectory(directory))
    steps.append(.replace(path: StorePath.manifest(directory), bytes: manifestBytes(afterSyncing: targets)))
    hasStaleManifest = false
    for id in ids {
      steps.append(.unlink(StorePath.hint(directory, id)))
      steps.append(.unlink(StorePath.data(directory, id)))
    }
    steps.append(.syncDirectory(directory))
    return steps
  }

  func mergeFacts(_ index: Int) -> MergePolicy.File {
    let file = dataFiles[index]
    return MergePolicy.File(
      id: file.id, length: file.length, liveBytes: file.liveBytes,
      freeableBytes: file.deadBytes - min(file.deadBytes, isBlocked(file) ? file.blockedBytes : 0))
  }

  /// Whether what the last merge could not free still cannot go.
  func isBlocked(_ file: DataFile) -> Bool {
    role != .active || dataFiles.indices.contains { file.blockers.contains(dataFiles[$0].id) }
  }

  /// Somebody who asks for a merge means every dead byte.
  /// In an active store also the blocked ones: what blocks them has dead bytes itself, and is merged with them.
  func isWorthMerging(_ index: Int) -> Bool {
    role == .active ? dataFiles[index].deadBytes > 0 : mergeFacts(index).freeableBytes > 0
  }

  /// A write of the merge failed by half: what it left behind its last whole slice is cut off.
  func undoTornMerge<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    guard let output = merge?.output else { return }
    try files.truncate(try handle(output, on: &files), to: dataFiles[output].flushedLength)
  }
}

/// What `/admin/status` says of merges.
package struct MergeStatus: Equatable, Sendable {
  /// The store being merged now.
  package var store: StoreID?
  /// Merges completed since the engine was opened, and what they did.
  package var merges = 0
  package var totals = MergeTotals()
  /// Why the last one was broken off, when it was.
  package var postponement: String?
  package init() {}
}

extension StorageError {
  /// Something is lacking that may come back: what the disk may refuse, or data files that the store may have.
  var isShortage: Bool {
    if case .incompatible = self { return true }
    return isRefusal
  }
}
