import Primitives
import Simulation
import Testing

@testable import Storage

// Merges of files that somebody has chosen: these and no others, and where records stand afterwards.

@Suite struct ChosenMergeTests {
  private static let store = seedOf(0).id

  /// Keys of the first store, each in a file of its own.
  private static func rig(keys count: Int) throws -> (Rig, [String]) {
    var rig = try Rig(seed: 1, sync: .never, fileBytesMax: 1)
    let keys = (0...).lazy.map { "k\($0)" }.filter { [rig] in rig.store(of: Array($0.utf8)) == store }.prefix(count)
    for (index, key) in keys.enumerated() {
      _ = try rig.put(key, "v", at: UInt64(index + 1))
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
    return (rig, Array(keys))
  }

  private static func merge(_ files: [UInt32], _ rig: inout Rig) throws {
    rig.engine.requestMerge(of: files, in: store)
    while rig.engine.isMergeRequested {
      let step = try rig.engine.continueMerge(at: rig.now, hour: 0, budget: 1, warm: nil, on: &rig.disk)
      if case .cold = step { Issue.record("a cold read on a disk that has everything in memory") }
      try rig.work()
    }
  }

  /// The file in which each key counts.
  private static func files(of keys: [String], _ rig: inout Rig) throws -> [UInt32?] {
    var files: [UInt32?] = []
    for key in keys {
      let key = Array(key.utf8)
      files.append(try rig.engine.place(of: key, hash: rig.hash(key), in: store, on: &rig.disk)?.file)
    }
    return files
  }

  @Test("exactly the chosen files are merged, the one that takes records too, and those that are gone are left out")
  func chosen() throws {
    var (rig, keys) = try Self.rig(keys: 5)
    #expect(try Self.files(of: keys, &rig) == [1, 2, 3, 4, 5])
    try Self.merge([2, 5, 77], &rig)
    #expect(try Self.files(of: keys, &rig) == [1, 6, 3, 4, 7], "files this short hold one record")
    #expect(rig.engine.mergeStatus.merges == 1)
    #expect(rig.engine.blockers(in: Self.store).isEmpty)
    try Self.merge([2, 5], &rig)
    try Self.merge([], &rig)
    #expect(rig.engine.mergeStatus.merges == 1, "there is nothing to merge")
    #expect(try rig.statisticsDefect() == nil)
    try rig.reopen()
    #expect(try Self.files(of: keys, &rig) == [1, 6, 3, 4, 7])
    #expect(rig.engine.status(Self.store).keysLive == 5)
  }

  @Test("a round over everything that is asked for next is not bound to the files chosen before")
  func roundAfterwards() throws {
    var (rig, keys) = try Self.rig(keys: 4)
    try Self.merge([1], &rig)
    _ = try rig.put(keys[2], "w", at: 9)
    try rig.engine.flush(on: &rig.disk)
    try rig.mergeAll()
    #expect(try !Self.files(of: keys, &rig).contains(3))
    #expect(rig.engine.mergeStatus.totals.recordsDropped == 1)
  }

  @Test("a key that is not there, and one that was purged, have no place")
  func places() throws {
    var (rig, keys) = try Self.rig(keys: 2)
    _ = try rig.delete(keys[0], at: 9)
    let key = Array(keys[0].utf8)
    let place = try rig.engine.place(of: key, hash: rig.hash(key), in: Self.store, on: &rig.disk)
    #expect(place?.isTombstone == true && place?.file == 3 && place?.offset == 64)
    #expect(try rig.purge(key, stamp(9)) == .purged)
    #expect(try Self.files(of: [keys[0], keys[1], "nowhere"], &rig) == [nil, 2, nil])
  }
}
