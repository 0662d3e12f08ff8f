import Causality
import Primitives
import Simulation
import Storage
import Testing

@Suite("A disk that refuses")
struct FullDiskTests {
  private static let reserve: UInt64 = 8 << 20
  /// What must be free before values are taken again: a quarter more than the reserve.
  private static let resume: UInt64 = 10 << 20

  private func rig(sync: SyncMode = .always) throws -> Rig { try Rig(seed: 1, sync: sync, fileBytesMax: 4 << 20) }

  /// Lets the engine look at its disk, at the next time that it is due.
  private func review(_ rig: inout Rig, afterMilliseconds milliseconds: UInt64 = 1000) {
    rig.now = rig.now.adding(milliseconds: milliseconds)
    rig.engine.reviewSpace(at: rig.now, on: &rig.disk)
  }

  @Test("values are refused below the reserve and taken again a quarter above it, tombstones are taken throughout")
  func reserve() throws {
    var rig = try rig()
    _ = try rig.put("a", "1", at: 1)
    try rig.engine.flush(on: &rig.disk)
    // Free bytes, and whether values are refused then; the state stays as it is between the two bounds.
    let steps: [(UInt64, Bool)] = [
      (Self.reserve, false), (Self.reserve - 1, true), (Self.reserve, true), (Self.resume - 1, true),
      (Self.resume, false), (Self.reserve, false), (Self.reserve - 1, true),
    ]
    for (index, (free, isRefused)) in steps.enumerated() {
      rig.disk.spaceLeft = Int(free)
      review(&rig)
      #expect(rig.engine.refusesValues == isRefused, "\(free) bytes")
      let time = UInt64(10 * index + 10)
      let outcome = try rig.put("b", "2", at: time)
      #expect((outcome == .refused(.full)) == isRefused)
      guard case .applied = try rig.delete("c", at: time) else {
        Issue.record("a tombstone is refused with \(free) bytes free")
        continue
      }
      #expect(try rig.get("a") != .absent)
      try rig.engine.flush(on: &rig.disk)
    }
  }

  @Test("what waits to be written counts as written")
  func buffered() throws {
    var rig = try rig()
    let value = String(repeating: "v", count: 100_000)
    _ = try rig.put("a", value, at: 1)
    rig.disk.spaceLeft = Int(Self.reserve) + 200_000
    review(&rig)
    #expect(rig.engine.refusesValues, "the record is to be written twice, to the journal and to its store")
  }

  @Test("the disk is asked once a second at most, and after 16 MiB at once")
  func asked() throws {
    var rig = try rig()
    review(&rig)
    rig.disk.spaceLeft = 40 << 20
    review(&rig, afterMilliseconds: 999)
    #expect(rig.engine.spaceStatus.freeBytes == SimulatedDisk.plenty)
    review(&rig, afterMilliseconds: 1)
    #expect(rig.engine.spaceStatus.freeBytes == 40 << 20)
    let value = String(repeating: "v", count: 1 << 20)
    for number in 0..<17 {
      _ = try rig.put("key \(number)", value, at: UInt64(number + 1))
      try rig.engine.flush(on: &rig.disk)
    }
    #expect(rig.engine.refusesValues)
  }

  @Test("a file system that does not say how much is free is written to until it refuses")
  func silent() throws {
    var rig = try rig()
    rig.disk.failure = (rig.disk.operationCount + 1, 38)
    review(&rig)
    #expect(rig.disk.failedOperation == .measure)
    #expect(!rig.engine.refusesValues && rig.engine.spaceStatus.freeBytes == nil)
  }

