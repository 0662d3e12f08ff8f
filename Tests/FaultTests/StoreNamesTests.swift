import Causality
import Primitives
import Simulation
import Storage
import Testing

// What lies where it should not, hints that lie, and values that look like records.

@Suite("Offline check: names, hints, search")
struct StoreNamesTests {
  private func closed() throws -> Rig {
    var rig = try Rig.filled(.never)
    try rig.shutdown()
    return rig
  }

  private func create(_ path: String, _ bytes: [UInt8], _ rig: inout Rig) throws {
    let file = try rig.disk.open(path, .create)
    try rig.disk.append(bytes, to: file)
  }

  @Test("what lies in a store's directory and is not its own is told: an error only if the node stumbles over it")
  func strangers() throws {
    let rig = try closed()
    let foreign = try #require(rig.disk.contents("/data/stores/p001-n3/000001.data"))
    var disk = rig.disk
    let young = try #require(try StoreContents(reading: Rig.store, on: &disk).manifest).nextFileID
    var earlier = FileHeader(
      kind: .data, cluster: Identity128(high: 1, low: 2), node: NodeID(1), store: Rig.seeds[0].id, file: young,
      identity: Rig.seeds[0].incarnation)
    let own = earlier.encoded()
    earlier.identity = Identity128(high: 9, low: 9)
    let cases: [(name: String, bytes: [UInt8], gravity: StoreFinding.Gravity, word: String)] = [
      ("readme.txt", [1], .note, "no file of a store"), ("000001.hint.tmp", [1], .note, "never finished"),
      ("000099.hint", [1], .note, "without a data file"),
      (name(young), own, .note, "takes it over"), (name(young), Array(own.prefix(40)), .note, "removes it"),
      (name(young), [], .note, "removes it"), (name(young), earlier.encoded(), .note, "another incarnation"),
      (name(young), foreign, .error, "another store"),
    ]
    for (file, bytes, gravity, word) in cases {
      var copy = rig
      try create(Rig.store + "/" + file, bytes, &copy)
      let findings = try copy.check().findings.all
      #expect(findings.count == 1 && findings.first?.gravity == gravity, "\(file): \(findings)")
      #expect(findings.first?.text.contains(word) == true, "\(file): \(findings)")
      // A node starts with it exactly when it is no error.
      let isFatal = (try? copy.reopen()) == nil
      #expect(isFatal == (gravity == .error), "\(file)")
    }
  }

  private func name(_ id: UInt32) -> String { String("000000\(id)".suffix(6)) + ".data" }

  @Test("a store of another node, of another incarnation, under another name, or unknown to its node is told so")
  func belonging() throws {
    let rig = try closed()
    var node = Rig.node
    node.node = NodeID(2)
    #expect(try rig.check(node: node).findings.errorCount == 1)
    node = Rig.node
    node.stores[0] = StoreSeed(id: node.stores[0].id, incarnation: Identity128(high: 1, low: 1), configID: 1)
    #expect(try rig.check(node: node).findings.errorCount == 1)
    node.stores.removeFirst()
    let unknown = try rig.check(node: node).findings
    #expect(unknown.isClean && unknown.all.map(\.gravity) == [.note])
    // Without its node a store can be checked too, but for what needs the ring's seed.
    #expect(try rig.check(node: nil).findings.all == [])
    var moved = rig
    try moved.disk.createDirectory("/data/stores/p009-n3")
    for path in rig.storeFiles {
      let bytes = try #require(rig.disk.contents(path))
      try create(path.replacing("p000", with: "p009"), bytes, &moved)
    }
    #expect(try moved.check("/data/stores/p009-n3").findings.errorCount == 1)
    // A key that hashes to another partition: the ring seed is not the one it was stored with.
    node = Rig.node
    node.cluster?.ringSeed = 43
    #expect(!(try rig.check(node: node).findings.isClean))
  }

  @Test("a manifest whose stamps or feed head the records contradict is found")
  func contradiction() throws {
    let rig = try closed()
    var disk = rig.disk
    let manifest = try #require(try StoreContents(reading: Rig.store, on: &disk).manifest)
    func errors(_ changed: StoreManifest) throws -> [StoreFinding] {
      var copy = rig
      copy.disk.overwrite(Rig.store + "/manifest", with: changed.encoded())
      return try copy.check().findings.all
    }
    #expect(try errors(manifest) == [])
    var changed = manifest
    changed.tsnHead -= 1
    #expect(try errors(changed).map(\.gravity) == [.error])
    for (index, file) in manifest.files.enumerated() {
      guard let stamps = file.recordStamps else { continue }
      changed = manifest
      changed.files[index].recordStamps = nil
      #expect(!(try errors(changed).isEmpty))
      guard stamps.lowerBound < stamps.upperBound else { continue }
      changed.files[index].recordStamps = stamps.lowerBound...stamps.lowerBound
      #expect(try errors(changed).allSatisfy { $0.gravity == .error && $0.offset != nil })
      #expect(!(try errors(changed).isEmpty))
    }
  }

