import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

/// Hints of several files, most of them delivered, all files without one removed, then the rest delivered and removed.
private struct RemovalStory {
  var rig: Rig
  var written: [[UInt8]: Set<Stamp>] = [:]
  /// Durable and not forgotten: their lowest stamp.
  var least: [[UInt8]: Stamp] = [:]
  static let partitionKeys = (0..<4).map { "own \($0)" }

  init(_ mode: SyncMode) throws {
    rig = try Rig.withHints(seed: 9, sync: mode, fileBytesMax: 150)
    for key in RemovalStory.partitionKeys { _ = try rig.put(key, "value", at: 5) }
    try keep(0..<10, at: 10)
  }

  private mutating func keep(_ range: Range<Int>, at time: UInt64) throws(StorageError) {
    var kept: [([UInt8], Stamp, LogPosition)] = []
    for number in range {
      let key = Array("key \(number)".utf8)
      let at = stamp(time + UInt64(number))
      written[key, default: []].insert(at)
      let version = StoredVersion(stamp: at, isTombstone: number % 3 == 1, value: number % 3 == 1 ? [] : [1, 2, 3])
      if case .applied(let position) = try rig.keep(version, key: key) { kept.append((key, at, position)) }
      try rig.engine.flush(on: &rig.disk)
      try rig.sync()
    }
    if rig.engine.durable < rig.engine.appended { try rig.work(afterMilliseconds: 70_000) }
    try rig.sync()
    for (key, at, position) in kept where position <= rig.engine.durable { least[key] = at }
  }

  private mutating func deliver(_ isDelivered: (Hint) -> Bool) throws {
    for hint in try rig.pass() where isDelivered(hint) {
      if rig.engine.forgetHint(hint.place, of: Rig.hints) { least[hint.key] = nil }
    }
  }

  private mutating func remove() throws(StorageError) {
    for _ in 0..<4 {
      rig.engine.reviewSpace(at: rig.now, on: &rig.disk)
      try rig.engine.flush(on: &rig.disk)
      try rig.work(afterMilliseconds: 1100)
    }
  }

  mutating func run() throws {
    let last = rig.hintStore.dataFiles.indices.last.map { rig.hintStore.dataFiles[$0].id }
    try deliver { $0.place.file != last }
    try remove()
    try keep(10..<13, at: 100)
    try keep(0..<2, at: 200)
    try deliver { _ in true }
    try remove()
  }

