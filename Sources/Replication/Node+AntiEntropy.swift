import Cluster
import Messages
import Primitives
import Storage

// When stores are compared (rule AAE, Docs/Delete.md): with each peer once per `anti_entropy_interval`, all shared stores
// in one message, and when an operator asks for it. What differs is worked through store by store; the peer learns of it
// by the same message and makes its own round, so that one round in one direction leads to both.

extension Node where Disk: ~Copyable {
  /// Exchanges at once; stores that are being refilled leave one for the others.
  static var exchangesMax: Int { 4 }
  static var refillsMax: Int { 3 }
  /// Of one round of a store. One finds what can be seen, the next what digests hid; the last is for what came between.
  static var passesMax: Int { 3 }
  /// Requests for a round that wait at once; one more is refused.
  package static var roundWaitersMax: Int { 64 }
  /// A root that differs begins no other round here before this time.
  private static var invitationMilliseconds: UInt64 { 1000 }
  private static var reviewMilliseconds: UInt64 { 100 }
  /// How often the peer is asked whether it is done, and how long at most.
  private static var lookMilliseconds: UInt64 { 200 }
  private static var settlingMillisecondsMax: UInt64 { 30_000 }
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
        exchanges.lines[line].question = nil
        for pair in exchanges.lines[line].asked { failRound(pair, "\(name(node)) does not answer") }
      } else {
        askAgain(&exchanges.lines[line].question, node, at: now)
      }
    }
  }

  /// Asks for the roots of everything that is shared with this peer and not under way. - Returns: Pairs to wait for.
  @discardableResult
  private mutating func beginRound(_ line: Int, _ engine: Engine) -> [Int] {
    let node = exchanges.lines[line].node
    var begun: [Int] = []
    for pair in exchanges.pairs.indices where exchanges.pairs[pair].node == node {
      switch engine.role(exchanges.pairs[pair].store) {
      case .active: break
      case .loading: failRound(pair, "the store is loading here")
      case .fenced: failRound(pair, "the store is damaged here")
      case .retired: continue
      }
      guard engine.role(exchanges.pairs[pair].store) == .active else { continue }
      begun.append(pair)
      guard exchanges.pairs[pair].phase == .idle else { continue }
      let isAsked = exchanges.lines[line].toAsk.contains(pair) || isQuestioned(pair, line)
      if !isAsked { exchanges.lines[line].toAsk.append(pair) }
    }
    if !begun.isEmpty { exchanges.isActive = true }
    return begun
  }

  private func isQuestioned(_ pair: Int, _ line: Int) -> Bool {
    exchanges.lines[line].question != nil && exchanges.lines[line].beginsRound
      && exchanges.lines[line].asked.contains(pair)
  }

  /// Sends a question once more, under its own number: whichever answer comes first counts.
  mutating func askAgain(_ question: inout ExchangeQuestion?, _ node: NodeID, at now: Moment) {
    guard var again = question else { return }
    again.tries += 1
    again.asked = now.instant
    again.pausedUntil = nil
    question = again
    send(again.body, to: node)
  }

  // MARK: - A turn

  /// Answers peers and goes on with what is under way. - Returns: Whether the next turn should not wait.
  mutating func continueExchanges(at now: Moment) -> Bool {
    let hasQuestions = continueAnswers()
    guard exchanges.isActive, mayExchange, let engine else { return hasQuestions }
    allowPulling(at: now.instant)
    exchanges.looksLeft = Self.looksPerTurn
    for line in exchanges.lines.indices { askForRoots(line, engine, at: now) }
    beginDue(engine, at: now)
    var isHungry = false
    for number in exchanges.running.map(\.number) {
      guard let index = exchanges.running.firstIndex(where: { $0.number == number }) else { continue }
      if advance(index, engine, at: now) { isHungry = true }
    }
    let mayBegin = !exchanges.due.isEmpty && exchanges.running.count < Self.exchangesMax
    exchanges.isActive = exchanges.isBusy
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
    while exchanges.running.count < Self.exchangesMax, !exchanges.due.isEmpty {
      let pair = exchanges.due.removeFirst()
      let store = exchanges.pairs[pair].store
      guard engine.role(store) == .active else {
        failRound(pair, "the store is \(engine.role(store)) here")
        continue
      }
      exchanges.pairs[pair].phase = .running
      exchanges.pairs[pair].passes += 1
      exchanges.pairs[pair].foundInPass = 0
      exchanges.running.append(
        Exchange(
          number: newOperation(.exchange), pair: pair, isRefill: false, incarnation: engine.incarnation(store)))
    }
  }

  // MARK: - Roots

  private mutating func askForRoots(_ line: Int, _ engine: Engine, at now: Moment) {
    let node = exchanges.lines[line].node
    guard exchanges.lines[line].question == nil, peers.isUp(node) else { return }
    let beginsRound = !exchanges.lines[line].toAsk.isEmpty
    let wanted =
      beginsRound
      ? exchanges.lines[line].toAsk
      : exchanges.pairs.indices.filter { pair in
        exchanges.pairs[pair].node == node && (exchanges.pairs[pair].lookAt.map { $0 <= now.instant } ?? false)
      }
    guard !wanted.isEmpty else { return }
    let asked = Array(wanted.prefix(ExchangeLimits.rootsMax))
    if beginsRound { exchanges.lines[line].toAsk.removeFirst(asked.count) }
    for pair in asked { exchanges.pairs[pair].lookAt = nil }
    let roots = asked.map { pair in
      let store = exchanges.pairs[pair].store
      return StoreRoot(store: store, configID: configID(store), root: engine.treeRoot(store))
    }
    let operation = newOperation(.exchange)
    let body = PeerBody.compare(
      PeerCompare(operation: operation, subject: .roots(roots, beginsRound: beginsRound)))
    exchanges.lines[line].question = ExchangeQuestion(operation: operation, body: body, asked: now.instant)
    exchanges.lines[line].asked = asked
    exchanges.lines[line].beginsRound = beginsRound
    counters.antiEntropy.rootsCompared += UInt64(asked.count)
    send(body, to: node)
  }

  /// True when the answer is one about roots that was asked for.
  mutating func takeRoots(_ reply: PeerCompareReply, from node: NodeID, at now: Moment) -> Bool {
    guard
      let line = exchanges.lines.firstIndex(where: { $0.node == node && $0.question?.operation == reply.operation })
    else { return false }
    let asked = exchanges.lines[line].asked
    switch reply.outcome {
    case .roots(let answers):
      exchanges.lines[line].question = nil
      guard answers.map(\.store) == asked.map({ exchanges.pairs[$0].store }) else {
        for pair in asked { failRound(pair, "\(name(node)) told of other stores than it was asked for") }
        return true
      }
      for (pair, answer) in zip(asked, answers) {
        take(answer, of: pair, isLook: !exchanges.lines[line].beginsRound, at: now)
      }
    case .refused(let refusal):
      if exchanges.lines[line].question?.postpone(refusal, at: now.instant) ?? false { return true }
      exchanges.lines[line].question = nil
      for pair in asked { failRound(pair, describe(.refused(refusal), of: node)) }
    case .segments, .slots:
      exchanges.lines[line].question = nil
      for pair in asked { failRound(pair, "\(name(node)) answered what was not asked") }
    }
    exchanges.isActive = true
    return true
  }

  private mutating func take(_ answer: RootAnswer, of pair: Int, isLook: Bool, at now: Moment) {
    // The pair may have gone another way since.
    guard exchanges.pairs[pair].phase == (isLook ? .settling : .idle) else { return }
    switch answer.verdict {
    case .refused(let refusal): failRound(pair, describe(.refused(refusal), of: exchanges.pairs[pair].node))
    case .equal: completeRound(pair, isEqual: true, at: now)
    case .differs:
      guard isLook else { return makeDue(pair) }
      let since = exchanges.pairs[pair].settlingSince ?? now.instant
      if answer.isUnderWay, now.instant.milliseconds(since: since) < Self.settlingMillisecondsMax {
        exchanges.pairs[pair].lookAt = now.instant.adding(milliseconds: Self.lookMilliseconds)
      } else if exchanges.pairs[pair].passes < Self.passesMax,
        exchanges.pairs[pair].passes == 1 || exchanges.pairs[pair].foundInPass > 0
      {
        exchanges.pairs[pair].phase = .due
        exchanges.due.append(pair)
      } else {
        completeRound(pair, isEqual: false, at: now)
      }
    }
  }

  private mutating func makeDue(_ pair: Int) {
    exchanges.pairs[pair].beginRound()
    exchanges.due.append(pair)
    exchanges.isActive = true
  }

  /// A peer found that its root differs from ours: this node may lack something, too.
  mutating func invitedToRound(_ store: StoreID, by node: NodeID) {
    guard phase == .serving, let pair = exchanges.index(store, node), exchanges.pairs[pair].phase == .idle else {
      return
    }
    if let last = exchanges.pairs[pair].invited, present.milliseconds(since: last) < Self.invitationMilliseconds {
      return
    }
    exchanges.pairs[pair].invited = present
    makeDue(pair)
  }

  func isUnderWay(_ store: StoreID, with node: NodeID) -> Bool {
    exchanges.index(store, node).map { exchanges.pairs[$0].isUnderWay } ?? false
  }

  // MARK: - The end of a round

  /// A pass has found what it could: whether that is all, the roots tell.
  mutating func settle(_ pair: Int, at now: Moment) {
    exchanges.pairs[pair].phase = .settling
    exchanges.pairs[pair].settlingSince = now.instant
    exchanges.pairs[pair].lookAt = now.instant
    exchanges.isActive = true
  }

  private mutating func completeRound(_ pair: Int, isEqual: Bool, at now: Moment) {
    let hadDiffered = exchanges.pairs[pair].phase != .idle
    let found = hadDiffered ? exchanges.pairs[pair].found : 0
    let bytes = hadDiffered ? exchanges.pairs[pair].foundBytes : 0
    exchanges.pairs[pair].phase = .idle
    exchanges.pairs[pair].lookAt = nil
    exchanges.pairs[pair].lastRound = now.instant
    exchanges.pairs[pair].differences = found
    exchanges.pairs[pair].failure = nil
    counters.antiEntropy.rounds += 1
    for waiter in exchanges.waiters.indices {
      guard let place = exchanges.waiters[waiter].pending.firstIndex(of: pair) else { continue }
      exchanges.waiters[waiter].pending.remove(at: place)
      exchanges.waiters[waiter].report.compared += 1
      exchanges.waiters[waiter].report.differing += hadDiffered ? 1 : 0
      exchanges.waiters[waiter].report.stillDiffering += isEqual ? 0 : 1
      exchanges.waiters[waiter].report.keysPulled += found
      exchanges.waiters[waiter].report.bytesPulled += bytes
    }
    answerRoundWaiters(at: now.instant)
  }

  mutating func failRound(_ pair: Int, _ reason: String) {
    exchanges.pairs[pair].phase = .idle
    exchanges.pairs[pair].lookAt = nil
    exchanges.pairs[pair].failure = reason
    counters.antiEntropy.roundsFailed += 1
    let member = ring.member(exchanges.pairs[pair].node)
    for waiter in exchanges.waiters.indices {
      guard let place = exchanges.waiters[waiter].pending.firstIndex(of: pair), let member else { continue }
      exchanges.waiters[waiter].pending.remove(at: place)
      exchanges.waiters[waiter].report.obstacles.append(
        AntiEntropyReport.Obstacle(peer: member, store: exchanges.pairs[pair].store, reason: reason))
    }
    answerRoundWaiters(at: present)
  }

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
      waiter.pending += begun
      for pair in exchanges.pairs.indices where exchanges.pairs[pair].node == node && !begun.contains(pair) {
        waiter.report.obstacles.append(
          AntiEntropyReport.Obstacle(
            peer: member, store: exchanges.pairs[pair].store, reason: exchanges.pairs[pair].failure ?? ""))
      }
    }
    waiter.pending.sort()
    exchanges.waiters.append(waiter)
    answerRoundWaiters(at: now.instant)
  }

  private mutating func answerRoundWaiters(at now: Instant) {
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
    status.scrub.intervalMilliseconds = options.scrubMilliseconds
    return status
  }
}

extension ExchangeQuestion {
  /// A refusal that passes: the question is asked again, as often as one that is lost. - Returns: Whether it is.
  mutating func postpone(_ refusal: Refusal, at now: Instant) -> Bool {
    guard refusal == .overloaded || refusal == .notReady, tries < Self.triesMax else { return false }
    pausedUntil = now.adding(milliseconds: Self.pauseMilliseconds)
    return true
  }
}
