import Causality
import Cluster
import Messages
import Primitives
import Storage

// Coordinating a read: any node asks r owners, itself first where it is one, and returns the newest version that they
// hold. One is asked for the value, the others for their stamps alone: a value travels twice only where copies differ.
// A replica that refuses or goes down is replaced by another, one that is slow is joined by one more, once; none of
// them ever counts as "absent". Where too few owners can answer, fallbacks are asked: one that keeps a hint of the key
// stands in for the owner that it keeps it for; one that keeps none counts for nothing, because it does not know.

extension Node where Disk: ~Copyable {
  /// Fallbacks that one read asks.
  private static var fallbacksMax: Int { 8 }

  mutating func beginGet(_ request: GetRequest, session: SessionID, at now: Moment) {
    let hash = hash(request.key.encoded)
    let store = storeID(hash)
    let n = ring.replicas
    let r = request.r.resolved(n: n, default: n / 2 + 1)
    let pr = request.pr.resolved(n: n, default: 1)
    guard r <= n, pr <= n else { return respond(.failed(.invalidQuorum(n: n)), to: session) }
    counters.gets += 1
    let owners = owners(store)
    var get = GetOperation(
      session: session, key: request.key, hash: hash, store: store, configID: configID(store), r: r,
      began: now.instant, deadline: deadline(request.timeoutMilliseconds, at: now),
      answers: QuorumTally(replicas: owners, wanted: r), primaries: QuorumTally(replicas: owners, wanted: pr))
    for node in owners {
      guard let obstacle = replicaObstacle(to: node, store: store) else { continue }
      get.answers.record(node, accepted: false)
      get.primaries.record(node, accepted: false)
      get.obstacles.append((node, obstacle))
    }
    let operation = newOperation(.get)
    gets[operation] = get
    askReplicas(operation, at: now)
    settleGet(operation, at: now)
    guard gets[operation] != nil else { return }
    let patience = chaos.strikes(.hedgeAtOnce) ? 0 : readLatency.hedgeMilliseconds(at: now.instant)
    wheel.schedule(operation, at: min(get.deadline, now.instant.adding(milliseconds: patience)))
  }

  // MARK: - Asking

  /// Asks as many further replicas as the quorums still lack, and one more where the read is to be hedged.
  private mutating func askReplicas(_ operation: UInt64, isHedging: Bool = false, at now: Moment) {
    guard let get = gets[operation], get.fetchedFrom == nil else { return }
    let candidates = candidates(get)
    let open = get.asked.count { get.answers.isOpen($0) }
    let lacking = max(
      get.answers.wanted - get.answers.accepted, get.primaries.wanted - get.primaries.accepted)
    let missing = max(0, lacking - open) + (isHedging ? 1 : 0)
    let chosen = candidates.prefix(missing)
    ask(chosen, operation, at: now)
    // The owners that are left cannot make up the quorum by themselves.
    if chosen.count < missing, !isHedging { askFallbacks(operation, at: now) }
  }

  /// Owners that were not asked yet, in the order in which to ask them.
  private func candidates(_ get: GetOperation) -> [NodeID] {
    var candidates = get.primaries.replicas.filter { get.primaries.isOpen($0) && !get.asked.contains($0) }
    guard candidates.count > 1 else { return candidates }
    // This node first: its copy costs no message. The others share the load turn by turn of the loop, so that the
    // reads of one turn travel in one frame to one of them.
    let turn = Int(turns % UInt64(candidates.count))
    candidates = Array(candidates[turn...] + candidates[..<turn])
    if let index = candidates.firstIndex(of: own.id) { candidates.swapAt(0, index) }
    return candidates
  }

  private mutating func ask(_ nodes: ArraySlice<NodeID>, _ operation: UInt64, at now: Moment) {
    guard !nodes.isEmpty, let get = gets[operation] else { return }
    gets[operation]?.asked.append(contentsOf: nodes)
    var valueAsked = get.valueAsked ?? (nodes.contains(own.id) ? own.id : nil)
    for node in nodes where node != own.id {
      let subject: ReadSubject = valueAsked == nil ? .value : .digest
      if valueAsked == nil { valueAsked = node }
      sendRead(subject, operation, get, to: node)
    }
    gets[operation]?.valueAsked = valueAsked
    if nodes.contains(own.id) { readOwnCopy(operation, warm: nil, at: now) }
  }

  private mutating func sendRead(_ subject: ReadSubject, _ operation: UInt64, _ get: GetOperation, to node: NodeID) {
    let read = PeerRead(subject, operation: operation, store: get.store, configID: get.configID, key: get.key)
    send(.read(read), to: node)
  }

