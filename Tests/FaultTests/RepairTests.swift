import Causality
import Primitives
import Simulation
import Storage
import Testing

@Suite("Repair of a store")
struct RepairTests {
  /// Everything synced: values, superseded ones and tombstones in several files.
  private func closed() throws -> Rig {
    var rig = try Rig.filled(.never)
    try rig.shutdown()
    return rig
  }

  /// The new store holds exactly these records: of every key the newest, and nothing of others. It is clean, and fenced.
  private func expect(_ rig: Rig, holds records: [PlacedRecord], _ label: String) throws {
    var opened = try rig.openedRepaired()
    #expect(opened.engine.recovery.damaged.isEmpty && opened.engine.recovery.missing.isEmpty, "\(label)")
    #expect(opened.engine.role(Rig.seeds[0].id) == .fenced, "\(label)")
    for index in 0..<8 {
      let key = Array("k\(index)".utf8)
      guard opened.store(of: key) == Rig.seeds[0].id else { continue }
      let newest = records.filter { $0.key == key }.max { $0.stamp < $1.stamp }
      switch try opened.lookup(key) {
      case .found(let version):
        #expect(version.stamp == newest?.stamp && version.isTombstone == newest?.isTombstone, "\(label): k\(index)")
      case .absent: #expect(newest == nil, "\(label): lost k\(index)")
      case .cold: Issue.record("cold after a blocking read")
      }
    }
    #expect(try opened.check(Rig.newStore).findings.all.filter { $0.gravity == .error } == [], "\(label)")
  }

  @Test(
    "of a whole store nothing is lost: every record is there, identity and promises too, and the old one is untouched")
  func whole() throws {
    var rig = try closed()
    let old = rig.oldFiles
    let records = try rig.placedRecords()
    var manifest = try #require(try StoreContents(reading: Rig.store, on: &rig.disk).manifest)
    manifest.cursors = [FeedCursor(peer: NodeID(2), incarnation: Identity128(high: 5, low: 6), tsn: 4)]
    manifest.promises = [PeerPromise(peer: NodeID(3), incarnation: Identity128(high: 8, low: 9), configID: 99)]
    manifest.floor = stamp(3)
    manifest.role = .active
    rig.disk.overwrite(Rig.store + "/manifest", with: manifest.encoded())
    let report = try rig.repair()
    #expect(report.unsalvaged == [] && report.lossCount == 0 && report.notes.all == [])
    #expect(report.records == UInt64(records.count) && report.journalRecords == 0)
    #expect(report.tombstones == UInt64(records.filter(\.isTombstone).count))
    #expect(report.superseded == UInt64(records.count - Set(records.map(\.key)).count) && report.superseded > 0)
    let new = try #require(try StoreContents(reading: Rig.newStore, on: &rig.disk).manifest)
    #expect(new.files.allSatisfy(\.isSealed) && new.files.count > 1 && report.hintsWritten == new.files.count)
    #expect(new.files.allSatisfy { $0.id >= manifest.nextFileID }, "an id of a file is never used again")
    manifest.role = .fenced
    (manifest.files, manifest.nextFileID) = (new.files, new.nextFileID)
    #expect(new == manifest)
    try expect(rig, holds: records, "whole")
    for (path, bytes) in old where path != Rig.store + "/manifest" {
      #expect(rig.disk.contents(path) == bytes, "\(path)")
    }
  }

