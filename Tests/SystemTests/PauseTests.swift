import Client
import Platform
import Protocols
import Testing

// Nodes that stand still (SIGSTOP) and go on later (SIGCONT): their connections stay open, and nothing comes on them.

extension SystemTests {
  @Suite struct PauseTests {
    @Test("a node that stands still is gone around by everybody else, and welcomed back with all that it missed")
    func stopped() throws {
      try TestCluster.with("paused") { cluster in
        let process = try cluster.process(3)
        defer { process.signal(.proceed) }
        var three = try cluster.client(3)
        #expect(try three.put("before", [1]).status == 204)
        let load = Load(4, on: cluster, nodes: [1, 2], seed: 1)
        let waiting = Waiting(port: cluster.httpPort(3))
        try load.running {
          try load.advance(10)
          process.signal(.stop)
          // Whatever waits for it now is answered with the help of the others.
          try load.advance(10)
          try eventually("n1 and n2 have noticed") {
            try [1, 2].allSatisfy { try cluster.view($0).missing.keys.contains("n3") }
          }
          try waiting.run {
            try load.advance(10)
            process.signal(.proceed)
          }
          try eventually("n3 is welcomed back") { try [1, 2].allSatisfy { try cluster.view($0).missing.isEmpty } }
          try load.advance(5)
        }
        #expect(load.clients.flatMap(\.record.failedElsewhere) == [])
        try cluster.converge()
        #expect(try load.contradictions(in: cluster, query: "?r=1") == [])
        try waiting.check(on: cluster)
      }
    }

    /// Clients of the node that stands still: they wait, and are told nothing wrong.
    private final class Waiting: Sendable {
      private let port: Int
      /// What came; nil for a connection that broke.
      private let get = Locked<HTTPResponse?>(nil)
      private let put = Locked<HTTPResponse?>(nil)

      init(port: Int) { self.port = port }

      private func client() -> HTTPClient {
        let address = SocketAddress(host: [127, 0, 0, 1], port: UInt16(port))
        return HTTPClient(Endpoint(address: address), timeoutMilliseconds: 60_000)
      }

      /// Two requests begin before `body` and have an end after it.
      func run(_ body: () throws -> Void) throws {
        let reader = try Thread { [self] in
          var client = client()
          let result = try? client.get("before")
          get.withLock { $0 = result }
        }
        let writer = try Thread { [self] in
          var client = client()
          let result = try? client.put("meanwhile", [2])
          put.withLock { $0 = result }
        }
        defer {
          reader.join()
          writer.join()
        }
        try body()
      }

      func check(on cluster: TestCluster) throws {
        if let read = get.withLock({ $0 }) {
          #expect(read.status == 200 && read.body == [1] || read.status == 503, "\(read.status)")
        }
        let found = try (1...3).map { node in
          var client = try cluster.client(node)
          let read = try client.get("meanwhile", query: "?r=1")
          return read.status == 200 ? read.body : nil
        }
        #expect(found.allSatisfy { $0 == found[0] } && (found[0] == nil || found[0] == [2]), "\(found)")
        if put.withLock({ $0 })?.status == 204 { #expect(found[0] == [2]) }
      }
    }

    @Test("what a coordinator that stood still had on its way does not undo deletes that others performed meanwhile")
    func lateWriter() throws {
      try TestCluster.with("late-writer") { cluster in
        let process = try cluster.process(1)
        defer { process.signal(.proceed) }
        let load = Load(8, on: cluster, nodes: [1], seed: 2, paddingMax: 20_000)
        var deleted: [String] = []
        var two = try cluster.client(2)
        try load.running {
          try load.advance(10)
          process.signal(.stop)
          for client in load.clients { client.stop() }
          for client in load.clients {
            let record = client.record
            // The request that n1 may not have looked at yet is a newer write when it does: its key is another story.
            for (key, acceptable) in record.acceptable.sorted(by: { $0.key < $1.key }) where key != record.lastKey {
              // n2 need not have heard of the write that n1 acknowledged.
              let status = try two.delete(key).status
              #expect(acceptable == [nil] ? [204, 404].contains(status) : status == 204, "\(key): \(status)")
              deleted.append(key)
            }
          }
          process.signal(.proceed)
        }
        #expect(deleted.count > 8)
        try cluster.converge()
        for node in 1...3 {
          var client = try cluster.client(node)
          for key in deleted {
            #expect(try client.get(key, query: "?r=1").status == 404, "\(key) through n\(node)")
          }
        }
      }
    }
  }
}
