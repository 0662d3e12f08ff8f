import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

private func isRead(_ letter: TestCluster.Letter, to id: Int) -> Bool {
  if case .read = letter.message.body { letter.to == TestCluster.id(id) } else { false }
}

@Suite("Reads and the floor")
struct RevalidateTests {
  /// One owner tells a value, before the tombstone reaches it; the two others answer after all have purged it.
  private func straddlingRead(
    _ cluster: TestCluster, _ key: String, through coordinator: Int, asks: Int, r: QuorumSize = .all
  ) throws -> UInt64 {
    let owners = cluster.owners(of: key)
    #expect(cluster.answer(cluster.ask(owners[0], put(key, "v", w: .all)))?.isStored == true)
    // The delete is acknowledged by two owners; on its way to the third it is held.
    cluster.treat = { letter in
      if case .push(let push) = letter.message.body, push.version.isTombstone, letter.to == TestCluster.id(owners[1]) {
        return .hold
      }
      return .deliver
    }
    #expect(cluster.answer(cluster.ask(owners[0], delete(key)))?.isDeleted == true)
    cluster.treat = { letter in isRead(letter, to: owners[0]) || isRead(letter, to: owners[2]) ? .hold : .deliver }
    // Whom the value itself is asked of goes by turns: the one that tells the old value.
    for _ in 0..<owners.count where (cluster[coordinator].node?.turns ?? 0) % UInt64(owners.count) != 1 {
      cluster.step(cluster[coordinator], .tick)
    }
    let session = cluster.ask(coordinator, get(key, r: r))
    #expect(cluster.answer(session) == nil)
    cluster.treat = { _ in .deliver }
    cluster.release { if case .push = $0.message.body { true } else { false } }
    #expect(try cluster.purge(key, at: owners))
    return session
  }

  @Test("a read that straddles the purge asks once more", arguments: [Rules.all, .all.without(.reAsk)])
  func straddles(rules: Rules) throws {
    let cluster = quietCluster(rules: rules)
    let coordinator = try #require(cluster.strangers(to: "a").first)
    let session = try straddlingRead(cluster, "a", through: coordinator, asks: 3)
    cluster.release()
    #expect(cluster.answer(session)?.text == (rules == .all ? nil : "v"))
    #expect(cluster.answer(session)?.isNotFound == (rules == .all))
    #expect(cluster.counters(coordinator).revalidatedReads == (rules == .all ? 1 : 0))
  }

  @Test("and so it does where the coordinator's own copy is the old one", arguments: [Rules.all, .all.without(.reAsk)])
  func ownCopy(rules: Rules) throws {
    let cluster = quietCluster(rules: rules)
    let session = try straddlingRead(cluster, "a", through: cluster.owners(of: "a")[1], asks: 3)
    cluster.release()
    #expect(cluster.answer(session)?.text == (rules == .all ? nil : "v"))
  }

  @Test("an owner is asked again for each other that lacks the key after it was asked, and then it is believed")
  func believed() throws {
    let cluster = quietCluster()
    let owners = cluster.owners(of: "a")
    cluster.ask(owners[0], put("a", "v", w: .all))
    try cluster.forget("a", at: owners[1])
    try cluster.forget("a", at: owners[2])
    let coordinator = try #require(cluster.strangers(to: "a").first)
    // It really has it: the others have lost it, and get it back, though it is not above their floors.
    #expect(cluster.answer(cluster.ask(coordinator, get("a", r: .all)))?.text == "v")
    #expect(cluster.counters(coordinator).revalidatedReads == 1)
    let asked = cluster.sent.count { isRead($0, to: owners[0]) && $0.from == TestCluster.id(coordinator) }
    #expect(asked >= 2 && asked <= 3)
    cluster.advance(milliseconds: 100)
    for owner in owners { #expect(cluster.stored(owner, "a") != nil) }
  }

  @Test("its first answer, once more, is not its second")
  func repeatedAnswer() throws {
    let cluster = quietCluster()
    let owners = cluster.owners(of: "a")
    let coordinator = try #require(cluster.strangers(to: "a").first)
    let session = try straddlingRead(cluster, "a", through: coordinator, asks: 3)
    let first = try #require(
      cluster.sent.last {
        if case .readReply = $0.message.body { $0.from == TestCluster.id(owners[1]) } else { false }
      })
    cluster.treat = { isRead($0, to: owners[1]) ? .hold : .deliver }
    cluster.release()
    #expect(cluster.answer(session) == nil)
    cluster.forge(first.message, from: first.from, to: first.to)
    cluster.advance(milliseconds: 10)
    #expect(cluster.answer(session) == nil)
    cluster.treat = { _ in .deliver }
    cluster.release()
    #expect(cluster.answer(session)?.isNotFound == true)
  }

