import Causality
import Cluster
import Messages
import Primitives
import Replication
import Simulation
import Storage

// A few nodes in one process, without chance: every message arrives at once and in order unless a test holds or drops
// it, every sync finishes at once unless a test holds it. Where chance belongs, the simulator is the tool.

/// One node and what surrounds it.
final class TestNode {
  let id: NodeID
  let options: NodeOptions
  /// Nil while the process is not running.
  var node: Node<SimulatedDisk>?
  /// The disk of a process that does not run.
  var disk: SimulatedDisk?
  var heldSync: (request: SyncRequest, effects: [Effect])?
  /// The wall clock minus that of the test.
  var wallOffset: Int64 = 0
  var stopped: StopReason?
  var log: [String] = []

  init(id: NodeID, options: NodeOptions, disk: SimulatedDisk) {
    self.id = id
    self.options = options
    self.disk = disk
  }
}

final class TestCluster {
  struct Letter {
    let from: NodeID
    let to: NodeID
    let message: PeerMessage
  }
  enum Treatment { case deliver, drop, hold }

  private(set) var nodes: [TestNode] = []
  private var queue: [Letter] = []
  /// Messages that a test held back, oldest first.
  private(set) var held: [Letter] = []
  /// What becomes of a message when it is sent.
  var treat: (Letter) -> Treatment = { _ in .deliver }
  /// Nodes whose syncs wait for `releaseSync`.
  var holdsSyncs: Set<NodeID> = []
  /// Nodes whose cold reads wait for `releaseReads`.
  var holdsReads: Set<NodeID> = []
  private var heldReads: [(id: NodeID, ticket: ReadTicket, read: ColdRead)] = []
  private(set) var answers: [UInt64: ClientResponse] = [:]
  /// Sessions that were answered when they had an answer already.
  private(set) var answeredAgain: [UInt64] = []
  private(set) var outcomes: [UInt64: AdminOutcome] = [:]
  private(set) var listings: [UInt64: Listing] = [:]
  /// Nodes that stand still: nothing reaches them but into their sockets, where it waits.
  private(set) var paused: Set<NodeID> = []
  private var unread: [Letter] = []
  /// Connections that nodes asked to be made anew.
  private(set) var reconnected: [(from: NodeID, to: NodeID)] = []
  /// Clients of listings take the parts as they come.
  var takesParts = true
  private(set) var sent: [Letter] = []
  /// Nodes whose next turn must not wait.
  private var unfinished: Set<UInt32> = []
  private var now: UInt64 = 1_000_000
  private var nextSession: UInt64 = 1

  init(
    nodes count: Int, replicas: UInt8 = 3, partitions: UInt16 = 4, sync: SyncMode = .always, starting: Bool = true,
    changing: (inout NodeOptions) -> Void = { _ in }
  ) {
    let members = (1...count).map {
      Member(id: NodeID(UInt32($0)), name: "n\($0)", address: "127.0.0.1:\(9000 + $0)")
    }
    for member in members {
      var options = NodeOptions(
        name: member.name, members: members, directory: "/data", seed: UInt64(member.id.rawValue) * 7919)
      options.partitions = partitions
      options.replicas = replicas
      options.sync = sync
      changing(&options)
      nodes.append(
        TestNode(id: member.id, options: options, disk: SimulatedDisk(seed: options.seed, root: "/data")))
    }
    guard starting else { return }
    for node in nodes { start(node.id) }
    advance(milliseconds: 3000)
  }

  subscript(_ id: Int) -> TestNode { nodes[id - 1] }

  static func id(_ number: Int) -> NodeID { NodeID(UInt32(number)) }

  func moment(_ node: TestNode) -> Moment {
    Moment(
      instant: Instant(nanoseconds: now * 1_000_000),
      wallMilliseconds: UInt64(Int64(1_700_000_000_000 + now) + node.wallOffset))
  }

  // MARK: - Processes

  /// Starts a node on what its disk holds, with a seed of its own for this life.
  func start(_ number: Int, life: UInt64 = 0) { start(TestCluster.id(number), life: life) }

  func start(_ id: NodeID, life: UInt64 = 0) {
    let test = self[Int(id.rawValue)]
    guard let disk = test.disk else { return }
    var options = test.options
    options.seed += life
    test.disk = nil
    test.stopped = nil
    do throws(NodeStartError) {
      test.node = try Node(options: options, disk: disk, at: moment(test))
    } catch {
      test.stopped = .refused(error.description)
      return
    }
    finishTurn(test)
    for other in nodes where other.id != id && other.node != nil {
      step(test, .link(other.id, up: true))
      step(other, .link(id, up: true))
    }
    run()
  }

