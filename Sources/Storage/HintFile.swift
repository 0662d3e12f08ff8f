import Causality
import Primitives

// A digest of a data file that lets a store open without reading it: where each key's newest record in that file is.
// A hint is never believed over its data file: one that is missing, damaged, or of other bytes costs a scan.

/// Little-endian, 112 bytes, then `count` entries sorted by hash, then the checksum u32 of every block of entries:
///     magic 8 | version u32 | dataSalt u32 | dataLength u64 | lastOffset u64 | lastChecksum u32 | flags u32 (1 records)
///     | lowest stamp 12 | highest stamp 12 | highestTime u64 | tsnMax u64 | hashProbe u64 | records u64 | count u64
///     | crc32c u32 of everything behind the header | crc32c u32
/// `dataSalt` is the checksum of the data file's header: it binds cluster, node, store, incarnation and file id. Length
/// and checksum of the last record bind the bytes: a file that was cut, or cut and continued, does not fit. A flipped
/// bit in between is not seen here; reading the record sees it. The checksums of the blocks let one block be believed
/// without reading the others (`HintLookup`). A hint that knows a value that expires is version 3: to a release that
/// knows of none it is no hint, and the data file is what that release then refuses.
struct HintHeader: Equatable {
  static let byteCount = 112
  private static let magic = Array("CairnHnt".utf8)
  private static let version: UInt32 = 2
  private static let versionWithExpiry: UInt32 = 3

  var dataSalt: UInt32 = 0
  /// The data file's bytes that the entries cover.
  var dataLength: UInt64 = 0
  var lastOffset: UInt64 = 0
  var lastChecksum: UInt32 = 0
  var recordStamps: ClosedRange<Stamp>?
  var highestTime: HybridTime = .zero
  var tsnMax: UInt64 = 0
  /// The hash of no bytes: hints of another ring seed do not fit.
  var hashProbe: UInt64 = 0
  /// Records that the covered bytes hold, superseded ones included.
  var records: UInt64 = 0
  var count: UInt64 = 0
  /// Some record that it covers expires.
  var hasExpiry = false
  var entriesChecksum: UInt32 = 0

  func encoded() -> [UInt8] {
    var bytes = HintHeader.magic
    bytes.appendLittleEndian(hasExpiry ? HintHeader.versionWithExpiry : HintHeader.version)
    bytes.appendLittleEndian(dataSalt)
    bytes.appendLittleEndian(dataLength)
    bytes.appendLittleEndian(lastOffset)
    bytes.appendLittleEndian(lastChecksum)
    bytes.appendLittleEndian(UInt32(recordStamps == nil ? 0 : 1))
    (recordStamps?.lowerBound ?? .zero).append(to: &bytes)
    (recordStamps?.upperBound ?? .zero).append(to: &bytes)
    for field in [highestTime.rawValue, tsnMax, hashProbe, records, count] { bytes.appendLittleEndian(field) }
    bytes.appendLittleEndian(entriesChecksum)
    bytes.appendLittleEndian(crc32c(bytes))
    return bytes
  }

  init() {}

  /// Nil when the bytes are not a hint of this format: it is then rebuilt, so nobody asks why.
  init?(decoding bytes: [UInt8]) {
    guard bytes.count == HintHeader.byteCount, Array(bytes[0..<8]) == HintHeader.magic,
      crc32c(bytes, 0..<108) == bytes.littleEndian(UInt32.self, at: 108)
    else { return nil }
    var reader = ByteReader(bytes, from: 8)
    guard let version = reader.read(UInt32.self),
      version == HintHeader.version || version == HintHeader.versionWithExpiry, let salt = reader.read(UInt32.self),
      let length = reader.read(UInt64.self), let lastOffset = reader.read(UInt64.self),
      let lastChecksum = reader.read(UInt32.self), let flags = reader.read(UInt32.self), flags <= 1,
      let low = reader.readStamp(), let high = reader.readStamp(), low <= high,
      let time = reader.read(UInt64.self), let tsn = reader.read(UInt64.self), let probe = reader.read(UInt64.self),
      let records = reader.read(UInt64.self), let count = reader.read(UInt64.self),
      let entries = reader.read(UInt32.self)
    else { return nil }
    (dataSalt, dataLength, self.lastOffset, self.lastChecksum) = (salt, length, lastOffset, lastChecksum)
    recordStamps = flags == 1 ? low...high : nil
    (highestTime, tsnMax, hashProbe) = (HybridTime(time), tsn, probe)
    (self.records, self.count) = (records, count)
    hasExpiry = version == HintHeader.versionWithExpiry
    entriesChecksum = entries
  }
}

