import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// Hints at random against a dictionary: kept, superseded, read in passes, forgotten from places that may be old, merged,
// removed, with crashes in between.

private struct HintDrive {
  struct Kept {
    let version: StoredVersion
    let position: UInt64
  }

  var rig: Rig
  var generator: SeededGenerator
  /// By key: what was kept since the key was last forgotten; position 0: durable since before this opening.
  private var kept: [[UInt8]: [Kept]] = [:]
  /// By key: everything that was ever written.
  private var written: [[UInt8]: [StoredVersion]] = [:]
  private var flushed: UInt64 = 0
  private var clock: UInt64 = 1000
  private let keys: [[UInt8]]

  /// The pass under way: where it is, what it must still bring, and what it brought and nobody has confirmed yet.
  private var cursor = HintCursor.start
  private var wanted: [[UInt8]: StoredVersion] = [:]
  private var seen: [[UInt8]: [StoredVersion]] = [:]
  private var handed: [Hint] = []
  private(set) var passes = 0
  private(set) var movedOrSuperseded = 0

  private var steps: [DiskStep]?
  private var syncing: (request: SyncRequest, left: [FileID])?
  private var mergeRead: ColdRead?

  init(seed: UInt64, sync: SyncMode, mask: UInt64 = .max) throws {
    generator = SeededGenerator(seed: seed)
    rig = try Rig.withHints(
      seed: seed, sync: sync, fileBytesMax: 500, segmentBytes: 1500, mask: mask,
      blockChance: [0, 100, 500][Int(seed % 3)])
    rig.options.merge.checkIntervalMilliseconds = 1000
    rig.options.merge.smallFileBytes = 200
    rig.options.openFilesMax = 3
    keys = (0..<16).map { Array("key-\($0)".utf8) }
    try rig.reopen()
  }

  private func current(_ key: [UInt8]) -> StoredVersion? {
    kept[key]?.max { $0.version.stamp < $1.version.stamp }?.version
  }

  // MARK: Steps

  mutating func step() throws {
    switch generator.below(40) {
    case 0..<12: try write()
    case 12..<16: try flush()
    case 16..<23: try advancePass()
    case 23..<27: deliver()
    case 27..<30: try advanceSync()
    case 30..<34: try advanceMerge()
    case 34: rig.engine.requestMerge(in: generator.chance(1, in: 2) ? nil : [Rig.hints])
    case 35: _ = try rig.put("other \(generator.below(4))", "value", at: clock)
    case 36: try checkAll("in between")
    default: rig.now = rig.now.adding(milliseconds: UInt64([300, 1200, 70_000][generator.below(3)]))
    }
    try advanceJob()
    #expect(try rig.hintCountDefect() == nil)
  }

  private mutating func write() throws {
    clock += UInt64(generator.below(4))
    let key = keys[generator.below(keys.count)]
    let isTombstone = generator.chance(1, in: 4)
    let count = generator.chance(1, in: 60) ? 40_000 : generator.below(70)
    let version = StoredVersion(
      stamp: stamp(clock - UInt64(generator.below(9)), actor: UInt32(1 + generator.below(2))),
      isTombstone: isTombstone,
      value: isTombstone ? [] : Array(repeating: UInt8(truncatingIfNeeded: generator.next()), count: count))
    let known = current(key)
    switch try rig.keep(version, key: key) {
    case .applied(let position):
      #expect(known.map { $0.stamp < version.stamp } ?? true)
      kept[key, default: []].append(Kept(version: version, position: position.rawValue))
      written[key, default: []].append(version)
      wanted[key] = nil
    case .equal: #expect(known?.stamp == version.stamp)
    case .newer(let stamp, _): #expect(known?.stamp == stamp && stamp > version.stamp)
    case .belowFloor, .refused, .cold: Issue.record("nothing refuses a hint here")
    }
  }

  private mutating func flush() throws {
    try rig.engine.flush(on: &rig.disk)
    flushed = rig.engine.flushed.rawValue
  }

  private mutating func advancePass() throws {
    if cursor == .start {
      try flush()
      wanted = kept.keys.reduce(into: [:]) { $0[$1] = current($1) }
      seen = [:]
    }
    guard let page = try rig.page(from: cursor, bytesMax: [1, 60, 300, 5000][generator.below(4)]) else {
      passes += 1
      for (key, version) in wanted {
        #expect(seen[key]?.contains(version) == true, "a pass has missed \(version.stamp) of \(key)")
      }
      cursor = .start
      return
    }
    for hint in page.hints {
      #expect(hint.version == current(hint.key), "a page brings what does not count")
      seen[hint.key, default: []].append(hint.version)
    }
    handed += page.hints
    cursor = page.next
  }

  /// Some of what was handed over is confirmed, in whatever order.
  private mutating func deliver() {
    for _ in 0..<1 + generator.below(6) where !handed.isEmpty {
      let hint = handed.remove(at: generator.below(handed.count))
      let isForgotten = rig.engine.forgetHint(hint.place, of: Rig.hints)
      if isForgotten {
        #expect(current(hint.key) == hint.version, "what was forgotten is not what was handed over")
        kept[hint.key] = nil
        wanted[hint.key] = nil
      } else {
        movedOrSuperseded += 1
      }
    }
  }

