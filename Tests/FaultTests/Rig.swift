import Causality
import Primitives
import Simulation

@testable import Storage

// An engine on a simulated disk, and the short words that tests speak with it.

func stamp(_ milliseconds: UInt64, actor: UInt32 = 1) -> Stamp {
  Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(actor))
}

func seedOf(_ partition: UInt16) -> StoreSeed {
  StoreSeed(
    id: StoreID(partition: partition, replicas: 3), incarnation: Identity128(high: 7, low: UInt64(partition) + 1),
    configID: 99)
}

/// Two partitions, so that journal and checkpoint have more than one store to care for.
struct Rig {
  var disk: SimulatedDisk
  var options: EngineOptions
  var engine: Engine
  var now = Instant(nanoseconds: 0)
  static let seeds = [seedOf(0), seedOf(1)]
  /// What a reopened engine must have.
  var seeds = Rig.seeds
  static let root = "/data"

  init(
    seed: UInt64, sync: SyncMode = .always, fileBytesMax: UInt64 = 1 << 20, segmentBytes: UInt64 = 1 << 20,
    checkpointBytes: UInt64? = nil, mask: UInt64 = .max
  ) throws(StorageError) {
    disk = SimulatedDisk(seed: seed, root: Rig.root)
    options = EngineOptions(
      clusterID: Identity128(high: 1, low: 2), nodeID: NodeID(1), hash: RingHash(seed: 42, mask: mask), ringBits: 1,
      sync: sync, fileBytesMax: fileBytesMax, journalSegmentBytes: segmentBytes, checkpointSeconds: 60,
      checkpointBytes: checkpointBytes ?? segmentBytes)
    engine = try Engine.open(Rig.root, options: options, stores: [], on: &disk)
    for step in engine.create(Rig.seeds) { try step.perform(on: &disk) }
    try engine.adopt(Rig.seeds, on: &disk)
  }

  func hash(_ key: [UInt8]) -> UInt64 { options.hash(key) }
  func store(of key: [UInt8]) -> StoreID { StoreID(partition: UInt16(hash(key) >> 63), replicas: 3) }

  mutating func put(_ key: String, _ value: String, at time: UInt64) throws(StorageError) -> ApplyOutcome {
    try apply(StoredVersion(stamp: stamp(time), isTombstone: false, value: Array(value.utf8)), key: Array(key.utf8))
  }

  mutating func delete(_ key: String, at time: UInt64) throws(StorageError) -> ApplyOutcome {
    try apply(StoredVersion(stamp: stamp(time), isTombstone: true, value: []), key: Array(key.utf8))
  }

  mutating func get(_ key: String) throws(StorageError) -> LookupOutcome { try lookup(Array(key.utf8)) }

  /// Applies, performing cold reads until none is asked for.
  mutating func apply(_ version: StoredVersion, key: [UInt8]) throws(StorageError) -> ApplyOutcome {
    var warm: WarmBytes?
    while true {
      let outcome = try engine.apply(version, key: key, hash: hash(key), to: store(of: key), warm: warm, on: &disk)
      guard case .cold(let read) = outcome else { return outcome }
      warm = try perform(read)
    }
  }

  /// Applies what was asked for at `generation`, now when that is nil, performing cold reads until none is asked for.
  mutating func pull(
    _ version: StoredVersion, key: [UInt8], since generation: PullGeneration? = nil
  ) throws(StorageError) -> PullOutcome {
    let generation = generation ?? engine.pullGeneration(store(of: key))
    var warm: WarmBytes?
    while true {
      let outcome = try engine.applyPulled(
        version, key: key, hash: hash(key), to: store(of: key), since: generation, warm: warm, on: &disk)
      guard case .cold(let read) = outcome else { return outcome }
      warm = try perform(read)
    }
  }

  mutating func lookup(_ key: [UInt8]) throws(StorageError) -> LookupOutcome {
    var warm: WarmBytes?
    while true {
      let outcome = try engine.lookup(key: key, hash: hash(key), in: store(of: key), warm: warm, on: &disk)
      guard case .cold(let read) = outcome else { return outcome }
      warm = try perform(read)
    }
  }

