import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// Schedules of merges, purges, roles and jobs that went wrong once, or nearly.

@Suite("Schedules of merges")
struct MergeScheduleTests {
  private let a = Rig.keys[0]
  private let b = Rig.keys[1]
  private let k = Rig.keys[2]

  @Test("a write that stands in the journal alone is lost to the floor that a later purge raised")
  func floorWaitsForWrites() throws {
    for isFlushed in [true, false] {
      var rig = try Rig.active()
      _ = try rig.delete(k, at: 20)
      try rig.endFile()
      // An older stamp, above the floor when it was applied.
      _ = try rig.put(a, "acknowledged", at: 10)
      if isFlushed { try rig.commit() }
      #expect(try rig.purge(Array(k.utf8), stamp(20)) == .purged)
      // Both write the store's manifest.
      if isFlushed {
        try rig.take(.active, in: Rig.seeds[0].id)
      } else {
        rig.engine.checkpoint.isUrgent = true
        try rig.work()
      }
      try rig.commit()
      rig.disk.discardUnsynced()
      try rig.reopen()
      #expect(try rig.value(a) == "acknowledged", "flushed: \(isFlushed)")
    }
  }

  @Test("the floor is durable with the first checkpoint after a purge, and before its tombstone leaves the disk")
  func floorBecomesDurable() throws {
    var rig = try Rig.active()
    try rig.forget(k, at: 20)
    try rig.endFile()
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(rig.engine.floor(Rig.seeds[0].id) == stamp(20))
    _ = try rig.delete(k, at: 30)
    let file = try rig.endFile()
    #expect(try rig.purge(Array(k.utf8), stamp(30)) == .purged)
    rig.beginMerge([file])
    while try rig.slice() != .waiting {}
    // Something is applied and not flushed: the manifest of the merge waits for it.
    _ = try rig.put(a, "value", at: 25 + 10)
    #expect(rig.engine.work(at: rig.now, on: &rig.disk) == nil)
    try rig.engine.flush(on: &rig.disk)
    try rig.work()
    rig.disk.discardUnsynced()
    try rig.reopen()
    // The older tombstone is still in its file.
    #expect(try rig.get(k) != .absent && rig.value(k) == nil && rig.engine.floor(Rig.seeds[0].id) == stamp(30))
  }

  @Test("what a merge left behind waits until what it lost to is in a file that is synced")
  func waitsForSuperseding() throws {
    var rig = try Rig.active(sync: .never)
    _ = try rig.put(k, "old", at: 5)
    let first = try rig.endFile()
    _ = try rig.put(k, "new", at: 6)
    rig.beginMerge([first])
    while try rig.slice() != .waiting {}
    #expect(rig.engine.work(at: rig.now, on: &rig.disk) == nil)
    #expect(try rig.slice() == .waiting)
    try rig.engine.flush(on: &rig.disk)
    try rig.work()
    #expect(!rig.fileIDs.contains(first))
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(try rig.value(k) == "new")
  }

