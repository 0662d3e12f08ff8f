import Primitives

// The hint of one data file, checked beside the scan of that file: whether it can be used, and whether what it says is
// what the records say.

struct HintCheck {
  private let path: String
  private let handle: FileID
  private var comparison: HintComparison?
  private var coveredBytes: UInt64 = 0
  private var problem: StoreFinding?
  private let hash: RingHash?
  private let salt: UInt32
  /// It can be used, and nothing was found against it.
  private(set) var fits = false

  /// Nil when the data file has no hint.
  init?<FS: FileSystem & ~Copyable>(
    of file: DataFileFacts, in contents: StoreContents, salt: UInt32, data: FileID, hash: RingHash?, on files: inout FS
  ) throws(StorageError) {
    guard contents.hints.contains(file.id) else { return nil }
    path = StorePath.hint(contents.directory, file.id)
    self.hash = hash
    self.salt = salt
    handle = try files.open(path, .read)
    switch try HintFile.judge(handle, data: data, salt: salt, dataLength: file.size, hash: hash, on: &files) {
    case .fits(let header):
      fits = true
      coveredBytes = header.dataLength
      guard hash != nil else { return }
      comparison = HintComparison(header)
      try comparison?.begin(handle, on: &files)
    case .stale(_, let reason):
      problem = StoreFinding(.note, path, "\(reason): it is not used, and costs a scan at the next start")
    case .damaged(let reason):
      problem = StoreFinding(.error, path, "\(reason); cairn store hints --write makes it anew")
    }
  }

  func close<FS: FileSystem & ~Copyable>(on files: inout FS) { files.close(handle) }

  mutating func note<FS: FileSystem & ~Copyable>(
    _ record: ScannedRecord, of scan: DataScan, data: FileID, on files: inout FS
  ) throws(StorageError) {
    try comparison?.note(record, of: scan, data: data, on: &files)
  }

  /// What is wrong with the hint, once all records were noted; nil when nothing is.
  /// - Parameter firstDamage: Where records of the data file begin to be missing: then what the hint says of it cannot
  ///   be compared.
  mutating func finish<FS: FileSystem & ~Copyable>(
    data: FileID, firstDamage: UInt64?, on files: inout FS
  ) throws(StorageError) -> StoreFinding? {
    if let problem { return problem }
    if let firstDamage, firstDamage < coveredBytes {
      fits = false
      return nil
    }
    guard let hash, comparison != nil else { return nil }
    try comparison!.finish(data, on: &files)
    while !comparison!.isDone {
      try comparison!.begin(handle, on: &files)
      var scan = DataScan(data, from: UInt64(FileHeader.byteCount), to: coveredBytes, salt: salt, hash: hash)
      while try scan.next(on: &files) {
        for record in scan.records { try comparison!.note(record, of: scan, data: data, on: &files) }
      }
      try comparison!.finish(data, on: &files)
    }
    guard let difference = comparison!.difference else { return nil }
    fits = false
    return StoreFinding(
      .error, path, "\(difference), although its checksums hold; cairn store hints --write makes it anew")
  }
}