  mutating func purge(_ key: [UInt8], _ stamp: Stamp) throws(StorageError) -> PurgeOutcome {
    var warm: WarmBytes?
    while true {
      let outcome = try engine.purge(
        key: key, hash: hash(key), stamp: stamp, in: store(of: key), warm: warm, on: &disk)
      guard case .cold(let read) = outcome else { return outcome }
      warm = try perform(read)
    }
  }

  /// Takes a tombstone of another owner's feed, performing cold reads until none is asked for.
  mutating func feed(_ key: [UInt8], _ stamp: Stamp) throws(StorageError) -> ApplyOutcome {
    var warm: WarmBytes?
    while true {
      let outcome = try engine.applyFeed(
        key: key, hash: hash(key), stamp: stamp, to: store(of: key), warm: warm, on: &disk)
      guard case .cold(let read) = outcome else { return outcome }
      warm = try perform(read)
    }
  }

  /// One page of a feed.
  mutating func feedPage(
    of id: StoreID, after tsn: UInt64 = 0, upTo last: UInt64? = nil, entriesMax: Int = 1000, bytesMax: Int = 1 << 20
  ) throws(StorageError) -> (entries: [FeedEntry], next: UInt64) {
    var warm: WarmBytes?
    while true {
      switch try engine.feedPage(
        of: id, after: tsn, upTo: last, entriesMax: entriesMax, bytesMax: bytesMax, warm: warm, on: &disk)
      {
      case .page(let entries, let next): return (entries, next)
      case .cold(let read): warm = try perform(read)
      }
    }
  }

  mutating func purgeFeed(
    _ id: StoreID, upTo tsn: UInt64 = .max, max countMax: Int = 1000
  ) throws(StorageError) -> (purged: [PurgedTombstone], more: Bool) {
    var warm: WarmBytes?
    while true {
      switch try engine.purgeFeed(id, upTo: tsn, max: countMax, warm: warm, on: &disk) {
      case .purged(let purged, let more): return (purged, more)
      case .cold(let read): warm = try perform(read)
      }
    }
  }

  mutating func put(_ key: String, _ value: String, at time: UInt64, until expiry: UInt64) throws(StorageError)
    -> ApplyOutcome
  {
    try apply(
      StoredVersion(
        stamp: stamp(time), isTombstone: false, value: Array(value.utf8), expiry: Expiry(milliseconds: expiry)),
      key: Array(key.utf8))
  }

  /// Buries what may be at this time. - Returns: How many.
  mutating func bury(_ id: StoreID, at wall: UInt64, max countMax: Int = 1000) throws(StorageError) -> Int {
    var warm: [WarmBytes] = []
    var count = 0
    while true {
      switch try engine.bury(in: id, at: wall, max: countMax, warm: warm, on: &disk) {
      case .buried(let buried, let more):
        count += buried
        if !more || count >= countMax { return count }
        warm = []
      case .cold(let reads, let buried):
        count += buried
        warm = []
        for read in reads { if let bytes = try perform(read) { warm.append(bytes) } }
      case .refused: return count
      }
    }
  }

  /// Writes the file of cursors and promises.
  mutating func writePromises() throws(StorageError) {
    let (bytes, token) = engine.promisesFile()
    try DiskStep.replace(path: StorePath.promises(Rig.root), bytes: bytes).perform(on: &disk)
    engine.promisesWritten(token)
  }

  /// Merges every store once, with all the jobs that this takes.
  mutating func mergeAll(rule: any MergeRule = OverlapRule()) throws(StorageError) {
    engine.requestMerge()
    var warm: WarmBytes?
    while engine.isMergeRequested {
      let step = try engine.continueMerge(at: now, hour: 12, budget: 300, warm: warm, rule: rule, on: &disk)
      warm = nil
      if case .cold(let read) = step { warm = try perform(read) }
      try work()
    }
  }

