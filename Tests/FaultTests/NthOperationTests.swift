import Primitives
import Simulation
import Storage
import Testing

@Suite("The n-th file operation fails")
struct NthOperationTests {
  /// A life with everything in it: creation, turns, roll-overs, a segment change, a checkpoint, roles, shutdown. Notes
  /// in `durable` what was promised.
  private struct Story {
    var rig: Rig
    var durable: [String: UInt64] = [:]

    init(mode: SyncMode, disk: (inout SimulatedDisk) -> Void) throws {
      rig = try Rig(seed: 5, sync: mode, fileBytesMax: 600, segmentBytes: 900)
      disk(&rig.disk)
    }

    mutating func run() throws {
      for turn in 0..<12 {
        var promised: [(String, UInt64)] = []
        for number in 0..<3 {
          let time = UInt64(turn * 10 + number + 1)
          let key = "key \((turn * 3 + number) % 8)"
          _ = number == 2 ? try rig.delete(key, at: time) : try rig.put(key, "value \(time)", at: time)
          promised.append((key, time))
        }
        try rig.engine.flush(on: &rig.disk)
        try rig.sync()
        try rig.work(afterMilliseconds: turn == 6 ? 70_000 : 1)
        if turn == 8 {
          let id = Rig.seeds[0].id
          for step in rig.engine.setRole(id, .active, promises: []) { try step.perform(on: &rig.disk) }
          rig.engine.adoptRole(id, .active, promises: [])
        }
        guard rig.engine.durable == rig.engine.appended else { continue }
        for (key, time) in promised { durable[key] = time }
      }
      try rig.shutdown()
    }

    mutating func check(_ label: String) throws {
      #expect(rig.engine.recovery.damaged.isEmpty && rig.engine.recovery.missing.isEmpty, "\(label)")
      for (key, time) in durable.sorted(by: { $0.key < $1.key }) {
        guard case .found(let version) = try rig.get(key) else {
          Issue.record("\(label): lost \(key)")
          continue
        }
        #expect(version.stamp >= stamp(time), "\(label): \(key)")
      }
    }
  }

  @Test("the process dies there: nothing durable is lost", arguments: SyncMode.allCases)
  func dies(mode: SyncMode) throws {
    for operation in 1... {
      var story = try Story(mode: mode) { $0.diesAtOperation = $0.operationCount + operation }
      let hasDied = (try? story.run()) == nil
      for variant in 0..<3 {
        var copy = story
        var generator = SeededGenerator(seed: UInt64(operation * 3 + variant))
        if variant == 0 { copy.rig.disk.discardUnsynced() } else { copy.rig.disk.crash(using: &generator) }
        try copy.rig.reopen()
        try copy.check("\(mode), operation \(operation), variant \(variant)")
      }
      if !hasDied { return }
    }
  }

  @Test("opening after a crash dies there: the next opening finds everything", arguments: SyncMode.allCases)
  func openingDies(mode: SyncMode) throws {
    var story = try Story(mode: mode) { $0.diesAtOperation = $0.operationCount + 90 }
    _ = try? story.run()
    var generator = SeededGenerator(seed: 9)
    story.rig.disk.crash(using: &generator)
    for operation in 1... {
      var copy = story
      copy.rig.disk.diesAtOperation = copy.rig.disk.operationCount + operation
      let opened = try? Engine.open(Rig.root, options: copy.rig.options, stores: Rig.seeds, on: &copy.rig.disk)
      let hasDied = opened == nil || copy.rig.disk.isDead
      copy.rig.disk.crash(using: &generator)
      try copy.rig.reopen()
      try copy.check("operation \(operation)")
      if !hasDied { return }
    }
  }

  /// ENOSPC, EIO, EMFILE.
  @Test(
    "it fails there: the error comes out, nothing durable is lost", arguments: SyncMode.allCases,
    [28, 5, 24] as [Int32])
  func fails(mode: SyncMode, errno: Int32) throws {
    for operation in 1... {
      var story = try Story(mode: mode) { $0.failure = (operation: $0.operationCount + operation, errno: errno) }
      let total = story.rig.disk.operationCount + operation
      do { try story.run() } catch { #expect(error is StorageError) }
      let isReached = story.rig.disk.operationCount >= total
      try story.rig.reopen()
      if story.rig.engine.recovery.damaged.isEmpty { try story.check("errno \(errno), operation \(operation)") }
      if !isReached { return }
    }
  }

  @Test("creating stores dies there: the next start creates them or finds them")
  func creatingDies() throws {
    for operation in 1... {
      var disk = SimulatedDisk(seed: 3, root: Rig.root)
      let options = try Rig(seed: 3).options
      disk.diesAtOperation = operation
      let isDone: Bool
      do {
        let engine = try Engine.open(Rig.root, options: options, stores: [], on: &disk)
        for step in engine.create(Rig.seeds) { try step.perform(on: &disk) }
        try engine.adopt(Rig.seeds, on: &disk)
        isDone = true
      } catch { isDone = false }
      var generator = SeededGenerator(seed: UInt64(operation))
      disk.crash(using: &generator)
      let engine = try Engine.open(Rig.root, options: options, stores: Rig.seeds, on: &disk)
      let missing = Rig.seeds.filter { engine.recovery.missing.contains($0.id) }
      #expect(!isDone || missing.isEmpty)
      for step in engine.create(missing) { try step.perform(on: &disk) }
      try engine.adopt(missing, on: &disk)
      #expect(engine.storeIDs == Rig.seeds.map(\.id))
      if isDone { return }
    }
  }
}
