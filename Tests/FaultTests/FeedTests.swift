import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("The feed of a store")
struct FeedTests {
  private static let id = Rig.seeds[0].id
  private static let keys = Rig.keys.map { Array($0.utf8) }

  private static func rig(_ sync: SyncMode = .always, without rule: Rule? = nil) throws -> Rig {
    var rig = try Rig.active(sync: sync)
    if let rule { rig.options.rules = Rules.all.without(rule) }
    try rig.reopen()
    return rig
  }

  @Test("a tombstone is told of when it is durable, not before", arguments: SyncMode.allCases)
  func durable(mode: SyncMode) throws {
    for rule in [nil, Rule.durableFeed] {
      var rig = try Self.rig(mode, without: rule)
      _ = try rig.delete(Rig.keys[0], at: 10)
      #expect(try rig.feedPage(of: Self.id).entries.isEmpty == (rule == nil))
      try rig.engine.flush(on: &rig.disk)
      #expect(try rig.feedPage(of: Self.id).entries.isEmpty == (rule == nil))
      #expect(rig.engine.durableHead(Self.id) == (rule == nil ? 0 : 1))
      try rig.commit()
      let page = try rig.feedPage(of: Self.id)
      #expect(page.entries == [FeedEntry(tsn: 1, key: Self.keys[0], stamp: stamp(10))] && page.next == 1)
      #expect(rig.engine.durableHead(Self.id) == 1)
    }
  }

  @Test("pages begin behind a position, end at their bounds, and cover what does not count any more")
  func pages() throws {
    var rig = try Self.rig()
    for index in 0..<10 { _ = try rig.delete(Rig.keys[index], at: 10 + UInt64(index)) }
    _ = try rig.put(Rig.keys[3], "again", at: 100)
    _ = try rig.put(Rig.keys[9], "again", at: 100)
    try rig.commit()
    func tsns(_ page: (entries: [FeedEntry], next: UInt64)) -> [UInt64] { page.entries.map(\.tsn) + [page.next] }
    #expect(tsns(try rig.feedPage(of: Self.id)) == [1, 2, 3, 5, 6, 7, 8, 9, 10])
    #expect(tsns(try rig.feedPage(of: Self.id, after: 2, entriesMax: 2)) == [3, 5, 5])
    #expect(tsns(try rig.feedPage(of: Self.id, after: 3, upTo: 4)) == [4])
    #expect(tsns(try rig.feedPage(of: Self.id, after: 8, upTo: 99)) == [9, 10])
    #expect(tsns(try rig.feedPage(of: Self.id, after: 10)) == [10])
    // Whoever is ahead of the feed is told nothing.
    #expect(tsns(try rig.feedPage(of: Self.id, after: 12)) == [12])
    // One entry is told, however long it is.
    #expect(tsns(try rig.feedPage(of: Self.id, after: 0, bytesMax: 1)) == [1, 1])
    #expect(tsns(try rig.feedPage(of: Self.id, after: 0, bytesMax: 2 * 32 + 8)) == [1, 2, 2])
    #expect(rig.engine.feedStatus(Self.id) == FeedStatus(pending: 8, oldest: stamp(10), oldestTSN: 1, head: 10))
  }

  @Test("a page that another peer asks for as well is not read again, unless something of the feed went meanwhile")
  func cached() throws {
    var rig = try Self.rig()
    for index in 0..<10 { _ = try rig.delete(Rig.keys[index], at: 10 + UInt64(index)) }
    try rig.commit()
    // While their keys are fresh nothing is read for them at all.
    rig.disk.wouldBlockChance = 1000
    #expect(try rig.feedPage(of: Self.id).entries.count == 10)
    rig.disk.wouldBlockChance = 0
    try rig.reopen()
    let page = try rig.feedPage(of: Self.id)
    // From now on every look at the disk is cold.
    rig.disk.wouldBlockChance = 1000
    func isRead(_ rig: inout Rig) throws -> Bool {
      let outcome = try rig.engine.feedPage(
        of: Self.id, after: 0, entriesMax: 1000, bytesMax: 1 << 20, warm: nil, on: &rig.disk)
      if case .cold = outcome { return true }
      #expect(outcome == .page(page.entries, next: page.next))
      return false
    }
    #expect(try !isRead(&rig))
    _ = try rig.purgeFeed(Self.id, upTo: 1)
    #expect(try isRead(&rig))
    rig.disk.wouldBlockChance = 0
    #expect(try rig.feedPage(of: Self.id).entries.map(\.tsn) == Array(2...10))
    #expect(try rig.feedPage(of: Self.id, entriesMax: 3).entries.count == 3)
  }

