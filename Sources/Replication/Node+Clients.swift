import Causality
import Cluster
import Messages
import Primitives
import Storage

// From a client's request to an operation: may it run now, who owns the key, which quorums does it want, and who
// coordinates. And the way back.

extension Node where Disk: ~Copyable {
  mutating func receive(_ request: ClientRequest, session: SessionID, at now: Moment) {
    if let failure = obstacle() { return respond(.failed(failure), to: session) }
    switch request {
    case .get(let get): beginGet(get, session: session, at: now)
    case .put(var put):
      guard observe(put.context, at: now) else { return respond(.failed(.invalidContext), to: session) }
      if put.lifetime != .standard || options.lifetime != .unlimited {
        put.lifetime = put.lifetime.resolved(options.lifetime, at: peers.judgingMilliseconds(at: now))
      }
      beginWrite(.put(put), key: put.key, timeout: put.timeoutMilliseconds, session: session, at: now)
    case .delete(let delete):
      guard observe(delete.context, at: now) else { return respond(.failed(.invalidContext), to: session) }
      beginWrite(request, key: delete.key, timeout: delete.timeoutMilliseconds, session: session, at: now)
    }
  }

  /// Lifts the clock to the version that a client has read, so that what it writes stands above that. False, and no
  /// change, when no node can have issued it: clients must not be able to drive the clocks ahead.
  private mutating func observe(_ context: Stamp?, at now: Moment) -> Bool {
    guard let context, context.time > identity.clock.last else { return true }
    let ahead = Int64(bitPattern: context.time.milliseconds) - Int64(bitPattern: now.wallMilliseconds)
    guard ahead <= PeerTable.clockDriftMillisecondsMax, context.time < .ceiling else { return false }
    identity.clock.observe(context.time)
    return true
  }

  /// Why nothing can be admitted now.
  mutating func obstacle() -> ClientFailure? {
    switch phase {
    case .serving: break
    case .stopping, .closing: return .notReady(detail: "node \(own.name) is stopping")
    case .founding, .creating, .opening: return .notReady(detail: "node \(own.name) is starting: \(startingReason)")
    }
    return overload(isChaotic: chaos.strikes(.operationRefused))
  }

  /// Why nothing more can be taken on, also of what another node hands over.
  mutating func overload(isChaotic: Bool = false) -> ClientFailure? {
    guard clientOperations < options.operationsMax, !isChaotic else {
      counters.overloads += 1
      return .overloaded(detail: "node \(own.name) has \(clientOperations) operations in progress")
    }
    guard valueBytes < Self.valueBytesMax else {
      counters.overloads += 1
      return .overloaded(detail: "operations of node \(own.name) hold \(valueBytes >> 20) MiB of values")
    }
    let waiting = max(syncWaiters.count, flushWaiters.count)
    guard waiting < options.operationsMax else {
      counters.overloads += 1
      return .overloaded(detail: "\(waiting) writes of node \(own.name) wait for its disk")
    }
    return nil
  }

  /// A put or a delete: coordinated here if this node owns the key, trusts its clock and has room, else by another owner.
  private mutating func beginWrite(
    _ request: ClientRequest, key: ObjectKey, timeout: UInt32?, session: SessionID, at now: Moment
  ) {
    let hash = hash(key.encoded)
    guard writeQuorum(of: request) != nil else {
      return respond(.failed(.invalidQuorum(n: ring.replicas)), to: session)
    }
    let deadline = deadline(timeout, at: now)
    if refusalToCoordinate(request, hash: hash, at: now) == nil {
      coordinate(request, hash: hash, origin: .client(session), stamp: nil, deadline: deadline, at: now)
    } else {
      beginForward(request, key: key, hash: hash, session: session, deadline: deadline, at: now)
    }
  }

  /// Why this node does not coordinate a write, or nil when it does.
  func refusalToCoordinate(_ request: ClientRequest, hash: UInt64, at now: Moment) -> Refusal? {
    guard phase == .serving, let engine else { return .notReady }
    let store = storeID(hash)
    guard engine.contains(store) else { return .notOwner }
    guard engine.role(store) == .active else { return engine.role(store) == .fenced ? .fenced : .loading }
    guard isValidated(store) else { return .unvalidated }
    if peers.clockIsInDoubt(at: now) { return .clockInDoubt }
    if case .put = request, engine.refusesValues { return .full }
    return nil
  }

  /// Starts a write that this node coordinates; the quorums are known to be valid.
  mutating func coordinate(
    _ request: ClientRequest, hash: UInt64, origin: Origin, stamp: Stamp?, deadline: Instant,
    mayBeStampedAnew: Bool = true, at now: Moment
  ) {
    guard let quorum = writeQuorum(of: request) else {
      return answer(origin, .failed(.invalidQuorum(n: ring.replicas)))
    }
    switch request {
    case .put(let put):
      beginPut(
        put, hash: hash, quorum: quorum, origin: origin, stamp: stamp, mayBeStampedAnew: mayBeStampedAnew,
        deadline: deadline, at: now)
    case .delete(let delete):
      beginDelete(delete, hash: hash, quorum: quorum, origin: origin, stamp: stamp, deadline: deadline, at: now)
    case .get: answer(origin, .failed(.notReady(detail: "a read is not a write")))
    }
  }

