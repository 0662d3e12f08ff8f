import Causality
import Primitives

// Opening a store: which files are its own, what of each is whole, and which record of every key is the newest.
// Below a synced length nothing may be missing or changed: if it is, the store is fenced and its files stay as they
// are. Behind it, the first bytes that are no record end the file (nothing behind them was ever acknowledged as
// durable by this file) and are cut off. The highest stamp wins, whatever file it stands in, and of one stamp the tombstone.

/// What opening one store did.
struct StoreRecovery {
  var records = 0
  var bytesCut: UInt64 = 0
  var highestTime: HybridTime = .zero
  /// Files changed or found that the manifest does not know yet.
  var isChanged = false
}

extension Bitcask {
  /// Opens the files of the store and fills the keydir. Damage fences the store; what is thrown concerns more than it.
  func recover<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> StoreRecovery {
    var recovery = StoreRecovery()
    let firstNew = manifest.nextFileID
    if !options.rules.hold(.feedHead) { manifest.tsnHead = 0 }
    do throws(StorageError) {
      let listed = manifest.files.sorted { $0.id < $1.id }
      for file in listed {
        openFiles.endTurn(on: &files)
        try openListed(file, &recovery, on: &files)
      }
      try adoptUnlisted(besides: Set(listed.map(\.id)), &recovery, on: &files)
      for index in dataFiles.indices {
        openFiles.endTurn(on: &files)
        try load(index, &recovery, on: &files)
      }
      if keydir.isSparse { keydir.rebuild(for: keydir.count) }
      feed.settle()
      for index in dataFiles.indices { try cutTail(index, &recovery, on: &files) }
      try settle(on: &files)
    } catch {
      // A device that refuses a read may do better at the next start: that is no reason to give up what it holds.
      switch error {
      case .damaged, .missing, .regressed:
        giveUp(error, on: &files)
        // Files that are younger than the manifest stay so: else they would count for nothing when it is written again.
        manifest.nextFileID = firstNew
      case .io, .locked, .incompatible: throw error
      }
    }
    return recovery
  }

  private func giveUp<FS: FileSystem & ~Copyable>(_ error: StorageError, on files: inout FS) {
    close(on: &files)
    fence(error)
  }

  /// The store works no more; what lies on the disk stays as it is.
  func close<FS: FileSystem & ~Copyable>(on files: inout FS) {
    for index in dataFiles.indices {
      openFiles.forget(self, index)
      if let handle = dataFiles[index].handle { files.close(handle) }
    }
    forgetFiles()
    isOpen = false
  }

