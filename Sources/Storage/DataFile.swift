import Causality
package import Primitives

// One append-only file of records, as its store sees it, and the scan that reads one from front to back.

/// A live data file. `syncedLength ≤ flushedLength ≤ length`.
struct DataFile {
  let id: UInt32
  /// Nil while the file is closed: see `Bitcask.handle(_:on:)`.
  var handle: FileID?
  let path: String
  let salt: UInt32
  /// Bytes in the file and in the store's buffer behind it.
  var length: UInt64
  /// Bytes handed to the file system.
  var flushedLength: UInt64
  /// Bytes known to be on the device.
  var syncedLength: UInt64
  /// The file's name is on the device.
  var isNamed: Bool
  var isSealed: Bool
  /// Bytes that the hint file covers, or that no hint is to be tried for any more; 0 when there is none.
  var hintLength: UInt64 = 0
  /// The turn of `OpenFiles` in which it was last read.
  var lastUse: UInt64 = 0
  /// Records in the file, superseded ones included.
  var records = 0
  /// Of these, those that the keydir points to, and their bytes.
  var liveRecords = 0
  var liveBytes: UInt64 = 0
  /// Of the dead bytes, those of tombstones that the last merge had to keep (rule OVERLAP), because of these files.
  var blockedBytes: UInt64 = 0
  var blockers: Set<UInt32> = []
  /// Nothing in it counts, after a merge or because its hints are delivered: manifests list it no more, and it goes as soon as that is durable.
  var isRetired = false
  var recordStamps: ClosedRange<Stamp>?

  var deadBytes: UInt64 { length - min(length, UInt64(FileHeader.byteCount)) - liveBytes }

  /// Bytes in it are to be made durable. What is retired goes, and nobody waits for it.
  var isDirty: Bool { flushedLength > syncedLength && !isRetired }

  mutating func addLive(_ byteCount: Int) {
    liveRecords += 1
    liveBytes += UInt64(byteCount)
  }

  mutating func removeLive(_ byteCount: Int) {
    liveRecords -= 1
    liveBytes -= UInt64(byteCount)
  }

  mutating func noteStamp(_ stamp: Stamp) {
    guard let range = recordStamps else {
      recordStamps = stamp...stamp
      return
    }
    if stamp > range.upperBound {
      recordStamps = range.lowerBound...stamp
    } else if stamp < range.lowerBound {
      recordStamps = stamp...range.upperBound
    }
  }
}

/// A record that a scan came by.
package struct ScannedRecord: Sendable {
  /// Where it begins in the scan's current chunk.
  package let start: Int
  package let header: RecordHeader
  package let hash: UInt64
}

/// Reads the records of a data file in order, a chunk at a time, until its end or the first bytes that are no record.
package struct DataScan: Sendable {
  package enum Stop: Equatable, Sendable {
    case end
    case damaged(String)
    /// Intact, but of a later format.
    case unknown(String)
  }

  package private(set) var chunk: [UInt8] = []
  /// The records of `chunk`.
  package private(set) var records: [ScannedRecord] = []
  /// Offset of `chunk` in the file.
  package private(set) var chunkOffset: UInt64
  /// Offset of the first byte that is not part of a whole record, so far.
  package private(set) var offset: UInt64
  /// Set when the scan is over.
  package private(set) var stop: Stop?

  private let file: FileID
  private let end: UInt64
  private let salt: UInt32
  private let hash: RingHash

  package init(_ file: FileID, from offset: UInt64, to end: UInt64, salt: UInt32, hash: RingHash) {
    self.file = file
    self.offset = offset
    self.chunkOffset = offset
    self.end = end
    self.salt = salt
    self.hash = hash
  }

  /// Fills `records` with the next ones; false when there are none and `stop` says why.
  package mutating func next<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> Bool {
    records.removeAll(keepingCapacity: true)
    var count = StorageLimits.chunkBytes
    while stop == nil && records.isEmpty {
      guard offset < end else {
        stop = .end
        break
      }
      let wanted = Int(min(UInt64(count), end - offset))
      guard case .bytes(let bytes) = try files.read(file, at: offset, count: wanted, mayBlock: true) else {
        stop = .damaged("bytes that cannot be read")
        break
      }
      chunk = bytes
      chunkOffset = offset
      count = parse() ?? count
      // Shorter than it is said to be: reading the same place again would bring nothing else.
      if bytes.count < wanted, records.isEmpty, stop == nil { stop = .damaged("the file ends here") }
    }
    return !records.isEmpty
  }

  /// Takes the whole records off the chunk. Returns how long the chunk must be when not even one fits.
  private mutating func parse() -> Int? {
    var at = 0
    while at < chunk.count {
      switch Record.check(chunk, at: at, salt: salt) {
      case .whole(let header):
        let key = at + header.keyOffset..<at + header.valueOffset
        let keyHash = unsafe chunk.withUnsafeBytes { unsafe hash(UnsafeRawBufferPointer(rebasing: $0[key])) }
        records.append(ScannedRecord(start: at, header: header, hash: keyHash))
        at += header.byteCount
      case .short(let total):
        offset = chunkOffset + UInt64(at)
        if offset + UInt64(total) > end || chunkOffset + UInt64(chunk.count) >= end {
          stop = .damaged("a record that the file ends in")
        }
        return at == 0 ? total : nil
      case .damaged(let reason):
        stop = .damaged(reason)
        offset = chunkOffset + UInt64(at)
        return nil
      case .unknown(let reason):
        stop = .unknown(reason)
        offset = chunkOffset + UInt64(at)
        return nil
      }
    }
    offset = chunkOffset + UInt64(at)
    return nil
  }
}
