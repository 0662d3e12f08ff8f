import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Cursors, promises, and stores that went backwards")
struct PromisesTests {
  private static let id = Rig.seeds[0].id
  private static let peer = NodeID(2)
  private static let incarnations = (Identity128(high: 5, low: 1), Identity128(high: 5, low: 2))

  private static func promise(_ incarnation: Identity128, _ tsn: UInt64) -> PeerPromise {
    PeerPromise(peer: peer, incarnation: incarnation, configID: 99, tsnHead: tsn, floor: stamp(tsn), cursorOnMe: tsn)
  }

  private static func cursor(_ incarnation: Identity128, _ tsn: UInt64) -> FeedCursor {
    FeedCursor(peer: peer, incarnation: incarnation, tsn: tsn)
  }

  @Test("what was set is told when it is on disk, never sinks, and gives way to another incarnation")
  func set() throws {
    var rig = try Rig.active()
    let (old, new) = Self.incarnations
    try rig.writePromises()
    #expect(!rig.engine.hasPendingPromises)
    rig.engine.setCursor(Self.id, Self.cursor(old, 7))
    rig.engine.setPromise(Self.id, Self.promise(old, 7))
    #expect(rig.engine.hasPendingPromises && rig.engine.durableCursor(Self.id, on: Self.peer) == nil)
    #expect(rig.engine.durablePromise(Self.id, of: Self.peer) == nil)
    let (bytes, token) = rig.engine.promisesFile()
    rig.engine.setCursor(Self.id, Self.cursor(old, 9))
    try DiskStep.replace(path: StorePath.promises(Rig.root), bytes: bytes).perform(on: &rig.disk)
    rig.engine.promisesWritten(token)
    #expect(rig.engine.durableCursor(Self.id, on: Self.peer)?.tsn == 7 && rig.engine.hasPendingPromises)
    #expect(rig.engine.durablePromise(Self.id, of: Self.peer) == Self.promise(old, 7))
    rig.engine.setCursor(Self.id, Self.cursor(old, 3))
    rig.engine.setPromise(Self.id, Self.promise(old, 3))
    #expect(rig.engine.cursor(Self.id, on: Self.peer)?.tsn == 9)
    #expect(rig.engine.promise(Self.id, of: Self.peer) == Self.promise(old, 7))
    try rig.writePromises()
    #expect(!rig.engine.hasPendingPromises)
    rig.engine.setPromise(Self.id, Self.promise(old, 7))
    #expect(!rig.engine.hasPendingPromises, "nothing new was told")
    rig.engine.setCursor(Self.id, Self.cursor(new, 1))
    rig.engine.setPromise(Self.id, Self.promise(new, 2))
    try rig.writePromises()
    try rig.reopen()
    #expect(rig.engine.cursors(Self.id) == [Self.cursor(new, 1)])
    #expect(rig.engine.promises(Self.id) == [Self.promise(new, 2)])
    #expect(rig.engine.durablePromise(Self.id, of: Self.peer) == Self.promise(new, 2))
    // An answer to what has been given up since says nothing.
    rig.engine.setCursor(Self.id, Self.cursor(new, 4))
    let (_, late) = rig.engine.promisesFile()
    rig.engine.setCursor(Self.id, Self.cursor(new, 5))
    _ = rig.engine.promisesFile()
    rig.engine.promisesWritten(late)
    #expect(rig.engine.durableCursor(Self.id, on: Self.peer)?.tsn == 1)
  }

  @Test("a role that is agreed upon takes no promise back that came while it was made durable")
  func agreed() throws {
    var rig = try Rig.active()
    let (old, new) = Self.incarnations
    rig.engine.setPromise(Self.id, Self.promise(old, 3))
    try rig.writePromises()
    let steps = rig.engine.setRole(Self.id, .active, promises: [Self.promise(old, 0)])
    // The peer's store is made anew meanwhile.
    rig.engine.setPromise(Self.id, Self.promise(new, 1))
    for step in steps { try step.perform(on: &rig.disk) }
    rig.engine.adoptRole(Self.id, .active, promises: [Self.promise(old, 0)])
    #expect(rig.engine.promise(Self.id, of: Self.peer) == Self.promise(new, 1))
    try rig.writePromises()
    #expect(rig.engine.durablePromise(Self.id, of: Self.peer) == Self.promise(new, 1))
    // One that was agreed upon takes the place of another store's.
    let other = rig.engine.setRole(Self.id, .active, promises: [Self.promise(old, 4)])
    for step in other { try step.perform(on: &rig.disk) }
    rig.engine.adoptRole(Self.id, .active, promises: [Self.promise(old, 4)])
    #expect(rig.engine.promise(Self.id, of: Self.peer) == Self.promise(old, 4))
  }

