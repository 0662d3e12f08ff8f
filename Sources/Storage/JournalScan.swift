import Primitives

// Reads a journal that an earlier run left: its whole frames in order, and, where one does not read back, the verdict
// whether it was durable once (damage) or never (a torn tail).

struct JournalScan {
  /// Frames of `chunk`, by their offset in it.
  private(set) var frames: [(start: Int, frame: JournalFrame)] = []
  private(set) var chunk: [UInt8] = []
  /// Offset of `chunk` in the segment.
  private(set) var chunkOffset = UInt64(FileHeader.byteCount)
  /// Offset of the first byte that is not part of a whole frame, so far.
  private(set) var offset = UInt64(FileHeader.byteCount)
  private let file: FileID
  private let end: UInt64
  private let salt: UInt32
  private static let frameBytesMax = UInt64(
    JournalFrame.byteCount + RecordHeader.fixedByteCount + 16 + StorageLimits.keyBytesMax + StorageLimits.valueBytesMax)

  init(_ file: FileID, to end: UInt64, salt: UInt32) {
    self.file = file
    self.end = end
    self.salt = salt
  }

  /// The segment was read to its last byte.
  var isComplete: Bool { offset >= end }

  /// Fills `frames` with the next ones; false when there are no more.
  mutating func next<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> Bool {
    frames.removeAll(keepingCapacity: true)
    var wanted = UInt64(StorageLimits.chunkBytes)
    while offset < end {
      let count = Int(min(wanted, end - offset))
      guard case .bytes(let bytes) = try files.read(file, at: offset, count: count, mayBlock: true) else { break }
      chunk = bytes
      chunkOffset = offset
      takeFrames()
      if !frames.isEmpty { return true }
      guard let length = bytes.littleEndian(UInt32.self, at: 4) else { break }
      let needed = UInt64(JournalFrame.byteCount) + UInt64(length)
      guard needed > UInt64(bytes.count), needed <= min(JournalScan.frameBytesMax, end - offset) else { break }
      wanted = needed
    }
    return false
  }

  private mutating func takeFrames() {
    var at = 0
    while let frame = JournalFrame(chunk, at: at, salt: salt) {
      frames.append((start: at, frame: frame))
      at += JournalFrame.byteCount + frame.recordLength
    }
    offset += UInt64(at)
  }

  /// What frames say of the journal: the sequence of the first, and the highest that was durable.
  struct Claim {
    var sequence: UInt64
    var durable: UInt64
  }

  /// What the whole frames behind the place where `next` gave up say; nil when there is none.
  func claimBehind<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) -> Claim? {
    guard offset < end,
      case .bytes(let bytes) = try files.read(file, at: offset, count: Int(end - offset), mayBlock: true)
    else { return nil }
    var claim: Claim?
    var at = 8
    while at < bytes.count {
      if let frame = JournalFrame(bytes, at: at, salt: salt) {
        let first = claim?.sequence ?? frame.sequence
        claim = Claim(sequence: first, durable: max(claim?.durable ?? 0, frame.durable))
        at += JournalFrame.byteCount + frame.recordLength
      } else {
        at += 8
      }
    }
    return claim
  }
}

/// A place in the journal where frames are missing.
struct JournalGap {
  let path: String
  let offset: UInt64
  /// Sequence of a frame that is missing: the first when frames stand before it, else the last; nil while none does.
  var missing: UInt64?

  /// A whole frame behind the gap: throws when it proves that what is missing was durable once.
  mutating func check(_ frame: JournalScan.Claim) throws(StorageError) {
    let missing = self.missing ?? frame.sequence - min(1, frame.sequence)
    self.missing = missing
    guard frame.durable < missing || frame.durable == 0 else {
      throw .damaged(
        path: path, offset: offset, reason: "a record of the journal that was durable does not read back")
    }
  }
}
