import Causality
import Primitives

// Writes the files of a new store from records that others read. Until `complete` has put the manifest there, what it
// wrote is no store: a node takes it for missing, and the offline tools say that its manifest is.

struct RepairWriter {
  private struct Output {
    let id: UInt32
    let handle: FileID
    let path: String
    let salt: UInt32
    /// Bytes handed to the file system.
    var flushedLength: UInt64 = 0
    var recordStamps: ClosedRange<Stamp>?
  }

  private let directory: String
  private let fileBytesMax: UInt64
  private var manifest: StoreManifest
  private var outputs: [Output] = []
  /// What was appended to the last file since.
  private var buffer: [UInt8] = []
  /// To the newest record of every key, `Location.file` counting `outputs`.
  private let index = Keydir(ringBits: 0)

  private(set) var records: UInt64 = 0
  private(set) var tombstones: UInt64 = 0

  /// - Parameters:
  ///   - manifest: As it shall be, but for its files; the first one gets the id `nextFileID`.
  ///   - fileBytesMax: A file this long takes no new record.
  init(_ manifest: StoreManifest, in directory: String, fileBytesMax: UInt64) {
    self.manifest = manifest
    self.directory = directory
    self.fileBytesMax = min(fileBytesMax, StorageLimits.fileBytesMax)
  }

  /// Records beside which a newer one of the same key stands.
  var superseded: UInt64 { records - UInt64(index.count) }
  var filesWritten: Int { outputs.count }
  var bytesWritten: UInt64 { outputs.reduce(0) { $0 + $1.flushedLength } }
  var floor: Stamp { manifest.floor }

  /// The rank of the newest version of the key so far.
  mutating func newest<FS: FileSystem & ~Copyable>(
    of key: [UInt8], hash: UInt64, on files: inout FS
  ) throws(StorageError) -> Rank? {
    try find(key, hash: hash, on: &files)?.rank
  }

  /// Appends a record, whatever else there is of its key.
  mutating func append<FS: FileSystem & ~Copyable>(
    _ version: StoredVersion, key: [UInt8], hash: UInt64, tsn: UInt64, on files: inout FS
  ) throws(StorageError) {
    let known = try find(key, hash: hash, on: &files)
    let file = try fileWithRoom(on: &files)
    let start = buffer.count
    Record.append(version, key: key, tsn: tsn, salt: outputs[file].salt, to: &buffer)
    let location = Location(
      file: file, offset: outputs[file].flushedLength + UInt64(start), byteCount: buffer.count - start,
      isTombstone: version.isTombstone, digest: version.stamp.digest)
    if let known {
      if version.rank > known.rank { index.replace(at: known.position, with: location) }
    } else {
      index.insert(hash, location)
    }
    records += 1
    let range = outputs[file].recordStamps ?? version.stamp...version.stamp
    outputs[file].recordStamps = min(range.lowerBound, version.stamp)...max(range.upperBound, version.stamp)
    if version.isTombstone {
      tombstones += 1
      manifest.tsnHead = max(manifest.tsnHead, tsn)
    }
    if buffer.count >= StorageLimits.chunkBytes { try flush(on: &files) }
  }

  /// Makes all of it durable, and last of all a store.
  /// - Parameter hash: Nil when the ring's seed is not known: then there are no hints.
  /// - Returns: The number of hints.
  mutating func complete<FS: FileSystem & ~Copyable>(
    hash: RingHash?, on files: inout FS
  ) throws(StorageError) -> Int {
    try flush(on: &files)
    for output in outputs {
      try files.sync(output.handle)
      files.close(output.handle)
    }
    try files.syncDirectory(directory)
    if let hash {
      for output in outputs {
        try DiskStep.writeHint(dataPath: output.path, hintPath: StorePath.hint(directory, output.id), hash: hash)
          .perform(on: &files)
      }
    }
    manifest.files = outputs.map {
      ManifestFile(id: $0.id, isSealed: true, syncedLength: $0.flushedLength, recordStamps: $0.recordStamps)
    }
    try DiskStep.replace(path: StorePath.manifest(directory), bytes: manifest.encoded()).perform(on: &files)
    return hash == nil ? 0 : outputs.count
  }

  // MARK: Files

  private mutating func fileWithRoom<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> Int {
    if let last = outputs.indices.last, outputs[last].flushedLength + UInt64(buffer.count) < fileBytesMax {
      return last
    }
    try flush(on: &files)
    let id = manifest.nextFileID
    let path = StorePath.data(directory, id)
    guard outputs.count < StorageLimits.filesMax, id < UInt32.max else {
      throw .incompatible(path: path, reason: "the store would have more data files than it can")
    }
    let header = FileHeader(
      kind: .data, cluster: manifest.cluster, node: manifest.node, store: manifest.store, file: id,
      identity: manifest.incarnation)
    outputs.append(Output(id: id, handle: try files.open(path, .create), path: path, salt: header.salt))
    manifest.nextFileID = id + 1
    buffer.append(contentsOf: header.encoded())
    return outputs.count - 1
  }

  private mutating func flush<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    guard let last = outputs.indices.last, !buffer.isEmpty else { return }
    try files.append(buffer, to: outputs[last].handle)
    outputs[last].flushedLength += UInt64(buffer.count)
    buffer.removeAll(keepingCapacity: true)
  }

  // MARK: The index

  private mutating func find<FS: FileSystem & ~Copyable>(
    _ key: [UInt8], hash: UInt64, on files: inout FS
  ) throws(StorageError) -> (position: Keydir.Position, rank: Rank)? {
    var position = index.first(hash)
    while let candidate = position {
      let location = index.location(at: candidate)
      let bytes = try head(of: location, keyLength: key.count, on: &files)
      guard let header = Record.header(bytes, at: 0) else {
        throw .damaged(
          path: outputs[location.file].path, offset: location.offset, reason: "what was just written is no record")
      }
      if header.keyLength == key.count, bytes[header.keyOffset..<header.valueOffset].elementsEqual(key) {
        return (candidate, header.rank)
      }
      position = index.next(after: candidate, hash)
    }
    return nil
  }

  /// The beginning of a record, as far as a key of this length reaches; zeros where the file is shorter.
  private func head<FS: FileSystem & ~Copyable>(
    of location: Location, keyLength: Int, on files: inout FS
  ) throws(StorageError) -> [UInt8] {
    let output = outputs[location.file]
    let count = RecordHeader.fixedByteCount + 8 + keyLength
    var bytes: [UInt8] = []
    if location.offset >= output.flushedLength {
      let start = Int(location.offset - output.flushedLength)
      bytes = Array(buffer[start..<min(start + count, buffer.count)])
    } else if case .bytes(let read) = try files.read(
      output.handle, at: location.offset, count: count, mayBlock: true)
    {
      bytes = read
    }
    bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
    return bytes
  }
}
