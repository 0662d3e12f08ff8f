import Causality
import Cluster
import Messages
import Platform
import Primitives
import Replication
import Server
import Storage

/// What a test sees of a stand-in node from outside the loop.
final class Observations: Sendable {
  struct Facts {
    var events: [String] = []
    var inProgressMax = 0
    var peerMessages: [PeerMessage] = []
    /// Parts of listings that were asked for after the first.
    var partsAsked = 0
  }
  let facts = Locked(Facts())

  var events: [String] { facts.withLock { $0.events } }
  var partsAsked: Int { facts.withLock { $0.partsAsked } }
  var inProgressMax: Int { facts.withLock { $0.inProgressMax } }
}

/// Answers by the key's name: `big-N` with N bytes, `hold` only when `release` is asked for (in reverse order), `sync`
/// after an fsync of a real file, `absent` with not found, anything else with the key itself. It stores `absent` only.
final class StandInNode: DrivenNode {
  static var tickMilliseconds: UInt64 { 10 }

  private let member: Member
  private let observations: Observations
  private var files: PosixFileSystem
  private let file: FileID
  private var effects: [Effect] = []
  private var held: [SessionID] = []
  private var waiting: [Effect] = []
  private var syncInFlight = false
  private var nextTicket: UInt64 = 1
  private var listings: [SessionID: (parts: Int, isBroken: Bool)] = [:]

  init(options: NodeOptions, files: consuming PosixFileSystem, observations: Observations) throws(StorageError) {
    member = options.members.first { $0.name == options.name } ?? options.members[0]
    self.observations = observations
    var files = files
    file = try files.open(options.directory + "/log", .create)
    self.files = files
  }

  /// The one boot whose hello it does not accept.
  static let refusedBootID: UInt64 = 666
  /// The one boot that it takes for a clone's as soon as anybody has answered a ping.
  static let clonedBootID: UInt64 = 667
  func accepts(_ hello: Hello) -> Bool {
    hello.bootID != StandInNode.refusedBootID && !(hello.bootID == StandInNode.clonedBootID && isAnswered)
  }
  private var isAnswered: Bool {
    observations.facts.withLock { facts in
      facts.peerMessages.contains { if case .pingReply = $0.body { true } else { false } }
    }
  }
  var operationsInProgress: Int { held.count }
  func isUp(_ node: NodeID) -> Bool { node == member.id }
  var currentRing: Ring { Ring(epoch: 1, partitionCount: 2, replicas: 1, members: [member]) }
  func partition(of key: ObjectKey) -> Int { 0 }
  func rawDescriptor(of file: FileID) -> Int32 { files.rawDescriptor(of: file) }
  func path(of file: FileID) -> String { files.path(of: file) }

  func step(_ event: Event, at now: Moment) {
    switch event {
    case .client(.get(let request), let session): answer(request.key, session)
    case .client(.put(let request), let session) where request.key.key.elementsEqual("absent".utf8):
      observations.facts.withLock { $0.events.append("put") }
      effects.append(.respond(.stored(stamp: .zero), session: session))
    case .client(_, let session): effects.append(.respond(.notFound(tombstone: nil), session: session))
    case .peer(let message, let node):
      observations.facts.withLock {
        $0.events.append("peer \(node)")
        $0.peerMessages.append(message)
      }
    case .link(let node, let up):
      observations.facts.withLock { $0.events.append("link \(node) \(up ? "up" : "down")") }
      if up { effects.append(.send(StandInNode.ping(1), to: node)) }
    case .synced:
      observations.facts.withLock { $0.events.append("synced") }
      syncInFlight = false
    case .admin(.drainHints, let session):
      effects.append(.adminDone(.drained(delivered: 3, StandInNode.hints), session: session))
    case .admin(.quarantine, let session), .admin(.quarantineRead, let session), .admin(.quarantinePut, let session),
      .admin(.quarantineDiscard, let session):
      effects.append(.adminDone(.quarantineAbsent, session: session))
    case .admin(.antiEntropy, let session):
      effects.append(.adminDone(.antiEntropy(.sample), session: session))
    case .admin(.merge, let session):
      var totals = MergeTotals()
      totals.recordsDropped = 7
      effects.append(.adminDone(.merged(totals, merges: 1), session: session))
    case .admin(.snapshot(let name, _), let session):
      let refusal: SnapshotRefusal =
        switch name.rawValue {
        case "there": .exists(path: "/d/there")
        case "nowhere": .unknownStore(StoreID(partition: 1, replicas: 3))
        default: .notNow("busy")
        }
      effects.append(.adminDone(.snapshotRefused(refusal), session: session))
    case .admin(.holdPurges(let milliseconds), let session):
      let since = Instant(nanoseconds: milliseconds)
      effects.append(.adminDone(.purgesHeld(boot: 0xAB, since: since), session: session))
    case .admin(.snapshots, let session): effects.append(.adminDone(.snapshots([]), session: session))
    case .shutdown: effects.append(.stop(.clean))
    case .list(let request, let session):
      guard case .keys(let bucket) = request.subject else { return }
      observations.facts.withLock { $0.events.append("list") }
      // `parts-N` has N parts, `broken-N` fails after as many, `silent-N` never says anything.
      let words = String(decoding: bucket, as: UTF8.self).split(separator: "-")
      listings[session] = (parts: Int(words.last ?? "") ?? 0, isBroken: words.first == "broken")
      if words.first != "silent" { tellPart(session) }
    case .listContinues(let session):
      observations.facts.withLock { $0.partsAsked += 1 }
      tellPart(session)
    case .listAbandoned(let session):
      listings[session] = nil
      observations.facts.withLock { $0.events.append("abandoned") }
    case .tick, .syncFailed, .read, .readFailed, .jobDone, .jobFailed: break
    }
  }

