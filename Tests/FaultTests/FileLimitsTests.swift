import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Files over the life of a store")
struct FileLimitsTests {
  private func file(_ id: UInt32) -> DataFile {
    DataFile(
      id: id, handle: nil, path: "", salt: 0, length: 64, flushedLength: 64, syncedLength: 64, isNamed: true,
      isSealed: true)
  }

  @Test("indices of the table stay below the most files there were, ids grow without end", arguments: UInt64(0)..<8)
  func table(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var table = FileTable()
    var live: [UInt32: Int] = [:]
    var id: UInt32 = 0
    var most = 0
    for _ in 0..<8000 {
      if live.count < 40 && generator.chance(3, in: 5) {
        id += 1 + UInt32(generator.below(9))
        live[id] = table.insert(file(id))
      } else if let gone = live.keys.sorted().dropFirst(generator.below(max(1, live.count))).first {
        table.remove(live[gone] ?? -1)
        live[gone] = nil
        #expect(table.index(ofFile: gone) == nil)
      }
      most = max(most, live.count)
      #expect(table.indices.map { table[$0].id } == live.keys.sorted())
      #expect(Set(live.values).count == live.count && live.values.allSatisfy { $0 < most })
      #expect(live.allSatisfy { table.index(ofFile: $0.key) == $0.value })
    }
    #expect(id > 1 << 14)
  }

  @Test("a file that a turn has asked to read is open when the turn is over", arguments: [1, 2, 3])
  func readAfterTurn(openFilesMax: Int) throws {
    try readCold(openFilesMax: openFilesMax) { _, _, _ in }
  }

  @Test("it is open although the turn began another file after it had asked", arguments: [1, 2, 3])
  func readAcrossFiles(openFilesMax: Int) throws {
    try readCold(openFilesMax: openFilesMax) { rig, round, reads in
      // As a merge does that ends a file, or a write that finds the file full.
      _ = try rig.put(Rig.keys[10 + round], "\(reads)", at: UInt64(1000 + reads))
      try rig.engine.seal(rig.engine.stores.filter { $0.active != nil }, on: &rig.disk)
    }
  }

