import Causality
import Cluster
import Primitives
import Storage

// From a directory to a node: read who we are, draw a new actor after an unclean stop, open the stores. Everything
// here happens before the loop runs, so it may wait for the disk.

/// Keeps the node's identity file ahead of what it issues: the stamp lease, the actor, the list of stores.
struct IdentityKeeper: Sendable {
  var manifest: NodeManifest
  var clock: HybridClock
  let path: String
  /// A changed manifest is not durable yet.
  var isDirty = false
  /// The lease that the write in flight will grant.
  var pendingLeaseEnd: HybridTime?
  /// What the file on the disk says of itself: this alone is told (rule LINEAGE).
  private(set) var told: (edition: UInt64, lineage: [BootEdition]) = (0, [])

  /// The actor was drawn by this process when it left its line: nobody else has stamped under it.
  private(set) var hasActorOfItsOwn = false

  /// How far ahead stamps are leased. The next lease is asked for when half of it is left, so that a write rarely waits.
  static let leaseMilliseconds: UInt64 = 10_000

  /// True when less than half of the lease is left at this wall time.
  func wantsLease(wallMilliseconds: UInt64) -> Bool {
    let next = clock.candidate(wallMilliseconds: wallMilliseconds)
    return next.milliseconds + IdentityKeeper.leaseMilliseconds / 2 >= clock.leaseEnd.milliseconds
  }

  /// The step that makes the manifest durable.
  /// - Parameter wallMilliseconds: Given where the node trusts its clock: the lease is longer then. A clock in doubt must
  ///   not move the lease, because the next life begins at its end.
  mutating func renewalSteps(wallMilliseconds: UInt64?) -> [DiskStep] {
    if let wallMilliseconds {
      let base = clock.candidate(wallMilliseconds: wallMilliseconds)
      let end = HybridTime(milliseconds: base.milliseconds + IdentityKeeper.leaseMilliseconds)
      manifest.leaseEnd = max(manifest.leaseEnd, end)
    }
    pendingLeaseEnd = manifest.leaseEnd
    manifest.edition += 1
    isDirty = false
    return [.replace(path: path, bytes: manifest.encoded())]
  }

  /// The last step of a clean stop: nothing was issued above `last`, so nothing need be skipped at the next start.
  mutating func finalSteps() -> [DiskStep] {
    manifest.isClean = true
    manifest.edition += 1
    manifest.leaseEnd = HybridTime(clock.last.rawValue + 1)
    return [.replace(path: path, bytes: manifest.encoded())]
  }

  /// The write in flight came to nothing: its lease was not granted, and what it was to say is still to be said.
  mutating func renewalFailed() {
    pendingLeaseEnd = nil
    isDirty = true
  }

  mutating func renewed() {
    if let end = pendingLeaseEnd { clock.grantLease(until: end) }
    pendingLeaseEnd = nil
    told = (manifest.edition, manifest.lineage)
  }

  /// The steps that begin the lineage anew, around those that fence the stores, with another actor: what this one has
  /// stamped since the copy was made is not known here. The first says what is about to be done: whoever is killed after it
  /// goes on with it at the next start, also if all who know the older copy for one have forgotten it by then.
  mutating func beginAnew(
    _ bootID: UInt64, above known: UInt64, replacedBy actor: ActorID, fencing steps: [DiskStep]
  ) -> [DiskStep] {
    manifest.leavesLineage = true
    let intent = manifest.encoded()
    if !hasActorOfItsOwn { manifest.retireActor(replacedBy: actor) }
    hasActorOfItsOwn = true
    manifest.beginAnew(bootID, above: known)
    manifest.leavesLineage = false
    pendingLeaseEnd = manifest.leaseEnd
    isDirty = false
    let begun = manifest.encoded()
    manifest.leavesLineage = true
    return [.replace(path: path, bytes: intent)] + steps + [.replace(path: path, bytes: begun)]
  }

  /// Whoever wrote the file meanwhile has said that it is still to be done.
  mutating func begunAnew() {
    renewed()
    manifest.leavesLineage = false
    isDirty = true
  }

  /// That came to nothing.
  mutating func beginAnewFailed() {
    (manifest.edition, manifest.lineage) = told
    renewalFailed()
  }
}

/// The start of one life of a node.
struct NodeStart {
  var identity: IdentityKeeper
  var engine: Engine?
  var recovery: RecoveryReport
  /// Stores that the manifest lists and that are not there.
  var missing: [StoreID]
  let bootID: UInt64

  static func run<Disk: FileSystem & ~Copyable>(
    options: NodeOptions, own: Member, generator: inout SeededGenerator, disk: inout Disk, at now: Moment
  ) throws(NodeStartError) -> NodeStart {
    do throws(StorageError) {
      try disk.lock(options.directory + "/lock")
    } catch { throw .storage(error) }
    var keeper = try openIdentity(options: options, own: own, generator: &generator, disk: &disk, at: now)
    let bootID = keeper.manifest.lineage.last?.bootID ?? 0
    guard let cluster = keeper.manifest.cluster else {
      return NodeStart(identity: keeper, engine: nil, recovery: RecoveryReport(), missing: [], bootID: bootID)
    }
    do throws(StorageError) {
      let engine = try Engine.open(
        options.directory, options: engineOptions(options, own: own, cluster: cluster),
        stores: keeper.manifest.stores, on: &disk)
      keeper.clock.observe(engine.recovery.highestTime)
      return NodeStart(
        identity: keeper, engine: engine, recovery: engine.recovery,
        missing: (engine.recovery.missing + engine.recovery.missingHints).sorted(), bootID: bootID)
    } catch { throw .storage(error) }
  }

