import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// Bugs that stores of this kind had in public, each by the symptom that its users saw. Numbers without a name are
// issues and pull requests of basho/bitcask; the others are the paths by which deleted data comes back (Docs/DeleteProtocol.md).

@Suite("Known bugs of stores like this one")
struct KnownBugsTests {
  private let a = Rig.keys[0]
  private let b = Rig.keys[1]
  private let k = Rig.keys[2]

  /// Opens the store anew after the machine lost power, and after the process alone died.
  private func restarts(_ rig: Rig) throws -> [Rig] {
    try [false, true].map { power in
      var copy = rig
      if power { copy.disk.discardUnsynced() }
      try copy.reopen()
      #expect(copy.engine.recovery.damaged.isEmpty)
      return copy
    }
  }

  // #82, #102: a partial merge dropped the tombstone while an older file still held the value.
  @Test("a deleted key is alive after a restart, because its tombstone was merged away alone")
  func partialMerge() throws {
    var rig = try Rig.active()
    _ = try rig.put(a, "stays", at: 4)
    _ = try rig.put(k, "old", at: 5)
    let first = try rig.endFile()
    _ = try rig.put(b, "stays", at: 6)
    try rig.forget(k, at: 10)
    let second = try rig.endFile()
    try rig.merge([second])
    for var rig in try restarts(rig) { #expect(try rig.value(k) == nil) }
    // Together with the value it may go.
    try rig.merge(rig.fileIDs)
    #expect(!rig.fileIDs.contains(first) && rig.engine.mergeStatus.totals.tombstonesDropped == 1)
    for var rig in try restarts(rig) { #expect(try rig.get(k) == .absent) }
  }

  // Found by the model of the delete protocol: an older tombstone hides from rule FLOOR that the key is gone.
  @Test("a late write of a key that was deleted twice takes effect, because the newer tombstone was merged away alone")
  func olderTombstone() throws {
    var rig = try Rig.active()
    _ = try rig.put(a, "stays", at: 1)
    _ = try rig.delete(k, at: 5)
    let first = try rig.endFile()
    _ = try rig.put(k, "again", at: 7)
    _ = try rig.put(b, "stays", at: 8)
    try rig.forget(k, at: 10)
    let second = try rig.endFile()
    try rig.merge([second])
    for var rig in try restarts(rig) {
      _ = try rig.put(k, "again", at: 7)
      #expect(try rig.value(k) == nil)
    }
    try rig.merge(rig.fileIDs)
    #expect(!rig.fileIDs.contains(first))
    for var rig in try restarts(rig) { #expect(try rig.get(k) == .absent) }
  }

  // #148: the merge had copied the value into a file that is newer than the tombstone's.
  @Test("a deleted key is alive after a restart, because a merge copied it behind its tombstone")
  func copiedBehindTombstone() throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "old", at: 5)
    _ = try rig.put(a, "stays", at: 3)
    let first = try rig.endFile()
    _ = try rig.put(b, "stays", at: 6)
    try rig.commit()
    rig.beginMerge([first])
    while try rig.slice(1) != .waiting {}
    try rig.forget(k, at: 10)
    try rig.engine.flush(on: &rig.disk)
    for _ in 0..<9 { try rig.work() }
    let second = try rig.endFile()
    #expect(rig.fileIDs == [second, second + 1], "the value is in a newer file than its tombstone")
    try rig.merge([second])
    for var rig in try restarts(rig) { #expect(try rig.value(k) == nil) }
  }

  // #148, #156: a file above the oldest merged one was taken for one that cannot hold the key.
  @Test("the newest version wins though it stands in an older file")
  func olderFileHasNewest() throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "old", at: 5)
    _ = try rig.put(a, "old", at: 5)
    let first = try rig.endFile()
    _ = try rig.put(b, "stays", at: 6)
    try rig.commit()
    rig.beginMerge([first])
    while try rig.slice() != .waiting {}
    _ = try rig.put(k, "new", at: 12)
    _ = try rig.delete(a, at: 12)
    try rig.commit()
    rig.engine.cancelMerge(on: &rig.disk)
    try rig.endFile()
    #expect(rig.fileIDs == [1, 2, 3])
    for var rig in try restarts(rig) {
      #expect(try rig.value(k) == "new" && rig.value(a) == nil)
      #expect(try rig.statisticsDefect() == nil)
    }
  }

