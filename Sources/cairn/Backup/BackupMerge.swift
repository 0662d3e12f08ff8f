import Causality
import Platform
import Primitives
import Storage

// What a cluster held, out of the copies of all its nodes. Of every key the newest record of all copies counts, in the
// stores of its owners and in hints alike: a value is alive, a tombstone has deleted whatever is older. One case wants
// more: a value that only hints have, at or below the floor of its partition. Its owners may have forgotten a tombstone
// that was newer, as they may have for a hint that is handed over late (rules FLOOR and VALIDATED PULL,
// Docs/DeleteProtocol.md); it is left out and told.
//
// Each partition is read twice: first to learn which record of each key is the newest, then to hand over those that are
// values. Stores of hints are of all partitions: they are read once before all of them and once after. Only where a
// partition, or all hints together, have more keys than may be in memory is it done in several ranges of the hash.

/// A store of a node in a backup.
struct BackupStore: Hashable {
  /// The name of the node.
  let node: String
  let store: StoreID
}

struct BackupMerge {
  /// Keys in memory at once, of a partition and of hints each, about 100 bytes a key.
  static let keysMaxDefault = 1 << 20
  /// Keys of values that were left out that are named; more are counted.
  static let doubtfulNamesMax = 20

  private typealias Name = BackupNewest.Name
  private typealias Place = BackupNewest.Place

  private struct File {
    let path: String
    let size: UInt64
    let salt: UInt32
    /// Of an owner that served it. What is in others, in hints above all, waits for what owners say.
    let isOwners: Bool
    /// The hashes that its store has.
    let hashes: ClosedRange<UInt64>

    /// How much of the file belongs to a range that it overlaps.
    func share(of range: ClosedRange<UInt64>) -> Double {
      let common = range.clamped(to: hashes)
      return (Double(common.upperBound - common.lowerBound) + 1) / (Double(hashes.upperBound - hashes.lowerBound) + 1)
    }
  }

  /// What it comes to.
  struct Totals: Equatable {
    var values = 0
    var deleted = 0
    /// Values that only hints have, at or below the floor.
    var doubtful = 0
  }

  /// One value, as it is to be stored again.
  struct Found {
    let key: [UInt8]
    let stamp: Stamp
    let expiry: Expiry
    /// Content type, metadata and value (`ObjectContent`).
    let payload: [UInt8]
  }

  private let hash: RingHash
  private let keysMax: Int
  private var files: [File] = []
  /// Indices into `files`: by partition, and those of hints.
  private var ofPartition: [[Int]]
  private var ofHints: [Int] = []
  /// By partition: the highest floor of those who own it.
  private var floors: [Stamp]
  private let partitionBits: Int
  private(set) var totals = Totals()
  /// The first keys of doubtful values.
  private(set) var doubtful: [[UInt8]] = []
  /// Bytes that were scanned, those of a file that is scanned twice counted twice.
  private(set) var bytesScanned: UInt64 = 0

  /// Bytes of all files that are read, once each.
  var bytes: UInt64 { files.reduce(0) { $0 + $1.size } }

  /// Looks at the stores of the nodes. - Throws: `Failure` when one cannot be read as what it should be.
  /// - Parameter leftOut: Stores that are not looked at: what is damaged may have been the tombstone of what is not.
  init(
    _ directory: String, nodes: [BackupManifest.Node], leftOut: Set<BackupStore> = [], keysMax: Int = keysMaxDefault
  ) throws(Failure) {
    var posix = PosixFileSystem()
    var contents: [(place: String, node: BackupManifest.Node, manifest: NodeManifest)] = []
    var identity: ClusterIdentity?
    for node in nodes {
      let place = "\(directory)/\(node.directory)"
      let (manifest, problem) = NodeContents.manifest(in: place, on: &posix)
      guard let manifest, let cluster = manifest.cluster, identity.map({ $0 == cluster }) ?? true else {
        throw Failure("\(place): \(problem.map { "\($0)" } ?? "it is of another cluster than the rest")")
      }
      identity = cluster
      contents.append((place, node, manifest))
    }
    guard let identity else { throw Failure("\(directory) has no node") }
    self.keysMax = keysMax
    hash = RingHash(seed: identity.ringSeed)
    partitionBits = Int(identity.partitions).trailingZeroBitCount
    floors = [Stamp](repeating: .zero, count: Int(identity.partitions))
    ofPartition = [[Int]](repeating: [], count: Int(identity.partitions))
    for (place, node, manifest) in contents {
      for seed in manifest.stores where !leftOut.contains(BackupStore(node: node.name, store: seed.id)) {
        // The quarantine: what is in there was not the cluster's any more.
        if seed.id.hintTarget == manifest.node { continue }
        try add(seed.id, BackupMerge.store("\(place)/stores/\(seed.id)", identity, on: &posix))
      }
    }
  }

