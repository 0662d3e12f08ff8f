import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Deletes without end")
struct DeleteLoadTests {
  @Test(
    "the same keys, written and deleted again and again, leave no more tombstones than keys, and files that stay small")
  func bounded() throws {
    let keys = 5
    let cluster = TestCluster.forPaths(.all) {
      $0.fileBytesMax = 16 << 10
      $0.checkpointBytes = 16 << 10
      $0.checkpointSeconds = 1
      $0.merge.checkIntervalMilliseconds = 100
      $0.merge.triggerFragmentation = 30
      $0.merge.smallFileBytes = 1 << 10
    }
    let value = String(repeating: "x", count: 1000)
    var tombstones = 0
    var bytes: UInt64 = 0
    for round in 0..<500 {
      let key = "k\(round % keys)"
      #expect(cluster.answer(cluster.ask(1 + round % 3, put(key, value)))?.isStored == true)
      #expect(cluster.answer(cluster.ask(1 + (round + 1) % 3, delete(key)))?.isDeleted == true)
      if round % 5 == 0 { cluster.advance(milliseconds: 300) }
      for id in 1...3 {
        tombstones = max(tombstones, cluster.tombstones(id) ?? 0)
        bytes = max(bytes, cluster.status(id)?.stores.reduce(0) { $0 + $1.totalBytes } ?? 0)
      }
    }
    #expect(tombstones <= keys)
    // All of them together are 500 KiB.
    #expect(bytes < 150 << 10, "\(bytes) bytes")
    #expect(cluster.collect())
    for id in 1...3 { #expect(cluster.counters(id).purged > 0) }
  }
}
