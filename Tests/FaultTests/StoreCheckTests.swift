import Causality
import Primitives
import Simulation
import Storage
import Testing

@Suite("Offline check of a store")
struct StoreCheckTests {
  private static let data = Rig.store + "/000001.data"

  /// Everything synced, every file with a hint.
  private func closed() throws -> Rig {
    var rig = try Rig.filled(.never)
    try rig.shutdown()
    return rig
  }

  @Test("what the engine leaves is clean: running, crashed, power lost, closed", arguments: UInt64(0)..<12)
  func noFalseAlarm(seed: UInt64) throws {
    var drive = try RandomDrive(seed: seed, sync: SyncMode.allCases[Int(seed % 3)])
    for round in 0..<12 {
      for _ in 0..<120 { try drive.step() }
      var copy = drive.rig
      if round % 2 == 0 { copy.disk.crash(using: &drive.generator) }
      try expectNoErrors(copy, "seed \(seed), round \(round)")
      if round % 3 == 2 { try drive.crash(power: round % 2 == 0, "seed \(seed), round \(round)") }
    }
    try drive.flush()
    try drive.rig.shutdown()
    try expectNoErrors(drive.rig, "seed \(seed), closed")
  }

  private func expectNoErrors(_ rig: Rig, _ label: String) throws {
    for seed in Rig.seeds {
      let report = try rig.check(StorePath.store(Rig.root, seed.id))
      #expect(report.findings.all.filter { $0.gravity == .error } == [], "\(label)")
    }
    var disk = rig.disk
    disk.killProcess()
    var report = NodeCheck.run(try NodeContents(reading: Rig.root, on: &disk), on: &disk)
    #expect(report.findings.all.filter { $0.gravity == .error }.map(\.path) == ["/data/node"], "\(label)")
    let file = try disk.open("/data/node", .create)
    try disk.append(Rig.node.encoded(), to: file)
    report = NodeCheck.run(try NodeContents(reading: Rig.root, on: &disk), on: &disk)
    #expect(report.findings.all.filter { $0.gravity == .error } == [], "\(label)")
  }

  @Test("a clean store is counted in full")
  func clean() throws {
    let rig = try closed()
    let report = try rig.check()
    #expect(report.findings.all == [])
    let files = rig.storeFiles.filter { $0.hasSuffix(".data") }
    #expect(files.count > 1 && report.files == files.count && report.hints == files.count)
    #expect(report.bytes == files.reduce(0) { $0 + UInt64(rig.disk.contents($1)?.count ?? 0) })
    let status = rig.engine.status(Rig.seeds[0].id)
    #expect(report.records >= UInt64(status.keysLive + status.tombstones) && report.tombstones > 0)
  }