  @Test("a hint that lies is found, whichever field of it, even when its checksums hold")
  func lyingHint() throws {
    let rig = try closed()
    let path = Rig.store + "/000001.hint"
    let whole = try #require(rig.disk.contents(path))
    let entries = Int(try #require(whole.littleEndian(UInt64.self, at: 96)))
    #expect(entries > 1)
    func check(_ bytes: [UInt8], _ what: String) throws {
      var copy = rig
      copy.disk.overwrite(path, with: sealed(bytes))
      let findings = try copy.check().findings.all
      #expect(findings.map(\.path) == [path], "\(what): \(findings)")
      let isTold = findings.allSatisfy { $0.gravity == .error && $0.text.contains("although its checksums hold") }
      #expect(isTold, "\(what)")
    }
    for entry in 0..<entries {
      for field in [0, 8, 12, 16, 24, 28, 32] where field != 28 || whole[112 + entry * 40 + 28] < 2 {
        var bytes = whole
        bytes[112 + entry * 40 + field] ^= 1
        try check(bytes, "entry \(entry), field \(field)")
      }
      var bytes = whole
      bytes.removeSubrange(112 + entry * 40..<152 + entry * 40)
      bytes.setLittleEndian(UInt64(entries - 1), at: 96)
      try check(bytes, "entry \(entry) left out")
    }
    for field in [40, 52, 64, 72, 88] {
      var bytes = whole
      bytes[field] ^= 1
      try check(bytes, "header field \(field)")
    }
  }

  /// A hint with the checksums that its entries ask for.
  private func sealed(_ hint: [UInt8]) -> [UInt8] {
    let entries = Int(hint.littleEndian(UInt64.self, at: 96) ?? 0)
    let salt = hint.littleEndian(UInt32.self, at: 12) ?? 0
    var bytes = Array(hint[..<(112 + entries * 40)])
    for (block, start) in stride(from: 0, to: entries, by: 102).enumerated() {
      let range = 112 + start * 40..<112 + min(entries, start + 102) * 40
      bytes.appendLittleEndian(
        unsafe hint.withUnsafeBytes {
          unsafe crc32c(UnsafeRawBufferPointer(rebasing: $0[range]), continuing: salt &+ UInt32(block))
        })
    }
    bytes.setLittleEndian(crc32c(bytes, 112..<bytes.count), at: 104)
    bytes.setLittleEndian(crc32c(bytes, 0..<108), at: 108)
    return bytes
  }

  @Test("a value that is full of beginnings of records neither hides what follows nor makes the search endless")
  func forgedValue() throws {
    var rig = try Rig(seed: 1, sync: .never)
    let keys = (0..<40).map { "k\($0)" }.filter { rig.store(of: Array($0.utf8)) == Rig.seeds[0].id }
    // Each says that a record of 100,000 bytes begins here.
    var forged: [UInt8] = []
    for _ in 0..<2000 {
      var head = [UInt8](repeating: 0, count: 32)
      head.setLittleEndian(UInt32(2), at: 4)
      head.setLittleEndian(UInt32(100_000 - 30), at: 8)
      head[13] = 1
      forged += head
    }
    let version = StoredVersion(stamp: stamp(10), isTombstone: false, value: [0, 0] + forged)
    _ = try rig.apply(version, key: Array(keys[0].utf8))
    for (index, key) in keys.dropFirst().prefix(3).enumerated() {
      _ = try rig.apply(
        StoredVersion(
          stamp: stamp(20 + UInt64(index)), isTombstone: false, value: Array(repeating: 7, count: 60_000)),
        key: Array(key.utf8))
    }
    try rig.shutdown()
    let path = Rig.store + "/000001.data"
    rig.disk.flipBit(0, ofByte: 80, in: path)
    let report = try rig.check()
    #expect(report.records == 3)
    #expect(report.findings.all.first { $0.path == path }?.keys?.after == Array(keys[1].utf8))
    // The bound: as many bytes as the search reads are just enough, one fewer is not.
    let size = UInt64(try #require(rig.disk.contents(path)).count)
    rig.disk.killProcess()
    let file = try rig.disk.open(path, .read)
    let salt = FileHeader(
      kind: .data, cluster: Identity128(high: 1, low: 2), node: NodeID(1), store: Rig.seeds[0].id, file: 1,
      identity: Rig.seeds[0].incarnation
    ).salt
    let needed = UInt64(2000 * 100_000 + RecordHeader.byteCount(keyLength: 2, valueLength: 60_000, isTombstone: false))
    for (bytesMax, isFound) in [(needed, true), (needed - 1, false)] {
      var scan = SalvageScan(file, to: size, salt: salt, hash: RingHash(seed: 42), searchBytesMax: bytesMax)
      guard case .damage = try scan.next(on: &rig.disk) else {
        Issue.record("the flipped bit is not seen")
        return
      }
      #expect((try scan.resume(on: &rig.disk) != nil) == isFound)
    }
  }

  @Test("more findings than are kept are counted")
  func manyFindings() {
    var findings = StoreFindings()
    for _ in 0..<StoreFindings.countMax { findings.add(StoreFinding(.note, "a", "b")) }
    #expect(findings.leftOut == 0 && findings.isClean)
    findings.add(StoreFinding(.error, "a", "b"))
    #expect(findings.leftOut == 1 && findings.errorCount == 1 && !findings.isClean)
    #expect(findings.all.count == StoreFindings.countMax)
  }
}
