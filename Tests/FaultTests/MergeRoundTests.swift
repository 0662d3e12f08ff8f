import Storage
import Testing

@Suite("A round of merges that was asked for")
struct MergeRoundTests {
  @Test("ends, although everything is durable and every hint was written when its active file is ended")
  func settled() throws {
    var rig = try Rig(seed: 1)
    for time in 1..<20 { _ = try rig.put("key \(time % 3)", "value \(time)", at: UInt64(time)) }
    try rig.engine.flush(on: &rig.disk)
    try rig.sync()
    // A checkpoint, and then looks at what else there is to do until nothing is.
    for _ in 0..<20 { try rig.work(afterMilliseconds: 70_000) }
    rig.engine.requestMerge()
    var steps = 0
    while rig.engine.isMergeRequested && steps < 1000 {
      _ = try rig.engine.continueMerge(at: rig.now, hour: 12, budget: 300, warm: nil, on: &rig.disk)
      try rig.work()
      steps += 1
    }
    #expect(!rig.engine.isMergeRequested)
    #expect(Rig.seeds.allSatisfy { rig.engine.status($0.id).deadBytes == 0 })
  }
}
