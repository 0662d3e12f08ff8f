import Causality
import Primitives

// What the store says of itself on disk, and what a checkpoint makes durable. A manifest is a snapshot: it claims
// only lengths whose sync is complete when it is written.

/// A length of one data file that a checkpoint or sync makes durable.
struct SyncTarget: Equatable {
  let fileID: UInt32
  let path: String
  let length: UInt64
}

extension Bitcask {
  /// Bytes are in files of this store that are not known to be durable.
  var isDirty: Bool { dataFiles.indices.contains { dataFiles[$0].isDirty } }

  /// A file of this store whose name is not known to be durable.
  var hasUnnamedFile: Bool {
    dataFiles.indices.contains { !dataFiles[$0].isNamed && dataFiles[$0].flushedLength > 0 && !dataFiles[$0].isRetired }
  }

  /// The lengths to sync now, of files that have grown since the last sync.
  var syncTargets: [SyncTarget] {
    dataFiles.indices.compactMap { index in
      let file = dataFiles[index]
      guard file.isDirty else { return nil }
      return SyncTarget(fileID: file.id, path: file.path, length: file.flushedLength)
    }
  }

  /// Files that are not synced are never closed.
  func openHandles(of targets: [SyncTarget]) -> [FileID] {
    targets.compactMap { target in dataFiles.index(ofFile: target.fileID).flatMap { dataFiles[$0].handle } }
  }

  /// The manifest as it stands, once `targets` are durable. The floor in it rises only when they are all that was
  /// applied: a record that stands in the journal alone must not meet, when it is replayed, a floor that is younger than
  /// it. (A floor that lags brings a purged tombstone back at most, as long as its record is there.)
  func manifestBytes(afterSyncing targets: [SyncTarget]) -> [UInt8] {
    guard isOpen else { return manifest.encoded() }
    var snapshot = manifest
    if buffer.isEmpty && targets == syncTargets && options.rules.hold(.durableFloor) { settleFloor() }
    snapshot.floor = settledFloor
    snapshot.cursors = durableCursors
    if manifestsAsked.isEmpty { snapshot.promises = durablePromises }
    let synced = Dictionary(uniqueKeysWithValues: targets.map { ($0.fileID, $0.length) })
    snapshot.files = dataFiles.indices.filter { !dataFiles[$0].isRetired }.map { index in
      let file = dataFiles[index]
      return ManifestFile(
        id: file.id, isSealed: file.isSealed, syncedLength: synced[file.id] ?? file.syncedLength,
        recordStamps: file.recordStamps)
    }
    return snapshot.encoded()
  }

  /// The step that makes a role durable, with promises that count as soon as it is performed.
  func askManifest(
    _ role: StoreRole, promises: [PeerPromise], afterSyncing targets: [SyncTarget] = []
  ) -> [DiskStep] {
    invariant(promises.count <= StorageLimits.peersMax, "store \(id) has promises of \(promises.count) peers")
    manifest.role = role
    promisesWhenAsked = promises.isEmpty ? [] : self.promises
    manifest.promises = PeerPromise.joined(promises, over: durablePromises, own: options.nodeID)
    // Before the bytes are made: they say these promises then.
    manifestsAsked.append(.zero)
    let bytes = manifestBytes(afterSyncing: targets)
    manifestsAsked[manifestsAsked.count - 1] = isOpen ? settledFloor : .zero
    return [.replace(path: StorePath.manifest(directory), bytes: bytes)]
  }

  /// The first of the manifests that were asked for is written, or never will be. - Returns: Its floor.
  func takeAskedManifest() -> Stamp { manifestsAsked.isEmpty ? .zero : manifestsAsked.removeFirst() }

  /// A manifest with this floor is written.
  func noteWritten(_ floor: Stamp?) { durableFloor = max(durableFloor, floor ?? .zero) }

  func markSynced(_ targets: [SyncTarget], named: Bool) {
    openFiles.noteSynced()
    for target in targets {
      guard let index = dataFiles.index(ofFile: target.fileID) else { continue }
      dataFiles[index].syncedLength = max(dataFiles[index].syncedLength, target.length)
      if named { dataFiles[index].isNamed = true }
    }
  }

  /// A durable sealed file whose hint does not cover it.
  var sealedFileWithoutHint: Int? {
    dataFiles.indices.first {
      let file = dataFiles[$0]
      return file.isSealed && !file.isRetired && file.syncedLength == file.length && file.hintLength < file.length
    }
  }

  var hasUnsyncedSealed: Bool {
    dataFiles.indices.contains { dataFiles[$0].isSealed && dataFiles[$0].syncedLength < dataFiles[$0].length }
  }

  /// Every sealed file has its hint, apart from those of these ids.
  func hasHints(besides inputs: [UInt32], upTo newest: UInt32 = .max) -> Bool {
    dataFiles.indices.allSatisfy {
      let file = dataFiles[$0]
      return !file.isSealed || file.isRetired || file.hintLength >= file.length || file.id > newest
        || inputs.contains(file.id)
    }
  }

  /// Files whose hint does not cover them, the active one included.
  var filesWithoutHint: [Int] {
    dataFiles.indices.filter { dataFiles[$0].hintLength < dataFiles[$0].length && !dataFiles[$0].isRetired }
  }

  func hintStep(_ index: Int) -> DiskStep {
    .writeHint(
      dataPath: dataFiles[index].path, hintPath: StorePath.hint(directory, dataFiles[index].id), hash: options.hash)
  }
}