  @Test("an owner asked once more that goes down is one that has not answered")
  func goesDown() throws {
    let cluster = quietCluster()
    let owners = cluster.owners(of: "a")
    let coordinator = try #require(cluster.strangers(to: "a").first)
    let session = try straddlingRead(cluster, "a", through: coordinator, asks: 3)
    cluster.treat = { isRead($0, to: owners[1]) ? .drop : .deliver }
    cluster.release()
    #expect(cluster.answer(session) == nil)
    cluster.kill(owners[1])
    cluster.advance(milliseconds: 6000)
    guard case .failed? = cluster.answer(session) else {
      return #expect(Bool(false), "\(String(describing: cluster.answer(session)))")
    }
  }

  @Test("an old hint does not stand in for an owner", arguments: [Rules.all, .all.without(.readFloor)])
  func oldHint(rules: Rules) throws {
    let cluster = quietCluster(rules: rules)
    let owners = cluster.owners(of: "a")
    cluster.kill(owners[2])
    cluster.treat = { isHandoff($0) ? .drop : .deliver }
    cluster.ask(owners[0], put("a", "v"))
    cluster.start(owners[2], life: 1)
    cluster.advance(milliseconds: 3000)
    cluster.ask(owners[0], delete("a"))
    #expect(try cluster.purge("a", at: owners))
    cluster.kill(owners[1])
    cluster.kill(owners[2])
    let session = cluster.ask(owners[0], get("a"))
    cluster.advance(milliseconds: 6000)
    #expect(cluster.answer(session)?.text == (rules == .all ? nil : "v"))
    guard rules == .all else { return }
    guard case .failed(.unsatisfied(.r, let wanted, let got, let detail))? = cluster.answer(session) else {
      return #expect(Bool(false), "\(String(describing: cluster.answer(session)))")
    }
    #expect(wanted == 2 && got == 1 && detail.contains("purged"))
    #expect(cluster.counters(owners[0]).withdrawnReads == 1)
  }

  @Test(
    "an owner that is not validated with one that lacks the key is not counted: another is waited for",
    arguments: [Rules.all, .all.without(.readFloor)])
  func unvalidated(rules: Rules) throws {
    let cluster = quietCluster(rules: rules)
    let owners = cluster.owners(of: "a")
    let coordinator = try #require(cluster.strangers(to: "a").first)
    cluster.ask(owners[0], put("a", "v", w: .all))
    // As after a restore: the first owner has what the others have purged.
    try cluster.forget("a", at: owners[1])
    try cluster.forget("a", at: owners[2])
    cluster.treat = { letter in
      guard case .readReply(var reply) = letter.message.body, letter.from == TestCluster.id(owners[0]),
        reply.validatedWith != 1
      else { return .deliver }
      reply.validatedWith = 1
      cluster.forge(
        PeerMessage(time: letter.message.time, body: .readReply(reply)), from: letter.from, to: letter.to)
      return .drop
    }
    var answers: [ClientResponse?] = []
    for _ in 0..<6 {
      answers.append(cluster.answer(cluster.ask(coordinator, get("a"))))
      // The owners take turns by turns of the loop.
      cluster.step(cluster[coordinator], .tick)
    }
    if rules == .all {
      #expect(answers.allSatisfy { $0?.isNotFound == true })
      #expect(cluster.counters(coordinator).withdrawnReads > 0)
      // With nobody else to wait for the read fails: it does not say "not found".
      cluster.kill(owners[2])
      let session = cluster.ask(coordinator, get("a"))
      cluster.advance(milliseconds: 6000)
      guard case .failed(.unsatisfied(.r, _, _, let detail))? = cluster.answer(session) else {
        return #expect(Bool(false), "\(String(describing: cluster.answer(session)))")
      }
      #expect(detail.contains("not validated"))
    } else {
      #expect(answers.contains { $0?.text == "v" })
    }
  }

  @Test("a value above the floors of those that lack it is read at once")
  func aboveFloor() throws {
    let cluster = quietCluster()
    let owners = cluster.owners(of: "a")
    try cluster.raiseFloors(of: "a", at: owners)
    cluster.treat = { letter in
      if case .push = letter.message.body, letter.to == TestCluster.id(owners[2]) { .drop } else { .deliver }
    }
    cluster.ask(owners[0], put("a", "v"))
    cluster.treat = { _ in .deliver }
    let coordinator = try #require(cluster.strangers(to: "a").first)
    #expect(cluster.answer(cluster.ask(coordinator, get("a", r: .all)))?.text == "v")
    #expect(cluster.counters(coordinator).revalidatedReads == 0)
  }

  @Test("a tombstone that one owner still has does not go back to one that has purged it")
  func noPingPong() throws {
    let cluster = quietCluster()
    let owners = cluster.owners(of: "a")
    cluster.ask(owners[0], put("a", "v", w: .all))
    // Only what reads do is looked at here.
    cluster.treat = TestCluster.withholdsStates
    cluster.ask(owners[0], delete("a"))
    #expect(try cluster.purge("a", at: [owners[0], owners[1]]))
    for id in 1...4 { #expect(cluster.answer(cluster.ask(id, get("a", r: .all)))?.isNotFound == true) }
    cluster.advance(milliseconds: 1000)
    #expect(cluster.stored(owners[0], "a") == nil && cluster.stored(owners[1], "a") == nil)
    #expect(cluster.pushes.allSatisfy { $0.push.kind != .repair })
  }
}
