package import Primitives

// Who owns what: Q equal partitions of the hash space, each with an ordered list of N distinct owners that `Claim`
// computes from the members. A pure value: the same history of members gives the same ring on every node. It knows
// nothing of who is up. A partition's owners and, behind them, its fallbacks are its preference list.

package struct Ring: Equatable, Sendable {
  package let epoch: UInt64
  /// Q, a power of two.
  package let partitionCount: Int
  /// n_val: how many owners a partition has as soon as there are so many members.
  package let replicas: Int
  /// Sorted by id.
  package let members: [Member]

  private let ownerLists: [[NodeID]]
  private let fallbackLists: [[NodeID]]
  private let configIDs: [UInt64]
  private let partitionShift: UInt64

  /// A ring claimed from nothing: a new cluster.
  package init(epoch: UInt64, partitionCount: Int, replicas: Int, members: [Member]) {
    self.init(
      epoch: epoch, replicas: replicas, members: members,
      previousOwners: Array(repeating: [], count: partitionCount))
  }

  /// The ring of other members, with as few copies moved as balance allows; Q and n_val stay.
  package func reclaimed(epoch: UInt64, members: [Member]) -> Ring {
    Ring(epoch: epoch, replicas: replicas, members: members, previousOwners: ownerLists)
  }

  private init(epoch: UInt64, replicas: Int, members: [Member], previousOwners: [[NodeID]]) {
    let partitionCount = previousOwners.count
    invariant(
      partitionCount > 0 && partitionCount & (partitionCount - 1) == 0, "\(partitionCount) is not a power of two")
    invariant(replicas > 0, "n_val is \(replicas)")
    let members = members.sorted { $0.id < $1.id }
    let ids = members.map(\.id)
    invariant(zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 }, "two members have one id: \(ids)")
    self.epoch = epoch
    self.partitionCount = partitionCount
    self.replicas = replicas
    self.members = members
    partitionShift = UInt64(64 - partitionCount.trailingZeroBitCount)
    ownerLists = Claim.owners(members: ids, replicas: replicas, previous: previousOwners)
    fallbackLists = Ring.fallbacks(of: ownerLists, members: ids)
    configIDs = ownerLists.map { Ring.configID(owners: $0, replicas: replicas) }
  }

  /// The partition that a key's `RingHash` falls into: its top bits.
  package func partition(of hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> partitionShift) }

  /// The partition's owners, first owner first: distinct, as many as n_val or as there are members.
  package func owners(of partition: Int) -> [NodeID] { ownerLists[partition] }

  /// Names the set of owners together with n_val: equal on two nodes only if they agree on both. The order of the
  /// list is not part of it, because owners answer for the partition alike.
  package func configID(of partition: Int) -> UInt64 { configIDs[partition] }

  /// Every node that is no owner of the partition, in ring order: as the partitions that follow on the ring name them.
  package func fallbacks(of partition: Int) -> [NodeID] { fallbackLists[partition] }

  package func member(_ id: NodeID) -> Member? { members.first { $0.id == id } }
  package func member(named name: String) -> Member? { members.first { $0.name == name } }

  private static func fallbacks(of ownerLists: [[NodeID]], members: [NodeID]) -> [[NodeID]] {
    ownerLists.indices.map { partition in
      var seen = ownerLists[partition]
      let owners = seen.count
      for step in 1..<max(2, ownerLists.count) where seen.count < members.count {
        for node in ownerLists[(partition + step) % ownerLists.count] where !seen.contains(node) { seen.append(node) }
      }
      for node in members where !seen.contains(node) { seen.append(node) }
      return Array(seen[owners...])
    }
  }

  private static func configID(owners: [NodeID], replicas: Int) -> UInt64 {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(UInt32(replicas))
    for node in owners.sorted() { bytes.appendLittleEndian(node.rawValue) }
    return RingHash(seed: configSeed)(bytes)
  }

  /// Fixed for ever: configuration ids are compared between nodes and kept on disk.
  private static let configSeed: UInt64 = 0x6361_6972_6E2D_6366
}