  @Test("a tombstone of a feed is stored below the floor and where nothing is, and replay stores it again")
  func below() throws {
    var rig = try Self.rig()
    try rig.forget(Rig.keys[0], at: 100)
    _ = try rig.put(Rig.keys[1], "newer", at: 90 + 100)
    #expect(try rig.delete(Rig.keys[2], at: 50) == .belowFloor(stamp(100)))
    guard case .applied = try rig.feed(Self.keys[2], stamp(50)) else {
      Issue.record("it was not stored")
      return
    }
    #expect(try rig.feed(Self.keys[2], stamp(50)) == .equal(rig.engine.appended))
    #expect(try rig.feed(Self.keys[1], stamp(50)) == .newer(stamp(190), rig.engine.appended))
    try rig.commit()
    #expect(try rig.feed(Self.keys[2], stamp(50)) == .equal(rig.engine.durable))
    try rig.reopen()
    #expect(try rig.get(Rig.keys[2]) == .found(StoredVersion(stamp: stamp(50), isTombstone: true, value: [])))
    #expect(try rig.feedPage(of: Self.id).entries.map(\.stamp).contains(stamp(50)))
    // Without the rule it is taken for acknowledged, and nothing is here.
    var other = try Self.rig(without: .storeAbsent)
    guard case .equal = try other.feed(Self.keys[2], stamp(50)) else {
      Issue.record("it was stored")
      return
    }
    #expect(try other.get(Rig.keys[2]) == .absent)
  }

  @Test("only exactly the tombstone that stands in the feed is forgotten; a put that came since stays")
  func exact() throws {
    for rule in [nil, Rule.exactPurge] {
      var rig = try Self.rig(without: rule)
      for index in 0..<4 { _ = try rig.delete(Rig.keys[index], at: 10 + UInt64(index)) }
      _ = try rig.put(Rig.keys[1], "again", at: 20)
      try rig.commit()
      let (purged, more) = try rig.purgeFeed(Self.id, upTo: 3)
      if rule == nil {
        #expect(purged.map(\.tsn) == [1, 3] && !more)
        #expect(try rig.value(Rig.keys[1]) == "again" && rig.engine.floor(Self.id) == stamp(12))
        #expect(try rig.statisticsDefect() == nil)
      } else {
        #expect(try rig.value(Rig.keys[1]) == nil)
      }
      #expect(try rig.get(Rig.keys[0]) == .absent && rig.get(Rig.keys[3]) != .absent)
    }
  }

  @Test("a node that writes nothing but forgets tombstones has forgotten them after a start too")
  func checkpoint() throws {
    for mode in SyncMode.allCases {
      var rig = try Self.rig(mode)
      for index in 0..<4 { _ = try rig.delete(Rig.keys[index], at: 10 + UInt64(index)) }
      try rig.commit()
      for _ in 0..<4 { try rig.work(afterMilliseconds: 70_000) }
      _ = try rig.purgeFeed(Self.id)
      for _ in 0..<2 { try rig.work(afterMilliseconds: 70_000) }
      #expect(rig.engine.durableFloor(Self.id) == stamp(13), "\(mode)")
      // Once.
      let start = rig.disk.operationCount
      try rig.work(afterMilliseconds: 70_000)
      #expect(rig.disk.operationCount == start, "\(mode)")
    }
  }

  @Test("purging goes in steps of at most so many, reads no record, and leaves no memory behind")
  func steps() throws {
    var rig = try Self.rig()
    for index in 0..<100 { _ = try rig.delete(Rig.keys[index], at: 10 + UInt64(index)) }
    try rig.commit()
    rig.disk.wouldBlockChance = 1000
    for step in 1...4 {
      let outcome = try rig.engine.purgeFeed(Self.id, upTo: .max, max: 25, warm: nil, on: &rig.disk)
      guard case .purged(let purged, let more) = outcome else {
        Issue.record("a record was to be read")
        return
      }
      #expect(purged.map(\.tsn) == Array(UInt64(25 * step - 24)...UInt64(25 * step)) && more == (step < 4))
      #expect(purged.map(\.hash) == purged.map { rig.hash(Self.keys[Int($0.tsn) - 1]) })
    }
    #expect(rig.store.feed.byteCount == 0 && rig.store.keydir.count == 0 && rig.store.tombstones == 0)
    #expect(rig.engine.floor(Self.id) == stamp(109) && rig.store.status.deadBytes > 0)
  }

