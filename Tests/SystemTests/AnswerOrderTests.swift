import Client
import Platform
import Primitives
import Protocols
import Testing

extension SystemTests {
  @Suite struct AnswerOrderTests {
    @Test("no 2xx leaves before a sync on every node that counts, begun after the record was in that node's journal")
    func everyNode() throws {
      let order = try AnswerOrder("order-all", nodes: 3, settings: [], query: "?dw=all")
      #expect(order.early(replicas: 3) == [])
      #expect(order.early(replicas: 3, ignoringSyncs: true).count == order.writes, "the trace would show it")
    }

    @Test("by default a quorum of the nodes that count has synced before the 2xx leaves")
    func quorum() throws {
      let order = try AnswerOrder("order-quorum", nodes: 3, settings: [], query: "")
      #expect(order.early(replicas: 2) == [])
    }

    @Test("a node alone syncs its journal before the 2xx leaves")
    func alone() throws {
      let order = try AnswerOrder("order-alone", nodes: 1, settings: [], query: "")
      #expect(order.early(replicas: 1) == [])
    }

    @Test("with sync = never the same trace shows every 2xx leaving without a sync")
    func never() throws {
      let order = try AnswerOrder("order-never", nodes: 3, settings: ["sync=never"], query: "")
      #expect(order.early(replicas: 1).count == order.writes)
      #expect(order.recordedSomewhere(replicas: 2) == order.writes, "the writes are in the trace, the syncs are not")
    }
  }
}

/// What became of one client's writes, one at a time through n1: where each was recorded, when each was answered.
private struct AnswerOrder {
  private static let marker = "order-"
  private static let keys = 60

  /// Per write: its key's number, and whether it was the first or the second to that key.
  private let requests: [(key: Int, turn: Int)]
  private let answered: [UInt64]
  private let nodes: [(trace: NodeTrace, writes: [Int: [Fact]], journalWrites: [Int: [Fact]])]

  var writes: Int { requests.count }

  init(_ name: String, nodes count: Int, settings: [String], query: String) throws {
    var requests: [(key: Int, turn: Int)] = []
    var answered: [UInt64] = []
    var nodes: [(trace: NodeTrace, writes: [Int: [Fact]], journalWrites: [Int: [Fact]])] = []
    let trace = try DiskTrace(name, syncMilliseconds: 5)
    try TestCluster.with(name, nodes: count, settings: settings, environment: trace.environment) { cluster in
      var client = try cluster.client(1)
      for number in 0..<AnswerOrder.keys {
        #expect(try client.put(AnswerOrder.key(number), [1], query: query).status == 204)
        requests.append((number, 0))
        // Every third key is deleted again, some time after it was written.
        guard number % 3 == 2 else { continue }
        #expect(try client.send("DELETE", path(AnswerOrder.key(number - 2)) + query).status == 204)
        requests.append((number - 2, 1))
      }
      cluster.killAll()
      for node in 1...count {
        let trace = try trace.node("\(cluster.data)/n\(node)")
        let all = try trace.writes(marker: AnswerOrder.marker) { _ in true }
        nodes.append((trace, all, all.mapValues { $0.filter { trace.isJournal($0.file) } }))
      }
      answered = nodes[0].trace.answers(status: 204)
      #expect(answered.count == requests.count, "one answer in the trace per write")
    }
    self.requests = requests
    self.answered = answered
    self.nodes = nodes
  }

  private static func key(_ number: Int) -> String {
    let digits = String(number)
    return marker + String(repeating: "0", count: 4 - digits.count) + digits
  }

  /// The writes whose answer left before `replicas` nodes had synced the journal they had written it to.
  func early(replicas: Int, ignoringSyncs: Bool = false) -> [String] {
    zip(requests, answered).compactMap { request, answered in
      let covered = nodes.count { node in
        guard !ignoringSyncs, let writes = node.journalWrites[request.key], request.turn < writes.count,
          let end = node.trace.syncEnd(of: writes[request.turn].file, after: writes[request.turn].sequence)
        else { return false }
        return end <= answered
      }
      return covered >= replicas ? nil : "\(AnswerOrder.key(request.key)), turn \(request.turn): \(covered) nodes"
    }
  }

  /// How many writes `replicas` nodes handed to the system at all.
  func recordedSomewhere(replicas: Int) -> Int {
    requests.count { request in nodes.count { ($0.writes[request.key]?.count ?? 0) > request.turn } >= replicas }
  }
}
