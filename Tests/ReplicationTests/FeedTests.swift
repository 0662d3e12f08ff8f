import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Tombstones go when every owner has acknowledged them")
struct FeedTests {
  @Test(
    "a deleted key is forgotten by all owners, and nothing is said about it afterwards", arguments: SyncMode.allCases)
  func deletedKeyIsForgotten(sync: SyncMode) throws {
    let cluster = TestCluster.feeding(sync: sync)
    cluster.ask(1, put("a", "1"))
    cluster.ask(1, put("b", "2"))
    #expect(try #require(cluster.answer(cluster.ask(2, delete("a")))).isDeleted)
    #expect(cluster.waiting == [1, 1, 1])
    cluster.advance(milliseconds: 2000)
    #expect(cluster.waiting == [0, 0, 0])
    for id in 1...3 {
      #expect(cluster.held(id, "a") == nil && cluster.held(id, "b") != nil)
      #expect(cluster.status(id)?.counters.purged == 1)
      #expect(cluster.answer(cluster.ask(id, get("a", r: .all)))?.isNotFound == true)
    }
    // Once more when the floor has become durable, with a checkpoint.
    cluster.advance(milliseconds: 120_000)
    let start = cluster.sent.count
    cluster.advance(milliseconds: 300_000, tick: 250)
    #expect(cluster.talk(from: start).isEmpty)
    for _ in 0..<2 {
      for id in 1...3 {
        let report = try #require(cluster.round(id))
        #expect(report.keysPulled == 0 && report.differing == 0)
      }
    }
    #expect(cluster.waiting == [0, 0, 0] && cluster.recordsPulled(from: start) == 0)
  }

