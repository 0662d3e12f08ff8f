import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Damage that fences a key, not a store")
struct KeyDamageTests {
  private let base: DamagedRig
  private let bits: Int

  init() throws {
    base = try DamagedRig()
    bits = try #require(base.rig.disk.contents(DamagedRig.path)).count * 8
  }

  private func opened() throws -> DamagedRig {
    var copy = base
    try copy.open()
    return copy
  }

  /// Where the only record whose loss a restart would show stands.
  private func overlapping(_ rig: DamagedRig) throws -> Range<Int> {
    let bytes = try #require(rig.rig.disk.contents(DamagedRig.path))
    let salt = rig.rig.store.salt(ofFile: DamagedRig.file)
    var at = FileHeader.byteCount
    while case .whole(let header) = Record.check(bytes, at: at, salt: salt), at < bytes.count {
      if header.isTombstone, header.stamp == stamp(23) { return at..<at + header.byteCount }
      at += header.byteCount
    }
    throw StorageError.missing(path: DamagedRig.path, reason: "no tombstone")
  }

  @Test(
    "every bit of a sealed file: found by scrub, one key at most fenced, repaired, merged away, clean", arguments: 0..<8
  )
  func everyBitScrubbed(part: Int) throws {
    let keepsTombstone = try overlapping(opened())
    #expect(bits > 3000)
    for bit in stride(from: part, to: bits, by: 8) {
      let label = "bit \(bit)"
      var copy = try opened()
      copy.flip(bit)
      let found = try copy.rig.scrub()
      #expect(found.count == 1 && copy.notes.map(\.note) == found, "\(label)")
      let note = try #require(found.first)
      #expect((note.offset..<note.offset + note.byteCount).contains(UInt64(bit / 8)), "\(label)")
      #expect(!copy.isFenced, "\(label)")
      let fenced = copy.notes.filter { $0.state == .fencing }.compactMap(\.note.record?.hash)
      let damaged = try copy.damagedKeys(label)
      #expect(damaged.map { copy.rig.hash(Array($0.utf8)) } == fenced, "\(label)")
      for key in damaged {
        #expect(throws: note.error) { try copy.rig.put(key, "pushed", at: 99) }
        #expect(throws: note.error) { try copy.page() }
      }
      #expect(try copy.rig.scrub() == [], "\(label): found twice")
      // With the damage unrepaired the file is not merged.
      if !fenced.isEmpty {
        try copy.mergeDamage()
        #expect(copy.rig.disk.contents(DamagedRig.path) != nil && !copy.isFenced, "\(label)")
      }
      try copy.repairAll(label)
      #expect(try copy.damagedKeys(label) == [], "\(label), repaired")
      try copy.mergeDamage()
      if keepsTombstone.contains(bit / 8) {
        #expect(copy.isFenced, "\(label): a tombstone went that covers an older value")
      } else {
        try copy.expectWhole(label)
      }
    }
  }

  /// Scrub has been through every bit, above.
  @Test(
    "three bits of every byte of a sealed file: the key that is read is damaged, never absent, never wrong",
    arguments: 0..<3)
  func everyByteRead(part: Int) throws {
    var hits = 0
    for byte in 0..<bits / 8 {
      let bit = byte * 8 + (byte + 3 * part) % 8
      var copy = try opened()
      copy.rig.disk.wouldBlockChance = (byte + part) % 2 == 0 ? 0 : 1000
      copy.flip(bit)
      let damaged = try copy.damagedKeys("bit \(bit)")
      #expect(damaged.count <= 1 && !copy.isFenced, "bit \(bit)")
      #expect(copy.notes.count == damaged.count && copy.notes.allSatisfy { $0.state == .fencing })
      hits += damaged.count
      try copy.repairAll("bit \(bit)")
      #expect(try copy.damagedKeys("bit \(bit)") == [])
    }
    #expect(hits > 100)
  }

  @Test("a page of keys and a merge that come by a flipped bit fence its key alone")
  func foundElsewhere() throws {
    for bit in stride(from: 64 * 8, to: bits, by: 41) {
      var copy = try opened()
      copy.flip(bit)
      do throws(StorageError) {
        _ = try copy.page()
        #expect(copy.notes.isEmpty)
      } catch {
        #expect(copy.notes.map(\.note.error) == [error] && !copy.isFenced, "bit \(bit)")
      }
      copy = try opened()
      copy.flip(bit)
      copy.rig.beginMerge([DamagedRig.file])
      _ = try copy.rig.slice(100_000)
      #expect(copy.notes.count == 1 && !copy.isFenced, "bit \(bit)")
      #expect(copy.rig.engine.merge.store == nil)
    }
  }

