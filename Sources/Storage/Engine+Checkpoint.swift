import Causality
package import Primitives

// Background work: making the stores' own files durable, dropping the journal that they make superfluous, preparing the
// next journal segment, and hints. Every job is a list of steps that another thread performs in order while the engine
// goes on; it is made from lengths that are in files already, and its effect on memory waits for `completeWork`.

struct CheckpointState {
  struct Job {
    /// What the job makes durable, per store: lengths, and the floor of the manifest when it writes one.
    var targets: [(store: Bitcask, targets: [SyncTarget], floor: Stamp?)] = []
    /// Everything up to here is durable afterwards.
    var position: UInt64?
    var spare: UInt32?
    var dropped: [UInt32] = []
    /// The merge whose outputs take the place of its inputs.
    var merged: (store: Bitcask, run: MergeRun)?
    /// Ids of files of delivered hints that it removes, per store.
    var removed: [(store: Bitcask, files: [UInt32])] = []
    var hint: (store: Bitcask, fileID: UInt32, length: UInt64)?
    /// What this job was due for, should it come to nothing.
    var bytes: UInt64 = 0
    var isUrgent = false
    var hasRolled = false
  }
  var job: Job?
  /// Appended since the last checkpoint with manifests began.
  var bytes: UInt64 = 0
  var lastCheckpoint: Instant?
  var lastSync: Instant?
  var lastHintRemoval: Instant?
  /// The last job found no room, or no file; the next one waits until then.
  var pausedUntil: Instant?
  /// Somebody waits for a name to become durable.
  var isUrgent = false
  /// A store began a new file since the last checkpoint.
  var hasRolled = false
  /// Tombstones were forgotten since then: a start before the next checkpoint has them all again, to be held once more.
  var hasPurged = false
  /// The journal changes to the spare segment as soon as there is one.
  var rotatesSoon = false
  /// A checkpoint that was due came to nothing.
  var mustRun = false
  /// There may be sealed files without a hint.
  var mayNeedHints = true
}

extension Engine {
  /// The next job, when one is due; call `completeWork` when all its steps were performed. One is in flight at most.
  package func work<FS: FileSystem & ~Copyable>(at now: Instant, on files: inout FS) -> [DiskStep]? {
    guard checkpoint.job == nil, checkpoint.pausedUntil.map({ $0 <= now }) ?? true else { return nil }
    checkpoint.pausedUntil = nil
    let lastCheckpoint = checkpoint.lastCheckpoint ?? now
    let lastSync = checkpoint.lastSync ?? now
    checkpoint.lastCheckpoint = lastCheckpoint
    checkpoint.lastSync = lastSync
    journal?.closeFiles(durable: sync.journalDurable, isSyncing: sync.inFlight != nil, on: &files)
    if let steps = snapshotSteps(on: &files) { return steps }
    var job = CheckpointState.Job()
    var steps: [DiskStep] = []
    addMerge(&job, &steps, on: &files)
    if steps.isEmpty { addHintRemoval(&job, &steps, at: now, on: &files) }
    if !steps.isEmpty {
      // Nothing else: a store's manifest is written once.
    } else if isCheckpointDue(at: now, since: lastCheckpoint) {
      checkpoint.lastCheckpoint = now
      checkpoint.lastSync = now
      beginCheckpoint(&job, &steps, withManifests: true)
    } else if isSyncDue(at: now, since: lastSync) {
      checkpoint.lastSync = now
      beginCheckpoint(&job, &steps, withManifests: false)
    } else {
      addSpare(&job, &steps, when: journal.map { $0.current.length >= options.journalSegmentBytes / 2 } ?? false)
      addDrops(&job, &steps, covered: checkpointedCount)
      if steps.isEmpty { addHint(&job, &steps) }
    }
    guard !steps.isEmpty else { return nil }
    checkpoint.job = job
    return steps
  }

  /// All steps of the job that `work` gave were performed.
  package func completeWork() {
    guard let job = checkpoint.job else { return }
    checkpoint.job = nil
    completeSnapshotSteps()
    complete(job)
  }

  func complete(_ job: CheckpointState.Job) {
    for (store, targets, floor) in job.targets where store.isOpen {
      store.markSynced(targets, named: true)
      store.noteWritten(floor)
    }
    if let position = job.position {
      checkpointedCount = max(checkpointedCount, position)
      durableCount = max(durableCount, position)
      checkpoint.mayNeedHints = true
    }
    if let spare = job.spare { journal?.adoptSpare(spare) }
    journal?.dropped(job.dropped)
    if let merged = job.merged { completeMerge(of: merged.store, merged.run) }
    for (store, files) in job.removed { store.dropFiles(files) }
    if let hint = job.hint, let index = hint.store.dataFiles.index(ofFile: hint.fileID) {
      hint.store.dataFiles[index].hintLength = hint.length
    }
  }

  /// How long the engine waits after a job that came to nothing.
  package static let pauseMilliseconds: UInt64 = 1000

