import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

extension TestCluster {
  /// Puts a value into a node's quarantine, as rules do. - Returns: Its stamp.
  @discardableResult
  func setAside(_ key: String, _ value: String, at id: Int, milliseconds: UInt64 = 1000) throws -> Stamp {
    let stamp = Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(7))
    let version = StoredVersion(stamp: stamp, isTombstone: false, value: value.payload)
    try apply(version, key, to: .hints(for: TestCluster.id(id)), at: id)
    advance(milliseconds: 10)
    return stamp
  }

  func outcome(_ id: Int, _ request: AdminRequest, session: UInt64) -> AdminOutcome? {
    admin(id, request, session: session)
    advance(milliseconds: 100)
    return outcomes[session]
  }

  func entries(_ id: Int, session: UInt64) -> [QuarantineEntry] {
    var entries: [QuarantineEntry] = []
    var from: UInt64? = 0
    var number = session
    while let next = from {
      guard case .quarantine(let page)? = outcome(id, .quarantine(from: next), session: number) else { return entries }
      entries += page.entries
      from = page.next
      number += 1
    }
    return entries
  }
}

@Suite("The quarantine")
struct QuarantineTests {
  @Test("all of it is listed, in pages, and each value can be looked at")
  func listed() throws {
    let cluster = quietCluster(nodes: 3)
    for index in 0..<600 { try cluster.setAside("k\(index)", "v\(index)", at: 1) }
    let entries = cluster.entries(1, session: 100)
    #expect(Set(entries.map(\.key)) == Set((0..<600).map { "k\($0)".objectKey }) && entries.count == 600)
    #expect(cluster.quarantined(1) == 600 && cluster.status(1)?.quarantine.bytes ?? 0 > 600)
    guard case .quarantineRead(let version)? = cluster.outcome(1, .quarantineRead("k7".objectKey), session: 1) else {
      return #expect(Bool(false), "nothing was read")
    }
    #expect(version.value == "v7".payload)
    #expect(cluster.hintsLeft == 0 && cluster[1].node?.hintsWaiting == 0)
    #expect(cluster.entries(2, session: 200).isEmpty)
  }

  @Test("its bytes are those of the values that are there, and not of what keeps others away")
  func bytes() throws {
    let cluster = quietCluster(nodes: 3)
    let stamp = try cluster.setAside("k1", "a long value, which is forgotten", at: 1)
    let both = try #require(cluster.status(1)?.quarantine.bytes)
    try cluster.setAside("k2", "v", at: 1)
    let bytes = try #require(cluster.status(1)?.quarantine.bytes) - both
    guard case .quarantineDiscarded? = cluster.outcome(1, .quarantineDiscard("k1".objectKey, stamp), session: 300)
    else {
      return #expect(Bool(false), "not discarded")
    }
    #expect(cluster.quarantined(1) == 1 && cluster.status(1)?.quarantine.bytes == bytes)
  }

  @Test("a value that is written anew is a put of now, and is in quarantine no more, whatever dies")
  func writtenAnew() throws {
    let cluster = quietCluster(nodes: 3)
    let stamp = try cluster.setAside("a", "old", at: 1)
    try cluster.setAside("b", "stays", at: 1)
    try cluster.raiseFloors(of: "a", at: [1, 2, 3])
    guard case .quarantinePut(let anew)? = cluster.outcome(1, .quarantinePut("a".objectKey, stamp), session: 1) else {
      return #expect(Bool(false), "\(String(describing: cluster.outcomes[1]))")
    }
    #expect(anew > stamp && cluster.quarantined(1) == 1)
    for id in 1...3 { #expect(cluster.ownCopy(id, "a") == "old") }
    cluster.kill(1, powerLoss: true)
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.quarantined(1) == 1 && cluster.entries(1, session: 10).map(\.key) == ["b".objectKey])
    // The same old copy, found once more, does not come back either.
    try cluster.setAside("a", "old", at: 1)
    #expect(cluster.quarantined(1) == 1)
  }

