import Causality
import Primitives
import Simulation
import Storage
import Testing

@Suite("Engine")
struct EngineTests {
  private func red(_ time: UInt64) -> LookupOutcome {
    .found(StoredVersion(stamp: stamp(time), isTombstone: false, value: Array("red".utf8)))
  }

  @Test("what was applied is found: at once, after a flush, after a restart", arguments: SyncMode.allCases)
  func applyAndFind(mode: SyncMode) throws {
    var rig = try Rig(seed: 1, sync: mode)
    #expect(try rig.put("apple", "red", at: 5) == .applied(LogPosition(1)))
    #expect(try rig.get("apple") == red(5))
    try rig.engine.flush(on: &rig.disk)
    #expect(try rig.get("apple") == red(5))
    #expect(try rig.get("pear") == .absent)
    try rig.shutdown()
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(try rig.get("apple") == red(5))
    #expect(rig.engine.recovery.bytesCut == 0 && rig.engine.recovery.journalRecords == 0)
    #expect(rig.engine.recovery.highestTime == stamp(5).time)
  }

  @Test("the highest stamp wins: a lower one, or the same again, is not written")
  func stamps() throws {
    var rig = try Rig(seed: 1)
    _ = try rig.put("apple", "red", at: 5)
    #expect(try rig.put("apple", "red", at: 5) == .equal(LogPosition(1)))
    #expect(try rig.put("apple", "old", at: 4) == .newer(stamp(5), LogPosition(1)))
    #expect(try rig.get("apple") == red(5))
    #expect(try rig.delete("apple", at: 6) == .applied(LogPosition(2)))
    #expect(try rig.put("apple", "late", at: 5) == .newer(stamp(6), LogPosition(2)))
    #expect(try rig.get("apple") == .found(StoredVersion(stamp: stamp(6), isTombstone: true, value: [])))
    #expect(rig.engine.appended == LogPosition(2))
  }