  private mutating func advanceSync() throws {
    guard var sync = syncing else {
      if let request = rig.engine.beginSync() { syncing = (request, request.files) }
      return
    }
    if sync.left.isEmpty {
      rig.engine.completeSync(sync.request.ticket)
      syncing = nil
    } else {
      try rig.disk.sync(sync.left.removeFirst())
      syncing = sync
    }
  }

  private mutating func advanceMerge() throws {
    var warm: WarmBytes?
    if let read = mergeRead {
      if let result = try? rig.disk.read(read.file, at: read.offset, count: read.count, mayBlock: true),
        case .bytes(let bytes) = result
      {
        warm = WarmBytes(read: read, bytes: bytes)
      }
      mergeRead = nil
    }
    let budget = [1, 100, 400, 5000][generator.below(4)]
    if case .cold(let read) = try rig.engine.continueMerge(
      at: rig.now, hour: 12, budget: budget, warm: warm, on: &rig.disk)
    {
      mergeRead = read
    }
    if generator.chance(1, in: 40) { rig.engine.cancelMerge(on: &rig.disk) }
  }

  private mutating func advanceJob() throws {
    guard var steps else {
      steps = rig.engine.work(at: rig.now, on: &rig.disk)
      return
    }
    for _ in 0..<generator.below(5) where !steps.isEmpty { try steps.removeFirst().perform(on: &rig.disk) }
    self.steps = steps
    guard steps.isEmpty else { return }
    self.steps = nil
    rig.engine.completeWork()
  }

  // MARK: What holds

  /// A full pass brings exactly what was not forgotten.
  mutating func checkAll(_ label: String) throws {
    try flush()
    let hints = try rig.pass(bytesMax: [1, 100, 1000][generator.below(3)])
    let brought = Dictionary(hints.map { ($0.key, $0.version) }) { first, _ in first }
    #expect(brought.count == hints.count, "\(label): a key comes twice")
    let expected = kept.keys.reduce(into: [:]) { $0[$1] = current($1) }
    #expect(brought == expected, "\(label)")
    #expect(rig.engine.hintStatus(Rig.hints).count == expected.count, "\(label)")
    #expect(rig.engine.floor(Rig.hints) == .zero)
  }

  /// The process dies; with `power` the machine too. What was durable and not forgotten is there; what was forgotten
  /// may be.
  mutating func crash(power: Bool, _ label: String) throws {
    let durable = power ? rig.engine.durable.rawValue : flushed
    (steps, syncing, mergeRead, handed, cursor, flushed) = (nil, nil, nil, [], .start, 0)
    if power { rig.disk.crash(using: &generator) }
    try rig.reopen()
    #expect(rig.engine.recovery.damaged.isEmpty && rig.engine.recovery.missingHints.isEmpty, "\(label)")
    let held = Dictionary(try rig.pass().map { ($0.key, $0.version) }) { first, _ in first }
    for key in keys {
      let least = kept[key]?.filter { $0.position <= durable }.map(\.version.stamp).max()
      if let least {
        #expect(held[key].map { $0.stamp >= least } == true, "\(label): lost \(least) of \(key)")
      }
      if let version = held[key] {
        #expect(written[key]?.contains(version) == true, "\(label): \(key) was never written so")
      }
      kept[key] = held[key].map { [Kept(version: $0, position: 0)] }
    }
    #expect(try rig.hintCountDefect() == nil, "\(label)")
  }

  /// Everything is delivered: nothing of it stays on the disk.
  mutating func drain(_ label: String) throws {
    while steps != nil { try advanceJob() }
    rig.engine.cancelMerge(on: &rig.disk)
    syncing = nil
    try rig.deliverAll()
    try rig.workOffHints()
    #expect(rig.engine.hintStatus(Rig.hints).count == 0 && rig.engine.hintBytes == 0, "\(label)")
    #expect(rig.hintFiles.values.allSatisfy { $0 <= FileHeader.byteCount }, "\(label): \(rig.hintFiles)")
  }
}

@Suite("Hints at random")
struct HintModelTests {
  @Test(
    "a pass brings every undelivered hint at its highest stamp, through merges, removals and crashes",
    arguments: UInt64(0)..<15, SyncMode.allCases)
  func model(seed: UInt64, mode: SyncMode) throws {
    var drive = try HintDrive(seed: seed, sync: mode, mask: seed % 4 == 3 ? 0xC000_0000_0000_0007 : .max)
    for life in 0..<4 {
      for _ in 0..<150 { try drive.step() }
      try drive.checkAll("seed \(seed), life \(life)")
      try drive.crash(power: life % 2 == 0, "seed \(seed), life \(life)")
    }
    for _ in 0..<100 { try drive.step() }
    #expect(drive.passes > 0)
    try drive.drain("seed \(seed)")
  }
}
