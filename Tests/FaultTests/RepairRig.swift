import Causality
import Primitives
import Simulation
import Storage

// A repair of the rig's first store on its own disk, and the new store opened by an engine of its own.

/// A whole record where it stands.
struct PlacedRecord: Equatable {
  let path: String
  let offset: UInt64
  let byteCount: Int
  let key: [UInt8]
  let stamp: Stamp
  let isTombstone: Bool
}

extension Rig {
  static let newRoot = "/data/new"
  static let newStore = newRoot + "/stores/p000-n3"

  /// Repairs the first store as a process of its own.
  mutating func repair(
    node: NodeManifest? = Rig.node, journal: String? = "/data/journal", fileBytesMax: UInt64 = 500
  ) throws(StorageError) -> RepairReport {
    disk.killProcess()
    try makeNewRoot()
    let contents = try StoreContents(reading: Rig.store, on: &disk)
    return try StoreRepair.run(
      contents, node: node, journal: journal, to: Rig.newStore, fileBytesMax: fileBytesMax, on: &disk)
  }

  mutating func makeNewRoot() throws(StorageError) {
    try disk.createDirectory(Rig.newRoot)
    try disk.createDirectory(Rig.newRoot + "/stores")
    try disk.syncDirectory("/data")
    try disk.syncDirectory(Rig.newRoot)
  }

  /// The rig with the new store in place of the old ones.
  func openedRepaired() throws(StorageError) -> Rig {
    var copy = self
    copy.disk.killProcess()
    copy.engine = try Engine.open(Rig.newRoot, options: options, stores: [Rig.seeds[0]], on: &copy.disk)
    return copy
  }

  /// All whole records of the first store's data files, in order.
  func placedRecords() throws(StorageError) -> [PlacedRecord] {
    var disk = disk
    disk.killProcess()
    var placed: [PlacedRecord] = []
    for file in try StoreContents(reading: Rig.store, on: &disk).files {
      guard let salt = file.salt else { continue }
      let handle = try disk.open(file.path, .read)
      var scan = SalvageScan(handle, to: file.size, salt: salt, hash: options.hash)
      while case .records = try scan.next(on: &disk) {
        placed += scan.scan.records.map {
          PlacedRecord(
            path: file.path, offset: scan.scan.chunkOffset + UInt64($0.start), byteCount: $0.header.byteCount,
            key: scan.scan.key(of: $0), stamp: $0.header.stamp, isTombstone: $0.header.isTombstone)
        }
      }
    }
    return placed
  }

  /// The files of the old store and the journal, and what is in them.
  var oldFiles: [String: [UInt8]] {
    Dictionary(
      uniqueKeysWithValues: disk.paths.filter { !$0.hasPrefix(Rig.newRoot + "/") }.map { ($0, disk.contents($0) ?? []) }
    )
  }
}
