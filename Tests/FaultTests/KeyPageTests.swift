import Causality
import Primitives
import Simulation
import Storage
import Testing

// Pages of keys against a dictionary: whatever the order of writes, the sizes and the hashes, every key of the store is
// on exactly one page, with its newest stamp.

extension Rig {
  /// All entries of one store, page by page, performing cold reads as they are asked for.
  mutating func keys(of store: StoreID, matching pattern: KeyPattern = KeyPattern([])) throws -> [ListedKey] {
    var entries: [ListedKey] = []
    var from: UInt64? = 0
    while let hash = from {
      let page = try self.page(of: store, from: hash, matching: pattern)
      var offset = 0
      while let entry = page.entry(at: offset) {
        entries.append(ListedKey(key: Array(page.bytes[entry.key]), stamp: entry.stamp, isDead: entry.isTombstone))
        offset = entry.key.upperBound
      }
      #expect(offset == page.bytes.count)
      #expect(page.next.map { $0 > hash } ?? true)
      #expect(KeyPage(decoding: page.bytes, next: page.next, floor: page.floor) == page)
      from = page.next
    }
    return entries
  }

  mutating func page(of store: StoreID, from hash: UInt64, matching pattern: KeyPattern) throws -> KeyPage {
    var warm: WarmBytes?
    while true {
      switch try engine.keys(in: store, from: hash, matching: pattern, warm: warm, on: &disk) {
      case .page(let page): return page
      case .cold(let read):
        guard case .bytes(let bytes) = try disk.read(read.file, at: read.offset, count: read.count, mayBlock: true)
        else { continue }
        warm = WarmBytes(read: read, bytes: bytes)
      }
    }
  }
}

struct ListedKey: Hashable {
  let key: [UInt8]
  let stamp: Stamp
  let isDead: Bool
}

@Suite("Key pages")
struct KeyPageTests {
  /// Masks: none; few distinct hashes; one hash for all keys of a partition.
  @Test(
    "every key stands on exactly one page, with its newest stamp",
    arguments: UInt64(0)..<6, [UInt64.max, 0x8000_0000_0000_00FF, 0x8000_0000_0000_0000])
  func model(seed: UInt64, mask: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var rig = try Rig(seed: seed, fileBytesMax: 64 << 10, mask: mask)
    var model: [[UInt8]: ListedKey] = [:]
    let keys = mask == .max ? 3000 : 120
    for number in 0..<keys * 2 {
      let key = Array("k\(generator.below(keys))".utf8)
      let isDead = generator.chance(1, in: 5)
      let long = generator.chance(1, in: 50) ? 5000 : 40
      let time = stamp(UInt64(number) + 1)
      let value = [UInt8](repeating: UInt8(number & 0xFF), count: isDead ? 0 : generator.below(long))
      _ = try rig.apply(StoredVersion(stamp: time, isTombstone: isDead, value: value), key: key)
      model[key] = ListedKey(key: key, stamp: time, isDead: isDead)
      if generator.chance(1, in: 40) { try rig.engine.flush(on: &rig.disk) }
    }
    rig.disk.wouldBlockChance = generator.pick([0, 100, 900])
    var found: [ListedKey] = []
    for seed in Rig.seeds {
      let entries = try rig.keys(of: seed.id)
      let hashes = entries.map { rig.hash($0.key) }
      #expect(hashes == hashes.sorted())
      found += entries
    }
    #expect(found.count == model.count)
    #expect(Set(found) == Set(model.values))
  }

  @Test("a pattern lets through what has its bytes in their places, and nothing else")
  func patterns() throws {
    var rig = try Rig(seed: 1)
    for key in ["ab1", "ab2", "xb3", "a", "ac4", "ab"] { _ = try rig.put(key, "v", at: 5) }
    let pattern = KeyPattern([
      KeyPattern.Part(offset: 0, bytes: Array("a".utf8)), KeyPattern.Part(offset: 1, bytes: Array("b".utf8)),
    ])
    let found = try Rig.seeds.flatMap { try rig.keys(of: $0.id, matching: pattern) }
    #expect(Set(found.map { String(decoding: $0.key, as: UTF8.self) }) == ["ab1", "ab2", "ab"])
  }

  @Test("a page ends at its bound of bytes, and goes on where it ended")
  func pageBytes() throws {
    var rig = try Rig(seed: 1)
    for number in 0..<100 {
      let key = Array("\(number)".utf8) + [UInt8](repeating: 120, count: 2000)
      _ = try rig.apply(StoredVersion(stamp: stamp(5), isTombstone: false, value: []), key: key)
    }
    let first = try rig.page(of: Rig.seeds[0].id, from: 0, matching: KeyPattern([]))
    #expect(first.bytes.count >= KeyPage.bytesMax && first.bytes.count < KeyPage.bytesMax + 2100)
    #expect(first.next != nil)
    #expect(try Rig.seeds.map { try rig.keys(of: $0.id).count }.reduce(0, +) == 100)
  }

  @Test("a key whose record does not read back is damage, never left out", arguments: [40, 6000, 100_000])
  func damage(valueBytes: Int) throws {
    var rig = try Rig(seed: 1, sync: .never)
    let value = [UInt8](repeating: 7, count: valueBytes)
    _ = try rig.apply(StoredVersion(stamp: stamp(5), isTombstone: false, value: value), key: Array("apple".utf8))
    try rig.engine.flush(on: &rig.disk)
    let store = rig.store(of: Array("apple".utf8))
    #expect(try rig.keys(of: store).count == 1)
    let path = try #require(rig.disk.paths.first { $0.contains("\(store)") && $0.hasSuffix("000001.data") })
    var bytes = try #require(rig.disk.contents(path))
    let at = try #require(bytes.firstIndex(of: UInt8(ascii: "a")).flatMap { _ in position(of: "apple", in: bytes) })
    bytes[at] ^= 1
    rig.disk.overwrite(path, with: bytes)
    #expect(throws: StorageError.self) { try rig.keys(of: store) }
    #expect(rig.engine.role(store) == .fenced)
    #expect(throws: StorageError.self) { try rig.keys(of: store) }
  }

  private func position(of word: String, in bytes: [UInt8]) -> Int? {
    let word = Array(word.utf8)
    return bytes.indices.first { bytes[$0...].starts(with: word) }
  }

  @Test("bytes that are no page are refused", arguments: UInt64(0)..<200)
  func decoding(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    for hash in [UInt64(5), 9, 9] {
      bytes.appendLittleEndian(hash)
      stamp(3).append(to: &bytes)
      bytes.append(0)
      bytes.appendLittleEndian(UInt32(4))
      bytes += [1, 2, 3, 4]
    }
    #expect(KeyPage(decoding: bytes, next: 10) != nil)
    #expect(KeyPage(decoding: bytes, next: 9) == nil)
    #expect(KeyPage(decoding: Array(bytes.dropLast()), next: 10) == nil)
    let at = generator.below(bytes.count)
    bytes[at] = UInt8(truncatingIfNeeded: generator.next())
    guard let page = KeyPage(decoding: bytes, next: nil) else { return }
    var offset = 0
    var last: UInt64 = 0
    while let entry = page.entry(at: offset) {
      #expect(entry.hash >= last && entry.key.upperBound <= bytes.count)
      last = entry.hash
      offset = entry.key.upperBound
    }
    #expect(offset == bytes.count)
  }
}
