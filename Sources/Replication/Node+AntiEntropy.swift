import Cluster
import Messages
import Primitives
import Storage

// When stores are compared (rule AAE, Docs/DeleteProtocol.md): with each peer once per `anti_entropy_interval`, all shared stores
// in one message, and when an operator asks for it. What differs is worked through store by store; the peer learns of it
// by the same message and makes its own round, so that one round in one direction leads to both.

extension Node where Disk: ~Copyable {
  /// Exchanges at once; stores that are being refilled leave one for the others.
  static var exchangesMax: Int { 4 }
  static var refillsMax: Int { 3 }
  /// Requests for a round that wait at once; one more is refused.
  package static var roundWaitersMax: Int { 64 }
  private static var reviewMilliseconds: UInt64 { 100 }
  private static var pullBurstBytes: Int { 256 << 10 }

  private var mayExchange: Bool { phase == .serving || phase == .opening }

  // MARK: - Time

  /// Begins what is due and asks again what was not answered.
  mutating func reviewExchanges(at now: Moment) {
    guard mayExchange, let engine,
      now.instant.milliseconds(since: exchanges.reviewed) >= Self.reviewMilliseconds
    else { return }
    exchanges.reviewed = now.instant
    if exchanges.pairs.isEmpty { listPairs(engine, at: now) }
    for line in exchanges.lines.indices { reviewLine(line, engine, at: now) }
    reviewRefills(engine, at: now)
    reviewQuestions(at: now)
    reviewValidations(at: now)
    exchanges.mayLook = true
    exchanges.isActive = exchanges.isBusy
  }

  /// Every store with every other owner; the first rounds are spread over the interval.
  private mutating func listPairs(_ engine: Engine, at now: Moment) {
    var stagger = SeededGenerator(seed: options.seed ^ bootID)
    for store in engine.storeIDs {
      for node in owners(store).sorted() where node != own.id {
        exchanges.pairs.append(ExchangePair(store: store, node: node))
      }
    }
    exchanges.lines = peers.peers.map { peer in
      var line = RootsLine(node: peer.member.id)
      if options.antiEntropyMilliseconds > 0 {
        line.next = now.instant.adding(milliseconds: stagger.next() % options.antiEntropyMilliseconds)
      }
      return line
    }
  }

  private mutating func reviewLine(_ line: Int, _ engine: Engine, at now: Moment) {
    let node = exchanges.lines[line].node
    if phase == .serving, peers.isUp(node), let next = exchanges.lines[line].next, next <= now.instant {
      exchanges.lines[line].next = now.instant.adding(milliseconds: options.antiEntropyMilliseconds)
      beginRound(line, engine)
    }
    if let question = exchanges.lines[line].question, question.due <= now.instant {
      if question.tries >= ExchangeQuestion.triesMax {
        failQuestion(line, "\(name(node)) does not answer")
      } else {
        exchanges.lines[line].question = askAgain(withRootsOfNow(question, engine), node, at: now)
      }
    }
  }

  /// Asks for the roots of everything that is shared with this peer and not under way. A store that does not serve here
  /// has no part in rounds. - Returns: Pairs to wait for, in order; and those of them that were under way already.
  @discardableResult
  private mutating func beginRound(_ line: Int, _ engine: Engine) -> (pairs: [Int], joined: [Int]) {
    let node = exchanges.lines[line].node
    var pairs: [Int] = []
    var joined: [Int] = []
    for pair in exchanges.pairs.indices where exchanges.pairs[pair].node == node {
      guard engine.role(exchanges.pairs[pair].store) == .active else { continue }
      pairs.append(pair)
      if exchanges.pairs[pair].phase != .idle || isQuestioned(pair, line) {
        joined.append(pair)
      } else if !exchanges.lines[line].toAsk.contains(pair) {
        exchanges.lines[line].toAsk.append(pair)
      }
    }
    if !pairs.isEmpty { exchanges.isActive = true }
    return (pairs, joined)
  }