  @Test("of a flipped bit exactly the record that it hit is lost, and named with its place and the keys around it")
  func flips() throws {
    let rig = try closed()
    let records = try rig.placedRecords()
    for path in Set(records.map(\.path)).sorted() {
      for byte in 0..<(try #require(rig.disk.contents(path)).count) {
        var copy = rig
        copy.disk.flipBit(byte % 8, ofByte: byte, in: path)
        let report = try copy.repair()
        guard byte >= FileHeader.byteCount else {
          #expect(report.unsalvaged == [] && report.notes.all.map(\.path) == [path], "\(path): byte \(byte)")
          if byte % 16 == 0 { try expect(copy, holds: records, "\(path): byte \(byte)") }
          continue
        }
        let hit = try #require(
          records.firstIndex { $0.path == path && UInt64(byte) < $0.offset + UInt64($0.byteCount) })
        var left = records
        let lost = left.remove(at: hit)
        let range = try #require(report.unsalvaged.first)
        #expect(report.unsalvaged.count == 1 && range.path == path && range.isLoss, "\(path): byte \(byte)")
        #expect(range.offset == lost.offset && range.length == UInt64(lost.byteCount), "\(path): byte \(byte)")
        let neighbours = [hit - 1, hit + 1].map { records.indices.contains($0) ? records[$0] : nil }
          .map { $0?.path == path ? $0?.key : nil }
        #expect([range.keys.before, range.keys.after] == neighbours, "\(path): byte \(byte)")
        #expect(report.records == UInt64(left.count) && report.bytesLost == range.length, "\(path): byte \(byte)")
        if byte % 4 == 0 { try expect(copy, holds: left, "\(path): byte \(byte)") }
      }
    }
  }

  @Test("of a file that was cut, or is gone, what stands before the cut is kept, and the rest told to the byte")
  func cuts() throws {
    let rig = try closed()
    let records = try rig.placedRecords()
    for path in Set(records.map(\.path)).sorted() {
      let whole = try #require(rig.disk.contents(path))
      for length in 0..<whole.count {
        var copy = rig
        copy.disk.overwrite(path, with: Array(whole[..<length]))
        let report = try copy.repair()
        let left = records.filter { $0.path != path || $0.offset + UInt64($0.byteCount) <= UInt64(length) }
        let end = left.last { $0.path == path }.map { $0.offset + UInt64($0.byteCount) }
        let start = end ?? UInt64(min(length, FileHeader.byteCount))
        #expect(report.unsalvaged.map(\.offset) == [start], "\(path) cut to \(length)")
        #expect(report.bytesLost == UInt64(whole.count) - start && report.lossCount == 1, "\(path) cut to \(length)")
        #expect(report.records == UInt64(left.count), "\(path) cut to \(length)")
        if length % 8 == 0 { try expect(copy, holds: left, "\(path) cut to \(length)") }
      }
      var copy = rig
      try copy.disk.unlink(path)
      let report = try copy.repair()
      #expect(report.unsalvaged.map(\.path) == [path] && report.bytesLost == UInt64(whole.count))
      try expect(copy, holds: records.filter { $0.path != path }, "\(path) is gone")
    }
  }

  @Test("without a manifest the node says whose store it is, or else the files do, if they agree")
  func manifests() throws {
    let rig = try closed()
    let records = try rig.placedRecords()
    let path = Rig.store + "/manifest"
    let whole = try #require(rig.disk.contents(path))
    for node in [Rig.node, nil] {
      for variant in 0..<3 {
        var copy = rig
        switch variant {
        case 0: try copy.disk.unlink(path)
        case 1: copy.disk.overwrite(path, with: Array(whole.prefix(70)))
        default: copy.disk.flipBit(3, ofByte: 40, in: path)
        }
        let report = try copy.repair(node: node)
        #expect(report.unsalvaged.map(\.path) == [path] && report.lossCount == 1, "variant \(variant)")
        #expect(report.records == UInt64(records.count))
        #expect((report.hintsWritten > 0) == (node != nil))
        try expect(copy, holds: records, "variant \(variant)")
        let new = try #require(try StoreContents(reading: Rig.newStore, on: &copy.disk).manifest)
        #expect(new.incarnation == Rig.seeds[0].incarnation && new.configID == (node == nil ? 0 : 99))
        #expect(new.tsnHead == UInt64(records.filter(\.isTombstone).count))
      }
    }
    // A file of an earlier life between them: only the node knows which of the two counts.
    var copy = rig
    try copy.disk.unlink(path)
    let other = FileHeader(
      kind: .data, cluster: Identity128(high: 1, low: 2), node: NodeID(1), store: Rig.seeds[0].id, file: 99,
      identity: Identity128(high: 4, low: 4))
    let file = try copy.disk.open(Rig.store + "/000099.data", .create)
    try copy.disk.append(other.encoded(), to: file)
    var undecided = copy
    #expect(throws: StorageError.self) { try undecided.repair(node: nil) }
    #expect(!undecided.disk.paths.contains { $0.hasPrefix(Rig.newStore) })
    let report = try copy.repair()
    #expect(report.records == UInt64(records.count) && report.notes.all.map(\.path) == [Rig.store + "/000099.data"])
    try expect(copy, holds: records, "with a file of an earlier life")
  }

  @Test("what a running or crashed node left is there, from files or journal", arguments: UInt64(0)..<12)
  func crashed(seed: UInt64) throws {
    var drive = try RandomDrive(seed: seed, sync: SyncMode.allCases[Int(seed % 3)])
    for round in 0..<6 {
      for _ in 0..<120 { try drive.step() }
      var copy = drive.rig
      if round % 2 == 0 { copy.disk.crash(using: &drive.generator) } else { copy.disk.killProcess() }
      var expected = copy
      try expected.reopen()
      let report = try copy.repair(fileBytesMax: 700)
      #expect(report.lossCount == 0, "seed \(seed), round \(round): \(report.unsalvaged)")
      var opened = try copy.openedRepaired()
      let id = Rig.seeds[0].id
      #expect(opened.engine.role(id) == .fenced && opened.engine.recovery.damaged.isEmpty)
      #expect(opened.engine.status(id).tsnHead >= expected.engine.status(id).tsnHead)
      for (key, entries) in drive.model.applied where opened.store(of: key) == id {
        guard case .found(let version) = try expected.lookup(key) else { continue }
        guard case .found(let salvaged) = try opened.lookup(key) else {
          Issue.record("seed \(seed), round \(round): lost \(key)")
          continue
        }
        // Behind a torn place there may be newer ones, which a start cuts off with it.
        #expect(salvaged.stamp >= version.stamp && entries.contains { $0.version == salvaged }, "seed \(seed)")
      }
    }
  }

  @Test("a later format is refused, and so is a target that exists: nothing is written")
  func refused() throws {
    let rig = try closed()
    var copy = rig
    let path = try #require(rig.storeFiles.first { $0.hasSuffix(".data") })
    var bytes = try #require(rig.disk.contents(path))
    bytes[8] = 2
    bytes.setLittleEndian(crc32c(bytes, 0..<60), at: 60)
    copy.disk.overwrite(path, with: bytes)
    #expect(throws: StorageError.self) { try copy.repair() }
    #expect(!copy.disk.paths.contains(Rig.newStore + "/manifest"))
    copy = rig
    _ = try copy.repair()
    let first = copy.disk.paths.map { copy.disk.contents($0) }
    #expect(throws: StorageError.self) { try copy.repair() }
    #expect(copy.disk.paths.map { copy.disk.contents($0) } == first)
    // An empty directory is one too.
    copy = rig
    try copy.makeNewRoot()
    try copy.disk.createDirectory(Rig.newStore)
    #expect(throws: StorageError.self) { try copy.repair() }
    #expect(!copy.disk.paths.contains { $0.hasPrefix(Rig.newStore) })
  }

  @Test(
    "whatever operation it dies at, or finds the disk full at: no manifest, or all of it; the old files are untouched")
  func interrupted() throws {
    let rig = try closed()
    let records = try rig.placedRecords()
    for isFull in [false, true] {
      for operation in 1... {
        var copy = rig
        copy.disk.killProcess()
        try copy.makeNewRoot()
        let old = copy.oldFiles
        let at = copy.disk.operationCount + operation
        if isFull { copy.disk.failure = (at, 28) } else { copy.disk.diesAtOperation = at }
        let label = "operation \(operation), \(isFull ? "full" : "dead")"
        let report = try? repairAlone(&copy)
        let isReached = copy.disk.operationCount >= at
        #expect(copy.oldFiles == old, "\(label)")
        var generator = SeededGenerator(seed: UInt64(operation))
        if isFull { copy.disk.killProcess() } else { copy.disk.crash(using: &generator) }
        if let report, report.lossCount == 0 {
          #expect(report.records == UInt64(records.count), "\(label)")
        }
        if copy.disk.paths.contains(Rig.newStore + "/manifest") {
          // A read that was refused is a loss that was told; else all is there.
          if report?.lossCount ?? 0 == 0 { try expect(copy, holds: records, "\(label)") }
        } else {
          #expect(report == nil, "\(label)")
          let missing = try copy.openedRepaired().engine.recovery.missing
          #expect(missing == [Rig.seeds[0].id], "\(label)")
        }
        if !isReached { break }
      }
    }
  }

  @Test("of files that do not count none is read, and each is told; one that is younger than the manifest counts")
  func strangers() throws {
    var rig = try closed()
    let records = try rig.placedRecords()
    let manifest = try #require(try StoreContents(reading: Rig.store, on: &rig.disk).manifest)
    let young = manifest.nextFileID
    func header(_ id: UInt32, _ incarnation: Identity128, store: StoreID = Rig.seeds[0].id) -> FileHeader {
      FileHeader(
        kind: .data, cluster: manifest.cluster, node: manifest.node, store: store, file: id, identity: incarnation)
    }
    func create(_ header: FileHeader, whole: Bool = true) throws {
      let file = try rig.disk.open(StorePath.data(Rig.store, header.file), .create)
      var bytes = header.encoded()
      let version = StoredVersion(stamp: stamp(900), isTombstone: false, value: [1])
      Record.append(version, key: Array("x\(header.file)".utf8), tsn: 0, salt: header.salt, to: &bytes)
      try rig.disk.append(whole ? bytes : Array(bytes.prefix(40)), to: file)
    }
    try create(header(young, manifest.incarnation))
    try create(header(young + 1, manifest.incarnation), whole: false)
    try create(header(young + 2, Identity128(high: 9, low: 9)))
    try create(header(young + 3, manifest.incarnation, store: Rig.seeds[1].id))
    let report = try rig.repair()
    #expect(report.records == UInt64(records.count + 1) && report.lossCount == 0)
    #expect(report.notes.all.map(\.path) == (1...3).map { StorePath.data(Rig.store, young + $0) })
    let new = try #require(try StoreContents(reading: Rig.newStore, on: &rig.disk).manifest)
    #expect(new.files.allSatisfy { $0.id > young + 3 })
    var opened = try rig.openedRepaired()
    let outcome = try opened.engine.lookup(
      key: Array("x\(young)".utf8), hash: rig.hash(Array("x\(young)".utf8)), in: Rig.seeds[0].id, warm: nil,
      on: &opened.disk)
    #expect(outcome != .absent)
  }

  /// A closed store with so many more records behind the last one, every second of which is damaged if asked.
  private func long(_ count: Int, damaging: Bool) throws -> Rig {
    var rig = try closed()
    let file = try #require(try StoreContents(reading: Rig.store, on: &rig.disk).files.last)
    var bytes = try #require(rig.disk.contents(file.path))
    let version = StoredVersion(stamp: stamp(900), isTombstone: false, value: [1])
    for number in 0..<count {
      Record.append(version, key: Array("x\(number)".utf8), tsn: 0, salt: try #require(file.salt), to: &bytes)
      if damaging && number % 2 == 0 { bytes[bytes.count - 1] ^= 1 }
    }
    rig.disk.overwrite(file.path, with: bytes)
    return rig
  }

  @Test("of more places than a report keeps, all are counted")
  func manyPlaces() throws {
    for (places, leftOut) in [(RepairReport.rangesMax, 0), (RepairReport.rangesMax + 1, 1)] {
      var rig = try long(2 * places, damaging: true)
      let report = try rig.repair(fileBytesMax: 1 << 20)
      #expect(report.unsalvaged.count == RepairReport.rangesMax && report.leftOut == leftOut)
      let bytes = (0..<places).reduce(0) {
        $0 + RecordHeader.byteCount(keyLength: "x\($1 * 2)".utf8.count, valueLength: 1, isTombstone: false)
      }
      #expect(report.bytesCut == UInt64(bytes) && report.lossCount == 0, "they were never durable")
    }
  }

  @Test("a store that would need more files than one can have is not begun to be taken for one")
  func manyFiles() throws {
    let count = try closed().placedRecords().count
    for more in [0, 1] {
      var copy = try long(StorageLimits.filesMax - count + more, damaging: false)
      let report = try? copy.repair(node: nil, fileBytesMax: UInt64(FileHeader.byteCount))
      #expect((report?.filesWritten == StorageLimits.filesMax) == (more == 0))
      #expect(copy.disk.paths.contains(Rig.newStore + "/manifest") == (more == 0))
    }
  }

  private func repairAlone(_ rig: inout Rig) throws(StorageError) -> RepairReport {
    let contents = try StoreContents(reading: Rig.store, on: &rig.disk)
    return try StoreRepair.run(
      contents, node: Rig.node, journal: "/data/journal", to: Rig.newStore, fileBytesMax: 500, on: &rig.disk)
  }
}

