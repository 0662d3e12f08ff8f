import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

// What a cluster does when a disk refuses.

@Suite("Disks that refuse")
struct DiskTests {
  private func fill(_ cluster: TestCluster, _ ids: Int..., leaving bytes: Int = 100 << 20) {
    for id in ids { cluster[id].node?.disk.spaceLeft = bytes }
    cluster.advance(milliseconds: 1010)
  }

  private func empty(_ cluster: TestCluster, _ ids: Int...) {
    for id in ids { cluster[id].node?.disk.spaceLeft = nil }
    cluster.advance(milliseconds: 7000)
  }

  /// The operation of the disk that comes after so many others fails.
  private func fail(_ cluster: TestCluster, _ id: Int, after others: Int = 0, errno: Int32) {
    let operation = (cluster[id].node?.disk.operationCount ?? 0) + 1 + others
    cluster[id].node?.disk.failure = (operation, errno)
  }

  private func isFull(_ response: ClientResponse?, naming names: [String]) -> Bool {
    guard case .failed(.full(let detail))? = response else { return false }
    return names.allSatisfy { detail.contains("\($0): its disk is full") } && detail.contains("free or add space")
  }

  /// States of stores wait, so that nobody learns anything of them.
  private func holdsStates(_ letter: TestCluster.Letter) -> TestCluster.Treatment {
    switch letter.message.body {
    case .storeStates, .storeStatesReply: .hold
    default: .deliver
    }
  }

