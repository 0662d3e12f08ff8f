import Primitives

// With `sync = always`, the one file per node that is synced before a write is acknowledged: the records of all stores,
// framed, in the order they were appended. Segments are created durably off the loop before they are used, so that
// appending to one never has to wait for a directory. Once the stores' own files are durable a segment is dropped,
// oldest first.

/// Little-endian, 32 bytes, then the record:
///     crc32c u32 | recordLength u32 | store u32 (highest bit: pulled) | data file u32 | sequence u64 | durable u64
/// `sequence` counts the appends of one run without gaps; `durable` is the sequence up to which the journal was known to
/// be synced when the frame was written: it proves, after a crash, that an earlier frame which does not read back was
/// durable once, and is no torn tail. *Pulled* says that the record passed rule GUARD although its stamp was not above the
/// floor: so it does when it is replayed. The checksum starts from the salt of the segment.
struct JournalFrame: Equatable {
  static let byteCount = 32
  var recordLength: Int
  var store: StoreID
  var file: UInt32
  var sequence: UInt64
  var durable: UInt64
  var isPulled: Bool
  private static let pulledBit: UInt64 = 1 << 31

  /// Appends the frame of the record `source[range]` to `bytes`.
  static func append(
    _ source: [UInt8], _ range: Range<Int>, store: StoreID, file: UInt32, sequence: UInt64, durable: UInt64,
    isPulled: Bool, salt: UInt32, to bytes: inout [UInt8]
  ) {
    let start = bytes.count
    bytes.appendLittleEndian(UInt64(range.count) << 32)
    bytes.appendLittleEndian(
      UInt64(store.partition) | UInt64(store.replicas) << 16 | (isPulled ? pulledBit : 0) | UInt64(file) << 32)
    bytes.appendLittleEndian(sequence)
    bytes.appendLittleEndian(durable)
    bytes.append(contentsOf: source[range])
    let checksum = unsafe bytes.withUnsafeBytes {
      unsafe crc32c(UnsafeRawBufferPointer(rebasing: $0[(start + 4)...]), continuing: salt)
    }
    bytes.setLittleEndian(checksum, at: start)
  }

  /// The whole, intact frame at `offset` of `bytes`; nil otherwise.
  init?(_ bytes: [UInt8], at offset: Int, salt: UInt32) {
    guard let word: UInt64 = bytes.littleEndian(UInt64.self, at: offset),
      let place: UInt64 = bytes.littleEndian(UInt64.self, at: offset + 8),
      let sequence = bytes.littleEndian(UInt64.self, at: offset + 16),
      let durable = bytes.littleEndian(UInt64.self, at: offset + 24)
    else { return nil }
    recordLength = Int(word >> 32)
    let end = offset + JournalFrame.byteCount + recordLength
    guard recordLength >= RecordHeader.fixedByteCount, recordLength & 7 == 0, end <= bytes.count else { return nil }
    let checksum = unsafe bytes.withUnsafeBytes {
      unsafe crc32c(UnsafeRawBufferPointer(rebasing: $0[offset + 4..<end]), continuing: salt)
    }
    guard checksum == UInt32(truncatingIfNeeded: word) else { return nil }
    store = StoreID(
      partition: UInt16(truncatingIfNeeded: place), replicas: UInt8(truncatingIfNeeded: place >> 16))
    file = UInt32(truncatingIfNeeded: place >> 32)
    isPulled = place & JournalFrame.pulledBit != 0
    self.sequence = sequence
    self.durable = durable
  }
}

/// The journal of a running engine.
struct Journal {
  struct Segment {
    let id: UInt32
    let path: String
    let handle: FileID
    let salt: UInt32
    var length: UInt64
    /// Sequence of its last frame; 0 when it has none.
    var lastSequence: UInt64 = 0
    var isClosed = false
  }

  let directory: String
  private let options: EngineOptions
  /// Tells the segments of this run from those of others with the same id.
  private let identity: Identity128
  private(set) var current: Segment
  /// Earlier segments, oldest first, whose file is still there.
  private(set) var earlier: [Segment] = []
  /// A segment that exists durably and is not in use yet.
  private(set) var spare: UInt32?
  /// Files of dropped segments that a sync in flight may still name.
  private var unlinked: [FileID] = []
  private var nextID: UInt32
  private var buffer: [UInt8] = []

  /// Starts a journal with a first segment, durably.
  init<FS: FileSystem & ~Copyable>(
    _ directory: String, firstID: UInt32, identity: Identity128, options: EngineOptions, on files: inout FS
  ) throws(StorageError) {
    self.directory = directory
    self.options = options
    self.identity = identity
    nextID = firstID + 1
    let header = Journal.header(firstID, identity, options)
    let path = StorePath.segment(directory, firstID)
    try DiskStep.replace(path: path, bytes: header.encoded()).perform(on: &files)
    current = Segment(
      id: firstID, path: path, handle: try files.open(path, .append), salt: header.salt,
      length: UInt64(FileHeader.byteCount))
  }

