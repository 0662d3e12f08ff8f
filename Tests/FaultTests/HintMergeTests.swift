import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Hint stores and merges")
struct HintMergeTests {
  private func keys(_ hints: [Hint]) -> [String] { hints.map { String(decoding: $0.key, as: UTF8.self) } }

  /// Merges these files of the hint store alone.
  private func merge(_ ids: [UInt32], in rig: inout Rig) throws {
    rig.engine.requestMerge(of: ids, in: Rig.hints)
    while rig.engine.isMergeRequested {
      try rig.slice(150)
      try rig.work()
    }
  }

  @Test("a hint that a merge moves while a pass is under way is not missed, wherever the pass is")
  func movedDuringPass() throws {
    for pages in 0..<12 {
      var rig = try Rig.withHints(fileBytesMax: 150)
      try rig.keepAll(0..<16)
      var cursor = HintCursor.start
      var seen: [String] = []
      for _ in 0..<pages {
        guard let page = try rig.page(from: cursor, bytesMax: 100) else { break }
        seen += keys(page.hints)
        cursor = page.next
      }
      let ids = rig.hintStore.dataFiles.indices.map { rig.hintStore.dataFiles[$0].id }
      try merge(ids, in: &rig)
      #expect(ids.dropLast().allSatisfy { rig.hintStore.dataFiles.index(ofFile: $0) == nil })
      while let page = try rig.page(from: cursor, bytesMax: 100) {
        seen += keys(page.hints)
        cursor = page.next
      }
      #expect(Set(seen) == Set((0..<16).map { "key \($0)" }), "after \(pages) pages")
    }
  }

