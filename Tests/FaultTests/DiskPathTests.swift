import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// Paths by which a deleted key comes back from the files of one store (Docs/DeleteProtocol.md), each with all rules kept,
// and without the rule that stops it. Paths that no rule of its own stops are in KnownBugsTests.

struct DiskPath: Sendable, CustomTestStringConvertible {
  let name: String
  /// What stops it.
  let rule: Rule
  /// Whether the key is back, and how often the rule was seen at work.
  let play: @Sendable (Rules) throws -> (isBack: Bool, stops: Int)

  var testDescription: String { name }

  init(_ name: String, _ rule: Rule, play: @escaping @Sendable (Rules) throws -> (isBack: Bool, stops: Int)) {
    self.name = name
    self.rule = rule
    self.play = play
  }
}

private let a = Rig.keys[0]
private let b = Rig.keys[1]
private let k = Rig.keys[2]

@Suite("Paths through files")
struct DiskPathTests {
  @Test("a rule stops it, and without the rule it succeeds", arguments: DiskPath.all)
  func path(path: DiskPath) throws {
    let kept = try path.play(.all)
    #expect(!kept.isBack && kept.stops > 0, "with all rules: \(kept)")
    #expect(try path.play(Rules.all.without(path.rule)).isBack, "without \(path.rule) nothing came back")
  }
}

extension DiskPath {
  private static func rig(_ rules: Rules, sync: SyncMode = .always) throws -> Rig {
    var rig = try Rig.active(sync: sync)
    rig.options.rules = rules
    try rig.reopen()
    return rig
  }

  /// The machine loses power and the store is opened anew.
  private static func restart(_ rig: inout Rig) throws {
    rig.disk.discardUnsynced()
    try rig.reopen()
  }

  static let all: [DiskPath] = [
    DiskPath("P4 the head of the feed outlives the record that had it", .feedHead) { rules in
      var rig = try rig(rules)
      _ = try rig.put(k, "old", at: 5)
      try rig.forget(k, at: 10)
      try rig.endFile()
      try rig.merge(rig.fileIDs)
      try restart(&rig)
      let head = Int(rig.engine.status(Rig.seeds[0].id).tsnHead)
      return (head == 0, head)
    },

    DiskPath("P50 a floor is durable before a tombstone below it leaves the disk", .durableFloor) { rules in
      var rig = try rig(rules)
      _ = try rig.put(k, "old", at: 5)
      try rig.forget(k, at: 10)
      try rig.endFile()
      try rig.merge(rig.fileIDs)
      try restart(&rig)
      let outcome = try rig.put(k, "old", at: 5)
      return (try rig.value(k) != nil, outcome == .belowFloor(stamp(10)) ? 1 : 0)
    },

    DiskPath("P59 a merge keeps a tombstone whose value stands in another file", .overlap) { rules in
      var rig = try rig(rules)
      _ = try rig.put(a, "stays", at: 4)
      _ = try rig.put(k, "old", at: 5)
      try rig.endFile()
      _ = try rig.put(b, "stays", at: 6)
      try rig.forget(k, at: 10)
      let second = try rig.endFile()
      try rig.merge([second])
      let blocked = rig.engine.mergeStatus.totals.tombstonesBlocked
      try restart(&rig)
      return (try rig.value(k) != nil, blocked)
    },

    DiskPath("P60 also where a merge has copied the value behind it", .overlap) { rules in
      var rig = try rig(rules)
      _ = try rig.put(k, "old", at: 5)
      _ = try rig.put(a, "stays", at: 3)
      let first = try rig.endFile()
      _ = try rig.put(b, "stays", at: 6)
      try rig.commit()
      rig.beginMerge([first])
      while try rig.slice(1) != .waiting {}
      try rig.forget(k, at: 10)
      try rig.engine.flush(on: &rig.disk)
      for _ in 0..<9 { try rig.work() }
      let second = try rig.endFile()
      try rig.merge([second])
      let blocked = rig.engine.mergeStatus.totals.tombstonesBlocked
      try restart(&rig)
      return (try rig.value(k) != nil, blocked)
    },

    DiskPath("P58 the value whose place a tombstone of its stamp took counts as one that it keeps away", .overlap) {
      rules in
      var rig = try rig(rules)
      // Nothing in the file is older than the tombstone.
      _ = try rig.put(a, "stays", at: 7)
      _ = try rig.put(k, "expires", at: 5, until: 60_000)
      try rig.endFile()
      _ = try rig.put(b, "stays", at: 8)
      #expect(try rig.bury(Rig.seeds[0].id, at: 120_000) == 1)
      try rig.commit()
      #expect(try rig.purge(Array(k.utf8), stamp(5)) == .purged)
      let second = try rig.endFile()
      try rig.merge([second])
      let blocked = rig.engine.mergeStatus.totals.tombstonesBlocked
      try restart(&rig)
      return (try rig.value(k) != nil, blocked)
    },

    DiskPath("P65 a superseded tombstone stays as long as what it deleted may", .overlap) { rules in
      var rig = try rig(rules)
      _ = try rig.put(a, "stays", at: 4)
      _ = try rig.put(k, "oldest", at: 5)
      try rig.endFile()
      _ = try rig.delete(k, at: 9)
      let second = try rig.endFile()
      _ = try rig.put(k, "newer", at: 12)
      let third = try rig.endFile()
      try rig.forget(k, at: 15)
      let fourth = try rig.endFile()
      try rig.merge([second])
      let blocked = rig.engine.mergeStatus.totals.tombstonesBlocked
      try rig.merge([third, fourth])
      try restart(&rig)
      return (try rig.value(k) != nil, blocked)
    },

    DiskPath("P77 a journal that outlived a merge is held to the floor", .replayFloor) { rules in
      var rig = try rig(rules)
      _ = try rig.put(k, "old", at: 5)
      try rig.commit()
      let path = try #require(rig.disk.paths.first { $0.hasSuffix(".journal") })
      // Of its segment the value alone is left.
      let journal = try #require(rig.disk.contents(path))
      try rig.forget(k, at: 10)
      try rig.endFile()
      try rig.merge(rig.fileIDs)
      let file = try rig.disk.open(path, .create)
      try rig.disk.syncDirectory(StorePath.journal(Rig.root))
      rig.disk.overwrite(path, with: journal)
      rig.disk.close(file)
      try restart(&rig)
      return (try rig.value(k) != nil, rig.engine.recovery.journalRecords)
    },
  ]
}