  /// A step of the job that `work` gave found no room, or no file to open, and none after it was performed. What was
  /// performed does no harm; after a pause a new job begins from what is there then.
  package func abandonWork(_ error: StorageError, at now: Instant) {
    guard let job = checkpoint.job else { return }
    checkpoint.job = nil
    abandonSnapshot(error)
    if error.isOutOfSpace { noteOutOfSpace() }
    checkpoint.pausedUntil = now.adding(milliseconds: Engine.pauseMilliseconds)
    for (store, _, _) in job.targets { store.hasStaleManifest = true }
    checkpoint.bytes += job.bytes
    checkpoint.isUrgent = checkpoint.isUrgent || job.isUrgent
    checkpoint.hasRolled = checkpoint.hasRolled || job.hasRolled
    checkpoint.lastSync = nil
    if let merged = job.merged { merge.unfinished = merged.run }
    if job.bytes > 0 { checkpoint.mustRun = true }
    if !job.targets.isEmpty { checkpoint.hasPurged = true }
  }

  /// Steps that leave nothing to recover: everything durable, a hint for every file, no journal. Flush before; nothing
  /// may be applied afterwards.
  package func shutdownSteps() -> [DiskStep] {
    var steps: [DiskStep] = []
    for store in stores where store.isOpen {
      let targets = store.syncTargets
      for target in targets { steps.append(.sync(path: target.path)) }
      for index in store.filesWithoutHint { steps.append(store.hintStep(index)) }
      guard !targets.isEmpty || store.hasStaleManifest else { continue }
      steps.append(.syncDirectory(store.directory))
      steps.append(
        .replace(path: StorePath.manifest(store.directory), bytes: store.manifestBytes(afterSyncing: targets)))
    }
    if let journal { steps += Journal.dropSteps(journal.allIDs, in: journal.directory) }
    return steps
  }

  // MARK: What is due

  private func isCheckpointDue(at now: Instant, since last: Instant) -> Bool {
    if checkpoint.isUrgent { return true }
    let isLate = now.milliseconds(since: last) >= options.checkpointSeconds &* 1000
    guard checkpoint.bytes > 0 else { return checkpoint.hasPurged && isLate }
    if checkpoint.mustRun { return true }
    let isLarge = checkpoint.bytes >= options.checkpointBytes
    switch options.sync {
    case .always: return isLate || isLarge
    case .interval: return isLate || isLarge || checkpoint.hasRolled
    case .never: return checkpoint.hasRolled
    }
  }

  private func isSyncDue(at now: Instant, since last: Instant) -> Bool {
    options.sync == .interval && flushedCount > durableCount
      && now.milliseconds(since: last) >= options.syncIntervalMilliseconds
  }

  // MARK: The parts of a job

  /// Syncs what has grown. With manifests, what a restart must read shrinks too, and the journal with it.
  func beginCheckpoint(
    _ job: inout CheckpointState.Job, _ steps: inout [DiskStep], withManifests: Bool
  ) {
    for store in stores where store.isOpen {
      let targets = store.syncTargets
      guard !targets.isEmpty || (withManifests && store.hasStaleManifest) else { continue }
      for target in targets { steps.append(.sync(path: target.path)) }
      if store.hasUnnamedFile { steps.append(.syncDirectory(store.directory)) }
      if withManifests {
        steps.append(
          .replace(path: StorePath.manifest(store.directory), bytes: store.manifestBytes(afterSyncing: targets)))
        store.hasStaleManifest = false
      }
      job.targets.append((store: store, targets: targets, floor: withManifests ? store.settledFloor : nil))
    }
    job.position = flushedCount
    guard withManifests else { return }
    job.bytes = checkpoint.bytes
    job.hasRolled = checkpoint.hasRolled
    job.isUrgent = checkpoint.isUrgent
    checkpoint.bytes = 0
    checkpoint.hasRolled = false
    checkpoint.hasPurged = false
    checkpoint.isUrgent = false
    checkpoint.mustRun = false
    addDrops(&job, &steps, covered: flushedCount)
    let hasFrames = (journal?.current.lastSequence ?? 0) > 0
    addSpare(&job, &steps, when: hasFrames)
    checkpoint.rotatesSoon = hasFrames
  }

  private func addSpare(_ job: inout CheckpointState.Job, _ steps: inout [DiskStep], when isWanted: Bool) {
    guard isWanted, let journal, journal.spare == nil else { return }
    let (id, step) = journal.spareStep()
    job.spare = id
    steps.append(step)
  }

  private func addDrops(_ job: inout CheckpointState.Job, _ steps: inout [DiskStep], covered: UInt64) {
    guard let journal else { return }
    job.dropped = journal.droppable(upTo: covered)
    steps += Journal.dropSteps(job.dropped, in: journal.directory)
  }

  /// One file per job: a hint takes as long as reading its file. Files that merges are about to read get none before.
  private func addHint(_ job: inout CheckpointState.Job, _ steps: inout [DiskStep]) {
    guard checkpoint.mayNeedHints, merge.store == nil, merge.round == nil || merge.awaitsHints else { return }
    for store in stores where store.isOpen {
      guard let index = store.sealedFileWithoutHint else { continue }
      steps.append(store.hintStep(index))
      job.hint = (store: store, fileID: store.dataFiles[index].id, length: store.dataFiles[index].length)
      return
    }
    checkpoint.mayNeedHints = false
  }
}
