import Cluster
import Messages
import Primitives
import Storage

// Coordinating a listing. Each partition is read from as many owners as a quorum read asks, and each key is decided by
// its highest stamp, so a key that was deleted is not told, whoever has slept through it, and none is missing that an
// acknowledged write left (a doubtful one is read: `Node+ListDoubts.swift`). An owner that refuses, goes down or is silent
// is replaced from where the partition had got to. When too few are left the listing fails: part of it never passes for
// all.

extension Node where Disk: ~Copyable {
  /// Listings in progress at once; one more is answered `overloaded`.
  package static var listsMax: Int { 16 }
  /// Slots that a turn looks at for pages of keys, its own listings' and its peers' together: half a millisecond or so,
  /// which is what listings, however many, cost everybody else. A page that has begun is finished.
  static var slotsPerTurn: Int { 512 }
  /// Pages that peers wait for at once; one more is refused as overload.
  package static var waitingPagesMax: Int { 1024 }
  /// How often a listing is looked at, milliseconds.
  private static var listReviewMilliseconds: UInt64 { 50 }
  /// An owner that has not sent a page after this time is replaced where another can take over, milliseconds.
  private static var pagePatienceMilliseconds: UInt64 { 1000 }

  mutating func beginList(_ request: ListRequest, session: SessionID, at now: Moment) {
    if let failure = obstacle() { return tell(.failed(failure), to: session) }
    guard lists.count < Self.listsMax else {
      counters.overloads += 1
      return tell(.failed(.overloaded(detail: "node \(own.name) makes \(lists.count) listings already")), to: session)
    }
    counters.lists += 1
    var list = ListOperation(
      number: newOperation(.list), session: session, request: request, r: ring.replicas / 2 + 1,
      partitions: ring.partitionCount, deadline: request.timeoutMilliseconds.map { deadline($0, at: now) },
      at: now.instant)
    // Whether it can be complete is known before anything is told.
    for partition in 0..<list.partitions {
      var lane = ListLane(store: store(of: partition), r: list.r)
      if let failure = chooseStreams(&lane, of: list) { return tell(.failed(failure), to: session) }
    }
    advance(&list, at: now)
    keep(list, at: now)
  }

  /// The client has taken the last part and wants the next.
  mutating func continueList(_ session: SessionID, at now: Moment) {
    guard let index = lists.firstIndex(where: { $0.session == session }) else { return }
    withList(index, at: now) { list, node in
      list.clientIsReady = true
      node.advance(&list, at: now)
    }
  }

  mutating func abandonList(_ session: SessionID) { lists.removeAll { $0.session == session } }

  /// Takes the listing out of its table while it is changed, so that nothing is copied, and puts it back unless it is
  /// over.
  mutating func withList(
    _ index: Int, at now: Moment, _ body: (inout ListOperation, inout Self) -> Void
  ) {
    var list = lists.remove(at: index)
    body(&list, &self)
    keep(list, at: now)
  }

  private mutating func keep(_ list: ListOperation, at now: Moment) {
    if let failure = list.failure { return tell(.failed(failure), to: list.session) }
    if list.isOver { return tell(.end, to: list.session) }
    lists.append(list)
  }

  private mutating func tell(_ part: ListingPart, to session: SessionID) {
    if case .failed(let failure) = part { counters.failures.count(failure) }
    free.append(.listing(part, session: session))
  }

  /// Ends every listing for one reason.
  mutating func endLists(_ failure: ClientFailure) {
    for list in lists { tell(.failed(failure), to: list.session) }
    lists.removeAll()
  }

  // MARK: - Going on

  /// Decides, asks and tells until it has to wait for an owner or for the client.
  mutating func advance(_ list: inout ListOperation, at now: Moment) {
    var isMoving = true
    list.isHungry = false
    while isMoving, list.failure == nil {
      isMoving = false
      beginLanes(&list)
      for lane in list.lanes.indices {
        list.decide(lane, isRuled: options.rules.hold(.reAsk), at: peers.judgingMilliseconds(at: now))
        if readDoubts(lane, of: &list, at: now) { isMoving = true }
        if let failure = chooseStreams(&list.lanes[lane], of: list) { list.failure = list.failure ?? failure }
        if ask(lane, of: &list, at: now) { isMoving = true }
      }
      let before = list.lanes.count
      list.lanes.removeAll(where: \.isDone)
      if list.lanes.count < before { isMoving = true }
    }
    hand(over: &list)
  }

