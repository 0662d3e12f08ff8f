import Cluster
import Messages
package import Platform
import Primitives
package import Replication
import Storage

// One loop on one thread: it owns a node, the connections of its clients and peers, and the threads that wait for the
// disk. The actor's executor is the loop, so everything here runs on the loop's thread, and the compiler checks that
// nothing else touches it. Between bytes in and bytes out there is no task and no await.
//
// A turn: take what is ready, step the node with it, flush the node once, perform what it asks for in the order that
// `Replication/Contract.swift` gives, write once to each connection that has something to say.

package actor Shard<Node: DrivenNode> {
  /// Ticks while nothing is in progress.
  static var idleTickMilliseconds: UInt64 { 50 }
  static var maintenanceMilliseconds: UInt64 { 1000 }
  /// A clean stop that takes longer is given up.
  static var stopMillisecondsMax: UInt64 { 20_000 }
  static var stoppedEarly: String { "stopped before everything was finished; the next start recovers what was written" }

  nonisolated let loop: EventLoop
  package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

  let configuration: Configuration
  let clock: SystemClock
  let log: Log
  let threads: DiskThreads
  let signals: TerminationSignals?
  let clientListener: Listener
  let peerListener: Listener
  let binaryListener: Listener?

  let node: Node
  var now: Moment

  // Connections
  var clients = Slab<ClientConnection>()
  var dirtyClients: [SlabKey] = []
  /// Bytes of unfinished requests, all clients together.
  var inputBytes = 0
  /// Bytes of unread answers, all clients together.
  var outputBytes = 0
  /// What the configuration allows, and no more than half of the descriptors that the process may have.
  let connectionsMax: Int
  var inbound = Slab<InboundLink>()
  /// The connection that each peer's messages come on.
  var inboundOfPeer: [NodeID: SlabKey] = [:]
  let links: [PeerLink]
  private let linkIDs: [NodeID]
  var random: SeededGenerator
  let readBuffer = ReadBuffer(byteCount: 256 << 10)

  // The turn
  /// The node has learned something since its last flush.
  var isUnflushed = false
  var events: [Readiness] = []
  /// What the sync in flight will allow.
  var heldEffects: [Effect] = []
  var nextTick: Instant
  var nextMaintenance: Instant
  /// When a listener that ran out of descriptors is tried again.
  var acceptPausedUntil: Instant?
  var stopReason: StopReason?
  /// A clean stop was asked for, and must be done by then.
  var stopDeadline: Instant?
  var isStopping: Bool { stopDeadline != nil }
  var isReady = false
  let started: Moment
  var statistics = Statistics()
  var requestMetrics: RequestMetrics
  /// How long the syncs took that the node asked for.
  var syncDurations = LatencyHistogram()

  /// Takes over a node and its listeners. The calling thread becomes the shard's when it calls `run`.
  package init(
    configuration: Configuration, node: sending Node, clients: consuming Listener, peers: consuming Listener,
    binary: consuming Listener?, signals: consuming TerminationSignals?, seed: UInt64
  ) throws(Errno) {
    let loop = try EventLoop()
    self.loop = loop
    self.configuration = configuration
    connectionsMax = min(configuration.connectionsMax, try raiseOpenFilesLimit() / 2)
    clock = SystemClock(wallOffsetMilliseconds: configuration.clockOffsetMilliseconds)
    log = Log(level: configuration.logLevel, node: configuration.name, clock: clock)
    threads = try DiskThreads(waking: loop, data: configuration.data)
    self.signals = signals
    clientListener = clients
    peerListener = peers
    binaryListener = binary
    self.node = node
    let now = clock.now()
    self.now = now
    started = now
    requestMetrics = RequestMetrics(clock: clock)
    links = configuration.initialCluster.filter { $0.name != configuration.name }.enumerated().map {
      PeerLink(
        member: $0.element, index: $0.offset, outboxBytesMax: Int(configuration.peerOutputBytesMax), now: now.instant)
    }
    linkIDs = links.map { $0.member.id }
    random = SeededGenerator(seed: seed)
    nextTick = now.instant
    nextMaintenance = now.instant
  }

  /// Runs the loop on the calling thread until the node stops, and says why it did.
  package nonisolated func run() throws(Errno) -> StopReason {
    loop.adoptThread()
    try assumeIsolated { shard in Result { () throws(Errno) in try shard.startListeners() } }.get()
    while true {
      let turn = assumeIsolated { shard in Result { () throws(Errno) in try shard.turn() } }
      if let reason = try turn.get() { return reason }
      loop.runJobs()
    }
  }

  /// Of the connection to this member. They are few: a look along them is shorter than a hash.
  func linkIndex(_ peer: NodeID) -> Int? { linkIDs.firstIndex(of: peer) }

  private func startListeners() throws(Errno) {
    do throws(SocketError) {
      try clientListener.start()
      try peerListener.start()
      try startBinaryListener()
    } catch {
      stopReason = .refused(error.description)
    }
    try loop.watch(clientListener.descriptor, .reading, token: Source.clientListener.token)
    try loop.watch(peerListener.descriptor, .reading, token: Source.peerListener.token)
    switch binaryListener {
    case .some(let listener): try loop.watch(listener.descriptor, .reading, token: Source.binaryListener.token)
    case nil: break
    }
    switch signals {
    case .some(let signals): try loop.watch(signals.descriptor, .reading, token: Source.signals.token)
    case nil: break
    }
  }

  // MARK: The turn

  private func turn() throws(Errno) -> StopReason? {
    events.removeAll(keepingCapacity: true)
    try loop.poll(timeoutMilliseconds: millisecondsToWait(), into: &events)
    now = clock.now()
    for index in events.indices { take(events[index]) }
    takeDiskAnswers()
    takeTime()
    isUnflushed = false
    perform(node.flush(at: now))
    writeClients()
    requestMetrics.endTurn()
    writeLinks()
    // Nothing may touch the files after the node has said that it is done.
    if stopReason != nil { threads.finish() }
    return stopReason
  }

  private func take(_ event: Readiness) {
    switch Source(token: event.token) {
    case .client(let key): clientIsReady(key, event)
    case .inbound(let key): inboundIsReady(key)
    case .link(let index): linkIsReady(links[index], event)
    case .clientListener: acceptClients(isBinary: false)
    case .binaryListener: acceptClients(isBinary: true)
    case .peerListener: acceptPeers()
    case .signals: takeSignals()
    case nil: break
    }
  }

  private func takeSignals() {
    switch signals {
    case .some(let signals):
      while let name = signals.next() {
        log(.info, "\(name): stopping")
        stop()
      }
    case nil: break
    }
  }

  /// Begins a clean stop; a second call does not wait for it.
  package func stop() {
    if isStopping { stopReason = .refused(Self.stoppedEarly) }
    stopDeadline = now.instant.adding(milliseconds: Self.stopMillisecondsMax)
    step(.shutdown)
    for connection in clients.elements where connection.isIdle { close(connection) }
  }

  private func takeDiskAnswers() {
    // Each answer that finds its mailbox empty wakes the loop.
    guard loop.wasWoken else { return }
    for (event, nanoseconds) in threads.syncsDone() {
      syncDurations.record(nanoseconds)
      // Before the node learns of it, so that these leave first; a failed sync allows nothing.
      if case .synced = event { perform(heldEffects) }
      heldEffects = []
      step(event)
    }
    for event in threads.othersDone() { step(event) }
    for done in threads.snapshotsDone() { answer(done) }
  }

  private func takeTime() {
    if now.instant >= nextTick {
      step(.tick)
      let isBusy = node.operationsInProgress > 0 || !isReady || isStopping
      nextTick = now.instant.adding(milliseconds: isBusy ? Node.tickMilliseconds : Self.idleTickMilliseconds)
      if !isReady { announceWhenServing() }
    }
    if let deadline = stopDeadline, deadline <= now.instant { stopReason = stopReason ?? .refused(Self.stoppedEarly) }
    for link in links where link.due.map({ $0 <= now.instant }) ?? false { advance(link) }
    if now.instant >= nextMaintenance {
      let interval = min(Self.maintenanceMilliseconds, configuration.idleTimeoutMilliseconds / 2)
      nextMaintenance = now.instant.adding(milliseconds: interval)
      maintain()
    }
  }

  private func announceWhenServing() {
    guard case .serving = node.status(at: now).state else { return }
    isReady = true
    writeToStandardOutput("ready\n")
  }

  private func maintain() {
    statistics.sample(node.status(at: now).counters, at: now.instant)
    requestMetrics.sample(at: now.instant)
    closeOverdueClients()
    closeSilentInbound()
    if let until = acceptPausedUntil, until <= now.instant { resumeAccepting() }
  }

  private func millisecondsToWait() -> Int {
    if isUnflushed { return 0 }
    // An operation that has just begun must not wait for an idle tick.
    var due = min(nextTick, nextMaintenance)
    if node.operationsInProgress > 0 { due = min(due, now.instant.adding(milliseconds: Node.tickMilliseconds)) }
    for link in links { if let instant = link.due { due = min(due, instant) } }
    let current = clock.now().instant
    guard due > current else { return 0 }
    return Int((due.nanoseconds - current.nanoseconds + 999_999) / 1_000_000)
  }

  /// Every event goes to the node through here: the turn does not end in a wait while the node has something to say.
  func step(_ event: Event) {
    node.step(event, at: now)
    isUnflushed = true
  }

  // MARK: Effects

  private func perform(_ batch: Batch) {
    if batch.wantsTurn { isUnflushed = true }
    perform(batch.free)
    if let request = batch.sync {
      heldEffects = batch.afterSync
      threads.sync(request, of: node)
    } else {
      invariant(batch.afterSync.isEmpty, "effects wait for a sync that nobody asked for")
    }
  }

  private func perform(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .respond(let response, let session): answer(session, with: response)
      case .listing(let part, let session): answer(session, with: part)
      case .adminDone(let outcome, let session): answer(session, with: outcome)
      case .send(let message, let peer): send(message, to: peer)
      case .disconnect(let peer): if let index = linkIndex(peer) { lose(links[index], "the node asked for it") }
      case .read(let ticket, let read):
        if let event = threads.read(ticket, read, of: node) { step(event) }
      case .job(let job): threads.perform(job)
      case .log(let level, let text): log(level, text)
      case .stop(let reason): stopReason = stopReason ?? reason
      }
    }
  }
}
