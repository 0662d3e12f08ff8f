import Causality
import Cluster
import Messages
import Primitives
import Storage

// Coordinating a read: any node asks r owners, itself first where it is one, and returns the newest version that they
// hold. A replica that refuses, goes down or is slow is replaced by another; it never counts as "absent".

extension Node where Disk: ~Copyable {
  /// A read that is not answered after this time asks all remaining owners too, milliseconds.
  private static var hedgeMilliseconds: UInt64 { 100 }

  mutating func beginGet(_ request: GetRequest, session: SessionID, at now: Moment) {
    let hash = hash(request.key.encoded)
    let store = storeID(hash)
    let n = ring.replicas
    let r = request.r.resolved(n: n, default: n / 2 + 1)
    let pr = request.pr.resolved(n: n, default: 1)
    guard r <= n, pr <= n else { return respond(.failed(.invalidQuorum(n: n)), to: session) }
    counters.gets += 1
    var get = GetOperation(
      session: session, key: request.key, hash: hash, store: store, configID: configID(store), r: r, pr: pr,
      deadline: deadline(request.timeoutMilliseconds, at: now),
      answers: QuorumTally(replicas: owners(store), wanted: max(r, pr)))
    for node in get.answers.replicas {
      guard let obstacle = obstacle(to: node, store: store) else { continue }
      get.answers.record(node, accepted: false)
      get.obstacles.append(obstacle)
    }
    let operation = newOperation(.get)
    gets[operation] = get
    guard get.answers.verdict != .impossible else { return settleGet(operation) }
    wheel.schedule(operation, at: min(get.deadline, now.instant.adding(milliseconds: Self.hedgeMilliseconds)))
    askReplicas(operation, at: now)
  }

  /// Asks as many further replicas as the quorum still lacks.
  private mutating func askReplicas(_ operation: UInt64, at now: Moment) {
    guard let get = gets[operation] else { return }
    let replicas = get.answers.replicas
    var candidates = replicas.filter { get.answers.isOpen($0) && !get.asked.contains($0) }
    if candidates.count > 1 {
      // This node first: its copy costs no message. The others share the load turn by turn of the loop, so that the
      // reads of one turn travel in one frame to one of them.
      let turn = Int(turns % UInt64(candidates.count))
      candidates = Array(candidates[turn...] + candidates[..<turn])
      if let index = candidates.firstIndex(of: own.id) { candidates.swapAt(0, index) }
    }
    let waiting = get.asked.filter { get.answers.isOpen($0) }.count
    let missing = get.askedAll ? candidates.count : get.answers.wanted - get.answers.accepted - waiting
    let chosen = candidates.prefix(max(0, missing))
    guard !chosen.isEmpty else { return }
    gets[operation]?.asked.append(contentsOf: chosen)
    for node in chosen where node != own.id {
      send(.read(PeerRead(operation: operation, store: get.store, configID: get.configID, key: get.key)), to: node)
    }
    if chosen.contains(own.id) { readOwnCopy(operation, warm: nil, at: now) }
  }

  mutating func readOwnCopy(_ operation: UInt64, warm: WarmBytes?, at now: Moment) {
    guard let get = gets[operation] else { return }
    let outcome = readStore(get.key, hash: get.hash, store: get.store, warm: warm)
    switch outcome {
    case .cold(let read):
      if !readCold(read, for: .get(operation)) {
        getAnswered(operation, own.id, .refused(.overloaded), at: now)
      }
    case .done(let answer): getAnswered(operation, own.id, answer, at: now)
    }
  }

  mutating func receiveReadReply(_ reply: PeerReadReply, from node: NodeID, at now: Moment) {
    switch OperationKind(of: reply.operation) {
    case .get: getAnswered(reply.operation, node, reply.outcome, at: now)
    case .delete: receiveProbeReply(reply, from: node, at: now)
    case .put, .forward, .list, nil: break
    }
  }

  mutating func getAnswered(_ operation: UInt64, _ node: NodeID, _ outcome: ReadOutcome, at now: Moment) {
    guard gets[operation] != nil else { return }
    switch outcome {
    case .absent: gets[operation]?.answers.record(node, accepted: true)
    case .found(let version):
      gets[operation]?.answers.record(node, accepted: true)
      if version.stamp > gets[operation]?.newest?.stamp ?? .zero {
        valueBytes += version.value.count - (gets[operation]?.newest?.value.count ?? 0)
        gets[operation]?.newest = version
      }
    case .refused(let refusal):
      if refusal == .damaged { gets[operation]?.sawDamage = true }
      return getReplicaFailed(operation, node, "\(name(node)): \(refusal)", at: now)
    }
    settleGet(operation)
  }

  mutating func getReplicaFailed(_ operation: UInt64, _ node: NodeID, _ reason: String, at now: Moment) {
    guard gets[operation]?.answers.isOpen(node) == true else { return }
    gets[operation]?.answers.record(node, accepted: false)
    gets[operation]?.obstacles.append(reason)
    settleGet(operation)
    askReplicas(operation, at: now)
  }

  private mutating func settleGet(_ operation: UInt64) {
    guard let verdict = gets[operation]?.answers.verdict, verdict != .waiting,
      let get = removeGet(operation)
    else { return }
    guard verdict == .reached else { return respond(.failed(failure(of: get)), to: get.session) }
    guard let newest = get.newest else { return respond(.notFound(tombstone: nil), to: get.session) }
    respond(
      newest.isTombstone
        ? .notFound(tombstone: newest.stamp) : .object(stamp: newest.stamp, payload: newest.value),
      to: get.session)
  }

  @discardableResult
  private mutating func removeGet(_ operation: UInt64) -> GetOperation? {
    guard let get = gets.removeValue(forKey: operation) else { return nil }
    valueBytes -= get.newest?.value.count ?? 0
    return get
  }

  private func failure(of get: GetOperation) -> ClientFailure {
    let owners = get.answers.replicas.count
    var obstacles = get.obstacles
    if owners < ring.replicas { obstacles.append("the cluster has \(owners) of n_val = \(ring.replicas) nodes") }
    let detail = obstacles.joined(separator: "; ")
    if get.sawDamage { return .damaged(detail: detail) }
    // What could still answer, not what did: the promise is judged before everybody was asked.
    let got = get.answers.replicas.count - get.answers.refused
    return got < get.r
      ? .unsatisfied(.r, wanted: get.r, got: got, detail: detail)
      : .unsatisfied(.pr, wanted: get.pr, got: got, detail: detail)
  }

  mutating func wakeGet(_ operation: UInt64, at now: Moment) {
    guard let get = gets[operation] else { return }
    guard get.deadline <= now.instant else {
      gets[operation]?.askedAll = true
      askReplicas(operation, at: now)
      return schedule(operation, deadline: get.deadline, at: now)
    }
    removeGet(operation)
    let silent = get.asked.filter { get.answers.isOpen($0) }.map { name($0) }.joined(separator: ", ")
    let detail = ["r \(get.answers.accepted)/\(get.answers.wanted), no answer from \(silent)"] + get.obstacles
    respond(.failed(.timeout(detail: detail.joined(separator: "; "))), to: get.session)
  }
}
