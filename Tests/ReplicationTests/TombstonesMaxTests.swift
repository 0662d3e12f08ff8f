import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("So many tombstones wait in a store and no more")
struct TombstonesMaxTests {
  /// Three nodes with one partition.
  /// - Parameter tombstonesMax: By name of the node.
  private func bounded(
    hold: UInt64, nodes: Int = 3, _ tombstonesMax: @escaping (String) -> Int,
    changing: @escaping (inout NodeOptions) -> Void = { _ in }
  ) -> TestCluster {
    TestCluster(nodes: nodes, partitions: 1) {
      $0.feedMilliseconds = 100
      $0.tombstoneHoldMilliseconds = hold
      $0.antiEntropyMilliseconds = 0
      $0.tombstonesMax = tombstonesMax($0.name)
      changing(&$0)
    }
  }

  /// One partition, of which no owner keeps more than three; n3 is down, so that nothing goes.
  private func full(keys: Int = 3) -> TestCluster {
    let cluster = bounded(hold: 0) { _ in 3 }
    cluster.kill(3)
    for index in 0..<keys { #expect(cluster.answer(cluster.ask(1, delete("k\(index)")))?.isDeleted == true) }
    return cluster
  }

  private func isFull(_ response: ClientResponse?) -> String? {
    guard case .failed(.full(let detail))? = response else { return nil }
    return detail
  }

  @Test("the delete that would leave one more is refused, and says who keeps the others and why", arguments: [1, 2])
  func edge(through id: Int) throws {
    let cluster = full()
    #expect(cluster.waiting[..<2] == [3, 3])
    cluster.ask(1, put("live", "v"))
    for key in ["new", "live"] {
      let detail = try #require(isFull(cluster.answer(cluster.ask(id, delete(key)))))
      #expect(detail.contains("3 tombstones wait in store p000-n3 of n\(id), where tombstones_max allows 3"))
      #expect(detail.contains("; n3 is down, "), "\(detail)")
    }
    #expect(cluster.waiting[..<2] == [3, 3])
    #expect(cluster.answer(cluster.ask(id, get("live")))?.text == "v", "what was refused has not happened")
    #expect(cluster.counters(id).tombstonesRefused > 0)
    #expect(cluster.answer(cluster.ask(id, put("other", "v")))?.isStored == true, "puts go on")
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.waiting == [0, 0, 0])
    #expect(cluster.answer(cluster.ask(id, delete("live")))?.isDeleted == true)
  }

  @Test("a key that has its tombstone may be deleted as often as one likes, and has one")
  func onePerKey() {
    let cluster = full()
    for _ in 0..<50 { #expect(cluster.answer(cluster.ask(1, delete("k1")))?.isDeleted == true) }
    #expect(cluster.waiting[..<2] == [3, 3])
    // Put again it makes room for another key's.
    cluster.ask(2, put("k1", "v"))
    #expect(cluster.waiting[..<2] == [2, 2])
    #expect(cluster.answer(cluster.ask(1, delete("new")))?.isDeleted == true)
  }

  @Test("where nobody is away, keys that were never there leave nothing, and are told apart from deleted ones")
  func neverThere() {
    let cluster = TestCluster.feeding()
    for index in 0..<100 {
      #expect(cluster.answer(cluster.ask(1 + index % 3, delete("n\(index)")))?.isNotFound == true)
    }
    #expect(cluster.waiting == [0, 0, 0])
    // At the bound, too, as long as all owners say that it is absent.
    let bounded = TestCluster.feeding(hold: 3_600_000) { $0.tombstonesMax = 1 }
    bounded.ask(1, put("a", "v"))
    bounded.ask(1, delete("a"))
    #expect(bounded.answer(bounded.ask(1, delete("a")))?.isNotFound == true)
    #expect(bounded.answer(bounded.ask(1, delete("never")))?.isNotFound == true)
    #expect(bounded.waiting == [1, 1, 1])
  }

  @Test("a replica at the bound has failed; with w of the others the delete succeeds, and the feed brings it there")
  func replica() throws {
    let cluster = bounded(hold: 60_000) { $0 == "n3" ? 1 : 100 }
    cluster.ask(1, delete("a", always: true))
    #expect(cluster.waiting == [1, 1, 1])
    #expect(cluster.answer(cluster.ask(1, delete("b", always: true)))?.isDeleted == true)
    #expect(cluster.waiting == [2, 2, 1] && cluster.counters(3).tombstonesRefused == 1)
    #expect(cluster.status(1)?.hints.allSatisfy { $0.count == 0 } == true, "nobody keeps a hint instead")
    var all = DeleteRequest(key: "c".objectKey)
    all.always = true
    all.quorum.w = .all
    let detail = try #require(isFull(cluster.answer(cluster.ask(1, .delete(all)))))
    #expect(detail.contains("n3: as many tombstones wait in its store as tombstones_max allows"), "\(detail)")
    cluster.advance(milliseconds: 1000)
    #expect(cluster.waiting == [3, 3, 3], "what others have taken is not refused")
    #expect(cluster.answer(cluster.ask(3, delete("d", always: true))).flatMap { isFull($0) } != nil)
    cluster.advance(milliseconds: 120_000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("who does not own the key hands the refusal on, with its reasons")
  func forwarded() throws {
    let cluster = bounded(hold: 3_600_000, nodes: 4) { _ in 1 }
    let stranger = try #require(cluster.strangers(to: "a").first)
    #expect(cluster.answer(cluster.ask(stranger, delete("a", always: true)))?.isDeleted == true)
    cluster.advance(milliseconds: 2000)
    let detail = try #require(isFull(cluster.answer(cluster.ask(stranger, delete("b", always: true)))))
    #expect(detail.contains("held for ") && detail.contains("tombstones_max allows 1"), "\(detail)")
  }

  @Test("a hint of a tombstone is not lost at an owner that is full: it waits, and is taken when there is room")
  func hinted() throws {
    let cluster = bounded(hold: 20_000) {
      $0 == "n3" ? 1 : 100
    } changing: {
      $0.hintRetryMilliseconds = 1000
    }
    cluster.ask(1, delete("a", always: true))
    #expect(cluster.waiting == [1, 1, 1])
    // No owner has this one, so that no feed brings it.
    let first = try #require(cluster.stored(1, "a")).stamp
    let later = Stamp(time: HybridTime(milliseconds: first.time.milliseconds + 1), actor: first.actor)
    try cluster.apply(
      StoredVersion(stamp: later, isTombstone: true, value: []), "b", to: .hints(for: NodeID(3)), at: 1)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.waiting == [1, 1, 1] && cluster.counters(3).tombstonesRefused > 0)
    #expect(cluster.status(1)?.hints.contains { $0.count == 1 } == true, "it is kept")
    cluster.advance(milliseconds: 120_000)
    #expect(cluster.waiting == [0, 0, 0])
    #expect(cluster.status(1)?.hints.allSatisfy { $0.count == 0 } == true)
  }

  @Test("what was taken is there after a start, however many there are")
  func restarted() {
    let cluster = full()
    cluster.kill(1, powerLoss: true)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting[0] == 3)
    #expect(cluster.answer(cluster.ask(1, delete("new"))).flatMap { isFull($0) } != nil)
  }
}
