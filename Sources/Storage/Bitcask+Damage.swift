import Causality
import Primitives

// What damage fences. A record of a sealed, durable file whose hint is intact is known without its bytes: its hash and
// its stamp stand in the hint. Then only the hash is fenced, and the note says what the other owners are to be asked
// for. Everything else, and any doubt, fences the store: a file that still grows, one without a hint, a hint that says
// something else than the keydir, more notes than there is room for, a store of hints, and whatever the device refuses.

extension Bitcask {
  /// The error for a slot's record that does not read back.
  /// - Parameter bytes: What stands there instead.
  func damaged<FS: FileSystem & ~Copyable>(
    _ location: Location, _ hash: UInt64, _ reason: String, _ bytes: [UInt8], on files: inout FS
  ) throws(StorageError) -> StorageError {
    let file = dataFiles[location.file]
    let key = SalvageScan.keyHit(in: bytes, byteCount: location.isSaturated ? nil : location.byteCount)
    let error = StorageError.damaged(path: file.path, offset: location.offset, reason: reason, key: key)
    guard mayNote(location.file),
      let entry = try hint(
        of: location.file, on: &files,
        { (lookup, files: inout FS) throws(StorageError) in
          try lookup.entry(hash, at: location.offset, on: &files)
        }), isSaid(of: location, by: entry)
    else { return fence(error) }
    return add(entry, at: location.offset, byteCount: UInt64(entry.byteCount), .fencing, in: location.file, error).error
  }

  /// Takes note of bytes at this place, read in order, that are no record. Nil: the store is fenced.
  func noteDamage<FS: FileSystem & ~Copyable>(
    in index: Int, at offset: UInt64, _ reason: String, on files: inout FS
  ) throws(StorageError) -> DamageNote? {
    let handle = try handle(index, on: &files)
    let file = dataFiles[index]
    let key = try SalvageScan.keyHit(handle, at: offset, to: file.flushedLength, salt: file.salt, on: &files)
    let error = StorageError.damaged(path: file.path, offset: offset, reason: reason, key: key)
    guard mayNote(index),
      let found = try hint(
        of: index, on: &files,
        { (lookup, files: inout FS) throws(StorageError) in
          try lookup.surroundings(of: offset, on: &files)
        })
    else {
      fence(error)
      return nil
    }
    guard let entry = found.entry else {
      // Superseded within this file, or the hint would know it.
      guard !hasSlot(in: index, offset..<found.next) else {
        fence(error)
        return nil
      }
      return add(nil, at: offset, byteCount: found.next - offset, .dead, in: index, error)
    }
    guard let slot = keydir.position(of: entry.hash, file: index, offset: offset) else {
      guard offset + UInt64(entry.byteCount) <= found.next else {
        fence(error)
        return nil
      }
      return add(entry, at: offset, byteCount: UInt64(entry.byteCount), .dead, in: index, error)
    }
    guard isSaid(of: keydir.location(at: slot), by: entry), offset + UInt64(entry.byteCount) <= found.next else {
      fence(error)
      return nil
    }
    return add(entry, at: offset, byteCount: UInt64(entry.byteCount), .fencing, in: index, error)
  }

  /// The header of a data file does not read back: nothing is lost, and the file can be merged away.
  func noteDamagedHeader(of index: Int) -> DamageNote? {
    let error = StorageError.damaged(
      path: dataFiles[index].path, offset: 0, reason: "its header does not read back as it was written")
    guard mayNote(index) else {
      fence(error)
      return nil
    }
    return add(nil, at: 0, byteCount: UInt64(FileHeader.byteCount), .dead, in: index, error)
  }

  private func mayNote(_ index: Int) -> Bool {
    let file = dataFiles[index]
    return notesDamage && damage == nil && !id.isHints && !damages.isFull && file.isSealed && !file.isRetired
      && file.isNamed && file.syncedLength == file.length && file.hintLength == file.length
  }

  /// Whether slot and hint speak of one record.
  private func isSaid(of location: Location, by entry: HintEntry) -> Bool {
    let byteCount = min(entry.byteCount >> 3, Location.lengthUnitsMax) << 3
    return entry.isTombstone == location.isTombstone && byteCount == location.byteCount
      && entry.stamp.digest == location.digest
  }

  private func hasSlot(in index: Int, _ offsets: Range<UInt64>) -> Bool {
    var isFound = false
    keydir.visitAll { isFound = isFound || $1.file == index && offsets.contains($1.offset) }
    return isFound
  }

  private func add(
    _ entry: HintEntry?, at offset: UInt64, byteCount: UInt64, _ state: DamageState, in index: Int,
    _ error: StorageError
  ) -> DamageNote {
    let file = dataFiles[index]
    let record = entry.map {
      DamageNote.Record(
        hash: $0.hash, stamp: $0.stamp, isTombstone: $0.isTombstone, tsn: $0.tsn, expiry: $0.expiry)
    }
    let note = DamageNote(
      store: id, incarnation: manifest.incarnation, fileID: file.id, offset: offset, byteCount: byteCount,
      record: record, error: error)
    damages.add(note, state)
    return note
  }

  /// Asks the hint of a data file; nil when there is none that fits, or it cannot be read.
  private func hint<FS: FileSystem & ~Copyable, Answer>(
    of index: Int, on files: inout FS, _ ask: (HintLookup, inout FS) throws(StorageError) -> Answer?
  ) throws(StorageError) -> Answer? {
    do throws(StorageError) {
      let path = StorePath.hint(directory, dataFiles[index].id)
      guard try files.exists(path) else { return nil }
      let handle = try files.open(path, .read)
      defer { files.close(handle) }
      guard let lookup = try HintLookup(handle, of: dataFiles[index], options: options, on: &files) else { return nil }
      return try ask(lookup, &files)
    } catch {
      // Without a descriptor nothing is known yet: whoever asked may ask again.
      if error.isRefusal { throw error }
      return nil
    }
  }

