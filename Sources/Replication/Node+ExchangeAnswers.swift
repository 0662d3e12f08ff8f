import Causality
import Cluster
import Messages
import Primitives
import Storage

// What this node tells other owners of its stores, when they ask. Nothing is kept between two questions but what waits
// for the disk. Only a store that is active answers: what another one lacks may be what was lost (rule PULL,
// Docs/DeleteProtocol.md). A turn does so much of this and no more, whoever asks.

/// A page of records that is being put together.
struct PullWork: Sendable {
  let pull: PeerPull
  let node: NodeID
  var records: [PulledRecord] = []
  var bytes = 0
  /// Of the items, those that are in the page; or the hash at which the rest of the range begins.
  var itemsDone = 0
  var from: UInt64 = 0
}

extension Node where Disk: ~Copyable {
  /// What a turn may do for peers that compare and pull, in units of about a microsecond. What has begun is finished.
  static var unitsPerTurn: Int { 512 }
  /// Questions that wait at once; one more is refused as overload.
  package static var questionsMax: Int { 256 }
  /// How far, in minutes, the minute that a peer names may be ahead of this node's own: good clocks are one apart.
  static var minutesAheadMax: UInt64 { 3 }
  private static var slotsPerUnit: Int { 256 }
  private static var unitsPerRecord: Int { 2 }
  private static var bytesPerUnit: Int { 4096 }

  mutating func receiveQuestion(_ body: PeerBody, from node: NodeID, at now: Moment) {
    let body = believed(body, at: now)
    if exchanges.unitsLeft > 0, exchanges.questions.isEmpty { return answer(body, to: node) }
    guard exchanges.questions.count < Self.questionsMax else { return refuse(body, to: node, .overloaded) }
    exchanges.questions.append((body, node))
  }

  /// A minute far ahead of this node's own would leave out values that have not expired, and what differs in them would be
  /// found by nobody: it counts as no later than the last one that is likely.
  private func believed(_ body: PeerBody, at now: Moment) -> PeerBody {
    guard case .compare(var compare) = body else { return body }
    compare.leftBy = min(compare.leftBy, minute(at: now) + Self.minutesAheadMax)
    return .compare(compare)
  }

  /// Answers what earlier turns left. - Returns: Whether there is more.
  mutating func continueAnswers() -> Bool {
    exchanges.unitsLeft = Self.unitsPerTurn
    var answered = 0
    while answered < exchanges.questions.count, exchanges.unitsLeft > 0 {
      let (body, node) = exchanges.questions[answered]
      answered += 1
      answer(body, to: node)
    }
    exchanges.questions.removeFirst(answered)
    return !exchanges.questions.isEmpty
  }

  private mutating func answer(_ body: PeerBody, to node: NodeID) {
    switch body {
    case .compare(let compare): answer(compare, to: node)
    case .pull(let pull): continuePull(PullWork(pull: pull, node: node), warm: nil)
    default: break
    }
  }

  private mutating func refuse(_ body: PeerBody, to node: NodeID, _ refusal: Refusal) {
    switch body {
    case .compare(let compare):
      send(.compareReply(PeerCompareReply(operation: compare.operation, outcome: .refused(refusal))), to: node)
    case .pull(let pull): refusePull(pull, to: node, refusal)
    default: break
    }
  }

  // MARK: - Comparisons

  private mutating func answer(_ compare: PeerCompare, to node: NodeID) {
    let outcome: CompareOutcome
    exchanges.unitsLeft -= 1
    switch compare.subject {
    case .roots(let roots, let beginsRound):
      exchanges.unitsLeft -= roots.count
      outcome = .roots(roots.map { answer($0, leftBy: compare.leftBy, to: node, beginsRound: beginsRound) })
    case .segments(let store, let configID, let theirs):
      outcome = segments(of: store, configID: configID, theirs, compare)
    case .slots(let store, let configID, let question):
      outcome = slots(of: store, configID: configID, question, compare)
    }
    send(.compareReply(PeerCompareReply(operation: compare.operation, outcome: outcome)), to: node)
  }