  /// The last file goes on taking records; all others are done.
  private func settle<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    for index in dataFiles.indices.dropLast() { dataFiles[index].isSealed = true }
    guard let last = dataFiles.last, !dataFiles[last].isSealed else { return }
    _ = try handle(last, on: &files)
    openFiles.forget(self, last)
    active = last
  }

  // MARK: Which files

  private func openListed<FS: FileSystem & ~Copyable>(
    _ file: ManifestFile, _ recovery: inout StoreRecovery, on files: inout FS
  ) throws(StorageError) {
    let path = StorePath.data(directory, file.id)
    guard try files.exists(path) else {
      if file.syncedLength > 0 { throw .missing(path: path, reason: "the manifest lists it") }
      recovery.isChanged = true
      return
    }
    let handle = try files.open(path, .append)
    let size = try files.size(of: handle)
    guard size >= file.syncedLength else {
      throw .damaged(path: path, offset: size, reason: "it ends before byte \(file.syncedLength), which was durable")
    }
    do throws(StorageError) {
      let header = try readHeader(handle, path, id: file.id, on: &files)
      addFile(
        file.id, handle, path, header, size: size, synced: file.syncedLength, isSealed: file.isSealed, on: &files)
    } catch {
      files.close(handle)
      guard case .damaged = error, file.syncedLength == 0 else { throw error }
      try removeTorn(path, size: size, &recovery, on: &files)
    }
  }

  /// Files that the manifest does not know: younger than it, when their id is (adopted, or removed when a crash left
  /// not even their header); else leftovers of a merge, removed. Files of another life of this store are left alone.
  private func adoptUnlisted<FS: FileSystem & ~Copyable>(
    besides listed: Set<UInt32>, _ recovery: inout StoreRecovery, on files: inout FS
  ) throws(StorageError) {
    let firstNew = manifest.nextFileID
    let names = try files.list(directory)
    for name in names {
      guard let id = StorePath.number(name, suffix: ".data"), !listed.contains(id), id < UInt32.max else { continue }
      manifest.nextFileID = max(manifest.nextFileID, id + 1)
      recovery.isChanged = true
      let path = StorePath.data(directory, id)
      if id < firstNew {
        try files.unlink(path)
        continue
      }
      let handle = try files.open(path, .append)
      let size = try files.size(of: handle)
      do throws(StorageError) {
        let header = try readHeader(handle, path, id: id, on: &files)
        addFile(id, handle, path, header, size: size, synced: 0, isSealed: false, on: &files)
      } catch {
        files.close(handle)
        switch error {
        case .damaged: try removeTorn(path, size: size, &recovery, on: &files)
        case .missing: continue
        default: throw error
        }
      }
    }
    // Hints of files that are gone: a crash came between the removal of a file and that of its hint.
    for name in names {
      guard let id = StorePath.number(name, suffix: ".hint") ?? StorePath.number(name, suffix: ".hint.tmp"),
        dataFiles.index(ofFile: id) == nil, try !files.exists(StorePath.data(directory, id))
      else { continue }
      try files.unlink(directory + "/" + name)
    }
  }

  private func removeTorn<FS: FileSystem & ~Copyable>(
    _ path: String, size: UInt64, _ recovery: inout StoreRecovery, on files: inout FS
  ) throws(StorageError) {
    recovery.bytesCut += size
    recovery.isChanged = true
    try files.unlink(path)
  }

  /// Throws `damaged` when there is no whole header, `missing` when it is of another life of this store (whose file
  /// is then not one of ours), `incompatible` when the file belongs to somebody else.
  private func readHeader<FS: FileSystem & ~Copyable>(
    _ handle: FileID, _ path: String, id: UInt32, on files: inout FS
  ) throws(StorageError) -> FileHeader {
    guard case .bytes(let bytes) = try files.read(handle, at: 0, count: FileHeader.byteCount, mayBlock: true) else {
      throw .damaged(path: path, offset: 0, reason: "its header cannot be read")
    }
    let header = try FileHeader(decoding: bytes, kind: .data, path: path)
    let own = fileHeader(id)
    if header == own { return header }
    if header.cluster == own.cluster, header.node == own.node, header.store == own.store, header.file == own.file {
      throw .missing(path: path, reason: "it is of another incarnation of this store")
    }
    throw .incompatible(path: path, reason: "it belongs to another store or file; it was copied here by mistake")
  }

  private func addFile<FS: FileSystem & ~Copyable>(
    _ id: UInt32, _ handle: FileID, _ path: String, _ header: FileHeader, size: UInt64, synced: UInt64, isSealed: Bool,
    on files: inout FS
  ) {
    let index = dataFiles.insert(
      DataFile(
        id: id, handle: handle, path: path, salt: header.salt, length: size, flushedLength: size,
        syncedLength: synced, isNamed: synced > 0, isSealed: isSealed, lastUse: openFiles.turn))
    openFiles.add(self, index, on: &files)
  }

  // MARK: What they hold

  private func load<FS: FileSystem & ~Copyable>(
    _ index: Int, _ recovery: inout StoreRecovery, on files: inout FS
  ) throws(StorageError) {
    let from = try loadHint(index, &recovery, on: &files) ?? UInt64(FileHeader.byteCount)
    let handle = try handle(index, on: &files)
    let file = dataFiles[index]
    var scan = DataScan(handle, from: from, to: file.flushedLength, salt: file.salt, hash: options.hash)
    while try scan.next(on: &files) {
      if scan.chunkOffset == from { makeRoom(for: scan, to: file.flushedLength) }
      for position in scan.records.indices {
        if position + Bitcask.loadAhead < scan.records.count {
          keydir.prefetch(scan.records[position + Bitcask.loadAhead].hash)
        }
        try load(scan.records[position], of: scan, in: index, &recovery, on: &files)
      }
    }
    switch scan.stop {
    case .end, nil: break
    case .unknown(let reason): throw .incompatible(path: file.path, reason: reason)
    case .damaged(let reason):
      guard scan.offset >= file.syncedLength else {
        let key = try SalvageScan.keyHit(
          handle, at: scan.offset, to: file.flushedLength, salt: file.salt, on: &files)
        throw .damaged(path: file.path, offset: scan.offset, reason: reason, key: key)
      }
      dataFiles[index].length = scan.offset
    }
  }

  /// Records whose slots are on their way from memory while one is loaded.
  private static let loadAhead = 16

  /// Lays the keydir out for as many keys as the file seems to have from its first chunk, when that is most of all: growing to that
  /// size would move every key a few times.
  private func makeRoom(for scan: DataScan, to end: UInt64) {
    let parsed = scan.offset - scan.chunkOffset
    let expected = UInt64(scan.records.count) * (end - scan.chunkOffset) / max(1, parsed)
    if expected > UInt64(max(keydir.count, Bitcask.roomMin)) { keydir.rebuild(for: keydir.count + Int(expected)) }
  }

  /// Fewer expected keys are left to growing.
  private static let roomMin = 4096

  private func load<FS: FileSystem & ~Copyable>(
    _ record: ScannedRecord, of scan: DataScan, in index: Int, _ recovery: inout StoreRecovery, on files: inout FS
  ) throws(StorageError) {
    let header = record.header
    let entry = HintEntry(record, offset: scan.chunkOffset + UInt64(record.start))
    dataFiles[index].noteStamp(header.stamp)
    if header.isTombstone { manifest.tsnHead = max(manifest.tsnHead, header.tsn) }
    recovery.highestTime = max(recovery.highestTime, header.stamp.time)
    recovery.records += 1
    dataFiles[index].records += 1
    if keydir.first(entry.hash) == nil {
      place(entry, in: index, replacing: nil)
    } else {
      let key = Array(scan.chunk[record.start + header.keyOffset..<record.start + header.valueOffset])
      try resolve(entry, key: key, in: index, on: &files)
    }
  }

  /// Loads what the file's hint covers and returns where the scan must go on; nil when there is no hint that fits.
  private func loadHint<FS: FileSystem & ~Copyable>(
    _ index: Int, _ recovery: inout StoreRecovery, on files: inout FS
  ) throws(StorageError) -> UInt64? {
    let file = dataFiles[index]
    let path = StorePath.hint(directory, file.id)
    guard try files.exists(path) else { return nil }
    let hint = try files.open(path, .read)
    defer { files.close(hint) }
    let handle = try handle(index, on: &files)
    guard
      let header = try HintFile.verify(
        hint, data: handle, salt: file.salt, dataLength: file.flushedLength, hash: options.hash, on: &files),
      let covered = try loadEntries(hint, header, in: index, on: &files)
    else { return nil }
    if let range = header.recordStamps {
      dataFiles[index].noteStamp(range.lowerBound)
      dataFiles[index].noteStamp(range.upperBound)
    }
    manifest.tsnHead = max(manifest.tsnHead, header.tsnMax)
    recovery.highestTime = max(recovery.highestTime, header.highestTime)
    recovery.records += Int(header.count)
    dataFiles[index].records += Int(header.records)
    dataFiles[index].hintLength = covered
    return covered
  }

  private func loadEntries<FS: FileSystem & ~Copyable>(
    _ hint: FileID, _ header: HintHeader, in index: Int, on files: inout FS
  ) throws(StorageError) -> UInt64? {
    if header.count > keydir.count { keydir.rebuild(for: keydir.count + Int(header.count)) }
    var scan = HintScan(hint, count: header.count)
    while let chunk = try scan.next(on: &files) {
      for start in stride(from: 0, to: chunk.count, by: HintEntry.byteCount) {
        let entry = unsafe chunk.withUnsafeBytes { unsafe HintEntry($0, at: start) }
        if keydir.first(entry.hash) == nil {
          place(entry, in: index, replacing: nil)
        } else {
          let (bytes, record) = try self.record(at: location(entry, in: index), on: &files)
          try resolve(entry, key: Array(bytes[record.keyOffset..<record.valueOffset]), in: index, on: &files)
        }
      }
    }
    return header.dataLength
  }

  /// Decides between a record and those whose hash is the same: another key, an older version, or a newer one.
  private func resolve<FS: FileSystem & ~Copyable>(
    _ entry: HintEntry, key: [UInt8], in index: Int, on files: inout FS
  ) throws(StorageError) {
    var position = keydir.first(entry.hash)
    while let candidate = position {
      let (bytes, header) = try record(at: keydir.location(at: candidate), on: &files)
      if Array(bytes[header.keyOffset..<header.valueOffset]) == key {
        guard entry.rank > header.rank else { return }
        let file = keydir.location(at: candidate).file
        removeLive(header.byteCount, from: file)
        uncount(entry.hash, header.stamp, tsn: header.tsn, isTombstone: header.isTombstone, header.expiry)
        return place(entry, in: index, replacing: candidate)
      }
      position = keydir.next(after: candidate, entry.hash)
    }
    place(entry, in: index, replacing: nil)
  }

  private func location(_ entry: HintEntry, in index: Int) -> Location {
    Location(
      file: index, offset: entry.offset, byteCount: entry.byteCount, isTombstone: entry.isTombstone,
      digest: entry.stamp.digest)
  }

  private func place(_ entry: HintEntry, in index: Int, replacing position: Keydir.Position?) {
    if let position {
      keydir.replace(at: position, with: location(entry, in: index))
    } else {
      keydir.insert(entry.hash, location(entry, in: index))
    }
    addLive(entry.byteCount, to: index)
    count(entry.hash, entry.stamp, tsn: entry.tsn, isTombstone: entry.isTombstone, entry.expiry)
  }

  // MARK: What is cut

  private func cutTail<FS: FileSystem & ~Copyable>(
    _ index: Int, _ recovery: inout StoreRecovery, on files: inout FS
  ) throws(StorageError) {
    let file = dataFiles[index]
    guard file.length < file.flushedLength else { return }
    let handle = try handle(index, on: &files)
    try files.truncate(handle, to: file.length)
    // Else a loss of power could bring the tail back, behind a file that nobody syncs again and a snapshot may link.
    try files.sync(handle)
    recovery.bytesCut += file.flushedLength - file.length
    recovery.isChanged = true
    dataFiles[index].flushedLength = file.length
  }
}
