import Causality
import Primitives
import Simulation
import Storage
import Testing

@Suite("Cut files and flipped bits")
struct DamageTests {
  private static let count = 6
  private static let data = "/data/stores/p000-n3/000001.data"
  private static let hint = "/data/stores/p000-n3/000001.hint"
  private static let manifest = "/data/stores/p000-n3/manifest"

  /// Keys of partition 0.
  private static let keys: [String] = {
    let hash = RingHash(seed: 42)
    return Array((0..<100).map { "k\($0)" }.filter { hash(Array($0.utf8)) >> 63 == 0 }.prefix(count))
  }()

  /// Writes all keys, each in a turn of its own that is synced; the last as a tombstone.
  private func filled(_ mode: SyncMode, syncing: Bool = true) throws -> Rig {
    var rig = try Rig(seed: 1, sync: mode)
    for (index, key) in DamageTests.keys.enumerated() {
      let time = UInt64(10 + index)
      let isLast = index == DamageTests.count - 1
      _ = isLast ? try rig.delete(key, at: time) : try rig.put(key, "value of \(key)", at: time)
      try rig.engine.flush(on: &rig.disk)
      if syncing { try rig.sync() }
    }
    return rig
  }

  /// How many of the keys are there, when they are the first ones; nil when they are no prefix.
  private func prefix(_ rig: inout Rig) throws -> Int? {
    var found: [Bool] = []
    for (index, key) in DamageTests.keys.enumerated() {
      let outcome = try rig.get(key)
      found.append(outcome != .absent)
      guard case .found(let version) = outcome else { continue }
      let isTombstone = index == DamageTests.count - 1
      let value = isTombstone ? [] : Array("value of \(key)".utf8)
      #expect(version == StoredVersion(stamp: stamp(UInt64(10 + index)), isTombstone: isTombstone, value: value))
    }
    let count = found.firstIndex(of: false) ?? found.count
    return found[count...].contains(true) ? nil : count
  }

