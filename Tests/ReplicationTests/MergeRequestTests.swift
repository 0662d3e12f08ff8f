import Simulation
import Storage
import Testing

@testable import Replication

// Operators who ask a node to merge.

@Suite("Merges that are asked for")
struct MergeRequestTests {
  private func cluster() -> TestCluster {
    TestCluster(nodes: 1, replicas: 1, sync: .never) {
      $0.fileBytesMax = 4096
      $0.merge.bytesPerSecond = 400_000
    }
  }

  /// Something to merge, and to ask for again.
  private func overwrite(_ cluster: TestCluster, _ count: Int) {
    for index in 0..<count { cluster.ask(1, put("k\(index % 20)", String(repeating: "v", count: 1000))) }
  }

  @Test("who asks for a round is answered when it has ended, however busy the stores are and whoever asks meanwhile")
  func busy() {
    let cluster = cluster()
    overwrite(cluster, 600)
    cluster.admin(1, .merge, session: 1000)
    for round in 0..<400 {
      overwrite(cluster, 4)
      if round % 10 == 0 { cluster.admin(1, .merge, session: 2000 + UInt64(round)) }
      cluster.advance(milliseconds: 100)
    }
    guard case .merged(let totals, let merges) = cluster.outcomes[1000] else {
      Issue.record("the first is not answered: \(String(describing: cluster.outcomes[1000]))")
      return
    }
    #expect(totals.recordsDropped > 500 && merges >= 4)
    // Those who came during that round are told of the next one.
    cluster.advance(milliseconds: 60_000)
    for round in 0..<400 where round % 10 == 0 {
      guard case .merged = cluster.outcomes[2000 + UInt64(round)] else {
        Issue.record("the one of round \(round) is not answered")
        continue
      }
    }
  }

  @Test("as many may wait as there is room for")
  func bound() {
    let cluster = cluster()
    overwrite(cluster, 600)
    let most = UInt64(Node<SimulatedDisk>.mergeWaitersMax)
    for session in 1000...1000 + most { cluster.admin(1, .merge, session: session) }
    #expect(cluster.outcomes[1000 + most] == .refused("\(most) requests wait already"))
    cluster.advance(milliseconds: 20_000)
    for session in 1000..<1000 + most {
      guard case .merged = cluster.outcomes[session] else {
        Issue.record("\(session) is not answered")
        continue
      }
    }
  }
}