  // Inputs {value, tombstone}, both dropped; the tombstone's file is gone and the value's is not (scylladb#31372).
  @Test("a deleted key is alive after a crash between the removals of merged files")
  func crashBetweenUnlinks() throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "old", at: 5)
    _ = try rig.put(a, "stays", at: 4)
    let first = try rig.endFile()
    try rig.forget(k, at: 10)
    let second = try rig.endFile()
    let steps = try rig.lastJob(merging: [first, second])
    for performed in 0...steps.count {
      for seed in UInt64(0)..<8 {
        var copy = rig
        for step in steps[..<performed] { try step.perform(on: &copy.disk) }
        var generator = SeededGenerator(seed: seed)
        copy.disk.crash(using: &generator)
        try copy.reopen()
        #expect(copy.engine.recovery.damaged.isEmpty)
        #expect(try copy.value(k) == nil && copy.value(a) == "stays", "after \(performed) steps, seed \(seed)")
      }
    }
  }

  @Test("a hint without tombstones, or older than its file, brings a deleted key back")
  func hintKnowsTombstones() throws {
    var rig = try Rig.active(sync: .never)
    _ = try rig.put(k, "old", at: 5)
    _ = try rig.put(a, "old", at: 5)
    _ = try rig.delete(k, at: 10)
    try rig.shutdown()
    try rig.reopen()
    #expect(try rig.get(k) != .absent && rig.value(k) == nil)
    _ = try rig.delete(a, at: 11)
    try rig.commit()
    for var rig in try restarts(rig) { #expect(try rig.value(a) == nil && rig.value(k) == nil) }
  }

  @Test("a file takes the number of one that was merged away, and with it a stale hint")
  func idsOnlyGrow() throws {
    var rig = try Rig.active()
    var last: UInt32 = 0
    for round in UInt64(1)..<6 {
      _ = try rig.put(k, "value", at: round * 10)
      try rig.forget(k, at: round * 10 + 1)
      let id = try rig.endFile()
      #expect(id > last)
      last = id
      try rig.merge(rig.fileIDs)
      #expect(rig.fileIDs.isEmpty && rig.names(".data").isEmpty && rig.names(".hint").isEmpty)
      try rig.reopen()
    }
  }

  // P65; bitcask f472b88.
  @Test("a superseded tombstone is dropped, then what superseded it, and the oldest value is alive")
  func supersededTombstone() throws {
    var rig = try Rig.active()
    _ = try rig.put(a, "stays", at: 4)
    _ = try rig.put(k, "oldest", at: 5)
    try rig.endFile()
    _ = try rig.delete(k, at: 9)
    let second = try rig.endFile()
    _ = try rig.put(k, "newer", at: 12)
    let third = try rig.endFile()
    try rig.forget(k, at: 15)
    let fourth = try rig.endFile()
    try rig.merge([second])
    for var rig in try restarts(rig) { #expect(try rig.value(k) == nil) }
    try rig.merge([third, fourth])
    for var rig in try restarts(rig) { #expect(try rig.value(k) == nil) }
    try rig.merge(rig.fileIDs)
    #expect(rig.store.dataFiles.indices.allSatisfy { rig.store.dataFiles[$0].deadBytes == 0 })
    for var rig in try restarts(rig) { #expect(try rig.get(k) == .absent && rig.value(a) == "stays") }
  }

  @Test("a value that looks like a tombstone deletes its key")
  func sentinels() throws {
    var rig = try Rig.active()
    let values = ["", "__TOMB__", "bitcask_tombstone", "bitcask_tombstone2", "\0", "null"]
    for (key, value) in zip(Rig.keys, values) { _ = try rig.put(key, value, at: 5) }
    let id = try rig.endFile()
    try rig.merge([id])
    for var rig in try restarts(rig) {
      for (key, value) in zip(Rig.keys, values) { #expect(try rig.value(key) == value) }
    }
  }

  @Test("a merge loses the floor, the head of the feed or a promise")
  func factsSurvive() throws {
    var rig = try Rig.active()
    let id = Rig.seeds[0].id
    let promise = PeerPromise(peer: NodeID(2), incarnation: Identity128(high: 1, low: 1), configID: 3, tsnHead: 4)
    for step in rig.engine.setRole(id, .active, promises: [promise]) { try step.perform(on: &rig.disk) }
    rig.engine.adoptRole(id, .active, promises: [promise])
    _ = try rig.put(k, "old", at: 5)
    try rig.forget(k, at: 10)
    try rig.endFile()
    try rig.merge(rig.fileIDs)
    #expect(rig.fileIDs.isEmpty)
    for var rig in try restarts(rig) {
      #expect(rig.engine.floor(id) == stamp(10) && rig.engine.status(id).tsnHead == 1)
      #expect(rig.engine.promises(id) == [promise])
      #expect(try rig.put(k, "late copy", at: 9) == .belowFloor(stamp(10)))
    }
  }

  // The journal is a live file: it may hold the value, and it is replayed in every sync mode.
  @Test("a journal that outlived a merge brings a deleted key back", arguments: SyncMode.allCases)
  func journalAfterMerge(mode: SyncMode) throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "old", at: 5)
    _ = try rig.put(a, "stays", at: 20)
    try rig.forget(k, at: 10)
    let path = try #require(rig.disk.paths.first { $0.hasSuffix(".journal") })
    let journal = try #require(rig.disk.contents(path))
    try rig.endFile()
    try rig.merge(rig.fileIDs)
    // As if the removal of the segment had not become durable.
    #expect(rig.disk.contents(path) == nil)
    let file = try rig.disk.open(path, .create)
    try rig.disk.syncDirectory(StorePath.journal(Rig.root))
    rig.disk.overwrite(path, with: journal)
    rig.disk.close(file)
    rig.options.sync = mode
    for var rig in try restarts(rig) {
      #expect(rig.engine.recovery.journalRecords == 3)
      #expect(try rig.value(k) == nil && rig.value(a) == "stays" && rig.engine.status(Rig.seeds[0].id).tsnHead == 1)
    }
  }

  // #196: every update wrote a tombstone for the version it replaced.
  @Test("an update or delete writes more than its own record")
  func oneRecordEach() throws {
    var rig = try Rig.active()
    for time in UInt64(1)...6 {
      _ = time.isMultiple(of: 3) ? try rig.delete(k, at: time) : try rig.put(k, "value", at: time)
    }
    try rig.commit()
    let file = rig.store.dataFiles[0]
    #expect(file.records == 6 && file.liveRecords == 1)
  }

  // #47: the lock that named the active file was read too early.
  @Test("a merge takes the file that is being written")
  func activeFileStays() throws {
    var rig = try Rig.active()
    for time in UInt64(1)...50 { _ = try rig.put(k, "value \(time)", at: time) }
    try rig.commit()
    try rig.work(afterMilliseconds: 70_000)
    #expect(rig.store.mergeable.isEmpty && rig.store.active != nil)
  }

  // #174, #177, #180: folds missed values, or saw deleted ones, while a merge went on.
  @Test("a listing misses keys, or shows deleted ones, while a merge goes on", arguments: UInt64(0)..<20)
  func listingDuringMerge(seed: UInt64) throws {
    var rig = try Rig.active()
    rig.disk.wouldBlockChance = 200
    var generator = SeededGenerator(seed: seed)
    let stable = Array(Rig.keys[100..<600])
    for (number, key) in stable.enumerated() {
      _ = try rig.put(key, String(repeating: "v", count: 40), at: UInt64(10 + number))
      if number % 100 == 99 { try rig.endFile() }
    }
    for key in Rig.keys[..<50] { _ = try rig.delete(key, at: 1) }
    rig.beginMerge(rig.fileIDs.filter { rig.store.mergeable.map { rig.store.dataFiles[$0].id }.contains($0) })
    var seen: [String] = []
    var from: UInt64? = 0
    var warm: WarmBytes?
    while let hash = from {
      let outcome = try rig.engine.keys(
        in: Rig.seeds[0].id, from: hash, matching: KeyPattern([]), warm: warm, on: &rig.disk)
      warm = nil
      switch outcome {
      case .cold(let read): warm = try rig.perform(read)
      case .page(let page):
        var at = 0
        while let entry = page.entry(at: at) {
          if !entry.isTombstone { seen.append(String(decoding: page.bytes[entry.key], as: UTF8.self)) }
          at = entry.key.upperBound
        }
        from = page.next
      }
      for _ in 0..<generator.below(3) { try rig.slice(1 + generator.below(4000)) }
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
    #expect(seen.sorted() == stable.sorted())
  }

  // #185, #186: a file with nothing but tombstones crashed the merge.
  @Test("a merge of files in which nothing counts fails")
  func nothingCounts() throws {
    var rig = try Rig.active()
    for (number, key) in Rig.keys[..<30].enumerated() { try rig.forget(key, at: UInt64(10 + number)) }
    try rig.endFile()
    try rig.mergeAll()
    #expect(rig.fileIDs.isEmpty && rig.engine.mergeStatus.totals.bytesCopied == 0)
    for rig in try restarts(rig) { #expect(rig.engine.floor(Rig.seeds[0].id) == stamp(39)) }
  }

  // #205: a file that was to be removed was merged again and again.
  @Test("two files whose tombstones stand in each other's way are merged for ever")
  func noEndlessMerges() throws {
    var rig = try Rig.active()
    rig.options.merge.checkIntervalMilliseconds = 1000
    try rig.reopen()
    // The same keys deleted in both files, and an old value in each: each hint says that it may hold the others' keys.
    _ = try rig.put(a, "stays", at: 1)
    for key in Rig.keys[10..<40] { _ = try rig.delete(key, at: 10) }
    let first = try rig.endFile()
    _ = try rig.put(b, "goes", at: 2)
    _ = try rig.put(b, "stays", at: 3)
    for key in Rig.keys[10..<40] { _ = try rig.delete(key, at: 20) }
    _ = try rig.endFile()
    #expect(rig.engine.mergeStatus.merges == 0)
    try rig.merge([first])
    #expect(rig.engine.mergeStatus.totals.tombstonesBlocked == 30)
    for key in Rig.keys[10..<40] { _ = try rig.put(key, String(repeating: "live", count: 50), at: 30) }
    try rig.commit()
    let before = rig.engine.mergeStatus.merges
    for _ in 0..<200 {
      rig.now = rig.now.adding(milliseconds: 1100)
      try rig.slice()
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
    #expect(rig.engine.mergeStatus.merges - before <= 2)
    // Nothing is left that only a merge of both could free.
    #expect(rig.engine.status(Rig.seeds[0].id).tombstones == 0)
    #expect(rig.engine.status(Rig.seeds[0].id).deadBytes == 0)
  }

  // #212, riak_kv#1120, #1031: a damaged record made the start loop, or the node crash.
  @Test("a damaged record makes the start loop or crash, or hides what it supersedes")
  func damagedTombstone() throws {
    var rig = try Rig.active()
    _ = try rig.put(k, "old", at: 5)
    try rig.endFile()
    _ = try rig.delete(k, at: 10)
    let second = try rig.endFile()
    let path = StorePath.data(rig.store.directory, second)
    for hasHint in [true, false] {
      for bit in 0..<(rig.disk.contents(path)!.count * 8) {
        var copy = rig
        if !hasHint { try copy.disk.unlink(StorePath.hint(rig.store.directory, second)) }
        copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: path)
        try copy.reopen()
        // Delete evidence that has rotted is never taken for absent: the store says so instead.
        #expect(throws: StorageError.self, "bit \(bit)") { try copy.get(k) }
        #expect(copy.engine.role(Rig.seeds[0].id) == .fenced)
      }
    }
  }

  @Test("a merge meets damage and carries it on, or loses what stands behind it", arguments: [true, false])
  func mergeMeetsDamage(hasHint: Bool) throws {
    var rig = try Rig.active()
    rig.options.merge.window = .never
    let keys = Rig.keys[..<3]
    for key in keys { _ = try rig.put(key, "value", at: 5) }
    let first = try rig.endFile()
    let path = StorePath.data(rig.store.directory, first)
    let before = try #require(rig.disk.contents(path))
    for bit in FileHeader.byteCount * 8..<before.count * 8 {
      var copy = rig
      try copy.reopen()
      copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: path)
      if !hasHint { try copy.disk.unlink(StorePath.hint(copy.store.directory, first)) }
      copy.beginMerge([first])
      while copy.engine.merge.store != nil {
        guard try copy.slice() != .waiting else { break }
      }
      #expect(copy.engine.merge.store == nil && copy.disk.contents(path) != nil, "bit \(bit)")
      guard hasHint else {
        // Nobody knows what stood there: nothing of the store is served.
        #expect(copy.engine.role(Rig.seeds[0].id) == .fenced, "bit \(bit)")
        continue
      }
      // Which key it was, and how new, the hint knows: that key is damaged, and every other as it was.
      #expect(copy.engine.role(Rig.seeds[0].id) == .active, "bit \(bit)")
      let (note, state) = try #require(copy.engine.damages(Rig.seeds[0].id).first, "bit \(bit)")
      #expect(state == .fencing && (note.offset..<note.end).contains(UInt64(bit / 8)), "bit \(bit)")
      let hit = try #require(keys.first { copy.hash(Array($0.utf8)) == note.record?.hash }, "bit \(bit)")
      // Unrepaired it stays where it is, whoever asks for merges.
      try copy.mergeAll()
      for _ in 0..<20 { try copy.work() }
      #expect(copy.disk.contents(path) != nil && copy.engine.damages(Rig.seeds[0].id).count == 1, "bit \(bit)")
      #expect(throws: note.error, "bit \(bit)") { try copy.get(hit) }
      for key in keys where key != hit { #expect(try copy.value(key) == "value", "bit \(bit): \(key)") }
      guard bit % 5 == 0 else { continue }
      // Repaired, the file goes, and what it took with it is nowhere.
      let version = StoredVersion(stamp: stamp(5), isTombstone: false, value: Array("value".utf8))
      #expect(
        try copy.engine.repair(note, with: [(Array(hit.utf8), version)], isFinal: false, on: &copy.disk)
          == .repaired(copy.engine.appended))
      try copy.engine.flush(on: &copy.disk)
      try copy.mergeAll()
      for _ in 0..<20 { try copy.work() }
      #expect(copy.disk.contents(path) == nil && copy.engine.damages(Rig.seeds[0].id).isEmpty, "bit \(bit)")
      try copy.shutdown()
      #expect(try copy.check().findings.isClean, "bit \(bit)")
      try copy.reopen()
      for key in keys { #expect(try copy.value(key) == "value", "bit \(bit): \(key), reopened") }
    }
  }
}
