import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

// Each checker catches the fault it is there for, in a history made by hand, and is silent about the same history
// without the fault. Histories are of one key unless they say otherwise, n is 3.

private let t = Instant(nanoseconds: 0)

private func stamp(_ milliseconds: UInt64, _ actor: UInt32 = 1) -> Stamp {
  Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(actor))
}

private func key(_ index: Int) throws -> ObjectKey {
  try #require(ObjectKey(bucket: [98], key: [107, UInt8(index)]))
}

/// A history that is told in one line per operation.
private struct Story {
  var history: History
  private var number = 0

  init(sync: SyncMode = .always, losesUnsyncedWrites: Bool = true) {
    history = History(
      rules: QuorumRules(n: 3, sync: sync, losesUnsyncedWrites: losesUnsyncedWrites), keys: 2)
  }

  var promises: [Violation.Promise] { history.violations.map(\.promise) }

  mutating func beginPut(
    key index: Int = 0, w: QuorumSize = .default, dw: QuorumSize = .default
  ) throws -> Int {
    number += 1
    var put = PutRequest(key: try key(index), payload: ValueLedger.payload(operation: number, valueBytes: 4))
    put.quorum.w = w
    put.quorum.dw = dw
    history.invoke(Operation(number: number, key: index, request: .put(put), invoked: t))
    return number
  }

  @discardableResult
  mutating func put(
    at stamp: Stamp, key index: Int = 0, w: QuorumSize = .default, dw: QuorumSize = .default
  ) throws -> Int {
    let number = try beginPut(key: index, w: w, dw: dw)
    history.answer(number, .stored(stamp: stamp), at: t)
    return number
  }

  mutating func get(_ response: ClientResponse, key index: Int = 0, r: QuorumSize = .default) throws {
    let number = try beginGet(key: index, r: r)
    history.answer(number, response, at: t)
  }

  mutating func beginGet(key index: Int = 0, r: QuorumSize = .default) throws -> Int {
    number += 1
    var get = GetRequest(key: try key(index))
    get.r = r
    history.invoke(Operation(number: number, key: index, request: .get(get), invoked: t))
    return number
  }

  mutating func delete(_ response: ClientResponse, w: QuorumSize = .default, held: Stamp = .zero) throws {
    number += 1
    var delete = DeleteRequest(key: try key(0))
    delete.quorum.w = w
    history.invoke(Operation(number: number, key: 0, request: .delete(delete), invoked: t), held: held)
    history.answer(number, response, at: t)
  }

  func value(_ operation: Int, at stamp: Stamp) -> ClientResponse {
    .object(stamp: stamp, payload: ValueLedger.payload(operation: operation, valueBytes: 4))
  }
}

@Suite("Checkers")
struct CheckerTests {
  @Test("a history without fault is clean")
  func clean() throws {
    var story = Story()
    try story.get(.notFound(tombstone: nil))
    let first = try story.put(at: stamp(5))
    try story.get(story.value(first, at: stamp(5)))
    try story.delete(.deleted(stamp: stamp(9)))
    try story.get(.notFound(tombstone: stamp(9)))
    let second = try story.put(at: stamp(12))
    try story.get(story.value(second, at: stamp(12)), r: .all)
    try story.get(.failed(.timeout(detail: "")))
    #expect(story.promises == [])
    #expect(story.history.counts.succeeded == 7)
    #expect(story.history.counts.failed == 1)
  }

  @Test("an older value after an acknowledged put is a lost write")
  func olderValue() throws {
    var story = Story()
    let first = try story.put(at: stamp(5))
    try story.put(at: stamp(7))
    try story.get(story.value(first, at: stamp(5)))
    #expect(story.promises == [.acknowledgedWriteLost])
  }

  @Test("what was acknowledged while a read was under way binds only later reads")
  func concurrentRead() throws {
    var story = Story()
    let read = try story.beginGet()
    try story.put(at: stamp(5))
    story.history.answer(read, .notFound(tombstone: nil), at: t)
    #expect(story.promises == [])
    try story.get(.notFound(tombstone: nil))
    #expect(story.promises == [.falseNotFound])
  }

  @Test("a put whose client was never told binds nobody, and its value may appear")
  func unknownPut() throws {
    var story = Story()
    let put = try story.beginPut()
    story.history.abandon(put)
    try story.get(.notFound(tombstone: nil))
    try story.get(story.value(put, at: stamp(5)))
    #expect(story.promises == [])
  }

  @Test(
    "quorums that need not meet claim nothing", arguments: [(1, 1, true), (1, 3, false), (3, 1, false), (2, 1, true)])
  func disjointQuorums(w: Int, r: Int, isAllowed: Bool) throws {
    var story = Story()
    try story.put(at: stamp(5), w: .count(w))
    try story.get(.notFound(tombstone: nil), r: .count(r))
    #expect(story.promises == (isAllowed ? [] : [.falseNotFound]))
  }

  @Test("where machines lose power only what was synced counts", arguments: SyncMode.allCases)
  func durability(sync: SyncMode) throws {
    for losesUnsyncedWrites in [false, true] {
      var story = Story(sync: sync, losesUnsyncedWrites: losesUnsyncedWrites)
      try story.put(at: stamp(5))
      try story.get(.notFound(tombstone: nil))
      let isAllowed = sync != .always && losesUnsyncedWrites
      #expect(story.promises == (isAllowed ? [] : [.falseNotFound]))
      var synced = Story(sync: sync, losesUnsyncedWrites: losesUnsyncedWrites)
      try synced.put(at: stamp(5), dw: .quorum)
      try synced.get(.notFound(tombstone: nil))
      #expect(synced.promises == [.falseNotFound])
    }
  }

