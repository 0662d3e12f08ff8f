import Messages
import Primitives
import Storage

// When an empty store may serve (rule GENESIS, Docs/Delete.md). A store that holds nothing is either new, together with
// all its fellow owners, or it has lost what it held; only the first kind may say "absent". A store becomes active when
// every other owner says that its own store is new too, or that it recorded this very incarnation when it became active.

/// What the other owners have said of their stores, in their current boots.
struct GenesisTable: Sendable {
  private var states: [NodeID: [StoreID: StoreState]] = [:]

  mutating func record(_ announced: [StoreState], from node: NodeID) {
    for state in announced { states[node, default: [:]][state.store] = state }
  }

  /// The peer began a new boot: what it said before does not count.
  mutating func forget(_ node: NodeID) { states[node] = nil }

  func state(of store: StoreID, at node: NodeID) -> StoreState? { states[node]?[store] }

  /// True when an owner has said no: it serves already and never knew this incarnation, or it has lost something itself.
  func isRefused(_ store: StoreID, incarnation: Identity128, others: [NodeID]) -> Bool {
    others.contains { node in
      guard let state = states[node]?[store] else { return false }
      return !state.isNew && !(state.role == .active && state.recognizes == incarnation)
    }
  }

  /// The incarnations to record when `store` may become active, or nil while an owner has not agreed.
  func agreement(
    on store: StoreID, incarnation: Identity128, others: [NodeID], configID: UInt64
  ) -> [PeerPromise]? {
    var promises: [PeerPromise] = []
    for node in others {
      guard let state = states[node]?[store] else { return nil }
      guard state.isNew || (state.role == .active && state.recognizes == incarnation) else { return nil }
      promises.append(PeerPromise(peer: node, incarnation: state.incarnation, configID: configID))
    }
    return promises
  }
}

/// Jobs given to the disk and what to do when they are done.
struct JobTable: Sendable {
  enum Purpose: Sendable {
    /// The identity file, with the lease it grants.
    case identity
    /// The identity file, naming the cluster for the first time.
    case join
    case createStores([StoreSeed], lost: [StoreID: [PeerPromise]])
    case activate([StoreID: [PeerPromise]])
    /// A checkpoint or a roll-over of the engine.
    case engine
    case shutdown

    /// Two of these at once could leave the older identity file on the disk.
    var writesIdentity: Bool {
      switch self {
      case .identity, .join, .createStores, .shutdown: true
      case .activate, .engine: false
      }
    }

    fileprivate var lane: DiskLane { if case .identity = self { .urgent } else { .background } }
  }

  private var open: [JobID: Purpose] = [:]
  private var next: UInt64 = 1

  mutating func add(_ purpose: Purpose, _ steps: [DiskStep]) -> DiskJob {
    let id = JobID(next)
    next += 1
    open[id] = purpose
    return DiskJob(id: id, lane: purpose.lane, steps: steps)
  }

  mutating func finish(_ id: JobID) -> Purpose? { open.removeValue(forKey: id) }

  func contains(where matches: (Purpose) -> Bool) -> Bool { open.values.contains(where: matches) }

  var isEmpty: Bool { open.isEmpty }
}

/// Forwarded writes that this node has taken on: a second copy of the same message is not a second write.
struct ForwardLedger: Sendable {
  private struct Key: Hashable {
    let node: NodeID
    let bootID: UInt64
    let operation: UInt64
  }
  private var seen: Set<Key> = []
  private var aging: DeadlineWheel
  private var keys: [UInt64: Key] = [:]
  private var nextEntry: UInt64 = 0

  /// Entries at once; one more forwarded write is refused as overload until one has aged.
  static let entriesMax = 262_144

  init(at now: Instant) { aging = DeadlineWheel(at: now) }

  enum Admission { case fresh, repeated, full }

  /// `until` must not be before the moment when the sender has given up waiting.
  mutating func admit(_ node: NodeID, bootID: UInt64, operation: UInt64, until: Instant, at now: Instant) -> Admission {
    for entry in aging.expired(at: now) {
      if let key = keys.removeValue(forKey: entry) { seen.remove(key) }
    }
    let key = Key(node: node, bootID: bootID, operation: operation)
    if seen.contains(key) { return .repeated }
    guard seen.count < ForwardLedger.entriesMax else { return .full }
    seen.insert(key)
    keys[nextEntry] = key
    aging.schedule(nextEntry, at: until)
    nextEntry += 1
    return .fresh
  }
}
