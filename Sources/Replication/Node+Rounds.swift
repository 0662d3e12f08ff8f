import Cluster
import Messages
import Primitives
import Storage

// The rounds of single stores: roots are compared, what differs has its passes one after the other, and a round is over
// when the roots are equal, or when neither side finds anything more.

extension Node where Disk: ~Copyable {
  /// Of one round of a store. What digests hide is found when nothing else differs any more, and other rounds, here and
  /// at the peer, may still bring what does.
  static var passesMax: Int { 8 }
  /// A root that differs begins no other round here before this time.
  private static var invitationMilliseconds: UInt64 { 1000 }
  /// How often the peer is asked whether it is done, and how long at most.
  private static var lookMilliseconds: UInt64 { 200 }
  private static var settlingMillisecondsMax: UInt64 { 30_000 }
  /// However often rounds come, each may take so long.
  private static var roundMillisecondsMin: UInt64 { 1000 }

  // MARK: - Roots

  mutating func askForRoots(_ line: Int, _ engine: Engine, at now: Moment) {
    let node = exchanges.lines[line].node
    guard exchanges.lines[line].question == nil, peers.isUp(node) else { return }
    let beginsRound = !exchanges.lines[line].toAsk.isEmpty
    guard beginsRound || exchanges.mayLook else { return }
    let wanted =
      beginsRound
      ? exchanges.lines[line].toAsk
      : exchanges.pairs.indices.filter { pair in
        exchanges.pairs[pair].node == node && (exchanges.pairs[pair].lookAt.map { $0 <= now.instant } ?? false)
      }
    guard !wanted.isEmpty else { return }
    let asked = Array(wanted.prefix(ExchangeLimits.rootsMax))
    if beginsRound { exchanges.lines[line].toAsk.removeFirst(asked.count) }
    // One that a round is asked for may have gone another way since, and is still to be looked at.
    if !beginsRound { for pair in asked { exchanges.pairs[pair].lookAt = nil } }
    let leftBy = minute(at: now)
    let roots = asked.map { pair in
      let store = exchanges.pairs[pair].store
      // One that goes another way by now has begun earlier.
      if beginsRound, exchanges.pairs[pair].phase == .idle { exchanges.pairs[pair].begunAt = engine.durableHead(store) }
      return StoreRoot(store: store, configID: configID(store), root: roundRoot(store, engine, leftBy: leftBy))
    }
    let operation = newOperation(.exchange)
    let body = PeerBody.compare(
      PeerCompare(
        operation: operation, valuesOnly: comparesValuesOnly, leftBy: leftBy,
        subject: .roots(roots, beginsRound: beginsRound)))
    exchanges.lines[line].question = ExchangeQuestion(operation: operation, body: body, asked: now.instant)
    exchanges.lines[line].asked = asked
    exchanges.lines[line].beginsRound = beginsRound
    counters.antiEntropy.rootsCompared += UInt64(asked.count)
    send(body, to: node)
  }

  /// A question that is asked again tells the roots as they are by now.
  func withRootsOfNow(_ question: ExchangeQuestion, _ engine: Engine) -> ExchangeQuestion {
    guard case .compare(var compare) = question.body, case .roots(var roots, let beginsRound) = compare.subject else {
      return question
    }
    let leftBy = compare.leftBy
    for index in roots.indices { roots[index].root = roundRoot(roots[index].store, engine, leftBy: leftBy) }
    compare.subject = .roots(roots, beginsRound: beginsRound)
    var again = question
    again.body = .compare(compare)
    return again
  }

  /// What rounds compare: values alone (rule AAE, Docs/DeleteProtocol.md). Tombstones travel by the feed, and one that was
  /// forgotten here is not to come back from where it waits still.
  /// - Parameter minute: Of who has asked: values that have left by then count on neither side (rule EXPIRY).
  func roundRoot(_ store: StoreID, _ engine: Engine, leftBy minute: UInt64) -> TreeHash {
    engine.treeRoot(store, leftBy: minute).compared(valuesOnly: comparesValuesOnly)
  }

  var comparesValuesOnly: Bool { options.rules.hold(.valuesOnly) }

  /// True when the answer is one about roots that was asked for.
  mutating func takeRoots(_ reply: PeerCompareReply, from node: NodeID, at now: Moment) -> Bool {
    guard
      let line = exchanges.lines.firstIndex(where: { $0.node == node && $0.question?.operation == reply.operation })
    else { return false }
    let asked = exchanges.lines[line].asked
    let leftBy = exchanges.lines[line].question?.leftBy ?? 0
    switch reply.outcome {
    case .roots(let answers):
      exchanges.lines[line].question = nil
      guard answers.map(\.store) == asked.map({ exchanges.pairs[$0].store }) else {
        failAsked(line, "\(name(node)) told of other stores than it was asked for")
        return true
      }
      for (pair, answer) in zip(asked, answers) {
        take(answer, of: pair, isLook: !exchanges.lines[line].beginsRound, leftBy: leftBy, at: now)
      }
    case .refused(let refusal):
      if exchanges.lines[line].question?.postpone(refusal, at: now.instant) ?? false { return true }
      failQuestion(line, describe(.refused(refusal), of: node))
    case .segments, .slots:
      failQuestion(line, "\(name(node)) answered what was not asked")
    }
    exchanges.isActive = true
    return true
  }

  /// The question has come to nothing.
  mutating func failQuestion(_ line: Int, _ reason: String) {
    exchanges.lines[line].question = nil
    failAsked(line, reason)
  }

  private mutating func failAsked(_ line: Int, _ reason: String) {
    let phase: ExchangePair.Phase = exchanges.lines[line].beginsRound ? .idle : .settling
    for pair in exchanges.lines[line].asked where exchanges.pairs[pair].phase == phase { failRound(pair, reason) }
  }