  @Test("empty values, empty keys and long values are storable", arguments: SyncMode.allCases)
  func extremes(mode: SyncMode) throws {
    var rig = try Rig(seed: 1, sync: mode)
    let long = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
    let versions = [([], []), ([0], []), ([1], long), (Array(long.prefix(70_000)), [9])].map { key, value in
      (key: key, version: StoredVersion(stamp: stamp(3), isTombstone: false, value: value))
    }
    for (key, version) in versions { _ = try rig.apply(version, key: key) }
    for (key, version) in versions { #expect(try rig.lookup(key) == .found(version)) }
    try rig.engine.flush(on: &rig.disk)
    rig.disk.wouldBlockChance = 900
    for (key, version) in versions { #expect(try rig.lookup(key) == .found(version)) }
    try rig.reopen()
    for (key, version) in versions { #expect(try rig.lookup(key) == .found(version)) }
  }

  @Test("a key that is not in memory is asked for, and the answer is used")
  func cold() throws {
    var rig = try Rig(seed: 1)
    _ = try rig.put("apple", "red", at: 5)
    try rig.engine.flush(on: &rig.disk)
    rig.disk.wouldBlockChance = 1000
    let key = Array("apple".utf8)
    let first = try rig.engine.lookup(
      key: key, hash: rig.hash(key), in: rig.store(of: key), warm: nil, on: &rig.disk)
    guard case .cold(let read) = first,
      case .bytes(let bytes) = try rig.disk.read(read.file, at: read.offset, count: read.count, mayBlock: true)
    else {
      Issue.record("not cold")
      return
    }
    let warm = WarmBytes(read: read, bytes: bytes)
    #expect(
      try rig.engine.lookup(key: key, hash: rig.hash(key), in: rig.store(of: key), warm: warm, on: &rig.disk) == red(5))
    // Overwritten meanwhile: the old bytes are not taken for the new record's.
    _ = try rig.put("apple", "green", at: 6)
    try rig.engine.flush(on: &rig.disk)
    guard
      case .cold = try rig.engine.lookup(
        key: key, hash: rig.hash(key), in: rig.store(of: key), warm: warm, on: &rig.disk)
    else {
      Issue.record("stale bytes were used")
      return
    }
  }

  @Test("durability: the journal's sync covers what was flushed, not what came after")
  func durability() throws {
    var rig = try Rig(seed: 1)
    #expect(rig.engine.beginSync() == nil)
    _ = try rig.put("a", "1", at: 1)
    #expect(rig.engine.beginSync() == nil)
    try rig.engine.flush(on: &rig.disk)
    let request = try #require(rig.engine.beginSync())
    #expect(request.files.count == 1)
    #expect(rig.engine.beginSync() == nil)
    _ = try rig.put("b", "2", at: 2)
    try rig.engine.flush(on: &rig.disk)
    rig.engine.completeSync(request.ticket)
    #expect(rig.engine.durable == LogPosition(1) && rig.engine.appended == LogPosition(2))
    try rig.sync()
    #expect(rig.engine.durable == LogPosition(2))
    #expect(rig.engine.beginSync() == nil)
  }

  @Test("a file that has no durable name yet is no ground for a promise")
  func names() throws {
    var rig = try Rig(seed: 1, sync: .never)
    _ = try rig.put("a", "1", at: 1)
    try rig.engine.flush(on: &rig.disk)
    #expect(rig.engine.beginSync() == nil)
    try rig.work()
    #expect(rig.engine.durable == LogPosition(1))
    _ = try rig.put("a", "2", at: 2)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    #expect(rig.engine.durable == LogPosition(2))
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(try rig.get("a") != .absent)
  }

  @Test("with `interval` everything is durable within the interval, with `never` only when asked")
  func schedules() throws {
    for mode in [SyncMode.interval, .never] {
      var rig = try Rig(seed: 1, sync: mode)
      try rig.work()
      _ = try rig.put("a", "1", at: 1)
      try rig.engine.flush(on: &rig.disk)
      try rig.work(afterMilliseconds: 999)
      #expect(rig.engine.durable == LogPosition(0))
      try rig.work(afterMilliseconds: 1)
      #expect(rig.engine.durable == LogPosition(mode == .interval ? 1 : 0))
    }
  }

  @Test("a checkpoint drops the journal behind it, and sealed files get hints")
  func checkpoint() throws {
    var rig = try Rig(seed: 1, fileBytesMax: 500, segmentBytes: 2000)
    for number in 0..<200 {
      _ = try rig.put("key \(number % 20)", "value \(number)", at: UInt64(number + 1))
      try rig.engine.flush(on: &rig.disk)
      try rig.sync()
      try rig.work(afterMilliseconds: 10)
    }
    for _ in 0..<60 {
      try rig.work(afterMilliseconds: 70_000)
      try rig.engine.flush(on: &rig.disk)
    }
    let journals = rig.disk.paths.filter { $0.hasSuffix(".journal") }
    #expect(journals.count == 1)
    #expect(journals.first.flatMap { rig.disk.contents($0)?.count } == FileHeader.byteCount)
    let hints = rig.disk.paths.filter { $0.hasSuffix(".hint") }.count
    #expect(hints == rig.disk.paths.filter { $0.hasSuffix(".data") }.count - 2)
    #expect(rig.engine.work(at: rig.now, on: &rig.disk) == nil)
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(
      try rig.get("key 19")
        == .found(
          StoredVersion(stamp: stamp(200), isTombstone: false, value: Array("value 199".utf8))))
    #expect(rig.engine.recovery.journalRecords == 0)
  }

  @Test("statistics count what is live, dead and deleted, the same after a restart")
  func statistics() throws {
    var rig = try Rig(seed: 1, fileBytesMax: 900)
    for number in 0..<60 { _ = try rig.put("key \(number % 25)", "v\(number)", at: UInt64(number + 1)) }
    for number in 0..<5 { _ = try rig.delete("key \(number)", at: 100) }
    let before = Rig.seeds.map { rig.engine.status($0.id) }
    #expect(before.reduce(0) { $0 + $1.keysLive } == 20 && before.reduce(0) { $0 + $1.tombstones } == 5)
    #expect(before.allSatisfy { $0.deadBytes < $0.totalBytes })
    try rig.engine.flush(on: &rig.disk)
    try rig.reopen()
    #expect(Rig.seeds.map { rig.engine.status($0.id) } == before)
    try rig.shutdown()
    try rig.reopen()
    #expect(Rig.seeds.map { rig.engine.status($0.id) } == before)
  }

  @Test("role and promises are as durable as they say; a new store is empty and loading")
  func roles() throws {
    var rig = try Rig(seed: 1)
    let id = Rig.seeds[0].id
    #expect(rig.engine.isEmpty(id) && rig.engine.role(id) == .loading && rig.engine.storeIDs == Rig.seeds.map(\.id))
    let promise = PeerPromise(peer: NodeID(2), incarnation: Identity128(high: 3, low: 4), configID: 99, tsnHead: 7)
    for step in rig.engine.setRole(id, .active, promises: [promise]) { try step.perform(on: &rig.disk) }
    #expect(rig.engine.role(id) == .loading)
    rig.engine.adoptRole(id, .active, promises: [promise])
    #expect(rig.engine.role(id) == .active && rig.engine.promises(id) == [promise])
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(rig.engine.role(id) == .active && rig.engine.promises(id) == [promise])
    #expect(rig.engine.incarnation(id) == Rig.seeds[0].incarnation && rig.engine.configID(id) == 99)
  }

  @Test("a store that is not there, or of another life, is missing; made anew it knows nothing of the old one")
  func missing() throws {
    var rig = try Rig(seed: 1)
    let key = "k"
    _ = try rig.put(key, "v", at: 1)
    let id = rig.store(of: Array(key.utf8))
    try rig.engine.flush(on: &rig.disk)
    let reborn = StoreSeed(id: id, incarnation: Identity128(high: 8, low: 8), configID: 99)
    let extra = seedOf(7)
    let seeds = [reborn, extra] + Rig.seeds.filter { $0.id != id }
    rig.disk.killProcess()
    rig.engine = try Engine.open(Rig.root, options: rig.options, stores: seeds, on: &rig.disk)
    #expect(rig.engine.recovery.missing == [id, extra.id].sorted())
    for step in rig.engine.create([reborn, extra]) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt([reborn, extra], on: &rig.disk)
    #expect(try rig.get(key) == .absent)
    _ = try rig.put(key, "new", at: 0)
    try rig.engine.flush(on: &rig.disk)
    rig.disk.killProcess()
    rig.engine = try Engine.open(Rig.root, options: rig.options, stores: seeds, on: &rig.disk)
    #expect(rig.engine.recovery.missing.isEmpty && rig.engine.recovery.damaged.isEmpty)
    #expect(
      try rig.get(key) == .found(StoredVersion(stamp: stamp(0), isTombstone: false, value: Array("new".utf8))))
  }

  @Test("replay takes the highest stamp, not the last in the file")
  func replayOrder() throws {
    var rig = try Rig(seed: 1, sync: .never)
    let key = (0..<20).map { Array("k\($0)".utf8) }.first { rig.store(of: $0) == Rig.seeds[0].id } ?? []
    let header = FileHeader(
      kind: .data, cluster: rig.options.clusterID, node: rig.options.nodeID, store: Rig.seeds[0].id, file: 3,
      identity: Rig.seeds[0].incarnation)
    var bytes = header.encoded()
    for (time, isTombstone) in [(UInt64(5), false), (9, true), (7, false)] {
      let version = StoredVersion(stamp: stamp(time), isTombstone: isTombstone, value: isTombstone ? [] : [1])
      Record.append(version, key: key, tsn: 4, salt: header.salt, to: &bytes)
    }
    let file = try rig.disk.open("/data/stores/p000-n3/000003.data", .create)
    try rig.disk.append(bytes, to: file)
    try rig.reopen()
    for _ in 0..<2 {
      #expect(try rig.lookup(key) == .found(StoredVersion(stamp: stamp(9), isTombstone: true, value: [])))
      #expect(rig.engine.status(Rig.seeds[0].id).tsnHead == 4)
      try rig.shutdown()
      try rig.reopen()
    }
  }

  @Test("a journal is replayed in every mode, and a turn larger than the buffers is flushed on the way")
  func largeTurn() throws {
    var rig = try Rig(seed: 1, segmentBytes: 64 << 20)
    let value = [UInt8](repeating: 1, count: 1 << 20)
    for number in 0..<12 {
      _ = try rig.apply(
        StoredVersion(stamp: stamp(1), isTombstone: false, value: value), key: Array("k\(number)".utf8))
    }
    let written = rig.disk.paths.filter { $0.hasSuffix(".journal") }.reduce(0) {
      $0 + (rig.disk.contents($1)?.count ?? 0)
    }
    #expect(written >= StorageLimits.bufferedBytesMax)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    rig.disk.discardUnsynced()
    rig.options.sync = .never
    try rig.reopen()
    #expect(rig.engine.recovery.journalRecords == 12)
    for number in 0..<12 { #expect(try rig.get("k\(number)") != .absent) }
    #expect(!rig.disk.paths.contains { $0.hasSuffix(".journal") })
  }

  @Test("nothing at or below the floor comes to life, neither as a write nor from the journal")
  func floor() throws {
    var rig = try Rig(seed: 1)
    _ = try rig.put("old", "v", at: 5)
    _ = try rig.put("new", "v", at: 7)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    rig.disk.discardUnsynced()
    for seed in Rig.seeds {
      let path = "/data/stores/\(seed.id)/manifest"
      var manifest = try StoreManifest(decoding: try #require(rig.disk.contents(path)), path: path)
      manifest.floor = stamp(6)
      rig.disk.overwrite(path, with: manifest.encoded())
    }
    try rig.reopen()
    #expect(rig.engine.recovery.journalRecords == 2)
    #expect(try rig.get("old") == .absent && rig.get("new") != .absent)
    #expect(try rig.put("old", "v", at: 6) == .belowFloor(stamp(6)))
    #expect(try rig.put("new", "v", at: 6) == .newer(stamp(7), LogPosition(0)))
    #expect(try rig.put("old", "v", at: 8) == .applied(LogPosition(1)))
    #expect(rig.engine.floor(Rig.seeds[0].id) == stamp(6) && !rig.engine.isEmpty(Rig.seeds[0].id))
  }

  @Test("a store has at most so many files; the write that needs one more is refused, reads go on")
  func files() throws {
    var rig = try Rig(seed: 1, sync: .never, fileBytesMax: 64)
    let most = StorageLimits.filesMax - StorageLimits.filesForMerges
    for time in 1...most { _ = try rig.put("apple", "red", at: UInt64(time)) }
    #expect(throws: StorageError.self) { try rig.put("apple", "red", at: 1 << 20) }
    #expect(try rig.get("apple") == red(UInt64(most)))
    #expect(rig.engine.status(rig.store(of: Array("apple".utf8))).files == most)
  }

  @Test("journal records of a store's earlier life are not replayed into its next one")
  func earlierLife() throws {
    var rig = try Rig(seed: 1)
    _ = try rig.put("k", "old", at: 9)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    let reborn = Rig.seeds.map { StoreSeed(id: $0.id, incarnation: Identity128(high: 8, low: 8), configID: 99) }
    for step in rig.engine.create(reborn) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt(reborn, on: &rig.disk)
    #expect(try rig.get("k") == .absent)
    _ = try rig.put("other", "new", at: 1)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    rig.disk.discardUnsynced()
    rig.engine = try Engine.open(Rig.root, options: rig.options, stores: reborn, on: &rig.disk)
    #expect(try rig.get("k") == .absent && rig.get("other") != .absent)
    #expect(rig.engine.recovery.journalRecords == 1)
  }

  @Test("a feed position that only the journal knows stays given when its record loses")
  func feedHead() throws {
    var rig = try Rig(seed: 1)
    let key = (0..<20).map { Array("k\($0)".utf8) }.first { rig.store(of: $0) == Rig.seeds[0].id } ?? []
    _ = try rig.apply(StoredVersion(stamp: stamp(5), isTombstone: true, value: []), key: key)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    rig.disk.discardUnsynced()
    // The store has a newer value already, durably, as if the tombstone's own file had been lost.
    let path = "/data/stores/p000-n3/manifest"
    var manifest = try StoreManifest(decoding: try #require(rig.disk.contents(path)), path: path)
    let header = FileHeader(
      kind: .data, cluster: rig.options.clusterID, node: rig.options.nodeID, store: Rig.seeds[0].id, file: 4,
      identity: Rig.seeds[0].incarnation)
    var bytes = header.encoded()
    let newer = StoredVersion(stamp: stamp(6), isTombstone: false, value: [1])
    Record.append(newer, key: key, tsn: 0, salt: header.salt, to: &bytes)
    let file = try rig.disk.open("/data/stores/p000-n3/000004.data", .create)
    try rig.disk.append(bytes, to: file)
    try rig.disk.sync(file)
    try rig.disk.syncDirectory("/data/stores/p000-n3")
    manifest.files = [ManifestFile(id: 4, isSealed: false, syncedLength: UInt64(bytes.count), recordStamps: nil)]
    manifest.nextFileID = 5
    rig.disk.overwrite(path, with: manifest.encoded())
    for _ in 0..<2 {
      try rig.reopen()
      #expect(try rig.lookup(key) == .found(newer))
      #expect(rig.engine.status(Rig.seeds[0].id).tsnHead == 1)
      rig.disk.discardUnsynced()
    }
  }
}
