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
// Keys are taken in ranges of their hash, so many at once as memory allows: a range is read twice, first to learn which
// record of each key is the newest, then to hand over those that are values. A range with too many keys is halved.

struct BackupMerge {
  /// Keys in memory at once, about 100 bytes each.
  static let keysMaxDefault = 1 << 20
  /// As few bytes as a key takes on disk in an estimate: with fewer, ranges are halved on the way.
  private static let bytesPerKey: UInt64 = 128

  /// A key, as well as it can be told from others in few bytes; the hash is keyed, so nobody can choose two alike.
  private struct Name: Hashable {
    let hash: UInt64
    let checksum: UInt32
  }

  private struct Newest {
    var stamp: Stamp
    var isTombstone: Bool
    var file: UInt32
    var offset: UInt64
    /// The store of an owner has a record of this key.
    var isOwned: Bool

    /// At one stamp the tombstone counts.
    func isOlder(than header: RecordHeader) -> Bool {
      stamp != header.stamp ? stamp < header.stamp : !isTombstone && header.isTombstone
    }
  }

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
  /// By partition: the highest floor of those who own it.
  private var floors: [Stamp]
  private let partitionBits: Int
  private(set) var totals = Totals()

  /// Bytes of all files that are read, once each.
  var bytes: UInt64 { files.reduce(0) { $0 + $1.size } }

  /// Looks at the stores of the nodes. - Throws: `Failure` when one cannot be read as what it should be.
  init(_ directory: String, nodes: [BackupManifest.Node], keysMax: Int = keysMaxDefault) throws(Failure) {
    var posix = PosixFileSystem()
    var identity: ClusterIdentity?
    self.keysMax = keysMax
    var floors: [Stamp] = []
    var found: [File] = []
    for node in nodes {
      let place = "\(directory)/\(node.directory)"
      let (manifest, problem) = NodeContents.manifest(in: place, on: &posix)
      guard let manifest, let cluster = manifest.cluster, identity.map({ $0 == cluster }) ?? true else {
        throw Failure("\(place): \(problem.map { "\($0)" } ?? "it is of another cluster than the rest")")
      }
      identity = cluster
      if floors.isEmpty { floors = [Stamp](repeating: .zero, count: Int(cluster.partitions)) }
      for seed in manifest.stores {
        // The quarantine: what is in there was not the cluster's any more.
        if seed.id.hintTarget == manifest.node { continue }
        let store = try BackupMerge.store("\(place)/stores/\(seed.id)", cluster, on: &posix)
        found += store.files
        guard store.isOwners, Int(seed.id.partition) < floors.count else { continue }
        floors[Int(seed.id.partition)] = max(floors[Int(seed.id.partition)], store.floor)
      }
    }
    guard let identity else { throw Failure("\(directory) has no node") }
    hash = RingHash(seed: identity.ringSeed)
    partitionBits = Int(identity.partitions).trailingZeroBitCount
    self.floors = floors
    files = found
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
    // From the last to the first, so that the next is the last of the array.
    var ranges: [ClosedRange<UInt64>] = BackupMerge.ranges(bits: estimatedBits).reversed()
    while let range = ranges.popLast() {
      guard let newest = try learn(range) else {
        guard range.lowerBound < range.upperBound else {
          throw Failure("more than \(keysMax) keys have one hash, which cannot be")
        }
        let middle = range.lowerBound + (range.upperBound - range.lowerBound) / 2
        ranges += [middle + 1...range.upperBound, range.lowerBound...middle]
        continue
      }
      try hand(over: newest, range, progress, take)
    }
  }

  private var estimatedBits: Int {
    var bits = 0
    while bits < 32, bytes >> UInt64(bits) > UInt64(keysMax) * BackupMerge.bytesPerKey { bits += 1 }
    return bits
  }

  private static func ranges(bits: Int) -> [ClosedRange<UInt64>] {
    guard bits > 0 else { return [0...UInt64.max] }
    let step = UInt64.max >> UInt64(bits)
    return (0..<UInt64(1) << UInt64(bits)).map { number in
      let first = number << UInt64(64 - bits)
      return first...(first | step)
    }
  }

  /// Nil when there are too many.
  private func learn(_ range: ClosedRange<UInt64>) throws -> [Name: Newest]? {
    var newest: [Name: Newest] = [:]
    for (index, file) in files.enumerated() where file.hashes.overlaps(range) {
      let isWhole = try scan(file, range) { scan, record in
        let key = record.start + record.header.keyOffset..<record.start + record.header.valueOffset
        let name = Name(hash: record.hash, checksum: crc32c(scan.chunk, key))
        let place = Newest(
          stamp: record.header.stamp, isTombstone: record.header.isTombstone, file: UInt32(index),
          offset: scan.chunkOffset + UInt64(record.start), isOwned: file.isOwners)
        guard let known = newest[name] else {
          newest[name] = place
          return newest.count <= keysMax
        }
        if known.isOlder(than: record.header) { newest[name] = place }
        if known.isOwned { newest[name]?.isOwned = true }
        if file.isOwners { newest[name]?.isOwned = true }
        return true
      }
      guard isWhole else { return nil }
    }
    return newest
  }

  private mutating func hand(
    over newest: [Name: Newest], _ range: ClosedRange<UInt64>, _ progress: (UInt64) -> Void,
    _ take: (Found) throws -> Void
  ) throws {
    var totals = totals
    for (index, file) in files.enumerated() where file.hashes.overlaps(range) {
      let share = file.share(of: range)
      var told: UInt64 = 0
      _ = try scan(file, range) { scan, record in
        let offset = scan.chunkOffset + UInt64(record.start)
        let key = record.start + record.header.keyOffset..<record.start + record.header.valueOffset
        guard let known = newest[Name(hash: record.hash, checksum: crc32c(scan.chunk, key))],
          known.file == UInt32(index), known.offset == offset
        else { return true }
        progress(UInt64(Double(offset - told) * share))
        told = offset
        if known.isTombstone {
          totals.deleted += 1
        } else if isDoubtful(known, record.hash) {
          totals.doubtful += 1
        } else {
          totals.values += 1
          let value = key.upperBound..<key.upperBound + record.header.valueLength
          try take(
            Found(
              key: Array(scan.chunk[key]), stamp: known.stamp, expiry: record.header.expiry,
              payload: Array(scan.chunk[value])))
        }
        return true
      }
      progress(UInt64(Double(file.size - told) * share))
    }
    self.totals = totals
  }

  private func isDoubtful(_ newest: Newest, _ hash: UInt64) -> Bool {
    let partition = partitionBits == 0 ? 0 : Int(hash >> UInt64(64 - partitionBits))
    return !newest.isOwned && newest.stamp <= floors[partition]
  }

  /// Calls `body` with every record of this range until it returns false. - Returns: whether that was never so.
  private func scan(
    _ file: File, _ range: ClosedRange<UInt64>, _ body: (DataScan, ScannedRecord) throws -> Bool
  ) throws -> Bool {
    var posix = PosixFileSystem()
    let handle = try posix.open(file.path, .read)
    defer { posix.close(handle) }
    var scan = DataScan(
      handle, from: min(UInt64(FileHeader.byteCount), file.size), to: file.size, salt: file.salt, hash: hash)
    while try scan.next(on: &posix) {
      for record in scan.records where range.contains(record.hash) {
        guard try body(scan, record) else { return false }
      }
    }
    switch scan.stop {
    case .end, nil: return true
    case .damaged(let reason), .unknown(let reason):
      throw Failure("\(file.path) is damaged at byte \(scan.offset): \(reason)")
    }
  }
}
