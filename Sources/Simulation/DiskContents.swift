import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// What a restart from a disk finds, key by key: the engine opens a copy of it, so that nothing is believed but bytes.

struct DiskContents {
  enum Found: Equatable {
    case version(StoredVersion)
    case nothing
    /// It cannot be read, in a file of this path.
    case damaged(path: String)
    /// The store is not there, or is fenced.
    case noStore

    var stamp: Stamp {
      if case .version(let version) = self { version.stamp } else { .zero }
    }

    /// The value of this stamp, and not the tombstone that it becomes when it expires.
    func isValue(_ stamp: Stamp) -> Bool {
      if case .version(let version) = self { version.stamp == stamp && !version.isTombstone } else { false }
    }

    /// Owners hold the same values; tombstones come and go at each in its own time.
    /// - Parameter minute: What has left by then each makes a tombstone in its own time.
    func isSameValue(as other: Found, leftBy minute: UInt64) -> Bool {
      self == other || (isNoValue(minute) && other.isNoValue(minute))
    }

    private func isNoValue(_ minute: UInt64) -> Bool {
      switch self {
      case .version(let version): version.isTombstone || version.expiry != .never && version.expiry.leaves <= minute
      case .nothing: true
      case .damaged, .noStore: false
      }
    }
  }

  struct Store {
    let id: StoreID
    let role: StoreRole
    let incarnation: Identity128
    let root: TreeHash
    let tsnHead: UInt64
    let floor: Stamp
    let cursors: [FeedCursor]
    let promises: [PeerPromise]

    init(_ id: StoreID, of engine: Engine) {
      self.id = id
      role = engine.role(id)
      root = engine.treeRoot(id)
      let status = engine.status(id)
      incarnation = status.incarnation
      tsnHead = status.tsnHead
      floor = status.floor
      cursors = engine.cursors(id)
      promises = engine.promises(id)
    }
  }

  /// By key.
  private(set) var found: [Found]
  /// Files in which opening the stores, or looking for the keys, has met damage.
  private(set) var damagedPaths: [String] = []
  /// Those of partitions, in order.
  private(set) var stores: [Store] = []

  var stamps: [Stamp] { found.map(\.stamp) }

  /// - Parameters:
  ///   - losesPower: Nothing survives that was not synced.
  ///   - hints: The store of hints to look into; nil: what the node holds as an owner.
  init(of keys: [ObjectKey], on disk: SimulatedDisk, losesPower: Bool, in hints: StoreID? = nil) {
    var disk = DurabilityProbe.copy(of: disk, losesPower: losesPower)
    found = Array(repeating: .noStore, count: keys.count)
    do throws(StorageError) {
      let path = Simulator.directory + "/node"
      guard let bytes = disk.contents(path) else { return }
      let manifest = try NodeManifest(decoding: bytes, path: path)
      guard let cluster = manifest.cluster else { return }
      let hash = RingHash(seed: cluster.ringSeed)
      let ringBits = Int(cluster.partitions).trailingZeroBitCount
      let options = EngineOptions(clusterID: cluster.id, nodeID: manifest.node, hash: hash, ringBits: ringBits)
      let stores = manifest.stores.filter { hints == nil ? !$0.id.isHints : $0.id == hints }
      let engine = try Engine.open(Simulator.directory, options: options, stores: stores, on: &disk)
      self.stores = engine.storeIDs.map { Store($0, of: engine) }
      damagedPaths = engine.recovery.damaged.compactMap { DiskContents.path(of: $0.error) }
      for (index, key) in keys.enumerated() {
        let position = hash(key.encoded)
        let partition = ringBits == 0 ? 0 : position >> UInt64(64 - ringBits)
        let store = hints ?? StoreID(partition: UInt16(partition), replicas: cluster.replicas)
        guard engine.contains(store), engine.role(store) != .fenced else { continue }
        found[index] = DiskContents.look(for: key, position, in: store, engine, &disk)
        if case .damaged(let path) = found[index] { damagedPaths.append(path) }
      }
    } catch {
      // What it cannot read it does not hold.
    }
  }

  private static func look(
    for key: ObjectKey, _ position: UInt64, in store: StoreID, _ engine: Engine, _ disk: inout SimulatedDisk
  ) -> Found {
    do throws(StorageError) {
      switch try engine.lookup(key: key.encoded, hash: position, in: store, warm: nil, on: &disk) {
      case .found(let version): return .version(version)
      case .absent: return .nothing
      case .cold: return .noStore
      }
    } catch {
      return path(of: error).map { .damaged(path: $0) } ?? .noStore
    }
  }

  private static func path(of error: StorageError) -> String? {
    if case .damaged(let path, _, _, _) = error { path } else { nil }
  }
}