  /// Goes on with a write that waited for a lease or the disk.
  mutating func coordinateWrite(_ operation: UInt64, warm: WarmBytes?, at now: Moment) {
    if writes[operation]?.isDelete == true {
      coordinateDelete(operation, warm: warm, at: now)
    } else {
      coordinatePut(operation, warm: warm, at: now)
    }
  }

  func writeQuorum(of request: ClientRequest) -> ResolvedWrite? {
    switch request {
    case .put(let put): ResolvedWrite(put.quorum, n: ring.replicas, sync: options.sync)
    case .delete(let delete): ResolvedWrite(delete.quorum, n: ring.replicas, sync: options.sync)
    case .get: nil
    }
  }

  // MARK: - Placing

  func storeID(_ hash: UInt64) -> StoreID {
    StoreID(partition: UInt16(ring.partition(of: hash)), replicas: UInt8(ring.replicas))
  }

  func owners(_ store: StoreID) -> [NodeID] { ring.owners(of: Int(store.partition)) }

  func configID(_ store: StoreID) -> UInt64 { ring.configID(of: Int(store.partition)) }

  func name(_ node: NodeID) -> String { ring.member(node)?.name ?? "\(node)" }

  /// Why a replica cannot be asked now, or nil. This node itself is judged by its store.
  func replicaObstacle(to node: NodeID, store: StoreID) -> Obstacle? {
    guard node == own.id else { return peers.isUp(node) ? nil : .down }
    guard let engine, engine.contains(store) else { return nil }
    switch engine.role(store) {
    case .active: return isValidated(store) ? nil : .refused(.unvalidated)
    case .loading: return .refused(.loading)
    case .fenced: return .refused(.fenced)
    case .retired: return .refused(.notOwner)
    }
  }

  /// The same in words.
  func obstacle(to node: NodeID, store: StoreID) -> String? {
    replicaObstacle(to: node, store: store).map { describe($0, of: node) }
  }

  // MARK: - Answering

  mutating func respond(_ response: ClientResponse, to session: SessionID) {
    if !quarantined.puts.isEmpty, takePutAnew(response, session) { return }
    if !listDoubts.isEmpty, takeDoubt(response, session) { return }
    if case .failed(let failure) = response { counters.failures.count(failure) }
    free.append(.respond(response, session: session))
  }

  mutating func answer(_ origin: Origin, _ response: ClientResponse) {
    switch origin {
    case .client(let session): respond(response, to: session)
    case .forwarder(let node, let operation, let bootID):
      answerForwarder(node, operation: operation, bootID: bootID, .done(response))
    }
  }

  mutating func answerForwarder(_ node: NodeID, operation: UInt64, bootID: UInt64, _ outcome: ForwardOutcome) {
    send(.forwardReply(ForwardReply(operation: operation, bootID: bootID, outcome: outcome)), to: node)
  }

  // MARK: - Numbers and deadlines

  mutating func newOperation(_ kind: OperationKind) -> UInt64 {
    nextOperation &+= OperationKind.stride
    return nextOperation | kind.rawValue
  }

  /// Longer time-outs mean this one: what a node remembers of a request stays bounded.
  private static var timeoutMillisecondsMax: UInt64 { 600_000 }
  /// How often an operation is looked at, at least: what is remembered of finished ones goes after this time.
  private static var reviewMilliseconds: UInt64 { 1000 }

  func deadline(_ timeoutMilliseconds: UInt32?, at now: Moment) -> Instant {
    let wanted = timeoutMilliseconds.map(UInt64.init) ?? options.requestTimeoutMilliseconds
    return now.instant.adding(milliseconds: min(wanted, Self.timeoutMillisecondsMax))
  }

  /// Wakes the operation at its deadline, or earlier to look again.
  mutating func schedule(_ operation: UInt64, deadline: Instant, at now: Moment) {
    wheel.schedule(operation, at: min(deadline, now.instant.adding(milliseconds: Self.reviewMilliseconds)))
  }

  /// Asks for `read` off the loop, and remembers what waits for it; false when too many wait already.
  mutating func readCold(_ read: ColdRead, for pending: PendingRead) -> Bool {
    guard pendingReads.count < Self.coldReadsMax, !chaos.strikes(.coldReadRefused) else { return false }
    nextRead += 1
    counters.coldReads += 1
    pendingReads[nextRead] = WaitingRead(read: read, waiter: pending)
    free.append(.read(ReadTicket(nextRead), read))
    return true
  }
}
