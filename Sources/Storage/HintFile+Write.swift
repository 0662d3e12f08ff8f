import Causality
import Primitives

// Writes a hint: one scan of the data file, a sort by hash, and of each key only the newest record.

extension HintFile {
  /// Writes the hint of the data file at `dataPath`, durably. A data file that is not whole gets none.
  static func write<FS: FileSystem & ~Copyable>(
    of dataPath: String, to hintPath: String, hash: RingHash, on files: inout FS
  ) throws(StorageError) {
    let data = try files.open(dataPath, .read)
    defer { files.close(data) }
    guard var (header, entries) = try collect(data, path: dataPath, hash: hash, on: &files) else { return }
    entries.sort { ($0.hash, $0.offset) < ($1.hash, $1.offset) }
    try keepNewest(&entries, data: data, salt: header.dataSalt, on: &files)
    header.count = UInt64(entries.count)
    let table = blockTable(entries, header)
    header.entriesChecksum = checksum(entries, table)
    let (sorted, head) = (entries, header.encoded())
    let file = try DiskStep.createTemporary(for: hintPath, on: &files)
    try DiskStep.finish(file, becoming: hintPath, on: &files) { (files: inout FS) throws(StorageError) in
      try files.append(head, to: file)
      for chunk in chunks(sorted.count) { try files.append(bytes(sorted[chunk]), to: file) }
      if !table.isEmpty { try files.append(table, to: file) }
    }
  }

  private static func collect<FS: FileSystem & ~Copyable>(
    _ data: FileID, path: String, hash: RingHash, on files: inout FS
  ) throws(StorageError) -> (HintHeader, [HintEntry])? {
    let length = try files.size(of: data)
    guard case .bytes(let head) = try files.read(data, at: 0, count: FileHeader.byteCount, mayBlock: true),
      let fileHeader = try? FileHeader(decoding: head, kind: .data, path: path)
    else { return nil }
    var header = HintHeader()
    header.dataSalt = fileHeader.salt
    header.dataLength = length
    header.hashProbe = hash([])
    var entries: [HintEntry] = []
    var scan = DataScan(data, from: UInt64(FileHeader.byteCount), to: length, salt: header.dataSalt, hash: hash)
    while try scan.next(on: &files) {
      for record in scan.records {
        let entry = HintEntry(record, offset: scan.chunkOffset + UInt64(record.start))
        entries.append(entry)
        header.note(entry)
        header.lastOffset = entry.offset
        header.lastChecksum = scan.chunk.littleEndian(UInt32.self, at: record.start) ?? 0
      }
    }
    return scan.stop == .end ? (header, entries) : nil
  }

  /// Of entries that stand for the same key only that of the highest rank stays. Equal hashes do not make equal
  /// keys: the records decide.
  static func keepNewest<FS: FileSystem & ~Copyable>(
    _ entries: inout [HintEntry], data: FileID, salt: UInt32, on files: inout FS
  ) throws(StorageError) {
    var kept = 0
    var groupStart = 0
    var keys: [[UInt8]] = []
    for index in entries.indices {
      let entry = entries[index]
      if kept == groupStart || entries[groupStart].hash != entry.hash {
        groupStart = kept
        keys.removeAll(keepingCapacity: true)
      }
      let isAlone = kept == groupStart && (index + 1 == entries.count || entries[index + 1].hash != entry.hash)
      if !isAlone {
        let key = try readKey(entry, data: data, salt: salt, on: &files)
        if let same = keys.firstIndex(of: key) {
          if entry.rank > entries[groupStart + same].rank { entries[groupStart + same] = entry }
          continue
        }
        keys.append(key)
      }
      entries[kept] = entry
      kept += 1
    }
    entries.removeLast(entries.count - kept)
  }

  private static func readKey<FS: FileSystem & ~Copyable>(
    _ entry: HintEntry, data: FileID, salt: UInt32, on files: inout FS
  ) throws(StorageError) -> [UInt8] {
    guard case .bytes(let bytes) = try files.read(data, at: entry.offset, count: entry.byteCount, mayBlock: true),
      case .whole(let header) = Record.check(bytes, at: 0, salt: salt)
    else { throw .damaged(path: "a data file", offset: entry.offset, reason: "a record changed while it was read") }
    return Array(bytes[header.keyOffset..<header.valueOffset])
  }

  private static func checksum(_ entries: [HintEntry], _ table: [UInt8]) -> UInt32 {
    var checksum: UInt32 = 0
    for chunk in chunks(entries.count) {
      unsafe checksum = bytes(entries[chunk]).withUnsafeBytes { unsafe crc32c($0, continuing: checksum) }
    }
    return unsafe table.withUnsafeBytes { unsafe crc32c($0, continuing: checksum) }
  }

  /// The checksums of all blocks, one behind the other.
  private static func blockTable(_ entries: [HintEntry], _ header: HintHeader) -> [UInt8] {
    var table: [UInt8] = []
    table.reserveCapacity(header.blockCount * 4)
    for block in 0..<header.blockCount {
      let start = block * HintHeader.blockEntries
      let bytes = bytes(entries[start..<min(start + HintHeader.blockEntries, entries.count)])
      table.appendLittleEndian(unsafe bytes.withUnsafeBytes { unsafe header.blockChecksum($0, block) })
    }
    return table
  }

  private static func chunks(_ count: Int) -> [Range<Int>] {
    let size = StorageLimits.chunkBytes / HintEntry.byteCount
    return stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
  }

  private static func bytes(_ entries: ArraySlice<HintEntry>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(entries.count * HintEntry.byteCount)
    for entry in entries { entry.append(to: &bytes) }
    return bytes
  }
}

extension HintHeader {
  mutating func note(_ entry: HintEntry) {
    records += 1
    highestTime = max(highestTime, entry.stamp.time)
    if entry.isTombstone { tsnMax = max(tsnMax, entry.tsn) }
    if entry.expiry != .never { hasExpiry = true }
    let range = recordStamps ?? entry.stamp...entry.stamp
    recordStamps = min(range.lowerBound, entry.stamp)...max(range.upperBound, entry.stamp)
  }
}
