import Causality
package import Primitives

// Whether a hint may be used for its data file, and if not, why: damage and a file that has changed since are told
// apart for operators only, a store that opens ignores both.

/// What a hint is worth.
enum HintJudgement {
  case fits(HintHeader)
  /// Intact, and of other bytes than the data file has now.
  case stale(HintHeader, reason: String)
  /// Its own bytes do not read back as they were written.
  case damaged(reason: String)
}

/// What an operator is told of the hint of one data file.
package enum HintState: Equatable, Sendable {
  case missing
  /// It can be used for the first `coveredBytes` of the data file, in which it knows `entries` keys.
  case fits(entries: UInt64, coveredBytes: UInt64)
  case stale(reason: String)
  case damaged(reason: String)
}

extension HintFile {
  /// Reads all of the hint in `file`, and the last record that it covers.
  /// - Parameter hash: Nil when the ring's seed is not known: then whether the hint was made with it is not looked at.
  static func judge<FS: FileSystem & ~Copyable>(
    _ file: FileID, data: FileID, salt: UInt32, dataLength: UInt64, hash: RingHash?, on files: inout FS
  ) throws(StorageError) -> HintJudgement {
    guard case .bytes(let bytes) = try files.read(file, at: 0, count: HintHeader.byteCount, mayBlock: true),
      let header = HintHeader(decoding: bytes)
    else { return .damaged(reason: "its header does not read back") }
    guard header.count <= header.dataLength / UInt64(RecordHeader.fixedByteCount),
      try files.size(of: file) == header.fileByteCount
    else { return .damaged(reason: "it is not as long as it says") }
    guard try checksum(of: file, to: header.fileByteCount, on: &files) == header.entriesChecksum else {
      return .damaged(reason: "the checksum of its entries does not match")
    }
    guard header.dataSalt == salt else { return .stale(header, reason: "it belongs to another data file") }
    guard hash.map({ header.hashProbe == $0([]) }) ?? true else {
      return .stale(header, reason: "it was made with another ring seed")
    }
    guard header.dataLength <= dataLength, try lastRecordFits(header, data: data, on: &files) else {
      return .stale(header, reason: "its data file has changed since")
    }
    return .fits(header)
  }

  /// Of everything behind the header.
  static func checksum<FS: FileSystem & ~Copyable>(
    of file: FileID, to end: UInt64, on files: inout FS
  ) throws(StorageError) -> UInt32? {
    var checksum: UInt32 = 0
    var offset = UInt64(HintHeader.byteCount)
    while offset < end {
      let count = Int(min(UInt64(StorageLimits.chunkBytes), end - offset))
      guard case .bytes(let chunk) = try files.read(file, at: offset, count: count, mayBlock: true),
        chunk.count == count
      else { return nil }
      unsafe checksum = chunk.withUnsafeBytes { unsafe crc32c($0, continuing: checksum) }
      offset += UInt64(count)
    }
    return checksum
  }

  private static func lastRecordFits<FS: FileSystem & ~Copyable>(
    _ header: HintHeader, data: FileID, on files: inout FS
  ) throws(StorageError) -> Bool {
    if header.lastOffset == 0 { return header.dataLength == UInt64(FileHeader.byteCount) && header.count == 0 }
    guard header.lastOffset < header.dataLength else { return false }
    let count = Int(header.dataLength - header.lastOffset)
    guard count <= StorageLimits.keyBytesMax + StorageLimits.valueBytesMax + 64,
      case .bytes(let bytes) = try files.read(data, at: header.lastOffset, count: count, mayBlock: true),
      case .whole(let record) = Record.check(bytes, at: 0, salt: header.dataSalt)
    else { return false }
    return record.byteCount == count && bytes.littleEndian(UInt32.self, at: 0) == header.lastChecksum
  }

  /// What an operator is told of the hint of a data file; reads the hint and one record.
  package static func state<FS: FileSystem & ~Copyable>(
    of data: DataFileFacts, in store: String, hash: RingHash?, on files: inout FS
  ) throws(StorageError) -> HintState {
    let path = StorePath.hint(store, data.id)
    guard try files.exists(path) else { return .missing }
    guard let salt = data.salt, data.size > 0 else { return .stale(reason: "it has no data file") }
    let hint = try files.open(path, .read)
    defer { files.close(hint) }
    let file = try files.open(data.path, .read)
    defer { files.close(file) }
    switch try judge(hint, data: file, salt: salt, dataLength: data.size, hash: hash, on: &files) {
    case .fits(let header): return .fits(entries: header.count, coveredBytes: header.dataLength)
    case .stale(_, let reason): return .stale(reason: reason)
    case .damaged(let reason): return .damaged(reason: reason)
    }
  }
}