  @Test("a value after an acknowledged delete has come back, and is a lost write")
  func resurrection() throws {
    var story = Story()
    let put = try story.put(at: stamp(5))
    try story.delete(.deleted(stamp: stamp(9)))
    try story.get(story.value(put, at: stamp(5)))
    #expect(story.promises == [.resurrected, .acknowledgedWriteLost])
  }

  @Test("a delete that stands below what was acknowledged before it is reported")
  func weakDelete() throws {
    var story = Story()
    try story.put(at: stamp(5))
    try story.delete(.deleted(stamp: stamp(4)))
    #expect(story.promises == [.deleteTooOld])
  }

  @Test("a delete that a stand-in counts for has met one owner less")
  func sloppyDelete() throws {
    for (standIns, promises) in [(0, [Violation.Promise.deleteTooOld]), (1, [])] {
      var story = Story()
      try story.put(at: stamp(5))
      let delete = DeleteRequest(key: try key(0))
      story.history.invoke(Operation(number: 9, key: 0, request: .delete(delete), invoked: t))
      story.history.answer(9, .deleted(stamp: stamp(4)), standIns: standIns, at: t)
      #expect(story.promises == promises)
    }
  }

  @Test("a delete that finds nothing speaks for every owner")
  func falseNothingToDelete() throws {
    var story = Story()
    try story.delete(.notFound(tombstone: nil))
    try story.put(at: stamp(5), w: .one)
    #expect(story.promises == [])
    try story.delete(.notFound(tombstone: nil), w: .one)
    #expect(story.promises == [.falseNotFound])
  }

  @Test("a delete that finds nothing speaks for what an owner's disk holds, acknowledged or not")
  func heldForGood() throws {
    var story = Story()
    try story.delete(.notFound(tombstone: stamp(7)), held: stamp(7))
    #expect(story.promises == [])
    try story.delete(.notFound(tombstone: stamp(6)), held: stamp(7))
    #expect(story.promises == [.falseNotFound])
  }

  @Test("a value that nobody wrote, or that belongs to another key, is reported")
  func inventedValue() throws {
    var story = Story()
    try story.get(.object(stamp: stamp(5), payload: [1, 2, 3]))
    #expect(story.promises == [.inventedValue])
    let put = try story.put(at: stamp(6), key: 1)
    try story.get(story.value(put, at: stamp(6)), key: 0)
    #expect(story.promises == [.inventedValue, .inventedValue])
    try story.get(story.value(999, at: stamp(7)))
    #expect(story.promises.count == 3)
  }

  @Test("two puts that are told the same stamp are reported")
  func sameStamp() throws {
    var story = Story()
    try story.put(at: stamp(5))
    try story.put(at: stamp(5))
    #expect(story.promises == [.oneStamp])
  }

  @Test("a put that stands under two stamps is reported")
  func twoStamps() throws {
    var story = Story()
    let put = try story.put(at: stamp(5))
    try story.get(story.value(put, at: stamp(6)))
    #expect(story.promises == [.oneStamp])
  }

  @Test("a stamp seen on the wire with another content is reported")
  func wire() throws {
    var story = Story()
    let put = try story.put(at: stamp(5))
    let payload = ValueLedger.payload(operation: put, valueBytes: 4)
    story.history.saw(StoredVersion(stamp: stamp(5), isTombstone: false, value: payload), key: 0, at: t)
    #expect(story.promises == [])
    story.history.saw(StoredVersion(stamp: stamp(5), isTombstone: true, value: []), key: 0, at: t)
    #expect(story.promises == [.oneStamp])
  }

  @Test("a second answer, and an answer of the wrong kind, are reported")
  func wrongAnswers() throws {
    var story = Story()
    let put = try story.put(at: stamp(5))
    story.history.answer(put, .stored(stamp: stamp(5)), at: t)
    #expect(story.promises == [.wrongAnswer])
    try story.get(.stored(stamp: stamp(5)))
    #expect(story.promises == [.wrongAnswer, .wrongAnswer])
  }

  @Test("damage, and the refusal of a valid quorum, are reported; other failures are not")
  func failures() throws {
    var story = Story()
    try story.get(.failed(.damaged(detail: "")))
    try story.get(.failed(.invalidQuorum(n: 3)))
    #expect(story.promises == [.wrongAnswer, .wrongAnswer])
    try story.get(.failed(.invalidQuorum(n: 3)), r: .count(4))
    try story.get(.failed(.unsatisfied(.r, wanted: 2, got: 1, detail: "")))
    try story.get(.failed(.overloaded(detail: "")))
    try story.get(.failed(.notReady(detail: "")))
    #expect(story.promises.count == 2)
  }

  @Test("a broken run is not told for ever")
  func violationsMax() throws {
    var story = Story()
    for _ in 0...History.violationsMax { try story.get(.stored(stamp: stamp(5))) }
    #expect(story.promises.count == History.violationsMax)
  }
}