  @Test("a value that is discarded is gone, also after a loss of power, and its files go with the last one")
  func discarded() throws {
    let cluster = quietCluster(nodes: 3)
    for index in 0..<20 { try cluster.setAside("k\(index)", String(repeating: "x", count: 200), at: 1) }
    for (index, entry) in cluster.entries(1, session: 100).enumerated() {
      let session = 1000 + UInt64(index)
      #expect(cluster.outcome(1, .quarantineDiscard(entry.key, entry.stamp), session: session) == .quarantineDiscarded)
      guard index % 7 == 0 else { continue }
      cluster.kill(1, powerLoss: true)
      cluster.start(1, life: UInt64(index) + 1)
      cluster.advance(milliseconds: 2500)
      #expect(cluster.quarantined(1) == 19 - index)
    }
    cluster.advance(milliseconds: 5000)
    let store = StoreID.hints(for: TestCluster.id(1))
    #expect(cluster[1].node?.engine?.hintStatus(store).fileBytes ?? 1 < 200)
    cluster.kill(1, powerLoss: true)
    cluster.start(1, life: 100)
    cluster.advance(milliseconds: 2500)
    #expect(cluster.quarantined(1) == 0 && cluster.entries(1, session: 5000).isEmpty)
  }

  @Test("what is not there, or not in that version, is neither written nor discarded")
  func absent() throws {
    let cluster = quietCluster(nodes: 3)
    let stamp = try cluster.setAside("a", "old", at: 1)
    let other = Stamp(time: stamp.time, actor: ActorID(99))
    #expect(cluster.outcome(1, .quarantinePut("a".objectKey, other), session: 1) == .quarantineAbsent)
    #expect(cluster.outcome(1, .quarantineDiscard("a".objectKey, other), session: 2) == .quarantineAbsent)
    #expect(cluster.outcome(1, .quarantineDiscard("b".objectKey, stamp), session: 3) == .quarantineAbsent)
    #expect(cluster.outcome(2, .quarantineRead("a".objectKey), session: 4) == .quarantineAbsent)
    #expect(cluster.quarantined(1) == 1 && cluster.ownCopy(1, "a") == nil)
  }

  @Test("a value that cannot be written stays in quarantine, and the operator is told why")
  func notWritten() throws {
    let cluster = quietCluster(nodes: 3)
    let stamp = try cluster.setAside("a", "old", at: 1)
    cluster.kill(2)
    cluster.kill(3)
    cluster.admin(1, .quarantinePut("a".objectKey, stamp), session: 1)
    cluster.advance(milliseconds: 6000)
    guard case .refused(let reason)? = cluster.outcomes[1] else {
      return #expect(Bool(false), "\(String(describing: cluster.outcomes[1]))")
    }
    #expect(reason.contains("may not have been written"))
    #expect(cluster.quarantined(1) == 1)
    #expect(cluster.answeredAgain.isEmpty)
  }

  @Test("so many values are written anew at once, and one more is refused")
  func bound() throws {
    let cluster = quietCluster(nodes: 3)
    let count = QuarantineTable.putsMax + 1
    for index in 0..<count { try cluster.setAside("k\(index)", "v", at: 1) }
    cluster.treat = { letter in if case .push = letter.message.body { .hold } else { .deliver } }
    for (index, entry) in cluster.entries(1, session: 5000).enumerated() {
      cluster.admin(1, .quarantinePut(entry.key, entry.stamp), session: UInt64(index + 1))
    }
    guard case .refused(let reason)? = cluster.outcomes[UInt64(count)] else {
      return #expect(Bool(false), "\(String(describing: cluster.outcomes[UInt64(count)]))")
    }
    #expect(reason.contains("\(QuarantineTable.putsMax)"))
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 500)
    #expect(cluster.quarantined(1) == 1)
  }
}