  @Test("manifests carry what is durable, so that a lost file costs the cursors and no promise that a manifest has")
  func lost() throws {
    for isMissing in [true, false] {
      var rig = try Rig.active()
      rig.engine.setCursor(Self.id, Self.cursor(Self.incarnations.0, 7))
      rig.engine.setPromise(Self.id, Self.promise(Self.incarnations.0, 7))
      try rig.writePromises()
      _ = try rig.put(Rig.keys[0], "value", at: 10)
      try rig.commit()
      for _ in 0..<3 { try rig.work(afterMilliseconds: 70_000) }
      let path = StorePath.promises(Rig.root)
      if isMissing { try rig.disk.unlink(path) } else { rig.disk.flipBit(1, ofByte: 30, in: path) }
      try rig.reopen()
      #expect(rig.engine.recovery.promisesProblem != nil && rig.engine.recovery.damaged.isEmpty)
      #expect(rig.engine.cursors(Self.id).isEmpty && rig.engine.durableCursor(Self.id, on: Self.peer) == nil)
      #expect(rig.engine.promises(Self.id) == [Self.promise(Self.incarnations.0, 7)])
      #expect(rig.engine.hasPendingPromises)
      try rig.writePromises()
      try rig.reopen()
      #expect(rig.engine.recovery.promisesProblem == nil)
    }
  }

  @Test("a file of another node or cluster is refused")
  func foreign() throws {
    var rig = try Rig.active()
    try rig.writePromises()
    rig.options.nodeID = NodeID(2)
    let other = PromisesFile(cluster: rig.options.clusterID, node: NodeID(2), entries: [])
    rig.options.nodeID = NodeID(1)
    try DiskStep.replace(path: StorePath.promises(Rig.root), bytes: other.encoded()).perform(on: &rig.disk)
    #expect(throws: StorageError.self) { try rig.reopen() }
  }

  @Test("what was agreed upon with a new role counts over a file that is older, and the mark of a loss goes with it")
  func roles() throws {
    let (old, new) = Self.incarnations
    let mark = PeerPromise(peer: NodeID(1), incarnation: old, configID: 99)
    let seed = StoreSeed(id: Self.id, incarnation: Identity128(high: 70, low: 1), configID: 99)
    var rig = try Rig.active()
    rig.seeds = [seed, Rig.seeds[1]]
    for step in rig.engine.create([seed], promises: [Self.id: [mark]]) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt([seed], promises: [Self.id: [mark]], on: &rig.disk)
    let third = PeerPromise(peer: NodeID(3), incarnation: old, configID: 99, tsnHead: 3)
    rig.engine.setPromise(Self.id, Self.promise(old, 7))
    rig.engine.setPromise(Self.id, third)
    try rig.writePromises()
    try rig.reopen()
    #expect(rig.engine.promises(Self.id).contains(mark) && rig.engine.role(Self.id) == .loading)
    // Written before the role changed, and told to be written after.
    let (bytes, token) = rig.engine.promisesFile()
    try DiskStep.replace(path: StorePath.promises(Rig.root), bytes: bytes).perform(on: &rig.disk)
    let promises = [Self.promise(new, 1)]
    for step in try #require(rig.engine.loadSteps(Self.id, promises: promises)) { try step.perform(on: &rig.disk) }
    var copy = rig
    rig.engine.completeLoad(Self.id, promises: promises)
    rig.engine.promisesWritten(token)
    #expect(rig.engine.promises(Self.id) == [Self.promise(new, 1), third])
    _ = try rig.put(Rig.keys[0], "value", at: 10)
    try rig.commit()
    for _ in 0..<3 { try rig.work(afterMilliseconds: 70_000) }
    try rig.reopen()
    try copy.reopen()
    for engine in [rig.engine, copy.engine] {
      #expect(engine.role(Self.id) == .active && engine.promises(Self.id) == [Self.promise(new, 1), third])
    }
  }

  @Test("a store whose feed ends before what was promised is fenced for good; the others are not concerned")
  func copied() throws {
    for rule in [nil, Rule.feedHead] {
      var rig = try Rig.active(sync: .interval)
      if let rule { rig.options.rules = Rules.all.without(rule) }
      try rig.reopen()
      _ = try rig.delete(Rig.keys[0], at: 10)
      try rig.commit()
      for _ in 0..<3 { try rig.work(afterMilliseconds: 70_000) }
      var copy = rig
      _ = try rig.delete(Rig.keys[1], at: 20)
      try rig.commit()
      try rig.writePromises()
      let bytes = try #require(rig.disk.contents(StorePath.promises(Rig.root)))
      try DiskStep.replace(path: StorePath.promises(Rig.root), bytes: bytes).perform(on: &copy.disk)
      try copy.reopen()
      if rule != nil {
        #expect(copy.engine.recovery.damaged.isEmpty)
        continue
      }
      #expect(copy.engine.recovery.damaged.map(\.store) == [Self.id])
      guard case .regressed(_, let reason)? = copy.engine.recovery.damaged.first?.error else {
        Issue.record("another reason")
        return
      }
      #expect(reason.contains("ends at 1") && reason.contains("2 was promised"))
      #expect(copy.engine.role(Self.id) == .fenced && copy.engine.role(Rig.seeds[1].id) == .active)
      #expect(throws: StorageError.self) { try copy.get(Rig.keys[0]) }
      try copy.reopen()
      #expect(copy.engine.role(Self.id) == .fenced && copy.engine.role(Rig.seeds[1].id) == .active)
      try rig.reopen()
      #expect(rig.engine.recovery.damaged.isEmpty)
    }
  }