  /// kill -9: what was written stays, or, with a power loss, only what was synced.
  func kill(_ id: Int, powerLoss: Bool = false) {
    let test = self[id]
    guard var disk = test.node?.disk else { return }
    if powerLoss { disk.discardUnsynced() } else { disk.killProcess() }
    test.node = nil
    test.heldSync = nil
    heldReads.removeAll { $0.id == test.id }
    test.disk = disk
    queue.removeAll { $0.from == test.id || $0.to == test.id }
    for other in nodes where other.node != nil { step(other, .link(test.id, up: false)) }
    run()
  }

  // MARK: - Clients

  /// Asks node `id`, lets everything that can happen without time happen, and returns the answer if there is one.
  @discardableResult
  func ask(_ id: Int, _ request: ClientRequest) -> UInt64 {
    let session = nextSession
    nextSession += 1
    step(self[id], .client(request, session: SessionID(session)))
    run()
    return session
  }

  func answer(_ session: UInt64) -> ClientResponse? { answers[session] }

  /// What a client of a listing has been told.
  struct Listing: Equatable {
    var names: [String] = []
    var parts = 0
    /// `end` or `failed`, once it came.
    var last: ListingPart?
  }

  /// Asks node `id` for a listing. The client takes every part at once unless `takesParts` says otherwise.
  @discardableResult
  func list(_ id: Int, _ request: ListRequest = ListRequest(.keys(bucket: Array("b".utf8)))) -> UInt64 {
    let session = nextSession
    nextSession += 1
    listings[session] = Listing()
    step(self[id], .list(request, session: SessionID(session)))
    run()
    return session
  }

  func admin(_ id: Int, _ request: AdminRequest, session: UInt64) {
    step(self[id], .admin(request, session: SessionID(session)))
    run()
  }

  /// Puts a message on its way that nobody sent.
  func forge(_ message: PeerMessage, from: NodeID, to: NodeID) {
    queue.append(Letter(from: from, to: to, message: message))
  }

  func takeNext(_ session: UInt64, from id: Int) {
    step(self[id], .listContinues(SessionID(session)))
    run()
  }

  private func take(_ part: ListingPart, of session: SessionID, from test: TestNode) {
    switch part {
    case .names(let names):
      for index in 0..<names.count {
        listings[session.rawValue]?.names.append(String(decoding: names.bytes[names.place(index)], as: UTF8.self))
      }
      listings[session.rawValue]?.parts += 1
      if takesParts { step(test, .listContinues(session)) }
    case .end, .failed: listings[session.rawValue]?.last = part
    }
  }

  // MARK: - Time and turns

  /// Lets time pass in ticks: of 10 ms, as busy nodes have them, of 50 ms where a second or more of it passes, as others
  /// have them, or of 100 ms where half a minute does.
  func advance(milliseconds: UInt64, tick: UInt64? = nil) {
    let end = now + milliseconds
    let tick = tick ?? (milliseconds < 1000 ? 10 : milliseconds < 30_000 ? 50 : 100)
    while now < end {
      now += tick
      for node in nodes where node.node != nil && !paused.contains(node.id) { step(node, .tick) }
      run()
    }
  }

  /// SIGSTOP.
  func pause(_ id: Int) { paused.insert(TestCluster.id(id)) }

  /// SIGCONT: the node finds that time has passed, and takes what has waited for it.
  func resume(_ id: Int) {
    paused.remove(TestCluster.id(id))
    step(self[id], .tick)
    queue = unread.filter { $0.to == TestCluster.id(id) } + queue
    unread.removeAll { $0.to == TestCluster.id(id) }
    run()
  }

  /// Moves on the oldest held messages that match.
  func release(where matches: (Letter) -> Bool = { _ in true }) {
    let moving = held.filter(matches)
    held.removeAll(where: matches)
    queue.append(contentsOf: moving)
    run()
  }

  func releaseSync(_ id: Int) {
    let test = self[id]
    guard let sync = test.heldSync else { return }
    test.heldSync = nil
    finish(sync.request, sync.effects, of: test)
    run()
  }

  func step(_ test: TestNode, _ event: Event) {
    guard test.node != nil else { return }
    test.node?.step(event, at: moment(test))
    finishTurn(test)
  }

  private func run() {
    while true {
      if !queue.isEmpty {
        let letter = queue.removeFirst()
        if paused.contains(letter.to) {
          unread.append(letter)
          continue
        }
        step(self[Int(letter.to.rawValue)], .peer(letter.message, from: letter.from))
      } else if let id = unfinished.min() {
        unfinished.remove(id)
        if self[Int(id)].node != nil { finishTurn(self[Int(id)]) }
      } else {
        return
      }
    }
  }

