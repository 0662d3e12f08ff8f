import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("A store that is listed and missing, or empty")
struct MissingStoreTests {
  enum Loss: CaseIterable, Sendable { case oneGone, oneEmptied, allGone, allEmptied }

  /// Removes the files of stores from the disk of a stopped node, and their directories too where they are to be gone.
  private func lose(_ loss: Loss, of id: Int, _ cluster: TestCluster, store: StoreID) throws {
    var disk = try #require(cluster[id].disk)
    let isOne = loss == .oneGone || loss == .oneEmptied
    let names = Set(disk.paths.filter { $0.hasPrefix("/data/stores/") }.map { String($0.split(separator: "/")[2]) })
    for name in names.sorted() where !isOne || name == "\(store)" {
      for path in disk.paths where path.hasPrefix("/data/stores/\(name)/") { try disk.unlink(path) }
      if loss == .oneGone || loss == .allGone { try disk.removeDirectory("/data/stores/\(name)") }
    }
    cluster[id].disk = disk
  }

  private func store(of key: String, _ cluster: TestCluster) throws -> StoreID {
    let store = cluster[1].node?.storeID(cluster[1].node?.hash(key.objectKey.encoded) ?? 0)
    return try #require(store)
  }

  private func isFailure(_ answer: ClientResponse?) -> Bool {
    if case .failed? = answer { true } else { false }
  }

  @Test("comes up as loading: it does not count toward r and never answers not found", arguments: Loss.allCases)
  func comesUpLoading(loss: Loss) throws {
    let cluster = TestCluster(nodes: 3)
    let key = "a"
    #expect(try #require(cluster.answer(cluster.ask(1, put(key, "1", w: .all)))).isStored)
    let store = try store(of: key, cluster)
    cluster.kill(2)
    try lose(loss, of: 2, cluster, store: store)
    cluster.treat = TestCluster.withholdsExchanges
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster[2].stopped == nil)
    let status = try #require(cluster.status(2))
    #expect(status.state == .serving)
    let loading = status.stores.filter { $0.role == .loading }.map(\.id)
    #expect(loading == (loss == .oneGone || loss == .oneEmptied ? [store] : status.stores.map(\.id)))
    // All owners up: the others answer for it.
    for r in [QuorumSize.one, .quorum] { #expect(cluster.answer(cluster.ask(2, get(key, r: r)))?.text == "1") }
    #expect(isFailure(cluster.answer(cluster.ask(2, get(key, r: .all)))))
    // One other owner: r = 1 is met by it, r = 2 by nobody.
    cluster.kill(3)
    #expect(cluster.answer(cluster.ask(2, get(key, r: .one)))?.text == "1")
    for node in 1...2 {
      guard case .failed(.unsatisfied(.r, wanted: 2, got: 1, let detail))? = cluster.answer(cluster.ask(node, get(key)))
      else {
        Issue.record("a loading store counted")
        continue
      }
      #expect(detail.contains("n2: ") && detail.contains("n3 is down"))
    }
    // No other owner at all.
    cluster.kill(1)
    #expect(isFailure(cluster.answer(cluster.ask(2, get(key, r: .one)))))
  }

  @Test(
    "a delete of what nobody else holds is a tombstone, and a listing through it is whole or fails",
    arguments: Loss.allCases)
  func deletesAndListings(loss: Loss) throws {
    let cluster = TestCluster(nodes: 3)
    for index in 0..<12 { cluster.ask(1, put("k\(index)", "1", w: .all)) }
    let store = try store(of: "nothing", cluster)
    cluster.kill(2)
    try lose(loss, of: 2, cluster, store: store)
    cluster.treat = TestCluster.withholdsExchanges
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 3000)
    for node in 1...3 {
      #expect(try #require(cluster.answer(cluster.ask(node, delete("nothing")))).isDeleted)
      let session = cluster.list(node)
      let listing = try #require(cluster.listings[session])
      #expect(Set(listing.names).count == 12 && listing.last == .end, "\(listing)")
    }
    cluster.kill(1)
    cluster.kill(3)
    let session = cluster.list(2)
    let listing = try #require(cluster.listings[session])
    if case .failed? = listing.last {} else { Issue.record("an empty store passed for an empty bucket: \(listing)") }
  }

  @Test("a fallback vouches in its place with a hint, and says nothing without one")
  func fallbacks() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let key = "k1"
    let owners = cluster.owners(of: key)
    #expect(try #require(cluster.answer(cluster.ask(owners[0], put(key, "old", w: .all)))).isStored)
    let store = try store(of: key, cluster)
    cluster.kill(owners[1])
    try lose(.oneGone, of: owners[1], cluster, store: store)
    cluster.treat = TestCluster.withholdsExchanges
    cluster.start(owners[1], life: 1)
    cluster.advance(milliseconds: 3000)
    cluster.kill(owners[2])
    // The third owner is down and the second has lost it: one owner is left, and no fallback knows anything.
    for node in [owners[0], owners[1]] + cluster.strangers(to: key) {
      #expect(isFailure(cluster.answer(cluster.ask(node, get(key)))))
      #expect(cluster.answer(cluster.ask(node, get(key, r: .one)))?.text == "old")
    }
    #expect(try #require(cluster.answer(cluster.ask(owners[1], put(key, "new", w: .count(3))))).isStored)
    for node in [owners[0], owners[1]] + cluster.strangers(to: key) {
      #expect(cluster.answer(cluster.ask(node, get(key)))?.text == "new")
    }
    // What waits for the loading store stays with its keepers until it is loaded.
    cluster.start(owners[2], life: 1)
    cluster.advance(milliseconds: 10_000)
    #expect(cluster.ownCopy(owners[2], key) == "new")
    #expect((1...5).reduce(0) { $0 + cluster.hints(at: $1, for: owners[1]) } > 0)
    #expect((1...5).reduce(0) { $0 + cluster.hints(at: $1, for: owners[2]) } == 0)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 30_000)
    #expect(cluster.hintsLeft == 0)
    #expect(cluster.ownCopy(owners[1], key) == "new")
  }

  @Test("where every owner has lost it nobody takes it for new")
  func everybodyLost() throws {
    let cluster = TestCluster(nodes: 3)
    #expect(try #require(cluster.answer(cluster.ask(1, put("a", "1", w: .all)))).isStored)
    let store = try store(of: "a", cluster)
    for node in 1...3 {
      cluster.kill(node)
      try lose(.allGone, of: node, cluster, store: store)
    }
    for node in 1...3 { cluster.start(node, life: 1) }
    cluster.advance(milliseconds: 10_000)
    for node in 1...3 {
      #expect(try #require(cluster.status(node)).stores.allSatisfy { $0.role == .loading })
      #expect(isFailure(cluster.answer(cluster.ask(node, get("a", r: .one)))))
      #expect(isFailure(cluster.answer(cluster.ask(node, delete("a")))))
      #expect(isFailure(cluster.answer(cluster.ask(node, put("a", "2", w: .one)))))
    }
  }
}
