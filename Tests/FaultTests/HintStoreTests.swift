import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Hint stores")
struct HintStoreTests {
  // MARK: Which stores

  @Test("the store of a node's hints has a name of its own, and comes behind all partitions")
  func names() throws {
    let id = StoreID.hints(for: NodeID(3))
    #expect(id.isHints && id.hintTarget == NodeID(3) && "\(id)" == "hints-3")
    #expect(StoreID.hints(for: NodeID(65_535)).hintTarget == NodeID(65_535))
    let partition = StoreID(partition: 3, replicas: 3)
    #expect(!partition.isHints && partition.hintTarget == nil)
    #expect([id, StoreID(partition: 9, replicas: 1), partition].sorted() == [partition, StoreID("p009-n1"), id])
    for (text, parsed) in [
      ("hints-3", id), ("hints-0", .hints(for: NodeID(0))), ("hints-65535", .hints(for: NodeID(65_535))),
      ("hints-03", nil), ("hints-", nil), ("hints-65536", nil), ("hints--1", nil), ("hints-3x", nil), ("p003-n0", nil),
    ] as [(String, StoreID?)] { #expect(StoreID(text) == parsed, "\(text)") }
    #expect(StoreID(directory: "/data/stores/hints-12") == .hints(for: NodeID(12)))
    let node = NodeManifest(
      name: "n1", node: NodeID(1), membersDigest: 5, actor: ActorID(1), stores: [seedOf(3), Rig.hintSeed()])
    #expect(try NodeManifest(decoding: node.encoded(), path: "node") == node)
  }

  @Test("partitions and hints are listed apart, and a store is found among either kind")
  func lists() throws {
    var rig = try Rig.withHints(nodes: [3, 1, 40_000])
    for _ in 0..<2 {
      #expect(rig.engine.storeIDs == Rig.seeds.map(\.id))
      #expect(rig.engine.hintStoreIDs == [1, 3, 40_000].map { .hints(for: NodeID($0)) })
      #expect(rig.engine.contains(Rig.hints) && rig.engine.contains(Rig.seeds[1].id))
      #expect(!rig.engine.contains(.hints(for: NodeID(0))))
      #expect(!rig.engine.contains(.hints(for: NodeID(2))))
      #expect(!rig.engine.contains(StoreID(partition: 3, replicas: 3)))
      #expect(rig.engine.role(Rig.hints) == .active && rig.engine.role(Rig.seeds[0].id) == .loading)
      try rig.reopen()
    }
    #expect(rig.engine.recovery.missing == [] && rig.engine.recovery.missingHints == [])
    rig.seeds += [seedOf(7), Rig.hintSeed(7)]
    try rig.reopen()
    #expect(rig.engine.recovery.missing == [seedOf(7).id])
    #expect(rig.engine.recovery.missingHints == [.hints(for: NodeID(7))])
  }

  @Test("keys of every partition stand in one store, told in the order of their hashes")
  func everyPartition() throws {
    // All hashes are equal in their low bits.
    for mask in [UInt64.max, 0xF000_0000_0000_0000] {
      var rig = try Rig.withHints(mask: mask)
      let keys = (0..<400).map { Array("key \($0)".utf8) }
      for (number, key) in keys.enumerated() {
        try rig.keep(StoredVersion(stamp: stamp(10 + UInt64(number)), isTombstone: false, value: [1]), key: key)
      }
      try rig.engine.flush(on: &rig.disk)
      for _ in 0..<2 {
        #expect(Set(keys.map { rig.hash($0) >> 60 }).count == 16)
        let hashes = try rig.keys(of: Rig.hints).map { rig.hash($0.key) }
        #expect(hashes == keys.map { rig.hash($0) }.sorted())
        #expect(Set(try rig.pass().map(\.key)) == Set(keys))
        #expect(try rig.hintCountDefect() == nil)
        try rig.reopen()
      }
    }
  }

  // MARK: Pages

  /// Values, tombstones, a superseded one, a long record, over several files.
  private func filled(blockChance: Int = 0) throws -> (rig: Rig, expected: [StoredVersion]) {
    var rig = try Rig.withHints(blockChance: blockChance)
    var expected: [StoredVersion] = []
    for number in 0..<30 {
      let isTombstone = number % 5 == 2
      let count = number == 9 ? 40_000 : number == 17 ? 2000 : 20 + number
      let version = StoredVersion(
        stamp: stamp(10 + UInt64(number)), isTombstone: isTombstone,
        value: isTombstone ? [] : Array(repeating: UInt8(number), count: count))
      try rig.keep(version, key: Array("key \(number)".utf8))
      try rig.engine.flush(on: &rig.disk)
      if number > 0 { expected.append(version) }
    }
    let newer = StoredVersion(stamp: stamp(90), isTombstone: false, value: [9])
    try rig.keep(newer, key: Array("key 0".utf8))
    try rig.engine.flush(on: &rig.disk)
    return (rig, expected + [newer])
  }

  @Test(
    "pages of any size bring every hint that counts once, in the order of the log, also from a disk that must be read",
    arguments: [0, 500, 1000])
  func pages(blockChance: Int) throws {
    var (rig, expected) = try filled(blockChance: blockChance)
    #expect(rig.hintStore.dataFiles.count > 3)
    for bytesMax in [-1, 0, 1, 27, 28, 29, 64, 100, 199, 1000, 41_000, 1 << 20] {
      let hints = try rig.pass(bytesMax: bytesMax)
      #expect(hints.map(\.version) == expected, "\(bytesMax)")
      #expect(hints.last?.key == Array("key 0".utf8))
    }
    // About as much as was asked for: a page of little has little, unless one record is longer.
    var cursor = HintCursor.start
    while let page = try rig.page(from: cursor, bytesMax: 300) {
      let bytes = page.hints.reduce(0) { $0 + $1.place.byteCount }
      #expect(bytes <= 300 || page.hints.count == 1)
      cursor = page.next
    }
  }

  @Test("what is not in a file yet comes with a later page, and a pass that has ended goes on with what follows")
  func unflushed() throws {
    var rig = try Rig.withHints()
    #expect(try rig.page(from: .start) == nil)
    try rig.keep("one", "1", at: 10)
    #expect(try rig.page(from: .start) == nil)
    try rig.engine.flush(on: &rig.disk)
    try rig.keep("two", "2", at: 11)
    let first = try #require(try rig.page(from: .start, bytesMax: 1000))
    #expect(first.hints.map(\.key) == [Array("one".utf8)])
    #expect(try rig.page(from: first.next) == nil)
    try rig.engine.flush(on: &rig.disk)
    let second = try #require(try rig.page(from: first.next, bytesMax: 1000))
    #expect(second.hints.map(\.key) == [Array("two".utf8)])
    #expect(try rig.page(from: second.next) == nil)
    for number in 0..<30 {
      try rig.keep("more \(number)", "3", at: 20)
      try rig.engine.flush(on: &rig.disk)
    }
    var cursor = second.next
    var count = 0
    while let page = try rig.page(from: cursor) {
      count += page.hints.count
      cursor = page.next
    }
    #expect(count == 30)
  }

  @Test("files without a hint in them are not read")
  func skipsDeadFiles() throws {
    var (rig, _) = try filled()
    let hints = try rig.pass()
    let files = rig.hintStore.dataFiles.indices.map { rig.hintStore.dataFiles[$0].id }
    for hint in hints where hint.place.file != files.last { #expect(rig.engine.forgetHint(hint.place, of: Rig.hints)) }
    let before = rig.disk.operationCount
    let page = try #require(try rig.page(from: .start, bytesMax: 1 << 20))
    #expect(page.hints.allSatisfy { $0.place.file == files.last })
    // The file may have to be opened; then one read.
    #expect(rig.disk.operationCount - before <= 2)
  }

  @Test("a cursor into a file that is gone goes on with the next")
  func goneFile() throws {
    var (rig, _) = try filled()
    let first = try #require(try rig.page(from: .start, bytesMax: 100))
    for hint in try rig.pass() where hint.place.file == first.next.file {
      #expect(rig.engine.forgetHint(hint.place, of: Rig.hints))
    }
    let left = try rig.pass().map(\.key)
    try rig.workOffHints()
    #expect(rig.hintStore.dataFiles.index(ofFile: first.next.file) == nil)
    var cursor = first.next
    var keys: [[UInt8]] = []
    while let page = try rig.page(from: cursor) {
      keys += page.hints.map(\.key)
      cursor = page.next
    }
    #expect(keys == left)
  }

  @Test("with the cursor of an earlier life of the store a pass begins anew, and its places forget nothing")
  func otherLife() throws {
    var rig = try Rig.withHints()
    try rig.keepAll(0..<3)
    let old = try #require(try rig.page(from: .start, bytesMax: 60))
    #expect(old.hints.count == 1 && old.next.file == 1)
    try rig.deliverAll()
    try rig.workOffHints()
    let seed = StoreSeed(id: Rig.hints, incarnation: Identity128(high: 8, low: 999), configID: 0)
    for step in rig.engine.create([seed]) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt([seed], on: &rig.disk)
    #expect(try rig.pass().isEmpty && rig.engine.hintBytes == 0)
    // The same file and offset; the cursor would point into the middle of a record.
    try rig.keepAll(0..<1, String(repeating: "long", count: 40))
    let page = try #require(try rig.page(from: old.next, bytesMax: 1000))
    #expect(page.hints.map(\.key) == [old.hints[0].key] && page.hints[0].place.file == 1)
    #expect(page.hints[0].place.offset == old.hints[0].place.offset)
    #expect(!rig.engine.forgetHint(old.hints[0].place, of: Rig.hints))
    #expect(rig.engine.forgetHint(page.hints[0].place, of: Rig.hints))
  }

  // MARK: What is delivered

  @Test("a delivered hint is forgotten once, and only from its own place; the counts stay exact")
  func forget() throws {
    var (rig, _) = try filled()
    var hints = try rig.pass()
    #expect(rig.engine.hintStatus(Rig.hints).count == 30)
    var generator = SeededGenerator(seed: 5)
    hints.shuffle(using: &generator)
    for (number, hint) in hints.enumerated() {
      #expect(rig.engine.forgetHint(hint.place, of: Rig.hints))
      #expect(!rig.engine.forgetHint(hint.place, of: Rig.hints))
      #expect(rig.engine.hintStatus(Rig.hints).count == 29 - number)
      #expect(try rig.hintCountDefect() == nil)
    }
    #expect(rig.engine.hintBytes == 0 && rig.engine.hintStatus(Rig.hints).fileBytes > 40_000)
    #expect(try rig.pass().isEmpty)
    #expect(rig.engine.floor(Rig.hints) == .zero)
  }

  @Test("forgetting a hint that a newer one has superseded changes nothing, and the newer one is handed over")
  func superseded() throws {
    var rig = try Rig.withHints()
    try rig.keepAll(0..<4)
    let old = try #require(try rig.pass().first)
    try rig.keep("key 0", nil, at: 50)
    #expect(!rig.engine.forgetHint(old.place, of: Rig.hints))
    #expect(try rig.hintCountDefect() == nil && rig.engine.hintStatus(Rig.hints).count == 4)
    try rig.engine.flush(on: &rig.disk)
    let newer = try #require(try rig.pass().last)
    #expect(newer.key == old.key && newer.version.isTombstone && newer.version.stamp == stamp(50))
    // A lower stamp is not kept beside it; once it is delivered, any stamp is a hint again.
    #expect(try rig.keep("key 0", "late", at: 40) == .newer(stamp(50), rig.engine.appended))
    #expect(rig.engine.forgetHint(newer.place, of: Rig.hints))
    #expect(try rig.keep("key 0", "late", at: 40) == .applied(rig.engine.appended))
    #expect(rig.engine.hintStatus(Rig.hints).count == 4)
  }

  @Test("counts and bytes of several stores agree with a recount", arguments: UInt64(0)..<6)
  func counts(seed: UInt64) throws {
    var rig = try Rig.withHints(seed: seed, nodes: [2, 3, 9])
    var generator = SeededGenerator(seed: seed)
    for step in 0..<200 {
      let id = rig.engine.hintStoreIDs[generator.below(3)]
      let key = Array("key \(generator.below(12))".utf8)
      let isTombstone = generator.chance(1, in: 3)
      let value = Array(repeating: UInt8(1), count: isTombstone ? 0 : generator.chance(1, in: 30) ? 40_000 : 30)
      try rig.keep(
        StoredVersion(stamp: stamp(10 + UInt64(step)), isTombstone: isTombstone, value: value), key: key, in: id)
      if step % 5 == 0 {
        try rig.engine.flush(on: &rig.disk)
        for hint in try rig.pass(of: id) where generator.chance(1, in: 2) {
          #expect(rig.engine.forgetHint(hint.place, of: id))
        }
        try rig.work(afterMilliseconds: 400)
      }
      #expect(try rig.hintCountDefect() == nil, "step \(step)")
    }
    try rig.reopen()
    #expect(try rig.hintCountDefect() == nil)
  }
}