  /// Turns that ask for cold reads of more files than may be open, or of one alone: the next turn closes what this one
  /// needed too many. After each read that was asked for, `then` is given the round and the number of reads so far.
  private func readCold(openFilesMax: Int, then: (inout Rig, Int, Int) throws -> Void) throws {
    var rig = try Rig.active(openFilesMax: openFilesMax)
    for (time, key) in Rig.keys[..<8].enumerated() {
      _ = try rig.put(key, "value", at: UInt64(time) + 1)
      try rig.endFile()
    }
    rig.disk.wouldBlockChance = 1000
    var reads = 0
    for round in 0..<6 {
      var asked: [ColdRead] = []
      for key in round.isMultiple(of: 2) ? Rig.keys[..<8] : Rig.keys[3..<4] {
        let bytes = Array(key.utf8)
        let found = try rig.engine.lookup(
          key: bytes, hash: rig.hash(bytes), in: rig.store(of: bytes), warm: nil, on: &rig.disk)
        if case .cold(let read) = found { asked.append(read) }
        try then(&rig, round, reads + asked.count)
      }
      try rig.engine.flush(on: &rig.disk)
      for read in asked { #expect(rig.disk.duplicate(read.file) != nil, "round \(round)") }
      reads += asked.count
    }
    #expect(reads > 0)
  }

  @Test("a store that has had more than 16,384 files, merged away since, works on and opens")
  func manyFiles() throws {
    var rig = try Rig.active(openFilesMax: 2)
    rig.options.fileBytesMax = 300
    try rig.reopen()
    rig.store.manifest.nextFileID = UInt32(StorageLimits.filesMax) - 40
    var expected: [String: String] = [:]
    for time in UInt64(1)...600 {
      let key = Rig.keys[Int(time % 7)]
      expected[key] = "value \(time)"
      _ = try rig.put(key, "value \(time)", at: time)
      try rig.engine.flush(on: &rig.disk)
      if time % 60 == 0 {
        try rig.endFile()
        try rig.mergeAll()
        try rig.work(afterMilliseconds: 70_000)
      }
      if time % 130 == 0 { try rig.reopen() }
    }
    #expect(rig.store.manifest.nextFileID > UInt32(StorageLimits.filesMax) + 40)
    #expect(rig.store.dataFiles.indices.allSatisfy { $0 < 100 })
    try rig.shutdown()
    try rig.reopen()
    for (key, value) in expected { #expect(try rig.value(key) == value) }
    #expect(try rig.statisticsDefect() == nil)
  }

  @Test("a store with the most files refuses writes, counts rightly, and a merge makes room")
  func tableIsFull() throws {
    var rig = try Rig.active(openFilesMax: 2)
    let most = StorageLimits.filesMax - StorageLimits.filesForMerges
    _ = try rig.put(Rig.keys[0], "value", at: 1)
    _ = try rig.put(Rig.keys[1], "value", at: 1)
    try rig.endFile()
    // Files that hold nothing, as far as the table goes.
    while rig.store.dataFiles.count < most {
      _ = rig.store.dataFiles.insert(file(UInt32(rig.store.dataFiles.count + 9)))
    }
    rig.store.manifest.nextFileID = 1 << 20
    for _ in 0..<2 {
      #expect(throws: StorageError.self) { try rig.put(Rig.keys[0], "newer", at: 2) }
      #expect(throws: StorageError.self) { try rig.delete(Rig.keys[2], at: 2) }
    }
    #expect(rig.engine.status(Rig.seeds[0].id).keysLive == 2)
    #expect(rig.store.dataFiles[0].liveRecords == 2)
    try rig.merge(rig.fileIDs)
    #expect(rig.store.dataFiles.count == 1)
    #expect(try rig.put(Rig.keys[0], "newer", at: 2) != .belowFloor(.zero))
    #expect(try rig.value(Rig.keys[1]) == "value" && rig.value(Rig.keys[0]) == "newer")
  }

  @Test("however many files there are, few are open, and merges leave none open")
  func descriptors() throws {
    var rig = try Rig.active(openFilesMax: 2)
    rig.options.fileBytesMax = 300
    try rig.reopen()
    var files = 0
    var time: UInt64 = 0
    // Active files, journal segments of which one is synced, hints: what is open besides sealed files.
    let others = 2 + 3
    for round in 0..<12 {
      for key in Rig.keys[..<20] {
        time += 1
        _ = try rig.put(key, "round \(round)", at: time)
        try rig.commit()
        try rig.work()
        // A turn that reads one file.
        _ = try rig.get(Rig.keys[Int(time % 20)])
        try rig.engine.flush(on: &rig.disk)
        files = max(files, rig.fileIDs.count)
      }
      for _ in 0..<30 { try rig.work(afterMilliseconds: 10_000) }
      try rig.engine.flush(on: &rig.disk)
      #expect(rig.disk.openPaths.count <= 2 + others, "\(rig.disk.openPaths)")
      if round % 3 == 2 { try rig.mergeAll() }
    }
    #expect(rig.engine.mergeStatus.merges > 2 && files > 10)
    // A turn reads everything.
    for key in Rig.keys[..<20] { _ = try rig.get(key) }
    for _ in 0..<3 { try rig.engine.flush(on: &rig.disk) }
    #expect(rig.disk.openPaths.count <= 2 + others, "\(rig.disk.openPaths)")
  }

  @Test("a merge with many outputs keeps few of them open, in every sync mode", arguments: SyncMode.allCases)
  func manyOutputs(mode: SyncMode) throws {
    var rig = try Rig.active(sync: mode, openFilesMax: 2)
    for key in Rig.keys[..<300] { _ = try rig.put(key, String(repeating: "v", count: 60), at: 5) }
    _ = try rig.put(Rig.keys[0], "newer", at: 6)
    let first = try rig.endFile()
    rig.options.fileBytesMax = 700
    try rig.reopen()
    rig.beginMerge([first])
    var most = 0
    while rig.engine.merge.store != nil {
      try rig.slice(400)
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
      most = max(most, rig.disk.openPaths.count)
    }
    #expect(rig.fileIDs.count > 30 && most < 12, "\(most) open")
  }

  @Test("a thousand merges, finished, cancelled or broken off, leave no file open and none on the disk")
  func thousandMerges() throws {
    var rig = try Rig.active(openFilesMax: 2)
    var generator = SeededGenerator(seed: 4)
    var time: UInt64 = 0
    var done = 0
    while done < 1000 {
      for key in Rig.keys[..<3] {
        time += 1
        _ = time % 4 == 0 ? try rig.delete(key, at: time) : try rig.put(key, "value", at: time)
      }
      try rig.engine.flush(on: &rig.disk)
      try rig.engine.seal([rig.store], on: &rig.disk)
      for _ in 0..<4 { try rig.work() }
      for _ in 0..<5 {
        done += 1
        rig.beginMerge(rig.store.mergeable.map { rig.store.dataFiles[$0].id })
        if done % 7 == 0 { rig.disk.failure = (rig.disk.operationCount + 1 + generator.below(6), 24) }
        for _ in 0..<generator.below(12) where rig.engine.merge.store != nil {
          try rig.slice(60)
          rig.disk.failure = nil
          try rig.engine.flush(on: &rig.disk)
          try rig.work()
        }
        rig.disk.failure = nil
        rig.engine.cancelMerge(on: &rig.disk)
        for _ in 0..<2 { try rig.work() }
        rig.engine.checkpoint.isUrgent = true
        for _ in 0..<3 { try rig.work() }
      }
      for _ in 0..<2 { try rig.engine.flush(on: &rig.disk) }
      #expect(rig.disk.openPaths.count <= 2 + 4, "after \(done) merges: \(rig.disk.openPaths)")
    }
    try rig.mergeAll()
    for _ in 0..<4 { try rig.engine.flush(on: &rig.disk) }
    try rig.work(afterMilliseconds: 70_000)
    try rig.reopen()
    #expect(rig.names(".data").count == rig.fileIDs.count && rig.fileIDs.count <= 2)
    #expect(rig.names(".hint").count <= rig.fileIDs.count && rig.names(".tmp").isEmpty)
  }
}
