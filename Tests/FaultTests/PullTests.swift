import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// What one owner of a store tells another who asks, and what may become of the answer.

extension Rig {
  mutating func versions(of key: String, above: Stamp = .zero) throws(StorageError) -> [PulledRecord] {
    let key = Array(key.utf8)
    var warm: WarmBytes?
    while true {
      switch try engine.versions(
        ofHash: hash(key), above: above, in: store(of: key), warm: warm, on: &disk)
      {
      case .records(let records): return records
      case .cold(let read): warm = try perform(read)
      }
    }
  }

  mutating func ownStamp(of key: String) throws(StorageError) -> Stamp? {
    let key = Array(key.utf8)
    var warm: WarmBytes?
    while true {
      switch try engine.stamp(ofHash: hash(key), in: store(of: key), warm: warm, on: &disk) {
      case .stamp(let stamp): return stamp
      case .cold(let read): warm = try perform(read)
      }
    }
  }

  /// The records of a segment, page by page.
  mutating func recordPages(
    of store: StoreID, segment: Int, bytesMax: Int
  ) throws(StorageError) -> [[PulledRecord]] {
    var pages: [[PulledRecord]] = []
    var from: UInt64? = 0
    var warm: WarmBytes?
    while let hash = from {
      switch try engine.recordPage(
        in: store, segment: segment, from: hash, bytesMax: bytesMax, warm: warm, on: &disk)
      {
      case .page(let page, let next):
        pages.append(page)
        #expect(next.map { $0 > hash } ?? true)
        from = next
        warm = nil
      case .cold(let read): warm = try perform(read)
      }
    }
    return pages
  }

  /// A version below the floor of its store, pulled or pushed.
  func old(_ time: UInt64, _ value: String = "old") -> StoredVersion {
    StoredVersion(stamp: FaultTests.stamp(time), isTombstone: false, value: Array(value.utf8))
  }
}

@Suite("Pulls")
struct PullTests {
  /// Masks: none; few distinct hashes; one hash for all keys of a partition.
  @Test(
    "every record stands on exactly one page, tombstones too, in the order of hashes",
    arguments: UInt64(0)..<6, [UInt64.max, 0xFC00_0000_0000_0001, 0x8000_0000_0000_0000])
  func pages(seed: UInt64, mask: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var rig = try Rig(seed: seed, fileBytesMax: 64 << 10, mask: mask)
    var model: [[UInt8]: StoredVersion] = [:]
    let keys = mask == .max ? 400 : 60
    for number in 0..<keys * 2 {
      let key = Array("k\(generator.below(keys))".utf8)
      let isDead = generator.chance(1, in: 4)
      let count = generator.below(generator.chance(1, in: 40) ? 50_000 : 90)
      let version = StoredVersion(
        stamp: stamp(UInt64(number) + 1), isTombstone: isDead, value: isDead ? [] : Array(repeating: 7, count: count))
      _ = try rig.apply(version, key: key)
      model[key] = version
      if generator.chance(1, in: 40) { try rig.engine.flush(on: &rig.disk) }
    }
    rig.disk.wouldBlockChance = [0, 100, 900][Int(seed % 3)]
    let bytesMax = generator.pick([1, 200, 2000, 64 << 10])
    var found: [[UInt8]: StoredVersion] = [:]
    for store in Rig.seeds {
      for segment in 0..<HashTree.segmentCount {
        var hashes: [UInt64] = []
        for page in try rig.recordPages(of: store.id, segment: segment, bytesMax: bytesMax) {
          let distinct = Set(page.map { rig.hash($0.key) })
          let bytes = page.reduce(0) {
            $0
              + RecordHeader.byteCount(
                keyLength: $1.key.count, valueLength: $1.version.value.count, isTombstone: $1.version.isTombstone)
          }
          #expect(distinct.count <= 1 || bytes <= bytesMax)
          #expect(distinct.isDisjoint(with: hashes), "a hash on two pages")
          for record in page {
            #expect(rig.store(of: record.key) == store.id && Int(rig.hash(record.key) >> 58 & 31) == segment)
            #expect(found.updateValue(record.version, forKey: record.key) == nil)
          }
          hashes += page.map { rig.hash($0.key) }
        }
        #expect(hashes == hashes.sorted())
      }
    }
    #expect(found == model)
  }