  static func engineOptions(_ options: NodeOptions, own: Member, cluster: ClusterIdentity) -> EngineOptions {
    var engine = EngineOptions(
      clusterID: cluster.id, nodeID: own.id, hash: RingHash(seed: cluster.ringSeed),
      ringBits: Int(cluster.partitions).trailingZeroBitCount, sync: options.sync,
      fileBytesMax: options.fileBytesMax, journalSegmentBytes: options.journalSegmentBytes,
      checkpointSeconds: options.checkpointSeconds, checkpointBytes: options.checkpointBytes,
      syncIntervalMilliseconds: options.syncIntervalMilliseconds, reserveBytes: options.reserveBytes,
      openFilesMax: options.openFilesMax, merge: options.merge, tombstonesMax: options.tombstonesMax)
    engine.rules = options.rules
    return engine
  }

  /// Reads or creates the identity file, and marks it unclean before anything else is done.
  private static func openIdentity<Disk: FileSystem & ~Copyable>(
    options: NodeOptions, own: Member, generator: inout SeededGenerator, disk: inout Disk, at now: Moment
  ) throws(NodeStartError) -> IdentityKeeper {
    let path = options.directory + "/node"
    let digest = InitialCluster.membersDigest(options.members)
    let found: NodeManifest?
    do throws(StorageError) {
      found = try readManifest(path, disk: &disk)
    } catch { throw .storage(error) }
    if let found {
      guard found.name == own.name, found.node == own.id else {
        throw .otherNode(directory: options.directory, found: found.name, wanted: own.name)
      }
      guard found.membersDigest == digest else { throw .otherMembers(directory: options.directory) }
    }
    var manifest =
      found
      ?? NodeManifest(name: own.name, node: own.id, membersDigest: digest, actor: drawActor(&generator, except: []))
    if found != nil, !manifest.isClean {
      // An unclean stop may have lost stamps of ours that others hold: never issue under that name again.
      manifest.retireActor(replacedBy: drawActor(&generator, except: manifest.pastActors + [manifest.actor]))
    }
    manifest.isClean = false
    manifest.begin(generator.next())
    var keeper = IdentityKeeper(
      manifest: manifest, clock: HybridClock(last: manifest.leaseEnd, leaseEnd: manifest.leaseEnd), path: path)
    do throws(StorageError) {
      for step in keeper.renewalSteps(wallMilliseconds: nil) { try step.perform(on: &disk) }
    } catch { throw .storage(error) }
    keeper.renewed()
    return keeper
  }

  private static func readManifest<Disk: FileSystem & ~Copyable>(
    _ path: String, disk: inout Disk
  ) throws(StorageError) -> NodeManifest? {
    guard try disk.exists(path) else { return nil }
    let file = try disk.open(path, .read)
    defer { disk.close(file) }
    let size = try disk.size(of: file)
    guard size <= identityBytesMax else {
      throw .damaged(path: path, offset: 0, reason: "\(size) bytes is too long for an identity file")
    }
    guard case .bytes(let bytes) = try disk.read(file, at: 0, count: Int(size), mayBlock: true) else {
      throw .damaged(path: path, offset: 0, reason: "a read that may block did not return bytes")
    }
    return try NodeManifest(decoding: bytes, path: path)
  }

  /// An identity file is never longer: 65,536 stores of 32 bytes and a name.
  private static var identityBytesMax: UInt64 { 4 << 20 }

  /// Where the feeds end that others may have read from in earlier lives.
  static func heads(_ engine: Engine?) -> [StoreID: (incarnation: Identity128, head: UInt64)] {
    guard let engine else { return [:] }
    return Dictionary(
      uniqueKeysWithValues: engine.storeIDs.map { ($0, (engine.incarnation($0), engine.durableHead($0))) })
  }

  /// A random actor id, never 0 and none of `taken`.
  static func drawActor(_ generator: inout SeededGenerator, except taken: [ActorID]) -> ActorID {
    while true {
      let actor = ActorID(UInt32(truncatingIfNeeded: generator.next() >> 16))
      if actor.rawValue != 0, !taken.contains(actor) { return actor }
    }
  }
}

extension NodeManifest {
  /// The actor of the past is kept, so that nobody draws it again.
  mutating func retireActor(replacedBy actor: ActorID) {
    pastActors.append(self.actor)
    if pastActors.count > NodeManifest.pastActorsMax {
      pastActors.removeFirst(pastActors.count - NodeManifest.pastActorsMax)
    }
    self.actor = actor
  }
}
