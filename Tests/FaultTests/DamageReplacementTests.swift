import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("What takes the place of a damaged record")
struct DamageReplacementTests {
  private func value(_ text: String, at time: UInt64) -> StoredVersion {
    StoredVersion(stamp: stamp(time), isTombstone: false, value: Array(text.utf8))
  }

  private func opened(_ time: UInt64) throws -> (DamagedRig, DamageNote) {
    var rig = try DamagedRig()
    try rig.open()
    try rig.flipRecord(time)
    let found = try rig.rig.scrub()
    return (rig, try #require(found.first))
  }

  @Test("what is older than the noted stamp stands only when everybody has answered, and is told as a loss")
  func older() throws {
    var (rig, note) = try opened(25)
    let key = DamagedRig.keys[6]
    let old = value("older", at: 8)
    let versions = [(key: Array(key.utf8), version: old)]
    #expect(try rig.rig.engine.repair(note, with: versions, isFinal: false, on: &rig.rig.disk) == .insufficient)
    #expect(try rig.rig.engine.repair(note, with: [], isFinal: false, on: &rig.rig.disk) == .insufficient)
    #expect(try rig.damagedKeys("still refused") == [key])
    let outcome = try rig.rig.engine.repair(note, with: versions, isFinal: true, on: &rig.rig.disk)
    #expect(outcome == .lost(rig.rig.engine.appended))
    rig.expected[key] = old
    #expect(try rig.damagedKeys("replaced") == [])
    try rig.mergeDamage()
    try rig.expectWhole("older")
  }

  @Test("a newer version, also a tombstone, takes the place at once")
  func newer() throws {
    for isTombstone in [false, true] {
      var (rig, note) = try opened(22)
      let version = StoredVersion(stamp: stamp(50), isTombstone: isTombstone, value: [])
      let versions = [(key: Array(DamagedRig.keys[1].utf8), version: version)]
      let outcome = try rig.rig.engine.repair(note, with: versions, isFinal: false, on: &rig.rig.disk)
      #expect(outcome == .repaired(rig.rig.engine.appended))
      rig.expected[DamagedRig.keys[1]] = version
      try rig.mergeDamage()
      try rig.expectWhole("newer")
    }
  }

  @Test(
    "nobody has anything: the key is absent, unless a restart would bring an older version back", arguments: [25, 21])
  func nothing(time: UInt64) throws {
    var (rig, note) = try opened(time)
    let key = DamagedRig.keys[time == 25 ? 6 : 0]
    #expect(
      try rig.rig.engine.repair(note, with: [], isFinal: true, on: &rig.rig.disk) == .lost(rig.rig.engine.appended))
    rig.expected[key] = .some(nil)
    #expect(try rig.damagedKeys("gone") == [])
    try rig.mergeDamage()
    if time == 25 { try rig.expectWhole("gone") } else { #expect(rig.isFenced) }
  }

  @Test("a tombstone that is given up leaves the floor above it, and what was asked for before does not create its key")
  func givenUpTombstone() throws {
    var (rig, note) = try opened(22)
    let key = Array(DamagedRig.keys[1].utf8)
    let generation = rig.rig.engine.pullGeneration(note.store)
    let before = rig.rig.engine.floor(note.store)
    #expect(before < stamp(22) || before >= stamp(28))
    _ = try rig.rig.engine.repair(note, with: [], isFinal: true, on: &rig.rig.disk)
    #expect(rig.rig.engine.floor(note.store) >= stamp(22))
    guard case .belowFloor = try rig.rig.apply(value("late", at: 11), key: key) else {
      Issue.record("a late push brought it back")
      return
    }
    let pulled = try rig.rig.engine.applyPulled(
      value("late", at: 11), key: key, hash: rig.rig.hash(key), to: note.store, since: generation, warm: nil,
      on: &rig.rig.disk)
    #expect(pulled == .guarded)
  }

  @Test("after the file is gone, or the store made anew, nothing is repaired any more")
  func settled() throws {
    var (rig, note) = try opened(25)
    let versions = [(key: Array(DamagedRig.keys[6].utf8), version: value("late", at: 99))]
    let seed = StoreSeed(id: note.store, incarnation: Identity128(high: 8, low: 8), configID: 99)
    for step in rig.rig.engine.create([seed]) { try step.perform(on: &rig.rig.disk) }
    try rig.rig.engine.adopt([seed], on: &rig.rig.disk)
    #expect(try rig.rig.engine.repair(note, with: versions, isFinal: true, on: &rig.rig.disk) == .settled)
    #expect(rig.notes.isEmpty)
  }

  /// Keys of partition 0 whose hashes are all the same.
  private func equalHashes() throws -> (rig: Rig, keys: [String]) {
    var rig = try Rig(seed: 1, sync: .never, mask: 0xF000_0000_0000_0000)
    rig.options.merge.window = .never
    rig.options.merge.smallFileBytes = 0
    for seed in Rig.seeds { try rig.take(.active, in: seed.id) }
    try rig.reopen()
    let first = try #require((0..<100).map { "c\($0)" }.first { rig.hash(Array($0.utf8)) >> 63 == 0 })
    let keys = (0..<400).map { "c\($0)" }.filter { rig.hash(Array($0.utf8)) == rig.hash(Array(first.utf8)) }
    for (index, key) in keys[..<3].enumerated() { _ = try rig.put(key, "value \(key)", at: 10 + UInt64(index)) }
    try rig.endFile()
    return (rig, keys)
  }

  @Test("keys with one hash: only what no other slot has can be the damaged one's", arguments: 0..<3)
  func equalHashes(hit: Int) throws {
    var (rig, keys) = try equalHashes()
    var at = FileHeader.byteCount
    let bytes = try #require(rig.disk.contents("/data/stores/p000-n3/000001.data"))
    for _ in 0..<hit {
      guard case .whole(let header) = Record.check(bytes, at: at, salt: nil) else { continue }
      at += header.byteCount
    }
    rig.disk.flipBit(0, ofByte: at + 20, in: "/data/stores/p000-n3/000001.data")
    let found = try rig.scrub()
    let note = try #require(found.first)
    for key in keys[..<3] { #expect(throws: note.error) { try rig.get(key) } }
    func version(_ index: Int) -> (key: [UInt8], version: StoredVersion) {
      (Array(keys[index].utf8), value("value \(keys[index])", at: 10 + UInt64(index)))
    }
    let others = (0..<3).filter { $0 != hit }.map { version($0) }
    #expect(try rig.engine.repair(note, with: others, isFinal: false, on: &rig.disk) == .insufficient)
    // A key of another hash is no answer.
    let stranger = (key: Array("x".utf8), version: value("x", at: 99))
    if rig.hash(stranger.key) != note.record?.hash {
      #expect(try rig.engine.repair(note, with: [stranger], isFinal: false, on: &rig.disk) == .insufficient)
    }
    // A fourth key that the others have, and this store never had.
    let fourth = (key: Array(keys[3].utf8), version: value("value \(keys[3])", at: 60))
    let all = (0..<3).map { version($0) } + [fourth]
    let outcome = try rig.engine.repair(note, with: all, isFinal: false, on: &rig.disk)
    #expect(outcome == .repaired(rig.engine.appended))
    for offered in all { _ = try rig.apply(offered.version, key: offered.key) }
    for offered in all { #expect(try rig.lookup(offered.key) == .found(offered.version)) }
    for _ in 0..<40 {
      try rig.slice()
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
    #expect(rig.disk.contents("/data/stores/p000-n3/000001.data") == nil)
    #expect(try rig.statisticsDefect() == nil)
  }

  @Test("a crash at any operation after the repair: the value, or damage again; never absent, never wrong")
  func crashes() throws {
    for operation in 1... {
      var (rig, note) = try opened(21)
      let key = DamagedRig.keys[0]
      let before = rig.rig.disk.operationCount
      rig.rig.disk.diesAtOperation = before + operation
      do {
        let versions = [(key: Array(key.utf8), version: value("third", at: 21))]
        _ = try rig.rig.engine.repair(note, with: versions, isFinal: false, on: &rig.rig.disk)
        try rig.rig.engine.flush(on: &rig.rig.disk)
        try rig.mergeDamage()
        try rig.rig.shutdown()
      } catch is StorageError {}
      let hasDied = rig.rig.disk.isDead
      for variant in 0..<2 {
        var copy = rig
        if variant == 0 { copy.rig.disk.discardUnsynced() }
        try copy.rig.reopen()
        if copy.isFenced { continue }
        let damaged = try copy.damagedKeys("operation \(operation), variant \(variant)")
        #expect(damaged.isEmpty || damaged == [key] || copy.isFenced, "operation \(operation): \(damaged)")
      }
      if !hasDied {
        #expect(operation > 10)
        break
      }
    }
  }
}
