import Causality
import Cluster
import Messages
import Primitives
import Storage

// Coordinating a read: any node asks r owners, itself first where it is one, and returns the newest version that they
// hold. One is asked for the value, the others for their stamps alone: a value travels twice only where copies differ.
// A replica that refuses or goes down is replaced by another, one that is slow is joined by one more, once; none of
// them ever counts as "absent". Where too few owners can answer, fallbacks are asked: one that keeps a hint of the key
// stands in for the owner that it keeps it for; one that keeps none counts for nothing, because it does not know. What
// "absent" means for the other answers stands in `Node+Revalidate.swift`.

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
    let get = GetOperation(
      session: session, key: request.key, hash: hash, store: store, configID: configID(store), owners: owners(store),
      r: r, pr: pr, began: now.instant, deadline: deadline(request.timeoutMilliseconds, at: now))
    for node in get.primaries.replicas {
      guard let obstacle = replicaObstacle(to: node, store: store) else { continue }
      get.answers.record(node, accepted: false)
      get.primaries.record(node, accepted: false)
      get.obstacles.append((node, obstacle))
    }
    let operation = newOperation(.get)
    gets[operation] = get
    askReplicas(operation, get, at: now)
    settleGet(operation, get, at: now)
    guard gets[operation] != nil else { return }
    let hedge = chaos.strikes(.hedgeAtOnce) ? 0 : readLatency.hedgeMilliseconds(at: now.instant)
    wheel.schedule(operation, at: min(get.deadline, now.instant.adding(milliseconds: hedge)))
  }

  // MARK: - Asking

  /// Asks as many further replicas as the quorums still lack, and one more where the read is to be hedged.
  mutating func askReplicas(
    _ operation: UInt64, _ get: GetOperation, isHedging: Bool = false, at now: Moment
  ) {
    guard get.fetchedFrom == nil else { return }
    let open = get.asked.reduce(0) { $0 + (get.answers.isOpen($1) ? 1 : 0) }
    let lacking = max(get.answers.wanted - get.answers.accepted, get.primaries.wanted - get.primaries.accepted)
    var missing = max(0, lacking - open) + (isHedging ? 1 : 0)
    var asksOwn = false
    while missing > 0, let node = nextCandidate(get) {
      missing -= 1
      get.asked.append(node)
      if node == own.id {
        asksOwn = true
        get.noteAsked(node)
        get.valueAsked = get.valueAsked ?? node
      } else {
        let subject: ReadSubject = get.valueAsked == nil ? .value : .digest
        if subject == .value { get.valueAsked = node }
        sendRead(subject, operation, get, to: node)
      }
    }
    if asksOwn { readOwnCopy(operation, warm: nil, at: now) }
    // The owners that are left cannot make up the quorum by themselves.
    if missing > 0, !isHedging, gets[operation] != nil { askFallbacks(operation, get, at: now) }
  }

  /// An owner that was not asked yet: this node first, because its copy costs no message. The others share the load turn
  /// by turn of the loop, so that the reads of one turn travel in one frame to one of them.
  private func nextCandidate(_ get: GetOperation) -> NodeID? {
    let owners = get.primaries.replicas
    func isCandidate(_ node: NodeID) -> Bool { get.primaries.isOpen(node) && !get.asked.contains(node) }
    if owners.contains(own.id), isCandidate(own.id) { return own.id }
    let first = Int(turns % UInt64(max(1, owners.count)))
    for step in owners.indices {
      let node = owners[(first + step) % owners.count]
      if isCandidate(node) { return node }
    }
    return nil
  }

  mutating func sendRead(_ subject: ReadSubject, _ operation: UInt64, _ get: GetOperation, to node: NodeID) {
    get.noteAsked(node)
    let read = PeerRead(subject, operation: operation, store: get.store, configID: get.configID, key: get.key)
    send(.read(read), to: node)
  }

  /// Those that are up may keep a hint of the key, this node among them where it is no owner.
  private mutating func askFallbacks(_ operation: UInt64, _ get: GetOperation, at now: Moment) {
    guard !get.askedFallbacks else { return }
    get.askedFallbacks = true
    var asked = 0
    for node in ring.fallbacks(of: Int(get.store.partition)) where asked < Self.fallbacksMax {
      guard node == own.id || peers.isUp(node) else { continue }
      asked += 1
      get.answers.join(node)
      get.asked.append(node)
      if node != own.id { sendRead(.hint, operation, get, to: node) }
    }
    let isAsked = get.answers.replicas.contains(own.id) && !get.primaries.replicas.contains(own.id)
    if isAsked { readOwnCopy(operation, warm: nil, at: now) }
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
      if !readCold(read, for: .get(operation)) { getReplicaFailed(operation, own.id, .refused(.overloaded), at: now) }
    case .done(let outcome):
      let isOwner = get.primaries.replicas.contains(own.id)
      getAnswered(operation, own.id, outcome, validatedWith: isOwner ? validatedWith(get.store) : 0, at: now)
    }
  }

  // MARK: - Answers

  mutating func receiveReadReply(_ reply: PeerReadReply, from node: NodeID, at now: Moment) {
    switch OperationKind(of: reply.operation) {
    case .get:
      // What it said first, once more, while it is asked again.
      if gets[reply.operation]?.second.contains(where: { $0.node == node }) == true { return }
      getAnswered(reply.operation, node, reply.outcome, validatedWith: reply.validatedWith, at: now)
    case .secondRead: receiveSecondRead(reply, from: node, at: now)
    case .write: receiveProbeReply(reply, from: node, at: now)
    case .forward, .list, .handoff, .exchange, nil: break
    }
  }

  mutating func getAnswered(
    _ operation: UInt64, _ node: NodeID, _ outcome: ReadOutcome, validatedWith: UInt16, at now: Moment
  ) {
    guard let get = gets[operation] else { return }
    if get.fetchedFrom == node {
      return fetched(operation, get, node, outcome, validatedWith: validatedWith, at: now)
    }
    guard get.answers.isOpen(node), get.asked.contains(node) else { return }
    let isOwner = get.primaries.replicas.contains(node)
    switch outcome {
    case .absent where !isOwner: get.answers.record(node, accepted: false)
    case .refused(let refusal):
      if refusal == .damaged { get.sawDamage = true }
      return getReplicaFailed(operation, node, .refused(refusal), at: now)
    case .absent, .digest, .found: note(get, node, outcome, validatedWith: validatedWith)
    }
    revalidate(operation, get, at: now)
    settleGet(operation, get, at: now)
  }

  /// Takes an answer down in place of what the node said before.
  private mutating func note(_ get: GetOperation, _ node: NodeID, _ outcome: ReadOutcome, validatedWith: UInt16) {
    var stamp: Stamp?
    var isTombstone = false
    var expiry = Expiry.never
    var floor = Stamp.zero
    switch outcome {
    case .absent(let told): floor = told
    case .digest(let told, let isDeleted, let ends): (stamp, isTombstone, expiry) = (told, isDeleted, ends)
    case .found(let version): (stamp, isTombstone, expiry) = (version.stamp, version.isTombstone, version.expiry)
    case .refused: return
    }
    let isOwner = get.primaries.replicas.contains(node)
    get.answers.record(node, accepted: true)
    if isOwner { get.primaries.record(node, accepted: true) }
    get.arrivals += 1
    get.seen.removeAll { $0.node == node }
    get.seen.append(
      GetOperation.Answer(
        node: node, stamp: stamp, isTombstone: isTombstone, expiry: expiry, isOwner: isOwner, floor: floor,
        validatedWith: validatedWith, arrival: get.arrivals))
    if case .found(let version) = outcome { keepNewest(get, version) }
  }

  /// Forgets a version that nobody tells any more.
  mutating func dropUntold(_ get: GetOperation) {
    guard let newest = get.newest, !get.seen.contains(where: { $0.rank == newest.rank }) else { return }
    valueBytes -= newest.value.count
    get.newest = nil
  }

  private mutating func keepNewest(_ get: GetOperation, _ version: StoredVersion) {
    guard version.rank > get.newest?.rank ?? Rank(.zero, isTombstone: false) else { return }
    valueBytes += version.value.count - (get.newest?.value.count ?? 0)
    get.newest = version
  }

  /// The replica does not answer any more, or refuses: another takes its place. One that had only told its stamp, and
  /// cannot bring the value, has not answered either.
  mutating func getReplicaFailed(_ operation: UInt64, _ node: NodeID, _ obstacle: Obstacle, at now: Moment) {
    guard let get = gets[operation] else { return }
    let isFetching = get.fetchedFrom == node
    guard isFetching || get.answers.isOpen(node) else { return }
    if isFetching { get.fetchedFrom = nil }
    get.answers.withdraw(node)
    get.primaries.withdraw(node)
    get.seen.removeAll { $0.node == node }
    forgetSecond(get, node)
    dropUntold(get)
    get.obstacles.append((node, obstacle))
    if get.valueAsked == node { get.valueAsked = nil }
    askReplicas(operation, get, at: now)
    settleGet(operation, get, at: now)
  }

  // MARK: - The end

  mutating func settleGet(_ operation: UInt64, _ get: GetOperation, at now: Moment) {
    guard gets[operation] != nil, get.fetchedFrom == nil else { return }
    switch (get.answers.verdict, get.primaries.verdict) {
    case (.impossible, _), (_, .impossible):
      // Before it is given up, those that may keep a hint are asked.
      if get.primaries.verdict != .impossible, !get.askedFallbacks {
        askFallbacks(operation, get, at: now)
        return settleGet(operation, get, at: now)
      }
      removeGet(operation)
      respond(.failed(failure(of: get)), to: get.session)
    case (.waiting, _), (_, .waiting): return
    case (.reached, .reached): concludeGet(operation, get, at: now)
    }
  }

  private mutating func concludeGet(_ operation: UInt64, _ get: GetOperation, at now: Moment) {
    let newest = get.seen.max { $0.rank < $1.rank }
    let isGone = newest.map { $0.isTombstone || isPast($0.expiry, at: now) } ?? true
    if let newest, let stamp = newest.stamp, stamp > get.newest?.stamp ?? .zero, !isGone {
      // Its value has not been seen: only now does it travel.
      get.fetchedFrom = newest.node
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
    } else if isGone {
      // Rule TTL. What has not been buried is repaired as what it is, where it has come whole.
      respond(.notFound(tombstone: stamp), to: get.session)
      if let version = get.newest, version.stamp == stamp { repair(get, version) }
    } else if let version = get.newest {
      respond(.object(stamp: version.stamp, payload: version.value, expiry: version.expiry), to: get.session)
      repair(get, version)
    }
  }

  /// The value that a digest had announced, or something newer yet.
  private mutating func fetched(
    _ operation: UInt64, _ get: GetOperation, _ node: NodeID, _ outcome: ReadOutcome, validatedWith: UInt16,
    at now: Moment
  ) {
    switch outcome {
    // What it said first, once more.
    case .digest: return
    case .refused(let refusal): return getReplicaFailed(operation, node, .refused(refusal), at: now)
    // A hint that was handed over meanwhile.
    case .absent where !get.primaries.replicas.contains(node):
      return getReplicaFailed(operation, node, .wentDown, at: now)
    // It has purged meanwhile what it told before.
    case .absent: break
    case .found(let version):
      guard version.stamp >= get.seen.first(where: { $0.node == node })?.stamp ?? .zero else {
        return getReplicaFailed(operation, node, .wentDown, at: now)
      }
    }
    get.fetchedFrom = nil
    note(get, node, outcome, validatedWith: validatedWith)
    dropUntold(get)
    revalidate(operation, get, at: now)
    settleGet(operation, get, at: now)
  }

  @discardableResult
  private mutating func removeGet(_ operation: UInt64) -> GetOperation? {
    guard let get = gets.removeValue(forKey: operation) else { return nil }
    for second in get.second { secondReads[second.number] = nil }
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
        get.isHedged = true
        if nextCandidate(get) != nil { counters.hedgedReads += 1 }
        if get.newest == nil { get.valueAsked = nil }
        askReplicas(operation, get, isHedging: true, at: now)
        settleGet(operation, get, at: now)
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
