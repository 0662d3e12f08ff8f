import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

// The checker of read-your-write: a client, one process of a node, a key. n is 3, and nothing that is unsynced survives
// a power loss.

private let t = Instant(nanoseconds: 0)

private func stamp(_ milliseconds: UInt64) -> Stamp {
  Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(1))
}

@Suite("Checker of a client's own writes")
struct OwnWritesTests {
  private struct Story {
    var history = History(rules: QuorumRules(n: 3, sync: .never, losesUnsyncedWrites: true), keys: 1)
    private var number = 0
    private let key: ObjectKey

    init() throws { key = try #require(ObjectKey(bucket: [98], key: [107])) }

    mutating func begin(_ request: ClientRequest, client: Int, life: Int) -> Int {
      number += 1
      var operation = Operation(number: number, key: 0, request: request, invoked: t)
      operation.asker = Operation.Asker(client: client, machine: 0, life: life)
      history.invoke(operation)
      return number
    }

    mutating func put(at stamp: Stamp, w: Int = 2, client: Int = 0, life: Int = 1) {
      let payload = ValueLedger.payload(operation: number + 1, valueBytes: 4)
      var put = PutRequest(key: key, payload: payload)
      put.quorum.w = .count(w)
      history.answer(begin(.put(put), client: client, life: life), .stored(stamp: stamp), at: t)
    }

    mutating func beginGet(r: Int = 2, client: Int = 0, life: Int = 1) -> Int {
      var get = GetRequest(key: key)
      get.r = .count(r)
      return begin(.get(get), client: client, life: life)
    }

    /// A read that finds nothing.
    mutating func getNothing(r: Int = 2, client: Int = 0, life: Int = 1) {
      history.answer(beginGet(r: r, client: client, life: life), .notFound(tombstone: nil), at: t)
    }

    var promises: [Violation.Promise] { history.violations.map(\.promise) }
  }

  @Test("a client that does not find its own write is reported")
  func unread() throws {
    var story = try Story()
    story.put(at: stamp(5))
    story.getNothing()
    #expect(story.promises == [.ownWriteUnread])
  }

  @Test("an older answer is reported, the write itself and a newer one are not")
  func order() throws {
    var story = try Story()
    story.put(at: stamp(5))
    story.put(at: stamp(9))
    for (found, isBroken) in [(UInt64(9), false), (12, false), (5, true)] {
      story.history.answer(story.beginGet(), .notFound(tombstone: stamp(found)), at: t)
      #expect(story.promises.contains(.ownWriteUnread) == isBroken, "\(found)")
    }
  }

  @Test("quorums that need not meet, another client and another process promise nothing")
  func nothingPromised() throws {
    var story = try Story()
    story.put(at: stamp(5))
    story.getNothing(r: 1)
    story.getNothing(client: 1)
    story.getNothing(life: 2)
    #expect(story.promises == [])
    story.getNothing(r: 3)
    #expect(story.promises == [.ownWriteUnread])
  }

  @Test("a machine that has lost something since counts as one copy less, also during the read")
  func losses() throws {
    var story = try Story()
    story.history.lost(machine: 2)
    story.put(at: stamp(5))
    let read = story.beginGet()
    story.history.lost(machine: 1)
    story.history.answer(read, .notFound(tombstone: nil), at: t)
    story.getNothing()
    #expect(story.promises == [])
    story.getNothing(r: 3)
    #expect(story.promises == [.ownWriteUnread])
  }
}
