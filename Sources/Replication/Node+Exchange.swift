import Causality
import Cluster
import Messages
import Primitives
import Storage

// One exchange, at the node that asks: which segments differ, which slots of them, and which of those are newer at the
// peer. A slot of the keydir tells nine bits of its record's stamp, so almost every difference is found without reading
// a record. Two stamps whose nine bits agree are found by the segments' words, which are exact: when a segment differs
// and no leaf does, every slot of it is asked for with the stamp that we have. A store that is loading does so at once.

extension Node where Disk: ~Copyable {
  /// Own records that a turn reads for their stamps, or takes in: half a millisecond or so, for all exchanges together.
  static var looksPerTurn: Int { 256 }
  /// How often the records of one segment are asked for again because purges came between (rule GUARD).
  static var guardTriesMax: Int { 8 }

  enum ExchangeMove {
    case goesOn
    /// For an answer, the disk, or time.
    case waits
    /// It has had its share of this turn.
    case hungry
    case done
    case failed(String)
  }

  /// Goes on until it has to wait. - Returns: Whether it has more to do at once.
  mutating func advance(_ index: Int, _ engine: Engine, at now: Moment) -> Bool {
    while true {
      switch move(index, engine, at: now) {
      case .goesOn: continue
      case .waits: return false
      case .hungry: return true
      case .done:
        let exchange = exchanges.running.remove(at: index)
        if exchange.isRefill { refillPassed(exchange, at: now) } else { settle(exchange.pair, at: now) }
        return false
      case .failed(let reason):
        failExchange(index, reason)
        return false
      }
    }
  }

  mutating func failExchange(_ index: Int, _ reason: String) {
    let exchange = exchanges.running.remove(at: index)
    if exchange.isRefill { refillFailed(exchange, reason) } else { failRound(exchange.pair, reason) }
  }

  func exchangeStore(_ index: Int) -> StoreID { exchanges.pairs[exchanges.running[index].pair].store }
  private func node(of exchange: Int) -> NodeID { exchanges.pairs[exchanges.running[exchange].pair].node }

  private mutating func move(_ index: Int, _ engine: Engine, at now: Moment) -> ExchangeMove {
    let store = exchangeStore(index)
    let role: StoreRole = exchanges.running[index].isRefill ? .loading : .active
    guard engine.incarnation(store) == exchanges.running[index].incarnation, engine.role(store) == role else {
      return .failed("the store is \(engine.role(store)) here")
    }
    guard exchanges.running[index].question == nil, !exchanges.running[index].isReading else { return .waits }
    if let until = exchanges.running[index].pausedUntil, until > now.instant { return .waits }
    if exchanges.running[index].nextRecord < exchanges.running[index].records.count {
      return applyPulled(index, engine, at: now)
    }
    guard exchanges.running[index].hasSegments else { return askForSegments(index, engine, at: now) }
    if exchanges.running[index].nextSlot < exchanges.running[index].slots.count,
      exchanges.running[index].items.count < ExchangeLimits.itemsMax
    {
      return compareSlots(index, engine, at: now)
    }
    if !exchanges.running[index].items.isEmpty { return askForItems(index, engine, at: now) }
    if !exchanges.running[index].again.isEmpty { return prepareAgain(index) }
    if let from = exchanges.running[index].recordsFrom { return askForRange(index, from, engine, at: now) }
    if let from = exchanges.running[index].slotsFrom { return askForSlots(index, from, engine, at: now) }
    guard let segment = exchanges.running[index].segments.popLast() else { return .done }
    exchanges.running[index].begin(segment: segment, isEmptyHere: engine.slotCount(of: store, segment: segment) == 0)
    return .goesOn
  }

  // MARK: - Questions

