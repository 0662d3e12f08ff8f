import Primitives
import Simulation
import Storage
import Testing

@Suite("Crashes")
struct CrashTests {
  @Test(
    "what was durable survives any loss of power, at any moment, in every sync mode",
    arguments: UInt64(0)..<70, SyncMode.allCases)
  func power(seed: UInt64, mode: SyncMode) throws {
    var drive = try RandomDrive(seed: seed, sync: mode, mask: seed % 4 == 3 ? 0x8000_0000_0000_0003 : .max)
    for life in 0..<6 {
      for _ in 0..<drive.generator.below(120) { try drive.step() }
      drive.rig.options.sync = drive.generator.chance(1, in: 4) ? .allCases[drive.generator.below(3)] : mode
      try drive.crash(power: true, "life \(life)")
    }
  }

  /// Hashes of so few bits that most keys of a store share theirs with others.
  private static let masks: [UInt64] = [.max, .max, .max, 0x8000_0000_0000_0003, 0x8000_0000_0000_0000]

  @Test(
    "puts, deletes, purges, merges, roles and crashes in any order leave what a dictionary holds, byte counts included",
    arguments: UInt64(1000)..<2000)
  func everything(seed: UInt64) throws {
    var drive = try RandomDrive(
      seed: seed, sync: .allCases[Int(seed / 2 % 3)], mask: CrashTests.masks[Int(seed % 5)],
      segmentBytes: seed % 7 < 3 ? 1 << 20 : 1500)
    for life in 0..<3 {
      for _ in 0..<30 + drive.generator.below(90) { try drive.step() }
      try drive.crash(power: !drive.generator.chance(1, in: 3), "life \(life)")
    }
  }

  @Test("what was flushed survives the death of the process", arguments: UInt64(100)..<130, SyncMode.allCases)
  func process(seed: UInt64, mode: SyncMode) throws {
    var drive = try RandomDrive(seed: seed, sync: mode)
    for life in 0..<5 {
      for _ in 0..<drive.generator.below(100) { try drive.step() }
      try drive.crash(power: false, "life \(life)")
    }
  }

  @Test("a disk that is full now and then loses nothing, in the same life or the next", arguments: UInt64(300)..<360)
  func fullNowAndThen(seed: UInt64) throws {
    var drive = try RandomDrive(seed: seed, sync: .allCases[Int(seed % 3)])
    drive.fillsDisk = true
    for life in 0..<5 {
      for _ in 0..<drive.generator.below(200) { try drive.step() }
      if drive.generator.chance(1, in: 2) { try drive.recoverRoom() }
      try drive.crash(power: drive.generator.chance(1, in: 2), "life \(life)")
    }
  }

  @Test("a process that dies in the middle of any operation loses nothing durable", arguments: UInt64(200)..<260)
  func midOperation(seed: UInt64) throws {
    var drive = try RandomDrive(seed: seed, sync: .allCases[Int(seed % 3)])
    for life in 0..<5 {
      drive.rig.disk.diesAtOperation = drive.rig.disk.operationCount + 1 + drive.generator.below(150)
      do {
        while true { try drive.step() }
      } catch {
        guard drive.rig.disk.isDead else { throw error }
      }
      try drive.crash(power: true, "life \(life)")
    }
  }

  @Test("power fails between any two steps of a checkpoint that drops several segments", arguments: UInt64(0)..<40)
  func checkpointSteps(seed: UInt64) throws {
    // Segments follow each other, while the checkpoint waits for its time.
    var rig = try Rig(seed: seed, segmentBytes: 600, checkpointBytes: 1 << 20)
    for number in 0..<40 {
      _ = try rig.put("key \(number)", "value", at: UInt64(number + 1))
      try rig.engine.flush(on: &rig.disk)
      try rig.sync()
      try rig.work()
    }
    #expect(rig.disk.paths.filter { $0.hasSuffix(".journal") }.count > 4)
    let steps = try #require(rig.engine.work(at: rig.now.adding(milliseconds: 70_000), on: &rig.disk))
    for performed in 0...steps.count {
      var copy = rig
      for step in steps[..<performed] { try step.perform(on: &copy.disk) }
      var generator = SeededGenerator(seed: seed)
      copy.disk.crash(using: &generator)
      try copy.reopen()
      #expect(copy.engine.recovery.damaged.isEmpty)
      for number in 0..<40 { #expect(try copy.get("key \(number)") != .absent) }
    }
  }
}
