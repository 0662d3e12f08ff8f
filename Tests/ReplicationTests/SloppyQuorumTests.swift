import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Sloppy quorums")
struct SloppyQuorumTests {
  /// Five nodes, and a key with two of its owners killed; its third owner is the one that is left.
  private func twoOwnersDown() throws -> (cluster: TestCluster, key: String, owners: [Int]) {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let key = "k1"
    let owners = cluster.owners(of: key)
    cluster.ask(owners[0], put("before", "1"))
    cluster.ask(owners[0], put(key, "before"))
    cluster.kill(owners[1])
    cluster.kill(owners[2])
    return (cluster, key, owners)
  }

  @Test("with two of three owners down, writes at w = 2 succeed through fallbacks on distinct nodes; all converge")
  func throughFallbacks() throws {
    for order in [[1, 2], [2, 1]] {
      let (cluster, key, owners) = try twoOwnersDown()
      for entry in [owners[0]] + cluster.strangers(to: key) {
        #expect(try #require(cluster.answer(cluster.ask(entry, put(key, "via \(entry)")))).isStored)
      }
      let keepers = cluster.pushes.filter { if case .hint = $0.push.kind { true } else { false } }
      #expect(Set(keepers.map(\.to)) == Set(cluster.strangers(to: key)))
      let last = try #require(cluster.strangers(to: key).last)
      for owner in order {
        cluster.start(owners[owner], life: 1)
        cluster.advance(milliseconds: 2500)
      }
      #expect(cluster.hintsLeft == 0)
      for owner in owners { #expect(cluster.ownCopy(owner, key) == "via \(last)") }
    }
  }

  @Test("quorums count distinct nodes: one fallback stands in for one owner, and the coordinator for none")
  func distinctNodes() throws {
    // Four nodes, two owners down: one fallback is left, which makes two nodes.
    let cluster = TestCluster(nodes: 4, partitions: 8)
    let key = "k1"
    let owners = cluster.owners(of: key)
    cluster.kill(owners[1])
    cluster.kill(owners[2])
    #expect(try #require(cluster.answer(cluster.ask(owners[0], put(key, "two", w: .count(2))))).isStored)
    guard
      case .failed(.unsatisfied(.w, wanted: 3, got: 2, _))? = cluster.answer(
        cluster.ask(owners[0], put(key, "three", w: .count(3))))
    else {
      Issue.record("three nodes cannot hold it")
      return
    }
    // One hint with the fallback, one with the coordinator.
    let stranger = try #require(cluster.strangers(to: key).first)
    #expect((1...2).map { cluster.hints(at: stranger, for: owners[$0]) }.reduce(0, +) == 1)
    #expect((1...2).map { cluster.hints(at: owners[0], for: owners[$0]) }.reduce(0, +) == 1)
  }

  @Test("one of three nodes is left: w = 1 works, w = quorum says what was missing, and pw cannot be stood in for")
  func oneOfThree() throws {
    let cluster = TestCluster(nodes: 3)
    cluster.kill(2)
    cluster.kill(3)
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1", w: .one)))).isStored)
    guard case .failed(.unsatisfied(.w, wanted: 2, got: 1, let detail))? = cluster.answer(cluster.ask(1, put("a", "2")))
    else {
      Issue.record("a quorum of two cannot be met by one")
      return
    }
    #expect(detail.contains("n2 is down") && detail.contains("n3 is down"))
    #expect(cluster.ownCopy(1, "a") == "1", "a refused put leaves no trace")
    cluster.start(2, life: 1)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.ownCopy(2, "a") == "1" && cluster.ownCopy(3, "a") == "1")
    #expect(cluster.hintsLeft == 0)
  }

  @Test("a fallback does not count toward pw")
  func pwCountsOwners() throws {
    let (cluster, key, owners) = try twoOwnersDown()
    var request = PutRequest(key: key.objectKey, payload: "x".payload)
    request.quorum.pw = .count(2)
    guard case .failed(.unsatisfied(.pw, wanted: 2, got: 1, _))? = cluster.answer(cluster.ask(owners[0], .put(request)))
    else {
      Issue.record("one owner is left")
      return
    }
  }