@Suite("Repair of a store: the journal")
struct RepairJournalTests {
  /// A node with all its writes in the journal only, as a power cut leaves it.
  private func journalOnly() throws -> (rig: Rig, records: [PlacedRecord]) {
    var rig = try Rig.filled(.always, rounds: 1)
    let records = try rig.placedRecords()
    rig.disk.discardUnsynced()
    return (rig, records)
  }

  @Test("records that only the journal has are there, and counted; those at or below the floor are not believed")
  func journalOnlyRecords() throws {
    var (rig, records) = try journalOnly()
    #expect(records.count > 2)
    var low = rig
    var report = try rig.repair()
    #expect(report.journalRecords == UInt64(records.count) && report.records == report.journalRecords)
    #expect(report.lossCount == 0 && report.belowFloor == 0)
    let opened = try rig.openedRepaired()
    let status = opened.engine.status(Rig.seeds[0].id)
    #expect(status.keysLive + status.tombstones == records.count)
    #expect(status.tsnHead == UInt64(records.filter(\.isTombstone).count))
    var manifest = try #require(try StoreContents(reading: Rig.store, on: &low.disk).manifest)
    manifest.floor = records[1].stamp
    low.disk.overwrite(Rig.store + "/manifest", with: manifest.encoded())
    report = try low.repair()
    #expect(report.belowFloor == 2 && report.journalRecords == UInt64(records.count - 2))
  }