  @Test("all keys with one hash are told, those above the stamp", arguments: [0, 700])
  func collisions(wouldBlockChance: Int) throws {
    var rig = try Rig(seed: 1, mask: 0x8000_0000_0000_0000)
    let keys = (0..<40).map { "key \($0)" }.filter { rig.store(of: Array($0.utf8)) == Rig.seeds[0].id }
    for (number, key) in keys.enumerated() {
      if number % 3 == 0 {
        _ = try rig.delete(key, at: UInt64(number) + 10)
      } else {
        _ = try rig.put(key, String(repeating: "v", count: number * 4000), at: UInt64(number) + 10)
      }
    }
    try rig.engine.flush(on: &rig.disk)
    rig.disk.wouldBlockChance = wouldBlockChance
    let all = try rig.versions(of: keys[0])
    #expect(Set(all.map { String(decoding: $0.key, as: UTF8.self) }) == Set(keys) && all.count == keys.count)
    #expect(all.filter { $0.version.isTombstone }.count == (keys.count + 2) / 3)
    let newest = try rig.versions(of: keys[0], above: stamp(UInt64(keys.count) + 7))
    #expect(newest.map(\.version.stamp).sorted() == [stamp(UInt64(keys.count) + 8), stamp(UInt64(keys.count) + 9)])
    #expect(try rig.versions(of: keys[0], above: stamp(1000)).isEmpty)
    // What is above the lowest is all that can be new.
    #expect(try rig.ownStamp(of: keys[3]) == stamp(10))
  }

  @Test("of a key that is not there, there is neither a version nor a stamp")
  func absent() throws {
    var rig = try Rig(seed: 1)
    #expect(try rig.versions(of: "apple").isEmpty && rig.ownStamp(of: "apple") == nil)
    #expect(try rig.recordPages(of: Rig.seeds[0].id, segment: 31, bytesMax: 100) == [[]])
    // A place behind the segment that somebody names is its end.
    let outcome = try rig.engine.recordPage(
      in: Rig.seeds[0].id, segment: 3, from: .max, bytesMax: 100, warm: nil, on: &rig.disk)
    #expect(outcome == .page([], next: nil))
  }

  @Test(
    "a record that does not read back is damage, and none of it is told", arguments: [40, 6000, 100_000], 0..<3)
  func damage(valueBytes: Int, question: Int) throws {
    var rig = try Rig(seed: 1, sync: .never)
    _ = try rig.put("apple", String(repeating: "v", count: valueBytes), at: 5)
    try rig.engine.flush(on: &rig.disk)
    let id = rig.store(of: Array("apple".utf8))
    let path = StorePath.data(StorePath.store(Rig.root, id), 1)
    // In the time of the stamp.
    rig.disk.flipBit(0, ofByte: FileHeader.byteCount + 16, in: path)
    #expect(throws: StorageError.self) {
      switch question {
      case 0: _ = try rig.versions(of: "apple")
      case 1: _ = try rig.ownStamp(of: "apple")
      default: for segment in 0..<32 { _ = try rig.recordPages(of: id, segment: segment, bytesMax: 100) }
      }
    }
    #expect(rig.engine.role(id) == .fenced)
    #expect(throws: StorageError.self) { try rig.versions(of: "apple") }
  }
}

@Suite("Rule GUARD")
struct GuardTests {
  private func rig(sync: SyncMode = .always) throws -> Rig { try Rig.active(sync: sync) }