  private mutating func answer(
    _ root: StoreRoot, leftBy: UInt64, to node: NodeID, beginsRound: Bool
  ) -> RootAnswer {
    func answer(_ verdict: RootAnswer.Verdict) -> RootAnswer {
      RootAnswer(store: root.store, verdict: verdict, activity: activity(root, leftBy: leftBy, with: node))
    }
    if let refusal = refusal(root.store, configID: root.configID, hash: nil) { return answer(.refused(refusal)) }
    guard let engine else { return answer(.refused(.notReady)) }
    let own = roundRoot(root.store, engine, leftBy: leftBy)
    guard own != root.root else { return answer(.equal) }
    if !beginsRound { invitedToRound(root.store, by: node) }
    return answer(.differs(own))
  }

  private mutating func segments(
    of store: StoreID, configID: UInt64, _ theirs: [TreeHash], _ compare: PeerCompare
  ) -> CompareOutcome {
    if let refusal = refusal(store, configID: configID, hash: nil) { return .refused(refusal) }
    guard let engine else { return .refused(.notReady) }
    var differing: UInt32 = 0
    for (number, (own, other)) in zip(engine.treeSegments(store, leftBy: compare.leftBy), theirs).enumerated()
    where own.compared(valuesOnly: compare.valuesOnly) != other {
      differing |= 1 << UInt32(number)
    }
    let status = engine.status(store)
    return .segments(
      SegmentAnswer(
        differing: differing, keys: UInt64(status.keysLive + status.tombstones), bytes: status.liveBytes,
        floor: engine.floor(store)))
  }

  private mutating func slots(
    of store: StoreID, configID: UInt64, _ question: SlotQuestion, _ compare: PeerCompare
  ) -> CompareOutcome {
    if let refusal = refusal(store, configID: configID, hash: nil) { return .refused(refusal) }
    guard let engine else { return .refused(.notReady) }
    let (valuesOnly, leftBy) = (compare.valuesOnly, compare.leftBy)
    let count = engine.slotCount(of: store, segment: question.segment, valuesOnly: valuesOnly)
    exchanges.unitsLeft -= count / Self.slotsPerUnit
    let hash = engine.treeSegments(store, leftBy: leftBy)[question.segment].compared(valuesOnly: valuesOnly)
    if !question.leaves.isEmpty, hash == question.hash {
      return .slots(SlotPage(slots: [], next: nil, isHidden: false))
    }
    var bits = HashTree.leafBits(slots: count)
    var leaves = Array(0..<1 << bits)
    var isHidden = false
    if !question.leaves.isEmpty {
      let theirBits = question.leaves.count.trailingZeroBitCount
      let own = engine.leafHashes(
        of: store, segment: question.segment, bits: theirBits, valuesOnly: valuesOnly, leftBy: leftBy)
      let differing = own.indices.filter { own[$0] != question.leaves[$0] }
      isHidden = differing.isEmpty
      if !isHidden {
        bits = theirBits
        leaves = differing
      }
    }
    var page = SlotPage(slots: [], next: nil, isHidden: isHidden)
    let first = storeID(question.from) == store ? leafNumber(of: question.from, bits: bits) : 0
    for leaf in leaves where leaf >= first {
      let slots = engine.slotDigests(
        of: store, segment: question.segment, leaf: leaf, bits: bits, valuesOnly: valuesOnly)
      if !page.append(slots, from: question.from) { break }
    }
    return .slots(page)
  }

  // MARK: - Records

  /// Puts a page together, and sends it when it is full, or all there is.
  mutating func continuePull(_ work: PullWork, warm: WarmBytes?) {
    let pull = work.pull
    let hindrance = refusal(pull.store, configID: pull.configID, hash: nil)
    if let hindrance, hindrance != .loading || !pull.isOfOneHash { return refusePull(pull, to: work.node, hindrance) }
    guard let engine else { return refusePull(pull, to: work.node, .notReady) }
    var work = work
    var next: UInt64?
    do throws(StorageError) {
      let read: ColdRead?
      switch pull.subject {
      case .items(let items): read = try collect(items, &work, &next, engine, warm)
      case .range(let segment, let from):
        work.from = max(work.from, from)
        read = try collect(segment: segment, &work, &next, engine, warm)
      }
      // A store that is being filled may have the record whose copy an owner has lost; of what it lacks it knows nothing.
      if read == nil, hindrance != nil, work.records.isEmpty { return refusePull(pull, to: work.node, .loading) }
      guard let read else { return sendPage(work, next: next, engine) }
      if !readCold(read, for: .pullAnswer(work)) { refusePull(pull, to: work.node, .overloaded) }
    } catch {
      refusePull(pull, to: work.node, refusal(of: pull.store, error))
    }
  }

