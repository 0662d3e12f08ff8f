package import Primitives

// How an engine is told what it belongs to and how it is to work; and the names of its files.

package struct EngineOptions: Sendable {
  package var clusterID: Identity128
  package var nodeID: NodeID
  /// Hash of keys, as the ring uses it.
  package var hash: RingHash
  /// Binary logarithm of the number of partitions: how many top bits of a hash all keys of a store share.
  package var ringBits: Int
  package var sync: SyncMode
  /// A data file this long takes no new record. At most `StorageLimits.fileBytesMax`.
  package var fileBytesMax: UInt64
  /// A journal segment this long is followed by the next.
  package var journalSegmentBytes: UInt64
  /// With `always`: the longest time that written records are in the journal only.
  package var checkpointSeconds: UInt64
  /// Appended bytes after which a checkpoint is due.
  package var checkpointBytes: UInt64
  /// With `interval`: the longest time that written records are not durable.
  package var syncIntervalMilliseconds: UInt64
  /// Free bytes that values leave alone: for tombstones, checkpoints and merging.
  package var reserveBytes: UInt64
  /// Sealed data files open at once, over all stores.
  package var openFilesMax: Int
  package var merge: MergePolicy
  /// Tombstones that wait in the store of a partition; with so many, one more is taken only from another owner's feed, or
  /// where it was asked for.
  package var tombstonesMax: Int
  /// All of them, but in tests.
  package var rules = Rules.all

  package init(
    clusterID: Identity128, nodeID: NodeID, hash: RingHash, ringBits: Int, sync: SyncMode = .always,
    fileBytesMax: UInt64 = 256 << 20, journalSegmentBytes: UInt64 = 32 << 20, checkpointSeconds: UInt64 = 60,
    checkpointBytes: UInt64 = 32 << 20, syncIntervalMilliseconds: UInt64 = 1000, reserveBytes: UInt64? = nil,
    openFilesMax: Int = 512, merge: MergePolicy = MergePolicy(), tombstonesMax: Int = .max
  ) {
    self.clusterID = clusterID
    self.nodeID = nodeID
    self.hash = hash
    self.ringBits = ringBits
    self.sync = sync
    self.fileBytesMax = min(max(fileBytesMax, UInt64(FileHeader.byteCount)), StorageLimits.fileBytesMax)
    self.journalSegmentBytes = max(journalSegmentBytes, UInt64(FileHeader.byteCount))
    self.checkpointSeconds = checkpointSeconds
    self.checkpointBytes = checkpointBytes
    self.syncIntervalMilliseconds = syncIntervalMilliseconds
    self.reserveBytes = reserveBytes ?? EngineOptions.reserveBytes(fileBytesMax: self.fileBytesMax)
    self.openFilesMax = openFilesMax
    self.merge = merge
    self.tombstonesMax = tombstonesMax
  }
}

extension EngineOptions {
  /// What is kept free where nothing else is said: a merge may need room for one file while the last one still fills up.
  package static func reserveBytes(fileBytesMax: UInt64) -> UInt64 { 2 * min(fileBytesMax, StorageLimits.fileBytesMax) }
}

/// Names inside a node's directory.
package enum StorePath {
  package static func stores(_ directory: String) -> String { directory + "/stores" }
  package static func store(_ directory: String, _ id: StoreID) -> String { stores(directory) + "/\(id)" }
  /// Of stores that were set aside.
  package static func damaged(_ directory: String) -> String { directory + "/damaged" }
  package static func snapshots(_ directory: String) -> String { directory + "/snapshots" }
  package static func snapshot(_ directory: String, _ name: SnapshotName) -> String {
    snapshots(directory) + "/" + name.rawValue
  }
  package static func journal(_ directory: String) -> String { directory + "/journal" }
  /// The file of cursors and promises.
  package static func promises(_ directory: String) -> String { directory + "/promises" }
  package static func manifest(_ store: String) -> String { store + "/manifest" }
  package static func data(_ store: String, _ id: UInt32) -> String { store + "/" + padded(id, 6) + ".data" }
  package static func hint(_ store: String, _ id: UInt32) -> String { store + "/" + padded(id, 6) + ".hint" }
  package static func segment(_ journal: String, _ id: UInt32) -> String { journal + "/" + padded(id, 8) + ".journal" }

  /// The number in `000001.data`, when `name` is one with this suffix.
  static func number(_ name: String, suffix: String) -> UInt32? {
    guard name.hasSuffix(suffix) else { return nil }
    let digits = name.utf8.dropLast(suffix.utf8.count)
    guard !digits.isEmpty, digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
    return UInt32(String(name.dropLast(suffix.count)))
  }

  private static func padded(_ id: UInt32, _ width: Int) -> String {
    let digits = String(id)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
