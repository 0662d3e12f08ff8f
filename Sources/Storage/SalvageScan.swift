import Causality
package import Primitives

// Reads all the records of a data file that can be read, also those behind damage. A store never does: what is damaged
// fences it, and it is filled again from its peers. An operator wants to know what was hit, and what is still there.

package struct SalvageScan: Sendable {
  /// A stretch that is no record.
  package struct Damage: Equatable, Sendable {
    package let offset: UInt64
    package let reason: String
    /// Intact, but of a later format.
    package let isUnknown: Bool
  }

  package enum Step: Equatable, Sendable {
    /// `scan.records` are the next ones.
    case records
    /// Here they end for now; `resume` looks for more.
    case damage(Damage)
    case end
  }

  /// Bytes of would-be records that one search reads for their checksums, before it gives up: a value that is full of
  /// forged beginnings must not make it take for ever.
  package static let searchBytesMax: UInt64 = 1 << 32

  package private(set) var scan: DataScan
  private let file: FileID
  private let end: UInt64
  private let salt: UInt32
  private let hash: RingHash
  private let searchBytesMax: UInt64
  /// `damage` was reported and nobody resumed.
  private var isOver = false

  package init(
    _ file: FileID, to end: UInt64, salt: UInt32, hash: RingHash,
    searchBytesMax: UInt64 = SalvageScan.searchBytesMax
  ) {
    self.file = file
    self.end = end
    self.salt = salt
    self.hash = hash
    self.searchBytesMax = searchBytesMax
    scan = DataScan(file, from: min(UInt64(FileHeader.byteCount), end), to: end, salt: salt, hash: hash)
  }

  package mutating func next<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> Step {
    if isOver { return .end }
    if try scan.next(on: &files) { return .records }
    isOver = true
    switch scan.stop {
    case .end, nil: return .end
    case .damaged(let reason): return .damage(Damage(offset: scan.offset, reason: reason, isUnknown: false))
    case .unknown(let reason): return .damage(Damage(offset: scan.offset, reason: reason, isUnknown: true))
    }
  }

  /// Looks for the first whole record behind the damage just reported; `next` goes on there. Nil when there is none.
  package mutating func resume<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> UInt64? {
    guard isOver, let offset = try search(from: scan.offset + 8, on: &files) else { return nil }
    scan = DataScan(file, from: offset, to: end, salt: salt, hash: hash)
    isOver = false
    return offset
  }

  /// The key that the damaged bytes at `offset` name, when they still look like a record that ends where the next one
  /// begins, or, without a next one, at the end of the file or behind it.
  package func keyOfDamaged<FS: FileSystem & ~Copyable>(
    at offset: UInt64, next: UInt64?, on files: inout FS
  ) throws(StorageError) -> [UInt8]? {
    guard case .bytes(let head) = try files.read(file, at: offset, count: SalvageScan.headBytes, mayBlock: true),
      let candidate = RecordHeader(lookingLike: head, at: 0)
    else { return nil }
    let candidateEnd = offset + UInt64(candidate.byteCount)
    guard next.map({ candidateEnd == $0 }) ?? (candidateEnd >= end),
      case .bytes(let bytes) = try files.read(
        file, at: offset + UInt64(candidate.keyOffset), count: candidate.keyLength, mayBlock: true),
      bytes.count == candidate.keyLength
    else { return nil }
    return bytes
  }

  /// The same without a search: the key that the damaged bytes at `offset` name, when they look like a record behind
  /// which a whole one follows at once, or which reaches to the end of the file or behind it.
  static func keyHit<FS: FileSystem & ~Copyable>(
    _ file: FileID, at offset: UInt64, to end: UInt64, salt: UInt32, on files: inout FS
  ) throws(StorageError) -> [UInt8]? {
    guard case .bytes(let head) = try files.read(file, at: offset, count: headBytes, mayBlock: true),
      let candidate = RecordHeader(lookingLike: head, at: 0)
    else { return nil }
    let next = offset + UInt64(candidate.byteCount)
    if next < end {
      var scan = DataScan(file, from: next, to: end, salt: salt, hash: RingHash(seed: 0))
      guard try scan.next(on: &files) else { return nil }
    }
    guard
      case .bytes(let key) = try files.read(
        file, at: offset + UInt64(candidate.keyOffset), count: candidate.keyLength, mayBlock: true)
    else { return nil }
    return key.count == candidate.keyLength ? key : nil
  }

  /// The key that `bytes` name, when they look like a record of this length; nil: of any.
  static func keyHit(in bytes: [UInt8], byteCount: Int?) -> [UInt8]? {
    guard let candidate = RecordHeader(lookingLike: bytes, at: 0),
      byteCount ?? candidate.byteCount == candidate.byteCount,
      candidate.valueOffset <= bytes.count
    else { return nil }
    return Array(bytes[candidate.keyOffset..<candidate.valueOffset])
  }

  // MARK: The search

  private static let headBytes = RecordHeader.fixedByteCount + 8

  /// The first place from `start` on, in steps of 8, where a whole record stands.
  private func search<FS: FileSystem & ~Copyable>(
    from start: UInt64, on files: inout FS
  ) throws(StorageError) -> UInt64? {
    var windowStart = start
    var budget = searchBytesMax
    while windowStart + UInt64(RecordHeader.fixedByteCount) <= end {
      let count = Int(min(UInt64(StorageLimits.chunkBytes), end - windowStart))
      guard case .bytes(let window) = try files.read(file, at: windowStart, count: count, mayBlock: true),
        window.count == count
      else { return nil }
      var at = 0
      while at + RecordHeader.fixedByteCount <= count {
        defer { at += 8 }
        guard let header = RecordHeader(lookingLike: window, at: at) else { continue }
        let offset = windowStart + UInt64(at)
        let length = UInt64(header.byteCount)
        guard offset + length <= end else { continue }
        guard length <= budget else { return nil }
        budget -= length
        if try isWhole(header, window, at: at, offset, on: &files) { return offset }
      }
      windowStart += UInt64(at)
    }
    return nil
  }

  private func isWhole<FS: FileSystem & ~Copyable>(
    _ header: RecordHeader, _ window: [UInt8], at: Int, _ offset: UInt64, on files: inout FS
  ) throws(StorageError) -> Bool {
    if at + header.byteCount <= window.count {
      if case .whole = Record.check(window, at: at, salt: salt) { return true }
      return false
    }
    guard case .bytes(let bytes) = try files.read(file, at: offset, count: header.byteCount, mayBlock: true),
      case .whole = Record.check(bytes, at: 0, salt: salt)
    else { return false }
    return true
  }
}