  private mutating func ask(_ index: Int, at now: Moment, _ body: (_ operation: UInt64) -> PeerBody) -> ExchangeMove {
    let operation = newOperation(.exchange)
    let body = body(operation)
    exchanges.running[index].question = ExchangeQuestion(operation: operation, body: body, asked: now.instant)
    exchanges.isActive = true
    send(body, to: node(of: index))
    return .waits
  }

  private mutating func askForSegments(_ index: Int, _ engine: Engine, at now: Moment) -> ExchangeMove {
    let store = exchangeStore(index)
    let valuesOnly = exchanges.running[index].valuesOnly
    let leftBy = minute(of: exchanges.running[index], at: now)
    let segments = engine.treeSegments(store, leftBy: leftBy).map { $0.compared(valuesOnly: valuesOnly) }
    let subject = CompareSubject.segments(store, configID: configID(store), segments)
    counters.antiEntropy.segmentsCompared += UInt64(HashTree.segmentCount)
    return ask(index, at: now) {
      .compare(PeerCompare(operation: $0, valuesOnly: valuesOnly, leftBy: leftBy, subject: subject))
    }
  }

  private mutating func askForSlots(_ index: Int, _ from: UInt64, _ engine: Engine, at now: Moment) -> ExchangeMove {
    let store = exchangeStore(index)
    let segment = exchanges.running[index].segment
    let valuesOnly = exchanges.running[index].valuesOnly
    let leftBy = minute(of: exchanges.running[index], at: now)
    var leaves: [UInt32] = []
    if !exchanges.running[index].isRefill {
      let count = engine.slotCount(of: store, segment: segment, valuesOnly: valuesOnly)
      leaves = engine.leafHashes(
        of: store, segment: segment, bits: HashTree.leafBits(slots: count), valuesOnly: valuesOnly,
        leftBy: leftBy)
      counters.antiEntropy.leavesCompared += UInt64(leaves.count)
    }
    let question = SlotQuestion(
      segment: segment, hash: engine.treeSegments(store, leftBy: leftBy)[segment].compared(valuesOnly: valuesOnly),
      leaves: leaves,
      from: from)
    let subject = CompareSubject.slots(store, configID: configID(store), question)
    return ask(index, at: now) {
      .compare(PeerCompare(operation: $0, valuesOnly: valuesOnly, leftBy: leftBy, subject: subject))
    }
  }

  private mutating func askForItems(_ index: Int, _ engine: Engine, at now: Moment) -> ExchangeMove {
    let items = Array(exchanges.running[index].items.prefix(ExchangeLimits.itemsMax))
    exchanges.running[index].itemsAsked = items.count
    return pull(index, .items(items), engine, at: now)
  }

  private mutating func askForRange(_ index: Int, _ from: UInt64, _ engine: Engine, at now: Moment) -> ExchangeMove {
    pull(index, .range(segment: exchanges.running[index].segment, from: from), engine, at: now)
  }

  private mutating func pull(
    _ index: Int, _ subject: PullSubject, _ engine: Engine, at now: Moment
  ) -> ExchangeMove {
    guard exchanges.allowance > 0 else { return .waits }
    let store = exchangeStore(index)
    exchanges.running[index].generation = engine.pullGeneration(store)
    let configID = configID(store)
    return ask(index, at: now) {
      .pull(PeerPull(operation: $0, store: store, configID: configID, subject: subject))
    }
  }

  /// What purges came between with is asked for once more.
  private mutating func prepareAgain(_ index: Int) -> ExchangeMove {
    exchanges.running[index].againTries += 1
    guard exchanges.running[index].againTries <= Self.guardTriesMax else {
      return .failed("purges came between again and again")
    }
    var items: [PullItem] = []
    for item in exchanges.running[index].again.sorted(by: { $0.hash < $1.hash }) where item.hash != items.last?.hash {
      items.append(item)
    }
    exchanges.running[index].again = []
    exchanges.running[index].items = items
    return .goesOn
  }

  // MARK: - Slots

