import Causality
import Primitives
import Simulation
import Storage

// A small store as the engine leaves it, and what the offline check says of it.

extension Rig {
  static let store = "/data/stores/p000-n3"

  /// The manifest of the node that the rig's stores belong to.
  static var node: NodeManifest {
    NodeManifest(
      name: "n1", node: NodeID(1), membersDigest: 5,
      cluster: ClusterIdentity(id: Identity128(high: 1, low: 2), ringSeed: 42, partitions: 2, replicas: 3),
      actor: ActorID(1), isClean: true, stores: seeds)
  }

  /// Values, superseded values and tombstones in several sealed files and an open one, in both stores.
  static func filled(_ mode: SyncMode, rounds: UInt64 = 2) throws -> Rig {
    var rig = try Rig(seed: 1, sync: mode, fileBytesMax: 400)
    for round in 0..<rounds {
      for index in 0..<8 {
        let time = 10 + round * 8 + UInt64(index)
        let isTombstone = index % 4 == 3
        _ = isTombstone ? try rig.delete("k\(index)", at: time) : try rig.put("k\(index)", "value \(round)", at: time)
        try rig.engine.flush(on: &rig.disk)
        if mode == .always { try rig.sync() }
      }
    }
    return rig
  }

  /// Does every job that is due, so that full files get their hints.
  mutating func workOff() throws {
    for _ in 0..<40 { try work(afterMilliseconds: 1000) }
  }

  func check(_ directory: String = Rig.store, node: NodeManifest? = Rig.node) throws -> StoreReport {
    var disk = disk
    disk.killProcess()
    let contents = try StoreContents(reading: directory, on: &disk)
    return StoreCheck.run(contents, node: node, hash: node?.ringHash, on: &disk)
  }

  /// Files below the store of partition 0.
  var storeFiles: [String] { disk.paths.filter { $0.hasPrefix(Rig.store + "/") } }
}