  var bufferedBytes: Int { buffer.count }
  var byteCount: UInt64 { earlier.reduce(current.length) { $0 + $1.length } }

  mutating func append(
    _ source: [UInt8], _ range: Range<Int>, store: StoreID, file: UInt32, sequence: UInt64, durable: UInt64,
    isPulled: Bool
  ) {
    JournalFrame.append(
      source, range, store: store, file: file, sequence: sequence, durable: durable, isPulled: isPulled,
      salt: current.salt, to: &buffer)
  }

  /// Hands the turn's frames to the file system; afterwards the next segment may take over.
  mutating func flush<FS: FileSystem & ~Copyable>(
    sequence: UInt64, on files: inout FS
  ) throws(StorageError) {
    if !buffer.isEmpty {
      try files.appendWhole(buffer, to: current.handle, at: current.length)
      current.length += UInt64(buffer.count)
      current.lastSequence = sequence
      if buffer.capacity > Journal.keptBufferBytes { buffer = [] } else { buffer.removeAll(keepingCapacity: true) }
    }
    if current.length >= options.journalSegmentBytes { try rotate(on: &files) }
  }

  /// Puts the spare segment in place of the current one, when there is one and the current one has frames. Where too many
  /// files are open the current one grows on.
  mutating func rotate<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    guard let id = spare, current.lastSequence > 0 else { return }
    invariant(buffer.isEmpty, "the journal changes segments with \(buffer.count) bytes unflushed")
    let path = StorePath.segment(directory, id)
    let handle: FileID
    do throws(StorageError) {
      handle = try files.open(path, .append)
    } catch {
      if error.isOutOfFiles { return }
      throw error
    }
    let next = Segment(
      id: id, path: path, handle: handle, salt: Journal.header(id, identity, options).salt,
      length: UInt64(FileHeader.byteCount))
    earlier.append(current)
    current = next
    spare = nil
  }

  /// Closes what no sync needs any more: segments that are synced, and dropped ones unless a sync is in flight.
  mutating func closeFiles<FS: FileSystem & ~Copyable>(durable: UInt64, isSyncing: Bool, on files: inout FS) {
    for index in earlier.indices where !earlier[index].isClosed && earlier[index].lastSequence <= durable {
      files.close(earlier[index].handle)
      earlier[index].isClosed = true
    }
    guard !isSyncing else { return }
    for file in unlinked { files.close(file) }
    unlinked.removeAll()
  }

  /// Files that may hold frames above `durable`.
  func unsynced(above durable: UInt64) -> [FileID] {
    earlier.filter { !$0.isClosed && $0.lastSequence > durable }.map(\.handle) + [current.handle]
  }

  /// Steps that make everything durable that was flushed and may not be.
  func syncSteps(above durable: UInt64) -> [DiskStep] {
    let segments = earlier.filter { $0.lastSequence > durable } + [current]
    return segments.filter { $0.lastSequence > durable }.map { .sync(path: $0.path) }
  }

  /// The step that creates the next segment, and its id for `adoptSpare`.
  func spareStep() -> (id: UInt32, step: DiskStep) {
    let bytes = Journal.header(nextID, identity, options).encoded()
    return (nextID, .replace(path: StorePath.segment(directory, nextID), bytes: bytes))
  }

  mutating func adoptSpare(_ id: UInt32) {
    spare = id
    nextID = id + 1
  }

  /// Ids of the earlier segments, oldest first, all of whose records are in durable files when everything up to
  /// `sequence` is.
  func droppable(upTo sequence: UInt64) -> [UInt32] {
    earlier.prefix { $0.lastSequence <= sequence }.map(\.id)
  }

  /// Unlinks, each made durable before the next: a later segment never goes before an earlier one.
  static func dropSteps(_ ids: [UInt32], in directory: String) -> [DiskStep] {
    ids.flatMap { [.unlink(StorePath.segment(directory, $0)), .syncDirectory(directory)] }
  }

  mutating func dropped(_ ids: [UInt32]) {
    for segment in earlier where ids.contains(segment.id) && !segment.isClosed { unlinked.append(segment.handle) }
    earlier.removeAll { ids.contains($0.id) }
  }

  /// Ids of all segments there are, oldest first.
  var allIDs: [UInt32] { earlier.map(\.id) + [current.id] + (spare.map { [$0] } ?? []) }

  private static let keptBufferBytes = 256 << 10

  static func header(_ id: UInt32, _ identity: Identity128, _ options: EngineOptions) -> FileHeader {
    FileHeader(
      kind: .journal, cluster: options.clusterID, node: options.nodeID, store: StoreID(partition: 0, replicas: 0),
      file: id, identity: identity)
  }
}
