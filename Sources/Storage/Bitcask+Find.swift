import Primitives

// From a key to its record: the hash gives slots, the record's own bytes say whether it is the key. Bytes that do not
// check out are an error and fence the store; they are never "not found".

extension Bitcask {
  enum Found {
    case absent
    case record(Keydir.Position, bytes: [UInt8], RecordHeader)
    case cold(ColdRead)
  }

  enum Fetched {
    case bytes([UInt8])
    case cold(ColdRead)
  }

  func find<FS: FileSystem & ~Copyable>(
    _ key: [UInt8], hash: UInt64, warm: WarmBytes?, mayBlock: Bool, on files: inout FS
  ) throws(StorageError) -> Found {
    if let damage { throw damage }
    if damages.fencing > 0, let note = damages.fencing(hash) { throw note.error }
    var position = keydir.first(hash)
    while let candidate = position {
      let location = keydir.location(at: candidate)
      switch try fetch(location, warm: warm, mayBlock: mayBlock, on: &files) {
      case .cold(let read): return .cold(read)
      case .bytes(let bytes):
        let header = try checked(bytes, at: location, hash, on: &files)
        if isKey(key, of: header, in: bytes) { return .record(candidate, bytes: bytes, header) }
        guard hashOfKey(header, in: bytes) == hash else {
          throw try damaged(location, hash, "the record of another key", bytes, on: &files)
        }
      }
      position = keydir.next(after: candidate, hash)
    }
    return .absent
  }

  /// The record at a location, blocking: for recovery.
  func record<FS: FileSystem & ~Copyable>(
    at location: Location, on files: inout FS
  ) throws(StorageError) -> (bytes: [UInt8], header: RecordHeader) {
    guard case .bytes(let bytes) = try fetch(location, warm: nil, mayBlock: true, on: &files) else {
      throw fenced(location, "bytes that cannot be read")
    }
    return (bytes, try checked(bytes, at: location))
  }

  func fetch<FS: FileSystem & ~Copyable>(
    _ location: Location, warm: WarmBytes?, mayBlock: Bool, on files: inout FS
  ) throws(StorageError) -> Fetched {
    if location.offset >= dataFiles[location.file].flushedLength { return .bytes(buffered(location)) }
    let first = try read(location, count: location.byteCount, warm: warm, mayBlock: mayBlock, on: &files)
    guard location.isSaturated, case .bytes(let bytes) = first, case .short(let total) = check(bytes, at: location)
    else { return first }
    return try read(location, count: total, warm: warm, mayBlock: mayBlock, on: &files)
  }

  /// At least `count` bytes from the start of the record, or as many as the file has.
  func read<FS: FileSystem & ~Copyable>(
    _ location: Location, count: Int, warm: WarmBytes?, mayBlock: Bool, on files: inout FS
  ) throws(StorageError) -> Fetched {
    let handle = try handle(location.file, on: &files)
    return try read(handle, at: location.offset, count: count, warm: warm, mayBlock: mayBlock, on: &files)
  }

  func read<FS: FileSystem & ~Copyable>(
    _ handle: FileID, at offset: UInt64, count: Int, warm: WarmBytes?, mayBlock: Bool, on files: inout FS
  ) throws(StorageError) -> Fetched {
    let request = ColdRead(file: handle, offset: offset, count: count)
    if let warm, warm.read.file == request.file, warm.read.offset == request.offset, warm.read.count >= count {
      return .bytes(warm.bytes)
    }
    switch try files.read(request.file, at: request.offset, count: count, mayBlock: mayBlock) {
    case .bytes(let bytes): return .bytes(bytes)
    case .wouldBlock: return .cold(request)
    }
  }

  /// The data file, open: it is opened again when it was closed to spare descriptors.
  func handle<FS: FileSystem & ~Copyable>(_ index: Int, on files: inout FS) throws(StorageError) -> FileID {
    dataFiles[index].lastUse = openFiles.turn
    if let handle = dataFiles[index].handle { return handle }
    let handle = try files.open(dataFiles[index].path, .append)
    dataFiles[index].handle = handle
    openFiles.add(self, index, on: &files)
    return handle
  }

  /// The handle of a file that may be closed for a while: nobody waits for it to be synced.
  func handleToSpare(_ index: Int) -> FileID? {
    dataFiles[index].syncedLength == dataFiles[index].length ? dataFiles[index].handle : nil
  }

  private func buffered(_ location: Location) -> [UInt8] {
    let start = Int(location.offset - dataFiles[location.file].flushedLength)
    var count = location.byteCount
    if location.isSaturated, case .whole(let header) = Record.check(buffer, at: start, salt: nil) {
      count = header.byteCount
    }
    return Array(buffer[start..<start + count])
  }

  private func check(_ bytes: [UInt8], at location: Location) -> RecordCheck {
    Record.check(bytes, at: 0, salt: dataFiles[location.file].salt)
  }

  func checked(_ bytes: [UInt8], at location: Location) throws(StorageError) -> RecordHeader {
    switch check(bytes, at: location) {
    case .whole(let header):
      guard fits(header, location) else { throw fenced(location, "another record than was written there", bytes) }
      return header
    case .short: throw fenced(location, "a record that the file ends in", bytes)
    case .damaged(let reason), .unknown(let reason): throw fenced(location, reason, bytes)
    }
  }

  /// The same for a slot of this hash, while the store is in service: then damage may fence the hash alone.
  func checked<FS: FileSystem & ~Copyable>(
    _ bytes: [UInt8], at location: Location, _ hash: UInt64, on files: inout FS
  ) throws(StorageError) -> RecordHeader {
    switch check(bytes, at: location) {
    case .whole(let header):
      guard fits(header, location) else {
        throw try damaged(location, hash, "another record than was written there", bytes, on: &files)
      }
      return header
    case .short: throw try damaged(location, hash, "a record that the file ends in", bytes, on: &files)
    case .damaged(let reason): throw try damaged(location, hash, reason, bytes, on: &files)
    case .unknown(let reason): throw fenced(location, reason, bytes)
    }
  }

  /// Whether a record is what the keydir says of it.
  func fits(_ header: RecordHeader, _ location: Location) -> Bool {
    header.isTombstone == location.isTombstone && header.stamp.digest == location.digest
      && (location.isSaturated ? header.byteCount >= location.byteCount : header.byteCount == location.byteCount)
  }

  private func isKey(_ key: [UInt8], of header: RecordHeader, in bytes: [UInt8]) -> Bool {
    guard header.keyLength == key.count else { return false }
    let start = header.keyOffset
    return unsafe bytes.withUnsafeBytes { stored in
      unsafe key.withUnsafeBytes { wanted in
        for index in 0..<key.count where unsafe stored[start &+ index] != wanted[index] { return false }
        return true
      }
    }
  }

  func hashOfKey(_ header: RecordHeader, in bytes: [UInt8]) -> UInt64 {
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe options.hash(UnsafeRawBufferPointer(rebasing: bytes[header.keyOffset..<header.valueOffset]))
    }
  }

  /// Takes the store out of service, and the error that says why.
  /// - Parameter bytes: What stands there instead of the record.
  func fenced(_ location: Location, _ reason: String, _ bytes: [UInt8] = []) -> StorageError {
    let key = SalvageScan.keyHit(in: bytes, byteCount: location.isSaturated ? nil : location.byteCount)
    return fence(.damaged(path: dataFiles[location.file].path, offset: location.offset, reason: reason, key: key))
  }

  @discardableResult
  func fence(_ error: StorageError) -> StorageError {
    if damage == nil { damage = error }
    role = .fenced
    return error
  }
}