  /// Which of the peer's slots of this page we lack, or may have older.
  private mutating func compareSlots(_ index: Int, _ engine: Engine, at now: Moment) -> ExchangeMove {
    let store = exchangeStore(index)
    let segment = exchanges.running[index].segment
    let bits = HashTree.leafBits(slots: engine.slotCount(of: store, segment: segment))
    var leaf = -1
    var own: [SlotDigest] = []
    while exchanges.running[index].nextSlot < exchanges.running[index].slots.count,
      exchanges.running[index].items.count < ExchangeLimits.itemsMax
    {
      let theirs = exchanges.running[index].slots[exchanges.running[index].nextSlot...]
        .prefix { [first = exchanges.running[index].slots[exchanges.running[index].nextSlot].hash] in $0.hash == first }
      guard let first = theirs.first else { return .goesOn }
      if leafNumber(of: first.hash, bits: bits) != leaf {
        leaf = leafNumber(of: first.hash, bits: bits)
        own = engine.slotDigests(of: store, segment: segment, leaf: leaf, bits: bits)
      }
      let ours = own.filter { $0.hash == first.hash }
      let isCertain = exchanges.running[index].isRefill || exchanges.running[index].isHidden
      var above: Stamp? = .zero
      if ours.count == 1, theirs.count == 1 {
        if ours[0] == first, !isCertain {
          above = nil
        } else {
          switch ownStamp(index, first.hash, engine, at: now) {
          case .stamp(let stamp): above = stamp ?? .zero
          case .damaged: above = nil
          case .wait(let move): return move
          }
        }
      }
      // Keys that share a hash are told apart by their records alone.
      if let above { exchanges.running[index].items.append(PullItem(hash: first.hash, above: above)) }
      exchanges.running[index].nextSlot += theirs.count
    }
    return .goesOn
  }

  private enum OwnStamp {
    case stamp(Stamp?)
    /// Its repair brings what is newest.
    case damaged
    case wait(ExchangeMove)
  }

  private mutating func ownStamp(_ index: Int, _ hash: UInt64, _ engine: Engine, at now: Moment) -> OwnStamp {
    guard exchanges.looksLeft > 0 else { return .wait(.hungry) }
    exchanges.looksLeft -= 1
    let store = exchangeStore(index)
    let warm = exchanges.running[index].warm
    exchanges.running[index].warm = nil
    do throws(StorageError) {
      switch try engine.stamp(ofHash: hash, in: store, warm: warm, on: &disk) {
      case .stamp(let stamp): return .stamp(stamp)
      case .cold(let read): return .wait(readForExchange(index, read, at: now))
      }
    } catch {
      let refused = refusal(of: store, error)
      return fencesHashAlone(error, in: store, engine)
        ? .damaged : .wait(.failed(describe(.refused(refused), of: own.id)))
    }
  }

  mutating func readForExchange(_ index: Int, _ read: ColdRead, at now: Moment) -> ExchangeMove {
    if readCold(read, for: .exchange(exchanges.running[index].number)) {
      exchanges.running[index].isReading = true
    } else {
      // Too many reads wait: this one is not urgent.
      exchanges.running[index].pausedUntil = now.instant.adding(milliseconds: ExchangeQuestion.pauseMilliseconds)
    }
    return .waits
  }

  mutating func exchangeReadFinished(_ number: UInt64, _ warm: WarmBytes) {
    guard let index = exchanges.running.firstIndex(where: { $0.number == number }) else { return }
    exchanges.running[index].isReading = false
    exchanges.running[index].warm = warm
    exchanges.isActive = true
  }

  mutating func exchangeReadFailed(_ number: UInt64, _ refused: Refusal) {
    guard let index = exchanges.running.firstIndex(where: { $0.number == number }) else { return }
    failExchange(index, describe(.refused(refused), of: own.id))
  }