  @Test("a fallback counts toward dw after its fsync, not before")
  func fallbackSyncs() throws {
    let (cluster, key, owners) = try twoOwnersDown()
    cluster.holdsSyncs = Set(cluster.strangers(to: key).map { TestCluster.id($0) })
    let session = cluster.ask(owners[0], put(key, "1"))
    #expect(cluster.answer(session) == nil)
    for stranger in cluster.strangers(to: key) { cluster.releaseSync(stranger) }
    #expect(cluster.answer(session)?.isStored == true)
  }

  @Test("a fallback that refuses is replaced by the next, and does not count")
  func refusingFallback() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8) { $0.hintBytesMax = $0.name == "n4" ? 0 : 1 << 20 }
    let key = try #require(
      (0..<200).map { "k\($0)" }.first { key in
        cluster.strangers(to: key).contains(4) && !cluster.owners(of: key).contains(4)
      })
    let owners = cluster.owners(of: key)
    cluster.kill(owners[2])
    #expect(
      try #require(cluster.answer(cluster.ask(owners[0], put(key, "1", w: .count(3))))).isStored)
    let other = try #require(cluster.strangers(to: key).first { $0 != 4 })
    #expect(cluster.hints(at: other, for: owners[2]) == 1 && cluster.hints(at: 4, for: owners[2]) == 0)
  }

  @Test("a request in flight to an owner that stops answering moves on to a fallback within its deadline")
  func movesOn() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let key = "k1"
    let owners = cluster.owners(of: key)
    cluster.treat = { letter in
      if case .push(let push) = letter.message.body, push.kind == .write, letter.to == TestCluster.id(owners[1]) {
        return .drop
      }
      return .deliver
    }
    var request = PutRequest(key: key.objectKey, payload: "1".payload)
    request.quorum.w = .all
    request.timeoutMilliseconds = 600
    let session = cluster.ask(owners[0], .put(request))
    #expect(cluster.answer(session) == nil)
    cluster.advance(milliseconds: 400)
    #expect(cluster.answer(session)?.isStored == true)
  }

  @Test("an owner that takes the write while its fallback is asked counts, and nothing is counted twice")
  func slowOwnerAndFallback() throws {
    let cluster = TestCluster(nodes: 4, partitions: 8)
    let key = "k1"
    let owners = cluster.owners(of: key)
    cluster.kill(owners[2])
    cluster.treat = { letter in
      if case .push(let push) = letter.message.body, push.kind == .write { .hold } else { .deliver }
    }
    let session = cluster.ask(owners[0], put(key, "1", w: .count(4)))
    #expect(cluster.answer(session) == .failed(.invalidQuorum(n: 3)))
    let three = cluster.ask(owners[0], put(key, "1", w: .count(3)))
    cluster.advance(milliseconds: 100)
    // The coordinator and the fallback of the dead owner; the third node is the one whose push is held.
    #expect(cluster.answer(three) == nil)
    cluster.release()
    #expect(cluster.answer(three)?.isStored == true)
  }

  @Test("a delete with owners down goes to fallbacks like a put, and the key is gone everywhere in the end")
  func deletes() throws {
    let (cluster, key, owners) = try twoOwnersDown()
    #expect(try #require(cluster.answer(cluster.ask(owners[0], delete(key)))).isDeleted)
    #expect(try #require(cluster.answer(cluster.ask(owners[0], get(key)))).isNotFound)
    for owner in owners.dropFirst() { cluster.start(owner, life: 1) }
    cluster.advance(milliseconds: 3000)
    for owner in owners { #expect(try #require(cluster.answer(cluster.ask(owner, get(key, r: .one)))).isNotFound) }
    #expect(cluster.hintsLeft == 0)
  }
}
