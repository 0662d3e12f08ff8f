import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("Tombstones go when every owner has acknowledged them")
struct FeedTests {
  @Test("a deleted key is forgotten by all owners, and nothing is said about it afterwards")
  func deletedKeyIsForgotten() throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    cluster.ask(1, put("b", "2"))
    #expect(try #require(cluster.answer(cluster.ask(2, delete("a")))).isDeleted)
    #expect(cluster.waiting == [1, 1, 1])
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
    for id in 1...3 {
      #expect(cluster.held(id, "a") == nil && cluster.held(id, "b") != nil)
      #expect(cluster.status(id)?.counters.purged == 1)
    }
    for id in 1...3 { #expect(cluster.answer(cluster.ask(id, get("a", r: .all)))?.isNotFound == true) }
    let start = cluster.sent.count
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.talk(from: start).isEmpty)
    for _ in 0..<2 {
      for id in 1...3 {
        let report = try #require(cluster.round(id))
        #expect(report.keysPulled == 0 && report.differing == 0)
      }
    }
    #expect(cluster.waiting == [0, 0, 0] && cluster.recordsPulled(from: start) == 0)
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
      changing(&$0)
    }
  }

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
}