  static let partBytes = 32 << 10

  private func tellPart(_ session: SessionID) {
    guard let listing = listings[session] else { return }
    guard listing.parts > 0 else {
      listings[session] = nil
      let failure = ClientFailure.timeout(detail: "it broke")
      return effects.append(.listing(listing.isBroken ? .failed(failure) : .end, session: session))
    }
    listings[session]?.parts -= 1
    var names = ListedNames()
    names.append([UInt8](repeating: 120, count: StandInNode.partBytes)[...])
    effects.append(.listing(.names(names), session: session))
  }

  private func answer(_ key: ObjectKey, _ session: SessionID) {
    let name = String(decoding: key.key, as: UTF8.self)
    switch name {
    case "hold":
      held.append(session)
      observations.facts.withLock { $0.inProgressMax = max($0.inProgressMax, held.count) }
    case "release":
      effects.append(StandInNode.object(key.key, session))
      for session in held.reversed() { effects.append(StandInNode.object(key.key, session)) }
      held = []
    case "absent": effects.append(.respond(.notFound(tombstone: nil), session: session))
    case "sync": waiting.append(StandInNode.object(key.key, session))
    case "fail": effects.append(.stop(.failed(.io(.sync, path: "log", errno: 5))))
    case _ where name.hasPrefix("big-"):
      effects.append(StandInNode.object([UInt8](repeating: 120, count: Int(name.dropFirst(4)) ?? 0), session))
    default: effects.append(StandInNode.object(key.key, session))
    }
  }

  func flush(at now: Moment) -> Batch {
    var batch = Batch()
    batch.free = effects
    effects = []
    if !waiting.isEmpty && !syncInFlight {
      batch.sync = SyncRequest(ticket: SyncTicket(nextTicket), files: [file])
      batch.afterSync = waiting
      waiting = []
      syncInFlight = true
      nextTicket += 1
    }
    return batch
  }

  func tombstoneStatus(at now: Moment) -> TombstoneStatus {
    var status = TombstoneStatus()
    status.purged = 7
    status.refused = 2
    status.pendingMax = 100
    status.loading = [TombstoneStatus.Loading(store: StoreID(partition: 9, replicas: 3), percent: 40)]
    var bytes = TombstoneBytes()
    bytes.pending = 240
    status.add(
      TombstoneStatus.Store(
        store: StoreID(partition: 5, replicas: 3), pending: 3, bytes: bytes, oldestMilliseconds: 4200,
        blockers: [
          TombstoneBlocker(node: "n3", .down(milliseconds: 3000, why: "not connected")),
          TombstoneBlocker(node: "n3", .cursorLag(behind: 3)),
        ]))
    return status
  }

  func status(at now: Moment) -> NodeStatus {
    var counters = NodeCounters()
    counters.antiEntropy = .sample
    return NodeStatus(
      member: member, state: .serving, clusterID: nil, bootID: 1, actor: ActorID(2), ringEpoch: 3, peers: [],
      stores: [], clockInDoubt: false, operationsInProgress: held.count, counters: counters,
      recovery: RecoveryReport(),
      space: SpaceStatus(freeBytes: 3 << 30, reserveBytes: 512 << 20, resumeBytes: 640 << 20, isShort: false),
      hints: StandInNode.hints, antiEntropy: .sample)
  }

  /// For n2 none; for n3 some that wait; for n4 some that are on their way, 500 a second for four seconds now.
  static let hints: [HintQueueStatus] = (2...4).map { number in
    let member = Member(id: NodeID(UInt32(number)), name: "n\(number)", address: "127.0.0.1:\(number)")
    var queue = HintQueueStatus(
      member: member, count: [0, 40, 1001][number - 2], bytes: [0, 4000, 90_000][number - 2], fileBytes: 100_000)
    switch number {
    case 3:
      queue.state = .waiting(reason: "n3 is down: not connected")
      queue.oldestMilliseconds = 61_999
    case 4:
      queue.state = .sending
      queue.inFlight = 7
      queue.delivered = 2000
      queue.deliveringMilliseconds = 4000
    default: break
    }
    return queue
  }

  static func ping(_ sequence: UInt64) -> PeerMessage {
    PeerMessage(time: .zero, body: .ping(Ping(bootID: 1, sequence: sequence, suspects: [])))
  }

  private static func object(_ value: [UInt8], _ session: SessionID) -> Effect {
    let content = ObjectContent(contentType: Array("text/plain".utf8), value: value)
    return .respond(.object(stamp: .zero, payload: content.encoded()), session: session)
  }
}
