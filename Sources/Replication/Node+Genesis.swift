import Causality
import Cluster
import Messages
import Primitives
import Storage

// How a cluster comes to be, and how an empty store comes to serve (rule GENESIS, Docs/DeleteProtocol.md). The member with the
// lowest id founds the cluster once every member has said that it knows of none; everybody else adopts what it is told.

extension Node where Disk: ~Copyable {
  // MARK: - Founding

  /// Draws the cluster's identity if nobody has one. Waiting for all is no loss: no store can serve before that either.
  mutating func foundIfPossible(at now: Moment) {
    guard identity.manifest.cluster == nil, own.id == ring.members.map(\.id).min() else { return }
    guard peers.peers.allSatisfy({ $0.wasUp && $0.hello != nil && $0.hello?.cluster == nil }) else { return }
    adopt(
      ClusterIdentity(
        id: drawIdentity(), ringSeed: generator.next(), partitions: options.partitions, replicas: options.replicas),
      at: now)
  }

  mutating func drawIdentity() -> Identity128 {
    while true {
      let drawn = Identity128(high: generator.next(), low: generator.next())
      if drawn != .none { return drawn }
    }
  }

  /// Of a store that is made now: above those of the stores that this node has made before, so that of two incarnations it
  /// is known which came later (rule IDENT). A copy that was put back counts on from where it was made: its editions are
  /// below what the node has told since, or it has left its lineage, which begins above.
  /// - Parameter old: The store whose place it takes.
  mutating func drawIncarnation(after old: Identity128 = .none) -> Identity128 {
    let place = max(identity.manifest.edition, old.high == .max ? 0 : old.high)
    return Identity128(high: place + 1, low: generator.next())
  }

  /// Makes this node a member: the identity file says so, only then peers hear of it, and its stores are created and
  /// listed there. A crash between any two steps leaves a node that goes on from there, in the same cluster.
  mutating func adopt(_ cluster: ClusterIdentity, at now: Moment) {
    guard phase == .founding else { return }
    phase = .creating
    identity.manifest.cluster = cluster
    start(.join, [.replace(path: identity.path, bytes: identity.manifest.encoded())])
  }

  /// The identity file names the cluster: what is found in the directory from now on belongs to it.
  mutating func joined() {
    guard let cluster = identity.manifest.cluster else { return }
    ring = Ring(
      epoch: 1, partitionCount: Int(cluster.partitions), replicas: Int(cluster.replicas), members: options.members)
    hash = RingHash(seed: cluster.ringSeed)
    do throws(StorageError) {
      engine = try Engine.open(
        options.directory, options: NodeStart.engineOptions(options, own: own, cluster: cluster), stores: [], on: &disk)
    } catch {
      stopReason = .failed(error)
      return
    }
    createOwnStores()
  }

  /// What the directory lacks is created before anything is served: stores that are listed and gone, and those that
  /// were never made.
  mutating func beginStores(missing: [StoreID]) {
    guard engine != nil else { return }
    let lacksHints = members(withoutHintsIn: identity.manifest.stores)
    if !missing.isEmpty {
      replaceMissingStores(missing)
    } else if identity.manifest.stores.isEmpty {
      // Where there are more nodes than owners one may have stores of hints alone.
      phase = .creating
      createOwnStores()
    } else if !lacksHints.isEmpty {
      phase = .creating
      var seeds: [StoreSeed] = []
      for node in lacksHints { seeds.append(hintSeed(node)) }
      createStores(seeds, lost: [:])
    }
  }

  private func members(withoutHintsIn seeds: [StoreSeed]) -> [NodeID] {
    ring.members.map(\.id).filter { node in !seeds.contains { $0.id == .hints(for: node) } }
  }

  private mutating func hintSeed(_ node: NodeID) -> StoreSeed {
    StoreSeed(id: .hints(for: node), incarnation: drawIncarnation(), configID: 0)
  }

