import Causality
import Primitives

// Merging: the records that count move from sealed files into new ones, a slice at a time, while the store goes on. A
// slice reads a chunk of an input, appends what stays to the output with one call, and then points the keydir there; so
// at any moment every key is in exactly one place, and a merge that is broken off leaves ordinary files. The inputs go
// only when a manifest without them is durable (rule MANIFEST; `Engine+Merge.swift`).

extension Bitcask {
  /// Sealed files that are durable under their names: what a merge may read.
  var mergeable: [Int] {
    dataFiles.indices.filter {
      let file = dataFiles[$0]
      return file.isSealed && !file.isRetired && file.isNamed && file.syncedLength == file.length
        && (damages.isEmpty || !isHeldByDamage(file))
    }
  }

  func beginMerge(of inputs: [UInt32], rule: any MergeRule) {
    invariant(merge == nil && !inputs.isEmpty, "store \(id) begins a second merge, or one of nothing")
    merge = MergeRun(inputs, rule: rule)
  }

  /// Goes on with the merge for about `budget` bytes of input, at least one record.
  /// - Throws: `damaged` when a record does not read back: the store is fenced then.
  func mergeSlice<FS: FileSystem & ~Copyable>(
    budget: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> MergeSlice {
    guard var run = merge else { return .copied }
    defer { if merge != nil { merge = run } }
    while !run.isCopied {
      guard let index = dataFiles.index(ofFile: run.inputs[run.position]) else {
        fatalError("invariant: file \(run.inputs[run.position]) left store \(id) while it was merged")
      }
      // What is left of a file of delivered hints needs no look.
      if id.isHints && dataFiles[index].liveRecords == 0 { run.offset = dataFiles[index].length }
      let left = dataFiles[index].length - run.offset
      guard left == 0 else {
        return try copy(from: index, min(max(budget, run.bytesWanted), Int(left)), &run, warm: warm, on: &files)
      }
      run.position += 1
      run.offset = UInt64(FileHeader.byteCount)
    }
    return .copied
  }

  /// The merge ends here. What it moved stays where it is; what it has not read stays in the inputs.
  func cancelMerge<FS: FileSystem & ~Copyable>(on files: inout FS) {
    guard var run = merge else { return }
    close(&run.lookups, on: &files)
    merge = nil
  }

  /// All inputs were read: from here on manifests list the outputs in their place.
  func retireInputs<FS: FileSystem & ~Copyable>(on files: inout FS) -> MergeRun? {
    guard var run = merge, run.isCopied else { return nil }
    close(&run.lookups, on: &files)
    for id in run.inputs {
      guard let index = dataFiles.index(ofFile: id) else { continue }
      invariant(dataFiles[index].liveRecords == 0, "store \(self.id): keys are left in file \(id), which was merged")
      dataFiles[index].isRetired = true
    }
    hasStaleManifest = true
    merge = nil
    return run
  }

  /// The files are gone from the disk, or will be at the next start, and nothing in them counts.
  func dropFiles(_ ids: [UInt32]) {
    damages.remove(files: ids)
    for id in ids {
      guard let index = dataFiles.index(ofFile: id) else { continue }
      openFiles.forget(self, index)
      if let handle = dataFiles[index].handle { openFiles.retire(handle) }
      dataFiles.remove(index)
    }
  }

  /// What was blocked by a merged file is blocked by what came of it: only merging them together frees both. Else two
  /// files could take turns for ever.
  func succeed(_ inputs: [UInt32], by outputs: [UInt32]) {
    let merged = Set(inputs)
    for index in dataFiles.indices where !dataFiles[index].blockers.isDisjoint(with: merged) {
      dataFiles[index].blockers.subtract(merged)
      dataFiles[index].blockers.formUnion(outputs)
    }
  }

  /// These inputs, and the files whose tombstones they block, as far as all together have no more than so many live
  /// bytes.
  func withBlocked(_ inputs: [UInt32], liveBytesMax: UInt64) -> [UInt32] {
    var inputs = Set(inputs)
    var liveBytes = inputs.reduce(0) { $0 + (dataFiles.index(ofFile: $1).map { dataFiles[$0].liveBytes } ?? 0) }
    for index in mergeable where !dataFiles[index].blockers.isDisjoint(with: inputs) {
      guard liveBytes + dataFiles[index].liveBytes <= liveBytesMax else { continue }
      if inputs.insert(dataFiles[index].id).inserted { liveBytes += dataFiles[index].liveBytes }
    }
    return inputs.sorted()
  }

  private func close<FS: FileSystem & ~Copyable>(_ lookups: inout [UInt32: HintLookup], on files: inout FS) {
    for lookup in lookups.values { files.close(lookup.file) }
    lookups.removeAll()
  }

  // MARK: A slice

  /// What a slice moves, until the output has it.
  private struct Moves {
    /// Index of the file that takes them; nil before the first.
    var output: Int?
    var bytes: [UInt8] = []
    var slots: [(Keydir.Position, Location)] = []
    /// Tombstones that the rule drops although they count: their hashes, places and headers.
    var forgotten: [(hash: UInt64, offset: UInt64, header: RecordHeader)] = []
    var records = 0
    var blocked: (bytes: UInt64, files: Set<UInt32>) = (0, [])
  }

  private func copy<FS: FileSystem & ~Copyable>(
    from input: Int, _ count: Int, _ run: inout MergeRun, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> MergeSlice {
    let handle = try handle(input, on: &files)
    let chunk: [UInt8]
    // An answer of the disk brings one read. Where it brings another one than this the first record may block for the
    // others that it needs: they could ask for each other for ever.
    let isForOther = warm.map { $0.read.file != handle || $0.read.offset != run.offset } ?? false
    switch try read(handle, at: run.offset, count: count, warm: warm, mayBlock: isForOther, on: &files) {
    case .cold(let read): return .cold(read)
    case .bytes(let bytes): chunk = bytes
    }
    guard chunk.count >= count else {
      throw try fenced(input, run.offset + UInt64(chunk.count), "the file ends here", on: &files)
    }
    if let output = run.output, dataFiles[output].length >= options.fileBytesMax { run.output = nil }
    var moves = Moves(output: run.output)
    moves.bytes.reserveCapacity(chunk.count)
    var at = 0
    var cold: ColdRead?
    scanning: while at < chunk.count {
      let offset = run.offset + UInt64(at)
      let warm = isForOther && at == 0 ? warm : nil
      if !damages.isEmpty, let entry = damages.entry(inFile: dataFiles[input].id, at: offset) {
        if let read = try pass(entry, &run, warm: warm, on: &files) {
          cold = read
          break scanning
        }
        at += Int(entry.note.byteCount)
        continue
      }
      switch Record.check(chunk, at: at, salt: dataFiles[input].salt) {
      case .whole(let header):
        if let read = try take(chunk, at, header, from: input, offset, &moves, &run, warm: warm, on: &files) {
          cold = read
          break scanning
        }
        at += header.byteCount
      case .short(let total):
        guard offset + UInt64(total) <= dataFiles[input].length else {
          throw try noted(input, offset, "a record that the file ends in", on: &files)
        }
        run.bytesWanted = total
        break scanning
      case .damaged(let reason): throw try noted(input, offset, reason, on: &files)
      case .unknown(let reason): throw try fenced(input, offset, reason, on: &files)
      }
    }
    try finish(moves, from: input, on: &files)
    if at > 0 { run.bytesWanted = 0 }
    run.offset += UInt64(at)
    run.totals.bytesRead += UInt64(at)
    run.totals.bytesCopied += UInt64(moves.bytes.count)
    return cold.map { .cold($0) } ?? .worked
  }

  /// Damage that the merge comes by ends it, whatever it fences: the file is merged when nothing in it is missed.
  private func noted<FS: FileSystem & ~Copyable>(
    _ input: Int, _ offset: UInt64, _ reason: String, on files: inout FS
  ) throws(StorageError) -> StorageError {
    if let note = try noteDamage(in: input, at: offset, reason, on: &files) { return note.error }
    return damage ?? .damaged(path: dataFiles[input].path, offset: offset, reason: reason)
  }

  /// Passes over damaged bytes that nobody needs any more. A tombstone among them, which cannot be copied, and a version
  /// that was lost, is subject to rule OVERLAP: where a lower version of its key may stand elsewhere, the store is fenced
  /// instead, because a restart would bring that version back.
  private func pass<FS: FileSystem & ~Copyable>(
    _ entry: DamageNotes.Entry, _ run: inout MergeRun, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> ColdRead? {
    guard entry.state != .fencing else { throw entry.note.error }
    guard let record = entry.note.record, entry.state == .lost || record.isTombstone && entry.state == .dead else {
      return nil
    }
    switch run.rule.verdict(onTombstone: record.stamp, isCurrent: false, role: role) {
    case .drop: return nil
    case .keep: throw entry.note.error
    case .dropUnlessOverlapping:
      switch try holders(of: record.hash, below: record.stamp, &run, warm: warm, on: &files) {
      case .cold(let read): return read
      case .files(let found):
        if found.isEmpty { return nil }
        throw fence(entry.note.error)
      }
    }
  }

  /// Decides about one record. - Returns: What must be read before it can be decided.
  private func take<FS: FileSystem & ~Copyable>(
    _ chunk: [UInt8], _ at: Int, _ header: RecordHeader, from input: Int, _ offset: UInt64,
    _ moves: inout Moves, _ run: inout MergeRun, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> ColdRead? {
    let key = at + header.keyOffset..<at + header.valueOffset
    let hash = unsafe chunk.withUnsafeBytes { unsafe options.hash(UnsafeRawBufferPointer(rebasing: $0[key])) }
    let slot = keydir.position(of: hash, file: input, offset: offset)
    var isDropped = slot == nil && !header.isTombstone
    var blockers: Set<UInt32> = []
    if header.isTombstone {
      switch run.rule.verdict(onTombstone: header.stamp, isCurrent: slot != nil, role: role) {
      case .keep: break
      case .drop:
        isDropped = true
        if slot != nil { moves.forgotten.append((hash, offset, header)) }
      case .dropUnlessOverlapping where !options.rules.hold(.overlap): isDropped = true
      case .dropUnlessOverlapping:
        switch try holders(of: hash, below: header.stamp, &run, warm: warm, on: &files) {
        case .cold(let read): return read
        case .files(let found):
          blockers = found
          isDropped = found.isEmpty
        }
      }
    }
    guard !isDropped else {
      run.totals.recordsDropped += 1
      if header.isTombstone { run.totals.tombstonesDropped += 1 }
      return nil
    }
    let output: Int
    if let begun = moves.output { output = begun } else { output = try beginOutput(&run, on: &files) }
    moves.output = output
    let place = Location(
      file: output, offset: dataFiles[output].length + UInt64(moves.bytes.count), byteCount: header.byteCount,
      isTombstone: header.isTombstone, digest: header.stamp.digest)
    Record.copy(chunk, at: at, byteCount: header.byteCount, salt: dataFiles[output].salt, to: &moves.bytes)
    moves.records += 1
    run.totals.recordsCopied += 1
    dataFiles[output].noteStamp(header.stamp)
    if let slot {
      moves.slots.append((slot, place))
    } else {
      moves.blocked.bytes += UInt64(header.byteCount)
      moves.blocked.files.formUnion(blockers)
      run.totals.tombstonesBlocked += 1
    }
    return nil
  }

  /// Appends what was moved and points the keydir to it.
  private func finish<FS: FileSystem & ~Copyable>(
    _ moves: Moves, from input: Int, on files: inout FS
  ) throws(StorageError) {
    if let output = moves.output, !moves.bytes.isEmpty { try move(moves, from: input, to: output, on: &files) }
    // Last, because removing a slot may move others.
    for gone in moves.forgotten {
      if let slot = keydir.position(of: gone.hash, file: input, offset: gone.offset) {
        forget(slot, Forgotten(gone.header, hash: gone.hash))
      }
    }
  }

  private func move<FS: FileSystem & ~Copyable>(
    _ moves: Moves, from input: Int, to output: Int, on files: inout FS
  ) throws(StorageError) {
    try files.append(moves.bytes, to: try handle(output, on: &files))
    dataFiles[output].length += UInt64(moves.bytes.count)
    dataFiles[output].flushedLength = dataFiles[output].length
    dataFiles[output].records += moves.records
    dataFiles[output].blockedBytes += moves.blocked.bytes
    dataFiles[output].blockers.formUnion(moves.blocked.files)
    hasStaleManifest = true
    for (slot, place) in moves.slots {
      let byteCount = place.isSaturated ? recordByteCount(moves, place, in: output) : place.byteCount
      keydir.replace(at: slot, with: place)
      removeLive(byteCount, from: input)
      addLive(byteCount, to: output)
    }
  }

  private func recordByteCount(_ moves: Moves, _ place: Location, in output: Int) -> Int {
    let start = moves.bytes.count - Int(dataFiles[output].length - place.offset)
    guard case .whole(let header) = Record.check(moves.bytes, at: start, salt: nil) else { return place.byteCount }
    return header.byteCount
  }

  private func beginOutput<FS: FileSystem & ~Copyable>(
    _ run: inout MergeRun, on files: inout FS
  ) throws(StorageError) -> Int {
    let (index, header) = try newFile(reserve: 0, on: &files)
    do throws(StorageError) {
      try files.append(header, to: try handle(index, on: &files))
    } catch {
      dropFiles([dataFiles[index].id])
      throw error
    }
    dataFiles[index].isSealed = true
    dataFiles[index].flushedLength = UInt64(header.count)
    openFiles.add(self, index, on: &files)
    run.output = index
    run.outputs.append(dataFiles[index].id)
    return index
  }

  // MARK: Rule OVERLAP

  private enum Holders {
    /// Files that may hold a lower version of the key.
    case files(Set<UInt32>)
    case cold(ColdRead)
  }

  /// Which files that stay may hold the key at a lower stamp, or the expired value whose place the tombstone took: those
  /// whose lowest stamp is not above and whose hint has the key's hash, or that have no hint to ask. One is enough to keep the tombstone. An older tombstone is such a version
  /// too: counting again after a restart, it would hide from rule FLOOR that the key is not there. The outputs of this merge
  /// are not asked: the tombstone was there before the merge began, so no lower version counted; and an older tombstone
  /// that was taken over because a file was in its way has the same file in the way of this one.
  private func holders<FS: FileSystem & ~Copyable>(
    of hash: UInt64, below stamp: Stamp, _ run: inout MergeRun, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> Holders {
    for index in dataFiles.indices {
      let file = dataFiles[index]
      // Where every record counts, none is a lower version of anything.
      guard !file.isRetired, file.liveRecords < file.records, let lowest = file.recordStamps?.lowerBound,
        lowest <= stamp, !run.inputs.contains(file.id), !run.outputs.contains(file.id)
      else { continue }
      switch try ask(index, hash, &run, warm: warm, on: &files) {
      case .cannotHold: continue
      case .mayHold: return .files([file.id])
      case .cold(let read): return .cold(read)
      }
    }
    return .files([])
  }

  /// What the hint of a file says of a hash; one that cannot be read costs the tombstone's room and nothing else.
  private func ask<FS: FileSystem & ~Copyable>(
    _ index: Int, _ hash: UInt64, _ run: inout MergeRun, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> HintLookup.Answer {
    do throws(StorageError) {
      return try lookup(index, &run, on: &files)?.ask(hash, warm: warm, on: &files) ?? .mayHold
    } catch {
      guard case .io(.read, _, _) = error, !error.isShortage else { throw error }
      return .mayHold
    }
  }

  private func lookup<FS: FileSystem & ~Copyable>(
    _ index: Int, _ run: inout MergeRun, on files: inout FS
  ) throws(StorageError) -> HintLookup? {
    let file = dataFiles[index]
    if let lookup = run.lookups[file.id] { return lookup }
    let path = StorePath.hint(directory, file.id)
    guard file.isSealed, !run.unreadable.contains(file.id) else { return nil }
    guard try files.exists(path) else {
      run.unreadable.insert(file.id)
      return nil
    }
    if run.lookups.count >= MergeRun.lookupsMax { close(&run.lookups, on: &files) }
    let handle = try files.open(path, .read)
    var lookup: HintLookup?
    defer {
      run.lookups[file.id] = lookup
      if lookup == nil {
        files.close(handle)
        run.unreadable.insert(file.id)
      }
    }
    lookup = try HintLookup(handle, of: file, options: options, on: &files)
    return lookup
  }

  /// Takes the store out of service: bytes of a file, read in order, are no record.
  func fenced<FS: FileSystem & ~Copyable>(
    _ index: Int, _ offset: UInt64, _ reason: String, on files: inout FS
  ) throws(StorageError) -> StorageError {
    let handle = try handle(index, on: &files)
    let file = dataFiles[index]
    let key = try SalvageScan.keyHit(handle, at: offset, to: file.flushedLength, salt: file.salt, on: &files)
    return fence(.damaged(path: file.path, offset: offset, reason: reason, key: key))
  }
}
