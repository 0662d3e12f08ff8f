import Causality
import Cluster
import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

// What a review found by asking: what if this message comes a minute late, twice, from an earlier life, or from somebody
// who only says that he is a member?

@Suite("Late, repeated and foreign messages")
struct HostileTests {
  private func isForward(_ letter: TestCluster.Letter) -> Bool {
    if case .forward = letter.message.body { true } else { false }
  }

  @Test("a forwarded delete that arrives after its client was answered does not delete what was put since")
  func lateForwardedDelete() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let (key, entry) = try #require(cluster.foreignKey())
    #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "1")))).isStored)
    // The first owner asked stands still: nothing reaches it or leaves it, and the forward waits in its socket.
    var stuck: NodeID?
    cluster.treat = { letter in
      if stuck == nil, letter.from == NodeID(UInt32(entry)), isForward(letter) {
        stuck = letter.to
        return .hold
      }
      return letter.from == stuck || letter.to == stuck ? .drop : .deliver
    }
    let session = cluster.ask(entry, delete(key))
    cluster.advance(milliseconds: 1500)
    #expect(cluster.answer(session)?.isDeleted == true)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 2000)
    #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "2")))).isStored)
    cluster.advance(milliseconds: 60_000)
    cluster.release()
    cluster.advance(milliseconds: 2000)
    #expect(cluster.answer(cluster.ask(entry, get(key, r: .all)))?.text == "2")
  }

  @Test("a put forwarded without a stamp takes effect once, however late its copies come (rule ONE STAMP)")
  func repeatedUnstampedForward() throws {
    let cluster = TestCluster(nodes: 3)
    cluster[2].wallOffset = 60_000
    cluster.advance(milliseconds: 500)
    #expect(try #require(cluster.answer(cluster.ask(2, put("a", "1")))).isStored)
    let forwards = cluster.sent.filter(isForward)
    #expect(cluster.forwards().map { $0.stamp == nil } == [true, false], "a stamp is lent, then used")
    cluster.advance(milliseconds: 6000)
    #expect(try #require(cluster.answer(cluster.ask(1, delete("a")))).isDeleted)
    cluster.ask(2, put("b", "1"))
    for letter in forwards {
      cluster.step(cluster[Int(letter.to.rawValue)], .peer(letter.message, from: letter.from))
    }
    cluster.advance(milliseconds: 1000)
    #expect(try #require(cluster.answer(cluster.ask(3, get("a", r: .all)))).isNotFound)
  }

  @Test("what was said of stores to an earlier boot says nothing to this one: a wiped store is not taken for new")
  func staleStoreStates() throws {
    let cluster = TestCluster(nodes: 3)
    let old = cluster.sent.filter { letter in
      guard case .storeStates(let said) = letter.message.body else { return false }
      return letter.to == NodeID(2) && said.states.contains { $0.isNew }
    }
    #expect(!old.isEmpty)
    cluster.ask(1, put("a", "1"))
    cluster.kill(2)
    cluster.wipe(2)
    cluster.treat = { letter in
      if case .storeStates = letter.message.body, letter.to == NodeID(2) { .hold } else { .deliver }
    }
    cluster.start(NodeID(2), life: 5)
    cluster.advance(milliseconds: 300)
    for letter in old { cluster.step(cluster[2], .peer(letter.message, from: letter.from)) }
    cluster.treat = TestCluster.withholdsExchanges
    cluster.release()
    cluster.advance(milliseconds: 3000)
    #expect(try #require(cluster.status(2)).stores.allSatisfy { $0.role == .loading })
  }

  @Test("two nodes that wait for third ones do not answer each other for ever")
  func storeStatesStorm() {
    let cluster = TestCluster(nodes: 4, partitions: 4, starting: false)
    var count = 0
    cluster.treat = { letter in
      guard case .storeStates = letter.message.body else { return .deliver }
      count += 1
      let isLost =
        (letter.from == NodeID(3) && letter.to == NodeID(2)) || (letter.from == NodeID(4) && letter.to == NodeID(1))
      return isLost || count > 5000 ? .drop : .deliver
    }
    for id in 1...4 { cluster.start(NodeID(UInt32(id))) }
    cluster.advance(milliseconds: 3000)
    #expect(count < 1000)
  }

  @Test("whoever is refused under a member's name does not take the member down")
  func impostor() throws {
    let cluster = TestCluster(nodes: 3)
    let letter = try #require(
      cluster.sent.last { letter in
        if case .hello = letter.message.body { letter.from == NodeID(2) && letter.to == NodeID(1) } else { false }
      })
    guard case .hello(var hello) = letter.message.body else { return }
    hello.bootID = 77
    hello.membersDigest ^= 1
    for _ in 0..<5 {
      cluster.step(cluster[1], .peer(PeerMessage(time: .zero, body: .hello(hello)), from: NodeID(2)))
      cluster.advance(milliseconds: 100)
      #expect(try #require(cluster.status(1)).peers.allSatisfy { $0.link == .up })
    }
    #expect(cluster.answer(cluster.ask(1, put("a", "1", w: .all)))?.isStored == true)
  }

  @Test("a clock ten years ahead that was never trusted leaves no trace in anybody's stamps (rule CLOCKS)")
  func untrustedClockLeavesNoTrace() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "1"))
    cluster.kill(2)
    let decade: Int64 = 10 * 365 * 86_400_000
    cluster[2].wallOffset = decade
    cluster.start(NodeID(2), life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(try #require(cluster.status(2)).clockInDoubt)
    cluster.kill(2)
    cluster[2].wallOffset = 0
    cluster.start(NodeID(2), life: 2)
    cluster.advance(milliseconds: 2000)
    guard case .stored(let stamp)? = cluster.answer(cluster.ask(1, put("a", "2"))) else {
      Issue.record("not stored")
      return
    }
    #expect(stamp.time.milliseconds < 1_700_000_000_000 + 2_000_000)
  }

  @Test("a time that no clock can have issued is not taken over")
  func absurdTimes() throws {
    let cluster = TestCluster(nodes: 3)
    let beat = try #require(
      cluster.sent.last { letter in
        if case .ping = letter.message.body { letter.from == NodeID(2) && letter.to == NodeID(1) } else { false }
      })
    for time in [HybridTime(.max), HybridTime(.max - 1), .ceiling] {
      cluster.step(cluster[1], .peer(PeerMessage(time: time, body: beat.message.body), from: NodeID(2)))
    }
    guard case .stored(let stamp)? = cluster.answer(cluster.ask(1, put("a", "1"))) else {
      Issue.record("not stored")
      return
    }
    #expect(stamp.time < .ceiling)
  }

  @Test("a store that a device refused to read at one start is whole or fenced at the next, never short")
  func readErrorAtStart() throws {
    for operation in stride(from: 1, through: 150, by: 2) {
      let cluster = TestCluster(nodes: 3)
      for index in 0..<24 {
        cluster.ask(1 + index % 3, put("k\(index)", "v\(index)"))
        if index == 11 { cluster.advance(milliseconds: 62_000, tick: 500) }
      }
      let before = try #require(cluster.status(2)).keysLive
      cluster.kill(2, powerLoss: true)
      var disk = try #require(cluster[2].disk)
      disk.failure = (disk.operationCount + operation, 5)
      cluster[2].disk = disk
      cluster.start(NodeID(2), life: 1)
      if cluster[2].node == nil { continue }
      cluster.kill(2)
      cluster.start(NodeID(2), life: 2)
      cluster.advance(milliseconds: 500)
      let status = try #require(cluster.status(2))
      let isFenced = status.stores.contains { $0.role != .active }
      #expect(status.keysLive == before || isFenced, "operation \(operation)")
    }
  }

  private func overloads(_ cluster: TestCluster, _ sessions: [UInt64]) -> Int {
    sessions.count { if case .failed(.overloaded)? = cluster.answer($0) { true } else { false } }
  }

  private static let megabyte = String(repeating: "x", count: 1 << 20)

  @Test("values that operations hold are bounded: one more is refused, and room comes back")
  func valueBytesAreBounded() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let (key, entry) = try #require(cluster.foreignKey())
    cluster.treat = { letter in
      if case .forward = letter.message.body { .drop } else { .deliver }
    }
    var sessions: [UInt64] = []
    for _ in 0..<300 { sessions.append(cluster.ask(entry, put(key, Self.megabyte))) }
    let refused = overloads(cluster, sessions)
    #expect(refused >= 40 && refused <= 50)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 6000)
    #expect(try #require(cluster.answer(cluster.ask(entry, put(key, Self.megabyte)))).isStored)
  }

  @Test("what waits for one peer is bounded: where nobody stands in, one more is refused, and room comes back")
  func awaitedBytesAreBounded() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.treat = { letter in
      if case .pushReply = letter.message.body { .drop } else { .deliver }
    }
    var sessions: [UInt64] = []
    for index in 0..<40 { sessions.append(cluster.ask(1, put("k\(index % 4)", Self.megabyte))) }
    // A value and a few bytes around it: the bound lies between the last that fits and the next.
    #expect(overloads(cluster, sessions) == 40 - 31)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 6000)
    #expect(try #require(cluster.answer(cluster.ask(1, put("k", Self.megabyte)))).isStored)
  }
}