  /// What the statistics of a store's files say wrongly: counted anew from the files and the keydir.
  mutating func statisticsDefect() throws(StorageError) -> String? {
    for store in engine.stores where store.isOpen {
      var liveBytes: UInt64 = 0
      var live: [Int: (records: Int, bytes: UInt64)] = [:]
      var places: [(hash: UInt64, Location)] = []
      store.keydir.visitAll { places.append(($0, $1)) }
      var tree = HashTree(ringBits: options.ringBits)
      var feed: [FeedIndex.Entry] = []
      var expiring: [ExpiryIndex.Entry] = []
      for (hash, place) in places {
        let header = try store.record(at: place, on: &disk).header
        if header.isTombstone, !store.id.isHints {
          feed.append(FeedIndex.Entry(tsn: header.tsn, hash: hash, stamp: header.stamp))
        }
        if header.expiry != .never, !store.id.isHints {
          expiring.append(ExpiryIndex.Entry(hash: hash, stamp: header.stamp, expiry: header.expiry))
        }
        tree.toggle(hash, header.stamp, isTombstone: header.isTombstone)
        guard place.digest == header.stamp.digest else {
          return "\(store.id): the digest \(place.digest) of \(hash) is not that of \(header.stamp)"
        }
        live[place.file, default: (0, 0)].records += 1
        live[place.file, default: (0, 0)].bytes += UInt64(header.byteCount)
      }
      for index in store.dataFiles.indices where !store.dataFiles[index].isRetired {
        let file = store.dataFiles[index]
        let (records, bytes) = live[index] ?? (0, 0)
        liveBytes += file.liveBytes
        guard file.liveRecords == records, file.liveBytes == bytes else {
          return "file \(file.id) of \(store.id): \(file.liveRecords) live records, and there are \(records)"
        }
        var counted = 0
        var scan = DataScan(
          try store.handle(index, on: &disk), from: 64, to: file.flushedLength, salt: file.salt, hash: options.hash)
        while try scan.next(on: &disk) { counted += scan.records.count }
        if index != store.active || store.buffer.isEmpty, file.records != counted {
          return "file \(file.id) of \(store.id): \(file.records) records, and there are \(counted)"
        }
      }
      guard store.liveBytes == liveBytes else {
        return "\(store.id): \(store.liveBytes) live bytes, and there are \(liveBytes)"
      }
      guard store.id.isHints || store.tree == tree else {
        return "the tree of \(store.id) is not the one of its records"
      }
      guard store.feed.all == feed.sorted(by: { $0.tsn < $1.tsn }) else {
        return "the feed of \(store.id) is not its tombstones: \(store.feed.all), and there are \(feed)"
      }
      guard store.expiries.all.sorted(by: { $0.stamp < $1.stamp }) == expiring.sorted(by: { $0.stamp < $1.stamp })
      else {
        return
          "\(store.id): of the values that expire \(store.expiries.count) are known, and there are \(expiring.count)"
      }
      guard feed.allSatisfy({ $0.tsn <= store.manifest.tsnHead }) else {
        return "the feed head of \(store.id) is behind"
      }
      if let defect = store.keydir.defect() { return defect }
    }
    return nil
  }

  mutating func perform(_ read: ColdRead) throws(StorageError) -> WarmBytes? {
    guard case .bytes(let bytes) = try disk.read(read.file, at: read.offset, count: read.count, mayBlock: true) else {
      return nil
    }
    return WarmBytes(read: read, bytes: bytes)
  }

  /// Syncs what the engine names.
  mutating func sync() throws(StorageError) {
    guard let request = engine.beginSync() else { return }
    for file in request.files { try disk.sync(file) }
    engine.completeSync(request.ticket)
  }

  /// Performs the job that is due after so long, if any.
  mutating func work(afterMilliseconds milliseconds: UInt64 = 0) throws(StorageError) {
    now = now.adding(milliseconds: milliseconds)
    guard let steps = engine.work(at: now, on: &disk) else { return }
    do throws(StorageError) {
      for step in steps { try step.perform(on: &disk) }
    } catch {
      guard error.isRefusal else { throw error }
      return engine.abandonWork(error, at: now)
    }
    engine.completeWork()
  }

  mutating func shutdown() throws(StorageError) {
    try engine.flush(on: &disk)
    for step in engine.shutdownSteps() { try step.perform(on: &disk) }
  }

  /// Opens what the disk holds, as a new process.
  mutating func reopen() throws(StorageError) {
    disk.killProcess()
    engine = try Engine.open(Rig.root, options: options, stores: seeds, on: &disk)
  }
}
