import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Values that expire, in files")
struct ExpiryTests {
  private static let id = Rig.seeds[0].id
  private static let k = Rig.keys[0]
  /// When what expires at 60 s may be buried.
  private static let due: UInt64 = 120_000

  private static func isGrave(_ rig: inout Rig, _ key: String, _ time: UInt64) throws -> Bool {
    guard case .found(let version) = try rig.get(key) else { return false }
    return version == StoredVersion(stamp: stamp(time), isTombstone: true, value: [])
  }

  /// So many keys of the store.
  private static func keys(_ count: Int, _ rig: Rig) -> [String] {
    Array((0...).lazy.map { "key \($0)" }.filter { rig.store(of: Array($0.utf8)) == id }.prefix(count))
  }

  @Test(
    "a burial puts a tombstone of the same stamp in the value's place, with a place in the feed, and not before its time"
  )
  func burial() throws {
    var rig = try Rig.active()
    _ = try rig.put(Self.k, "v", at: 5, until: 60_000)
    _ = try rig.put(Rig.keys[1], "stays", at: 6)
    #expect(rig.engine.expiringCount(Self.id) == 1)
    #expect(try rig.bury(Self.id, at: Self.due - 1) == 0 && !rig.engine.mayBury(Self.id, at: Self.due - 1))
    #expect(try rig.value(Self.k) == "v")
    #expect(rig.engine.mayBury(Self.id, at: Self.due))
    #expect(try rig.bury(Self.id, at: Self.due) == 1)
    #expect(try Self.isGrave(&rig, Self.k, 5))
    #expect(
      rig.engine.expiringCount(Self.id) == 0 && rig.engine.feedStatus(Self.id).oldestExpired?.milliseconds == 60_000)
    try rig.commit()
    #expect(try rig.feedPage(of: Self.id).entries.map(\.stamp) == [stamp(5)])
    #expect(try rig.value(Rig.keys[1]) == "stays")
    #expect(try rig.statisticsDefect() == nil)
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(try Self.isGrave(&rig, Self.k, 5) && rig.statisticsDefect() == nil)
  }

  @Test("a burial does so many and no more, and goes on where it was, also from a disk that must be read")
  func bounded() throws {
    var rig = try Rig.active()
    for index in 0..<20 { _ = try rig.put(Rig.keys[index], "v", at: 10 + UInt64(index), until: 60_000 - UInt64(index)) }
    try rig.endFile()
    rig.disk.wouldBlockChance = 1000
    #expect(try rig.bury(Self.id, at: Self.due, max: 7) >= 7)
    let before = rig.engine.expiringCount(Self.id)
    #expect(before > 0 && before <= 13)
    #expect(try rig.bury(Self.id, at: Self.due) == before)
    rig.disk.wouldBlockChance = 0
    #expect(rig.engine.status(Self.id).tombstones == 20 && rig.engine.status(Self.id).keysLive == 0)
    #expect(try rig.statisticsDefect() == nil)
  }

  @Test(
    "of values that are not in memory one burial asks the disk for so many at once, and for no more bytes than that")
  func cold() throws {
    var rig = try Rig.active()
    let most = Engine.burialReadsMax
    let keys = Self.keys(most + 4, rig)
    for index in 0...most { _ = try rig.put(keys[index], "v", at: 10 + UInt64(index), until: 60_000) }
    try rig.endFile()
    rig.disk.wouldBlockChance = 1000
    func bury(_ warm: [WarmBytes]) throws -> BuryOutcome {
      try rig.engine.bury(in: Self.id, at: Self.due, max: 1000, warm: warm, on: &rig.disk)
    }
    guard case .cold(let reads, buried: 0) = try bury([]) else { throw StorageError.missing(path: "", reason: "") }
    #expect(reads.count == most && Set(reads.map(\.offset)).count == most)
    // Whatever order they come in.
    let warm = try reads.reversed().compactMap { try rig.perform($0) }
    guard case .cold(let rest, buried: most) = try bury(warm) else { throw StorageError.missing(path: "", reason: "") }
    #expect(rest.count == 1 && rig.engine.expiringCount(Self.id) == 1)
    #expect(try bury(rest.compactMap { try rig.perform($0) }) == .buried(1, more: false))
    rig.disk.wouldBlockChance = 0
    #expect(rig.engine.status(Self.id).tombstones == most + 1)
    #expect(try rig.statisticsDefect() == nil)

    // Two large ones are as many bytes as may be, once it is known how large they are.
    let large = String(repeating: "v", count: Engine.burialReadBytesMax / 2)
    for index in 1...3 { _ = try rig.put(keys[most + index], large, at: 500 + UInt64(index), until: 60_000) }
    try rig.endFile()
    rig.disk.wouldBlockChance = 1000
    guard case .cold(let heads, buried: 0) = try bury([]), heads.count == 3,
      case .cold(let two, buried: 0) = try bury(heads.compactMap { try rig.perform($0) })
    else { throw StorageError.missing(path: "", reason: "") }
    #expect(two.count == 2)
  }

  @Test("what cannot be buried and stands between others that must be read keeps none of them from it")
  func passedBetween() throws {
    var rig = try Rig.active()
    for index in 0..<5 { _ = try rig.put(Rig.keys[index], "v", at: 10 + UInt64(index), until: 60_000) }
    try rig.endFile()
    let store = rig.engine.store(Self.id)
    let middle = store.expiries.all[2]
    let place = store.keydir.location(at: try #require(store.keydir.first(middle.hash)))
    rig.disk.flipBit(0, ofByte: Int(place.offset) + 38, in: store.dataFiles[place.file].path)
    #expect(try rig.bury(Self.id, at: Self.due, max: 1000) == 4, "its damage is met")
    let more = Self.keys(20, rig).filter { !Rig.keys.contains($0) }
    for index in 0..<4 { _ = try rig.put(more[index], "v", at: 30 + UInt64(index), until: 60_000) }
    try rig.endFile()
    rig.disk.wouldBlockChance = 1000
    #expect(try rig.bury(Self.id, at: Self.due) == 4 && rig.engine.expiringCount(Self.id) == 1)
  }

  @Test("as many tombstones as may wait are no bound for what expires, nor for its tombstone that somebody else brings")
  func noBound() throws {
    var rig = try Rig.active()
    rig.options.tombstonesMax = 1
    try rig.reopen()
    func grave(_ time: UInt64) -> StoredVersion { StoredVersion(stamp: stamp(time), isTombstone: true, value: []) }
    let keys = Rig.keys.prefix(4).map { Array($0.utf8) }
    _ = try rig.apply(grave(3), key: keys[3])
    for index in 0..<2 { _ = try rig.put(Rig.keys[index], "v", at: 5, until: 60_000) }
    _ = try rig.put(Rig.keys[2], "older", at: 4)
    #expect(try rig.apply(grave(5), key: keys[2]) == .refused(.tombstonesFull))
    #expect(try rig.apply(grave(5), key: keys[0]) == .applied(rig.engine.appended))
    #expect(try rig.bury(Self.id, at: Self.due) == 1)
    #expect(rig.engine.status(Self.id).tombstones == 3 && rig.engine.expiringCount(Self.id) == 0)
  }

  @Test("what is passed over is not counted as buried")
  func passed() throws {
    var rig = try Rig.active()
    for index in 0..<3 { _ = try rig.put(Rig.keys[index], "v", at: 10 + UInt64(index), until: 60_000) }
    try rig.endFile()
    let store = rig.engine.store(Self.id)
    let slot = try #require(store.keydir.first(rig.hash(Array(Rig.keys[1].utf8))))
    let place = store.keydir.location(at: slot)
    rig.disk.flipBit(0, ofByte: Int(place.offset) + 38, in: store.dataFiles[place.file].path)
    #expect(try rig.bury(Self.id, at: Self.due) == 2)
    #expect(try rig.bury(Self.id, at: Self.due) == 0 && rig.engine.expiringCount(Self.id) == 1)
  }

  @Test("of one stamp the tombstone stays, whichever comes last and by whatever way")
  func equalStamps() throws {
    let key = Array(Self.k.utf8)
    let grave = StoredVersion(stamp: stamp(5), isTombstone: true, value: [])
    let value = StoredVersion(stamp: stamp(5), isTombstone: false, value: [1], expiry: Expiry(milliseconds: 60_000))
    for way in 0..<3 {
      var rig = try Rig.active()
      _ = try rig.apply(value, key: key)
      switch way {
      case 0: #expect(try rig.apply(grave, key: key) == .applied(rig.engine.appended))
      case 1: #expect(try rig.pull(grave, key: key) == .applied(rig.engine.appended))
      default: #expect(try rig.feed(key, stamp(5)) == .applied(rig.engine.appended))
      }
      #expect(try Self.isGrave(&rig, Self.k, 5))
      // And never back.
      #expect(try rig.apply(value, key: key) == .equal(rig.engine.appended))
      #expect(try rig.pull(value, key: key) == .equal)
      #expect(try Self.isGrave(&rig, Self.k, 5) && rig.statisticsDefect() == nil)
      for _ in 0..<2 {
        try rig.commit()
        rig.disk.discardUnsynced()
        try rig.reopen()
        #expect(try Self.isGrave(&rig, Self.k, 5) && rig.statisticsDefect() == nil, "way \(way)")
      }
    }
  }

  @Test("a value that does not expire is no tombstone's of the same stamp")
  func unlimited() throws {
    var rig = try Rig.active()
    _ = try rig.put(Self.k, "v", at: 5)
    #expect(try rig.feed(Array(Self.k.utf8), stamp(5)) == .equal(rig.engine.appended))
    #expect(try rig.value(Self.k) == "v")
  }

  @Test("what expires is known again after a start: from the journal, from a scan, and from hints", arguments: 0..<3)
  func restarts(way: Int) throws {
    var rig = try Rig.active(sync: way == 0 ? .always : .interval)
    for index in 0..<10 {
      let time = 10 + UInt64(index)
      if index % 2 == 0 {
        _ = try rig.put(Rig.keys[index], "v", at: time, until: 60_000 + time)
      } else {
        _ = try rig.put(Rig.keys[index], "v", at: time)
      }
    }
    _ = try rig.put(Rig.keys[0], "newer", at: 50)
    _ = try rig.put(Rig.keys[1], "newer", at: 51, until: 90_000)
    try rig.commit()
    if way == 2 { try rig.endFile() }
    if way == 2 { #expect(!rig.names(".hint").isEmpty) }
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(rig.engine.expiringCount(Self.id) == 5)
    #expect(try rig.statisticsDefect() == nil)
    guard case .found(let version) = try rig.get(Rig.keys[2]) else { throw StorageError.missing(path: "", reason: "") }
    #expect(version.expiry == Expiry(milliseconds: 60_012))
    #expect(try rig.bury(Self.id, at: 10 * Self.due) == 5)
    #expect(rig.engine.status(Self.id).tombstones == 5 && rig.engine.status(Self.id).keysLive == 5)
  }

  @Test(
    "value and tombstone of one stamp in two files: a start finds the tombstone, whichever file comes first",
    arguments: [false, true])
  func order(hinted: Bool) throws {
    // Without a journal, whose replay would bring the tombstone back.
    var rig = try Rig.active(sync: .interval)
    _ = try rig.put(Self.k, "v", at: 5, until: 60_000)
    _ = try rig.put(Rig.keys[1], "a", at: 4)
    let first = try rig.endFile()
    _ = try rig.put(Rig.keys[2], "b", at: 6)
    try rig.commit()
    // The merge's output has the higher id, and the value in it is superseded from the file that takes records.
    rig.beginMerge([first])
    while try rig.slice(1) != .waiting {}
    #expect(try rig.bury(Self.id, at: Self.due) == 1)
    try rig.engine.flush(on: &rig.disk)
    for _ in 0..<9 { try rig.work() }
    if hinted { try rig.endFile() } else { try rig.commit() }
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(try Self.isGrave(&rig, Self.k, 5) && rig.statisticsDefect() == nil)
    #expect(try rig.purgeFeed(Self.id).purged.count == 1)
    try rig.mergeAll()
    #expect(try rig.get(Self.k) == .absent)
    try rig.reopen()
    #expect(try rig.get(Self.k) == .absent)
  }

  @Test("power fails at any operation of a burial and the job after it: the value, or its tombstone, and nothing else")
  func power() throws {
    var rig = try Rig.active()
    _ = try rig.put(Self.k, "older", at: 3)
    _ = try rig.put(Self.k, "v", at: 5, until: 60_000)
    try rig.commit()
    for variant in UInt64(0)..<20 {
      var copy = rig
      // Copies share the engine: each is opened anew first.
      try copy.reopen()
      #expect(try copy.bury(Self.id, at: Self.due) == 1)
      if variant % 4 > 0 { try copy.engine.flush(on: &copy.disk) }
      if variant % 4 > 1 { try copy.commit() }
      var generator = SeededGenerator(seed: variant)
      copy.disk.crash(using: &generator)
      try copy.reopen()
      #expect(copy.engine.recovery.damaged.isEmpty)
      guard case .found(let version) = try copy.get(Self.k) else {
        Issue.record("the key is gone")
        continue
      }
      #expect(version.stamp == stamp(5) && (version.isTombstone || variant % 4 < 2))
    }
  }

  @Test("two stores compare alike by one minute, whatever has been buried in one of them before the other")
  func trees() throws {
    var one = try Rig.active()
    var other = try Rig.active()
    for index in 0..<40 {
      let time = 10 + UInt64(index)
      let expiry = 60_000 * (1 + time % 4)
      _ = try one.put(Rig.keys[index], "v", at: time, until: expiry)
      _ = try other.put(Rig.keys[index], "v", at: time, until: expiry)
    }
    #expect(try one.bury(Self.id, at: Self.due) == 10)
    #expect(one.engine.treeRoot(Self.id).values != other.engine.treeRoot(Self.id).values)
    for minute in UInt64(1)...5 {
      #expect(
        one.engine.treeRoot(Self.id, leftBy: minute).values == other.engine.treeRoot(Self.id, leftBy: minute).values)
      let segments = one.engine.treeSegments(Self.id, leftBy: minute).map(\.values)
      #expect(segments == other.engine.treeSegments(Self.id, leftBy: minute).map(\.values))
      for segment in 0..<HashTree.segmentCount {
        let leaves = one.engine.leafHashes(of: Self.id, segment: segment, bits: 2, valuesOnly: true, leftBy: minute)
        #expect(
          leaves == other.engine.leafHashes(of: Self.id, segment: segment, bits: 2, valuesOnly: true, leftBy: minute))
      }
    }
    // Slots are told whatever the minute: it is no part of the question.
    let slots = (0..<HashTree.segmentCount).reduce(0) {
      $0 + other.engine.slotDigests(of: Self.id, segment: $1, leaf: 0, bits: 0, valuesOnly: true).count
    }
    #expect(slots == 40)
    // Of one store the minute says what counts.
    #expect(
      other.engine.treeRoot(Self.id, leftBy: 4).values == 0 && other.engine.treeRoot(Self.id, leftBy: 0).values != 0)
  }
}