  private func beginLanes(_ list: inout ListOperation) {
    while list.lanes.count < ListOperation.lanesMax, list.nextPartition < list.partitions {
      list.lanes.append(ListLane(store: store(of: list.nextPartition), r: list.r))
      list.nextPartition += 1
    }
  }

  /// Gives the lane as many owners as the listing asks, this node first: its keys cost no message. The others take
  /// turns by partition. - Returns: Why that is impossible.
  private func chooseStreams(_ lane: inout ListLane, of list: ListOperation) -> ClientFailure? {
    guard lane.merge.streams.count < list.r else { return nil }
    var down: [String] = []
    for node in candidates(lane) where lane.merge.streams.count < list.r {
      if let obstacle = obstacle(to: node, store: lane.store) {
        down.append(obstacle)
      } else {
        lane.merge.streams.append(KeyStream(node, from: lane.merge.decided))
      }
    }
    guard lane.merge.streams.count < list.r else { return nil }
    return failure(of: lane, down: down, r: list.r)
  }

  /// Owners that may be asked and are not.
  private func candidates(_ lane: ListLane) -> [NodeID] {
    var owners = owners(lane.store)
    let turn = owners.isEmpty ? 0 : Int(lane.store.partition) % owners.count
    owners = Array(owners[turn...] + owners[..<turn])
    if let index = owners.firstIndex(of: own.id) { owners.swapAt(0, index) }
    return owners.filter { node in
      !lane.merge.streams.contains { $0.node == node } && !lane.obstacles.contains { $0.node == node }
    }
  }

  private func failure(of lane: ListLane, down: [String], r: Int) -> ClientFailure {
    var reasons = lane.obstacles.map(\.reason) + down
    let owners = owners(lane.store).count
    if owners < ring.replicas { reasons.append("the cluster has \(owners) of n_val = \(ring.replicas) nodes") }
    let detail = "partition \(lane.store.partition): \(reasons.joined(separator: "; "))"
    if lane.sawDamage { return .damaged(detail: detail) }
    return .unsatisfied(.r, wanted: r, got: lane.merge.streams.count, detail: detail)
  }

  /// Asks for the pages that the lane needs. - Returns: Whether one is here already.
  private mutating func ask(_ lane: Int, of list: inout ListOperation, at now: Moment) -> Bool {
    var hasPage = false
    let streams = list.lanes[lane].merge.streams.filter { $0.needsPage && !list.lanes[lane].isAsked($0.node) }
    for stream in streams {
      if stream.node == own.id, slotsLeft <= 0 {
        list.isHungry = true
        continue
      }
      guard let from = stream.next else { continue }
      let store = list.lanes[lane].store
      let question = PeerList(
        operation: list.number, sequence: list.newSequence(), store: store, configID: configID(store), from: from,
        pattern: list.pattern)
      list.lanes[lane].questions.append(
        ListLane.Question(node: stream.node, sequence: question.sequence, asked: now.instant))
      guard stream.node == own.id else {
        send(.list(question), to: stream.node)
        continue
      }
      if let outcome = ownPage(question, warm: nil) {
        take(outcome, from: own.id, sequence: question.sequence, in: &list, at: now)
        hasPage = true
      }
    }
    return hasPage
  }

  /// Gives the client what is there, when it is worth a part or all that will come for now.
  private mutating func hand(over list: inout ListOperation) {
    guard list.clientIsReady, !list.names.isEmpty, list.failure == nil else { return }
    guard list.names.bytes.count >= ListOperation.partBytes || list.isComplete || list.handsOverAll else { return }
    list.clientIsReady = false
    list.handsOverAll = false
    tell(.names(list.names), to: list.session)
    list.names.removeAll()
  }