  private mutating func add(_ id: StoreID, _ store: (files: [File], isOwners: Bool, floor: Stamp)) throws(Failure) {
    let indices = files.endIndex..<files.endIndex + store.files.count
    files += store.files
    if id.isHints {
      ofHints += indices
      return
    }
    let partition = Int(id.partition)
    guard floors.indices.contains(partition) else { throw Failure("store \(id) is of no partition that there is") }
    ofPartition[partition] += indices
    if store.isOwners { floors[partition] = max(floors[partition], store.floor) }
  }

  private static func store(
    _ path: String, _ cluster: ClusterIdentity, on posix: inout PosixFileSystem
  ) throws(Failure) -> (files: [File], isOwners: Bool, floor: Stamp) {
    do throws(StorageError) {
      let contents = try StoreContents(reading: path, on: &posix)
      guard let manifest = contents.manifest else {
        throw contents.manifestProblem ?? .missing(path: path, reason: "it has no manifest")
      }
      let isOwners = !manifest.store.isHints && manifest.role == .active
      var files: [File] = []
      for file in contents.files where file.standing == .listed || file.standing == .absent {
        guard let salt = file.salt, file.standing == .listed, file.size >= file.syncedLength else {
          throw file.problem ?? .missing(path: file.path, reason: "the store's manifest lists it")
        }
        files.append(
          File(
            path: file.path, size: file.size, salt: salt, isOwners: isOwners,
            hashes: hashes(of: manifest.store, Int(cluster.partitions).trailingZeroBitCount)))
      }
      return (files, isOwners, manifest.floor)
    } catch {
      throw Failure("\(error)")
    }
  }

  private static func hashes(of store: StoreID, _ bits: Int) -> ClosedRange<UInt64> {
    guard !store.isHints, bits > 0 else { return 0...UInt64.max }
    let first = UInt64(store.partition) << UInt64(64 - bits)
    return first...(first | UInt64.max >> UInt64(bits))
  }

  // MARK: Running

  /// Hands over every value that is alive, each key once.
  /// - Parameter progress: Is called with bytes that are done with since; together they are about `bytes`.
  mutating func run(
    progress: (UInt64) -> Void = { _ in }, take: (Found) throws -> Void
  ) throws {
    totals = Totals()
    doubtful = []
    bytesScanned = 0
    var next: UInt64? = 0
    while let first = next {
      var hints = BackupNewest(first...UInt64.max, keysMax: keysMax)
      try learn(ofHints, &hints)
      let sorted = hints.sorted
      var counting: [Place: BackupNewest.Record] = [:]
      for partition in ofPartition.indices where hashes(of: partition).overlaps(hints.range) {
        let range = hashes(of: partition).clamped(to: hints.range)
        try run(partition, range, sorted[...], &counting, progress, take)
      }
      try hand(over: ofHints, hints.range, { _, place in counting[place] }, progress, take)
      next = hints.range.upperBound < .max ? hints.range.upperBound + 1 : nil
    }
  }

  private func hashes(of partition: Int) -> ClosedRange<UInt64> {
    BackupMerge.hashes(of: StoreID(partition: UInt16(partition), replicas: 1), partitionBits)
  }

  /// - Parameters:
  ///   - hints: What hints have, by hash.
  ///   - counting: Takes those of them that are the newest of their key.
  private mutating func run(
    _ partition: Int, _ range: ClosedRange<UInt64>, _ hints: ArraySlice<(name: Name, record: BackupNewest.Record)>,
    _ counting: inout [Place: BackupNewest.Record], _ progress: (UInt64) -> Void, _ take: (Found) throws -> Void
  ) throws {
    var hints = hints[BackupMerge.firstIndex(of: range.lowerBound, in: hints)...]
    var next: UInt64? = range.lowerBound
    while let first = next {
      var newest = BackupNewest(first...range.upperBound, keysMax: keysMax)
      for hint in hints {
        guard newest.range.contains(hint.name.hash) else { break }
        try newest.add(hint.name, hint.record)
      }
      try learn(ofPartition[partition], &newest)
      let records = newest.records
      try hand(over: ofPartition[partition], newest.range, { name, _ in records[name] }, progress, take)
      while let hint = hints.first, newest.range.contains(hint.name.hash) {
        if let record = records[hint.name], record.place == hint.record.place { counting[record.place] = record }
        hints = hints.dropFirst()
      }
      next = newest.range.upperBound < range.upperBound ? newest.range.upperBound + 1 : nil
    }
  }

