import Causality
import Cluster
import Messages
import Primitives
import Storage
import Testing

@testable import Replication

@Suite("Clocks of peers")
struct PeerClockTests {
  private let now = Moment(instant: Instant(nanoseconds: 5_000_000_000), wallMilliseconds: 1_700_000_000_000)

  private func table(_ offsets: [Int64?]) -> PeerTable {
    let members = (0...offsets.count).map {
      Member(id: NodeID(UInt32($0 + 1)), name: "n\($0 + 1)", address: "127.0.0.1:\($0 + 1)")
    }
    var generator = SeededGenerator(seed: 1)
    var table = PeerTable(
      members: members, self: NodeID(1), suspectAfterMilliseconds: 1000, generator: &generator)
    for (index, offset) in offsets.enumerated() {
      table[index].clockReference = offset.map { (1_700_000_000_000 + $0 - 5000, now.instant) }
    }
    return table
  }

  @Test(
    "the clock is doubted when it is more than 30 s from the median of all that are known",
    arguments: [
      ([], false), ([40_000], false), ([40_000, 40_000], true), ([40_000, 0], false), ([-31_000, -35_000], true),
      ([-29_000, -35_000], false), ([nil, 90_000], false), ([40_000, 40_000, 0], false),
      ([40_000, 40_000, 40_000], true), ([40_000, 40_000, 0, 0], false), ([40_000, 41_000, 39_000, 0], true),
    ] as [([Int64?], Bool)])
  func doubt(offsets: [Int64?], isDoubted: Bool) {
    let doubts = table(offsets).clockIsInDoubt(at: now)
    #expect(doubts == isDoubted)
  }

  @Test("a jump of our own clock shows before anybody says another word")
  func ownJump() {
    let table = table([0, 0])
    var later = now
    later.wallMilliseconds += 31_000
    // When the monotonic clock went along, time has simply passed.
    var passed = later
    passed.instant = now.instant.adding(milliseconds: 31_000)
    let doubts = [now, later, passed].map { table.clockIsInDoubt(at: $0) }
    #expect(doubts == [false, true, false])
  }

  @Test("what was told of a clock more than an hour ago says nothing: our own clocks drift apart meanwhile")
  func forgotten() {
    let table = table([0, 0])
    var last = now
    last.instant = now.instant.adding(milliseconds: PeerTable.clockReferenceMillisecondsMax)
    last.wallMilliseconds += PeerTable.clockReferenceMillisecondsMax + 31_000
    var later = last
    later.instant = last.instant.adding(milliseconds: 1)
    let doubts = [last, later].map { table.clockIsInDoubt(at: $0) }
    #expect(doubts == [true, false])
    let judging = table.judgingMilliseconds(at: later)
    #expect(judging == later.wallMilliseconds)
  }
}

@Suite("Genesis of a store")
struct GenesisTableTests {
  private let store = StoreID(partition: 4, replicas: 3)
  private let mine = Identity128(high: 1, low: 1)
  private let others = [NodeID(2), NodeID(3)]

  private func state(_ role: StoreRole, isNew: Bool, recognizes: Identity128 = .none) -> [StoreState] {
    [
      StoreState(
        store: store, incarnation: Identity128(high: 9, low: 9), role: role, isNew: isNew, recognizes: recognizes)
    ]
  }

  @Test("is agreed when every other owner is new too")
  func allNew() {
    var table = GenesisTable()
    table.record(state(.loading, isNew: true), from: NodeID(2))
    #expect(table.agreement(on: store, incarnation: mine, others: others, configID: 5) == nil)
    table.record(state(.loading, isNew: true), from: NodeID(3))
    #expect(table.agreement(on: store, incarnation: mine, others: others, configID: 5)?.map(\.peer) == others)
  }

  @Test("is agreed by an active owner only for the incarnation it recorded")
  func activeOwner() {
    var table = GenesisTable()
    table.record(state(.loading, isNew: true), from: NodeID(2))
    table.record(state(.active, isNew: false, recognizes: Identity128(high: 1, low: 2)), from: NodeID(3))
    #expect(table.agreement(on: store, incarnation: mine, others: others, configID: 5) == nil)
    table.record(state(.active, isNew: false, recognizes: mine), from: NodeID(3))
    #expect(table.agreement(on: store, incarnation: mine, others: others, configID: 5) != nil)
  }

  @Test("is not agreed by a store that loads again after it lost what it held, nor by an earlier boot")
  func lostStore() {
    var table = GenesisTable()
    table.record(state(.loading, isNew: true), from: NodeID(2))
    table.record(state(.loading, isNew: false), from: NodeID(3))
    #expect(table.agreement(on: store, incarnation: mine, others: others, configID: 5) == nil)
    table.record(state(.loading, isNew: true), from: NodeID(3))
    table.forget(NodeID(2))
    #expect(table.agreement(on: store, incarnation: mine, others: others, configID: 5) == nil)
  }
}
