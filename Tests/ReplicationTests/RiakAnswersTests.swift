import Messages
import Testing

@testable import Replication

@Suite("Answers that Riak's clients know")
struct RiakAnswersTests {
  @Test("a delete of nothing finds nothing, and leaves a tombstone only for who cannot be told so or brought a version")
  func nothingToDelete() {
    let cluster = TestCluster(nodes: 3)
    #expect(cluster.answer(cluster.ask(1, delete("a"))) == .notFound(tombstone: nil))
    #expect(cluster.answer(cluster.ask(2, get("a"))) == .notFound(tombstone: nil))
    #expect(cluster.answer(cluster.ask(2, delete("a", always: true)))?.isDeleted == true)
    guard case .notFound(tombstone: .some)? = cluster.answer(cluster.ask(3, get("a"))) else {
      Issue.record("no tombstone")
      return
    }
  }

  @Test("more answers than there are owners are refused, whichever number asks for them; as many are not")
  func aboveReplicas() throws {
    let cluster = TestCluster(nodes: 3)
    let key = "k"
    #expect(try #require(cluster.answer(cluster.ask(1, put(key, "v")))).isStored)
    let isRead: [WritableKeyPath<GetRequest, QuorumSize>] = [\.r, \.pr]
    for number in isRead {
      for (count, isRefused) in [(3, false), (4, true)] {
        guard case .get(var request) = get(key) else { continue }
        request[keyPath: number] = .count(count)
        let answer = cluster.answer(cluster.ask(2, .get(request)))
        #expect((answer == .failed(.invalidQuorum(n: 3))) == isRefused, "\(number) \(count): \(answer as Any)")
      }
    }
    for number in [\WriteQuorum.w, \.dw, \.pw] as [WritableKeyPath<WriteQuorum, QuorumSize>] {
      for (count, isRefused) in [(3, false), (4, true)] {
        guard case .put(var write) = put(key, "v"), case .delete(var deletion) = delete(key) else { continue }
        write.quorum[keyPath: number] = .count(count)
        deletion.quorum[keyPath: number] = .count(count)
        for request in [ClientRequest.put(write), .delete(deletion)] {
          let session = cluster.ask(2, request)
          cluster.advance(milliseconds: 100)
          let answer = cluster.answer(session)
          let wasRefused = answer == .failed(.invalidQuorum(n: 3))
          #expect(answer != nil && wasRefused == isRefused, "\(request): \(answer as Any)")
        }
      }
    }
  }
}
