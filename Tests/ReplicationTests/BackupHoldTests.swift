import Primitives
import Storage
import Testing

@testable import Replication

@Suite("While a backup is made no tombstone is forgotten (rule BACKUP)")
struct BackupHoldTests {
  private func hold(_ cluster: TestCluster, _ milliseconds: UInt64, session: UInt64) -> AdminOutcome? {
    cluster.admin(1, .holdPurges(milliseconds: milliseconds), session: session)
    cluster.advance(milliseconds: 10)
    return cluster.outcomes[session]
  }

  @Test("tombstones that may go wait for as long as it was asked, and say so; then they go")
  func held() throws {
    let cluster = TestCluster.feeding()
    _ = hold(cluster, 20_000, session: 700)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.waiting == [1, 0, 0], "only n1 was asked")
    let blockers = try #require(cluster.view(1)?.stores.first?.blockers)
    #expect(blockers.map(\.kind) == [.backup] && blockers.first?.node == "n1")
    cluster.advance(milliseconds: 15_000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("asked again it lasts longer under the same number; when it was over, or in another boot, under another")
  func numbers() throws {
    let cluster = TestCluster.feeding()
    let first = hold(cluster, 5000, session: 700)
    guard case .purgesHeld? = first else { return #expect(Bool(false), "\(String(describing: first))") }
    cluster.advance(milliseconds: 3000)
    #expect(hold(cluster, 5000, session: 701) == first)
    #expect(hold(cluster, 1, session: 702) == first, "it is never made shorter")
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [1, 0, 0])
    cluster.advance(milliseconds: 6000)
    #expect(cluster.waiting == [0, 0, 0])
    let later = hold(cluster, 5000, session: 703)
    #expect(later != first)
    cluster.kill(1)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(hold(cluster, 5000, session: 704) != later)
  }
}