  /// Which leaf of its segment a hash belongs to, when that is cut into 2^`bits` of them.
  func leafNumber(of hash: UInt64, bits: Int) -> Int {
    let ringBits = ring.partitionCount.trailingZeroBitCount
    return Int(truncatingIfNeeded: (hash << (ringBits + HashTree.segmentBits)) >> (64 - bits))
  }

  func segmentNumber(of hash: UInt64) -> Int {
    let ringBits = ring.partitionCount.trailingZeroBitCount
    return Int(truncatingIfNeeded: (hash << ringBits) >> (64 - HashTree.segmentBits))
  }

  // MARK: - Answers

  mutating func receiveCompareReply(_ reply: PeerCompareReply, from node: NodeID, at now: Moment) {
    if takeRoots(reply, from: node, at: now) { return }
    guard let index = exchange(asking: reply.operation, node) else { return }
    let store = exchangeStore(index)
    exchanges.isActive = true
    switch reply.outcome {
    case .segments(let answer):
      guard !exchanges.running[index].hasSegments else { return failExchange(index, "\(name(node)) answered twice") }
      exchanges.running[index].question = nil
      exchanges.running[index].hasSegments = true
      exchanges.running[index].segments = (0..<HashTree.segmentCount).reversed().filter {
        answer.differing & 1 << UInt32($0) != 0
      }
      if exchanges.running[index].isRefill {
        // Before the first key: what was purged there is not brought back here by a push.
        engine?.raiseFloor(store, to: answer.floor)
        noteRefillSource(store, node, answer)
      }
    case .slots(let page):
      let from = exchanges.running[index].slotsFrom
      guard let from, exchanges.running[index].hasSegments, isAsked(page, index, from: from) else {
        return failExchange(index, "\(name(node)) answered what was not asked")
      }
      exchanges.running[index].question = nil
      exchanges.running[index].slots = page.slots
      exchanges.running[index].nextSlot = 0
      exchanges.running[index].isHidden = page.isHidden
      exchanges.running[index].slotsFrom = page.next
    case .roots: failExchange(index, "\(name(node)) answered what was not asked")
    case .refused(let refusal): refused(index, refusal, node, at: now)
    }
  }

  private func isAsked(_ page: SlotPage, _ index: Int, from: UInt64) -> Bool {
    let store = exchangeStore(index)
    let segment = exchanges.running[index].segment
    if let next = page.next, next <= from || storeID(next) != store || segmentNumber(of: next) != segment {
      return false
    }
    return page.slots.allSatisfy {
      $0.hash >= from && storeID($0.hash) == store && segmentNumber(of: $0.hash) == segment
    }
  }

  /// The exchange whose question to this node has this number.
  func exchange(asking operation: UInt64, _ node: NodeID) -> Int? {
    exchanges.running.firstIndex {
      $0.question?.operation == operation && exchanges.pairs[$0.pair].node == node
    }
  }

  mutating func refused(_ index: Int, _ refusal: Refusal, _ node: NodeID, at now: Moment) {
    if exchanges.running[index].question?.postpone(refusal, at: now.instant) ?? false { return }
    failExchange(index, describe(.refused(refusal), of: node))
  }

  // MARK: - Time

  mutating func reviewQuestions(at now: Moment) {
    for number in exchanges.running.map(\.number) {
      guard let index = exchanges.running.firstIndex(where: { $0.number == number }),
        let question = exchanges.running[index].question, question.due <= now.instant
      else { continue }
      if question.tries >= ExchangeQuestion.triesMax {
        failExchange(index, "\(name(node(of: index))) does not answer")
      } else {
        exchanges.running[index].question = askAgain(question, node(of: index), at: now)
      }
    }
  }
}

extension Exchange {
  mutating func begin(segment: Int, isEmptyHere: Bool) {
    self.segment = segment
    slots = []
    nextSlot = 0
    isHidden = false
    againTries = 0
    slotsFrom = isEmptyHere ? nil : 0
    recordsFrom = isEmptyHere ? 0 : nil
  }
}
