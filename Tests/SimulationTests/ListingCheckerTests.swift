import Causality
import Messages
import Primitives
import Simulation
import Testing

// The checker of listings finds what it is there for, and is silent about what may be.

private let t = Instant(nanoseconds: 0)

private func stamp(_ milliseconds: UInt64) -> Stamp {
  Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(1))
}

@Suite("Checker of listings")
struct ListingCheckerTests {
  private func operation(_ number: Int, _ request: ClientRequest) -> Operation {
    Operation(number: number, key: 0, request: request, invoked: t)
  }

  private func put(_ number: Int) throws -> Operation {
    operation(number, .put(PutRequest(key: try #require(ObjectKey(bucket: [98], key: [107])), payload: [])))
  }

  private func delete(_ number: Int) throws -> Operation {
    operation(number, .delete(DeleteRequest(key: try #require(ObjectKey(bucket: [98], key: [107])))))
  }

  /// One key that was stored at 5 and deleted at 9, as far as its writers were told.
  private func story(deleted: Bool) throws -> ListingChecker {
    var checker = ListingChecker(keys: 1)
    let put = try put(1)
    checker.invoked(put)
    checker.saw(key: 0, stamp: stamp(5), isTombstone: false)
    checker.settled(put)
    guard deleted else { return checker }
    let delete = try delete(2)
    checker.invoked(delete)
    checker.saw(key: 0, stamp: stamp(9), isTombstone: true)
    checker.settled(delete)
    return checker
  }

  @Test("a stored key must be listed, once")
  func stored() throws {
    let checker = try story(deleted: false)
    #expect(checker.check(listed: [1], floors: [stamp(5)], at: t).isEmpty)
    #expect(checker.check(listed: [0], floors: [stamp(5)], at: t).map(\.promise) == [.falseListing])
    #expect(checker.check(listed: [2], floors: [stamp(5)], at: t).map(\.promise) == [.falseListing])
    // Not acknowledged when the listing was asked for: it may be there or not.
    #expect(checker.check(listed: [0], floors: [.zero], at: t).isEmpty)
  }

  @Test("a deleted key must not be listed, unless it may have been written since")
  func deleted() throws {
    var checker = try story(deleted: true)
    #expect(checker.check(listed: [0], floors: [stamp(9)], at: t).isEmpty)
    #expect(checker.check(listed: [1], floors: [stamp(9)], at: t).map(\.promise) == [.falseListing])
    // The delete was not acknowledged before the listing was asked for: both may be.
    #expect(checker.check(listed: [1], floors: [stamp(5)], at: t).isEmpty)
    #expect(checker.check(listed: [0], floors: [stamp(5)], at: t).isEmpty)
    checker.invoked(try put(3))
    #expect(checker.check(listed: [1], floors: [stamp(9)], at: t).isEmpty)
  }

  @Test("a key that a delete without an answer may have deleted may be missing")
  func unknownDelete() throws {
    var checker = try story(deleted: false)
    checker.invoked(try delete(2))
    #expect(checker.check(listed: [0], floors: [stamp(5)], at: t).isEmpty)
  }
}