  @Test("forgetting a hint at a place that a merge has moved it from changes nothing")
  func forgetMoved() throws {
    var rig = try Rig.withHints(fileBytesMax: 150)
    try rig.keepAll(0..<10)
    try rig.endHintFile()
    let before = try rig.pass()
    try merge(rig.hintStore.mergeable.map { rig.hintStore.dataFiles[$0].id }, in: &rig)
    let after = try rig.pass()
    #expect(after.count == 10 && Set(after.map(\.key)) == Set(before.map(\.key)))
    #expect(before.allSatisfy { !after.contains($0) })
    for hint in before { #expect(!rig.engine.forgetHint(hint.place, of: Rig.hints)) }
    #expect(try rig.pass() == after)
    #expect(try rig.hintCountDefect() == nil)
    for hint in after { #expect(rig.engine.forgetHint(hint.place, of: Rig.hints)) }
  }

  @Test("a merge drops every tombstone that does not count, whatever other files hold, and waits for no hint file")
  func deadTombstones() throws {
    var rig = try Rig.withHints()
    try rig.keepAll(0..<4)
    let first = try #require(try rig.endHintFile())
    try rig.keep("key 0", nil, at: 50)
    try rig.keep("key 1", nil, at: 51)
    try rig.keep("key 9", "stays", at: 52)
    let second = try #require(try rig.endHintFile())
    try rig.keep("key 0", "newer", at: 60)
    try rig.engine.flush(on: &rig.disk)
    for path in rig.disk.paths where path.hasSuffix(".hint") { try rig.disk.unlink(path) }
    for index in rig.hintStore.dataFiles.indices { rig.hintStore.dataFiles[index].hintLength = 0 }
    rig.engine.requestMerge(of: [second], in: Rig.hints)
    #expect(try rig.slice(150) == .worked)
    while rig.engine.isMergeRequested {
      try rig.slice(150)
      try rig.work()
    }
    // The file stays that has lower versions of both keys, and has dead records.
    #expect(rig.hintStore.dataFiles.index(ofFile: first) != nil)
    #expect(rig.engine.mergeStatus.totals.tombstonesDropped == 1)
    #expect(rig.engine.mergeStatus.totals.tombstonesBlocked == 0)
    let hints = try rig.pass()
    #expect(Set(keys(hints)) == ["key 0", "key 1", "key 2", "key 3", "key 9"])
    #expect(hints.contains { $0.version.isTombstone && $0.version.stamp == stamp(51) })
    #expect(rig.engine.floor(Rig.hints) == .zero)
  }

  @Test("the round that somebody asks for takes in hint stores, and gives back what is dead there")
  func round() throws {
    var rig = try Rig.withHints(fileBytesMax: 4000)
    try rig.keepAll(0..<20)
    for hint in try rig.pass() where hint.version.stamp.time.milliseconds % 2 == 0 {
      #expect(rig.engine.forgetHint(hint.place, of: Rig.hints))
    }
    #expect(rig.engine.status(Rig.hints).deadBytes > 0)
    try rig.mergeAll()
    #expect(rig.engine.status(Rig.hints).deadBytes == 0 && rig.engine.hintStatus(Rig.hints).count == 10)
    #expect(try rig.hintCountDefect() == nil)
  }

  @Test("a merge does not read a file whose hints are delivered")
  func skipsDead() throws {
    var rig = try Rig.withHints(fileBytesMax: 150)
    try rig.keepAll(0..<12)
    try rig.endHintFile()
    let files = rig.hintStore.mergeable.map { rig.hintStore.dataFiles[$0].id }
    for hint in try rig.pass() where files.contains(hint.place.file) {
      #expect(rig.engine.forgetHint(hint.place, of: Rig.hints))
    }
    rig.engine.requestMerge(of: files, in: Rig.hints)
    let before = rig.disk.operationCount
    #expect(files.count > 2)
    #expect(try rig.slice() == .waiting)
    #expect(rig.disk.operationCount == before)
    while rig.engine.isMergeRequested {
      try rig.slice()
      try rig.work()
    }
    #expect(files.allSatisfy { rig.hintStore.dataFiles.index(ofFile: $0) == nil })
    #expect(rig.engine.mergeStatus.totals.bytesRead == 0)
  }
}

@Suite("Hint stores that are emptied")
struct HintRemovalTests {
  @Test(
    "an emptied store leaves no data file with records, with no merge and outside of the window",
    arguments: SyncMode.allCases)
  func emptied(mode: SyncMode) throws {
    var rig = try Rig.withHints(sync: mode, fileBytesMax: 150)
    rig.options.merge.window = .never
    try rig.reopen()
    for round in 0..<3 {
      try rig.keepAll(0..<10, at: UInt64(100 * round + 100))
      #expect(rig.hintFiles.count > 2)
      try rig.deliverAll()
      try rig.work(afterMilliseconds: Engine.hintRemovalMilliseconds)
      #expect(rig.hintFiles.isEmpty && rig.hintStore.dataFiles.count == 0, "\(rig.hintFiles)")
      #expect(!rig.disk.paths.contains { $0.hasPrefix(rig.hintStore.directory) && $0.hasSuffix(".hint") })
    }
    // It goes on, here and after a restart: what was delivered and removed does not come back.
    for step in rig.engine.shutdownSteps() { try step.perform(on: &rig.disk) }
    try rig.reopen()
    #expect(try rig.pass().isEmpty)
    try rig.keepAll(0..<3, at: 900)
    try rig.reopen()
    #expect(try rig.pass().count == 3 && rig.engine.recovery.damaged.isEmpty)
  }

  @Test("of a store with hints left, only files without one go, and they are not read")
  func deadFiles() throws {
    var rig = try Rig.withHints(fileBytesMax: 150)
    try rig.keepAll(0..<12)
    let hints = try rig.pass()
    let files = rig.hintStore.dataFiles.indices.map { rig.hintStore.dataFiles[$0].id }
    #expect(files.count > 3)
    for hint in hints where hint.place.file != files[1] && hint.place.file != files.last {
      #expect(rig.engine.forgetHint(hint.place, of: Rig.hints))
    }
    rig.disk.flipBit(3, ofByte: 80, in: StorePath.data(rig.hintStore.directory, files[0]))
    try rig.work(afterMilliseconds: Engine.hintRemovalMilliseconds)
    #expect(rig.hintStore.dataFiles.indices.map { rig.hintStore.dataFiles[$0].id } == [files[1], files.last])
    #expect(rig.hintFiles.count == 2 && rig.engine.role(Rig.hints) == .active)
    let left = hints.filter { [files[1], files.last].contains($0.place.file) }
    #expect(try rig.pass() == left)
    // The journal may bring back what was delivered; what was not is there.
    try rig.reopen()
    let held = try rig.pass().map(\.version)
    #expect(left.allSatisfy { held.contains($0.version) })
  }

  @Test("files of delivered hints go at most once in a while, all that wait together")
  func pace() throws {
    var rig = try Rig.withHints(fileBytesMax: 150, nodes: [3, 4])
    let other = StoreID.hints(for: NodeID(4))
    try rig.keepAll(0..<3)
    try rig.deliverAll()
    try rig.work()
    #expect(rig.hintFiles.isEmpty)
    let last = rig.now
    try rig.keepAll(0..<3, at: 50)
    try rig.keep(StoredVersion(stamp: stamp(50), isTombstone: false, value: [1]), key: [1], in: other)
    try rig.deliverAll()
    for hint in try rig.pass(of: other) { #expect(rig.engine.forgetHint(hint.place, of: other)) }
    while rig.now.milliseconds(since: last) < Engine.hintRemovalMilliseconds {
      #expect(!rig.hintFiles.isEmpty && rig.engine.hintStatus(other).fileBytes > 0)
      try rig.work(afterMilliseconds: 100)
    }
    #expect(rig.hintFiles.isEmpty && rig.engine.hintStatus(other).fileBytes == 0)
  }

  @Test("what is in memory only keeps the files: a hint that lost to it must not go before it is in a file")
  func buffered() throws {
    var rig = try Rig.withHints(fileBytesMax: 4000)
    try rig.keepAll(0..<2)
    try rig.endHintFile()
    try rig.keep("key 0", "newer", at: 50)
    try rig.keep("key 1", "newer", at: 51)
    try rig.work(afterMilliseconds: Engine.hintRemovalMilliseconds)
    #expect(rig.hintFiles.count == 2)
    try rig.engine.flush(on: &rig.disk)
    try rig.work(afterMilliseconds: Engine.hintRemovalMilliseconds)
    #expect(rig.hintFiles.count == 1)
    rig.disk.discardUnsynced()
    try rig.reopen()
    #expect(try rig.pass().map(\.version.stamp) == [stamp(50), stamp(51)])
  }
}
