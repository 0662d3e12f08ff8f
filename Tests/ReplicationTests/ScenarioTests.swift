import Causality
import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

// The rules of Docs/DeleteProtocol.md and the promises of the README, each as the story of the bug it guards against.

@Suite("Three nodes")
struct ThreeNodeTests {
  @Test("a put through one node is read through the next and deleted through the third")
  func anyNodeServes() throws {
    let cluster = TestCluster(nodes: 3)
    #expect(try #require(cluster.answer(cluster.ask(1, put("apple", "red")))).isStored)
    #expect(cluster.answer(cluster.ask(2, get("apple")))?.text == "red")
    #expect(try #require(cluster.answer(cluster.ask(3, delete("apple")))).isDeleted)
    #expect(try #require(cluster.answer(cluster.ask(1, get("apple")))).isNotFound)
    #expect(try #require(cluster.answer(cluster.ask(2, delete("apple")))).isNotFound)
  }

  @Test("the empty value is a value")
  func emptyValue() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("empty", ""))
    #expect(cluster.answer(cluster.ask(3, get("empty")))?.text == "")
  }

  @Test("one node down: reads, writes and deletes go on; two down: unavailable, never not found")
  func nodesDown() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "1"))
    cluster.kill(2)
    #expect(cluster.answer(cluster.ask(1, get("a")))?.text == "1")
    #expect(try #require(cluster.answer(cluster.ask(3, put("b", "2")))).isStored)
    #expect(try #require(cluster.answer(cluster.ask(1, delete("a")))).isDeleted)
    cluster.kill(3)
    guard case .failed(.unsatisfied(.r, wanted: 2, got: 1, let detail))? = cluster.answer(cluster.ask(1, get("b")))
    else {
      Issue.record("a read with one of three nodes must be unavailable")
      return
    }
    #expect(detail.contains("n2") && detail.contains("n3"))
    guard case .failed(.unsatisfied(.w, wanted: 2, got: 1, _))? = cluster.answer(cluster.ask(1, put("c", "3"))) else {
      Issue.record("a write with one of three nodes must be unavailable")
      return
    }
    #expect(
      cluster.answer(cluster.ask(1, get("b", r: .one)))?.text == "2"
        || cluster.answer(cluster.ask(1, get("b", r: .one)))?.isNotFound == true)
    #expect(try #require(cluster.answer(cluster.ask(1, put("c", "3", w: .one, dw: .one)))).isStored)
  }

  @Test("kill -9 of all nodes loses nothing acknowledged", arguments: [false, true])
  func killAll(powerLoss: Bool) throws {
    let cluster = TestCluster(nodes: 3)
    for index in 0..<50 { cluster.ask(1 + index % 3, put("k\(index)", "v\(index)")) }
    for index in 0..<10 { cluster.ask(1 + index % 3, delete("k\(index)")) }
    for id in 1...3 { cluster.kill(id, powerLoss: powerLoss) }
    for id in 1...3 { cluster.start(NodeID(UInt32(id)), life: 1) }
    cluster.advance(milliseconds: 3000)
    for index in 0..<50 {
      let answer = try #require(cluster.answer(cluster.ask(1 + (index + 1) % 3, get("k\(index)"))))
      if index < 10 { #expect(answer.isNotFound) } else { #expect(answer.text == "v\(index)") }
    }
  }

  @Test("a clean stop keeps the actor, an unclean one draws another (rule ACTORS)")
  func actors() throws {
    let cluster = TestCluster(nodes: 3)
    let first = try #require(cluster.status(2)).actor
    cluster.step(cluster[2], .shutdown)
    cluster.advance(milliseconds: 100)
    #expect(cluster[2].stopped == .clean)
    cluster.kill(2)
    cluster.start(NodeID(2), life: 1)
    #expect(try #require(cluster.status(2)).actor == first)
    cluster.kill(2)
    cluster.start(NodeID(2), life: 2)
    #expect(try #require(cluster.status(2)).actor != first)
  }

  @Test("nothing is acknowledged before it is durable where dw says so (rule SYNCED)")
  func acknowledgedAfterSync() {
    let cluster = TestCluster(nodes: 3)
    cluster.holdsSyncs = [NodeID(1), NodeID(2), NodeID(3)]
    let strict = cluster.ask(1, put("a", "1"))
    let loose = cluster.ask(1, put("b", "2", w: .quorum, dw: .count(0)))
    #expect(cluster.answer(strict) == nil)
    #expect(cluster.answer(loose)?.isStored == true)
    cluster.releaseSync(1)
    #expect(cluster.answer(strict) == nil)
    cluster.releaseSync(3)
    #expect(cluster.answer(strict)?.isStored == true)
  }

  @Test("without sync = always nothing is synced unless a request asks for it", arguments: [SyncMode.interval, .never])
  func syncsOnDemandOnly(mode: SyncMode) throws {
    let cluster = TestCluster(nodes: 3, sync: mode)
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1")))).isStored)
    #expect(try #require(cluster.answer(cluster.ask(2, delete("a")))).isDeleted)
    for id in 1...3 { #expect(try #require(cluster.status(id)).counters.syncs == 0) }
    let durable = cluster.ask(1, put("b", "2", dw: .all))
    // A store's first file must be named durably first, which is a job.
    cluster.advance(milliseconds: 50)
    #expect(try #require(cluster.answer(durable)).isStored)
    #expect(try #require(cluster.answer(cluster.ask(1, put("b", "3", dw: .all)))).isStored)
    for id in 1...3 { #expect(try #require(cluster.status(id)).counters.syncs > 0) }
  }

  @Test("a delete that cannot ask everybody writes a tombstone instead of saying not found (rule DELETE OF NOTHING)")
  func deleteOfNothing() throws {
    let cluster = TestCluster(nodes: 3)
    #expect(try #require(cluster.answer(cluster.ask(1, delete("never")))).isNotFound)
    #expect(cluster.tombstones(1) == 0)
    #expect(try #require(cluster.answer(cluster.ask(1, delete("blind", always: true)))).isDeleted)
    cluster.kill(3)
    #expect(try #require(cluster.answer(cluster.ask(1, delete("never")))).isDeleted)
    #expect(cluster.tombstones(1) == 2)
    #expect(cluster.tombstones(2) == 2)
  }

  @Test("an owner that does not answer the question turns a delete of nothing into a tombstone in time")
  func deleteOfNothingSilentOwner() {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { letter in
      if case .read = letter.message.body, letter.to == NodeID(3) { .drop } else { .deliver }
    }
    let session = cluster.ask(1, delete("never"))
    #expect(cluster.answer(session) == nil)
    cluster.advance(milliseconds: 600)
    #expect(cluster.answer(session)?.isDeleted == true)
  }

  @Test("a late answer never lifts an acknowledged put above a later delete (rule ONE STAMP)")
  func lateAnswerDoesNotRestamp() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { letter in
      if case .pushReply = letter.message.body, letter.from == NodeID(2) { .hold } else { .deliver }
    }
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1")))).isStored)
    #expect(try #require(cluster.answer(cluster.ask(3, delete("a")))).isDeleted)
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 200)
    #expect(try #require(cluster.answer(cluster.ask(2, get("a", r: .all)))).isNotFound)
  }

  @Test("a delete goes above whatever its quorum holds, also values from a clock ahead")
  func deleteBeatsNewer() throws {
    let cluster = TestCluster(nodes: 3)
    cluster[2].wallOffset = 20_000
    cluster.advance(milliseconds: 500)
    // Node 1 hears nothing of it: the value from the fast clock stands on 2 and 3 only.
    cluster.treat = { letter in
      letter.to == NodeID(1) && letter.from == NodeID(2) ? .drop : .deliver
    }
    let stored = cluster.ask(2, put("a", "1"))
    guard case .stored(let stamp)? = cluster.answer(stored) else {
      Issue.record("not stored")
      return
    }
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 300)
    guard case .deleted(let tombstone)? = cluster.answer(cluster.ask(1, delete("a"))) else {
      Issue.record("not deleted")
      return
    }
    #expect(tombstone > stamp)
    #expect(try #require(cluster.answer(cluster.ask(3, get("a", r: .all)))).isNotFound)
  }

  @Test("a node whose clock is a minute off hands its writes to another owner (rule CLOCKS)")
  func clockInDoubt() throws {
    let cluster = TestCluster(nodes: 3)
    cluster[2].wallOffset = 60_000
    cluster.advance(milliseconds: 500)
    #expect(try #require(cluster.status(2)).clockInDoubt)
    #expect(!(try #require(cluster.status(1)).clockInDoubt))
    guard case .stored(let stamp)? = cluster.answer(cluster.ask(2, put("a", "1"))) else {
      Issue.record("not stored")
      return
    }
    #expect(stamp.actor != (try #require(cluster.status(2)).actor))
    #expect(cluster.answer(cluster.ask(2, get("a")))?.text == "1")
    #expect(try #require(cluster.status(2)).counters.forwarded == 1)
    cluster[2].wallOffset = 0
    cluster.advance(milliseconds: 500)
    // Its operator is told once that it begins, once that it ends, and the others' operators nothing.
    let told = cluster[2].log.filter { $0.contains("clock") }
    #expect(told.count == 2 && told[0].contains("more than 30 s") && told[1].contains("agrees"))
    #expect(!cluster[1].log.contains { $0.contains("clock") })
  }

  @Test("what others said of their clocks before this process stood still counts for nothing after it (rule CLOCKS)")
  func clocksOfBefore() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.advance(milliseconds: 500)
    cluster.pause(2)
    cluster.advance(milliseconds: 90_000)
    cluster.resume(2)
    cluster.advance(milliseconds: 500)
    #expect(cluster[2].log.filter { $0.contains("clock") } == [])
    #expect(try #require(cluster.status(2)).peers.compactMap(\.clockOffsetMilliseconds) == [0, 0])
  }

  @Test("a node that was started anew with its clock set right is not held to what it told before (rule CLOCKS)")
  func clockSetRight() throws {
    let cluster = TestCluster(nodes: 3)
    cluster[2].wallOffset = 60_000
    cluster.advance(milliseconds: 5000)
    #expect(try #require(cluster.status(1)).peers.map(\.clockOffsetMilliseconds) == [60_000, 0])
    cluster.kill(2)
    cluster[2].wallOffset = 0
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 10)
    // Before it has answered a ping.
    #expect(try #require(cluster.status(1)).peers.map(\.clockOffsetMilliseconds) == [0, 0])
  }

  @Test("a wiped node never says absent: its stores are loading until they are filled (rule GENESIS)")
  func wipedNode() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "1"))
    cluster.kill(2)
    cluster.wipe(2)
    cluster.treat = TestCluster.withholdsExchanges
    cluster.start(NodeID(2), life: 5)
    cluster.advance(milliseconds: 3000)
    let status = try #require(cluster.status(2))
    #expect(status.clusterID == (try #require(cluster.status(1)).clusterID))
    #expect(status.stores.allSatisfy { $0.role == .loading })
    cluster.kill(3)
    let answer = cluster.answer(cluster.ask(2, get("a")))
    guard case .failed(.unsatisfied(.r, wanted: 2, got: 1, _))? = answer else {
      Issue.record("an empty loading store must not count as an answer: \(String(describing: answer))")
      return
    }
    cluster.start(NodeID(3), life: 1)
    cluster.advance(milliseconds: 500)
    #expect(cluster.answer(cluster.ask(2, get("a")))?.text == "1")
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 30_000)
    #expect(try #require(cluster.status(2)).stores.allSatisfy { $0.role == .active })
    #expect(cluster.ownCopy(2, "a") == "1")
  }

  @Test("a store whose directory is gone comes back loading and marked, never new (rule GENESIS)")
  func missingStore() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "1"))
    cluster.kill(2)
    cluster.removeStore(2, "p001-n3")
    cluster.treat = TestCluster.withholdsExchanges
    cluster.start(NodeID(2), life: 3)
    cluster.advance(milliseconds: 3000)
    #expect(cluster[2].stopped == nil)
    let status = try #require(cluster.status(2))
    #expect(status.stores.filter { $0.role == .loading }.map(\.id.partition) == [1])
    #expect(status.state == .serving)
    // The mark survives another restart.
    cluster.kill(2)
    cluster.start(NodeID(2), life: 4)
    cluster.advance(milliseconds: 3000)
    let again = try #require(cluster.status(2))
    #expect(again.stores.filter { $0.role == .loading }.map(\.id.partition) == [1])
    #expect(cluster.answer(cluster.ask(2, get("a")))?.text == "1")
  }

  @Test("a delete that was stamped anew is not durable by the fsync of its earlier stamp")
  func restampedDeleteWaitsForItsOwnSync() throws {
    let cluster = TestCluster(nodes: 3)
    cluster[2].wallOffset = 20_000
    cluster.advance(milliseconds: 500)
    cluster.treat = { letter in letter.to == NodeID(1) && letter.from == NodeID(2) ? .drop : .deliver }
    #expect(try #require(cluster.answer(cluster.ask(2, put("a", "1")))).isStored)
    cluster.treat = { _ in .deliver }
    // Nothing of node 2's time has reached node 1: its first tombstone is below the value on 2 and 3. Node 3 is slow.
    cluster.holdsSyncs = [NodeID(1)]
    cluster.treat = { letter in
      if case .pushReply = letter.message.body, letter.from == NodeID(3) { .hold } else { .deliver }
    }
    let session = cluster.ask(1, delete("a", always: true))
    #expect(cluster.answer(session) == nil)
    let stamps = cluster.tombstoneStamps(from: 1)
    #expect(Set(stamps).count == 2, "the delete must have been stamped anew: \(stamps)")
    // The first sync covers the first tombstone only.
    cluster.releaseSync(1)
    #expect(cluster.answer(session) == nil, "acknowledged by the fsync of a tombstone that lost")
    cluster.releaseSync(1)
    #expect(cluster.answer(session)?.isDeleted == true)
  }

  @Test("a cold read is an answer later, not a stall and not an absence")
  func coldReads() throws {
    let cluster = TestCluster(nodes: 3)
    for index in 0..<20 { cluster.ask(1, put("k\(index)", "v\(index)")) }
    for id in 1...3 { cluster[id].node?.disk.wouldBlockChance = 100 }
    for index in 0..<20 {
      #expect(cluster.answer(cluster.ask(2, get("k\(index)")))?.text == "v\(index)")
      #expect(try #require(cluster.answer(cluster.ask(3, put("k\(index)", "w\(index)")))).isStored)
    }
    for index in 0..<20 { #expect(cluster.answer(cluster.ask(1, get("k\(index)")))?.text == "w\(index)") }
  }

  @Test("a failed sync stops the node; nobody is told that the write is durable")
  func failedSync() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.holdsSyncs = [NodeID(1)]
    cluster.kill(2)
    let session = cluster.ask(1, put("a", "1"))
    #expect(cluster.answer(session) == nil)
    cluster.failSync(1)
    #expect(cluster.answer(session) == nil)
    guard case .failed? = cluster[1].stopped else {
      Issue.record("the node must stop")
      return
    }
  }
}

