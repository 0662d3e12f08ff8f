import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("The end of a load")
struct LoadTests {
  private static let id = Rig.seeds[0].id
  private static let floor = stamp(50)
  private static let promise = PeerPromise(
    peer: NodeID(2), incarnation: Identity128(high: 4, low: 4), configID: 99, floor: stamp(40))

  private static func keys(of rig: Rig) -> [[UInt8]] {
    (0..<60).map { Array("key \($0)".utf8) }.filter { rig.store(of: $0) == id }
  }

  /// A store that is filled with pulls below the floor over several files, flushed and not synced.
  private static func filled(_ mode: SyncMode) throws -> Rig {
    var rig = try Rig(seed: 3, sync: mode, fileBytesMax: 700)
    rig.engine.raiseFloor(id, to: floor)
    for (number, key) in keys(of: rig).enumerated() {
      let isTombstone = number % 5 == 0
      let version = StoredVersion(
        stamp: stamp(UInt64(number) + 1), isTombstone: isTombstone, value: isTombstone ? [] : Array("value".utf8))
      guard case .applied = try rig.pull(version, key: key) else {
        Issue.record("\(key) was not taken")
        continue
      }
    }
    try rig.engine.flush(on: &rig.disk)
    return rig
  }

  private static func isWhole(_ rig: inout Rig) throws -> Bool {
    try keys(of: rig).allSatisfy { try rig.lookup($0) != .absent }
  }

  @Test(
    "power fails at any operation of it: the store is loading, or active with all that was pulled, its floor and its promises",
    arguments: SyncMode.allCases)
  func power(mode: SyncMode) throws {
    var wasLoading = false
    for operation in 1... {
      var rig = try LoadTests.filled(mode)
      rig.disk.diesAtOperation = rig.disk.operationCount + operation
      let steps = try #require(rig.engine.loadSteps(LoadTests.id, promises: [LoadTests.promise]))
      #expect(rig.engine.role(LoadTests.id) == .loading)
      var hasDied = false
      do {
        for step in steps { try step.perform(on: &rig.disk) }
        rig.engine.completeLoad(LoadTests.id, promises: [LoadTests.promise])
        #expect(rig.engine.role(LoadTests.id) == .active)
        #expect(rig.engine.promises(LoadTests.id) == [LoadTests.promise])
      } catch { hasDied = true }
      for variant in 0..<4 {
        var copy = rig
        var generator = SeededGenerator(seed: UInt64(operation * 4 + variant))
        if variant == 0 { copy.disk.discardUnsynced() } else { copy.disk.crash(using: &generator) }
        try copy.reopen()
        #expect(copy.engine.recovery.damaged.isEmpty && copy.engine.recovery.missing.isEmpty)
        if copy.engine.role(LoadTests.id) == .active {
          #expect(try LoadTests.isWhole(&copy), "\(mode), operation \(operation), variant \(variant)")
          #expect(copy.engine.floor(LoadTests.id) == LoadTests.floor)
          #expect(copy.engine.promises(LoadTests.id) == [LoadTests.promise])
        } else {
          #expect(hasDied && copy.engine.role(LoadTests.id) == .loading)
          wasLoading = true
        }
      }
      if !hasDied { break }
    }
    #expect(wasLoading)
  }

  @Test("a store is not said to be whole while something of it is in memory only")
  func buffered() throws {
    var rig = try LoadTests.filled(.always)
    _ = try rig.pull(rig.old(900), key: LoadTests.keys(of: rig)[0])
    #expect(rig.engine.loadSteps(LoadTests.id, promises: []) == nil)
    #expect(rig.engine.role(LoadTests.id) == .loading)
    try rig.engine.flush(on: &rig.disk)
    #expect(rig.engine.loadSteps(LoadTests.id, promises: []) != nil)
  }

  @Test("a store that was damaged meanwhile stays fenced")
  func damaged() throws {
    var rig = try LoadTests.filled(.never)
    let steps = try #require(rig.engine.loadSteps(LoadTests.id, promises: []))
    rig.engine.stores[0].fence(.damaged(path: "p", offset: 0, reason: "r"))
    for step in steps { try step.perform(on: &rig.disk) }
    rig.engine.completeLoad(LoadTests.id, promises: [])
    #expect(rig.engine.role(LoadTests.id) == .fenced)
    #expect(rig.engine.loadSteps(LoadTests.id, promises: []) == nil)
  }
}
