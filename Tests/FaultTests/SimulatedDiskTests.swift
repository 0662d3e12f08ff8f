import Primitives
import Simulation
import Storage
import Testing

@Suite("Simulated disk")
struct SimulatedDiskTests {
  private func disk() throws -> (SimulatedDisk, FileID) {
    var disk = SimulatedDisk(seed: 1, root: "/d")
    let file = try disk.open("/d/f", .create)
    return (disk, file)
  }

  @Test("only synced bytes under synced names survive; closing syncs nothing")
  func loss() throws {
    var (disk, file) = try disk()
    try disk.append([1, 2, 3], to: file)
    try disk.sync(file)
    try disk.append([4], to: file)
    disk.close(file)
    var unnamed = disk
    unnamed.discardUnsynced()
    #expect(unnamed.paths.isEmpty)
    try disk.syncDirectory("/d")
    disk.discardUnsynced()
    #expect(disk.contents("/d/f") == [1, 2, 3])
    #expect(throws: StorageError.self) { try disk.size(of: file) }
  }

  @Test("a crash keeps the synced prefix whatever it does to the rest", arguments: UInt64(0)..<100)
  func crashes(seed: UInt64) throws {
    var (disk, file) = try disk()
    try disk.append(Array(repeating: 7, count: 50), to: file)
    try disk.sync(file)
    try disk.syncDirectory("/d")
    try disk.append(Array(repeating: 8, count: 50), to: file)
    var generator = SeededGenerator(seed: seed)
    var again = disk
    var sameSeed = generator
    disk.crash(using: &generator)
    let left = try #require(disk.contents("/d/f"))
    #expect(left.count >= 50 && left.count <= 100 && left[..<50].allSatisfy { $0 == 7 })
    again.crash(using: &sameSeed)
    #expect(again.contents("/d/f") == left)
  }

  @Test("a sync that fails makes nothing durable, and what it was to cover stays in doubt after one that works")
  func failedSync() throws {
    var outcomes: Set<[UInt8]> = []
    for seed in UInt64(0)..<40 {
      var (disk, file) = try disk()
      try disk.append([1, 2], to: file)
      try disk.sync(file)
      try disk.syncDirectory("/d")
      try disk.append([3, 4], to: file)
      disk.failsNextSync = true
      #expect(throws: StorageError.self) { try disk.sync(file) }
      #expect(disk.hasFailedSync && disk.syncedLength("/d/f") == 2)
      try disk.append([5], to: file)
      try disk.sync(file)
      #expect(disk.contents("/d/f") == [1, 2, 3, 4, 5])
      var generator = SeededGenerator(seed: seed)
      disk.crash(using: &generator)
      outcomes.insert(try #require(disk.contents("/d/f")))
      #expect(!disk.hasFailedSync)
    }
    #expect(outcomes == [[1, 2, 3, 4, 5], [1, 2, 0, 0, 5]])
  }

  @Test("what was cut off and written anew is in doubt no more; a sync of a directory may fail as well")
  func failedSyncIsOver() throws {
    var (disk, file) = try disk()
    try disk.append([1, 2], to: file)
    disk.failsNextSync = true
    #expect(throws: StorageError.self) { try disk.sync(file) }
    try disk.truncate(file, to: 0)
    try disk.append([7, 8], to: file)
    try disk.sync(file)
    disk.failsNextSync = true
    #expect(throws: StorageError.self) { try disk.syncDirectory("/d") }
    try disk.syncDirectory("/d")
    disk.discardUnsynced()
    #expect(disk.contents("/d/f") == [7, 8])
  }

  @Test("a rename or unlink is undone unless the directory was synced")
  func names() throws {
    var (disk, file) = try disk()
    try disk.append([1], to: file)
    try disk.sync(file)
    try disk.syncDirectory("/d")
    try disk.rename("/d/f", to: "/d/g")
    var undone = disk
    undone.discardUnsynced()
    #expect(undone.paths == ["/d/f"])
    try disk.syncDirectory("/d")
    try disk.unlink("/d/g")
    disk.discardUnsynced()
    #expect(disk.paths == ["/d/g"] && disk.contents("/d/g") == [1])
  }

  @Test("an unsynced truncation is undone, a synced one is not")
  func truncation() throws {
    var (disk, file) = try disk()
    try disk.append([1, 2, 3, 4], to: file)
    try disk.sync(file)
    try disk.syncDirectory("/d")
    try disk.truncate(file, to: 2)
    try disk.append([9], to: file)
    #expect(disk.contents("/d/f") == [1, 2, 9])
    var undone = disk
    undone.discardUnsynced()
    #expect(undone.contents("/d/f") == [1, 2, 3, 4])
    try disk.sync(file)
    disk.discardUnsynced()
    #expect(disk.contents("/d/f") == [1, 2, 9])
  }

  @Test("directories, modes and locks behave as a file system's")
  func rules() throws {
    var (disk, file) = try disk()
    #expect(throws: StorageError.io(.open, path: "/d/f", errno: 17)) { try disk.open("/d/f", .create) }
    #expect(throws: StorageError.io(.open, path: "/d/x", errno: 2)) { try disk.open("/d/x", .append) }
    #expect(throws: StorageError.io(.list, path: "/d/x", errno: 2)) { try disk.list("/d/x") }
    let reader = try disk.open("/d/f", .read)
    #expect(throws: StorageError.self) { try disk.append([1], to: reader) }
    try disk.append([1, 2, 3], to: file)
    #expect(try disk.read(reader, at: 1, count: 9, mayBlock: true) == .bytes([2, 3]))
    #expect(try disk.read(reader, at: 9, count: 9, mayBlock: true) == .bytes([]))
    try disk.createDirectory("/d/sub")
    try disk.createDirectory("/d/sub")
    #expect(try disk.list("/d") == ["f", "sub"])
    try disk.lock("/d/lock")
    #expect(throws: StorageError.locked(path: "/d/lock")) { try disk.lock("/d/lock") }
    disk.discardUnsynced()
    try disk.lock("/d/lock")
    #expect(disk.paths.isEmpty)
  }

  @Test("the chosen operation fails, or is the last")
  func faults() throws {
    var (disk, file) = try disk()
    disk.failure = (operation: disk.operationCount + 1, errno: 28)
    #expect(throws: StorageError.io(.append, path: "/d/f", errno: 28)) { try disk.append([1], to: file) }
    try disk.append([1], to: file)
    disk.diesAtOperation = disk.operationCount + 1
    #expect(throws: StorageError.self) { try disk.append([2, 3], to: file) }
    #expect(throws: StorageError.self) { try disk.append([4], to: file) }
    #expect(disk.isDead && disk.contents("/d/f") == [1, 2])
    disk.killProcess()
    #expect(!disk.isDead && disk.contents("/d/f") == [1, 2])
  }
}