  /// Creates the stores of every partition that this node owns, and one for the hints of each member: for itself a node
  /// keeps what is in quarantine.
  mutating func createOwnStores() {
    guard let cluster = identity.manifest.cluster else { return }
    var seeds: [StoreSeed] = []
    for partition in 0..<ring.partitionCount where ring.owners(of: partition).contains(own.id) {
      seeds.append(
        StoreSeed(
          id: StoreID(partition: UInt16(partition), replicas: cluster.replicas), incarnation: drawIncarnation(),
          configID: ring.configID(of: partition)))
    }
    free.append(.log(.info, "cluster \(cluster.id): \(seeds.count) of \(ring.partitionCount) partitions are here"))
    for node in members(withoutHintsIn: []) { seeds.append(hintSeed(node)) }
    createStores(seeds, lost: [:])
  }

  /// - Parameter lost: By store, the promise that marks it as one that has lost something.
  private mutating func createStores(_ seeds: [StoreSeed], lost: [StoreID: [PeerPromise]]) {
    guard let engine else { return }
    var steps = engine.create(seeds, promises: lost)
    let created = Set(seeds.map(\.id))
    identity.manifest.stores = (identity.manifest.stores.filter { !created.contains($0.id) } + seeds)
      .sorted { $0.id < $1.id }
    steps.append(.replace(path: identity.path, bytes: identity.manifest.encoded()))
    start(.createStores(seeds, lost: lost), steps)
  }

  /// Stores that the identity file lists and that are gone come back empty, under a new incarnation, and marked by the
  /// old one: they have lost something, and are never taken for new.
  mutating func replaceMissingStores(_ missing: [StoreID]) {
    phase = .creating
    var seeds: [StoreSeed] = []
    var lost: [StoreID: [PeerPromise]] = [:]
    for old in identity.manifest.stores where missing.contains(old.id) {
      seeds.append(StoreSeed(id: old.id, incarnation: drawIncarnation(after: old.incarnation), configID: old.configID))
      if !old.id.isHints { lost[old.id] = marks(ofMissing: old) }
    }
    for node in members(withoutHintsIn: identity.manifest.stores) { seeds.append(hintSeed(node)) }
    let partitions = missing.filter { !$0.isHints }
    if let first = partitions.first {
      let text = "\(partitions.count) stores are missing and come up as loading: \(first) is the first"
      free.append(.log(.error, text))
    }
    for store in missing where store.isHints {
      free.append(
        .log(.error, "store \(store) is missing: the \(kept(in: store)) in it are lost, and a new one is made"))
    }
    createStores(seeds, lost: lost)
  }

  /// The mark of a store that is not where it was. One that was set aside just before the node died is found there, with
  /// the marks of those that it had not got back yet.
  private mutating func marks(ofMissing old: StoreSeed) -> [PeerPromise] {
    do throws(StorageError) {
      if let engine,
        let directory = try engine.setAsideDirectory(of: old.id, incarnation: old.incarnation, on: &disk)
      {
        return try engine.marksSetAside(directory, of: old, on: &disk)
      }
    } catch {
      free.append(.log(.error, "store \(old.id): what it had lost before cannot be looked up: \(error)"))
    }
    return [PeerPromise(peer: own.id, incarnation: old.incarnation, configID: old.configID)]
  }

  mutating func storesCreated(_ seeds: [StoreSeed], lost: [StoreID: [PeerPromise]], at now: Moment) {
    guard let engine else { return }
    do throws(StorageError) {
      try engine.adopt(seeds, promises: lost, on: &disk)
    } catch {
      stopReason = .failed(error)
      return
    }
    // A shutdown that came meanwhile goes on.
    if phase == .creating { phase = .opening }
    sayHelloAgain(at: now)
    noteStoresAnew()
    for peer in peers.peers where peer.wasUp { sendStoreStates(to: peer.member.id) }
    activateStores()
  }

  // MARK: - Genesis of stores

  /// Loading, empty, and holding no promise of anybody.
  func isNew(_ store: StoreID, _ engine: Engine) -> Bool {
    engine.role(store) == .loading && engine.isEmpty(store) && engine.promises(store).isEmpty
  }

