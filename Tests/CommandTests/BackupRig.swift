import Causality
import Platform
import Primitives
import Storage

@testable import cairn

/// A backup made by hand: nodes with stores of given records, in a directory that goes away with the value.
final class BackupRig {
  /// One record of one copy.
  struct Copy {
    var key: String
    var time: UInt64
    /// Nil for a tombstone.
    var value: String?
    var expiry = Expiry.never
  }

  struct Store {
    var id: StoreID
    var role = StoreRole.active
    var floor: UInt64 = 0
    var records: [Copy] = []
  }

  static let cluster = ClusterIdentity(id: Identity128(high: 1, low: 2), ringSeed: 42, partitions: 4, replicas: 3)
  static let hash = RingHash(seed: 42)

  let directory: String
  private(set) var nodes: [BackupManifest.Node] = []
  /// Of the values that were merged last.
  private(set) var expiries: [String: Expiry] = [:]

  init() throws {
    directory = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-backup-test-\(try randomSeed())"
    try FileTree.create(directory)
  }

  deinit { try? FileTree.remove(directory) }

  static func partition(_ key: String) -> StoreID {
    StoreID(partition: UInt16(hash(Array(key.utf8)) >> 62), replicas: 3)
  }

  static func stamp(_ time: UInt64) -> Stamp {
    time == 0 ? .zero : Stamp(time: HybridTime(milliseconds: time), actor: ActorID(1))
  }

  /// Puts a node with these stores in; what they hold goes into two files, in this order.
  func add(_ id: Int, _ stores: [Store]) throws {
    let node = BackupManifest.Node(name: "n\(id)", id: id)
    let place = "\(directory)/\(node.directory)"
    var seeds: [StoreSeed] = []
    for store in stores {
      let seed = StoreSeed(
        id: store.id, incarnation: Identity128(high: UInt64(id), low: UInt64(seeds.count)), configID: 0)
      seeds.append(seed)
      try write(store, seed, NodeID(UInt32(id)), "\(place)/stores/\(store.id)")
    }
    let manifest = NodeManifest(
      name: node.name, node: NodeID(UInt32(id)), membersDigest: 5, cluster: Self.cluster, actor: ActorID(1),
      stores: seeds)
    try FileTree.write(manifest.encoded(), to: NodeContents.manifestPath(place))
    nodes.append(node)
  }

  private func write(_ store: Store, _ seed: StoreSeed, _ node: NodeID, _ place: String) throws {
    try FileTree.create(place)
    var manifest = StoreManifest(cluster: Self.cluster.id, node: node, seed: seed, role: store.role)
    manifest.floor = Self.stamp(store.floor)
    let half = store.records.count / 2
    for (file, records) in [(UInt32(1), store.records[..<half]), (2, store.records[half...])] {
      let header = FileHeader(
        kind: .data, cluster: Self.cluster.id, node: node, store: seed.id, file: file, identity: seed.incarnation)
      var bytes = header.encoded()
      let times = records.map(\.time)
      let stamps = times.min().flatMap { low in times.max().map { Self.stamp(low)...Self.stamp($0) } }
      for record in records {
        let version = StoredVersion(
          stamp: Self.stamp(record.time), isTombstone: record.value == nil, value: Array((record.value ?? "").utf8),
          expiry: record.expiry)
        Record.append(version, key: Array(record.key.utf8), tsn: 1, salt: header.salt, to: &bytes)
      }
      try FileTree.write(bytes, to: "\(place)/00000\(file).data")
      manifest.files.append(
        ManifestFile(id: file, isSealed: true, syncedLength: UInt64(bytes.count), recordStamps: stamps))
    }
    manifest.nextFileID = 3
    manifest.tsnHead = 1
    try FileTree.write(manifest.encoded(), to: "\(place)/manifest")
  }

  /// What would be restored.
  func merged(keysMax: Int = BackupMerge.keysMaxDefault) throws -> (values: [String: String], BackupMerge.Totals) {
    var merge = try BackupMerge(directory, nodes: nodes, keysMax: keysMax)
    var values: [String: String] = [:]
    try merge.run(take: { found in
      expiries[String(decoding: found.key, as: UTF8.self)] = found.expiry
      let old = values.updateValue(
        String(decoding: found.payload, as: UTF8.self), forKey: String(decoding: found.key, as: UTF8.self))
      if old != nil { throw Failure("\(found.key) came twice") }
    })
    return (values, merge.totals)
  }
}
