import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Reading what was set aside")
struct SalvageTests {
  private static let id = Rig.seeds[0].id

  /// Values of many lengths, superseded ones, tombstones, a few files; set aside. - Returns: Its directory, and of every
  /// key the newest version.
  private static func rig(_ seed: UInt64, fileBytesMax: UInt64 = 900) throws -> (Rig, String, [[UInt8]: StoredVersion])
  {
    var generator = SeededGenerator(seed: seed)
    var rig = try Rig(seed: seed, sync: .interval, fileBytesMax: fileBytesMax)
    for store in Rig.seeds { try rig.take(.active, in: store.id) }
    try rig.reopen()
    var newest: [[UInt8]: StoredVersion] = [:]
    for time in UInt64(1)...80 {
      let key = Array(Rig.keys[generator.below(25)].utf8)
      let count = generator.chance(1, in: 20) ? 6000 : generator.below(60)
      let isTombstone = generator.chance(1, in: 4)
      let version = StoredVersion(
        stamp: stamp(time), isTombstone: isTombstone,
        value: isTombstone ? [] : (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
      _ = try rig.apply(version, key: key)
      newest[key] = version
      if generator.chance(1, in: 5) { try rig.engine.flush(on: &rig.disk) }
    }
    try rig.commit()
    try rig.work(afterMilliseconds: 70_000)
    guard case .steps(let steps, let directory) = try rig.engine.setAside(id, on: &rig.disk) else {
      throw StorageError.missing(path: "steps", reason: "busy")
    }
    for step in steps { try step.perform(on: &rig.disk) }
    return (rig, directory, newest)
  }

  /// All pages.
  private static func salvage(
    _ rig: inout Rig, _ directory: String, bytesMax: Int
  ) throws -> (records: [PulledRecord], unreadable: Int) {
    var records: [PulledRecord] = []
    var unreadable = 0
    var position: SalvagePosition? = .start
    var warm: WarmBytes?
    while let from = position {
      switch try rig.engine.setAsidePage(directory, from: from, bytesMax: bytesMax, warm: warm, on: &rig.disk) {
      case .cold(let read): warm = try rig.perform(read)
      case .page(let page, let next, let stretches):
        #expect(next != from)
        records += page
        unreadable += stretches
        position = next
        warm = nil
      }
    }
    return (records, unreadable)
  }

  private static func byKey(_ records: [PulledRecord]) -> [[UInt8]: StoredVersion] {
    Dictionary(records.map { ($0.key, $0.version) }) { a, _ in
      Issue.record("two records of one key")
      return a
    }
  }

  @Test("of every key the newest record comes, once, whatever the pages are", arguments: UInt64(0)..<12)
  func whole(seed: UInt64) throws {
    var (rig, directory, newest) = try Self.rig(seed)
    rig.disk.wouldBlockChance = Int(seed % 3) * 400
    for bytesMax in [1, 100, 5000, 1 << 20] {
      let (records, unreadable) = try Self.salvage(&rig, directory, bytesMax: bytesMax)
      #expect(Self.byKey(records) == newest && unreadable == 0)
    }
    // Closed when no read of it can be under way any more.
    for _ in 0..<3 { try rig.engine.flush(on: &rig.disk) }
    #expect(rig.disk.openPaths.allSatisfy { !$0.hasPrefix(directory) })
    #expect(
      try rig.engine.setAsideDirectory(of: Self.id, incarnation: Rig.seeds[0].incarnation, on: &rig.disk) == directory)
    #expect(try rig.engine.setAsideDirectory(of: Self.id, incarnation: .none, on: &rig.disk) == nil)
    #expect(
      try rig.engine.setAsideDirectory(of: Rig.seeds[1].id, incarnation: Rig.seeds[0].incarnation, on: &rig.disk) == nil
    )
    // Without its manifest the files say whose they are.
    try rig.disk.unlink(StorePath.manifest(directory))
    #expect(
      try rig.engine.setAsideDirectory(of: Self.id, incarnation: Rig.seeds[0].incarnation, on: &rig.disk) == directory)
    #expect(Self.byKey(try Self.salvage(&rig, directory, bytesMax: 700).records) == newest)
  }

  @Test("around damage everything that is whole comes, and each stretch is counted once", arguments: UInt64(0)..<60)
  func damaged(seed: UInt64) throws {
    var (rig, directory, _) = try Self.rig(seed % 6, fileBytesMax: seed % 2 == 0 ? 900 : 1 << 20)
    var generator = SeededGenerator(seed: seed)
    let paths = rig.disk.paths.filter { $0.hasPrefix(directory + "/") && $0.hasSuffix(".data") }
    for _ in 0..<1 + generator.below(4) {
      let path = paths[generator.below(paths.count)]
      var bytes = try #require(rig.disk.contents(path))
      switch generator.below(4) {
      case 0:
        let start = generator.below(bytes.count)
        for index in start..<min(bytes.count, start + generator.below(300)) { bytes[index] = 0 }
      case 1: bytes.removeLast(generator.below(min(200, bytes.count)))
      default: bytes[generator.below(bytes.count)] ^= 1 << UInt8(generator.below(8))
      }
      rig.disk.overwrite(path, with: bytes)
    }
    let (expected, stretches) = try Self.reference(&rig, directory)
    for bytesMax in [1, 300, 1 << 20] {
      let (records, unreadable) = try Self.salvage(&rig, directory, bytesMax: bytesMax)
      #expect(Self.byKey(records) == expected, "pages of \(bytesMax)")
      #expect(unreadable == stretches, "pages of \(bytesMax)")
    }
  }

  /// The same by the scan of the offline tools.
  private static func reference(
    _ rig: inout Rig, _ directory: String
  ) throws -> ([[UInt8]: StoredVersion], stretches: Int) {
    var newest: [[UInt8]: StoredVersion] = [:]
    var stretches = 0
    for file in try StoreContents(reading: directory, on: &rig.disk).files where file.counts {
      let handle = try rig.disk.open(file.path, .read)
      defer { rig.disk.close(handle) }
      guard let salt = file.salt else { continue }
      var scan = SalvageScan(handle, to: file.size, salt: salt, hash: rig.options.hash)
      scanning: while true {
        switch try scan.next(on: &rig.disk) {
        case .end: break scanning
        case .damage:
          stretches += 1
          if try scan.resume(on: &rig.disk) == nil { break scanning }
        case .records:
          for record in scan.scan.records {
            let header = record.header
            let value = record.start + header.valueOffset..<record.start + header.valueOffset + header.valueLength
            let key = scan.scan.key(of: record)
            guard newest[key].map({ $0.stamp < header.stamp }) ?? true else { continue }
            newest[key] = StoredVersion(
              stamp: header.stamp, isTombstone: header.isTombstone, value: Array(scan.scan.chunk[value]))
          }
        }
      }
    }
    return (newest, stretches)
  }

  @Test("after a restart, or with another directory in between, it begins anew by itself")
  func anew() throws {
    var (rig, directory, newest) = try Self.rig(3)
    guard
      case .page(_, let next?, _) = try rig.engine.setAsidePage(
        directory, from: .start, bytesMax: 500, warm: nil, on: &rig.disk)
    else {
      Issue.record("no page")
      return
    }
    rig.engine.endSetAside(on: &rig.disk)
    #expect(
      try rig.engine.setAsidePage(directory, from: next, bytesMax: 500, warm: nil, on: &rig.disk)
        == .page([], next: .start, unreadable: 0))
    #expect(Self.byKey(try Self.salvage(&rig, directory, bytesMax: 500).records) == newest)
  }

  @Test("a read that fails is stepped over")
  func failedRead() throws {
    var (rig, directory, newest) = try Self.rig(4, fileBytesMax: 1 << 20)
    rig.disk.wouldBlockChance = 1000
    var position: SalvagePosition? = .start
    var records: [PulledRecord] = []
    var failed = false
    var warm: WarmBytes?
    while let from = position {
      switch try rig.engine.setAsidePage(directory, from: from, bytesMax: 100, warm: warm, on: &rig.disk) {
      case .cold(let read) where !failed && read.offset > 5000:
        failed = true
        position = from.skipping(read)
      case .cold(let read): warm = try rig.perform(read)
      case .page(let page, let next, _):
        records += page
        position = next
      }
    }
    let found = Self.byKey(records)
    #expect(failed && found.count > 5 && found.count < newest.count + 1)
    for (key, version) in found { #expect(version.stamp <= newest[key]!.stamp) }
  }
}
