import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("A store that went back is fenced and made anew")
struct IdentityTests {
  @Test(
    "a disk that was copied before deletes, and put back after they were forgotten, is found out by promises alone",
    arguments: [false, true])
  func restoredCopy(forgettingEditions: Bool) throws {
    let cluster = TestCluster.feeding()
    for index in 0..<30 { cluster.ask(1, put("k\(index)", "v")) }
    cluster.advance(milliseconds: 500)
    cluster.kill(3)
    let copy = cluster[3].disk
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 1000)
    for index in 0..<20 { #expect(cluster.answer(cluster.ask(1, delete("k\(index)")))?.isDeleted == true) }
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
    cluster.kill(3)
    if forgettingEditions {
      for id in 1...2 { cluster.kill(id) }
      try cluster.forgetEditions([1, 2])
      for id in 1...2 { cluster.start(id, life: 2) }
    }
    cluster[3].disk = copy
    cluster.start(3, life: 2)
    for index in 0..<20 {
      for entry in 1...3 { #expect(cluster.answer(cluster.ask(entry, get("k\(index)")))?.text == nil) }
    }
    cluster.advance(milliseconds: 20_000)
    #expect((cluster.status(3)?.counters.regressions ?? 0) > 0)
    if forgettingEditions { #expect(cluster.lines(3, "has gone back to an earlier state") > 0) }
    #expect(cluster[3].stopped == nil && cluster.roles(3) == [.active])
    for index in 0..<30 {
      for entry in 1...3 {
        let answer = cluster.answer(cluster.ask(entry, get("k\(index)", r: .all)))
        #expect(index < 20 ? answer?.isNotFound == true : answer?.text == "v", "k\(index) at n\(entry)")
      }
    }
    #expect(cluster.waiting == [0, 0, 0])
    for index in 20..<30 { #expect(cluster.answer(cluster.ask(3, delete("k\(index)")))?.isDeleted == true) }
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
  }

  @Test("without rules IDENT and READ the copy's keys would be there again")
  func restoredCopyWithoutRule() throws {
    let cluster = TestCluster.feeding { $0.rules = $0.rules.without(.fence).without(.validation) }
    cluster.ask(1, put("a", "v"))
    cluster.advance(milliseconds: 500)
    cluster.kill(3)
    let copy = cluster[3].disk
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 1000)
    cluster.ask(1, delete("a"))
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0])
    cluster.kill(3)
    cluster[3].disk = copy
    cluster.start(3, life: 2)
    cluster.advance(milliseconds: 5000)
    for id in 1...3 { cluster.round(id) }
    #expect(cluster.held(3, "a") != nil && cluster.held(1, "a") != nil)
  }