  @Test(
    "damage stops the feed before the tombstone that it hit, until that is back; the others are forgotten meanwhile")
  func damage() throws {
    var damaged = try DamagedRig()
    try damaged.rig.reopen()
    let all = try damaged.rig.feedPage(of: Self.id)
    let hit = try #require(all.entries.first { $0.key == Array(DamagedRig.keys[2].utf8) })
    let slot = try #require(damaged.rig.store.keydir.first(damaged.rig.hash(hit.key)))
    let offset = damaged.rig.store.keydir.location(at: slot).offset
    try damaged.rig.reopen()
    damaged.flip(Int(offset + 30) * 8)
    for _ in 0..<2 {
      let page = try damaged.rig.feedPage(of: Self.id)
      #expect(page.entries == all.entries.filter { $0.tsn < hit.tsn } && page.next < hit.tsn)
      #expect(!damaged.isFenced && damaged.notes.count == 1)
    }
    #expect(try damaged.rig.feedPage(of: Self.id, after: page(before: hit, all)).entries.isEmpty)
    let purged = try damaged.rig.purgeFeed(Self.id).purged.map(\.tsn)
    #expect(purged == all.entries.map(\.tsn).filter { $0 != hit.tsn })
    try damaged.repairAll("repair")
    let page = try damaged.rig.feedPage(of: Self.id)
    #expect(page.entries.isEmpty && page.next == all.next, "the new one is not durable yet")
    try damaged.rig.commit()
    #expect(try damaged.rig.feedPage(of: Self.id).entries.map(\.key) == [hit.key])
    #expect(damaged.rig.store.feed.count == 1 && damaged.rig.store.tombstones == 1)
  }

  private func page(before hit: FeedEntry, _ all: (entries: [FeedEntry], next: UInt64)) -> UInt64 {
    all.entries.last { $0.tsn < hit.tsn }?.tsn ?? 0
  }

  @Test("a start with hints reads no record of a tombstone, however many there are")
  func hints() throws {
    var rig = try Self.rig(.never)
    for index in 0..<500 { _ = try rig.delete(Rig.keys[index], at: 10 + UInt64(index)) }
    try rig.commit()
    let places = try (0..<499).map { index in
      let slot = try #require(rig.store.keydir.first(rig.hash(Self.keys[index])))
      return rig.store.keydir.location(at: slot).offset
    }
    let path = try #require(rig.names(".data").first)
    try rig.shutdown()
    // Whoever reads one of them, the last excepted, which the hint names, finds damage.
    for offset in places { rig.disk.flipBit(3, ofByte: Int(offset) + 30, in: path) }
    try rig.reopen()
    #expect(rig.engine.recovery.damaged.isEmpty && rig.engine.feedStatus(Self.id).pending == 500)
    #expect(rig.store.feed.all.map(\.tsn) == Array(1...500))
  }

  @Test("no position of a feed is given twice, also when its last record has left the disk")
  func head() throws {
    for rule in [nil, Rule.feedHead] {
      var rig = try Self.rig(.interval, without: rule)
      for index in 0..<5 { _ = try rig.delete(Rig.keys[index], at: 10 + UInt64(index)) }
      try rig.commit()
      _ = try rig.purgeFeed(Self.id)
      try rig.mergeAll()
      #expect(rig.store.tombstones == 0 && rig.store.status.totalBytes < 200)
      try rig.reopen()
      _ = try rig.delete(Rig.keys[9], at: 90)
      #expect(rig.engine.status(Self.id).tsnHead == (rule == nil ? 6 : 1))
    }
  }

  @Test("trees of values alone are the same whatever tombstones there are")
  func valuesOnly() throws {
    var (rig, other) = (try Self.rig(), try Self.rig())
    for index in 0..<300 {
      _ = try rig.put(Rig.keys[index], "value", at: 10)
      _ = try other.put(Rig.keys[index], "value", at: 10)
      _ = try other.delete(Rig.keys[300 + index], at: 20)
    }
    for segment in 0..<HashTree.segmentCount {
      let words = rig.engine.leafHashes(of: Self.id, segment: segment, bits: 2)
      #expect(other.engine.leafHashes(of: Self.id, segment: segment, bits: 2) != words)
      #expect(other.engine.leafHashes(of: Self.id, segment: segment, bits: 2, valuesOnly: true) == words)
      let slots = (0..<4).flatMap { rig.engine.slotDigests(of: Self.id, segment: segment, leaf: $0, bits: 2) }
      #expect(
        slots
          == (0..<4).flatMap {
            other.engine.slotDigests(of: Self.id, segment: segment, leaf: $0, bits: 2, valuesOnly: true)
          })
      #expect(other.engine.slotCount(of: Self.id, segment: segment, valuesOnly: true) == slots.count)
      #expect(rig.engine.treeSegments(Self.id)[segment].values == other.engine.treeSegments(Self.id)[segment].values)
    }
  }
}
