import Cluster
import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

// What was acknowledged stands in a store that is there. A damaged store may still say so of what its files hold; once
// it is set aside, nothing is promised any more that went with it.

@Suite("Acknowledgements of a store that is set aside")
struct SetAsideAcknowledgementTests {
  /// What fences a node's store of the first sealed key, later.
  private func fence(_ cluster: TestCluster, at id: Int) throws -> () throws -> Void {
    let key = try #require(cluster.sealedKeys(id).first)
    return {
      let path = try cluster.flip(key, at: id)
      try cluster[id].node?.disk.unlink(String(path.dropLast(4)) + "hint")
      cluster.ask(id, get(key))
      #expect(cluster.fenced(id) == [cluster.store(of: key)])
    }
  }

  /// A new key of the same store.
  private func neighbour(_ cluster: TestCluster, at id: Int) throws -> String {
    let store = cluster.store(of: try #require(cluster.sealedKeys(id).first))
    return try #require((0..<1000).map({ "new\($0)" }).first(where: { cluster.store(of: $0) == store }))
  }

  /// Operations whose push this node has acknowledged.
  private func acknowledged(_ cluster: TestCluster, by id: Int, from start: Int) -> Set<UInt64> {
    Set(
      cluster.sent[start...].compactMap { letter -> UInt64? in
        guard letter.from == TestCluster.id(id), case .pushReply(let reply) = letter.message.body,
          case .applied = reply.outcome
        else { return nil }
        return reply.operation
      })
  }

  private func write(_ cluster: TestCluster, from start: Int) -> UInt64? {
    cluster.sent[start...].compactMap { letter -> UInt64? in
      if case .push(let push) = letter.message.body, push.kind == .write { push.operation } else { nil }
    }.first
  }

  @Test("what a sync in flight covers is waited for: it says of intact files what they hold")
  func inFlight() throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try neighbour(cluster, at: 2)
    let damage = try fence(cluster, at: 2)
    cluster.holdsSyncs = [TestCluster.id(2)]
    let start = cluster.sent.count
    let session = cluster.ask(1, put(key, "v", w: .all, dw: .all))
    #expect(cluster.answer(session) == nil && acknowledged(cluster, by: 2, from: start).isEmpty)
    try damage()
    cluster.advance(milliseconds: 1000)
    // Neither loading nor gone.
    #expect(cluster.fenced(2) == [cluster.store(of: key)])
    #expect(cluster.status(2)?.antiEntropy.scrub.setAside == [])
    cluster.holdsSyncs = []
    cluster.releaseSync(2)
    #expect(try #require(cluster.answer(session)).isStored)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.roles(2) == [.active] && cluster.held(2, key) != nil)
  }

  @Test("what is in no file yet when the store is set aside is acknowledged to nobody", arguments: SyncMode.allCases)
  func unflushed(sync: SyncMode) throws {
    let cluster = try TestCluster.sealed(scrubbing: false, sync: sync)
    let key = try neighbour(cluster, at: 2)
    let damage = try fence(cluster, at: 2)
    cluster[2].node?.disk.spaceLeft = 10
    let start = cluster.sent.count
    let session = cluster.ask(1, put(key, "v", w: .all))
    let operation = try #require(write(cluster, from: start))
    try damage()
    cluster.advance(milliseconds: 500)
    cluster[2].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.roles(2) == [.active])
    #expect(!acknowledged(cluster, by: 2, from: start).contains(operation))
    guard case .failed? = cluster.answer(session) else {
      return #expect(Bool(false), "\(String(describing: cluster.answer(session)))")
    }
    #expect(cluster.held(2, key) != nil, "the others had it")
  }

  @Test("a coordinator does not count its own copy that went with the store", arguments: SyncMode.allCases)
  func ownCopy(sync: SyncMode) throws {
    let cluster = try TestCluster.sealed(scrubbing: false, sync: sync)
    let key = try neighbour(cluster, at: 2)
    let damage = try fence(cluster, at: 2)
    cluster[2].node?.disk.spaceLeft = 10
    let session = cluster.ask(2, put(key, "v", w: .all))
    #expect(cluster.answer(session) == nil)
    try damage()
    cluster.advance(milliseconds: 500)
    guard case .failed(.unsatisfied(_, _, _, let detail))? = cluster.answer(session) else {
      return #expect(Bool(false), "\(String(describing: cluster.answer(session)))")
    }
    #expect(detail.contains("n2"))
    cluster[2].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.roles(2) == [.active] && cluster.answeredAgain.isEmpty)
    #expect(cluster.held(2, key) != nil, "the others had it")
  }
}