  @Test(
    "an owner that is down is waited for, and nothing of its partitions is forgotten until it has everything",
    arguments: [true, false])
  func ownerDown(isRuled: Bool) throws {
    let cluster = TestCluster.feeding { if !isRuled { $0.rules = $0.rules.without(.acknowledgements) } }
    for index in 0..<20 { cluster.ask(1, put("k\(index)", "v")) }
    cluster.kill(3)
    for index in 0..<20 { #expect(cluster.answer(cluster.ask(1, delete("k\(index)")))?.isDeleted == true) }
    cluster.advance(milliseconds: 300_000, tick: 250)
    #expect(Array(cluster.waiting[..<2]) == (isRuled ? [20, 20] : [0, 0]))
    guard isRuled else { return }
    let week: UInt64 = 7 * 86_400_000
    cluster.advance(milliseconds: week, tick: 3_600_000)
    #expect(Array(cluster.waiting[..<2]) == [20, 20])
    #expect(Set(cluster.firstBlockers(1)) == ["n3 down"])
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
    for index in 0..<20 {
      for id in 1...3 { #expect(cluster.held(id, "k\(index)") == nil) }
    }
  }

  @Test("a key that is put again between its acknowledgement and the end of its time survives")
  func recreated() throws {
    let cluster = TestCluster.feeding(hold: 1000)
    cluster.ask(1, put("a", "1"))
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 600)
    #expect(cluster.waiting == [1, 1, 1])
    #expect(cluster.firstBlockers(1) == ["n1 hold"])
    #expect(cluster.answer(cluster.ask(2, put("a", "2")))?.isStored == true)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.waiting == [0, 0, 0])
    for id in 1...3 { #expect(cluster.answer(cluster.ask(id, get("a", r: .all)))?.text == "2") }
  }

  @Test("no cursor is told before what it stands for is durable", arguments: [true, false])
  func durableBeforeTold(isRuled: Bool) {
    let cluster = TestCluster.feeding { if !isRuled { $0.rules = $0.rules.without(.durableCursor) } }
    cluster.ask(1, put("a", "1"))
    cluster.advance(milliseconds: 500)
    cluster.holdsSyncs = [NodeID(3)]
    let start = cluster.sent.count
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.cursors(from: 3, since: start).contains(1) == !isRuled)
    #expect(cluster.heads(from: 3, since: start).allSatisfy { $0 == 0 })
    if isRuled { #expect(cluster.waiting == [1, 1, 1]) }
    cluster.holdsSyncs = []
    for _ in 0..<4 { cluster.releaseSync(3) }
    cluster.advance(milliseconds: 2000)
    #expect(cluster.cursors(from: 3, since: start).contains(1))
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("an answer brings so many tombstones and no more, and what is left follows", arguments: [1, 3, 7, 8])
  func pages(entriesMax: Int) {
    let cluster = TestCluster.feeding { $0.feedEntriesMax = entriesMax }
    cluster.kill(3)
    for index in 0..<7 { cluster.ask(1, delete("k\(index)", always: true)) }
    cluster.start(3, life: 1)
    // Hints bring some of them as well.
    cluster.advance(milliseconds: 5000)
    #expect(cluster.waiting == [0, 0, 0])
    let pages = cluster.sent.compactMap { letter in
      if case .storeStatesReply(let reply) = letter.message.body {
        reply.feeds.reduce(0) { $0 + $1.entries.count }
      } else {
        nil
      }
    }
    #expect(pages.max() == min(entriesMax, 7) || entriesMax >= 7 && (pages.max() ?? 0) > 1)
    #expect(pages.allSatisfy { $0 <= entriesMax })
  }

  @Test("of sixty-four stores that rest nothing is said, and of busy ones two messages to a peer in an interval")
  func cost() {
    let cluster = TestCluster(nodes: 3, partitions: 64) { $0.antiEntropyMilliseconds = 0 }
    cluster.advance(milliseconds: 10_000)
    var start = cluster.sent.count
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.feedTalk(from: start).isEmpty)
    start = cluster.sent.count
    for second in 0..<10 {
      for index in 0..<50 { cluster.ask(1 + index % 3, delete("k\(second)-\(index)", always: true)) }
      cluster.advance(milliseconds: 1000)
    }
    let talk = cluster.feedTalk(from: start)
    let bytes = talk.reduce(0) { $0 + $1.byteCount }
    // Six directions, ten seconds. A store that has something to say costs 99 bytes, and 20 in the answer.
    #expect(talk.count <= 6 * 2 * 11, "\(talk.count) messages, \(bytes) bytes")
    #expect(bytes <= 6 * 11 * 64 * (99 + 20) * 2, "\(talk.count) messages, \(bytes) bytes")
  }
}

@Suite("What keeps a tombstone")
struct PurgeConditionTests {
  /// One tombstone that may go but for its time, which is made to be over.
  private func ripe() throws -> (cluster: TestCluster, store: Int) {
    let cluster = TestCluster.feeding(hold: 3_600_000)
    cluster.ask(1, put("a", "1"))
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 2000)
    #expect(cluster.waiting == [1, 1, 1])
    #expect(try #require(cluster.round(1)).obstacles.isEmpty)
    let found = cluster[1].node?.feeds.storeIndex(cluster.store(of: "a"))
    let index = try #require(found)
    cluster[1].node?.feeds.stores[index].held = 1
    #expect(limit(cluster, index) == 1, "nothing keeps it")
    return (cluster, index)
  }

  private func limit(_ cluster: TestCluster, _ index: Int) -> UInt64? {
    guard let engine = cluster[1].node?.engine else { return nil }
    return cluster[1].node?.purgeLimit(index, engine)
  }

  private func pair(_ cluster: TestCluster, _ node: Int) throws -> Int {
    let found = cluster[1].node?.feeds.index(cluster.store(of: "a"), TestCluster.id(node))
    return try #require(found)
  }

  @Test("each of the conditions alone", arguments: 0..<9, [2, 3])
  func each(condition: Int, node: Int) throws {
    let (cluster, store) = try ripe()
    let pair = try pair(cluster, node)
    let id = cluster.store(of: "a")
    switch condition {
    case 0: cluster[1].node?.feeds.stores[store].held = 0
    case 1: cluster[1].node?.feeds.pairs[pair].judged = nil
    case 2: cluster[1].node?.feeds.pairs[pair].verdict = nil
    case 3: cluster[1].node?.feeds.pairs[pair].settled = 0
    case 4: cluster[1].node?.feeds.pairs[pair].incarnation = Identity128(high: 9, low: 9)
    case 5: cluster[1].node?.feeds.unvalidated = [id]
    case 6:
      let found = cluster[1].node?.exchanges.index(id, TestCluster.id(node))
      let index = try #require(found)
      cluster[1].node?.exchanges.pairs[index].covered = 0
    case 7, 8:
      let engine = try #require(cluster.engine(1))
      var promise = try #require(engine.durablePromise(id, of: TestCluster.id(node)))
      if condition == 7 { promise.configID ^= 1 } else { promise.incarnation = Identity128(high: 9, low: 9) }
      engine.setPromise(id, promise)
      engine.promisesWritten(engine.promisesFile().token)
    default: break
    }
    #expect(limit(cluster, store) == 0)
  }

  @Test("an acknowledgement that was told and is not on disk does not count")
  func durablePromise() throws {
    let cluster = TestCluster.feeding(hold: 3_600_000)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 2000)
    let engine = try #require(cluster.engine(1))
    let id = cluster.store(of: "a")
    let known = try #require(engine.durablePromise(id, of: NodeID(2)))
    #expect(known.cursorOnMe == 1)
    var told = known
    told.cursorOnMe = 2
    engine.setPromise(id, told)
    #expect(engine.promise(id, of: NodeID(2))?.cursorOnMe == 2 && engine.durablePromise(id, of: NodeID(2)) == known)
  }

