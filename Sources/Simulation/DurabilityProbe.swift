import Causality
import Messages
import Primitives
import Storage

// Looks at the disks when a node says that a write is stored. On a copy of each disk the process is killed, or power
// fails and everything unsynced is lost; the engine opens what is left and says what it holds for the key. A write
// must be found, or be beaten, on as many nodes as its quorums promise. This finds a broken promise at its cause, not
// only when a crash happens to hit the right nodes at the right moment.

struct DurabilityProbe {
  /// Of so many acknowledgements one is probed: opening copies of all disks is slow.
  private static let interval = 12

  private var generator: SeededGenerator

  init(seed: UInt64) { generator = SeededGenerator(seed: seed, stream: 6) }

  /// Deletes, which are fewer, are probed more often.
  mutating func isDue(isDelete: Bool) -> Bool {
    generator.chance(isDelete ? 3 : 1, in: DurabilityProbe.interval)
  }

  /// What a restart from a disk finds under a key: the stamps of what it has as an owner, and of the newest among its
  /// hints; zero where it finds nothing.
  struct Found {
    var owned = Stamp.zero
    var hinted = Stamp.zero
    var newest: Stamp { max(owned, hinted) }
  }

  /// - Parameter losesPower: Nothing survives that was not synced.
  static func find(_ key: ObjectKey, on disk: SimulatedDisk, losesPower: Bool) -> Found {
    var disk = copy(of: disk, losesPower: losesPower)
    do throws(StorageError) {
      let path = Simulator.directory + "/node"
      guard let bytes = disk.contents(path) else { return Found() }
      let manifest = try NodeManifest(decoding: bytes, path: path)
      guard let cluster = manifest.cluster else { return Found() }
      let hash = RingHash(seed: cluster.ringSeed)
      let ringBits = Int(cluster.partitions).trailingZeroBitCount
      let options = EngineOptions(clusterID: cluster.id, nodeID: manifest.node, hash: hash, ringBits: ringBits)
      let position = hash(key.encoded)
      let partition = ringBits == 0 ? 0 : position >> UInt64(64 - ringBits)
      let store = StoreID(partition: UInt16(partition), replicas: cluster.replicas)
      // The others are left alone: what the journal holds for them is nobody's then.
      let stores = manifest.stores.filter { $0.id == store || $0.id.isHints }
      let engine = try Engine.open(Simulator.directory, options: options, stores: stores, on: &disk)
      var found = Found()
      for place in engine.hintStoreIDs + engine.storeIDs {
        guard
          case .found(let version) = try engine.lookup(
            key: key.encoded, hash: position, in: place, warm: nil, on: &disk)
        else { continue }
        if place.isHints {
          found.hinted = max(found.hinted, version.stamp)
        } else {
          found.owned = version.stamp
        }
      }
      return found
    } catch {
      return Found()
    }
  }

  static func copy(of disk: SimulatedDisk, losesPower: Bool) -> SimulatedDisk {
    var disk = disk
    if losesPower { disk.discardUnsynced() } else { disk.killProcess() }
    disk.wouldBlockChance = 0
    disk.spaceLeft = nil
    return disk
  }

  /// The stamps of what a restart from this disk finds, key by key.
  /// - Parameter hints: The store of hints to look into; nil: what the node holds as an owner.
  static func stamps(
    of keys: [ObjectKey], on disk: SimulatedDisk, losesPower: Bool, in hints: StoreID? = nil
  ) -> [Stamp] {
    DiskContents(of: keys, on: disk, losesPower: losesPower, in: hints).stamps
  }
}

extension Simulator {
  /// A node answers: a write that it calls stored must be where its quorums say.
  func checkDisks(_ number: Int, _ response: ClientResponse) {
    let stamp: Stamp
    switch response {
    case .stored(let stored): stamp = stored
    case .deleted(let deleted): stamp = deleted
    case .object, .notFound, .failed: return
    }
    guard let operation = history.operation(number), let quorum = operation.writeQuorum,
      probe.isDue(isDelete: operation.kind == .delete)
    else { return }
    let rules = history.rules
    // Where machines lose power, one may have done so after it said that it had the write, unsynced as it was.
    let reached = rules.losesUnsyncedWrites ? 0 : rules.nodesReached(quorum)
    for (promised, losesPower) in [(reached, false), (rules.nodesSynced(quorum), true)] {
      let nodes = promised - rules.nodesThatForget
      var holders = 0
      for machine in machines where holders < nodes {
        let key = workload.keys[operation.key]
        let found = DurabilityProbe.find(key, on: machine.platter.disk, losesPower: losesPower)
        // An owner that has forgotten it may keep older hints of the key for others.
        if max(self.reached(found.owned, operation.key), found.hinted) >= stamp { holders += 1 }
      }
      guard holders < nodes else { continue }
      report(
        .notDurable,
        "\(operation.kind) \(number) of key \(operation.key) is answered stored at \(stamp), and "
          + "\(holders) of \(nodes) nodes would have it after \(losesPower ? "a power loss" : "a kill")")
    }
  }
}