  private func finishTurn(_ test: TestNode) {
    guard let batch = test.node?.flush(at: moment(test)) else { return }
    for effect in batch.free { perform(effect, of: test) }
    if batch.wantsTurn { unfinished.insert(test.id.rawValue) }
    guard let request = batch.sync else { return }
    if holdsSyncs.contains(test.id) {
      test.heldSync = (request, batch.afterSync)
    } else {
      finish(request, batch.afterSync, of: test)
    }
  }

  private func finish(_ request: SyncRequest, _ effects: [Effect], of test: TestNode) {
    do throws(StorageError) {
      for file in request.files { try test.node?.disk.sync(file) }
    } catch { return step(test, .syncFailed(request.ticket, error)) }
    for effect in effects { perform(effect, of: test) }
    step(test, .synced(request.ticket))
  }

  /// The disk of the node has brought what was asked of it.
  func releaseReads(_ id: Int) {
    let test = self[id]
    holdsReads.remove(test.id)
    let reads = heldReads.filter { $0.id == test.id }
    heldReads.removeAll { $0.id == test.id }
    for held in reads { finish(held.ticket, held.read, of: test) }
    run()
  }

  private func finish(_ ticket: ReadTicket, _ read: ColdRead, of test: TestNode) {
    do throws(StorageError) {
      let bytes = try test.node?.disk.read(read.file, at: read.offset, count: read.count, mayBlock: true)
      if case .bytes(let bytes)? = bytes { step(test, .read(ticket, bytes: bytes)) }
    } catch { step(test, .readFailed(ticket, error)) }
  }

  private func perform(_ effect: Effect, of test: TestNode) {
    switch effect {
    case .respond(let response, let session):
      if answers[session.rawValue] != nil { answeredAgain.append(session.rawValue) }
      answers[session.rawValue] = response
    case .listing(let part, let session): take(part, of: session, from: test)
    case .adminDone(let outcome, let session): outcomes[session.rawValue] = outcome
    case .send(let message, let node):
      let letter = Letter(from: test.id, to: node, message: message)
      sent.append(letter)
      guard self[Int(node.rawValue)].node != nil else { return }
      switch treat(letter) {
      case .deliver: queue.append(letter)
      case .drop: break
      case .hold: held.append(letter)
      }
    case .job(let job):
      do throws(StorageError) {
        for step in job.steps where test.node != nil { try perform(step, of: test) }
      } catch { return step(test, .jobFailed(job.id, error)) }
      step(test, .jobDone(job.id))
    case .read(let ticket, let read):
      if holdsReads.contains(test.id) {
        heldReads.append((test.id, ticket, read))
      } else {
        finish(ticket, read, of: test)
      }
    case .stop(let reason): test.stopped = reason
    case .log(_, let text): test.log.append(text)
    case .disconnect(let node): reconnect(test, to: node)
    }
  }

  /// The kernel of a process that stands still accepts connections all the same.
  private func reconnect(_ test: TestNode, to node: NodeID) {
    reconnected.append((test.id, node))
    step(test, .link(node, up: false))
    step(test, .link(node, up: true))
  }

  private func perform(_ step: DiskStep, of test: TestNode) throws(StorageError) {
    guard var disk = test.node?.disk else { return }
    defer { test.node?.disk = disk }
    try step.perform(on: &disk)
  }
}

// MARK: - Requests in one line

func put(
  _ key: String, _ value: String, _ lifetime: Lifetime = .standard, w: QuorumSize = .default,
  dw: QuorumSize = .default
) -> ClientRequest {
  var request = PutRequest(key: key.objectKey, payload: value.payload)
  request.lifetime = lifetime
  request.quorum.w = w
  request.quorum.dw = dw
  return .put(request)
}

func get(_ key: String, r: QuorumSize = .default) -> ClientRequest {
  var request = GetRequest(key: key.objectKey)
  request.r = r
  return .get(request)
}

func delete(_ key: String, always: Bool = false) -> ClientRequest {
  var request = DeleteRequest(key: key.objectKey)
  request.always = always
  return .delete(request)
}

extension String {
  var objectKey: ObjectKey { ObjectKey(bucket: Array("b".utf8), key: Array(utf8))! }
  var payload: [UInt8] { ObjectContent(contentType: Array("text/plain".utf8), value: Array(utf8)).encoded() }
}

extension ClientResponse {
  /// The value's text, where there is one.
  var text: String? {
    guard case .object(_, let payload, _) = self else { return nil }
    return ObjectContent(payload: payload).map { String(decoding: $0.value, as: UTF8.self) }
  }
  var isStored: Bool { if case .stored = self { true } else { false } }
  var isDeleted: Bool { if case .deleted = self { true } else { false } }
  var isNotFound: Bool { if case .notFound = self { true } else { false } }
}