  /// - Returns: What must be read first.
  private mutating func collect(
    _ items: [PullItem], _ work: inout PullWork, _ next: inout UInt64?, _ engine: Engine, _ warm: WarmBytes?
  ) throws(StorageError) -> ColdRead? {
    var warm = warm
    while work.itemsDone < items.count {
      let item = items[work.itemsDone]
      if work.bytes >= ExchangeLimits.pageBytes {
        next = item.hash
        return nil
      }
      exchanges.unitsLeft -= Self.unitsPerRecord
      guard storeID(item.hash) == work.pull.store else {
        work.itemsDone += 1
        continue
      }
      do throws(StorageError) {
        switch try engine.versions(
          ofHash: item.hash, above: item.above, in: work.pull.store, warm: warm, on: &disk)
        {
        case .cold(let read): return read
        case .records(let records): note(records, &work)
        }
      } catch {
        // Who asked for this one alone is told so; of many, the others are given.
        guard items.count > 1, fencesHashAlone(error, in: work.pull.store, engine) else { throw error }
      }
      warm = nil
      work.itemsDone += 1
    }
    return nil
  }

  private mutating func collect(
    segment: Int, _ work: inout PullWork, _ next: inout UInt64?, _ engine: Engine, _ warm: WarmBytes?
  ) throws(StorageError) -> ColdRead? {
    var warm = warm
    while true {
      let outcome: RecordPageOutcome
      do throws(StorageError) {
        outcome = try engine.recordPage(
          in: work.pull.store, segment: segment, from: work.from, bytesMax: ExchangeLimits.pageBytes - work.bytes,
          warm: warm, on: &disk)
      } catch {
        // Now that it is known it is passed over.
        guard fencesHashAlone(error, in: work.pull.store, engine) else { throw error }
        continue
      }
      switch outcome {
      case .cold(let read): return read
      case .page(let records, let rest):
        note(records, &work)
        guard let rest else { return nil }
        work.from = rest
        // A page that ends early has met a record that is not in memory.
        if work.bytes >= ExchangeLimits.pageBytes / 2 {
          next = rest
          return nil
        }
      }
      warm = nil
    }
  }

  /// Damage that was met leaves the rest of the store in service: its repair is under way elsewhere.
  func fencesHashAlone(_ error: StorageError, in store: StoreID, _ engine: Engine) -> Bool {
    if case .damaged = error { engine.role(store) != .fenced } else { false }
  }

  private mutating func note(_ records: [PulledRecord], _ work: inout PullWork) {
    let bytes = records.reduce(0) { $0 + $1.byteCount }
    exchanges.unitsLeft -= records.count * Self.unitsPerRecord + bytes / Self.bytesPerUnit
    work.records += records
    work.bytes += bytes
  }

  private mutating func sendPage(_ work: PullWork, next: UInt64?, _ engine: Engine) {
    let page = PullPage(records: work.records, next: next, floor: engine.floor(work.pull.store))
    let reply = PeerBody.pullReply(PeerPullReply(operation: work.pull.operation, outcome: .page(page)))
    // A hint is dropped upon such an answer (rule VALIDATED PULL): it must outlive a power loss here.
    guard work.pull.wantsDurable, !work.records.isEmpty else { return send(reply, to: work.node) }
    guard held.count < Self.heldMax else { return refusePull(work.pull, to: work.node, .overloaded) }
    sendWhenDurable(reply, of: work.pull.store, to: work.node, position: engine.appended)
  }

  mutating func refusePull(_ pull: PeerPull, to node: NodeID, _ refusal: Refusal) {
    send(.pullReply(PeerPullReply(operation: pull.operation, outcome: .refused(refusal))), to: node)
  }
}

extension PeerPull {
  fileprivate var isOfOneHash: Bool { if case .items(let items) = subject { items.count == 1 } else { false } }
}

extension SlotPage {
  /// Takes what there is room for, never part of a hash; of one hash two slots, which say that there are several.
  /// - Returns: Whether all of it went in; otherwise `next` says where the rest begins.
  fileprivate mutating func append(_ slots: [SlotDigest], from: UInt64) -> Bool {
    var index = 0
    while index < slots.count {
      let hash = slots[index].hash
      let group = slots[index...].prefix { $0.hash == hash }
      index += group.count
      guard hash >= from else { continue }
      guard self.slots.count + 2 <= ExchangeLimits.slotsMax else {
        next = hash
        return false
      }
      self.slots += group.prefix(2)
    }
    return true
  }
}