  /// New, and the other owners may still agree that it is: the node waits for these before it serves.
  func awaitsGenesis(_ store: StoreID, _ engine: Engine) -> Bool {
    guard isNew(store, engine) else { return false }
    let others = ring.owners(of: Int(store.partition)).filter { $0 != own.id }
    return !genesis.isRefused(store, incarnation: engine.incarnation(store), others: others)
  }

  /// What other owners say of their stores decides what becomes of ours that do not serve.
  mutating func noteStates(_ states: [StoreState], from node: NodeID, index: Int, at now: Moment) {
    let servesAgain = states.contains { state in
      state.role == .active && genesis.state(of: state.store, at: node).map { $0.role != .active } ?? false
    }
    genesis.record(states, from: node)
    // What it refused because it was loading, it takes now.
    if servesAgain { handoffPeerIsUp(node, at: now) }
    activateStores()
    // A peer whose store is to be filled, or made anew, may have missed what we said.
    guard let engine else { return }
    let isWaiting = states.contains {
      ($0.role == .loading || $0.role == .fenced) && engine.contains($0.store) && engine.role($0.store) == .active
    }
    // Two that wait for third owners would otherwise answer each other for ever.
    let answered = peers[index].statesAnswered.map { now.instant.milliseconds(since: $0) } ?? .max
    guard isWaiting, answered >= Self.announcementMilliseconds else { return }
    peers[index].statesAnswered = now.instant
    repeatStoreStates(to: node)
  }

  /// Starts serving from every new store whose fellow owners have all agreed.
  mutating func activateStores() {
    guard let engine, phase != .creating, roles.pausedUntil == nil else { return }
    guard !jobs.contains(where: { if case .activate = $0 { true } else { false } }) else { return }
    var agreed: [StoreID: [PeerPromise]] = [:]
    var steps: [DiskStep] = []
    for store in engine.storeIDs where isNew(store, engine) {
      let others = ring.owners(of: Int(store.partition)).filter { $0 != own.id }
      guard
        let promises = genesis.agreement(
          on: store, incarnation: engine.incarnation(store), others: others, configID: engine.configID(store),
          isRuled: options.rules.hold(.genesis))
      else { continue }
      agreed[store] = promises
      steps += engine.setRole(store, .active, promises: promises)
    }
    if !agreed.isEmpty { start(.activate(agreed), steps) }
    markStores(engine)
  }

  /// A new store that an owner does not take for new has lost what it held. It says so of itself, durably, before anybody
  /// takes note of it: else it could find later that it is known, as new stores do that have agreed.
  private mutating func markStores(_ engine: Engine) {
    guard !jobs.contains(where: { if case .mark = $0 { true } else { false } }) else { return }
    let lost = engine.storeIDs.filter { isNew($0, engine) && !awaitsGenesis($0, engine) }
    var steps: [DiskStep] = []
    for store in lost { steps += engine.setRole(store, .loading, promises: [lossMark(store)]) }
    if !lost.isEmpty { start(.mark(lost), steps) }
  }

  /// Of a store that nothing is kept of.
  private func lossMark(_ store: StoreID) -> PeerPromise {
    PeerPromise(peer: own.id, incarnation: .none, configID: configID(store))
  }

  mutating func storesMarked(_ stores: [StoreID]) {
    guard let engine else { return }
    for store in stores where engine.contains(store) {
      engine.adoptRole(store, .loading, promises: [lossMark(store)])
    }
    for peer in peers.peers where peer.wasUp { sendStoreStates(to: peer.member.id) }
  }

  mutating func storesActivated(_ activated: [StoreID: [PeerPromise]], at now: Moment) {
    guard let engine else { return }
    for store in activated.keys.sorted() {
      engine.adoptRole(store, .active, promises: activated[store] ?? [])
    }
    for peer in peers.peers where peer.wasUp { sendStoreStates(to: peer.member.id) }
    activateStores()
  }
}
