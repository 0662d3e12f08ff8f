import Causality
import Primitives

// Whether a hint says of its data file exactly what is true: of every key the newest record, and nothing else. Both are
// read front to back. Because a hint is sorted by hash, it is compared a stretch of hashes at a time, so that memory
// stays bounded however long the files are; each stretch after the first costs another scan of the data file.

struct HintComparison {
  /// Entries of one stretch, so far as keys of one hash do not make it longer.
  static let stretchEntriesMax = 1 << 18

  private let header: HintHeader
  private let stretchEntriesMax: Int
  /// The header as the records make it, apart from what only the entries tell.
  private var computed = HintHeader()
  /// Entries of the current stretch as the hint has them.
  private var stated: [HintEntry] = []
  /// The same as the records have them.
  private var found: [HintEntry] = []
  private var hashes: ClosedRange<UInt64> = 0...UInt64.max
  /// Entries of the hint before the current stretch.
  private var entriesBefore: UInt64 = 0
  private var isFirst = true
  /// Set when hint and records disagree.
  private(set) var difference: String?

  init(_ header: HintHeader, stretchEntriesMax: Int = HintComparison.stretchEntriesMax) {
    self.header = header
    self.stretchEntriesMax = stretchEntriesMax
  }

  /// All of the hint was compared, or a difference found.
  var isDone: Bool { difference != nil || (!isFirst && entriesBefore == header.count && hashes.upperBound == .max) }

  /// Reads the next stretch of the hint; then `note` wants every record of the data file, and `finish` compares.
  mutating func begin<FS: FileSystem & ~Copyable>(_ hint: FileID, on files: inout FS) throws(StorageError) {
    stated.removeAll(keepingCapacity: true)
    found.removeAll(keepingCapacity: true)
    let first = isFirst ? 0 : hashes.upperBound + 1
    var scan = HintScan(hint, count: header.count, skipping: entriesBefore)
    var last = first
    reading: while let chunk = try scan.next(on: &files) {
      for start in stride(from: 0, to: chunk.count, by: HintEntry.byteCount) {
        let entry = unsafe chunk.withUnsafeBytes { unsafe HintEntry($0, at: start) }
        guard entry.hash >= last else {
          difference = "its entries are not in order"
          return
        }
        if stated.count >= stretchEntriesMax && entry.hash > last { break reading }
        stated.append(entry)
        last = entry.hash
      }
    }
    if stated.isEmpty && entriesBefore < header.count { difference = "its entries end early" }
    let isLast = entriesBefore + UInt64(stated.count) == header.count
    hashes = first...(isLast ? .max : last)
  }

  /// A record of the data file.
  mutating func note<FS: FileSystem & ~Copyable>(
    _ record: ScannedRecord, of scan: DataScan, data: FileID, on files: inout FS
  ) throws(StorageError) {
    let entry = HintEntry(record, offset: scan.chunkOffset + UInt64(record.start))
    guard difference == nil, entry.offset < header.dataLength else { return }
    if isFirst {
      computed.note(entry)
      computed.lastOffset = entry.offset
      computed.lastChecksum = scan.chunk.littleEndian(UInt32.self, at: record.start) ?? 0
    }
    guard hashes.contains(entry.hash) else { return }
    found.append(entry)
    guard found.count > 2 * max(stated.count, 1024) else { return }
    try compact(data, on: &files)
    if found.count > max(stated.count, 1024) { difference = "it lacks keys that its data file has" }
  }

  /// All records were noted.
  mutating func finish<FS: FileSystem & ~Copyable>(_ data: FileID, on files: inout FS) throws(StorageError) {
    if isFirst { compareHeaders() }
    guard difference == nil else { return }
    try compact(data, on: &files)
    stated.sort { ($0.hash, $0.offset) < ($1.hash, $1.offset) }
    for (index, (stated, found)) in zip(stated, found).enumerated() where stated != found {
      difference = HintComparison.describe(stated, found, at: entriesBefore + UInt64(index))
      return
    }
    if stated.count != found.count {
      difference = "it has \(stated.count) entries where its data file has \(found.count) keys"
    }
    entriesBefore += UInt64(stated.count)
    isFirst = false
  }

  private mutating func compact<FS: FileSystem & ~Copyable>(_ data: FileID, on files: inout FS) throws(StorageError) {
    found.sort { ($0.hash, $0.offset) < ($1.hash, $1.offset) }
    try HintFile.keepNewest(&found, data: data, salt: header.dataSalt, on: &files)
    found.sort { ($0.hash, $0.offset) < ($1.hash, $1.offset) }
  }

  private mutating func compareHeaders() {
    computed.dataSalt = header.dataSalt
    computed.dataLength = header.dataLength
    computed.hashProbe = header.hashProbe
    computed.count = header.count
    computed.entriesChecksum = header.entriesChecksum
    if computed != header { difference = "its header does not say what its data file's records say" }
  }

  private static func describe(_ stated: HintEntry, _ found: HintEntry, at index: UInt64) -> String {
    if (stated.hash, stated.offset) < (found.hash, found.offset) {
      return "entry \(index) names a record at byte \(stated.offset) that is not the newest of its key there"
    }
    if (stated.hash, stated.offset) == (found.hash, found.offset) {
      return "entry \(index) does not say what the record at byte \(found.offset) says"
    }
    return "it lacks the key of the record at byte \(found.offset)"
  }
}
