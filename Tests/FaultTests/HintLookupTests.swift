import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Asking a hint whether its file may hold a key")
struct HintLookupTests {
  /// A disk with the hint of a data file that has a record for every one of these hashes, and that file's facts.
  private static func disk(_ hashes: [UInt64]) throws -> (SimulatedDisk, DataFile) {
    var disk = SimulatedDisk(seed: 1, root: "/d")
    var header = HintHeader()
    header.dataSalt = 77
    header.dataLength = 64 + UInt64(hashes.count) * 64
    header.hashProbe = options.hash([])
    let entries = hashes.sorted().enumerated().map { number, hash in
      HintEntry(
        hash: hash, offset: UInt64(64 + number * 64), byteCount: 64, stamp: stamp(UInt64(number + 1)),
        isTombstone: false,
        tsn: 0)
    }
    for entry in entries { header.note(entry) }
    header.count = UInt64(entries.count)
    let file = try disk.open("/d/hint", .create)
    try disk.append(HintFile.encoded(entries, header), to: file)
    disk.close(file)
    var data = DataFile(
      id: 1, handle: nil, path: "/d/data", salt: 77, length: header.dataLength, flushedLength: header.dataLength,
      syncedLength: header.dataLength, isNamed: true, isSealed: true)
    data.hintLength = data.length
    return (disk, data)
  }

  private static let options = EngineOptions(
    clusterID: Identity128(high: 1, low: 2), nodeID: NodeID(1), hash: RingHash(seed: 42), ringBits: 1)

  /// Nil: it is no hint of this file. Counts the reads that were asked for.
  private static func mayHold(
    _ hash: UInt64, _ disk: inout SimulatedDisk, _ data: DataFile, reads: inout Int
  ) throws -> Bool? {
    let file = try disk.open("/d/hint", .read)
    defer { disk.close(file) }
    guard let lookup = try HintLookup(file, of: data, options: options, on: &disk) else { return nil }
    let before = disk.operationCount
    defer { reads = disk.operationCount - before }
    var warm: WarmBytes?
    while true {
      switch try lookup.ask(hash, warm: warm, on: &disk) {
      case .mayHold: return true
      case .cannotHold: return false
      case .cold(let read):
        guard case .bytes(let bytes) = try disk.read(read.file, at: read.offset, count: read.count, mayBlock: true)
        else {
          continue
        }
        warm = WarmBytes(read: read, bytes: bytes)
      }
    }
  }

  @Test(
    "the answer is that of the sorted hashes, at every length around the borders of blocks",
    arguments: [0, 1, 2, 101, 102, 103, 203, 204, 205, 1000, 5000])
  func matchesModel(count: Int) throws {
    for seed in UInt64(0)..<6 {
      var generator = SeededGenerator(seed: seed)
      // Spread evenly as the hashes of a partition are; or bunched; or mostly equal, over the borders of blocks.
      let hashes = (0..<count).map { _ -> UInt64 in
        switch seed % 3 {
        case 0: generator.next() >> 1
        case 1: UInt64(1) << 62 | UInt64(generator.below(3 * count))
        default: UInt64(generator.below(4)) << 60 | UInt64(generator.below(2))
        }
      }
      var (disk, data) = try HintLookupTests.disk(hashes)
      disk.wouldBlockChance = seed < 3 ? 0 : 100
      let held = Set(hashes)
      var worst = 0
      for hash in Array(held.prefix(400)) + (0..<200).map({ _ in generator.next() >> 1 })
        + held.prefix(100).flatMap({ [$0 &+ 1, $0 &- 1] }) + [0, .max, .max >> 1]
      {
        var reads = 0
        let answer = try HintLookupTests.mayHold(hash, &disk, data, reads: &reads)
        #expect(answer == held.contains(hash), "\(count) hashes, seed \(seed): \(hash)")
        worst = max(worst, reads)
      }
      // Opening it, its header, and of a few blocks the entries and the checksum.
      if seed < 3 { #expect(worst < 40) }
    }
  }

  @Test("whichever bit of a hint is flipped, or wherever it is cut, it never says that a held hash is not held")
  func damaged() throws {
    var generator = SeededGenerator(seed: 5)
    let hashes = (0..<205).map { _ in generator.next() >> 1 }
    let (disk, data) = try HintLookupTests.disk(hashes)
    let sorted = hashes.sorted()
    let asked = [0, 1, 50, 101, 102, 103, 203, 204].map { sorted[$0] }
    let whole = try #require(disk.contents("/d/hint"))
    var reads = 0
    for bit in 0..<whole.count * 8 {
      var copy = disk
      copy.flipBit(bit % 8, ofByte: bit / 8, in: "/d/hint")
      let hash = asked[bit % asked.count]
      #expect(try HintLookupTests.mayHold(hash, &copy, data, reads: &reads) != false, "bit \(bit)")
      // The entry that the flip hits.
      let entry = (bit / 8 - HintHeader.byteCount) / HintEntry.byteCount
      guard bit / 8 >= HintHeader.byteCount, entry < sorted.count, bit % 5 == 0 else { continue }
      #expect(try HintLookupTests.mayHold(sorted[entry], &copy, data, reads: &reads) != false, "bit \(bit)")
    }
    for length in 0..<whole.count {
      var copy = disk
      copy.overwrite("/d/hint", with: Array(whole[..<length]))
      #expect(try HintLookupTests.mayHold(asked[length % asked.count], &copy, data, reads: &reads) != false)
    }
  }

  @Test("a hint of another file, of another length, or of another ring seed is none")
  func stale() throws {
    var (disk, data) = try HintLookupTests.disk([1, 2, 3])
    var reads = 0
    data.length += 8
    #expect(try HintLookupTests.mayHold(9, &disk, data, reads: &reads) == nil)
    (disk, data) = try HintLookupTests.disk([1, 2, 3])
    let other = DataFile(
      id: 1, handle: nil, path: "/d/data", salt: 78, length: data.length, flushedLength: data.length,
      syncedLength: data.length, isNamed: true, isSealed: true)
    #expect(try HintLookupTests.mayHold(9, &disk, other, reads: &reads) == nil)
  }
}

extension HintEntry {
  init(hash: UInt64, offset: UInt64, byteCount: Int, stamp: Stamp, isTombstone: Bool, tsn: UInt64) {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(hash)
    bytes.appendLittleEndian(UInt32(offset >> 3))
    bytes.appendLittleEndian(UInt32(byteCount >> 3))
    stamp.append(to: &bytes)
    bytes.appendLittleEndian(UInt32(isTombstone ? 1 : 0))
    bytes.appendLittleEndian(tsn)
    self = unsafe bytes.withUnsafeBytes { unsafe HintEntry($0, at: 0) }
  }
}

extension HintFile {
  /// The bytes of a hint with these sorted entries, block by block as `HintHeader` describes them.
  static func encoded(_ entries: [HintEntry], _ header: HintHeader) -> [UInt8] {
    var header = header
    var rest: [UInt8] = []
    for entry in entries { entry.append(to: &rest) }
    var table: [UInt8] = []
    for block in 0..<header.blockCount {
      let start = block * HintHeader.blockEntries * HintEntry.byteCount
      let bytes = Array(rest[start..<min(start + HintHeader.blockEntries * HintEntry.byteCount, rest.count)])
      table.appendLittleEndian(unsafe bytes.withUnsafeBytes { unsafe header.blockChecksum($0, block) })
    }
    rest += table
    header.entriesChecksum = unsafe rest.withUnsafeBytes { unsafe crc32c($0, continuing: 0) }
    return header.encoded() + rest
  }
}
