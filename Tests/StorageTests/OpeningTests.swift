import Causality
import Primitives
import Testing

@testable import Storage

// Opening without hint files: what the scan of many records leaves in the keydir.

@Suite("Opening by scanning")
struct OpeningTests {
  @Test(
    "the newest version of every key is found, and the keydir has room for the keys, not for all their versions",
    arguments: [(keys: 12_000, versions: 1), (keys: 600, versions: 20)])
  func scan(keys: Int, versions: Int) throws {
    var rig = try Rig(seed: 1, sync: .never)
    for version in 1...versions {
      for key in 0..<keys { _ = try rig.put("k\(key)", "v\(version)", at: UInt64(version)) }
      try rig.engine.flush(on: &rig.disk)
    }
    try rig.reopen()
    let newest = StoredVersion(
      stamp: stamp(UInt64(versions)), isTombstone: false, value: Array("v\(versions)".utf8))
    for key in 0..<keys { #expect(try rig.get("k\(key)") == .found(newest)) }
    #expect(rig.engine.recovery.records == keys * versions)
    for store in rig.engine.stores {
      #expect(!store.keydir.isSparse && store.keydir.defect() == nil)
    }
    #expect(try rig.statisticsDefect() == nil)
  }
}
