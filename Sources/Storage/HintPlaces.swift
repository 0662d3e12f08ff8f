import Primitives

// What a hint knows of a place in its data file, asked when that place does not read back. Blocks: damage is rare, and
// what is read is small, or, where no hash is known, the hint once. Nothing is believed that does not check out.

extension HintLookup {
  /// The entry of the record with this hash at this place; nil when there is none, or the hint cannot be believed.
  func entry<FS: FileSystem & ~Copyable>(
    _ hash: UInt64, at offset: UInt64, on files: inout FS
  ) throws(StorageError) -> HintEntry? {
    var range = 0..<header.blockCount
    // The first block that ends with this hash or a higher one.
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      guard let last = try entries(middle, on: &files)?.last else { return nil }
      range = last.hash < hash ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    for block in range.lowerBound..<header.blockCount {
      guard let entries = try entries(block, on: &files) else { return nil }
      if let found = entries.first(where: { $0.hash == hash && $0.offset == offset }) { return found }
      guard let last = entries.last, last.hash == hash else { return nil }
    }
    return nil
  }

  private func entries<FS: FileSystem & ~Copyable>(
    _ block: Int, on files: inout FS
  ) throws(StorageError) -> [HintEntry]? {
    guard case .entries(let bytes) = try read(block, warm: nil, mayBlock: true, on: &files) else { return nil }
    return HintEntry.all(in: bytes)
  }

  /// What the hint knows at this place, and the next place behind it that it knows; nil when the hint is not intact.
  func surroundings<FS: FileSystem & ~Copyable>(
    of offset: UInt64, on files: inout FS
  ) throws(StorageError) -> (entry: HintEntry?, next: UInt64)? {
    guard try files.size(of: file) == header.fileByteCount,
      try HintFile.checksum(of: file, to: header.fileByteCount, on: &files) == header.entriesChecksum
    else { return nil }
    var entry: HintEntry?
    var next = header.dataLength
    var count: UInt64 = 0
    var scan = HintScan(file, count: header.count)
    while let chunk = try scan.next(on: &files) {
      for found in HintEntry.all(in: chunk) {
        count += 1
        if found.offset == offset { entry = found }
        if found.offset > offset { next = min(next, found.offset) }
      }
    }
    return count == header.count ? (entry, next) : nil
  }
}

extension HintEntry {
  /// The entries that stand one behind the other in these bytes.
  fileprivate static func all(in bytes: [UInt8]) -> [HintEntry] {
    stride(from: 0, to: bytes.count / byteCount * byteCount, by: byteCount).map { start in
      unsafe bytes.withUnsafeBytes { unsafe HintEntry($0, at: start) }
    }
  }
}