  /// Asks for the root of one store, as soon as the peer has answered what it was asked before. - Returns: False when a
  /// round of it is under way already, or nothing is compared yet.
  mutating func beginRound(_ store: StoreID, _ node: NodeID) -> Bool {
    guard let pair = exchanges.index(store, node), exchanges.pairs[pair].phase == .idle,
      let line = exchanges.lines.firstIndex(where: { $0.node == node }), !isQuestioned(pair, line),
      !exchanges.lines[line].toAsk.contains(pair)
    else { return false }
    exchanges.lines[line].toAsk.append(pair)
    exchanges.isActive = true
    return true
  }

  /// A round that was under way when somebody asked for one is over: what had differed then was found by it, and whoever
  /// asked is told of what differs now.
  mutating func compareAnew(_ pair: Int) {
    guard let line = exchanges.lines.firstIndex(where: { $0.node == exchanges.pairs[pair].node }) else { return }
    if !exchanges.lines[line].toAsk.contains(pair) { exchanges.lines[line].toAsk.append(pair) }
    exchanges.isActive = true
  }

  private func isQuestioned(_ pair: Int, _ line: Int) -> Bool {
    exchanges.lines[line].question != nil && exchanges.lines[line].beginsRound
      && exchanges.lines[line].asked.contains(pair)
  }

  /// Sends a question once more, under its own number: whichever answer comes first counts.
  mutating func askAgain(_ question: ExchangeQuestion, _ node: NodeID, at now: Moment) -> ExchangeQuestion {
    var again = question
    again.tries += 1
    again.asked = now.instant
    again.pausedUntil = nil
    send(again.body, to: node)
    return again
  }

  // MARK: - A turn

  /// Answers peers and goes on with what is under way. - Returns: Whether the next turn should not wait.
  mutating func continueExchanges(at now: Moment) -> Bool {
    let hasQuestions = continueAnswers()
    guard exchanges.isActive, mayExchange, let engine else { return hasQuestions }
    allowPulling(at: now.instant)
    exchanges.looksLeft = Self.looksPerTurn
    for line in exchanges.lines.indices { askForRoots(line, engine, at: now) }
    exchanges.mayLook = false
    beginDue(engine, at: now)
    var isHungry = false
    for number in exchanges.running.map(\.number) {
      guard let index = exchanges.running.firstIndex(where: { $0.number == number }) else { continue }
      if advance(index, engine, at: now) { isHungry = true }
    }
    let mayBegin = exchanges.running.count < Self.exchangesMax && exchanges.nextDue != nil
    return hasQuestions || isHungry || mayBegin
  }

  private mutating func allowPulling(at now: Instant) {
    let since = exchanges.reckoned ?? now
    let earned = now.milliseconds(since: since) * options.pullBytesPerSecond / 1000
    guard earned > 0 || exchanges.reckoned == nil else { return }
    exchanges.reckoned = now
    exchanges.allowance = min(Self.pullBurstBytes, exchanges.allowance + Int(clamping: max(earned, 1)))
  }

  private mutating func beginDue(_ engine: Engine, at now: Moment) {
    while exchanges.running.count < Self.exchangesMax, let next = exchanges.nextDue {
      let pair = exchanges.due.remove(at: next)
      let store = exchanges.pairs[pair].store
      guard engine.role(store) == .active else {
        failRound(pair, obstacle(engine.role(store)))
        continue
      }
      exchanges.pairs[pair].phase = .running
      exchanges.pairs[pair].passes += 1
      exchanges.running.append(
        Exchange(
          number: newOperation(.exchange), pair: pair, isRefill: false, valuesOnly: comparesValuesOnly,
          incarnation: engine.incarnation(store)))
    }
  }

  // MARK: - The end

  /// Nothing is under way with this peer any more: it is gone, or it is another life of it.
  mutating func endExchanges(with node: NodeID, _ reason: String) {
    exchanges.running.removeAll { exchanges.pairs[$0.pair].node == node && !$0.isRefill }
    endRefillExchanges(with: node, reason)
    exchanges.due.removeAll { exchanges.pairs[$0].node == node }
    exchanges.questions.removeAll { $0.from == node }
    var asked: [Int] = []
    if let line = exchanges.lines.firstIndex(where: { $0.node == node }) {
      asked = exchanges.lines[line].toAsk + (exchanges.lines[line].question == nil ? [] : exchanges.lines[line].asked)
      exchanges.lines[line].toAsk = []
      exchanges.lines[line].question = nil
    }
    for pair in exchanges.pairs.indices where exchanges.pairs[pair].node == node {
      if exchanges.pairs[pair].phase != .idle || asked.contains(pair) { failRound(pair, reason) }
    }
    validationsLose(node)
  }