  /// Raises the floor of the store of this key by the purge of another.
  private func purge(_ rig: inout Rig, beside key: String, at time: UInt64) throws {
    let other = try #require(
      (0...).lazy.map { "other \($0)" }.first { rig.store(of: Array($0.utf8)) == rig.store(of: Array(key.utf8)) })
    _ = try rig.delete(other, at: time)
    let outcome = try rig.purge(Array(other.utf8), stamp(time))
    #expect(outcome == .purged)
  }

  @Test("an answer may create what a push may not: a key at or below the floor")
  func creates() throws {
    var rig = try rig()
    try purge(&rig, beside: "apple", at: 10)
    #expect(try rig.apply(rig.old(10), key: Array("apple".utf8)) == .belowFloor(stamp(10)))
    guard case .applied = try rig.pull(rig.old(10), key: Array("apple".utf8)) else {
      Issue.record("not applied")
      return
    }
    #expect(try rig.pull(rig.old(10), key: Array("apple".utf8)) == .equal)
    #expect(try rig.pull(rig.old(9), key: Array("apple".utf8)) == .newer)
    #expect(try rig.get("apple") == .found(rig.old(10)))
  }

  @Test("an answer that is older than the purge of its key is discarded")
  func guarded() throws {
    var rig = try rig()
    let key = Array("apple".utf8)
    let asked = rig.engine.pullGeneration(rig.store(of: key))
    _ = try rig.delete("apple", at: 10)
    #expect(try rig.purge(key, stamp(10)) == .purged)
    #expect(try rig.pull(rig.old(5), key: key, since: asked) == .guarded)
    #expect(try rig.get("apple") == .absent)
    // What is above the floor, or is asked for after the purge, cannot be a copy of what was purged.
    guard case .applied = try rig.pull(rig.old(11), key: key, since: asked) else {
      Issue.record("above the floor")
      return
    }
    _ = try rig.delete("apple", at: 12)
    #expect(try rig.purge(key, stamp(12)) == .purged)
    guard case .applied = try rig.pull(rig.old(6), key: key) else {
      Issue.record("asked for after the purge")
      return
    }
  }

  @Test("a merge that forgets a tombstone moves the guard like a purge")
  func forgottenByMerge() throws {
    var rig = try rig()
    let key = Array("apple".utf8)
    // Something dead, so that the file is merged.
    _ = try rig.put("apple", "v", at: 9)
    _ = try rig.delete("apple", at: 10)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    let asked = rig.engine.pullGeneration(rig.store(of: key))
    try rig.mergeAll(rule: DropAllRule())
    #expect(try rig.get("apple") == .absent)
    #expect(try rig.pull(rig.old(5), key: key, since: asked) == .guarded)
  }

  private struct DropAllRule: MergeRule {
    func verdict(onTombstone stamp: Stamp, isCurrent: Bool, role: StoreRole) -> TombstoneVerdict { .drop }
  }

  @Test("purges of other keys stand in no answer's way, as long as they are remembered")
  func otherKeys() throws {
    var rig = try rig(sync: .never)
    let key = Array("apple".utf8)
    let asked = rig.engine.pullGeneration(rig.store(of: key))
    for time in UInt64(1)...UInt64(PurgeRing.countMax) { try purge(&rig, beside: "apple", at: time) }
    var copy = rig.old(3)
    guard case .applied = try rig.pull(copy, key: key, since: asked) else {
      Issue.record("nothing of this key was purged")
      return
    }
    try purge(&rig, beside: "apple", at: 5000)
    copy = rig.old(3)
    let unseen = try #require(
      (0...).lazy.map { Array("unseen \($0)".utf8) }.first { rig.store(of: $0) == rig.store(of: key) })
    #expect(try rig.pull(copy, key: unseen, since: asked) == .guarded)
  }

  @Test("an answer to an earlier life of the store creates nothing below the floor")
  func earlierLife() throws {
    var rig = try rig()
    let key = Array("apple".utf8)
    let id = rig.store(of: key)
    let asked = rig.engine.pullGeneration(id)
    let seed = StoreSeed(id: id, incarnation: Identity128(high: 5, low: 5), configID: 99)
    for step in rig.engine.create([seed]) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt([seed], on: &rig.disk)
    rig.engine.raiseFloor(id, to: stamp(10))
    #expect(try rig.pull(rig.old(5), key: key, since: asked) == .guarded)
    guard case .applied = try rig.pull(rig.old(5), key: key) else {
      Issue.record("asked for in this life")
      return
    }
  }

  @Test("the floor rises and never sinks, and is durable when what was applied before is")
  func floor() throws {
    var rig = try rig()
    let id = rig.store(of: Array("apple".utf8))
    rig.engine.raiseFloor(id, to: stamp(10))
    rig.engine.raiseFloor(id, to: stamp(4))
    #expect(rig.engine.floor(id) == stamp(10))
    #expect(try rig.put("apple", "v", at: 10) == .belowFloor(stamp(10)))
    try rig.engine.flush(on: &rig.disk)
    try rig.shutdown()
    try rig.reopen()
    #expect(rig.engine.floor(id) == stamp(10))
  }

  @Test("what was pulled below the floor is as durable as anything", arguments: SyncMode.allCases)
  func durable(mode: SyncMode) throws {
    var rig = try rig(sync: mode)
    let key = Array("apple".utf8)
    try purge(&rig, beside: "apple", at: 10)
    try rig.engine.flush(on: &rig.disk)
    // The manifest tells the floor before the record comes.
    try rig.work(afterMilliseconds: 70_000)
    try rig.work(afterMilliseconds: 70_000)
    guard case .applied(let position) = try rig.pull(rig.old(5), key: key) else {
      Issue.record("not applied")
      return
    }
    try rig.engine.flush(on: &rig.disk)
    for _ in 0..<4 where rig.engine.durable < position {
      try rig.sync()
      try rig.work()
    }
    #expect(rig.engine.durable >= position)
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(rig.engine.floor(rig.store(of: key)) == stamp(10))
    #expect(try rig.get("apple") == .found(rig.old(5)))
  }

  @Test("a repair finds what was pulled below the floor in the journal")
  func repaired() throws {
    var rig = try rig()
    let key = try #require((0...).lazy.map { "key \($0)" }.first { rig.store(of: Array($0.utf8)) == Rig.seeds[0].id })
    try purge(&rig, beside: key, at: 10)
    try rig.engine.flush(on: &rig.disk)
    for _ in 0..<2 { try rig.work(afterMilliseconds: 70_000) }
    guard case .applied = try rig.pull(rig.old(5), key: Array(key.utf8)) else { return }
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    rig.disk.discardUnsynced()
    let report = try rig.repair()
    #expect(report.belowFloor == 0 && report.lossCount == 0)
    #expect(try rig.openedRepaired().engine.status(Rig.seeds[0].id).keysLive == 1)
  }

  @Test("a merge removes no tombstone whose older value the journal would bring back")
  func journalBesideMerge() throws {
    var rig = try rig()
    let key = Array("apple".utf8)
    try purge(&rig, beside: "apple", at: 20)
    guard case .applied = try rig.pull(rig.old(5), key: key) else { return }
    try rig.engine.flush(on: &rig.disk)
    // From here on nothing syncs the journal but who must: the delete is durable by its data file.
    try rig.sync()
    _ = try rig.delete("apple", at: 7)
    try rig.engine.flush(on: &rig.disk)
    let id = rig.store(of: key)
    rig.engine.requestMerge(in: [id])
    #expect(try rig.engine.continueMerge(at: rig.now, hour: 12, budget: 1, warm: nil, on: &rig.disk) == .waiting)
    try rig.work()
    #expect(rig.engine.durable == rig.engine.appended)
    #expect(try rig.purge(key, stamp(7)) == .purged)
    while try rig.engine.continueMerge(at: rig.now, hour: 12, budget: 9000, warm: nil, on: &rig.disk) == .worked {}
    // The job of the merge, before any that drops a segment of the journal.
    try rig.work()
    #expect(rig.engine.mergeStatus.merges == 1 && rig.engine.status(id).totalBytes == 0)
    rig.disk.discardUnsynced()
    try rig.reopen()
    let outcome = try rig.get("apple")
    #expect(outcome != .found(rig.old(5)), "the value came back")
  }
}