  /// Those that are up may keep a hint of the key, this node among them where it is no owner.
  private mutating func askFallbacks(_ operation: UInt64, at now: Moment) {
    guard let get = gets[operation], !get.askedFallbacks else { return }
    gets[operation]?.askedFallbacks = true
    var asked = 0
    for node in ring.fallbacks(of: Int(get.store.partition)) where asked < Self.fallbacksMax {
      guard node == own.id || peers.isUp(node) else { continue }
      asked += 1
      gets[operation]?.answers.join(node)
      gets[operation]?.asked.append(node)
      if node != own.id { sendRead(.hint, operation, get, to: node) }
    }
    if gets[operation]?.answers.replicas.contains(own.id) == true, !get.primaries.replicas.contains(own.id) {
      readOwnCopy(operation, warm: nil, at: now)
    }
  }

  /// What this node holds as an owner, or keeps as a fallback.
  mutating func readOwnCopy(_ operation: UInt64, warm: WarmBytes?, at now: Moment) {
    guard let get = gets[operation] else { return }
    let answer =
      get.primaries.replicas.contains(own.id)
      ? readStore(get.key, hash: get.hash, store: get.store, warm: warm)
      : readHint(get.key, hash: get.hash, store: get.store, warm: warm)
    switch answer {
    case .cold(let read):
      if !readCold(read, for: .get(operation)) { getAnswered(operation, own.id, .refused(.overloaded), at: now) }
    case .done(let outcome): getAnswered(operation, own.id, outcome, at: now)
    }
  }

  // MARK: - Answers

  mutating func receiveReadReply(_ reply: PeerReadReply, from node: NodeID, at now: Moment) {
    switch OperationKind(of: reply.operation) {
    case .get: getAnswered(reply.operation, node, reply.outcome, at: now)
    case .write: receiveProbeReply(reply, from: node, at: now)
    case .forward, .list, .handoff, nil: break
    }
  }

  mutating func getAnswered(_ operation: UInt64, _ node: NodeID, _ outcome: ReadOutcome, at now: Moment) {
    guard let get = gets[operation] else { return }
    if get.fetchedFrom == node { return fetched(operation, node, outcome, at: now) }
    guard get.answers.isOpen(node) else { return }
    let isOwner = get.primaries.replicas.contains(node)
    switch outcome {
    case .absent where !isOwner: gets[operation]?.answers.record(node, accepted: false)
    case .absent: note(operation, node, stamp: nil, isTombstone: false, isOwner: isOwner)
    case .digest(let stamp, let isTombstone):
      note(operation, node, stamp: stamp, isTombstone: isTombstone, isOwner: isOwner)
    case .found(let version):
      note(operation, node, stamp: version.stamp, isTombstone: version.isTombstone, isOwner: isOwner)
      keepNewest(operation, version)
    case .refused(let refusal):
      if refusal == .damaged { gets[operation]?.sawDamage = true }
      return getReplicaFailed(operation, node, .refused(refusal), at: now)
    }
    settleGet(operation, at: now)
  }

  private mutating func note(
    _ operation: UInt64, _ node: NodeID, stamp: Stamp?, isTombstone: Bool, isOwner: Bool
  ) {
    gets[operation]?.answers.record(node, accepted: true)
    if isOwner { gets[operation]?.primaries.record(node, accepted: true) }
    gets[operation]?.seen.append(GetOperation.Answer(node: node, stamp: stamp, isTombstone: isTombstone))
  }

  private mutating func keepNewest(_ operation: UInt64, _ version: StoredVersion) {
    guard version.stamp > gets[operation]?.newest?.stamp ?? .zero else { return }
    valueBytes += version.value.count - (gets[operation]?.newest?.value.count ?? 0)
    gets[operation]?.newest = version
  }

  /// The replica does not answer any more, or refuses: another takes its place. One that had only told its stamp, and
  /// cannot bring the value, has not answered either.
  mutating func getReplicaFailed(_ operation: UInt64, _ node: NodeID, _ obstacle: Obstacle, at now: Moment) {
    guard let get = gets[operation] else { return }
    let isFetching = get.fetchedFrom == node
    guard isFetching || get.answers.isOpen(node) else { return }
    if isFetching { gets[operation]?.fetchedFrom = nil }
    gets[operation]?.answers.withdraw(node)
    gets[operation]?.primaries.withdraw(node)
    gets[operation]?.seen.removeAll { $0.node == node }
    gets[operation]?.obstacles.append((node, obstacle))
    if get.valueAsked == node { gets[operation]?.valueAsked = nil }
    askReplicas(operation, at: now)
    settleGet(operation, at: now)
  }

  // MARK: - The end

