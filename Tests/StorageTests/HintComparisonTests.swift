import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("A hint compared with its data file, a stretch at a time")
struct HintComparisonTests {
  private static let data = "/data/stores/p000-n3/000001.data"
  private static let hint = "/data/stores/p000-n3/000001.hint"

  /// One data file with a hint: many keys, superseded versions, tombstones; with few bits in the mask, equal hashes.
  private func filled(seed: UInt64, mask: UInt64) throws -> Rig {
    var generator = SeededGenerator(seed: seed)
    var rig = try Rig(seed: seed, sync: .never, mask: mask)
    for time in 0..<150 {
      let key = "key-\(generator.below(40))"
      let at = UInt64(100 + time)
      _ = generator.chance(1, in: 4) ? try rig.delete(key, at: at) : try rig.put(key, "v\(time)", at: at)
    }
    try rig.shutdown()
    return rig
  }

  /// What a comparison in stretches of so many entries says.
  private func difference(_ rig: Rig, stretch: Int) throws -> String? {
    var disk = rig.disk
    disk.killProcess()
    let hint = try disk.open(Self.hint, .read)
    let data = try disk.open(Self.data, .read)
    guard case .bytes(let head) = try disk.read(hint, at: 0, count: HintHeader.byteCount, mayBlock: true) else {
      return nil
    }
    let header = try #require(HintHeader(decoding: head))
    var comparison = HintComparison(header, stretchEntriesMax: stretch)
    var rounds = 0
    while !comparison.isDone {
      try comparison.begin(hint, on: &disk)
      var scan = DataScan(
        data, from: UInt64(FileHeader.byteCount), to: header.dataLength, salt: header.dataSalt,
        hash: rig.options.hash)
      while try scan.next(on: &disk) {
        for record in scan.records { try comparison.note(record, of: scan, data: data, on: &disk) }
      }
      try comparison.finish(data, on: &disk)
      rounds += 1
      #expect(rounds <= Int(header.count) + 1, "as many stretches as entries, at most")
    }
    return comparison.difference
  }

  @Test("a true hint has no difference, whatever the length of a stretch", arguments: UInt64(0)..<6)
  func same(seed: UInt64) throws {
    let rig = try filled(seed: seed, mask: [.max, 0x7000_0000_0000_0000, 0][Int(seed % 3)])
    for stretch in [1, 2, 3, 7, 39, 40, 1000] { #expect(try difference(rig, stretch: stretch) == nil) }
  }

  @Test("a changed, doubled or missing entry is a difference in stretches of any length", arguments: UInt64(0)..<6)
  func different(seed: UInt64) throws {
    let rig = try filled(seed: seed, mask: [.max, 0x7000_0000_0000_0000, 0][Int(seed % 3)])
    let whole = try #require(rig.disk.contents(Self.hint))
    let count = Int(try #require(HintHeader(decoding: Array(whole[..<HintHeader.byteCount]))).count)
    #expect(count > 5)
    for index in 0..<count {
      let start = HintHeader.byteCount + index * HintEntry.byteCount
      var changed = whole
      changed[start + 8 + index % 20] ^= 0x10
      var missing = whole
      missing.removeSubrange(start..<start + HintEntry.byteCount)
      var doubled = whole
      doubled.insert(contentsOf: whole[start..<start + HintEntry.byteCount], at: start)
      for (bytes, entries) in [(changed, count), (missing, count - 1), (doubled, count + 1)] {
        var bytes = bytes
        bytes.setLittleEndian(UInt64(entries), at: 96)
        bytes.setLittleEndian(crc32c(bytes, 0..<108), at: 108)
        var copy = rig
        copy.disk.overwrite(Self.hint, with: bytes)
        for stretch in [1, 3, 1000] {
          #expect(try difference(copy, stretch: stretch) != nil, "entry \(index) of \(entries), stretch \(stretch)")
        }
      }
    }
  }

  @Test("a key with more superseded versions than the comparison keeps is compared all the same")
  func superseded() throws {
    var rig = try Rig(seed: 1, sync: .never)
    let key = try #require((0..<40).map { "k\($0)" }.first { rig.store(of: Array($0.utf8)).partition == 0 })
    for time in 0..<10_000 { _ = try rig.put(key, "v", at: UInt64(10 + time)) }
    try rig.shutdown()
    #expect(try difference(rig, stretch: 1000) == nil)
  }
}