  private static func firstIndex(
    of hash: UInt64, in hints: ArraySlice<(name: Name, record: BackupNewest.Record)>
  ) -> Int {
    var low = hints.startIndex
    var high = hints.endIndex
    while low < high {
      let middle = (low + high) / 2
      if hints[middle].name.hash < hash { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private mutating func learn(_ indices: [Int], _ newest: inout BackupNewest) throws {
    for index in indices {
      let isOwners = files[index].isOwners
      bytesScanned += files[index].size
      try scan(files[index]) { scan, record in
        guard newest.range.contains(record.hash) else { return }
        try newest.add(
          BackupMerge.name(record, scan),
          BackupNewest.Record(
            stamp: record.header.stamp, isTombstone: record.header.isTombstone,
            place: BackupMerge.place(record, scan, index), isOwned: isOwners))
      }
    }
  }

  /// - Parameter newest: The newest record of the name; nil when that is known to be elsewhere than at this place.
  private mutating func hand(
    over indices: [Int], _ range: ClosedRange<UInt64>, _ newest: (Name, Place) -> BackupNewest.Record?,
    _ progress: (UInt64) -> Void, _ take: (Found) throws -> Void
  ) throws {
    for index in indices {
      let share = files[index].share(of: range)
      var told: UInt64 = 0
      var found = (totals: totals, doubtful: doubtful)
      bytesScanned += files[index].size
      try scan(files[index]) { scan, record in
        let place = BackupMerge.place(record, scan, index)
        guard range.contains(record.hash), let known = newest(BackupMerge.name(record, scan), place),
          known.place == place
        else { return }
        progress(UInt64(Double(place.offset - told) * share))
        told = place.offset
        if known.isTombstone {
          found.totals.deleted += 1
        } else if isDoubtful(known, record.hash) {
          found.totals.doubtful += 1
          if found.doubtful.count < Self.doubtfulNamesMax { found.doubtful.append(scan.key(of: record)) }
        } else {
          found.totals.values += 1
          try take(BackupMerge.found(record, scan))
        }
      }
      (totals, doubtful) = found
      progress(UInt64(Double(files[index].size - told) * share))
    }
  }

  private static func name(_ record: ScannedRecord, _ scan: DataScan) -> Name {
    let key = record.start + record.header.keyOffset..<record.start + record.header.valueOffset
    return Name(hash: record.hash, checksum: crc32c(scan.chunk, key))
  }

  private static func place(_ record: ScannedRecord, _ scan: DataScan, _ file: Int) -> Place {
    Place(file: UInt32(file), offset: scan.chunkOffset + UInt64(record.start))
  }

  private static func found(_ record: ScannedRecord, _ scan: DataScan) -> Found {
    let value = record.start + record.header.valueOffset
    return Found(
      key: scan.key(of: record), stamp: record.header.stamp, expiry: record.header.expiry,
      payload: Array(scan.chunk[value..<value + record.header.valueLength]))
  }

  private func isDoubtful(_ newest: BackupNewest.Record, _ hash: UInt64) -> Bool {
    let partition = partitionBits == 0 ? 0 : Int(hash >> UInt64(64 - partitionBits))
    return !newest.isOwned && newest.stamp <= floors[partition]
  }

  /// Calls `body` with every record of a file.
  private func scan(_ file: File, _ body: (DataScan, ScannedRecord) throws -> Void) throws {
    var posix = PosixFileSystem()
    let handle = try posix.open(file.path, .read)
    defer { posix.close(handle) }
    var scan = DataScan(
      handle, from: min(UInt64(FileHeader.byteCount), file.size), to: file.size, salt: file.salt, hash: hash)
    while try scan.next(on: &posix) {
      for record in scan.records { try body(scan, record) }
    }
    switch scan.stop {
    case .end, nil: return
    case .damaged(let reason), .unknown(let reason):
      throw Failure("\(file.path) is damaged at byte \(scan.offset): \(reason)")
    }
  }
}