  @Test("two flipped bits: two notes, both repaired, one merge")
  func two() throws {
    var generator = SeededGenerator(seed: 5)
    let keepsTombstone = try overlapping(opened())
    for _ in 0..<150 {
      let hit = [64 * 8 + generator.below(bits - 64 * 8), 64 * 8 + generator.below(bits - 64 * 8)]
      guard !hit.contains(where: { keepsTombstone.contains($0 / 8) }), hit[0] != hit[1] else { continue }
      var copy = try opened()
      for bit in hit { copy.flip(bit) }
      let found = try copy.rig.scrub()
      #expect((1...2).contains(found.count) && !copy.isFenced, "bits \(hit)")
      try copy.repairAll("bits \(hit)")
      try copy.mergeDamage()
      try copy.expectWhole("bits \(hit)")
    }
  }

  @Test("a younger file that is not durable yet does not keep a file with damage until the next checkpoint that is due")
  func younger() throws {
    var copy = try opened()
    copy.rig.options.sync = .always
    copy.rig.options.checkpointBytes = 1 << 20
    copy.rig.options.fileBytesMax = 100
    try copy.rig.reopen()
    try copy.flipRecord(25)
    #expect(try copy.rig.scrub().count == 1)
    try copy.repairAll("younger")
    for _ in 0..<20 { try copy.rig.work() }
    for index in 3..<6 { try copy.put(index, "younger", at: 40) }
    try copy.rig.engine.flush(on: &copy.rig.disk)
    #expect(copy.rig.store.hasUnsyncedSealed)
    try copy.mergeDamage()
    #expect(copy.notes.isEmpty && copy.rig.disk.contents(DamagedRig.path) == nil)
  }

  @Test("with a flipped bit in the hint as well the store is fenced")
  func hintToo() throws {
    let bytes = try #require(base.rig.disk.contents(DamagedRig.hint))
    for bit in stride(from: 0, to: bytes.count * 8, by: 3) {
      var copy = try opened()
      copy.flip(80 * 8)
      copy.flip(bit, in: DamagedRig.hint)
      #expect(try copy.rig.scrub() == [], "bit \(bit)")
      #expect(copy.isFenced && copy.notes.isEmpty, "bit \(bit)")
    }
  }

  @Test("without a hint, and in a file that still takes records, damage fences the store")
  func noHint() throws {
    var copy = try opened()
    copy.flip(80 * 8)
    try copy.rig.disk.unlink(DamagedRig.hint)
    #expect(try copy.rig.scrub() == [])
    #expect(copy.isFenced)
    copy = try opened()
    copy.flip(80 * 8, in: "/data/stores/p000-n3/000003.data")
    #expect(try copy.rig.scrub() == [])
    #expect(!copy.isFenced, "what is not sealed is not scrubbed")
    #expect(throws: StorageError.self) { try copy.rig.get(DamagedRig.keys[5]) }
    #expect(copy.isFenced)
  }

  @Test("bytes that the device refuses fence the store, as ever")
  func refused() throws {
    var copy = try opened()
    guard case .read(let read) = try copy.rig.engine.scrubNext(on: &copy.rig.disk) else { throw CancellationError() }
    #expect(copy.rig.engine.readFailed(read, .io(.read, path: "x", errno: 5)) == copy.rig.store.id)
    copy.rig.engine.scrubReadFailed()
    #expect(copy.isFenced && copy.notes.isEmpty)
    #expect(try copy.rig.scrub() == [])
  }

  @Test("so many damages are noted, and one more fences the store", arguments: [0, 1])
  func bound(more: Int) throws {
    var rig = try Rig.active(sync: .never)
    let count = DamageNotes.countMax + more
    for key in Rig.keys[..<count] { _ = try rig.put(key, "v", at: 10) }
    try rig.endFile()
    _ = try rig.put(Rig.keys[999], "active", at: 11)
    let path = "/data/stores/p000-n3/000001.data"
    let bytes = try #require(rig.disk.contents(path))
    var at = FileHeader.byteCount
    while case .whole(let header) = Record.check(bytes, at: at, salt: nil) {
      rig.disk.flipBit(0, ofByte: at + 20, in: path)
      at += header.byteCount
    }
    try rig.scrub()
    #expect((rig.engine.role(rig.store.id) == .fenced) == (more > 0))
    #expect(rig.engine.damages(rig.store.id).count == DamageNotes.countMax)
    #expect(rig.engine.fencingDamages.count == (more > 0 ? 0 : DamageNotes.countMax))
  }
}

extension DamagedRig {
  mutating func page() throws(StorageError) -> KeyPage? {
    var warm: WarmBytes?
    while true {
      switch try rig.engine.keys(in: rig.store.id, from: 0, matching: KeyPattern([]), warm: warm, on: &rig.disk) {
      case .page(let page): return page
      case .cold(let read): warm = try rig.perform(read)
      }
    }
  }
}
