import Causality
import Cluster
import Messages
import Primitives
import Simulation
import Storage
import Testing

// The checkers of deletes find what they are there for, and are silent about what may be. Histories are of one key, n is
// 3; values and deletes are told by their stamps in milliseconds.

private func stamp(_ milliseconds: UInt64) -> Stamp {
  Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(1))
}

private func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

private func name() throws -> ObjectKey { try #require(ObjectKey(bucket: [98], key: [107])) }

/// A key that was put at 5 by every owner, and what became of it.
private struct Story {
  var history: History
  private var number = 1
  private let put: [UInt8]

  init(changing: (inout QuorumRules) -> Void = { _ in }) throws {
    var rules = QuorumRules(n: 3, sync: .always, losesUnsyncedWrites: true)
    changing(&rules)
    history = History(rules: rules, keys: 1)
    put = ValueLedger.payload(operation: 1, valueBytes: 4)
    var request = PutRequest(key: try name(), payload: put)
    request.quorum.w = .all
    history.invoke(Operation(number: 1, key: 0, request: .put(request), invoked: at(1)))
    history.answer(1, .stored(stamp: stamp(5)), at: at(2))
  }

  var promises: Set<Violation.Promise> { Set(history.violations.map(\.promise)) }
  var value: ClientResponse { .object(stamp: stamp(5), payload: put) }

  mutating func delete(at deleted: UInt64, w: Int = 2, standIns: Int = 0) throws {
    number += 1
    var request = DeleteRequest(key: try name())
    request.quorum.w = .count(w)
    history.invoke(Operation(number: number, key: 0, request: .delete(request), invoked: at(3)))
    history.answer(number, .deleted(stamp: stamp(deleted)), standIns: standIns, at: at(4))
  }

  mutating func read(
    _ answer: ClientResponse, r: Int, isSloppy: Bool = false, invoked: UInt64 = 5, ended: UInt64 = 6,
    meanwhile: (inout History) -> Void = { _ in }
  ) throws {
    number += 1
    var request = GetRequest(key: try name())
    request.r = .count(r)
    history.invoke(Operation(number: number, key: 0, request: .get(request), invoked: at(invoked)))
    meanwhile(&history)
    history.answer(number, answer, isSloppy: isSloppy, at: at(ended))
  }
}

@Suite("Checkers of deletes")
struct DeletionCheckerTests {
  @Test(
    "a deleted value comes back where the quorums meet",
    arguments: [(2, 2, true), (1, 2, false), (2, 1, false), (1, 3, true)])
  func cameBack(w: Int, r: Int, isFound: Bool) throws {
    var story = try Story()
    try story.delete(at: 9, w: w)
    try story.read(story.value, r: r)
    #expect(story.promises.contains(.resurrected) == isFound)
  }

  @Test("once one owner has forgotten the tombstone no read finds the value, not even of one owner and a stand-in")
  func forgotten() throws {
    for isSloppy in [false, true] {
      var story = try Story()
      try story.delete(at: 9, w: 1)
      try story.read(story.value, r: 1, isSloppy: isSloppy)
      #expect(story.promises == [])
      story.history.forgot(key: 0, stamp: stamp(9))
      try story.read(story.value, r: 1, isSloppy: isSloppy)
      #expect(story.promises.contains(.resurrected))
    }
  }

  @Test("what is forgotten while a read is under way binds only later reads")
  func concurrent() throws {
    var story = try Story()
    try story.delete(at: 9, w: 1)
    try story.read(story.value, r: 1, meanwhile: { $0.forgot(key: 0, stamp: stamp(9)) })
    #expect(story.promises == [])
  }

  @Test("where a machine forgets what it forgot, a read must have asked one more")
  func forgetful() throws {
    var story = try Story { $0 = QuorumRules(n: 3, sync: .always, losesUnsyncedWrites: true, nodesThatForget: 1) }
    story.history.forgot(key: 0, stamp: stamp(9))
    try story.read(story.value, r: 1)
    #expect(story.promises == [])
    try story.read(story.value, r: 2)
    #expect(story.promises == [.resurrected])
  }

  @Test("an older copy of a disk that is found out takes no delete with it; one that nobody can tell does")
  func fenced() throws {
    for (isFenced, isUnnoticed, isFound) in [(true, false, true), (true, true, false), (false, false, false)] {
      var story = try Story {
        $0 = QuorumRules(n: 3, sync: .always, losesUnsyncedWrites: true, nodesThatForget: 1)
        $0.isFenced = isFenced
      }
      try story.delete(at: 9)
      if isUnnoticed { story.history.losesDeletesUnnoticed() }
      try story.read(story.value, r: 2)
      #expect(story.promises.contains(.resurrected) == isFound)
    }
  }

  @Test("a value above the tombstone is another one")
  func writtenAgain() throws {
    var story = try Story()
    try story.delete(at: 4)
    #expect(story.promises == [.deleteTooOld])
    story.history.forgot(key: 0, stamp: stamp(4))
    try story.read(story.value, r: 1)
    #expect(story.promises == [.deleteTooOld])
  }

  @Test("nothing is there when a tombstone has gone that somebody has seen, and only then")
  func nothing() throws {
    var story = try Story()
    try story.delete(at: 9)
    try story.read(.notFound(tombstone: nil), r: 2)
    #expect(story.promises == [])
    var other = try Story()
    try other.read(.notFound(tombstone: nil), r: 2)
    #expect(other.promises == [.falseNotFound])
    var third = try Story()
    third.history.saw(StoredVersion(stamp: stamp(4), isTombstone: true, value: []), key: 0, at: at(3))
    try third.read(.notFound(tombstone: nil), r: 2)
    #expect(third.promises == [.falseNotFound])
  }

  @Test("who brought it is told")
  func carrier() throws {
    var story = try Story()
    try story.delete(at: 9)
    story.history.carried(stamp(5), Carrier(kind: "handoff", from: 2, to: 0, time: at(77)))
    try story.read(story.value, r: 2)
    #expect(story.history.violations[0].text.contains("put 1 of key 0"))
    #expect(story.history.violations[0].text.hasSuffix("n3 sent it to n1 last, as handoff, at 77 ms"))
  }

  @Test("a value, something else, and the value again, in reads of all owners one after the other")
  func flipFlop() throws {
    var story = try Story()
    try story.read(story.value, r: 3, invoked: 10, ended: 11)
    try story.read(.notFound(tombstone: nil), r: 3, invoked: 12, ended: 13)
    let before = story.promises
    try story.read(story.value, r: 2, invoked: 14, ended: 15)
    try story.read(story.value, r: 3, invoked: 12, ended: 15)
    #expect(story.promises == before)
    try story.read(story.value, r: 3, invoked: 14, ended: 15)
    #expect(story.promises == before.union([.flipFlop]))
  }

  @Test("what a machine has lost since may go and come")
  func lost() throws {
    var order = OutcomeOrder(keys: 1)
    #expect(order.read(key: 0, value: stamp(5), invoked: at(1), ended: at(2)) == nil)
    #expect(order.read(key: 0, value: nil, invoked: at(3), ended: at(4)) == nil)
    #expect(order.read(key: 0, value: stamp(5), invoked: at(5), ended: at(6)) == at(4))
    order.lost()
    #expect(order.read(key: 0, value: stamp(5), invoked: at(5), ended: at(6)) == nil)
  }

  @Test("what is said of a store goes back in nothing, while it is the same store")
  func promises() {
    let store = StoreID(partition: 1, replicas: 3)
    let state = { (incarnation: UInt64, head: UInt64, floor: UInt64, cursor: UInt64) in
      StoreState(
        store: store, incarnation: Identity128(high: 1, low: incarnation), role: .active, isNew: false,
        recognizes: .none, tsnHead: head, floor: stamp(floor),
        cursor: StoreState.Cursor(incarnation: Identity128(high: 2, low: 2), tsn: cursor))
    }
    for (next, isLess) in [
      (state(1, 7, 7, 7), false), (state(1, 6, 7, 7), true), (state(1, 7, 6, 7), true), (state(1, 7, 7, 6), true),
      (state(2, 0, 0, 0), false),
    ] {
      var ledger = PromiseLedger()
      let other = Identity128(high: 2, low: 2)
      #expect(ledger.tell(state(1, 7, 7, 7), from: 0, to: 1, current: other) == nil)
      #expect((ledger.tell(next, from: 0, to: 1, current: other) != nil) == isLess)
      #expect(ledger.tell(state(1, 0, 0, 0), from: 0, to: 2, current: other) == nil)
      ledger.forget(0)
      #expect(ledger.tell(state(1, 0, 0, 0), from: 0, to: 1, current: other) == nil)
      // The other has another store by now, or is down.
      for current in [Identity128(high: 2, low: 3), nil] {
        #expect(ledger.tell(state(1, 7, 7, 7), from: 1, to: 0, current: other) == nil)
        #expect(ledger.tell(state(1, 7, 7, 6), from: 1, to: 0, current: current) == nil)
        ledger.forget(1)
      }
    }
  }
}
