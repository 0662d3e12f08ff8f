import Primitives

// What the store says of itself on disk, and what a checkpoint makes durable. A manifest is a snapshot: it claims
// only lengths whose sync is complete when it is written.

/// A length of one data file that a checkpoint or sync makes durable.
struct SyncTarget: Equatable {
  let index: Int
  let length: UInt64
}

extension Bitcask {
  /// Bytes are in files of this store that are not known to be durable.
  var isDirty: Bool { dataFiles.contains { $0.flushedLength > $0.syncedLength } }

  /// A file of this store whose name is not known to be durable.
  var hasUnnamedFile: Bool { dataFiles.contains { !$0.isNamed && $0.flushedLength > 0 } }

  /// The lengths to sync now, of files that have grown since the last sync.
  var syncTargets: [SyncTarget] {
    dataFiles.indices.compactMap { index in
      let file = dataFiles[index]
      return file.flushedLength > file.syncedLength ? SyncTarget(index: index, length: file.flushedLength) : nil
    }
  }

  /// The manifest as it stands, once `targets` are durable.
  func manifestBytes(afterSyncing targets: [SyncTarget]) -> [UInt8] {
    guard isOpen else { return manifest.encoded() }
    var snapshot = manifest
    snapshot.files = dataFiles.map { file in
      ManifestFile(
        id: file.id, isSealed: file.isSealed, syncedLength: file.syncedLength, valueStamps: file.valueStamps)
    }
    for target in targets {
      let id = dataFiles[target.index].id
      guard let index = snapshot.files.firstIndex(where: { $0.id == id }) else { continue }
      snapshot.files[index].syncedLength = target.length
    }
    return snapshot.encoded()
  }

  func markSynced(_ targets: [SyncTarget], named: Bool) {
    for target in targets {
      dataFiles[target.index].syncedLength = max(dataFiles[target.index].syncedLength, target.length)
      if named { dataFiles[target.index].isNamed = true }
    }
  }

  /// A durable sealed file whose hint does not cover it.
  var sealedFileWithoutHint: Int? {
    dataFiles.firstIndex { $0.isSealed && $0.syncedLength == $0.length && $0.hintLength < $0.length }
  }

  /// Files whose hint does not cover them, the active one included.
  var filesWithoutHint: [Int] {
    dataFiles.indices.filter { dataFiles[$0].hintLength < dataFiles[$0].length }
  }

  func hintStep(_ index: Int) -> DiskStep {
    .writeHint(
      dataPath: dataFiles[index].path, hintPath: StorePath.hint(directory, dataFiles[index].id), hash: options.hash)
  }
}
