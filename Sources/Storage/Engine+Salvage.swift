import Causality
package import Primitives

// Reading a store that was set aside (rule REBUILD): every key in it is compared with the store that took its place, so
// that what nobody else has is not lost. Of each key only the newest record is handed over, as the old store would have
// answered; older ones beside it say nothing. So the files are read twice: first to learn which record that is. Damage
// is stepped over, as far as whole records stand behind it.

/// The directory that is being read; one at a time.
struct SalvageRun {
  struct File {
    let path: String
    let size: UInt64
    let salt: UInt32
  }

  /// A key, as well as it can be told from others in few bytes.
  struct Name: Hashable {
    let hash: UInt64
    let checksum: UInt32
  }

  let directory: String
  let files: [File]
  /// Files that cannot be read at all.
  let filesLost: Int
  /// A page was given.
  var hasBegun = false
  var open: (index: Int, handle: FileID)?
  /// Files that are done with, to be closed when nobody can be reading them any more.
  var closing: [FileID] = []
  var newest: [Name: Rank] = [:]
  /// Bytes of would-be records that the search for whole ones in this file may still look at.
  var searchLeft = SalvageScan.searchBytesMax
}

extension Engine {
  /// The directory of a store that was set aside, by the incarnation that it had; nil when it is not there any more.
  /// - Throws: When the kept directories cannot be listed, or one of them cannot be read and none is it.
  package func setAsideDirectory<FS: FileSystem & ~Copyable>(
    of id: StoreID, incarnation: Identity128, on files: inout FS
  ) throws(StorageError) -> String? {
    let kept = StorePath.damaged(directory)
    guard try files.exists(kept) else { return nil }
    var failure: StorageError?
    for name in try files.list(kept).sorted() where name.hasPrefix("\(id).") {
      let path = kept + "/" + name
      do throws(StorageError) {
        if try isOf(id, incarnation, path, on: &files) { return path }
      } catch {
        // Another one may be it.
        failure = error
      }
    }
    if let failure { throw failure }
    return nil
  }

  /// The mark of a store that was set aside, which says what it had purged, and the marks of those before it that it had
  /// not got back itself (promises of this node), as its manifest has them. Where that does not read back they stand in
  /// the promises file, as long as nobody writes it anew.
  package func marksSetAside<FS: FileSystem & ~Copyable>(
    _ directory: String, of seed: StoreSeed, on files: inout FS
  ) throws(StorageError) -> [PeerPromise] {
    var mark = PeerPromise(peer: options.nodeID, incarnation: seed.incarnation, configID: seed.configID)
    var earlier: [PeerPromise] = []
    if let manifest = try StoreContents(reading: directory, on: &files).manifest {
      mark.floor = manifest.floor
      earlier = manifest.promises
    } else if let file = try PromisesFile.read(in: self.directory, on: &files) {
      let entry = file.entries.first { $0.store == seed.id && $0.incarnation == seed.incarnation }
      earlier = entry?.promises ?? []
    }
    return [mark] + earlier.filter { $0.peer == options.nodeID }
  }

  private func isOf<FS: FileSystem & ~Copyable>(
    _ id: StoreID, _ incarnation: Identity128, _ path: String, on files: inout FS
  ) throws(StorageError) -> Bool {
    let contents = try StoreContents(reading: path, on: &files)
    if let manifest = contents.manifest { return manifest.store == id && manifest.incarnation == incarnation }
    for file in contents.files where file.problem == nil {
      let header = try FileHeader(ofFileAt: file.path, on: &files)
      if header?.store == id, header?.identity == incarnation { return true }
    }
    return false
  }

  /// What the store in this directory holds, of every key the newest record, tombstones among them. Pages may be empty
  /// though more follow. The directory is only read.
  /// - Parameters:
  ///   - position: `.start`, or where the page before ended.
  ///   - bytesMax: How much is read for a page, about; one record at least.
  /// - Throws: When the directory cannot be listed, or a file of it cannot be opened.
  package func setAsidePage<FS: FileSystem & ~Copyable>(
    _ directory: String, from position: SalvagePosition, bytesMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> SalvagePageOutcome {
    if salvage?.directory != directory || position == .start && salvage?.hasBegun ?? false {
      endSetAside(on: &files)
      guard position == .start else { return .page([], next: .start, unreadable: 0) }
    }
    var run: SalvageRun
    if let salvage { run = salvage } else { run = try SalvageRun(reading: directory, on: &files) }
    // It holds all keys: two copies of it would be copied with every page.
    salvage = nil
    defer {
      retireFiles(of: &run)
      salvage = run
    }
    let lost = run.hasBegun ? 0 : run.filesLost
    var position = position
    while position.file >= run.files.count || position.offset >= run.files[position.file].size {
      if position.file < run.files.count {
        position = SalvagePosition(isSecondPass: position.isSecondPass, file: position.file + 1)
        run.searchLeft = SalvageScan.searchBytesMax
        continue
      }
      guard !position.isSecondPass else {
        run.end()
        run.hasBegun = true
        return .page([], next: nil, unreadable: lost)
      }
      position = SalvagePosition(isSecondPass: true)
    }
    let fetched = try run.read(position, bytesMax: bytesMax, warm: warm, on: &files)
    if case .cold(let read)? = fetched { return .cold(read) }
    run.hasBegun = true
    guard case .bytes(let bytes)? = fetched else {
      let left = position.skipped(to: position.offset + UInt64(max(bytesMax, 8)))
      return .page([], next: left, unreadable: lost + (position.isSecondPass || position.isSearching ? 0 : 1))
    }
    let (records, next, stretches) = run.take(bytes, at: position, hash: options.hash)
    return .page(records, next: next, unreadable: lost + (position.isSecondPass ? 0 : stretches))
  }

  /// Salvage is over, wherever it has got: its file is closed, and what it had learned is forgotten.
  package func endSetAside<FS: FileSystem & ~Copyable>(on files: inout FS) {
    guard var run = salvage else { return }
    run.end()
    retireFiles(of: &run)
    salvage = nil
  }

  /// A read that this turn has asked for still finds its file open.
  private func retireFiles(of run: inout SalvageRun) {
    for handle in run.closing { openFiles.retire(handle) }
    run.closing = []
  }
}

extension SalvageRun {
  init<FS: FileSystem & ~Copyable>(reading directory: String, on files: inout FS) throws(StorageError) {
    self.directory = directory
    let contents = try StoreContents(reading: directory, on: &files)
    let known = contents.files.filter(\.counts)
    self.files = known.compactMap { file in
      file.salt.map { File(path: file.path, size: file.size, salt: $0) }
    }
    filesLost =
      contents.files.count { $0.standing == .absent && $0.syncedLength > 0 } + known.count { $0.salt == nil }
  }