  /// Node 1, whose stores are new, learns of the others' when its disk is full, and goes on without them.
  private func learnsWithoutRoom(_ cluster: TestCluster) {
    #expect(cluster.roles(1) == [.loading])
    cluster[1].node?.disk.spaceLeft = 0
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 5000)
    #expect(cluster[1].stopped == nil && cluster.roles(1) == [.loading])
  }

  @Test("without room for the role of its new stores a node does not serve, goes on, and serves when there is room")
  func noRoomToServe() throws {
    let cluster = TestCluster(nodes: 3, starting: false)
    cluster.treat = holdsStates
    for id in 1...3 { cluster.start(id) }
    cluster.advance(milliseconds: 3000)
    learnsWithoutRoom(cluster)
    #expect(cluster.lines(1, "the disk refuses") > 0)
    cluster[1].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 5000)
    #expect(cluster[1].stopped == nil)
    for id in 1...3 { #expect(cluster.roles(id) == [.active]) }
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1", w: .all)))).isStored)
    cluster.kill(1, powerLoss: true)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.roles(1) == [.active])
  }

  @Test("without room for the mark of stores that were wiped a node goes on, and they are filled when there is room")
  func noRoomToMark() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "1", w: .all))
    cluster.kill(1)
    cluster.wipe(1)
    cluster.treat = holdsStates
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    learnsWithoutRoom(cluster)
    cluster[1].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 20_000)
    #expect(cluster[1].stopped == nil && cluster.roles(1) == [.active])
    #expect(cluster.ownCopy(1, "a") == "1")
  }

  @Test(
    "without room to fence it for good a store that went back serves nothing all the same", arguments: [false, true])
  func noRoomToFence(losesPower: Bool) throws {
    let cluster = TestCluster(nodes: 3) {
      $0.tombstoneHoldMilliseconds = 0
      $0.feedMilliseconds = 100
    }
    cluster.ask(1, put("a", "1", w: .all))
    cluster.advance(milliseconds: 1000)
    cluster.kill(3)
    let copy = cluster[3].disk
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 1000)
    #expect(try #require(cluster.answer(cluster.ask(1, delete("a")))).isDeleted)
    cluster.advance(milliseconds: 5000)
    cluster.kill(3)
    cluster[3].disk = copy
    cluster.treat = holdsStates
    cluster.start(3, life: 2)
    cluster.advance(milliseconds: 2000)
    cluster[3].node?.disk.spaceLeft = 0
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 5000)
    #expect(cluster[3].stopped == nil && cluster.fenced(3) != [])
    if losesPower {
      cluster.kill(3, powerLoss: true)
      cluster[3].disk?.spaceLeft = nil
      cluster.start(3, life: 3)
    }
    for id in 1...3 { #expect(cluster.answer(cluster.ask(id, get("a", r: .one)))?.text == nil) }
    if !losesPower { cluster[3].node?.disk.spaceLeft = nil }
    cluster.advance(milliseconds: 30_000)
    #expect(cluster[3].stopped == nil && cluster.roles(3) == [.active])
    for id in 1...3 { #expect(cluster.answer(cluster.ask(id, get("a", r: .all)))?.isNotFound == true) }
  }

  @Test("one full disk of three: every node takes puts, the full one hands them over and holds none of them")
  func oneFull() throws {
    let cluster = TestCluster(nodes: 3)
    fill(cluster, 1)
    #expect(cluster.status(1)?.space?.isShort == true)
    #expect(cluster[1].log.filter { $0.contains("the disk is full") }.count == 1)
    for id in 1...3 {
      #expect(try #require(cluster.answer(cluster.ask(id, put("k\(id)", "v")))).isStored)
      #expect(cluster.answer(cluster.ask(1, get("k\(id)")))?.text == "v")
    }
    #expect(cluster.status(1)?.keysLive == 0)
    #expect(cluster.status(2)?.keysLive == 3)
    guard case .failed? = cluster.answer(cluster.ask(2, put("all", "v", w: .all))) else {
      return #expect(Bool(false), "w = all was reached without n1")
    }
    empty(cluster, 1)
    #expect(cluster[1].log.filter { $0.contains("has room again") }.count == 1)
    #expect(try #require(cluster.answer(cluster.ask(1, put("all", "v", w: .all)))).isStored)
  }

  @Test("two full disks of three: a put is refused with their names, reads and deletes go on")
  func twoFull() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "1"))
    fill(cluster, 1, 2)
    for id in 1...3 {
      #expect(isFull(cluster.answer(cluster.ask(id, put("b", "2"))), naming: ["n1", "n2"]), "through n\(id)")
      #expect(cluster.answer(cluster.ask(id, get("a")))?.text == "1")
    }
    #expect(try #require(cluster.answer(cluster.ask(1, delete("a")))).isDeleted)
    #expect(try #require(cluster.answer(cluster.ask(2, get("a")))).isNotFound)
    empty(cluster, 1, 2)
    #expect(try #require(cluster.answer(cluster.ask(1, put("b", "2")))).isStored)
  }

  @Test("all disks full: a put is refused before anybody has applied it")
  func allFull() {
    let cluster = TestCluster(nodes: 3)
    fill(cluster, 1, 2, 3)
    #expect(isFull(cluster.answer(cluster.ask(1, put("a", "1"))), naming: ["n1", "n2", "n3"]))
    for id in 1...3 { #expect(cluster.status(id)?.keysLive == 0) }
    #expect(cluster.status(1)?.counters.failures.full == 1)
  }

  @Test("a node that owns nothing of a key forwards its put past the full owner")
  func forwarded() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let (key, entry) = try #require(cluster.foreignKey())
    let owners = (1...5).filter { $0 != entry }
    for id in owners.prefix(1) { fill(cluster, id) }
    for _ in 0..<6 { #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "1")))).isStored) }
  }

  @Test(
    "a write that finds no room is acknowledged to nobody, and everybody hears of it once it is in a file",
    arguments: SyncMode.allCases)
  func withheld(sync: SyncMode) throws {
    let cluster = TestCluster(nodes: 3, sync: sync)
    for id in 1...3 { cluster[id].node?.disk.spaceLeft = 10 }
    let session = cluster.ask(1, put("a", "1", w: .one, dw: .count(0)))
    #expect(cluster.answer(session) == nil)
    for id in 1...3 { #expect(cluster[id].stopped == nil) }
    for id in 1...3 { cluster[id].node?.disk.spaceLeft = nil }
    cluster.advance(milliseconds: 200)
    #expect(try #require(cluster.answer(session)).isStored)
    for id in 1...3 { cluster.kill(id) }
    for id in 1...3 { cluster.start(id, life: 1) }
    cluster.advance(milliseconds: 3000)
    #expect(cluster.answer(cluster.ask(2, get("a", r: .all)))?.text == "1")
  }

  @Test("a replica that finds no room does not count, and its write has a deadline")
  func replicaWithheld() throws {
    let cluster = TestCluster(nodes: 3, sync: .never)
    for id in 2...3 { cluster[id].node?.disk.spaceLeft = 10 }
    let session = cluster.ask(1, put("a", "1"))
    #expect(cluster.answer(session) == nil)
    cluster.advance(milliseconds: 6000)
    guard case .failed(.timeout)? = cluster.answer(session) else { return #expect(Bool(false), "acknowledged") }
  }

  @Test("what waits for a sync is released only as far as files hold it")
  func syncCovers() throws {
    let cluster = TestCluster(nodes: 1, replicas: 1)
    cluster.holdsSyncs = [TestCluster.id(1)]
    let first = cluster.ask(1, put("a", "1"))
    cluster[1].node?.disk.spaceLeft = 10
    let second = cluster.ask(1, put("b", "2"))
    cluster.releaseSync(1)
    #expect(try #require(cluster.answer(first)).isStored)
    #expect(cluster.answer(second) == nil)
    cluster[1].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 200)
    cluster.releaseSync(1)
    #expect(try #require(cluster.answer(second)).isStored)
  }

  @Test("a failed write ends the node, and nothing is answered afterwards", arguments: [Int32(5), 30])
  func failedWrite(errno: Int32) {
    let cluster = TestCluster(nodes: 1, replicas: 1)
    cluster.ask(1, put("a", "1"))
    fail(cluster, 1, after: 1, errno: errno)
    let session = cluster.ask(1, put("a", "2"))
    #expect(cluster[1].node?.disk.failedOperation == .append)
    #expect(cluster.answer(session) == nil)
    guard case .failed(.io(.append, _, errno))? = cluster[1].stopped else {
      return #expect(Bool(false), "it must stop")
    }
    let read = cluster.ask(1, get("a"))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.answer(read) == nil)
  }

  @Test("a new file that cannot be made refuses the write that needs it, and no other", arguments: [Int32(23), 24, 30])
  func noNewFile(errno: Int32) throws {
    let cluster = TestCluster(nodes: 1, replicas: 1)
    fail(cluster, 1, errno: errno)
    guard case .failed(.unavailable)? = cluster.answer(cluster.ask(1, put("a", "1"))) else {
      return #expect(Bool(false), "not refused")
    }
    #expect(try #require(cluster.answer(cluster.ask(1, get("a")))).isNotFound)
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1")))).isStored)
  }

  @Test("a sync that failed is never called again, whatever the node is told later")
  func failedSync() {
    let cluster = TestCluster(nodes: 1, replicas: 1)
    cluster.holdsSyncs = [TestCluster.id(1)]
    let session = cluster.ask(1, put("a", "1"))
    fail(cluster, 1, errno: 28)
    cluster.releaseSync(1)
    #expect(cluster[1].node?.disk.failedOperation == .sync)
    guard case .failed(.io(.sync, _, 28))? = cluster[1].stopped else { return #expect(Bool(false), "it must stop") }
    cluster.ask(1, put("b", "2"))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.answer(session) == nil)
    #expect(cluster[1].node?.disk.syncsAfterFailure == 0)
  }

  @Test(
    "bytes that cannot be read: others answer for this node, which goes on with its other stores", arguments: [0, 1000])
  func failedRead(coldPerThousand: Int) throws {
    let cluster = TestCluster(nodes: 3)
    for index in 0..<20 { cluster.ask(1, put("k\(index)", "v")) }
    cluster[1].node?.disk.wouldBlockChance = coldPerThousand
    fail(cluster, 1, after: coldPerThousand == 0 ? 0 : 1, errno: 5)
    #expect(cluster.answer(cluster.ask(1, get("k0")))?.text == "v")
    #expect(cluster[1].node?.disk.failedOperation == .read)
    #expect(cluster[1].stopped == nil)
    #expect(cluster.status(1)?.stores.filter { $0.role == .fenced }.count == 1)
    for index in 0..<20 {
      #expect(cluster.answer(cluster.ask(1, get("k\(index)")))?.text == "v")
      #expect(try #require(cluster.answer(cluster.ask(1, put("k\(index)", "w")))).isStored)
    }
    guard case .failed(.unsatisfied(.r, wanted: 3, got: 2, _))? = cluster.answer(cluster.ask(2, get("k0", r: .all)))
    else { return #expect(Bool(false), "the fenced store counted, or passed for damaged") }
  }

  @Test("without a free descriptor a read is refused, and no store is fenced")
  func noDescriptor() throws {
    let cluster = TestCluster(nodes: 1, replicas: 1)
    cluster.ask(1, put("a", "1"))
    cluster[1].node?.disk.wouldBlockChance = 1000
    fail(cluster, 1, after: 1, errno: 24)
    guard case .failed(.unsatisfied(.r, wanted: 1, got: 0, let detail))? = cluster.answer(cluster.ask(1, get("a")))
    else { return #expect(Bool(false), "not refused") }
    #expect(detail.contains("n1"))
    #expect(cluster.answer(cluster.ask(1, get("a")))?.text == "1")
    #expect(cluster.status(1)?.stores.contains { $0.role == .fenced } == false)
  }

  @Test("a lease that finds no room is asked for again, and the node neither stops nor stamps beyond it")
  func lease() throws {
    let cluster = TestCluster(nodes: 1, replicas: 1)
    cluster.ask(1, put("a", "1"))
    cluster[1].node?.disk.spaceLeft = 0
    cluster.advance(milliseconds: 30_000)
    #expect(cluster[1].stopped == nil)
    let session = cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 6000)
    guard case .failed? = cluster.answer(session) else { return #expect(Bool(false), "deleted without room") }
    #expect(cluster.answer(cluster.ask(1, get("a")))?.text == "1")
    cluster[1].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 7000)
    #expect(try #require(cluster.answer(cluster.ask(1, delete("a")))).isDeleted)
    #expect(try #require(cluster.answer(cluster.ask(1, put("b", "1")))).isStored)
  }
}