  private func length(_ rig: Rig, _ path: String) throws -> Int { try #require(rig.disk.contents(path)).count }

  private func cut(_ rig: Rig, _ path: String, to length: Int) throws -> Rig {
    var copy = rig
    copy.disk.overwrite(path, with: Array(try #require(rig.disk.contents(path))[..<length]))
    return copy
  }

  @Test("an unsynced data file cut anywhere opens to a prefix")
  func cutUnsynced() throws {
    let rig = try filled(.never, syncing: false)
    var counts: [Int] = []
    for length in 0..<(try length(rig, DamageTests.data)) {
      var copy = try cut(rig, DamageTests.data, to: length)
      try copy.reopen()
      #expect(copy.engine.recovery.damaged.isEmpty)
      counts.append(try #require(try prefix(&copy), "cut to \(length)"))
      // It goes on: another write, and the same again after a clean restart.
      _ = try copy.put("more", "x", at: 99)
      try copy.shutdown()
      try copy.reopen()
      #expect(try copy.get("more") != .absent)
    }
    #expect(counts == counts.sorted() && Set(counts) == Set(0..<DamageTests.count))
  }

  @Test("a data file cut below its synced length fences its store and says so")
  func cutSynced() throws {
    var rig = try filled(.never)
    try rig.shutdown()
    for length in 0..<(try length(rig, DamageTests.data)) {
      var copy = try cut(rig, DamageTests.data, to: length)
      try copy.reopen()
      #expect(copy.engine.recovery.damaged.count == 1, "cut to \(length)")
      #expect(copy.engine.role(Rig.seeds[0].id) == .fenced)
      #expect(throws: StorageError.self) { try copy.get(DamageTests.keys[0]) }
      #expect(try length == self.length(copy, DamageTests.data), "a damaged file must stay as it is")
    }
  }

  @Test("with the journal, a data file cut anywhere behind its synced length loses nothing")
  func cutWithJournal() throws {
    let rig = try filled(.always)
    for length in 0..<(try length(rig, DamageTests.data)) {
      var copy = try cut(rig, DamageTests.data, to: length)
      try copy.reopen()
      #expect(try prefix(&copy) == DamageTests.count, "cut to \(length)")
    }
  }

  @Test("a journal cut anywhere, its data files lost, opens to a prefix")
  func cutJournal() throws {
    var rig = try filled(.always)
    rig.disk.discardUnsynced()
    let path = try #require(rig.disk.paths.first { $0.hasSuffix(".journal") })
    var counts: [Int] = []
    for length in FileHeader.byteCount..<(try length(rig, path)) {
      for mode in SyncMode.allCases {
        var copy = try cut(rig, path, to: length)
        copy.options.sync = mode
        try copy.reopen()
        counts.append(try #require(try prefix(&copy), "cut to \(length)"))
      }
    }
    #expect(counts == counts.sorted() && Set(counts) == Set(0..<DamageTests.count))
  }

  @Test("a flipped bit of a journal gives a prefix, or an error when it hit what was durable")
  func flipJournal() throws {
    var rig = try filled(.always)
    rig.disk.discardUnsynced()
    let path = try #require(rig.disk.paths.first { $0.hasSuffix(".journal") })
    var errors = 0
    let total = try length(rig, path) * 8
    for bit in 0..<total {
      var copy = rig
      copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: path)
      do {
        try copy.reopen()
        let count = try #require(try prefix(&copy), "bit \(bit)")
        #expect(count >= DamageTests.count - 2, "bit \(bit): only the last frames may pass for a torn tail")
      } catch let error as StorageError {
        guard case .damaged = error else { throw error }
        errors += 1
      }
    }
    #expect(errors > total / 2)
  }

  @Test("a flipped bit of a synced data file is damage, at open or when the record is read")
  func flipSynced() throws {
    var rig = try filled(.never)
    try rig.shutdown()
    for bit in 0..<(try length(rig, DamageTests.data)) * 8 {
      for hasHint in [false, true] where hasHint || bit % 7 == 0 {
        var copy = rig
        if !hasHint { try copy.disk.unlink(DamageTests.hint) }
        copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: DamageTests.data)
        try copy.reopen()
        if !hasHint { #expect(copy.engine.recovery.damaged.count == 1, "bit \(bit)") }
        #expect(throws: StorageError.self, "bit \(bit)") {
          for key in DamageTests.keys { _ = try copy.get(key) }
        }
        #expect(copy.engine.role(Rig.seeds[0].id) == .fenced)
      }
    }
  }

  @Test("a flipped bit of an unsynced data file gives a prefix")
  func flipUnsynced() throws {
    let rig = try filled(.never, syncing: false)
    for bit in 0..<(try length(rig, DamageTests.data)) * 8 {
      var copy = rig
      copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: DamageTests.data)
      try copy.reopen()
      #expect(try prefix(&copy) != nil, "bit \(bit)")
    }
  }

  @Test("a hint that is cut, damaged, stale or missing changes no answer")
  func hints() throws {
    var rig = try filled(.never)
    try rig.shutdown()
    let whole = try #require(rig.disk.contents(DamageTests.hint))
    for length in 0..<whole.count {
      var copy = try cut(rig, DamageTests.hint, to: length)
      try copy.reopen()
      #expect(try prefix(&copy) == DamageTests.count)
    }
    for bit in 0..<whole.count * 8 {
      var copy = rig
      copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: DamageTests.hint)
      try copy.reopen()
      #expect(try prefix(&copy) == DamageTests.count)
    }
    // The file goes on growing; the hint of its first part still fits, and the rest is scanned.
    try rig.reopen()
    _ = try rig.put(DamageTests.keys[0], "newer", at: 50)
    _ = try rig.put(DamageTests.keys[5], "lives again", at: 51)
    try rig.engine.flush(on: &rig.disk)
    try rig.reopen()
    #expect(rig.disk.contents(DamageTests.hint) == whole)
    #expect(try rig.get(DamageTests.keys[0]) != .absent)
    #expect(rig.engine.status(Rig.seeds[0].id).tombstones == 0)
    #expect(rig.engine.status(Rig.seeds[0].id).tsnHead == 1)
  }

  @Test("a manifest that is cut or damaged fences the store")
  func manifests() throws {
    var rig = try filled(.never)
    try rig.shutdown()
    let whole = try #require(rig.disk.contents(DamageTests.manifest))
    var cases = (0..<whole.count).map { Array(whole[..<$0]) }
    for bit in 0..<whole.count * 8 {
      var bytes = whole
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      cases.append(bytes)
    }
    for bytes in cases {
      var copy = rig
      copy.disk.overwrite(DamageTests.manifest, with: bytes)
      try copy.reopen()
      #expect(copy.engine.recovery.damaged.count == 1)
      #expect(throws: StorageError.self) { try copy.get(DamageTests.keys[0]) }
      #expect(copy.disk.contents(DamageTests.data) != nil)
    }
  }

  @Test("files of another store, node or cluster are refused")
  func foreignFiles() throws {
    var rig = try filled(.always)
    try rig.shutdown()
    var other = rig
    other.options.nodeID = NodeID(2)
    #expect(throws: StorageError.self) { try other.reopen() }
    other = rig
    other.options.clusterID = Identity128(high: 1, low: 3)
    #expect(throws: StorageError.self) { try other.reopen() }
    other = rig
    let bytes = try #require(rig.disk.contents(DamageTests.data))
    let file = try other.disk.open("/data/stores/p001-n3/000007.data", .create)
    try other.disk.append(bytes, to: file)
    #expect(throws: StorageError.self) { try other.reopen() }
  }
}