extension RecordHeader {
  /// What the bytes at `offset` say if they begin a record; nil when they cannot. No checksum is looked at. The fields
  /// with one meaning come first: of random bytes one in two thousand million gets past them.
  init?(lookingLike bytes: [UInt8], at offset: Int) {
    guard let meaning = bytes.littleEndian(UInt32.self, at: offset + 12),
      meaning >> 8 == UInt32(RecordHeader.versionKind), meaning & 0xFF & ~UInt32(RecordHeader.knownFlags) == 0,
      meaning & 0xFF != UInt32(RecordHeader.knownFlags),
      let keyLength = bytes.littleEndian(UInt32.self, at: offset + 4), keyLength <= StorageLimits.keyBytesMax,
      let valueLength = bytes.littleEndian(UInt32.self, at: offset + 8), valueLength <= StorageLimits.valueBytesMax,
      let time = bytes.littleEndian(UInt64.self, at: offset + 16),
      let actor = bytes.littleEndian(UInt32.self, at: offset + 24)
    else { return nil }
    let isTombstone = meaning & UInt32(RecordHeader.tombstoneFlag) != 0
    let expires = meaning & UInt32(RecordHeader.expiryFlag) != 0
    let word = bytes.littleEndian(UInt64.self, at: offset + 28)
    if expires, let word, !Expiry(milliseconds: word).isTime { return nil }
    self.init(
      keyLength: Int(keyLength), valueLength: Int(valueLength), isTombstone: isTombstone,
      stamp: Stamp(time: HybridTime(time), actor: ActorID(actor)), tsn: isTombstone ? word ?? 0 : 0,
      expiry: expires ? word.map(Expiry.init) ?? .last : .never)
  }
}