  mutating func end() {
    if let open { closing.append(open.handle) }
    open = nil
    newest = [:]
  }

  /// Nil when the device does not give the bytes.
  mutating func read<FS: FileSystem & ~Copyable>(
    _ position: SalvagePosition, bytesMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> Bitcask.Fetched? {
    let file = self.files[position.file]
    if let open, open.index != position.file {
      closing.append(open.handle)
      self.open = nil
    }
    let handle: FileID
    if let open { handle = open.handle } else { handle = try files.open(file.path, .read) }
    open = (position.file, handle)
    let wanted = max(bytesMax, SalvageRun.chunkBytesMin, position.bytesWanted)
    let count = Int(min(UInt64(wanted), file.size - position.offset))
    let request = ColdRead(file: handle, offset: position.offset, count: count)
    if let warm, warm.read == request { return .bytes(warm.bytes) }
    do throws(StorageError) {
      switch try files.read(handle, at: position.offset, count: count, mayBlock: false) {
      case .bytes(let bytes): return .bytes(bytes)
      case .wouldBlock: return .cold(request)
      }
    } catch {
      guard error.isFailedRead, !error.isRefusal else { throw error }
      return nil
    }
  }

  private static let chunkBytesMin = 4096

  /// Takes the whole records off a chunk; the stretches between them that are none are counted where they begin.
  mutating func take(
    _ chunk: [UInt8], at position: SalvagePosition, hash: RingHash
  ) -> (records: [PulledRecord], next: SalvagePosition, stretches: Int) {
    let file = files[position.file]
    var next = position
    next.bytesWanted = 0
    var records: [PulledRecord] = []
    var stretches = 0
    var at = 0
    func isPast(_ total: Int) -> Bool { position.offset + UInt64(at + total) > file.size }
    scanning: while at < chunk.count {
      var check = Record.check(chunk, at: at, salt: file.salt)
      if next.isSearching {
        guard let total = candidate(chunk, at) else {
          // Its head may go on behind the chunk.
          if chunk.count - at < RecordHeader.fixedByteCount + 8, !isPast(RecordHeader.fixedByteCount + 8) {
            break scanning
          }
          at += 8
          continue
        }
        if isPast(total) { check = .damaged("") }
        if case .short = check {
        } else if case .whole = check {
        } else {
          at += 8
          continue
        }
      }
      switch check {
      case .whole(let header):
        next.isSearching = false
        if let record = take(chunk, at, header, isSecondPass: position.isSecondPass, hash) { records.append(record) }
        at += header.byteCount
      case .short(let total) where !isPast(total):
        if at == 0 { next.bytesWanted = total }
        break scanning
      case .short, .damaged, .unknown:
        stretches += 1
        next.isSearching = true
        at += 8
      }
    }
    next.offset = position.offset + UInt64(at)
    // Shorter than the file was: reading the same place again would bring nothing else.
    if at == 0, chunk.isEmpty || next.bytesWanted <= position.bytesWanted { next = position.skipped(to: file.size) }
    return (records, next, stretches)
  }

  /// How long a record is that may begin here; nil when none can, or enough have been tried.
  private mutating func candidate(_ chunk: [UInt8], _ at: Int) -> Int? {
    guard let header = RecordHeader(lookingLike: chunk, at: at), UInt64(header.byteCount) <= searchLeft else {
      return nil
    }
    searchLeft -= UInt64(header.byteCount)
    return header.byteCount
  }

  /// The record, when it is to be handed over.
  private mutating func take(
    _ chunk: [UInt8], _ at: Int, _ header: RecordHeader, isSecondPass: Bool, _ hash: RingHash
  ) -> PulledRecord? {
    let key = Array(chunk[at + header.keyOffset..<at + header.valueOffset])
    let name = Name(hash: hash(key), checksum: crc32c(key))
    guard isSecondPass else {
      newest[name] = newest[name].map { max($0, header.rank) } ?? header.rank
      return nil
    }
    guard newest[name].map({ $0 <= header.rank }) ?? true else { return nil }
    let value = at + header.valueOffset..<at + header.valueOffset + header.valueLength
    return PulledRecord(
      key: key,
      version: StoredVersion(header, value: Array(chunk[value])))
  }
}