  /// What holds at any time, whatever happened.
  mutating func check(_ label: String) throws {
    let held = try rig.pass().reduce(into: [[UInt8]: Stamp]()) { $0[$1.key] = $1.version.stamp }
    for (key, at) in least { #expect(held[key].map { $0 >= at } == true, "\(label): lost \(key)") }
    for (key, at) in held { #expect(written[key]?.contains(at) == true, "\(label): \(key)") }
    for key in RemovalStory.partitionKeys {
      guard case .found = try rig.get(key) else {
        Issue.record("\(label): \(key) is gone")
        continue
      }
    }
    #expect(try rig.hintCountDefect() == nil, "\(label)")
  }

  /// All that is left is delivered, and no file stays.
  mutating func drain(_ label: String) throws {
    try rig.deliverAll()
    try rig.workOffHints()
    #expect(rig.hintFiles.values.allSatisfy { $0 <= FileHeader.byteCount }, "\(label): \(rig.hintFiles)")
  }
}

@Suite("Faults while the files of delivered hints go")
struct HintFaultTests {
  @Test("the process dies there, or power fails: no hint is lost, and it goes on", arguments: SyncMode.allCases)
  func dies(mode: SyncMode) throws {
    for operation in 1... {
      var story = try RemovalStory(mode)
      story.rig.disk.diesAtOperation = story.rig.disk.operationCount + operation
      try? story.run()
      let hasDied = story.rig.disk.isDead
      for variant in 0..<3 {
        var copy = story
        let label = "\(mode), operation \(operation), variant \(variant)"
        var generator = SeededGenerator(seed: UInt64(operation * 3 + variant))
        if variant == 0 { copy.rig.disk.discardUnsynced() }
        if variant == 1 { copy.rig.disk.crash(using: &generator) }
        try copy.rig.reopen()
        #expect(copy.rig.engine.recovery.damaged.isEmpty && copy.rig.engine.recovery.missingHints.isEmpty, "\(label)")
        try copy.check(label)
        if operation % 5 == variant { try copy.drain(label) }
      }
      if !hasDied { return #expect(operation > 60) }
    }
  }

  /// ENOSPC, EMFILE, EIO.
  @Test(
    "it fails: after a shortage the same engine removes them later, and a restart finds every hint",
    arguments: [28, 24, 5] as [Int32])
  func fails(errno: Int32) throws {
    var later = 0
    for operation in 1... {
      var story = try RemovalStory(.always)
      let failing = story.rig.disk.operationCount + operation
      story.rig.disk.failure = (operation: failing, errno: errno)
      let label = "errno \(errno), operation \(operation)"
      var stopped: (any Error)?
      do { try story.run() } catch { stopped = error }
      let isReached = story.rig.disk.operationCount >= failing
      story.rig.disk.failure = nil
      if stopped == nil && story.rig.engine.role(Rig.hints) == .active {
        try story.check("\(label), at once")
        try story.drain("\(label), later")
        later += 1
      }
      switch story.rig.disk.failedOperation {
      case .open where errno != 5, .append where errno == 28, .rename where errno == 28, .unlink where errno == 28:
        #expect(stopped == nil, "\(label): \(stopped.map { "\($0)" } ?? "")")
      default: break
      }
      for power in [false, true] {
        var copy = story
        var generator = SeededGenerator(seed: UInt64(operation))
        if power { copy.rig.disk.crash(using: &generator) }
        try copy.rig.reopen()
        #expect(copy.rig.engine.recovery.damaged.isEmpty, "\(label)")
        try copy.check("\(label), power \(power)")
      }
      if !isReached { break }
    }
    #expect(later > (errno == 5 ? 0 : 10), "\(later)")
  }

  @Test("power fails between any two steps of the job that removes them", arguments: UInt64(0)..<20)
  func steps(seed: UInt64) throws {
    var rig = try Rig.withHints(fileBytesMax: 150)
    try rig.keepAll(0..<10)
    let files = rig.hintStore.dataFiles.indices.map { rig.hintStore.dataFiles[$0].id }
    var left: [Hint] = []
    for hint in try rig.pass() {
      if hint.place.file == files.last {
        left.append(hint)
      } else {
        #expect(rig.engine.forgetHint(hint.place, of: Rig.hints))
      }
    }
    #expect(!left.isEmpty && files.count > 2)
    let steps = try #require(rig.engine.work(at: rig.now, on: &rig.disk))
    #expect(steps.count { if case .unlink = $0 { true } else { false } } == 2 * (files.count - 1))
    for performed in 0...steps.count {
      var copy = rig
      for step in steps[..<performed] { try step.perform(on: &copy.disk) }
      var generator = SeededGenerator(seed: seed &* 100 &+ UInt64(performed))
      copy.disk.crash(using: &generator)
      try copy.reopen()
      #expect(copy.engine.recovery.damaged.isEmpty)
      let held = try copy.pass()
      #expect(left.allSatisfy { hint in held.contains { $0.key == hint.key && $0.version == hint.version } })
    }
  }

  @Test("damage to a hint fences the hints for that node only, and nothing is skipped over it")
  func damage() throws {
    var rig = try Rig.withHints(fileBytesMax: 4000, nodes: [3, 4])
    let other = StoreID.hints(for: NodeID(4))
    try rig.keepAll(0..<10)
    try rig.keep(StoredVersion(stamp: stamp(50), isTombstone: false, value: [1]), key: [1], in: other)
    _ = try rig.put("own", "value", at: 60)
    try rig.endHintFile()
    let hints = try rig.pass()
    rig.disk.flipBit(3, ofByte: Int(hints[4].place.offset) + 30, in: StorePath.data(rig.hintStore.directory, 1))
    var cold = rig
    var cursor = HintCursor.start
    var seen = 0
    let error = #expect(throws: StorageError.self) {
      while let page = try rig.page(from: cursor, bytesMax: 50) {
        seen += page.hints.count
        cursor = page.next
      }
    }
    if case .damaged(_, let offset, _, _)? = error { #expect(offset == hints[4].place.offset) }
    #expect(seen == 4)
    for label in ["found by a page", "found by a start"] {
      #expect(rig.engine.role(Rig.hints) == .fenced, "\(label)")
      #expect(throws: StorageError.self, "\(label)") { try rig.page(from: .start) }
      #expect(throws: StorageError.self, "\(label)") { try rig.keep("key 77", "value", at: 99) }
      #expect(!rig.engine.forgetHint(hints[0].place, of: Rig.hints), "\(label)")
      #expect(rig.engine.role(other) == .active && rig.engine.role(Rig.seeds[0].id) == .loading, "\(label)")
      #expect(try rig.pass(of: other).count == 1, "\(label)")
      #expect(try rig.value("own") == "value", "\(label)")
      try rig.work(afterMilliseconds: 70_000)
      // The rest of the file does not go, whatever is asked; nor does what came after the manifest.
      #expect(rig.hintFiles[StorePath.data(rig.hintStore.directory, 1)] != nil, "\(label)")
      for path in cold.disk.paths where path.hasSuffix(".hint") { try cold.disk.unlink(path) }
      rig = cold
      try rig.reopen()
      #expect(rig.engine.recovery.damaged.map(\.store) == [Rig.hints])
    }
  }
}

@Suite("Damaged hints")
struct DamagedHintTests {
  @Test("damage before bytes that are in no file yet is reported, and not searched for ever")
  func beforeBuffered() throws {
    var rig = try Rig.withHints()
    try rig.keepAll(0..<2)
    let index = try #require(rig.hintStore.dataFiles.indices.first)
    let file = rig.hintStore.dataFiles[index]
    try rig.keep("key 9", "in memory", at: 99)
    let isFlipped = rig.disk.flipBit(1, ofByte: Int(file.flushedLength) - 9, in: file.path)
    #expect(isFlipped)
    var refusal: StorageError?
    do throws(StorageError) { _ = try rig.page(from: .start) } catch { refusal = error }
    #expect(refusal != nil)
    #expect(rig.hintStore.damage != nil)
  }
}
