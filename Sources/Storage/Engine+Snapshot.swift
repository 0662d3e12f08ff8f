import Primitives

// Snapshots: second names (hard links) of data files that take no more records, with manifests that list just those.
// A snapshot holds, of all its stores, what was applied before one moment on the loop, the one at which `work` begins
// it, and nothing later: the active files end there, a merge goes on in a new output, and the manifests are encoded
// then. Two jobs follow. The first is a checkpoint: whatever the snapshot will link is durable after it, and if it fails
// the engine is done for, as with any checkpoint. The second makes the directory under a name that is no snapshot's,
// makes it durable, and only then gives it its own; if that fails nothing happened to the stores, and it is removed.
//
// From the moment to the last link nothing may unlink a file of a store. Only the job of a merge does, `work` gives one
// job at a time, and between the two jobs of a snapshot it gives no other.

struct SnapshotState {
  struct Run {
    let request: SnapshotRequest
    let partial: String
    let report: SnapshotReport
    let steps: [DiskStep]
  }

  enum Phase {
    case idle
    case requested(SnapshotRequest)
    /// The job under way makes durable what is to be linked.
    case sealing(Run)
    case sealed(Run)
    /// The job under way makes the snapshot.
    case linking(Run)
    /// What a failed one left at this path must go.
    case failed(partial: String)
    case removing
  }

  var phase = Phase.idle
  var outcome: SnapshotOutcome?
}

extension Engine {
  /// Snapshots of one node at once; one more is refused until others are removed.
  package static let snapshotsMax = 256
  /// Data files that a store may still begin when one more is ended for a snapshot.
  private static let filesSpared = 16

  /// Asks for a snapshot, which `work` makes; `takeSnapshotOutcome` says what became of it.
  package func requestSnapshot<FS: FileSystem & ~Copyable>(
    _ request: SnapshotRequest, on files: inout FS
  ) throws(SnapshotRefusal) {
    guard case .idle = snapshot.phase else { throw .notNow("another snapshot is being made; wait until it is done") }
    if case .store(let id) = request.part, !contains(id) { throw .unknownStore(id) }
    if let obstacle = stores(of: request).lazy.compactMap(Self.obstacle).first { throw .notNow(obstacle) }
    let root = StorePath.snapshots(directory)
    let names: [String]
    do throws(StorageError) {
      names = try files.exists(root) ? try files.list(root) : []
    } catch { throw .notNow("\(error)") }
    if names.contains(request.name.rawValue) { throw .exists(path: StorePath.snapshot(directory, request.name)) }
    guard names.count < Engine.snapshotsMax else {
      throw .notNow("\(root) holds \(names.count) snapshots, the most there may be; remove some")
    }
    snapshot.phase = .requested(request)
  }

  /// What became of the snapshot that was asked for, once.
  package func takeSnapshotOutcome() -> SnapshotOutcome? {
    defer { snapshot.outcome = nil }
    return snapshot.outcome
  }

  /// The job that `work` gave failed. - Returns: False when the engine is done for; true when that concerned nothing
  /// but a snapshot.
  package func failWork(_ error: StorageError) -> Bool {
    // A failed sync of the node's own directory may have been about a name that is not the snapshot's.
    if case .io(.syncDirectory, directory, _) = error { return false }
    switch snapshot.phase {
    case .linking(let run):
      snapshot.outcome = .failed(run.request.name, error)
      snapshot.phase = .failed(partial: run.partial)
    case .removing:
      // The next snapshot removes it.
      snapshot.phase = .idle
    case .idle, .requested, .sealing, .sealed, .failed: return false
    }
    checkpoint.job = nil
    return true
  }

  /// The checkpoint before a snapshot came to nothing: another may have the same moment no more.
  func abandonSnapshot(_ error: StorageError) {
    guard case .sealing(let run) = snapshot.phase else { return }
    snapshot.outcome = .failed(run.request.name, error)
    snapshot.phase = .idle
  }

  // MARK: The jobs

  /// The next job of a snapshot, when there is one.
  func snapshotSteps<FS: FileSystem & ~Copyable>(on files: inout FS) -> [DiskStep]? {
    if case .requested(let request) = snapshot.phase {
      do throws(StorageError) {
        let steps = try begin(request, on: &files)
        if !steps.isEmpty { return steps }
      } catch {
        snapshot.outcome = .failed(request.name, error)
        snapshot.phase = .idle
      }
    }
    let steps: [DiskStep]
    switch snapshot.phase {
    case .sealed(let run):
      snapshot.phase = .linking(run)
      steps = run.steps
    case .failed(let partial):
      snapshot.phase = .removing
      steps = [.removeTree(partial), .syncDirectory(StorePath.snapshots(directory))]
    case .idle, .requested, .sealing, .linking, .removing: return nil
    }
    checkpoint.job = CheckpointState.Job()
    return steps
  }