  @Test("an acknowledgement counts when what the peer's feed held then is here (rule ECHO)", arguments: [true, false])
  func echo(isRuled: Bool) throws {
    let cluster = TestCluster.feeding { if !isRuled { $0.rules = $0.rules.without(.echo) } }
    // What node 3 gives of its feed does not reach node 1.
    cluster.treat = { letter in
      guard case .storeStatesReply(let reply) = letter.message.body, letter.from == NodeID(3),
        letter.to == NodeID(1), reply.feeds.contains(where: { !$0.entries.isEmpty })
      else { return .deliver }
      return .drop
    }
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting[0] == (isRuled ? 1 : 0))
    guard isRuled else { return }
    #expect(cluster.firstBlockers(1) == ["n3 feed_lag"])
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("an owner whose acknowledgement does not arrive is waited for")
  func acknowledgement() {
    let cluster = TestCluster.feeding()
    cluster.treatStates(from: 3, to: 1)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting[0] == 1)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("without a round of anti-entropy that ends, nothing goes")
  func round() {
    let cluster = TestCluster.feeding()
    cluster.treat = TestCluster.withholdsExchanges
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [1, 1, 1])
    #expect(cluster.firstBlockers(1) == ["n2 anti_entropy"])
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 30_000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("a tombstone is kept for its time, and after a start for no longer", arguments: [false, true])
  func hold(restarting: Bool) {
    let cluster = TestCluster.feeding(hold: 4000)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [1, 1, 1])
    if restarting {
      cluster.kill(1)
      cluster.start(1, life: 1)
      cluster.advance(milliseconds: 3000)
      #expect(cluster.waiting[0] == 1)
    }
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
  }
}

extension TestCluster {
  /// Three nodes with short times: tombstones are fed every 100 ms and need not wait.
  static func feeding(
    hold: UInt64 = 0, sync: SyncMode = .always, changing: @escaping (inout NodeOptions) -> Void = { _ in }
  ) -> TestCluster {
    TestCluster(nodes: 3, sync: sync) {
      $0.feedMilliseconds = 100
      $0.tombstoneHoldMilliseconds = hold
      $0.antiEntropyMilliseconds = 0
      changing(&$0)
    }
  }

  func engine(_ id: Int) -> Engine? { self[id].node?.engine }

  /// Tombstones that wait, by node.
  var waiting: [Int] {
    nodes.map { node in
      node.node?.engine.map { engine in engine.storeIDs.reduce(0) { $0 + engine.feedStatus($1).pending } } ?? -1
    }
  }

  /// Messages since, but for pings.
  func talk(from start: Int) -> [Letter] {
    sent[start...].filter {
      switch $0.message.body {
      case .ping, .pingReply, .pingRequest, .pingRelayed: false
      default: true
      }
    }
  }

  /// States of stores and answers to them that were sent since.
  func feedTalk(from start: Int) -> [Letter] {
    sent[start...].filter {
      switch $0.message.body {
      case .storeStates, .storeStatesReply: true
      default: false
      }
    }
  }

  private func states(from id: Int, since start: Int) -> [StoreState] {
    sent[start...].flatMap { letter in
      guard letter.from == TestCluster.id(id), case .storeStates(let said) = letter.message.body else {
        return [StoreState]()
      }
      return said.states
    }
  }

  /// Positions in others' feeds that a node has acknowledged since, and those that it has told of its own.
  func cursors(from id: Int, since start: Int) -> [UInt64] { states(from: id, since: start).map(\.cursor.tsn) }
  func heads(from id: Int, since start: Int) -> [UInt64] { states(from: id, since: start).map(\.tsnHead) }
}
