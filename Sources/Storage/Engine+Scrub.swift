import Primitives

// Scrubbing: all sealed files of all stores are read in order, a chunk at a time, and every record's checksum is
// compared. It finds what nobody reads before the last good copy of it is gone. What is in memory of the operating
// system is read from there: bytes that rot on the device are found once they have left it.

extension Engine {
  /// Bytes of a chunk; a longer record makes it longer.
  package static let scrubChunkBytes = 128 << 10

  /// Begins in the middle: with the file at this share of all bytes. A node that is started often gets everywhere in the
  /// end, and nodes started together do not read together.
  package func beginScrub(atShare share: Double) {
    let skipped = UInt64(Double(scrubProgress.bytesTotal) * min(max(share, 0), 1))
    var before: UInt64 = 0
    for store in stores where store.isOpen && store.damage == nil {
      for index in store.dataFiles.indices where store.isScrubbed(index) {
        guard before + store.dataFiles[index].length > skipped else {
          before += store.dataFiles[index].length
          continue
        }
        scrub.place = ScrubState.Place(store: store.id, file: store.dataFiles[index].id, offset: 0)
        scrub.bytesDone = before
        scrub.isPartial = before > 0
        return
      }
    }
  }

  /// Where the pass goes on. One chunk is read at once.
  /// - Throws: What kept a file from being opened for the time being; the place stays.
  package func scrubNext<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> ScrubStep {
    invariant(scrub.reading == nil, "a second chunk is scrubbed at once")
    var from = scrub.place ?? ScrubState.Place(store: StoreID(partition: 0, replicas: 1), file: 0, offset: 0)
    while let (store, index, offset) = nextScrubbed(from) {
      let file = store.dataFiles[index]
      from = ScrubState.Place(store: store.id, file: file.id, offset: offset)
      let count = min(UInt64(max(Engine.scrubChunkBytes, scrub.bytesWanted)), file.length - offset)
      do throws(StorageError) {
        let read = ColdRead(file: try store.handle(index, on: &files), offset: offset, count: Int(count))
        scrub.place = from
        scrub.reading = (store, file.id, read)
        return .read(read)
      } catch {
        if error.isRefusal { throw error }
        // The store is passed over now.
        store.fence(error)
      }
    }
    scrub.place = nil
    scrub.bytesDone = 0
    if scrub.isPartial { scrub.isPartial = false } else { scrub.passes += 1 }
    return .passEnded
  }

  /// The bytes that `scrubNext` wanted.
  package func scrubbed<FS: FileSystem & ~Copyable>(
    _ bytes: [UInt8], on files: inout FS
  ) throws(StorageError) -> ScrubOutcome {
    guard let (store, id, read) = scrub.reading, var place = scrub.place else { return .isGone }
    scrub.reading = nil
    guard isOpen(store), let index = store.dataFiles.index(ofFile: id), store.isScrubbed(index) else {
      scrub.bytesWanted = 0
      return .isGone
    }
    let chunk = try store.scrub(bytes, read, in: index, on: &files)
    scrub.bytesWanted = chunk.bytesWanted
    place.offset = chunk.end
    scrub.place = place
    scrub.bytesDone += chunk.end - read.offset
    scrub.bytesRead += UInt64(bytes.count)
    if let damage = store.damage { return .fenced(store.id, damage) }
    return chunk.notes.isEmpty ? .intact : .damaged(chunk.notes)
  }

  /// The chunk could not be read. Whether that fences its store is what `readFailed` decides of any read.
  package func scrubReadFailed() { scrub.reading = nil }

  package var scrubProgress: ScrubProgress {
    var total: UInt64 = 0
    for store in stores where store.isOpen && store.damage == nil {
      for index in store.dataFiles.indices where store.isScrubbed(index) { total += store.dataFiles[index].length }
    }
    let file = scrub.place.map { StorePath.data(StorePath.store(directory, $0.store), $0.file) }
    return ScrubProgress(
      bytesDone: min(scrub.bytesDone, total), bytesTotal: total, bytesRead: scrub.bytesRead, passes: scrub.passes,
      file: file, position: scrub.place?.offset ?? 0)
  }

  private func isOpen(_ store: Bitcask) -> Bool {
    store.isOpen && store.damage == nil && find(store.id).map { stores[$0] === store } ?? false
  }

  /// The first bytes that are to be read at a place or behind it.
  private func nextScrubbed(_ from: ScrubState.Place) -> (store: Bitcask, index: Int, offset: UInt64)? {
    for store in stores where store.id >= from.store && store.isOpen && store.damage == nil {
      let isFirst = store.id == from.store
      for index in store.dataFiles.indices where store.isScrubbed(index) {
        let file = store.dataFiles[index]
        guard !isFirst || file.id >= from.file else { continue }
        let start = isFirst && file.id == from.file ? from.offset : 0
        let offset = store.damages.isEmpty ? start : store.passingDamage(in: file.id, from: start)
        if offset < file.length { return (store, index, offset) }
      }
    }
    return nil
  }
}

extension Bitcask {
  /// Sealed and durable, and something in it may be missed.
  func isScrubbed(_ index: Int) -> Bool {
    let file = dataFiles[index]
    return file.isSealed && !file.isRetired && file.syncedLength == file.length
      && !(id.isHints && file.liveRecords == 0)
  }

  /// Behind the damage that begins at this place and is known.
  fileprivate func passingDamage(in id: UInt32, from start: UInt64) -> UInt64 {
    var offset = start
    while let entry = damages.entry(inFile: id, at: offset) { offset = entry.note.end }
    return offset
  }

  /// What was verified of a chunk.
  fileprivate struct ScrubbedChunk {
    /// Everything before it is done with.
    var end: UInt64
    var bytesWanted = 0
    var notes: [DamageNote] = []
  }

  fileprivate func scrub<FS: FileSystem & ~Copyable>(
    _ bytes: [UInt8], _ read: ColdRead, in index: Int, on files: inout FS
  ) throws(StorageError) -> ScrubbedChunk {
    var chunk = ScrubbedChunk(end: read.offset)
    let file = dataFiles[index]
    guard bytes.count >= read.count else {
      fence(
        .damaged(path: file.path, offset: read.offset + UInt64(bytes.count), reason: "the file ends here"))
      return chunk
    }
    if read.offset == 0 {
      if let note = scrubHeader(bytes, of: index) { chunk.notes.append(note) }
      chunk.end = UInt64(FileHeader.byteCount)
    }
    while damage == nil, chunk.end < read.offset + UInt64(bytes.count) {
      if !damages.isEmpty, let entry = damages.entry(inFile: file.id, at: chunk.end) {
        chunk.end = entry.note.end
        continue
      }
      let reason: String
      switch Record.check(bytes, at: Int(chunk.end - read.offset), salt: file.salt) {
      case .whole(let header):
        chunk.end += UInt64(header.byteCount)
        continue
      case .short(let total):
        guard chunk.end + UInt64(total) > file.length else {
          chunk.bytesWanted = total
          return chunk
        }
        reason = "a record that the file ends in"
      case .damaged(let said): reason = said
      case .unknown(let said):
        fence(.damaged(path: file.path, offset: chunk.end, reason: said))
        return chunk
      }
      guard let note = try noteDamage(in: index, at: chunk.end, reason, on: &files) else { return chunk }
      chunk.notes.append(note)
    }
    return chunk
  }

  private func scrubHeader(_ bytes: [UInt8], of index: Int) -> DamageNote? {
    let file = dataFiles[index]
    let own = fileHeader(file.id).encoded()
    return bytes.starts(with: own) ? nil : noteDamagedHeader(of: index)
  }
}