  @Test("a store says by which other owners it was found whole, in this boot")
  func validatedWith() {
    let cluster = TestCluster.feeding()
    /// One answer, as all stores have the same owners.
    func found(_ id: Int) -> [[NodeID]] {
      Set(cluster.status(id)?.stores.map { $0.validatedWith.sorted() } ?? []).sorted { $0.count < $1.count }
    }
    cluster.advance(milliseconds: 1000)
    #expect(found(3) == [[NodeID(1), NodeID(2)]])
    for id in 1...3 { cluster.kill(id) }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.roles(3) == [.active] && found(3) == [[]], "nobody has seen it yet")
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 5000)
    #expect(found(3) == [[NodeID(2)]] && found(2) == [[NodeID(3)]])
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 5000)
    #expect(found(3) == [[NodeID(1), NodeID(2)]])
  }

  @Test("each thing that may go backwards is seen", arguments: StoreVerdict.Judgement.allRegressed)
  func judged(judgement: StoreVerdict.Judgement) throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 120_000)
    let store = cluster.store(of: "a")
    let engine = try #require(cluster.engine(1))
    let other = try #require(cluster.engine(2))
    let promise = try #require(engine.promise(store, of: NodeID(2)))
    #expect(promise.tsnHead == 1 && promise.cursorOnMe == 1 && promise.floor > .zero)
    var state = StoreState(
      store: store, incarnation: other.incarnation(store), configID: other.configID(store), role: .active,
      isNew: false, recognizes: engine.incarnation(store), tsnHead: 1, floor: promise.floor,
      cursor: StoreState.Cursor(incarnation: engine.incarnation(store), tsn: 1))
    #expect(cluster[1].node?.judge(state, of: NodeID(2), engine) == .ok)
    switch judgement {
    case .ok, .undecided: break
    case .wrongConfig: state.configID ^= 1
    case .head: state.tsnHead = 0
    case .floor: state.floor = .zero
    case .cursor: state.cursor.tsn = 0
    case .feed:
      // Read further than it has told.
      engine.setCursor(store, FeedCursor(peer: NodeID(2), incarnation: state.incarnation, tsn: 2))
    case .incarnation: state.incarnation = Identity128(high: 7, low: 7)
    }
    #expect(cluster[1].node?.judge(state, of: NodeID(2), engine) == judgement)
    if judgement == .incarnation {
      state.role = .loading
      #expect(cluster[1].node?.judge(state, of: NodeID(2), engine) == .ok)
    }
    if judgement == .cursor {
      let own = engine.incarnation(store)
      state.cursor = StoreState.Cursor(incarnation: Identity128(high: own.high - 1, low: 7), tsn: 9)
      #expect(cluster[1].node?.judge(state, of: NodeID(2), engine) == .cursor)
      // Of a store that was made after ours: it is ours that is back.
      state.cursor = StoreState.Cursor(incarnation: Identity128(high: own.high + 1, low: 7), tsn: 9)
      #expect(cluster[1].node?.judge(state, of: NodeID(2), engine) == .undecided)
    }
  }

  @Test("states that arrive out of order are ignored, not compared", arguments: [true, false])
  func reordered(isRuled: Bool) throws {
    let cluster = TestCluster.feeding { if !isRuled { $0.rules = $0.rules.without(.stateOrder) } }
    cluster.treatStates(from: 3, to: 1, .hold)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 2500)
    cluster.treat = { _ in .deliver }
    #expect(cluster.held.count >= 2)
    cluster.advance(milliseconds: 2000)
    cluster.release()
    cluster.advance(milliseconds: 500)
    // What came late was answered with a verdict all the same without the rule, to a question that is open no more.
    let isFoundWhole = cluster[1].node?.isValidated(cluster.store(of: "a"), with: NodeID(3))
    #expect(isFoundWhole == isRuled)
    #expect(cluster.status(3)?.counters.regressions == 0)
    if isRuled { #expect(cluster.waiting == [0, 0, 0]) }
  }

  /// A message of a boot of node 3 that nobody knows: it is asked to greet again, and greets as the boot that it is.
  private func forceGreeting(_ cluster: TestCluster) {
    let ping = Ping(bootID: 5, sequence: 1, suspects: [])
    cluster.forge(PeerMessage(time: .zero, body: .ping(ping)), from: NodeID(3), to: NodeID(1))
    cluster.advance(milliseconds: 10)
  }

  @Test("a peer that greets once more, in the same boot, is heard and judged as before")
  func greetsAgain() throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    let store = cluster.store(of: "a")
    #expect(cluster[1].node?.isValidated(store, with: NodeID(3)) == true)
    forceGreeting(cluster)
    cluster.advance(milliseconds: 2000)
    #expect(cluster[1].node?.isValidated(store, with: NodeID(3)) == true)
    #expect(cluster[3].node?.isValidated(store, with: NodeID(1)) == true)
  }

  @Test("an older state of the same boot is ignored after another greeting too (rule STATE ORDER)")
  func reorderedAcrossGreetings() throws {
    let cluster = TestCluster.feeding()
    cluster.treatStates(from: 3, to: 1, .hold)
    cluster.ask(1, delete("a", always: true))
    cluster.advance(milliseconds: 2500)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 3000)
    #expect(cluster.waiting == [0, 0, 0] && !cluster.held.isEmpty)
    // Nothing that comes after the greeting hides what becomes of the old one.
    cluster.treat = { letter in letter.isFeed ? .drop : .deliver }
    forceGreeting(cluster)
    let before = cluster.lines(1, "has gone back to an earlier state")
    cluster.release()
    #expect(cluster.lines(1, "has gone back to an earlier state") == before)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 3000)
    #expect(cluster[1].node?.isValidated(cluster.store(of: "a"), with: NodeID(3)) == true)
  }

  @Test(
    "a store that went back does not have others fenced, whichever was made anew meanwhile", arguments: [2, 3],
    [false, true])
  func healthyIsNotFenced(anew: Int, forgettingEditions: Bool) throws {
    let cluster = TestCluster.feeding()
    for index in 0..<10 { cluster.ask(1, put("k\(index)", "v", w: .all)) }
    for index in 10..<13 { cluster.ask(1, delete("k\(index)", always: true)) }
    cluster.advance(milliseconds: 3000)
    let copy = cluster.copyOfDisk(3)
    for index in 0..<4 {
      let first = try #require((0..<10).first { cluster.store(of: "k\($0)").partition == UInt16(index) })
      try cluster.fence(anew, storeOf: "k\(first)")
    }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.roles(anew) == [.active])
    for index in 0..<10 { cluster.ask(1, delete("k\(index)")) }
    cluster.advance(milliseconds: 5000)
    #expect(cluster.waiting == [0, 0, 0])
    for id in 1...3 { cluster.kill(id) }
    // Nobody remembers how far its directory had come: the promises alone must tell.
    if forgettingEditions { try cluster.forgetEditions([1, 2]) }
    cluster[3].disk = copy
    for id in [3, 2, 1] { cluster.start(id, life: 50) }
    cluster.advance(milliseconds: 30_000)
    #expect(cluster.counters(3).regressions == 4)
    // Where only its own incarnation is in doubt, and nobody knows of its directory, each doubts the other: both are made anew.
    if anew == 2 || !forgettingEditions {
      for id in 1...2 { #expect(cluster.counters(id).regressions == 0, "n\(id)") }
    }
    for id in 1...3 { #expect(cluster.roles(id) == [.active], "n\(id)") }
    for index in 0..<10 { #expect(cluster.readable("k\(index)", through: [1, 2, 3]).isEmpty) }
  }

  @Test("over a link so slow that announcements overtake answers a store is filled all the same")
  func slowLink() throws {
    let cluster = TestCluster.feeding { $0.suspectAfterMilliseconds = 5000 }
    for index in 0..<10 { cluster.ask(1, put("k\(index)", "v", w: .all)) }
    cluster.kill(3)
    cluster.wipe(3)
    // Each way takes between 0.7 and 1.4 s.
    cluster.treat = { letter in letter.isFeed ? .hold : .deliver }
    cluster.start(3, life: 1)
    for _ in 0..<100 {
      let count = cluster.held.count
      cluster.advance(milliseconds: 700)
      var left = count
      cluster.release { _ in
        left -= 1
        return left >= 0
      }
    }
    #expect(cluster.roles(3) == [.active])
    for index in 0..<10 { #expect(cluster.held(3, "k\(index)") != nil) }
  }

  @Test("a node that was wiped is filled, and tombstones go on", arguments: 1...3)
  func wiped(id: Int) throws {
    let cluster = TestCluster.feeding()
    for index in 0..<10 { cluster.ask(1 + index % 3, put("k\(index)", "v")) }
    for index in 0..<5 { cluster.ask(1 + index % 3, delete("k\(index)")) }
    cluster.kill(id)
    cluster.wipe(id)
    cluster.advance(milliseconds: 1000)
    cluster.start(id, life: 7)
    cluster.advance(milliseconds: 20_000)
    #expect(cluster[id].stopped == nil && cluster.roles(id) == [.active])
    #expect(cluster.waiting == [0, 0, 0])
    for index in 0..<10 {
      for entry in 1...3 {
        let answer = cluster.answer(cluster.ask(entry, get("k\(index)", r: .all)))
        #expect(index < 5 ? answer?.isNotFound == true : answer?.text == "v")
      }
    }
    for other in 1...3 { #expect(cluster.status(other)?.counters.regressions == 0) }
  }

  @Test("a wiped node is not known to the others before it has noted that it has lost something (rule GENESIS)")
  func wipedIsNotKnown() throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    cluster.kill(2)
    cluster.wipe(2)
    cluster.treat = TestCluster.withholdsExchanges
    cluster.start(2, life: 7)
    cluster.advance(milliseconds: 5000)
    let start = cluster.sent.count
    cluster.kill(2, powerLoss: true)
    cluster.start(2, life: 8)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.roles(2) == [.loading])
    for letter in cluster.sent[start...] {
      guard letter.from == NodeID(2), case .storeStates(let said) = letter.message.body else { continue }
      #expect(said.states.allSatisfy { !$0.isNew })
    }
  }

  @Test("a store counts for nothing until the owners that are up have found it whole")
  func unvalidated() throws {
    let cluster = TestCluster.feeding()
    cluster.ask(1, put("a", "1"))
    cluster.kill(3)
    var holds = true
    cluster.treat = { letter in
      guard holds, case .storeStatesReply = letter.message.body else { return .deliver }
      return letter.to == NodeID(3) ? .drop : .deliver
    }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 1500)
    let store = cluster.store(of: "a")
    #expect(cluster[3].node?.isValidated(store) == false)
    #expect(cluster[3].node?.refusal(store, configID: cluster[3].node?.configID(store) ?? 0, hash: nil) == .unvalidated)
    #expect(cluster.answer(cluster.ask(1, get("a", r: .all)))?.text == nil)
    #expect(cluster.answer(cluster.ask(3, get("a")))?.text == "1")
    holds = false
    cluster.advance(milliseconds: 1500)
    #expect(cluster[3].node?.isValidated(store) == true && cluster[3].node?.validatedWith(store) == 0b111)
    #expect(cluster.answer(cluster.ask(1, get("a", r: .all)))?.text == "1")
  }

  @Test("a second process of a member is refused as long as the first one answers")
  func clone() throws {
    let cluster = TestCluster.feeding()
    let letter = try #require(
      cluster.sent.last { letter in
        if case .hello = letter.message.body { letter.from == NodeID(2) && letter.to == NodeID(1) } else { false }
      })
    guard case .hello(var hello) = letter.message.body else { return }
    hello.bootID = 77
    for count in 1...3 {
      cluster.forge(PeerMessage(time: .zero, body: .hello(hello)), from: NodeID(2), to: NodeID(1))
      cluster.advance(milliseconds: 500)
      #expect(cluster.status(1)?.counters.clones == 1, "\(count)")
      #expect(cluster.status(1)?.peers.allSatisfy { $0.link == .up } == true)
    }
    #expect(cluster[1].node?.accepts(hello) == false)
    #expect(cluster.lines(1, "two processes say that they are n2") == 1)
    #expect(
      cluster.sent.contains { letter in
        if case .helloReply(let reply) = letter.message.body {
          reply.yourBootID == 77 && reply.refusal == .clone
        } else {
          false
        }
      })
    #expect(cluster.answer(cluster.ask(1, put("a", "1", w: .all)))?.isStored == true)
    // When the member itself is gone, somebody else may be it, from a directory that has all that it had.
    cluster.kill(2)
    hello.lineage.append(BootEdition(bootID: 77, edition: .max))
    #expect(cluster[1].node?.accepts(hello) == true)
  }
}

extension StoreVerdict.Judgement {
  static let allRegressed: [StoreVerdict.Judgement] = [.wrongConfig, .head, .floor, .cursor, .feed, .incarnation]
}