  @Test(
    "an append that finds no room is cut back, nothing of it is durable, and it is tried again",
    arguments: SyncMode.allCases)
  func cutBack(mode: SyncMode) throws {
    var rig = try rig(sync: mode)
    _ = try rig.put("a", "1", at: 1)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    let lengths = rig.disk.paths.map { rig.disk.contents($0)?.count }
    let durable = rig.engine.durable
    _ = try rig.put("a", "2", at: 2)
    rig.disk.spaceLeft = 20
    try rig.engine.flush(on: &rig.disk)
    #expect(rig.disk.paths.map { rig.disk.contents($0)?.count } == lengths)
    #expect(rig.engine.flushed < rig.engine.appended)
    try rig.sync()
    #expect(rig.engine.durable == durable)
    #expect(try rig.put("b", "1", at: 3) == .refused(.full))
    // Not before it is due, and then at once.
    rig.disk.spaceLeft = nil
    try rig.engine.flush(on: &rig.disk)
    #expect(rig.engine.flushed < rig.engine.appended)
    review(&rig)
    try rig.engine.flush(on: &rig.disk)
    #expect(rig.engine.flushed == rig.engine.appended)
    try rig.reopen()
    guard case .found(let version) = try rig.get("a") else { return #expect(Bool(false), "lost") }
    #expect(version.value == Array("2".utf8))
  }

  @Test("a file that cannot be cut back ends the engine")
  func notCutBack() throws {
    var rig = try rig()
    _ = try rig.put("a", "1", at: 1)
    rig.disk.spaceLeft = 20
    rig.disk.failure = (rig.disk.operationCount + 2, 5)
    #expect(throws: StorageError.self) { try rig.engine.flush(on: &rig.disk) }
    #expect(rig.disk.failedOperation == .truncate)
    rig.disk.spaceLeft = nil
    review(&rig)
    #expect(throws: StorageError.self) { try rig.engine.flush(on: &rig.disk) }
    #expect(throws: StorageError.self) { try rig.delete("a", at: 2) }
  }

  @Test("while the disk is full tombstones are kept in memory up to 8 MiB, one more is refused")
  func bufferBound() throws {
    var rig = try Rig(seed: 1, fileBytesMax: 64 << 20)
    for number in 0..<10 { _ = try rig.put("\(number)", "v", at: 1) }
    try rig.engine.flush(on: &rig.disk)
    rig.disk.spaceLeft = 0
    // Nobody knows yet that there is no room: what is left of the bound is some kilobytes then.
    let value = String(repeating: "v", count: StorageLimits.bufferedBytesMax - 5000)
    guard case .applied = try rig.put("large", value, at: 1) else { return #expect(Bool(false), "refused too early") }
    try rig.engine.flush(on: &rig.disk)
    #expect(rig.engine.refusesValues)
    var taken = 0
    while taken < 1000, case .applied = try rig.delete("dead \(taken)", at: 2) { taken += 1 }
    #expect((40...130).contains(taken), "5000 bytes are \(taken) tombstones")
    #expect(try rig.delete("more", at: 3) == .refused(.full))
    rig.disk.spaceLeft = nil
    review(&rig)
    try rig.engine.flush(on: &rig.disk)
    guard case .applied = try rig.delete("more", at: 3) else { return #expect(Bool(false), "still refused") }
  }

  @Test("without a free descriptor a put that needs a new file is refused, and nothing of it can be seen")
  func noDescriptor() throws {
    var rig = try Rig(seed: 1, fileBytesMax: 100)
    _ = try rig.put("a", String(repeating: "v", count: 100), at: 1)
    try rig.engine.flush(on: &rig.disk)
    rig.disk.refusesFiles = true
    let before = rig.engine.appended
    guard case .refused(.unavailable(let error)) = try rig.put("a", "2", at: 2) else {
      return #expect(Bool(false), "not refused")
    }
    #expect(error.isOutOfFiles && rig.engine.appended == before && !rig.engine.refusesValues)
    guard case .found(let version) = try rig.get("a") else { return #expect(Bool(false), "lost") }
    #expect(version.stamp == stamp(1))
    let status = rig.engine.status(rig.store(of: Array("a".utf8)))
    #expect(status.keysLive == 1 && status.files == 1)
    rig.disk.refusesFiles = false
    guard case .applied = try rig.put("a", "2", at: 2) else { return #expect(Bool(false), "still refused") }
  }

  @Test("bytes that cannot be read fence their store and no other, and are neither absent nor damaged")
  func failedRead() throws {
    var rig = try rig()
    let keys = (0..<20).map { "key \($0)" }
    for key in keys { _ = try rig.put(key, "value", at: 1) }
    try rig.engine.flush(on: &rig.disk)
    rig.disk.failure = (rig.disk.operationCount + 1, 5)
    #expect(throws: StorageError.self) { try rig.get(keys[0]) }
    let fenced = rig.store(of: Array(keys[0].utf8))
    #expect(rig.engine.role(fenced) == .fenced)
    for key in keys {
      if rig.store(of: Array(key.utf8)) == fenced {
        #expect { try rig.get(key) } throws: { if case StorageError.io(.read, _, 5) = $0 { true } else { false } }
      } else {
        #expect(try rig.get(key) != .absent)
        _ = try rig.put(key, "later", at: 2)
      }
    }
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    #expect(rig.engine.durable == rig.engine.appended)
    try rig.reopen()
    for key in keys { #expect(try rig.get(key) != .absent) }
  }

  @Test("opening on a full disk says so and drops nothing; with room everything is there")
  func openingFull() throws {
    var rig = try rig()
    for number in 0..<20 { _ = try rig.put("key \(number)", "value", at: 1) }
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    rig.disk.discardUnsynced()
    rig.disk.spaceLeft = 300
    #expect {
      try Engine.open(Rig.root, options: rig.options, stores: Rig.seeds, on: &rig.disk)
    } throws: { ($0 as? StorageError)?.isOutOfSpace == true }
    rig.disk.spaceLeft = nil
    try rig.reopen()
    for number in 0..<20 { #expect(try rig.get("key \(number)") != .absent) }
  }

  @Test("a checkpoint that finds no room is made anew a second later")
  func checkpoint() throws {
    var rig = try rig()
    _ = try rig.put("a", "1", at: 1)
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    try rig.work()
    rig.disk.spaceLeft = 0
    try rig.work(afterMilliseconds: 70_000)
    #expect(rig.engine.refusesValues)
    rig.disk.spaceLeft = nil
    #expect(rig.engine.work(at: rig.now.adding(milliseconds: Engine.pauseMilliseconds - 1), on: &rig.disk) == nil)
    rig.now = rig.now.adding(milliseconds: Engine.pauseMilliseconds)
    let steps = try #require(rig.engine.work(at: rig.now, on: &rig.disk))
    #expect(steps.contains { if case .replace = $0 { true } else { false } })
  }
}