extension HintHeader {
  /// Entries of one block: as many as a page of a disk holds.
  static let blockEntries = 102

  var blockCount: Int { (Int(count) + HintHeader.blockEntries - 1) / HintHeader.blockEntries }

  /// Bytes of the whole file.
  var fileByteCount: UInt64 {
    UInt64(HintHeader.byteCount) + count * UInt64(HintEntry.byteCount) + UInt64(blockCount) * 4
  }

  /// The checksum of a block's bytes: it is bound to the data file and to the block's place.
  func blockChecksum(_ bytes: UnsafeRawBufferPointer, _ block: Int) -> UInt32 {
    unsafe crc32c(bytes, continuing: dataSalt &+ UInt32(truncatingIfNeeded: block))
  }
}

/// Little-endian, 40 bytes: hash u64 | offset in 8-byte units u32 | length in 8-byte units u32 | time u64 | actor u32
/// | flags u32 (1 tombstone, 2 expires) | tsn u64, or the expiry u64 of a value.
struct HintEntry: Equatable {
  static let byteCount = 40
  var hash: UInt64
  var offset: UInt64
  var byteCount: Int
  var stamp: Stamp
  var isTombstone: Bool
  var tsn: UInt64
  var expiry = Expiry.never

  var rank: Rank { Rank(stamp, isTombstone: isTombstone) }
  private static let tombstoneFlag: UInt32 = 1
  private static let expiryFlag: UInt32 = 2

  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(hash)
    bytes.appendLittleEndian(UInt32(offset >> 3))
    bytes.appendLittleEndian(UInt32(byteCount >> 3))
    stamp.append(to: &bytes)
    let expires = expiry != .never
    bytes.appendLittleEndian(isTombstone ? HintEntry.tombstoneFlag : expires ? HintEntry.expiryFlag : 0)
    bytes.appendLittleEndian(expires ? expiry.milliseconds : tsn)
  }

  /// The entry at `offset` of the buffer, which holds it whole.
  init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    func load<T: FixedWidthInteger>(_: T.Type, _ field: Int) -> T {
      unsafe T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + field, as: T.self))
    }
    hash = load(UInt64.self, 0)
    self.offset = UInt64(load(UInt32.self, 8)) << 3
    byteCount = Int(load(UInt32.self, 12)) << 3
    stamp = Stamp(time: HybridTime(load(UInt64.self, 16)), actor: ActorID(load(UInt32.self, 24)))
    let flags = load(UInt32.self, 28)
    isTombstone = flags & HintEntry.tombstoneFlag != 0
    let expires = flags & HintEntry.expiryFlag != 0
    tsn = expires ? 0 : load(UInt64.self, 32)
    if expires { expiry = Expiry(milliseconds: load(UInt64.self, 32)) }
  }

  init(_ record: ScannedRecord, offset: UInt64) {
    hash = record.hash
    self.offset = offset
    byteCount = record.header.byteCount
    stamp = record.header.stamp
    isTombstone = record.header.isTombstone
    tsn = record.header.tsn
    expiry = record.header.expiry
  }
}

/// Reads a hint's entries a chunk at a time.
struct HintScan {
  private let file: FileID
  private var offset = UInt64(HintHeader.byteCount)
  private let end: UInt64
  private static let chunkBytes = StorageLimits.chunkBytes / HintEntry.byteCount * HintEntry.byteCount

  /// - Parameter skipping: Entries at the front that are not read.
  init(_ file: FileID, count: UInt64, skipping skipped: UInt64 = 0) {
    self.file = file
    offset += min(skipped, count) * UInt64(HintEntry.byteCount)
    end = UInt64(HintHeader.byteCount) + count * UInt64(HintEntry.byteCount)
  }

  /// The bytes of the next entries, whole ones; nil at the end or when they are not there.
  mutating func next<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> [UInt8]? {
    let count = Int(min(UInt64(HintScan.chunkBytes), end - offset))
    guard count > 0, case .bytes(let bytes) = try files.read(file, at: offset, count: count, mayBlock: true),
      bytes.count == count
    else { return nil }
    offset += UInt64(count)
    return bytes
  }
}

package enum HintFile {
  /// The header of the hint in `file` when all of it is intact and it fits the data file; nil otherwise.
  static func verify<FS: FileSystem & ~Copyable>(
    _ file: FileID, data: FileID, salt: UInt32, dataLength: UInt64, hash: RingHash, on files: inout FS
  ) throws(StorageError) -> HintHeader? {
    let judged = try judge(file, data: data, salt: salt, dataLength: dataLength, hash: hash, on: &files)
    if case .fits(let header) = judged { return header }
    return nil
  }
}
