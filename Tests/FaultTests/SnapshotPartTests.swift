import Primitives
import Testing

@testable import Storage

/// Which stores a snapshot is of.
@Suite struct SnapshotPartTests {
  @Test("the stores of hints alone")
  func hintsAlone() throws {
    let hints = [2, 1].map { StoreID.hints(for: NodeID($0)) }
    for id in hints {
      #expect(SnapshotPart.hints.contains(id) && SnapshotPart.all.contains(id) && SnapshotPart.store(id).contains(id))
    }
    #expect(!SnapshotPart.hints.contains(Rig.seeds[0].id) && !SnapshotPart.store(hints[0]).contains(hints[1]))
    var rig = try Rig(seed: 1)
    try rig.requestSnapshot("none", .hints)
    guard case .made(let report) = try rig.finishSnapshot() else { return #expect(Bool(false)) }
    #expect(report.contents.stores == 0, "this node has partitions only")
  }
}