  @Test("a store is fenced while the job that ends its merge runs: files of other stores stay")
  func fencedDuringJob() throws {
    var rig = try Rig.active()
    let other = (0..<100).map { "o\($0)" }.first { rig.store(of: Array($0.utf8)) == Rig.seeds[1].id } ?? ""
    _ = try rig.put(k, "value", at: 5)
    _ = try rig.put(other, "value", at: 5)
    try rig.engine.seal([rig.engine.stores[1]], on: &rig.disk)
    let first = try rig.endFile()
    _ = try rig.put(other, "newer", at: 6)
    try rig.engine.seal([rig.engine.stores[1]], on: &rig.disk)
    for _ in 0..<9 { try rig.work() }
    let steps = try rig.lastJob(merging: [first])
    rig.store.fence(.damaged(path: "x", offset: 0, reason: "a test"))
    rig.engine.requestMerge()
    for _ in 0..<20 { try rig.slice() }
    for step in steps { try step.perform(on: &rig.disk) }
    rig.engine.completeWork()
    #expect(rig.engine.merge.store == nil && rig.engine.stores[1].dataFiles.count == 2)
    while rig.engine.isMergeRequested {
      try rig.slice()
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
    try rig.reopen()
    #expect(rig.engine.recovery.damaged.isEmpty)
    #expect(try rig.value(other) == "newer" && rig.value(k) == "value")
  }

  @Test("a store is replaced by another of its name during a merge: the old one writes no manifest any more")
  func replacedDuringMerge() throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "value", at: 5)
    let first = try rig.endFile()
    rig.beginMerge([first])
    while try rig.slice() != .waiting {}
    let id = Rig.seeds[0].id
    let seed = StoreSeed(id: id, incarnation: Identity128(high: 8, low: 8), configID: 99)
    for step in rig.engine.create([seed]) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt([seed], on: &rig.disk)
    _ = try rig.put(k, "of the new one", at: 3)
    for _ in 0..<9 {
      try rig.engine.flush(on: &rig.disk)
      try rig.work(afterMilliseconds: 61_000)
      try rig.slice()
    }
    rig.disk.discardUnsynced()
    let engine = try Engine.open(Rig.root, options: rig.options, stores: [seed, Rig.seeds[1]], on: &rig.disk)
    #expect(engine.recovery.missing.isEmpty && engine.incarnation(id) == seed.incarnation)
    rig.engine = engine
    #expect(try rig.value(k) == "of the new one")
  }

  @Test("a store that is written all the time ends one file for a merge that was asked for, not one per turn")
  func busyStore() throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "value", at: 1)
    rig.engine.requestMerge()
    for time in UInt64(2)..<60 {
      _ = try rig.put(k, "value", at: time)
      try rig.engine.flush(on: &rig.disk)
      try rig.slice()
      // Jobs take many turns.
      if time % 9 == 0 { try rig.work() }
    }
    #expect(rig.store.manifest.nextFileID <= 4)
    for _ in 0..<60 {
      try rig.slice()
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
    #expect(!rig.engine.isMergeRequested && rig.engine.mergeStatus.merges == 1)
  }

  @Test("a file that was cut while the store runs fences it, also where a record ends", arguments: [1, 0])
  func cutWhileRunning(missing: Int) throws {
    var rig = try Rig.active()
    for key in Rig.keys[..<4] { _ = try rig.put(key, "value", at: 5) }
    let first = try rig.endFile()
    let path = StorePath.data(rig.store.directory, first)
    let bytes = try #require(rig.disk.contents(path))
    let ends = (FileHeader.byteCount..<bytes.count).filter { $0 % 8 == 0 }
    for end in ends {
      var copy = rig
      try copy.reopen()
      copy.disk.overwrite(path, with: Array(bytes[..<(end - missing)]))
      copy.beginMerge([first])
      for _ in 0..<20 where copy.engine.merge.store != nil { try copy.slice(64) }
      #expect(copy.engine.role(Rig.seeds[0].id) == .fenced, "cut to \(end - missing)")
    }
  }

  @Test("a merge that is cancelled again and again ends in the same store", arguments: UInt64(0)..<20)
  func cancelledOften(seed: UInt64) throws {
    var rig = try Rig.active(openFilesMax: 2)
    rig.options.fileBytesMax = 500
    try rig.reopen()
    var generator = SeededGenerator(seed: seed)
    var time: UInt64 = 10
    for round in 0..<4 {
      for key in Rig.keys[..<8] {
        time += 1
        _ = generator.chance(1, in: 3) ? try rig.delete(key, at: time) : try rig.put(key, "round \(round)", at: time)
      }
      try rig.endFile()
    }
    var before: [LookupOutcome] = []
    for key in Rig.keys[..<8] { before.append(try rig.get(key)) }
    for _ in 0..<12 {
      let ids = rig.store.mergeable.map { rig.store.dataFiles[$0].id }
      rig.beginMerge(ids.filter { _ in generator.chance(2, in: 3) })
      for _ in 0..<generator.below(9) { try rig.slice(1 + generator.below(300)) }
      rig.engine.cancelMerge(on: &rig.disk)
      #expect(try rig.statisticsDefect() == nil)
      if generator.chance(1, in: 3) {
        rig.disk.crash(using: &generator)
        try rig.reopen()
      }
      rig.engine.checkpoint.isUrgent = true
      for _ in 0..<12 { try rig.work() }
    }
    try rig.mergeAll()
    for (key, outcome) in zip(Rig.keys, before) { #expect(try rig.get(key) == outcome) }
    #expect(rig.engine.status(Rig.seeds[0].id).deadBytes == 0)
    for _ in 0..<3 { try rig.engine.flush(on: &rig.disk) }
    #expect(rig.disk.openPaths.count <= 2 + 4, "\(rig.disk.openPaths)")
  }

  @Test(
    "records longer than the budget, several versions of a key in one slice, keys with one hash", arguments: [1, 90])
  func shapes(budget: Int) throws {
    for mask in [UInt64.max, 0x8000_0000_0000_0000] {
      var rig = try Rig(seed: 3, mask: mask)
      for seed in Rig.seeds { try rig.take(.active, in: seed.id) }
      for time in UInt64(1)...5 {
        for key in Rig.keys[..<6] { _ = try rig.put(key, String(repeating: "\(time)", count: 9 * Int(time)), at: time) }
      }
      _ = try rig.put(Rig.keys[6], String(repeating: "x", count: 40_000), at: 6)
      _ = try rig.put(Rig.keys[7], String(repeating: "y", count: 40_000), at: 6)
      _ = try rig.put(Rig.keys[7], String(repeating: "z", count: 40_000), at: 7)
      let first = try rig.endFile()
      rig.beginMerge([first])
      while rig.engine.merge.store != nil {
        try rig.slice(budget)
        try rig.work()
      }
      #expect(try rig.statisticsDefect() == nil)
      #expect(rig.engine.status(Rig.seeds[0].id).deadBytes == 0)
      try rig.reopen()
      for key in Rig.keys[..<6] { #expect(try rig.value(key) == String(repeating: "5", count: 45)) }
      #expect(try rig.value(Rig.keys[7])?.first == "z" && rig.value(Rig.keys[6])?.count == 40_000)
    }
  }

  @Test("a read whose file is merged away meanwhile finds the record in its new place")
  func readDuringMerge() throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "value", at: 5)
    _ = try rig.put(a, "old", at: 5)
    _ = try rig.put(a, "new", at: 6)
    let first = try rig.endFile()
    rig.disk.wouldBlockChance = 1000
    let key = Array(k.utf8)
    let outcome = try rig.engine.lookup(
      key: key, hash: rig.hash(key), in: Rig.seeds[0].id, warm: nil, on: &rig.disk)
    guard case .cold(let read) = outcome else { throw StorageError.missing(path: k, reason: "not cold") }
    let warm = try rig.perform(read)
    rig.disk.wouldBlockChance = 0
    try rig.merge([first])
    for _ in 0..<3 { try rig.engine.flush(on: &rig.disk) }
    #expect(!rig.fileIDs.contains(first))
    // With the answer, and with none because the file was closed first.
    for warm in [warm, nil] {
      let again = try rig.engine.lookup(
        key: key, hash: rig.hash(key), in: Rig.seeds[0].id, warm: warm, on: &rig.disk)
      #expect(again == .found(StoredVersion(stamp: stamp(5), isTombstone: false, value: Array("value".utf8))))
    }
    #expect(throws: StorageError.self) { try rig.perform(read) }
  }

  @Test("a crash between the removals of a file and of its hint leaves no hint for ever")
  func orphanHints() throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "value", at: 5)
    let first = try rig.endFile()
    let (store, hint) = (rig.store.directory, StorePath.hint(rig.store.directory, first))
    for path in [StorePath.hint(store, 900), hint + ".tmp"] { rig.disk.close(try rig.disk.open(path, .create)) }
    try rig.merge([first])
    try rig.reopen()
    #expect(rig.names(".hint") == rig.fileIDs.map { StorePath.hint(store, $0) } && rig.names(".tmp").isEmpty)
    #expect(try rig.value(k) == "value")
  }

  @Test("a hint that cannot be read keeps a tombstone, and fences nothing")
  func unreadableHint() throws {
    var rig = try Rig.active()
    _ = try rig.put(a, "older", at: 4)
    _ = try rig.put(a, "value", at: 5)
    try rig.endFile()
    _ = try rig.put(k, "value", at: 6)
    try rig.forget(k, at: 10)
    let second = try rig.endFile()
    let hint = StorePath.hint(rig.store.directory, rig.fileIDs[0])
    var reads = 0
    for operation in 1...12 {
      var copy = rig
      try copy.reopen()
      #expect(try copy.purge(Array(k.utf8), stamp(10)) == .purged)
      copy.beginMerge([second])
      copy.disk.failure = (operation: copy.disk.operationCount + operation, errno: 5)
      if let error = finish(&copy) {
        guard case .io(let kind, let path, _) = error else { throw error }
        #expect(path != hint || kind != .read)
        continue
      }
      if copy.engine.role(Rig.seeds[0].id) == .active { reads += 1 }
      #expect(!copy.disk.openPaths.contains(hint), "operation \(operation)")
    }
    #expect(reads > 0)
  }

  /// Goes on with the merge until it ends; returns the error if that is how.
  private func finish(_ rig: inout Rig) -> StorageError? {
    do throws(StorageError) {
      while rig.engine.merge.store != nil {
        try rig.slice()
        try rig.engine.flush(on: &rig.disk)
        try rig.work()
      }
    } catch { return error }
    return nil
  }
}