  @Test("a fence is durable with its steps, at any operation of them, and until then the store serves nobody here")
  func fence() throws {
    for operation in 1... {
      var rig = try Rig.active()
      _ = try rig.put(Rig.keys[0], "value", at: 10)
      try rig.commit()
      let steps = rig.engine.fence(Self.id, .regressed(path: rig.store.directory, reason: "node 2 remembers more"))
      #expect(rig.engine.role(Self.id) == .fenced && rig.engine.fenceReason(Self.id) != nil)
      #expect(throws: StorageError.self) { try rig.get(Rig.keys[0]) }
      #expect(throws: StorageError.self) { try rig.feedPage(of: Self.id) }
      #expect(throws: StorageError.self) { try rig.purgeFeed(Self.id) }
      #expect(try rig.engine.setAside(Self.id, on: &rig.disk) == .busy)
      rig.disk.diesAtOperation = rig.disk.operationCount + operation
      var hasDied = false
      do {
        for step in steps { try step.perform(on: &rig.disk) }
        rig.engine.completeFence(Self.id)
      } catch { hasDied = true }
      for variant in UInt64(0)..<3 {
        var copy = rig
        var generator = SeededGenerator(seed: variant)
        if variant == 0 { copy.disk.discardUnsynced() } else { copy.disk.crash(using: &generator) }
        try copy.reopen()
        let role = copy.engine.role(Self.id)
        #expect(role == .fenced || hasDied && role == .active)
      }
      guard !hasDied else { continue }
      rig.disk.diesAtOperation = nil
      guard case .steps = try rig.engine.setAside(Self.id, on: &rig.disk) else {
        Issue.record("nothing is under way any more")
        return
      }
      return
    }
  }

  @Test("a snapshot has what was promised when it was made: opened, nothing in it went backwards")
  func snapshot() throws {
    var rig = try Rig.active()
    _ = try rig.delete(Rig.keys[0], at: 10)
    try rig.commit()
    rig.engine.setCursor(Self.id, Self.cursor(Self.incarnations.0, 7))
    rig.engine.setPromise(Self.id, Self.promise(Self.incarnations.0, 7))
    try rig.writePromises()
    _ = try rig.delete(Rig.keys[1], at: 20)
    let head = rig.engine.durableHead(Self.id)
    try rig.requestSnapshot("one")
    _ = try rig.finishSnapshot()
    let copy = try rig.opened("one")
    #expect(copy.engine.recovery.damaged.isEmpty && copy.engine.recovery.promisesProblem == nil)
    #expect(copy.engine.durableCursor(Self.id, on: Self.peer) == Self.cursor(Self.incarnations.0, 7))
    #expect(copy.engine.durablePromise(Self.id, of: Self.peer) == Self.promise(Self.incarnations.0, 7))
    #expect(copy.engine.durableHead(Self.id) >= head && copy.engine.role(Self.id) == .active)
  }

  @Test("what the node keeps for itself is a store of hints under its own id")
  func own() throws {
    let own = StoreSeed(id: .hints(for: NodeID(1)), incarnation: Identity128(high: 8, low: 8), configID: 0)
    var rig = try Rig.active()
    for step in rig.engine.create([own]) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt([own], on: &rig.disk)
    rig.seeds.append(own)
    let version = StoredVersion(stamp: stamp(5), isTombstone: false, value: [1, 2])
    _ = try rig.engine.apply(version, key: [7], hash: rig.hash([7]), to: own.id, warm: nil, on: &rig.disk)
    try rig.commit()
    try rig.reopen()
    #expect(rig.engine.hintStoreIDs == [own.id] && rig.engine.hintStatus(own.id).count == 1)
    guard
      case .page(let hints, _) = try rig.engine.hintPage(
        of: own.id, from: .start, bytesMax: 1000, warm: nil, on: &rig.disk)
    else {
      Issue.record("no page")
      return
    }
    #expect(hints.map(\.version) == [version] && rig.engine.forgetHint(hints[0].place, of: own.id))
    #expect(rig.engine.hintStatus(own.id).count == 0)
  }
}