  @Test("every flipped bit of every file is found")
  func flips() throws {
    let rig = try closed()
    for path in rig.storeFiles {
      for bit in 0..<(try #require(rig.disk.contents(path)).count) * 8 {
        var copy = rig
        copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: path)
        let report = try copy.check()
        #expect(!report.findings.isClean, "\(path): bit \(bit)")
        #expect(report.findings.all.contains { $0.gravity == .error && $0.path == path }, "\(path): bit \(bit)")
      }
    }
  }

  @Test("every cut of every file is found")
  func cuts() throws {
    let rig = try closed()
    for path in rig.storeFiles {
      let whole = try #require(rig.disk.contents(path))
      for length in whole.indices {
        var copy = rig
        copy.disk.overwrite(path, with: Array(whole[..<length]))
        #expect(!(try copy.check().findings.isClean), "\(path) cut to \(length)")
      }
    }
  }

  @Test("a file that the manifest lists and that is gone is found, and so is a lost manifest")
  func missing() throws {
    let rig = try closed()
    for path in rig.storeFiles where !path.hasSuffix(".hint") {
      var copy = rig
      try copy.disk.unlink(path)
      let errors = try copy.check().findings.all.filter { $0.gravity == .error }
      #expect(errors.contains { $0.path == path }, "\(path)")
    }
  }

  @Test("behind the synced length a torn tail is told and is no error, and nothing else is")
  func tornTail() throws {
    var rig = try Rig(seed: 1, sync: .never)
    let keys = (0..<40).map { "k\($0)" }.filter { rig.store(of: Array($0.utf8)) == Rig.seeds[0].id }
    for (index, key) in keys.prefix(3).enumerated() { _ = try rig.put(key, "durable", at: UInt64(10 + index)) }
    try rig.shutdown()
    try rig.reopen()
    let synced = try #require(rig.disk.contents(Self.data)).count
    for (index, key) in keys.dropFirst(3).prefix(3).enumerated() {
      _ = try rig.put(key, "not durable", at: UInt64(20 + index))
    }
    try rig.engine.flush(on: &rig.disk)
    let whole = try #require(rig.disk.contents(Self.data))
    #expect(try rig.check().findings.all == [])
    let recordBytes = (whole.count - synced) / 3
    for length in synced..<whole.count {
      var copy = rig
      copy.disk.overwrite(Self.data, with: Array(whole[..<length]))
      let report = try copy.check()
      let tail = (length - synced) % recordBytes
      #expect(report.findings.isClean && report.tailBytes == UInt64(tail), "cut to \(length)")
      #expect(report.findings.all.map(\.offset) == (tail == 0 ? [] : [UInt64(length - tail)]), "cut to \(length)")
      try copy.reopen()
      #expect(copy.engine.recovery.bytesCut == report.tailBytes, "what is told is what the next start cuts")
    }
    for bit in synced * 8..<whole.count * 8 where bit % 5 == 0 {
      var copy = rig
      copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: Self.data)
      let report = try copy.check()
      #expect(report.findings.isClean && report.findings.all.count == 1 && report.tailBytes > 0, "bit \(bit)")
    }
    // The same bytes one record further in are damage.
    for bit in (synced - recordBytes) * 8..<synced * 8 where bit % 5 == 0 {
      var copy = rig
      copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: Self.data)
      #expect(!(try copy.check().findings.isClean), "bit \(bit)")
    }
  }

  @Test("of damage the place is told, the keys around it, and how much is still there")
  func keysAround() throws {
    var rig = try Rig(seed: 1, sync: .never)
    let keys = (0..<40).map { "k\($0)" }.filter { rig.store(of: Array($0.utf8)) == Rig.seeds[0].id }.prefix(5)
    var offsets: [Int] = []
    for (index, key) in keys.enumerated() {
      _ = try rig.put(key, "value of \(key)", at: UInt64(10 + index))
      try rig.engine.flush(on: &rig.disk)
      offsets.append(index == 0 ? FileHeader.byteCount : offsets[index - 1])
      if index > 0 { offsets[index] = try #require(rig.disk.contents(Self.data)).count }
    }
    try rig.shutdown()
    let end = try #require(rig.disk.contents(Self.data)).count
    let length = (end - FileHeader.byteCount) / keys.count
    for hit in 0..<keys.count {
      var copy = rig
      let start = FileHeader.byteCount + hit * length
      // In the value: the key can still be read. In its length: it cannot.
      copy.disk.flipBit(3, ofByte: start + length - 9, in: Self.data)
      var finding = try #require(try copy.check().findings.all.first { $0.path == Self.data })
      #expect(finding.offset == UInt64(start))
      let bytes = keys.map { Array($0.utf8) }
      let before = hit == 0 ? nil : bytes[hit - 1]
      let after = hit == keys.count - 1 ? nil : bytes[hit + 1]
      #expect(finding.keys == NearbyKeys(before: before, hit: bytes[hit], after: after))
      #expect(try copy.check().records == UInt64(keys.count - 1))
      for (bit, byte) in [(7, start + 4), (3, start + 8)] {
        var copy = rig
        copy.disk.flipBit(bit, ofByte: byte, in: Self.data)
        finding = try #require(try copy.check().findings.all.first { $0.path == Self.data })
        #expect(finding.keys == NearbyKeys(before: before, hit: nil, after: after))
      }
    }
    // A record that was cut names its key as long as that is there.
    let last = end - length
    let keyEnd = last + RecordHeader.fixedByteCount + keys[4].utf8.count
    let whole = try #require(rig.disk.contents(Self.data))
    for cut in last + 1..<end {
      var copy = rig
      copy.disk.overwrite(Self.data, with: Array(whole[..<cut]))
      let finding = try #require(try copy.check().findings.all.first { $0.offset == UInt64(last) })
      #expect(finding.keys?.hit == (cut >= keyEnd ? Array(keys[4].utf8) : nil), "cut to \(cut)")
      #expect(finding.keys?.before == Array(keys[3].utf8) && finding.keys?.after == nil)
    }
    // Two places at once are two findings.
    for hit in [1, 3] { rig.disk.flipBit(0, ofByte: FileHeader.byteCount + hit * length + 30, in: Self.data) }
    let report = try rig.check()
    let found = report.findings.all.filter { $0.path == Self.data }
    #expect(found.map(\.offset) == [1, 3].map { UInt64(FileHeader.byteCount + $0 * length) })
    #expect(report.records == 3)
  }
}
