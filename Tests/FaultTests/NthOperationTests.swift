import Causality
import Primitives
import Simulation
import Storage
import Testing

@Suite("The n-th file operation fails")
struct NthOperationTests {
  /// A life with everything in it: creation, turns, roll-overs, a segment change, a checkpoint, roles, shutdown. Notes
  /// in `durable` what was promised, and in `refused` what was not taken.
  private struct Story {
    var rig: Rig
    var durable: [String: UInt64] = [:]
    var refused: Set<UInt64> = []
    /// Appended and not known to be durable, in order.
    private var promised: [(key: String, time: UInt64, position: LogPosition)] = []
    /// The steps under way are such that a node stops when they are refused.
    private(set) var mayStop = false

    init(mode: SyncMode, disk: (inout SimulatedDisk) -> Void) throws {
      rig = try Rig(seed: 5, sync: mode, fileBytesMax: 600, segmentBytes: 900)
      disk(&rig.disk)
    }

    mutating func run() throws {
      for turn in 0..<12 {
        for number in 0..<3 { try write(turn, number) }
        rig.engine.reviewSpace(at: rig.now, on: &rig.disk)
        try rig.engine.flush(on: &rig.disk)
        try rig.sync()
        try rig.work(afterMilliseconds: turn == 6 ? 70_000 : 1)
        if turn == 8 {
          mayStop = true
          let id = Rig.seeds[0].id
          for step in rig.engine.setRole(id, .active, promises: []) { try step.perform(on: &rig.disk) }
          rig.engine.adoptRole(id, .active, promises: [])
          mayStop = false
        }
        while let first = promised.first, first.position <= rig.engine.durable {
          durable[first.key] = first.time
          promised.removeFirst()
        }
      }
      mayStop = true
      try rig.shutdown()
    }

    private mutating func write(_ turn: Int, _ number: Int) throws {
      let time = UInt64(turn * 10 + number + 1)
      let key = "key \((turn * 3 + number) % 8)"
      do throws(StorageError) {
        switch number == 2 ? try rig.delete(key, at: time) : try rig.put(key, "value \(time)", at: time) {
        case .applied(let position): promised.append((key, time, position))
        case .refused: refused.insert(time)
        case .equal, .newer, .belowFloor, .cold: Issue.record("\(key) at \(time) is the newest")
        }
      } catch {
        // This store is fenced, the other one goes on.
        guard case .io(.read, _, _) = error else { throw error }
        refused.insert(time)
      }
    }

    /// What the engine holds is what was promised, or newer, and nothing that was refused.
    mutating func check(_ label: String) throws {
      #expect(rig.engine.recovery.damaged.isEmpty && rig.engine.recovery.missing.isEmpty, "\(label)")
      for number in 0..<8 {
        let key = "key \(number)"
        guard case .found(let version) = try rig.get(key) else {
          #expect(durable[key] == nil, "\(label): lost \(key)")
          continue
        }
        #expect(version.stamp >= stamp(durable[key] ?? 0), "\(label): \(key)")
        #expect(!refused.contains(version.stamp.time.milliseconds), "\(label): \(key) was refused, and is there")
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

  /// What the disk can say, by its number in the system.
  enum Refusal: Int32, CaseIterable, Sendable {
    case tooManyFiles = 24
    case noSpace = 28
    case quota = 122
    case failed = 5
    case readOnly = 30

    /// It says nothing about what is on the disk, and may be over soon.
    var passes: Bool { self == .tooManyFiles || self == .noSpace || self == .quota }
  }

  @Test(
    "the disk refuses there: what it may refuse is tried again, all else ends the engine, and nothing durable is lost",
    arguments: Refusal.allCases, SyncMode.allCases)
  func refuses(refusal: Refusal, mode: SyncMode) throws {
    for operation in 1... {
      var story = try Story(mode: mode) { $0.failure = ($0.operationCount + operation, refusal.rawValue) }
      let label = "\(refusal), \(mode), operation \(operation)"
      let error = Result { try story.run() }.failure
      guard let failed = story.rig.disk.failedOperation else { return #expect(error == nil, "\(label)") }
      switch failed {
      case .append, .open, .createDirectory, .rename, .link, .unlink:
        if refusal.passes && !(refusal == .tooManyFiles && failed != .open) {
          #expect(error == nil || story.mayStop, "\(label), \(failed): \(error.map { "\($0)" } ?? "")")
        } else if failed == .append {
          try expectDead(&story.rig, label)
        }
      case .sync, .syncDirectory:
        #expect(error != nil, "\(label)")
        #expect(story.rig.disk.syncsAfterFailure == 0, "\(label)")
      case .read, .measure: #expect(error == nil, "\(label), \(failed)")
      case .truncate, .close, .size, .list, .lock, .removeDirectory: break
      }
      try story.rig.reopen()
      try story.check(label)
    }
  }

  /// After a failed write of its own an engine does nothing any more.
  private func expectDead(_ rig: inout Rig, _ label: String) throws {
    let before = rig.disk.operationCount
    guard (try? rig.engine.flush(on: &rig.disk)) == nil else { return }
    #expect(throws: StorageError.self, "\(label)") { try rig.put("any", "value", at: 1000) }
    #expect(rig.disk.operationCount == before, "\(label)")
  }

  @Test(
    "the disk fills up there and is emptied later: the same engine goes on and loses nothing",
    arguments: SyncMode.allCases)
  func fillsUp(mode: SyncMode) throws {
    for bytes in stride(from: 0, to: 8000, by: 13) {
      var story = try Story(mode: mode) { $0.spaceLeft = bytes }
      let label = "\(mode), \(bytes) bytes left"
      let error = Result { try story.run() }.failure
      #expect(error == nil || story.mayStop, "\(label): \(error.map { "\($0)" } ?? "")")
      story.rig.disk.spaceLeft = nil
      for _ in 0..<3 {
        story.rig.now = story.rig.now.adding(milliseconds: 6000)
        story.rig.engine.reviewSpace(at: story.rig.now, on: &story.rig.disk)
        try story.rig.engine.flush(on: &story.rig.disk)
      }
      try story.check("\(label), in the same life")
      if error != nil {
        #expect(story.rig.engine.flushed == story.rig.engine.appended, "\(label)")
        guard case .applied = try story.rig.put("key 0", "later", at: 5000) else {
          Issue.record("\(label): a put is refused though there is room")
          continue
        }
        story.durable["key 0"] = 5000
        try story.rig.engine.flush(on: &story.rig.disk)
        try story.rig.sync()
      }
      try story.rig.reopen()
      try story.check(label)
      if error == nil && story.refused.isEmpty { return }
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

extension Result {
  fileprivate var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
