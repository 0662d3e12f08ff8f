import Primitives
import Storage
import Testing

@Suite("Keydir")
struct KeydirTests {
  private func location(_ number: Int, tombstone: Bool = false) -> Location {
    Location(
      file: number >> 20, offset: UInt64(number & 0xF_FFFF) * 8 + 64, byteCount: 128, isTombstone: tombstone,
      digest: UInt16(number & 0x1FF))
  }

  @Test("a location keeps what it was made of, and saturates at its longest length")
  func locations() {
    let plain = Location(file: 16383, offset: 0xFFF_FFFF << 3, byteCount: 4094 * 8, isTombstone: true, digest: 511)
    #expect(plain.file == 16383 && plain.offset == 0xFFF_FFFF << 3 && plain.byteCount == 4094 * 8)
    #expect(plain.isTombstone && !plain.isSaturated && plain.digest == 511)
    let long = Location(file: 0, offset: 64, byteCount: 1 << 27, isTombstone: false, digest: 0)
    #expect(long.isSaturated && long.byteCount == 4095 * 8 && !long.isTombstone && long.digest == 0)
  }

  /// Masks: none; few distinct hashes; few distinct top bits; one hash for all.
  @Test(
    "it agrees with a dictionary through inserts, replacements and removals",
    arguments: UInt64(0)..<4, [UInt64.max, 0xFFF, 0xFF00_0000_0000_000F, 0])
  func model(seed: UInt64, mask: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let keydir = Keydir(ringBits: 6)
    var model: [UInt64: [UInt64]] = [:]
    var hashes: [UInt64] = []
    let steps = mask == .max ? 12_000 : 1500
    for step in 0..<steps {
      let isRemoval = !hashes.isEmpty && generator.chance(step > steps / 2 ? 6 : 3, in: 10)
      if isRemoval {
        let hash = hashes.remove(at: generator.below(hashes.count))
        guard let position = keydir.first(hash) else {
          Issue.record("lost \(hash)")
          return
        }
        let removed = keydir.location(at: position).rawValue
        keydir.remove(at: position)
        guard let index = model[hash]?.firstIndex(of: removed) else {
          Issue.record("removed what was not there")
          return
        }
        model[hash]?.remove(at: index)
      } else {
        let hash = (generator.next() & mask) >> 6 | 5 << 58
        keydir.insert(hash, location(step))
        model[hash, default: []].append(location(step).rawValue)
        hashes.append(hash)
      }
      if step % 500 == 0 { #expect(keydir.defect() == nil) }
    }
    #expect(keydir.count == hashes.count)
    #expect(keydir.defect() == nil)
    for (hash, locations) in model.sorted(by: { $0.key < $1.key }) {
      #expect(found(hash, in: keydir).sorted() == locations.sorted())
    }
    #expect(found(12345, in: keydir).isEmpty)
  }

  private func found(_ hash: UInt64, in keydir: Keydir) -> [UInt64] {
    var found: [UInt64] = []
    var position = keydir.first(hash)
    while let candidate = position {
      found.append(keydir.location(at: candidate).rawValue)
      position = keydir.next(after: candidate, hash)
    }
    return found
  }

  @Test("iteration meets every slot once, ascending by hash")
  func order() {
    var generator = SeededGenerator(seed: 4)
    let keydir = Keydir(ringBits: 6)
    var inserted: [UInt64] = []
    for number in 0..<20_000 {
      let hash = generator.next() >> 6 | 9 << 58
      inserted.append(hash)
      keydir.insert(hash, location(number))
    }
    var seen: [UInt64] = []
    keydir.visitAll { hash, _ in seen.append(hash) }
    #expect(seen == inserted.sorted())
  }

  @Test("a rebuild changes the room, not the contents", arguments: [0, 1, 100, 5000, 60_000])
  func rebuild(expected: Int) {
    var generator = SeededGenerator(seed: 6)
    let keydir = Keydir(ringBits: 6)
    for number in 0..<3000 { keydir.insert(generator.next() >> 6, location(number)) }
    var before: [UInt64] = []
    keydir.visitAll { hash, location in before += [hash, location.rawValue] }
    keydir.rebuild(for: expected)
    var after: [UInt64] = []
    keydir.visitAll { hash, location in after += [hash, location.rawValue] }
    #expect(before == after)
    #expect(keydir.defect() == nil)
    #expect(keydir.isSparse == (expected == 60_000))
    for number in 0..<60_000 { keydir.insert(UInt64(number) << 42, location(number)) }
    #expect(keydir.defect() == nil)
  }

  @Test("a replaced slot keeps its place")
  func replacement() throws {
    let keydir = Keydir(ringBits: 0)
    keydir.insert(77, location(1))
    keydir.insert(77, location(2))
    let position = try #require(keydir.first(77))
    keydir.replace(at: position, with: location(3, tombstone: true))
    #expect(keydir.location(at: position).isTombstone)
    #expect(keydir.count == 2)
  }

  @Test("an empty keydir costs nothing, a full one at most 28 bytes per key")
  func memory() {
    #expect(Keydir(ringBits: 6).byteCount == 0)
    var generator = SeededGenerator(seed: 5)
    let keydir = Keydir(ringBits: 6)
    for number in 0..<100_000 { keydir.insert(generator.next() >> 6, location(number)) }
    #expect(keydir.byteCount <= 28 * 100_000)
  }
}