  // MARK: - Asked for

  /// A round with every peer, now; answered when it is over, at the peers as well.
  mutating func beginRound(session: SessionID, at now: Moment) {
    guard exchanges.waiters.count < Self.roundWaitersMax else {
      return free.append(
        .adminDone(.refused("\(exchanges.waiters.count) requests wait already"), session: session))
    }
    guard let engine else { return }
    if exchanges.pairs.isEmpty { listPairs(engine, at: now) }
    var waiter = RoundWaiter(session: session, began: now.instant, pending: [])
    for line in exchanges.lines.indices {
      let node = exchanges.lines[line].node
      guard let member = ring.member(node), exchanges.pairs.contains(where: { $0.node == node }) else { continue }
      guard peers.isUp(node) else {
        let reason = describe(.down, of: node)
        waiter.report.obstacles.append(AntiEntropyReport.Obstacle(peer: member, store: nil, reason: reason))
        continue
      }
      let begun = beginRound(line, engine)
      waiter.pending += begun.pairs
      waiter.joined.formUnion(begun.joined)
      for pair in exchanges.pairs.indices where exchanges.pairs[pair].node == node && !begun.pairs.contains(pair) {
        let store = exchanges.pairs[pair].store
        waiter.report.obstacles.append(
          AntiEntropyReport.Obstacle(peer: member, store: store, reason: obstacle(engine.role(store))))
      }
    }
    waiter.pending.sort()
    exchanges.waiters.append(waiter)
    answerRoundWaiters(at: now.instant)
  }

  /// Why a store has no part in a round.
  func obstacle(_ role: StoreRole) -> String {
    switch role {
    case .fenced: "the store is damaged here"
    default: "the store is \(role) here"
    }
  }

  mutating func answerRoundWaiters(at now: Instant) {
    for waiter in exchanges.waiters where waiter.pending.isEmpty {
      var report = waiter.report
      report.milliseconds = now.milliseconds(since: waiter.began)
      free.append(.adminDone(.antiEntropy(report), session: waiter.session))
    }
    exchanges.waiters.removeAll { $0.pending.isEmpty }
  }

  /// The node stops: what was compared so far is all.
  mutating func endExchanges() {
    for waiter in exchanges.waiters {
      free.append(.adminDone(.refused("node \(own.name) is stopping"), session: waiter.session))
    }
    exchanges.waiters.removeAll()
    exchanges.running.removeAll()
    exchanges.due.removeAll()
    exchanges.questions.removeAll()
    exchanges.validations.removeAll()
    for line in exchanges.lines.indices {
      exchanges.lines[line].toAsk = []
      exchanges.lines[line].question = nil
    }
    for pair in exchanges.pairs.indices {
      exchanges.pairs[pair].phase = .idle
      exchanges.pairs[pair].lookAt = nil
    }
    exchanges.isActive = false
  }

  // MARK: - What operators see

  func antiEntropyStatus(at now: Moment) -> AntiEntropyStatus {
    var status = AntiEntropyStatus()
    status.intervalMilliseconds = options.antiEntropyMilliseconds
    status.pairs = exchanges.pairs.compactMap { pair in
      guard let member = ring.member(pair.node) else { return nil }
      var shown = PairStatus(store: pair.store, peer: member)
      shown.lastRoundMilliseconds = pair.lastRound.map { now.instant.milliseconds(since: $0) }
      shown.differences = pair.differences
      shown.keysPulled = pair.keysPulled
      shown.bytesPulled = pair.bytesPulled
      if pair.phase != .idle {
        shown.state = .running
      } else if let failure = pair.failure {
        shown.state = .failed(reason: failure)
      }
      return shown
    }
    status.refills = refillStatuses(at: now)
    status.scrub = scrubStatus(at: now)
    return status
  }
}
