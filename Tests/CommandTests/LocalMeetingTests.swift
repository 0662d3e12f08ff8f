import Protocols
import Testing

@testable import cairn

@Suite("whom cairn local waits for") struct LocalMeetingTests {
  private func status(_ state: String, unvalidated: Int, peers: [(String, String)]) -> JSON {
    .object([
      "name": .string("n1"), "state": .string(state), "stores_unvalidated": .count(UInt64(unvalidated)),
      "peers": .array(peers.map { .object(["name": .string($0.0), "link": .string($0.1)]) }),
    ])
  }

  @Test("a node has met the others when it hears all that run, and nothing that it holds is being compared")
  func met() {
    let names = ["n1", "n2", "n3"]
    let all = [("n2", "up"), ("n3", "up")]
    #expect(LocalMeeting.hasMet(names, status("serving", unvalidated: 0, peers: all)))
    #expect(!LocalMeeting.hasMet(names, status("starting", unvalidated: 0, peers: all)))
    #expect(!LocalMeeting.hasMet(names, status("serving", unvalidated: 1, peers: all)))
    let one = [("n2", "up"), ("n3", "suspect")]
    #expect(!LocalMeeting.hasMet(names, status("serving", unvalidated: 0, peers: one)))
    #expect(LocalMeeting.hasMet(["n1", "n2"], status("serving", unvalidated: 0, peers: one)))
    #expect(LocalMeeting.hasMet(["n1"], status("serving", unvalidated: 0, peers: [])))
  }
}