  private mutating func settleGet(_ operation: UInt64, at now: Moment) {
    guard let get = gets[operation], get.fetchedFrom == nil else { return }
    switch (get.answers.verdict, get.primaries.verdict) {
    case (.impossible, _), (_, .impossible):
      // Before it is given up, those that may keep a hint are asked.
      if get.primaries.verdict != .impossible, !get.askedFallbacks {
        askFallbacks(operation, at: now)
        return settleGet(operation, at: now)
      }
      removeGet(operation)
      respond(.failed(failure(of: get)), to: get.session)
    case (.waiting, _), (_, .waiting): return
    case (.reached, .reached): concludeGet(operation, get, at: now)
    }
  }

  private mutating func concludeGet(_ operation: UInt64, _ get: GetOperation, at now: Moment) {
    let newest = get.seen.max { ($0.stamp ?? .zero) < ($1.stamp ?? .zero) }
    if let newest, let stamp = newest.stamp, stamp > get.newest?.stamp ?? .zero, !newest.isTombstone {
      // Its value has not been seen: only now does it travel.
      gets[operation]?.fetchedFrom = newest.node
      counters.digestMismatches += 1
      let isOwner = get.primaries.replicas.contains(newest.node)
      return sendRead(isOwner ? .value : .hint, operation, get, to: newest.node)
    }
    removeGet(operation)
    readLatency.record(now.instant.nanoseconds - get.began.nanoseconds, at: now.instant)
    if get.primaries.accepted < get.r { counters.sloppyReads += 1 }
    guard let newest, let stamp = newest.stamp else { return respond(.notFound(tombstone: nil), to: get.session) }
    if newest.isTombstone {
      respond(.notFound(tombstone: stamp), to: get.session)
      repair(get, StoredVersion(stamp: stamp, isTombstone: true, value: []))
    } else if let version = get.newest {
      respond(.object(stamp: version.stamp, payload: version.value), to: get.session)
      repair(get, version)
    }
  }

  /// The value that a digest had announced, or something newer yet.
  private mutating func fetched(_ operation: UInt64, _ node: NodeID, _ outcome: ReadOutcome, at now: Moment) {
    guard case .found(let version) = outcome,
      version.stamp >= gets[operation]?.seen.first(where: { $0.node == node })?.stamp ?? .zero
    else {
      if case .refused(let refusal) = outcome { return getReplicaFailed(operation, node, .refused(refusal), at: now) }
      // What it told before it does not hold any more: a hint that was handed over meanwhile.
      return getReplicaFailed(operation, node, .wentDown, at: now)
    }
    gets[operation]?.fetchedFrom = nil
    gets[operation]?.seen.removeAll { $0.node == node }
    gets[operation]?.seen.append(
      GetOperation.Answer(node: node, stamp: version.stamp, isTombstone: version.isTombstone))
    keepNewest(operation, version)
    settleGet(operation, at: now)
  }

  @discardableResult
  private mutating func removeGet(_ operation: UInt64) -> GetOperation? {
    guard let get = gets.removeValue(forKey: operation) else { return nil }
    valueBytes -= get.newest?.value.count ?? 0
    return get
  }

  private func failure(of get: GetOperation) -> ClientFailure {
    let detail = describe(get.obstacles, owners: get.primaries.replicas.count)
    if get.sawDamage { return .damaged(detail: detail) }
    // What could still answer, not what did: the promise is judged before everybody was asked.
    let got = get.answers.replicas.count - get.answers.refused
    return got < get.r
      ? .unsatisfied(.r, wanted: get.r, got: got, detail: detail)
      : .unsatisfied(
        .pr, wanted: get.primaries.wanted, got: get.primaries.replicas.count - get.primaries.refused, detail: detail)
  }

  mutating func wakeGet(_ operation: UInt64, at now: Moment) {
    guard let get = gets[operation] else { return }
    guard get.deadline <= now.instant else {
      if !get.isHedged {
        gets[operation]?.isHedged = true
        if !candidates(get).isEmpty { counters.hedgedReads += 1 }
        if get.newest == nil { gets[operation]?.valueAsked = nil }
        askReplicas(operation, isHedging: true, at: now)
        settleGet(operation, at: now)
      }
      return schedule(operation, deadline: get.deadline, at: now)
    }
    removeGet(operation)
    let silent = get.asked.filter { get.answers.isOpen($0) || $0 == get.fetchedFrom }.map { name($0) }
    let words = [
      "r \(get.answers.accepted)/\(get.answers.wanted)", "no answer from \(silent.joined(separator: ", "))",
      describe(get.obstacles, owners: get.primaries.replicas.count),
    ]
    respond(.failed(.timeout(detail: words.filter { !$0.isEmpty }.joined(separator: "; "))), to: get.session)
  }
}