  /// The job of `snapshotSteps`, if it was one, is done.
  func completeSnapshotSteps() {
    switch snapshot.phase {
    case .sealing(let run): snapshot.phase = .sealed(run)
    case .linking(let run):
      snapshot.outcome = .made(run.report)
      snapshot.phase = .idle
    case .removing: snapshot.phase = .idle
    case .idle, .requested, .sealed, .failed: break
    }
  }

  /// The moment of the snapshot. - Returns: The checkpoint that must come first; no steps when everything is durable.
  private func begin<FS: FileSystem & ~Copyable>(
    _ request: SnapshotRequest, on files: inout FS
  ) throws(StorageError) -> [DiskStep] {
    try flushBuffers(on: &files)
    let chosen = stores(of: request)
    if let damage = chosen.lazy.compactMap(\.damage).first { throw damage }
    try seal(chosen.filter { $0.active != nil }, on: &files)
    // What is in memory may find no room: then there is no moment whose writes are all in files.
    if chosen.contains(where: { $0.active != nil || !$0.buffer.isEmpty }) {
      throw space.refusal ?? .io(.append, path: directory, errno: StorageError.noSpace)
    }
    for store in chosen { store.merge?.output = nil }
    let run = plan(request, chosen, leftovers: try leftovers(on: &files))
    var job = CheckpointState.Job()
    var steps: [DiskStep] = []
    beginCheckpoint(&job, &steps, withManifests: true)
    guard !steps.isEmpty else {
      complete(job)
      snapshot.phase = .sealed(run)
      return []
    }
    checkpoint.job = job
    snapshot.phase = .sealing(run)
    return steps
  }

  private func plan(_ request: SnapshotRequest, _ chosen: [Bitcask], leftovers: [String]) -> SnapshotState.Run {
    let root = StorePath.snapshots(directory)
    let path = StorePath.snapshot(directory, request.name)
    let partial = path + SnapshotName.partialSuffix
    var contents = SnapshotManifest(
      cluster: options.clusterID, node: options.nodeID, stores: chosen.count,
      wallMilliseconds: request.wallMilliseconds)
    var steps: [DiskStep] = [.createDirectory(root), .syncDirectory(directory)]
    steps += leftovers.map { .removeTree($0) }
    steps += [.createDirectory(partial), .syncDirectory(root), .createDirectory(StorePath.stores(partial))]
    for store in chosen {
      steps += linkSteps(store, into: StorePath.store(partial, store.id))
      for index in store.dataFiles.indices where !store.dataFiles[index].isRetired {
        contents.files += 1
        contents.bytes += store.dataFiles[index].flushedLength
      }
    }
    var node = request.node
    node.isClean = false
    // Snapshots of all nodes are put back together: none of them is to find the others older than they were later.
    node.peers = []
    steps += [
      .syncDirectory(StorePath.stores(partial)),
      .replace(path: partial + "/snapshot", bytes: contents.encoded()),
      .replace(path: StorePath.promises(partial), bytes: promisesBytes(ofSnapshot: chosen)),
      .replace(path: NodeContents.manifestPath(partial), bytes: node.encoded()),
      .rename(partial, to: path), .syncDirectory(root),
    ]
    let report = SnapshotReport(name: request.name, path: path, contents: contents)
    return SnapshotState.Run(request: request, partial: partial, report: report, steps: steps)
  }

  private func linkSteps(_ store: Bitcask, into copy: String) -> [DiskStep] {
    var steps: [DiskStep] = [.createDirectory(copy)]
    // What a merge has emptied may be gone already, and its manifest does not list it.
    for index in store.dataFiles.indices where !store.dataFiles[index].isRetired {
      let file = store.dataFiles[index]
      invariant(file.isSealed, "a snapshot of store \(store.id) with file \(file.id) as it is")
      steps.append(.link(file.path, to: StorePath.data(copy, file.id)))
      steps.append(.linkIfThere(StorePath.hint(store.directory, file.id), to: StorePath.hint(copy, file.id)))
    }
    // Also makes the names of the links durable.
    let manifest = store.manifestBytes(afterSyncing: store.syncTargets)
    steps.append(.replace(path: StorePath.manifest(copy), bytes: manifest))
    return steps
  }

  private func stores(of request: SnapshotRequest) -> [Bitcask] {
    stores.filter { request.part.contains($0.id) }
  }

  /// Directories of snapshots that were broken off.
  private func leftovers<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> [String] {
    let root = StorePath.snapshots(directory)
    guard try files.exists(root) else { return [] }
    return try files.list(root).filter { $0.hasSuffix(SnapshotName.partialSuffix) }.map { root + "/" + $0 }
  }

  /// Why the store cannot be part of a snapshot.
  private static func obstacle(_ store: Bitcask) -> String? {
    if let damage = store.damage {
      return "store \(store.id) is damaged (\(damage)); the others can be had one by one, by their names"
    }
    if !store.isOpen { return "store \(store.id) is not open" }
    if store.dataFiles.count + StorageLimits.filesForMerges + filesSpared > StorageLimits.filesMax {
      return "store \(store.id) has \(store.dataFiles.count) data files, nearly the most it can; merge first"
    }
    return nil
  }
}