  @Test("a record of a data file that is damaged comes back from the journal, if that still has it")
  func completed() throws {
    let rig = try Rig.filled(.always, rounds: 1)
    let records = try rig.placedRecords()
    for record in records {
      var copy = rig
      copy.disk.flipBit(1, ofByte: Int(record.offset) + record.byteCount - 9, in: record.path)
      let report = try copy.repair()
      #expect(report.records == UInt64(records.count) && report.journalRecords == 1)
      #expect(report.unsalvaged.map(\.offset) == [record.offset])
      #expect(report.lossCount == 0, "what the journal has was not in a durable part of the data file")
    }
  }

  @Test("of a damaged journal every other frame is taken, and the hole is a loss exactly when a start would refuse it")
  func damaged() throws {
    let (rig, records) = try journalOnly()
    let path = try #require(rig.disk.paths.first { $0.hasSuffix(".journal") })
    var losses = 0
    for byte in 0..<(try #require(rig.disk.contents(path)).count) {
      var copy = rig
      copy.disk.flipBit(byte % 8, ofByte: byte, in: path)
      var start = copy
      let isRefused = (try? start.reopen()) == nil
      let report = try copy.repair()
      #expect(report.unsalvaged.map(\.path) == [path], "byte \(byte)")
      #expect((report.lossCount == 1) == isRefused, "byte \(byte)")
      if byte >= FileHeader.byteCount { #expect(report.records >= UInt64(records.count - 1), "byte \(byte)") }
      losses += report.lossCount
    }
    #expect(losses > 0)
  }
}
