import Causality
import Primitives

// One store: append-only data files and a keydir, after Sheehy and Smith 2010. Differences from the paper: the keydir
// holds neither keys nor stamps, so the record confirms both; the highest stamp wins, never the last written; and a
// delete is a record with the tombstone flag and a place in the store's feed. Invariant: the keydir points to the
// record with the highest stamp of every key, whose bytes are in its file or, from the flushed length on, in `buffer`.

package final class Bitcask {
  let id: StoreID
  let directory: String
  let options: EngineOptions
  // Properties that every operation touches are not checked for overlapping accesses at run time: nothing here hands one
  // of them to a function that could reach it by another way.
  /// Identity and the facts of the delete protocol as the next manifest will say them; `files` is filled in then.
  @safe @exclusivity(unchecked) var manifest: StoreManifest
  /// The floor that manifests tell: see `manifestBytes(afterSyncing:)`.
  private(set) var settledFloor: Stamp
  /// What the store is now; a role that is on its way to disk is in `manifest` already.
  var role: StoreRole
  /// What the other owners have promised, and how far this store has applied their feeds: as of now, and as it is known
  /// to be on disk.
  var promises: [PeerPromise]
  var cursors: [FeedCursor]
  var durablePromises: [PeerPromise]
  var durableCursors: [FeedCursor]
  /// The floor of the last manifest that is known to be written.
  var durableFloor: Stamp
  /// Why the store is fenced, when its bytes are the reason.
  @safe @exclusivity(unchecked) var damage: StorageError?
  /// False when recovery gave up: the files stay as they are, and the manifest goes on listing them.
  var isOpen = true
  /// Something was flushed that the last manifest does not know.
  @safe @exclusivity(unchecked) var hasStaleManifest = false
  /// The floors of manifests that `setRole`, `loadSteps` and `fence` gave steps for and that are not known to be written,
  /// in their order.
  var manifestsAsked: [Stamp] = []
  /// What the peers had promised, in memory, when the last of them was asked for.
  var promisesWhenAsked: [PeerPromise] = []
  /// What the steps of `loadSteps` make durable.
  var loadTargets: [SyncTarget] = []
  /// In the engine's list of stores to flush.
  @safe @exclusivity(unchecked) var isTouched = false

  let keydir: Keydir
  @safe @exclusivity(unchecked) var dataFiles = FileTable()
  let openFiles: OpenFiles
  /// Index of the file that takes records; nil when the next record begins one.
  @safe @exclusivity(unchecked) var active: Int?
  /// What was appended to the active file since the last flush.
  @safe @exclusivity(unchecked) var buffer: [UInt8] = []
  /// The merge under way.
  var merge: MergeRun?
  /// Damage that fences less than the store; see Bitcask+Damage.
  @safe @exclusivity(unchecked) var damages = DamageNotes()
  /// The store is in service: until then whatever is damaged fences it.
  var notesDamage = false
  @safe @exclusivity(unchecked) var keysLive = 0
  @safe @exclusivity(unchecked) var tombstones = 0
  /// Over the records that count. That of a store of hints is empty: nobody compares it.
  @safe @exclusivity(unchecked) var tree: HashTree
  /// The tombstones that count, in the order of the feed. That of a store of hints is empty: nobody is told of it.
  @safe @exclusivity(unchecked) var feed = FeedIndex()
  var feedHead = FeedHead()
  /// The values that count and expire. That of a store of hints is empty.
  @safe @exclusivity(unchecked) var expiries: ExpiryIndex
  /// What was forgotten lately, for pulls that are under way.
  var purges = PurgeRing()
  /// Of the records that count, in all data files.
  @safe @exclusivity(unchecked) private(set) var liveBytes: UInt64 = 0

  init(_ manifest: StoreManifest, directory: String, options: EngineOptions, openFiles: OpenFiles) {
    id = manifest.store
    self.directory = directory
    self.options = options
    self.openFiles = openFiles
    self.manifest = manifest
    settledFloor = manifest.floor
    role = manifest.role
    (promises, cursors) = (manifest.promises, manifest.cursors)
    (durablePromises, durableCursors) = (manifest.promises, manifest.cursors)
    durableFloor = manifest.floor
    keydir = Keydir(ringBits: id.isHints ? 0 : options.ringBits)
    expiries = ExpiryIndex(ringBits: options.ringBits)
    tree = id.isHints ? HashTree() : HashTree(ringBits: options.ringBits)
  }

  /// What `apply` did.
  enum Outcome {
    /// Appended: these bytes of `buffer`, in this data file.
    case appended(Range<Int>, fileID: UInt32)
    case equal(isSynced: Bool)
    case newer(Stamp, isSynced: Bool)
    case belowFloor(Stamp)
    case cold(ColdRead)
  }

  /// The next append needs a new file. What is buffered must be flushed before.
  var mustRoll: Bool {
    guard let active else { return false }
    return dataFiles[active].length >= options.fileBytesMax
  }

  /// Appends the version when it is the newest.
  /// - Parameters:
  ///   - tsn: A tombstone's place in the feed when it has one already; otherwise it gets the next.
  ///   - origin: Where it comes from, which says whether the floor is in its way.
  func apply<FS: FileSystem & ~Copyable>(
    _ version: StoredVersion, key: [UInt8], hash: UInt64, tsn: UInt64? = nil, origin: Origin = .push,
    warm: WarmBytes?, mayBlock: Bool, on files: inout FS
  ) throws(StorageError) -> Outcome {
    invariant(
      key.count <= StorageLimits.keyBytesMax && version.value.count <= StorageLimits.valueBytesMax,
      "a record of \(key.count) + \(version.value.count) bytes")
    var replaced: (position: Keydir.Position, location: Location, header: RecordHeader)?
    switch try find(key, hash: hash, warm: warm, mayBlock: mayBlock, on: &files) {
    case .cold(let read): return .cold(read)
    case .absent:
      if version.stamp <= manifest.floor && !mayCreate(hash, origin) { return .belowFloor(manifest.floor) }
      if case .feed = origin, !options.rules.hold(.storeAbsent) { return .equal(isSynced: true) }
    case .record(let position, _, let header):
      let location = keydir.location(at: position)
      let isSynced = location.offset < dataFiles[location.file].syncedLength
      // Of one stamp the tombstone of an expired value wins, and never goes back (rule EXPIRY).
      if header.stamp == version.stamp, !(version.isTombstone && header.expiry != .never) {
        return .equal(isSynced: isSynced)
      }
      if header.stamp > version.stamp { return .newer(header.stamp, isSynced: isSynced) }
      replaced = (position, location, header)
    }
    // Before anything changes: a new file may be refused.
    let file = try activeFile(on: &files)
    let start = buffer.count
    let tsn = version.isTombstone ? tsn ?? manifest.tsnHead + 1 : 0
    Record.append(version, key: key, tsn: tsn, salt: dataFiles[file].salt, to: &buffer)
    let byteCount = buffer.count - start
    let location = Location(
      file: file, offset: dataFiles[file].length, byteCount: byteCount, isTombstone: version.isTombstone,
      digest: version.stamp.digest)
    if let (position, old, header) = replaced {
      removeLive(header.byteCount, from: old.file)
      uncount(hash, header.stamp, tsn: header.tsn, isTombstone: header.isTombstone, header.expiry)
      keydir.replace(at: position, with: location)
    } else {
      keydir.insert(hash, location)
    }
    count(hash, version.stamp, tsn: tsn, isTombstone: version.isTombstone, version.expiry)
    note(version, tsn: tsn, byteCount: byteCount, in: file)
    if version.isTombstone, !id.isHints {
      feed.noteKey(key, at: tsn)
      if let expiry = replaced?.header.expiry, replaced?.header.stamp == version.stamp {
        feed.noteExpired(expiry, at: tsn)
      }
    }
    return .appended(start..<buffer.count, fileID: dataFiles[file].id)
  }

  /// The key's newest version.
  func lookup<FS: FileSystem & ~Copyable>(
    _ key: [UInt8], hash: UInt64, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> LookupOutcome {
    switch try find(key, hash: hash, warm: warm, mayBlock: false, on: &files) {
    case .cold(let read): return .cold(read)
    case .absent: return .absent
    case .record(_, var bytes, let header):
      Bitcask.keepValue(of: &bytes, header)
      return .found(StoredVersion(header, value: bytes))
    }
  }

  /// Leaves only the value of a record, in the memory that the record was read to.
  private static func keepValue(of bytes: inout [UInt8], _ header: RecordHeader) {
    let value = header.valueOffset..<header.valueOffset + header.valueLength
    unsafe bytes.withUnsafeMutableBytes { unsafe $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[value])) }
    bytes.removeLast(bytes.count - value.count)
  }

  /// Hands the buffer to the file system.
  func flush<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    guard let active, !buffer.isEmpty else { return }
    try files.appendWhole(buffer, to: try handle(active, on: &files), at: dataFiles[active].flushedLength)
    dataFiles[active].flushedLength += UInt64(buffer.count)
    hasStaleManifest = true
    if buffer.capacity > Bitcask.keptBufferBytes {
      buffer = []
    } else {
      buffer.removeAll(keepingCapacity: true)
    }
  }

  var status: StoreStatus {
    var status = StoreStatus(
      id: id, role: role, incarnation: manifest.incarnation, keysLive: keysLive, tombstones: tombstones,
      floor: manifest.floor, tsnHead: manifest.tsnHead, deadBytes: 0, liveBytes: 0, totalBytes: 0, deadRecords: 0,
      files: dataFiles.count)
    for index in dataFiles.indices {
      let file = dataFiles[index]
      status.deadBytes += file.deadBytes
      status.liveBytes += file.liveBytes
      status.totalBytes += file.length
      status.deadRecords += file.records - file.liveRecords
    }
    return status
  }

  /// A larger buffer is given back after the turn, so that many idle stores stay small.
  private static let keptBufferBytes = 16 << 10

  /// A record counts from now on.
  /// - Parameter tsn: Of a tombstone.
  @inline(__always) func count(
    _ hash: UInt64, _ stamp: Stamp, tsn: UInt64, isTombstone: Bool, _ expiry: Expiry
  ) {
    if isTombstone {
      tombstones += 1
      if !id.isHints { feed.insert(tsn: tsn, hash: hash, stamp: stamp) }
    } else {
      keysLive += 1
      if expiry != .never, !id.isHints { expiries.insert(expiry, hash: hash, stamp: stamp) }
    }
    tree.toggle(hash, stamp, isTombstone: isTombstone)
  }

  /// A record counts no more.
  @inline(__always) func uncount(
    _ hash: UInt64, _ stamp: Stamp, tsn: UInt64, isTombstone: Bool, _ expiry: Expiry
  ) {
    if isTombstone {
      tombstones -= 1
      // Without the rule the feed goes on knowing what was superseded, and forgets whatever has taken its place.
      if options.rules.hold(.exactPurge) { feed.remove(tsn: tsn, hash: hash, stamp: stamp) }
    } else {
      keysLive -= 1
      if expiry != .never, !id.isHints { expiries.remove(expiry, hash: hash, stamp: stamp) }
    }
    tree.toggle(hash, stamp, isTombstone: isTombstone)
  }

  /// A record of the file at this index counts.
  func addLive(_ byteCount: Int, to file: Int) {
    dataFiles[file].addLive(byteCount)
    liveBytes += UInt64(byteCount)
  }

  /// A record of the file at this index counts no more.
  func removeLive(_ byteCount: Int, from file: Int) {
    dataFiles[file].removeLive(byteCount)
    liveBytes -= UInt64(byteCount)
  }

  /// All data files leave the table.
  func forgetFiles() {
    dataFiles.removeAll()
    damages.removeAll()
    feed = FeedIndex()
    feed.settle()
    expiries = ExpiryIndex(ringBits: options.ringBits)
    active = nil
    liveBytes = 0
  }

  func note(_ version: StoredVersion, tsn: UInt64, byteCount: Int, in file: Int) {
    dataFiles[file].length += UInt64(byteCount)
    dataFiles[file].records += 1
    addLive(byteCount, to: file)
    dataFiles[file].noteStamp(version.stamp)
    if version.isTombstone { manifest.tsnHead = max(manifest.tsnHead, tsn) }
  }

  /// The file to append to: the active one, or a new one when there is none or it is full.
  func activeFile<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> Int {
    if let active, !mustRoll { return active }
    invariant(buffer.isEmpty, "store \(id) rolls over with \(buffer.count) bytes unflushed")
    let (index, header) = try newFile(reserve: StorageLimits.filesForMerges, on: &files)
    seal(on: &files)
    buffer.append(contentsOf: header)
    active = index
    return index
  }

  /// Creates the next data file, empty, and returns its index and the header that must come first in it.
  /// - Parameter reserve: So many places for files stay free.
  func newFile<FS: FileSystem & ~Copyable>(
    reserve: Int, on files: inout FS
  ) throws(StorageError) -> (index: Int, header: [UInt8]) {
    let id = manifest.nextFileID
    let path = StorePath.data(directory, id)
    guard dataFiles.count + reserve < StorageLimits.filesMax, id < UInt32.max else {
      throw .incompatible(path: path, reason: "the store has the most data files it can; raise max_file_size")
    }
    let header = fileHeader(id)
    let handle = try files.open(path, .create)
    manifest.nextFileID = id + 1
    let index = dataFiles.insert(
      DataFile(
        id: id, handle: handle, path: path, salt: header.salt, length: UInt64(FileHeader.byteCount), flushedLength: 0,
        syncedLength: 0, isNamed: false, isSealed: false))
    return (index, header.encoded())
  }

  /// The active file takes no more records. What is buffered must be flushed before.
  func seal<FS: FileSystem & ~Copyable>(on files: inout FS) {
    guard let active else { return }
    invariant(buffer.isEmpty, "store \(id) seals a file with \(buffer.count) bytes unflushed")
    dataFiles[active].isSealed = true
    dataFiles[active].lastUse = openFiles.turn
    openFiles.add(self, active, on: &files)
    self.active = nil
  }

  func settleFloor() { settledFloor = manifest.floor }

  /// Where the checksums of records in the data file of this id begin, whether it is still there or not.
  func salt(ofFile id: UInt32) -> UInt32 {
    if let active, dataFiles[active].id == id { return dataFiles[active].salt }
    return fileHeader(id).salt
  }

  func fileHeader(_ id: UInt32) -> FileHeader {
    FileHeader(
      kind: .data, cluster: options.clusterID, node: options.nodeID, store: self.id, file: id,
      identity: manifest.incarnation)
  }
}