  // MARK: - Answers

  mutating func receiveListReply(_ reply: PeerListReply, from node: NodeID, at now: Moment) {
    guard let index = lists.firstIndex(where: { $0.number == reply.operation }) else { return }
    withList(index, at: now) { list, coordinator in
      coordinator.take(reply.outcome, from: node, sequence: reply.sequence, in: &list, at: now)
      coordinator.advance(&list, at: now)
    }
  }

  private mutating func take(
    _ outcome: ListOutcome, from node: NodeID, sequence: UInt32, in list: inout ListOperation, at now: Moment
  ) {
    for lane in list.lanes.indices {
      guard
        let question = list.lanes[lane].questions.firstIndex(where: { $0.node == node && $0.sequence == sequence })
      else { continue }
      list.lanes[lane].questions.remove(at: question)
      list.progressed = now.instant
      switch outcome {
      case .page(let page):
        guard let stream = list.lanes[lane].merge.streams.firstIndex(where: { $0.node == node }) else { return }
        let isInPartition = page.next.map { storeID($0) == list.lanes[lane].store } ?? true
        if !isInPartition || !list.lanes[lane].merge.streams[stream].take(page) {
          list.lanes[lane].giveUp(node, "\(name(node)): a page that was not asked for")
        }
      case .refused(let refusal):
        if refusal == .damaged { list.lanes[lane].sawDamage = true }
        list.lanes[lane].giveUp(node, "\(name(node)): \(refusal)")
      }
      return
    }
  }

  /// Every listing goes on without a node that went down.
  mutating func listReplicaFailed(_ node: NodeID, at now: Moment) {
    for index in lists.indices.reversed() {
      withList(index, at: now) { list, coordinator in
        for lane in list.lanes.indices where list.lanes[lane].merge.streams.contains(where: { $0.node == node }) {
          list.lanes[lane].giveUp(node, nil)
        }
        coordinator.advance(&list, at: now)
      }
    }
  }

  // MARK: - Turns

  /// Goes on with what earlier turns broke off, a fair share of each. - Returns: Whether there is more.
  mutating func continuePages(at now: Moment) -> Bool {
    slotsLeft = chaos.strikes(.pagesPutOff) ? 0 : Self.slotsPerTurn
    continueDoubts(at: now)
    guard !waitingPages.isEmpty || lists.contains(where: \.isHungry) else { return false }
    // Both kinds get on in every turn: half of it at least is left for this node's own listings.
    var served = 0
    while served < waitingPages.count, slotsLeft > Self.slotsPerTurn / 2 {
      let (question, node) = waitingPages[served]
      served += 1
      servePage(question, to: node, warm: nil)
    }
    waitingPages.removeFirst(served)
    // The one that went on last stands last in the table.
    var left = lists.count
    while left > 0, slotsLeft > 0, let index = lists.prefix(left).firstIndex(where: \.isHungry) {
      left = index
      withList(index, at: now) { list, node in node.advance(&list, at: now) }
    }
    return !waitingPages.isEmpty || lists.contains(where: \.isHungry)
  }

  // MARK: - Time

  /// Looks after the listings that wait: for an owner that is silent, for a disk, for a client.
  mutating func reviewLists(at now: Moment) {
    guard !lists.isEmpty else { return }
    guard now.instant.milliseconds(since: lastListReview) >= Self.listReviewMilliseconds else { return }
    lastListReview = now.instant
    for index in lists.indices.reversed() {
      withList(index, at: now) { list, node in
        if let deadline = list.deadline, deadline <= now.instant {
          list.failure = .timeout(detail: "\(list.nextPartition) of \(list.partitions) partitions were begun")
          return
        }
        node.replaceSilent(&list, at: now)
        list.handsOverAll = true
        node.advance(&list, at: now)
      }
    }
  }

