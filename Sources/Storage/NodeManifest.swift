package import Causality
package import Primitives

// Who a node is and what it must have: the file `node` at the root of its data. It names the stores with their
// incarnations, so that one missing directory is noticed, and the time until which the node may issue stamps.

/// The founding facts of the cluster that a node belongs to.
package struct ClusterIdentity: Equatable, Sendable {
  package var id: Identity128
  /// Seed of the ring hash.
  package var ringSeed: UInt64
  package var partitions: UInt16
  package var replicas: UInt8
  package init(id: Identity128, ringSeed: UInt64, partitions: UInt16, replicas: UInt8) {
    self.id = id
    self.ringSeed = ringSeed
    self.partitions = partitions
    self.replicas = replicas
  }

  package static let partitionsMax: UInt16 = 32_768
  package static let replicasMax: UInt8 = 16

  /// A ring of this shape can exist.
  package var isPossible: Bool {
    partitions.nonzeroBitCount == 1 && (1...ClusterIdentity.replicasMax).contains(replicas)
  }
}

/// Body, little-endian: nameLength u32 | name | node u32 | membersDigest u64 | flags u32 (1 has cluster, 2 clean, 4 leaves
/// its lineage)
/// | cluster 16 | ringSeed u64 | partitions u16 | replicas u16 | actor u32 | leaseEnd u64 | edition u64 | pastActors u32
/// | stores u32 | lineage u32 | peers u32, then past actors u32 each; stores: store u32 | incarnation 16 | configID u64;
/// lineage: boot u64 | edition u64; peers: node u32 | boot u64 | edition u64.
package struct NodeManifest: Equatable, Sendable {
  package var name: String
  package var node: NodeID
  /// Of the member list that the node was founded with.
  package var membersDigest: UInt64
  /// Nil until the cluster is founded.
  package var cluster: ClusterIdentity?
  package var actor: ActorID
  /// The node stopped cleanly and has not started since.
  package var isClean: Bool
  /// The directory was found to be an older copy, and not all of its stores may be fenced yet (rule LINEAGE).
  package var leavesLineage = false
  /// No stamp at or above this was ever issued here.
  package var leaseEnd: HybridTime
  /// Actors this node had before, newest last; at most `pastActorsMax` are kept.
  package var pastActors: [ActorID]
  package var stores: [StoreSeed]
  /// Grows whenever this file is written anew for a start, a lease or a stop, and is told to the other nodes: one that was
  /// told more than is here knows that this is an older copy (rule LINEAGE).
  package var edition: UInt64
  /// The starts from this directory, newest last; at most `lineageMax` are kept.
  package var lineage: [BootEdition]
  /// The highest that each other node has told, sorted by node.
  package var peers: [PeerEdition]

  package static let pastActorsMax = 64
  package static let lineageMax = 64
  /// As many as a cluster has members.
  package static let peersMax = 1024
  private static let magic = "CairnNod"
  private static let nameBytesMax = 1024

  package init(
    name: String, node: NodeID, membersDigest: UInt64, cluster: ClusterIdentity? = nil, actor: ActorID,
    isClean: Bool = false, leaseEnd: HybridTime = .zero, pastActors: [ActorID] = [], stores: [StoreSeed] = [],
    edition: UInt64 = 0, lineage: [BootEdition] = [], peers: [PeerEdition] = []
  ) {
    self.name = name
    self.node = node
    self.membersDigest = membersDigest
    self.cluster = cluster
    self.actor = actor
    self.isClean = isClean
    self.leaseEnd = leaseEnd
    self.pastActors = pastActors
    self.stores = stores
    self.edition = edition
    self.lineage = lineage
    self.peers = peers
  }

  package func encoded() -> [UInt8] {
    var body: [UInt8] = []
    let name = Array(name.utf8.prefix(NodeManifest.nameBytesMax))
    body.appendLittleEndian(UInt32(name.count))
    body.append(contentsOf: name)
    body.appendLittleEndian(node.rawValue)
    body.appendLittleEndian(membersDigest)
    body.appendLittleEndian(UInt32((cluster == nil ? 0 : 1) | (isClean ? 2 : 0) | (leavesLineage ? 4 : 0)))
    body.append(cluster?.id ?? .none)
    body.appendLittleEndian(cluster?.ringSeed ?? 0)
    body.appendLittleEndian(cluster?.partitions ?? 0)
    body.appendLittleEndian(UInt16(cluster?.replicas ?? 0))
    body.appendLittleEndian(actor.rawValue)
    body.appendLittleEndian(leaseEnd.rawValue)
    body.appendLittleEndian(edition)
    let past = pastActors.suffix(NodeManifest.pastActorsMax)
    let boots = lineage.suffix(NodeManifest.lineageMax)
    let told = peers.prefix(NodeManifest.peersMax)
    for count in [past.count, stores.count, boots.count, told.count] { body.appendLittleEndian(UInt32(count)) }
    for actor in past { body.appendLittleEndian(actor.rawValue) }
    for seed in stores {
      body.append(seed.id)
      body.append(seed.incarnation)
      body.appendLittleEndian(seed.configID)
    }
    for boot in boots { boot.append(to: &body) }
    for peer in told {
      body.appendLittleEndian(peer.node.rawValue)
      peer.boot.append(to: &body)
    }
    return Envelope.seal(body, magic: NodeManifest.magic)
  }

  package init(decoding bytes: [UInt8], path: String) throws(StorageError) {
    var reader = try Envelope.open(bytes, magic: NodeManifest.magic, path: path)
    guard let manifest = NodeManifest(from: &reader), reader.remaining == 0 else {
      throw .damaged(path: path, offset: UInt64(reader.offset), reason: "its fields make no sense")
    }
    self = manifest
  }

  private init?(from reader: inout ByteReader) {
    guard let nameLength = reader.read(UInt32.self), nameLength <= NodeManifest.nameBytesMax,
      let nameBytes = reader.readBytes(Int(nameLength)), let node = reader.read(UInt32.self),
      let digest = reader.read(UInt64.self), let flags = reader.read(UInt32.self), flags <= 7,
      let clusterID = reader.readIdentity(), let seed = reader.read(UInt64.self),
      let partitions = reader.read(UInt16.self), let replicas = reader.read(UInt16.self), replicas <= 255,
      let actor = reader.read(UInt32.self), let lease = reader.read(UInt64.self),
      let edition = reader.read(UInt64.self),
      let past = reader.read(UInt32.self), past <= NodeManifest.pastActorsMax,
      let stores = reader.read(UInt32.self), stores <= StorageLimits.storesMax,
      let boots = reader.read(UInt32.self), boots <= NodeManifest.lineageMax,
      let told = reader.read(UInt32.self), told <= NodeManifest.peersMax
    else { return nil }
    let cluster = ClusterIdentity(id: clusterID, ringSeed: seed, partitions: partitions, replicas: UInt8(replicas))
    guard flags & 1 == 0 || cluster.isPossible else { return nil }
    self.init(
      name: String(decoding: nameBytes, as: UTF8.self), node: NodeID(node), membersDigest: digest,
      cluster: flags & 1 != 0 ? cluster : nil, actor: ActorID(actor), isClean: flags & 2 != 0,
      leaseEnd: HybridTime(lease), edition: edition)
    leavesLineage = flags & 4 != 0
    for _ in 0..<past {
      guard let actor = reader.read(UInt32.self) else { return nil }
      pastActors.append(ActorID(actor))
    }
    for _ in 0..<stores {
      guard let id = reader.readStoreID(), let incarnation = reader.readIdentity(),
        let configID = reader.read(UInt64.self)
      else { return nil }
      self.stores.append(StoreSeed(id: id, incarnation: incarnation, configID: configID))
    }
    for _ in 0..<boots {
      guard let boot = BootEdition(from: &reader) else { return nil }
      lineage.append(boot)
    }
    for _ in 0..<told {
      guard let node = reader.read(UInt32.self), let boot = BootEdition(from: &reader) else { return nil }
      peers.append(PeerEdition(node: NodeID(node), boot: boot))
    }
  }
}
