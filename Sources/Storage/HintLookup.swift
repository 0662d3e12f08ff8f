import Primitives

// Whether a data file may hold a key, asked of its hint: the exact check of rule OVERLAP (Docs/Storage.md). The entries
// are sorted by hashes, which are spread evenly, so a guess by proportion comes close and a few blocks are read at
// most. Every block is checked before it is believed; a hint that cannot be believed says "may hold".

struct HintLookup {
  enum Answer {
    case cannotHold
    case mayHold
    case cold(ColdRead)
  }

  let file: FileID
  let header: HintHeader
  /// How many top bits all hashes of the store share.
  private let ringBits: Int

  /// Reads the header. Nil when it is not a hint of all of this data file.
  init?<FS: FileSystem & ~Copyable>(
    _ file: FileID, of data: DataFile, options: EngineOptions, on files: inout FS
  ) throws(StorageError) {
    guard case .bytes(let bytes) = try files.read(file, at: 0, count: HintHeader.byteCount, mayBlock: true),
      let header = HintHeader(decoding: bytes), header.dataSalt == data.salt, header.dataLength == data.length,
      header.hashProbe == options.hash([])
    else { return nil }
    self.file = file
    self.header = header
    ringBits = options.ringBits
  }

  /// - Parameter warm: A block that was cold before: nothing else is asked for then, the disk is waited for.
  func ask<FS: FileSystem & ~Copyable>(
    _ hash: UInt64, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> Answer {
    var blocks = 0..<header.blockCount
    let spread = UInt64.max >> UInt64(ringBits)
    var hashes = (low: hash & ~spread, high: hash | spread)
    var isGuess = true
    while !blocks.isEmpty {
      let block = isGuess ? guess(hash, in: blocks, hashes) : blocks.lowerBound + blocks.count / 2
      isGuess.toggle()
      switch try read(block, warm: warm, mayBlock: warm != nil, on: &files) {
      case .cold(let read): return .cold(read)
      case .damaged: return .mayHold
      case .entries(let bytes):
        let (first, last) = HintLookup.bounds(bytes)
        if hash < first {
          blocks = blocks.lowerBound..<block
          hashes.high = first
        } else if hash > last {
          blocks = block + 1..<blocks.upperBound
          hashes.low = last
        } else {
          return HintLookup.contains(hash, bytes) ? .mayHold : .cannotHold
        }
      }
    }
    return .cannotHold
  }

  /// Where the hash stands if hashes are spread evenly.
  private func guess(_ hash: UInt64, in blocks: Range<Int>, _ hashes: (low: UInt64, high: UInt64)) -> Int {
    let share = Double(hash - hashes.low) / max(1, Double(hashes.high - hashes.low))
    return blocks.lowerBound + min(blocks.count - 1, Int(share * Double(blocks.count)))
  }

  enum Block {
    case entries([UInt8])
    case damaged
    case cold(ColdRead)
  }

  func read<FS: FileSystem & ~Copyable>(
    _ block: Int, warm: WarmBytes?, mayBlock: Bool = false, on files: inout FS
  ) throws(StorageError) -> Block {
    let start = block * HintHeader.blockEntries
    let entries = min(HintHeader.blockEntries, Int(header.count) - start)
    let offset = UInt64(HintHeader.byteCount + start * HintEntry.byteCount)
    let bytes: [UInt8]
    switch try read(at: offset, count: entries * HintEntry.byteCount, warm: warm, mayBlock: mayBlock, on: &files) {
    case .bytes(let read): bytes = read
    case .cold(let read): return .cold(read)
    }
    let table = UInt64(HintHeader.byteCount) + header.count * UInt64(HintEntry.byteCount)
    switch try read(at: table + UInt64(block) * 4, count: 4, warm: warm, mayBlock: mayBlock, on: &files) {
    case .cold(let read): return .cold(read)
    case .bytes(let stated):
      let checksum = unsafe bytes.withUnsafeBytes { unsafe header.blockChecksum($0, block) }
      guard bytes.count == entries * HintEntry.byteCount, stated.littleEndian(UInt32.self, at: 0) == checksum else {
        return .damaged
      }
      return .entries(bytes)
    }
  }

  private func read<FS: FileSystem & ~Copyable>(
    at offset: UInt64, count: Int, warm: WarmBytes?, mayBlock: Bool, on files: inout FS
  ) throws(StorageError) -> Bitcask.Fetched {
    let request = ColdRead(file: file, offset: offset, count: count)
    if let warm, warm.read == request { return .bytes(warm.bytes) }
    switch try files.read(file, at: offset, count: count, mayBlock: mayBlock) {
    case .bytes(let bytes): return .bytes(bytes)
    case .wouldBlock: return .cold(request)
    }
  }

  private static func hash(_ bytes: [UInt8], _ index: Int) -> UInt64 {
    bytes.littleEndian(UInt64.self, at: index * HintEntry.byteCount) ?? 0
  }

  private static func bounds(_ bytes: [UInt8]) -> (UInt64, UInt64) {
    (hash(bytes, 0), hash(bytes, bytes.count / HintEntry.byteCount - 1))
  }

  private static func contains(_ wanted: UInt64, _ bytes: [UInt8]) -> Bool {
    var range = 0..<bytes.count / HintEntry.byteCount
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      let found = hash(bytes, middle)
      if found == wanted { return true }
      range = found < wanted ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return false
  }
}
