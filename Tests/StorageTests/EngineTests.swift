import Causality
import Primitives
import Simulation
import Storage
import Testing

@Suite("Engine")
struct EngineTests {
  @Test("what was applied is found, before and after a flush and a restart", arguments: SyncMode.allCases)
  func applyAndFind(mode: SyncMode) throws {
    var rig = try Rig(seed: 1, sync: mode)
    #expect(try rig.put("apple", "red", at: 5) == .applied(LogPosition(1)))
    #expect(try rig.get("apple") == .found(StoredVersion(stamp: stamp(5), isTombstone: false, value: Array("red".utf8))))
    try rig.engine.flush(on: &rig.disk)
    #expect(try rig.get("apple") == .found(StoredVersion(stamp: stamp(5), isTombstone: false, value: Array("red".utf8))))
    #expect(try rig.get("pear") == .absent)
    try rig.shutdown()
    try rig.reopen()
    #expect(try rig.get("apple") == .found(StoredVersion(stamp: stamp(5), isTombstone: false, value: Array("red".utf8))))
    #expect(rig.engine.recovery.bytesCut == 0)
  }
}