  private mutating func replaceSilent(_ list: inout ListOperation, at now: Moment) {
    let isWaiting = list.lanes.contains { !$0.questions.isEmpty }
    if !isWaiting { list.progressed = now.instant }
    for lane in list.lanes.indices {
      for question in list.lanes[lane].questions
      where now.instant.milliseconds(since: question.asked) >= Self.pagePatienceMilliseconds {
        let isReplaceable = candidates(list.lanes[lane]).contains {
          obstacle(to: $0, store: list.lanes[lane].store) == nil
        }
        if isReplaceable {
          list.lanes[lane].giveUp(question.node, "\(name(question.node)) is silent")
        } else if question.node != own.id {
          // The question or its answer may be lost: asked again, under another number.
          list.lanes[lane].questions.removeAll { $0.sequence == question.sequence }
        }
      }
    }
    guard now.instant.milliseconds(since: list.progressed) >= options.requestTimeoutMilliseconds else { return }
    let silent = list.lanes.flatMap(\.questions).map { name($0.node) }
    list.failure = .timeout(detail: "no page from \(Set(silent).sorted().joined(separator: ", "))")
  }

  // MARK: - At the owner

  /// Serves a peer's page now, or in a later turn when this one has done enough.
  mutating func receiveList(_ list: PeerList, from node: NodeID) {
    if slotsLeft > 0, waitingPages.isEmpty { return servePage(list, to: node, warm: nil) }
    guard waitingPages.count < Self.waitingPagesMax else {
      return refusePage(list, to: node, .overloaded)
    }
    waitingPages.append((list, node))
  }

  mutating func servePage(_ list: PeerList, to node: NodeID, warm: WarmBytes?) {
    guard let outcome = page(list, warm: warm, for: .peerList(list, from: node)) else { return }
    send(
      .listReply(PeerListReply(operation: list.operation, sequence: list.sequence, outcome: outcome)), to: node)
  }

  mutating func refusePage(_ list: PeerList, to node: NodeID, _ refusal: Refusal) {
    send(
      .listReply(
        PeerListReply(operation: list.operation, sequence: list.sequence, outcome: .refused(refusal))), to: node)
  }

  private mutating func ownPage(_ list: PeerList, warm: WarmBytes?) -> ListOutcome? {
    page(list, warm: warm, for: .list(list))
  }

  /// The bytes for a page of this node's own cannot be read.
  mutating func ownPageRefused(_ question: PeerList, _ refusal: Refusal, at now: Moment) {
    guard let index = lists.firstIndex(where: { $0.number == question.operation }) else { return }
    withList(index, at: now) { list, node in
      node.take(.refused(refusal), from: node.own.id, sequence: question.sequence, in: &list, at: now)
      node.advance(&list, at: now)
    }
  }

  /// The bytes for a page of this node's own have come.
  mutating func continueOwnPage(_ question: PeerList, warm: WarmBytes, at now: Moment) {
    guard let index = lists.firstIndex(where: { $0.number == question.operation }) else { return }
    withList(index, at: now) { list, node in
      guard let outcome = node.ownPage(question, warm: warm) else { return }
      node.take(outcome, from: node.own.id, sequence: question.sequence, in: &list, at: now)
      node.advance(&list, at: now)
    }
  }

  /// What this node's store has, or nil when the disk is asked first. Damage is a refusal: no key is left out.
  private mutating func page(_ list: PeerList, warm: WarmBytes?, for pending: PendingRead) -> ListOutcome? {
    if let refusal = refusal(list.store, configID: list.configID, hash: list.from == 0 ? nil : list.from) {
      return .refused(refusal)
    }
    guard let engine else { return .refused(.notReady) }
    slotsLeft -= Engine.slotsPerPage
    do throws(StorageError) {
      switch try engine.keys(in: list.store, from: list.from, matching: list.pattern, warm: warm, on: &disk) {
      case .page(let page):
        counters.vnodePages += 1
        return .page(page)
      case .cold(let read): return readCold(read, for: pending) ? nil : .refused(.overloaded)
      }
    } catch {
      return .refused(refusal(of: list.store, error))
    }
  }
}

extension Node where Disk: ~Copyable {
  fileprivate func store(of partition: Int) -> StoreID {
    StoreID(partition: UInt16(partition), replicas: UInt8(ring.replicas))
  }
}