@Suite("Five nodes, three replicas")
struct FiveNodeTests {
  @Test("a node that owns nothing of a key forwards its writes and coordinates its reads")
  func forwards() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    for index in 0..<40 {
      #expect(try #require(cluster.answer(cluster.ask(1 + index % 5, put("k\(index)", "v\(index)")))).isStored)
    }
    for index in 0..<40 {
      #expect(cluster.answer(cluster.ask(1 + (index + 2) % 5, get("k\(index)")))?.text == "v\(index)")
      #expect(try #require(cluster.answer(cluster.ask(1 + (index + 3) % 5, delete("k\(index)")))).isDeleted)
    }
    let forwarded = try (1...5).reduce(0) { try $0 + #require(cluster.status($1)).counters.forwarded }
    #expect(forwarded > 0)
  }

  @Test("when the coordinating owner dies, the next one is offered the same write with the same stamp (rule ONE STAMP)")
  func forwardMovesOn() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    // Whatever coordinates is heard by the owners, but its answer to the forwarding node is lost.
    cluster.treat = { letter in
      if case .forwardReply = letter.message.body { .drop } else { .deliver }
    }
    let (key, entry) = try #require(cluster.foreignKey())
    let session = cluster.ask(entry, put(key, "1"))
    #expect(cluster.answer(session) == nil)
    let forwards = cluster.forwards()
    let coordinator = try #require(forwards.last).to
    cluster.treat = { _ in .deliver }
    cluster.kill(Int(coordinator.rawValue))
    guard case .stored(let stamp)? = cluster.answer(session) else {
      Issue.record("the write must move on: \(String(describing: cluster.answer(session)))")
      return
    }
    let offers = cluster.forwards()
    #expect(offers.count == forwards.count + 1)
    #expect(offers.allSatisfy { $0.stamp == stamp })
    #expect(offers.map(\.isFirstAttempt) == [true, false])
  }

  @Test("a restamp that is answered twice starts one further attempt")
  func repeatedRestamp() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let (key, entry) = try #require(cluster.foreignKey())
    // The entry node's clock lags, and it hears nothing of the owners' time.
    #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "1")))).isStored)
    cluster[entry].wallOffset = -20_000
    cluster.kill(entry)
    cluster.wipe(entry)
    cluster.start(NodeID(UInt32(entry)), life: 9)
    cluster.advance(milliseconds: 3000)
    for _ in 0..<3 {
      #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "2")))).isStored)
      for letter in cluster.restamps() {
        cluster.step(cluster[entry], .peer(letter.message, from: letter.from))
        cluster.step(cluster[entry], .peer(letter.message, from: letter.from))
      }
    }
    #expect(cluster[entry].stopped == nil)
    for id in 1...5 { #expect(cluster.answer(cluster.ask(id, get(key)))?.text == "2") }
  }

  @Test("a repeated forward is one write")
  func repeatedForward() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let (key, entry) = try #require(cluster.foreignKey())
    #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "1")))).isStored)
    let first = try #require(cluster.lastForward())
    #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "2")))).isStored)
    // The network delivers the first one again.
    cluster.step(cluster[Int(first.to.rawValue)], .peer(first.message, from: first.from))
    cluster.advance(milliseconds: 100)
    for id in 1...5 { #expect(cluster.answer(cluster.ask(id, get(key, r: .all)))?.text == "2") }
  }
}