  // MARK: Repair

  /// What the keydir still points to, of a note.
  func slot(of note: DamageNote) -> Keydir.Position? {
    guard let record = note.record, let index = dataFiles.index(ofFile: note.fileID) else { return nil }
    return keydir.position(of: record.hash, file: index, offset: note.offset)
  }

  /// What `repair` did.
  enum RepairStep {
    /// Appended: these bytes of `buffer`, in this data file.
    case appended(Range<Int>, fileID: UInt32, isLost: Bool)
    case removed
    case insufficient
    case settled
  }

  /// Puts a version in the place of a damaged record: of those that were brought the one whose key no other slot of the
  /// hash has, for that is the damaged one's, or one that is lacking as well.
  /// - Parameter isFinal: Every other owner has answered: the newest of what they have stands, or nothing.
  func repair<FS: FileSystem & ~Copyable>(
    _ note: DamageNote, with versions: [(key: [UInt8], version: StoredVersion)], isFinal: Bool, on files: inout FS
  ) throws(StorageError) -> RepairStep {
    if let damage { throw damage }
    guard let record = note.record, note.incarnation == manifest.incarnation,
      damages.entry(inFile: note.fileID, at: note.offset)?.state == .fencing
    else { return .settled }
    guard let slot = slot(of: note) else {
      damages.settle(note, .repaired)
      return .settled
    }
    let known = try keys(of: record.hash, besides: slot, on: &files)
    let candidates = versions.filter { options.hash($0.key) == record.hash && !known.contains($0.key) }
    var best = candidates.max { $0.version.rank < $1.version.rank }
    // What was buried here stays so (rule EXPIRY), whoever has not done that yet.
    if record.isTombstone, let found = best, found.version.stamp == record.stamp {
      best?.version = StoredVersion(stamp: record.stamp, isTombstone: true, value: [])
    }
    let isWhole = best.map { $0.version.stamp >= record.stamp } ?? false
    guard isWhole || isFinal else { return .insufficient }
    guard let best else {
      giveUp(slot, record, note)
      damages.settle(note, .lost)
      return .removed
    }
    let file = try activeFile(on: &files)
    let start = buffer.count
    let tsn = best.version.isTombstone ? manifest.tsnHead + 1 : 0
    Record.append(best.version, key: best.key, tsn: tsn, salt: dataFiles[file].salt, to: &buffer)
    let byteCount = buffer.count - start
    let location = Location(
      file: file, offset: dataFiles[file].length, byteCount: byteCount, isTombstone: best.version.isTombstone,
      digest: best.version.stamp.digest)
    removeLive(Int(note.byteCount), from: keydir.location(at: slot).file)
    uncount(record.hash, record.stamp, tsn: record.tsn, isTombstone: record.isTombstone, record.expiry)
    count(record.hash, best.version.stamp, tsn: tsn, isTombstone: best.version.isTombstone, best.version.expiry)
    keydir.replace(at: slot, with: location)
    self.note(best.version, tsn: tsn, byteCount: byteCount, in: file)
    damages.settle(note, isWhole ? .repaired : .lost)
    return .appended(start..<buffer.count, fileID: dataFiles[file].id, isLost: !isWhole)
  }

  /// Nothing takes the place. A tombstone's key is absent from now on, as after a purge: what was deleted stays below the
  /// floor, and what was asked for before creates nothing (rules FLOOR and GUARD).
  private func giveUp(_ slot: Keydir.Position, _ record: DamageNote.Record, _ note: DamageNote) {
    removeLive(Int(note.byteCount), from: keydir.location(at: slot).file)
    uncount(record.hash, record.stamp, tsn: record.tsn, isTombstone: record.isTombstone, record.expiry)
    keydir.remove(at: slot)
    hasStaleManifest = true
    guard record.isTombstone else { return }
    purges.note(record.hash)
    manifest.floor = max(manifest.floor, record.stamp)
  }

  /// Keys with this hash whose records read back. Different keys with one hash are so rare that this may block.
  private func keys<FS: FileSystem & ~Copyable>(
    of hash: UInt64, besides slot: Keydir.Position, on files: inout FS
  ) throws(StorageError) -> [[UInt8]] {
    var keys: [[UInt8]] = []
    var position = keydir.first(hash)
    while let candidate = position {
      position = keydir.next(after: candidate, hash)
      let location = keydir.location(at: candidate)
      guard candidate != slot, damages.entry(inFile: dataFiles[location.file].id, at: location.offset) == nil,
        case .bytes(let bytes) = try fetch(location, warm: nil, mayBlock: true, on: &files)
      else { continue }
      let header = try checked(bytes, at: location, hash, on: &files)
      keys.append(Array(bytes[header.keyOffset..<header.valueOffset]))
    }
    return keys
  }

  // MARK: Merging

  /// Whether a merge may not have this file: a slot points to bytes of it that are damaged, or a damaged tombstone may
  /// not go while the store is not active.
  func isHeldByDamage(_ file: DataFile) -> Bool {
    damages.entries.contains {
      $0.note.fileID == file.id
        && ($0.state == .fencing || role != .active && ($0.note.record?.isTombstone ?? false || $0.state == .lost))
    }
  }

  /// Ids of files that are worth merging for their damage alone.
  var damagedInputs: [UInt32] {
    damages.isEmpty
      ? []
      : mergeable.filter { index in damages.entries.contains { $0.note.fileID == dataFiles[index].id } }
        .map { dataFiles[$0].id }
  }
}