  private mutating func take(
    _ answer: RootAnswer, of pair: Int, isLook: Bool, leftBy: UInt64, at now: Moment
  ) {
    // The pair may have gone another way since.
    guard exchanges.pairs[pair].phase == (isLook ? .settling : .idle) else { return }
    switch answer.verdict {
    case .refused(let refusal): failRound(pair, describe(.refused(refusal), of: exchanges.pairs[pair].node))
    case .equal: completeRound(pair, isEqual: true, at: now)
    case .differs(let theirs):
      let roots = engine.map { [roundRoot(exchanges.pairs[pair].store, $0, leftBy: leftBy), theirs] }
      guard isLook else {
        makeDue(pair)
        exchanges.pairs[pair].roots = roots
        return
      }
      let since = exchanges.pairs[pair].settlingSince ?? now.instant
      let isOver = isRoundOver(pair, at: now.instant)
      let mayWait = !isOver && now.instant.milliseconds(since: since) < Self.settlingMillisecondsMax
      let wantsPass =
        !isOver && exchanges.pairs[pair].passes < Self.passesMax && exchanges.pairs[pair].roots != roots
      if mayWait, answer.activity == .looking || (answer.activity == .waiting && !wantsPass) {
        exchanges.pairs[pair].lookAt = now.instant.adding(milliseconds: Self.lookMilliseconds)
      } else if wantsPass {
        // Something has come to one of them since the last pass, so that another may find more.
        exchanges.pairs[pair].roots = roots
        exchanges.pairs[pair].phase = .due
        exchanges.due.append(pair)
      } else {
        completeRound(pair, isEqual: false, at: now)
      }
    }
  }

  /// A round goes on no longer than until the next one is due: that one finds what is left. Else, where rounds come often
  /// and writes go on, each side would find the other at work whenever it looks, and no round would ever end.
  private func isRoundOver(_ pair: Int, at now: Instant) -> Bool {
    guard options.antiEntropyMilliseconds > 0, let began = exchanges.pairs[pair].began else { return false }
    return now.milliseconds(since: began) >= max(options.antiEntropyMilliseconds, Self.roundMillisecondsMin)
  }

  private mutating func makeDue(_ pair: Int) {
    exchanges.pairs[pair].beginRound(at: present)
    exchanges.due.append(pair)
    exchanges.isActive = true
  }

  /// A peer has pulled what it lacked, and its root still differs from ours: then this node lacks something. Not before:
  /// both would go through the same segments at once, the second of them in vain.
  mutating func invitedToRound(_ store: StoreID, by node: NodeID) {
    guard phase == .serving, let pair = exchanges.index(store, node), exchanges.pairs[pair].phase == .idle else {
      return
    }
    if let last = exchanges.pairs[pair].invited, present.milliseconds(since: last) < Self.invitationMilliseconds {
      return
    }
    exchanges.pairs[pair].invited = present
    exchanges.pairs[pair].begunAt = engine?.durableHead(store) ?? 0
    makeDue(pair)
  }

  /// What this node is about, with a peer that has this root.
  func activity(_ theirs: StoreRoot, leftBy: UInt64, with node: NodeID) -> RootAnswer.Activity {
    guard let index = exchanges.index(theirs.store, node) else { return .none }
    let pair = exchanges.pairs[index]
    switch pair.phase {
    case .idle: return .none
    case .due, .running: return .looking
    case .settling:
      let roots = engine.map { [roundRoot(theirs.store, $0, leftBy: leftBy), theirs.root] }
      return pair.passes < Self.passesMax && pair.roots != roots ? .waiting : .none
    }
  }

  // MARK: - The end of a round

  /// A pass has found what it could: whether that is all, the roots tell.
  mutating func settle(_ pair: Int, at now: Moment) {
    exchanges.pairs[pair].phase = .settling
    exchanges.pairs[pair].settlingSince = now.instant
    exchanges.pairs[pair].lookAt = now.instant
    exchanges.mayLook = true
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
    exchanges.pairs[pair].covered = max(exchanges.pairs[pair].covered, exchanges.pairs[pair].begunAt)
    feeds.isDirty = true
    counters.antiEntropy.rounds += 1
    counters.antiEntropy.roundsDiffering += hadDiffered ? 1 : 0
    for waiter in exchanges.waiters.indices {
      guard let place = exchanges.waiters[waiter].pending.firstIndex(of: pair) else { continue }
      guard exchanges.waiters[waiter].joined.remove(pair) == nil else {
        compareAnew(pair)
        continue
      }
      exchanges.waiters[waiter].pending.remove(at: place)
      exchanges.waiters[waiter].compared.insert(exchanges.pairs[pair].store)
      exchanges.waiters[waiter].report.stores = exchanges.waiters[waiter].compared.count
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
}

extension TreeHash {
  func compared(valuesOnly: Bool) -> TreeHash { valuesOnly ? TreeHash(values: values, tombstones: 0) : self }
}

extension ExchangeQuestion {
  /// The minute that it names, of a comparison.
  fileprivate var leftBy: UInt64 { if case .compare(let compare) = body { compare.leftBy } else { 0 } }

  /// A refusal that passes: the question is asked again, as often as one that is lost. - Returns: Whether it is.
  mutating func postpone(_ refusal: Refusal, at now: Instant) -> Bool {
    let passes = refusal == .overloaded || refusal == .notReady || refusal == .unvalidated
    guard passes, tries < Self.triesMax else { return false }
    pausedUntil = now.adding(milliseconds: Self.pauseMilliseconds)
    return true
  }
}
