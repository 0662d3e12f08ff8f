import Cluster
import Primitives
import Testing

// The promises of `claim`, checked on every shape of cluster that matters here, and along random histories of joins
// and leaves.

@Suite struct RingTests {
  static let partitionCounts = [1, 8, 64, 256]

  @Test("owners are distinct, as many as n or the members allow, and level to one", arguments: 1...12, 1...5)
  func claimFromNothing(memberCount: Int, replicas: Int) {
    for partitionCount in Self.partitionCounts {
      let ring = Ring(
        epoch: 1, partitionCount: partitionCount, replicas: replicas, members: members(1...memberCount))
      expectFair(ring)
    }
  }

  @Test("a node that joins takes about its share, and nothing moves between the others", arguments: 1...11, 1...5)
  func join(memberCount: Int, replicas: Int) {
    for partitionCount in Self.partitionCounts {
      let before = Ring(epoch: 1, partitionCount: partitionCount, replicas: replicas, members: members(1...memberCount))
      let after = before.reclaimed(epoch: 2, members: members(1...memberCount + 1))
      expectFair(after)
      let joined = NodeID(UInt32(memberCount + 1))
      for partition in 0..<partitionCount {
        let gained = Set(after.owners(of: partition)).subtracting(before.owners(of: partition))
        #expect(gained.isSubset(of: [joined]), "partition \(partition) moved to \(gained)")
      }
      #expect(copiesMoved(from: before, to: after) <= share(of: after) + 1)
    }
  }

  @Test("a node that leaves gives away about what it had", arguments: 2...12, 1...5)
  func leave(memberCount: Int, replicas: Int) {
    for partitionCount in Self.partitionCounts {
      let before = Ring(epoch: 1, partitionCount: partitionCount, replicas: replicas, members: members(1...memberCount))
      for leaving in 1...memberCount {
        let after = before.reclaimed(epoch: 2, members: members(1...memberCount).filter { $0.id.rawValue != leaving })
        expectFair(after)
        #expect(copiesMoved(from: before, to: after) <= share(of: before) + memberCount)
      }
    }
  }

  @Test("after any history of joins and leaves the ring is fair, and the same on every node", arguments: UInt64(0)..<20)
  func history(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let replicas = 1 + generator.below(5)
    var present = Set<Int>([1])
    var one = Ring(epoch: 1, partitionCount: 64, replicas: replicas, members: members(1...1))
    var other = one
    for epoch in UInt64(2)...30 {
      let id = 1 + generator.below(12)
      if present.contains(id) && present.count > 1 { present.remove(id) } else { present.insert(id) }
      let sorted = present.sorted().flatMap { members($0...$0) }
      let before = one
      one = one.reclaimed(epoch: epoch, members: sorted)
      other = other.reclaimed(epoch: epoch, members: sorted.reversed())
      expectFair(one)
      #expect(one == other)
      #expect(copiesMoved(from: before, to: one) <= max(share(of: before), share(of: one)) + one.members.count)
    }
  }

  @Test("a claim is the same in every process and version")
  func stable() {
    let ring = Ring(epoch: 1, partitionCount: 8, replicas: 3, members: members(1...5))
    #expect(ring.epoch == 1)
    #expect((0..<8).map { ring.owners(of: $0).map(\.rawValue) } == RingVectors.owners)
    #expect((0..<8).map { hexadecimal(ring.configID(of: $0)) } == RingVectors.configIDs)
  }

  @Test("the configuration id follows the set of owners and n, not their order")
  func configID() {
    let three = Ring(epoch: 1, partitionCount: 8, replicas: 3, members: members(1...3))
    let four = Ring(epoch: 1, partitionCount: 8, replicas: 4, members: members(1...3))
    #expect(Set((0..<8).map { three.configID(of: $0) }).count == 1)
    #expect(three.owners(of: 0) != three.owners(of: 1) || three.owners(of: 0) != three.owners(of: 2))
    #expect(three.owners(of: 0).sorted() == four.owners(of: 0).sorted())
    #expect(three.configID(of: 0) != four.configID(of: 0))
  }

  @Test("a partition is the top bits of the hash")
  func partition() {
    let ring = Ring(epoch: 1, partitionCount: 64, replicas: 3, members: members(1...3))
    #expect(ring.partition(of: 0) == 0)
    #expect(ring.partition(of: .max) == 63)
    #expect(ring.partition(of: 1 << 58) == 1)
    #expect(ring.partition(of: 1 << 58 - 1) == 0)
    let single = Ring(epoch: 1, partitionCount: 1, replicas: 3, members: members(1...3))
    #expect(single.partition(of: .max) == 0)
  }

  @Test("a preference list is all owners, then every other node, once", arguments: UInt64(0)..<20)
  func preferenceList(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let ring = Ring(epoch: 1, partitionCount: 16, replicas: 3, members: members(1...(1 + generator.below(9))))
    for partition in 0..<16 {
      let list = ring.owners(of: partition) + ring.fallbacks(of: partition)
      #expect(list.count == ring.members.count)
      #expect(Set(list) == Set(ring.members.map(\.id)))
    }
  }

  @Test("fallbacks differ from partition to partition, so that no single node inherits all work of a dead one")
  func fallbacksAreSpread() {
    let ring = Ring(epoch: 1, partitionCount: 64, replicas: 3, members: members(1...9))
    let first = (0..<64).map { ring.fallbacks(of: $0)[0] }
    #expect(Set(first).count == 9)
  }

  @Test("a member is found by id and by name")
  func lookUp() {
    let ring = Ring(epoch: 1, partitionCount: 8, replicas: 3, members: members(1...3).reversed())
    #expect(ring.members.map(\.name) == ["n1", "n2", "n3"])
    #expect(ring.member(NodeID(2))?.name == "n2")
    #expect(ring.member(named: "n3")?.id == NodeID(3))
    #expect(ring.member(NodeID(4)) == nil && ring.member(named: "n4") == nil)
  }
}

private func members(_ ids: ClosedRange<Int>) -> [Member] {
  ids.map { Member(id: NodeID(UInt32($0)), name: "n\($0)", address: "127.0.0.1:\(10000 + $0)") }
}

private func expectFair(_ ring: Ring) {
  let width = min(ring.replicas, ring.members.count)
  var copies: [NodeID: Int] = [:]
  var firsts: [NodeID: Int] = [:]
  for partition in 0..<ring.partitionCount {
    let owners = ring.owners(of: partition)
    #expect(owners.count == width && Set(owners).count == width, "partition \(partition): \(owners)")
    for owner in owners { copies[owner, default: 0] += 1 }
    firsts[owners[0], default: 0] += 1
  }
  for (what, counts) in [("copies", copies), ("first ownerships", firsts)] {
    let all = ring.members.map { counts[$0.id, default: 0] }
    #expect(
      all.max()! - all.min()! <= 1, "\(what) of \(all.count) members, Q \(ring.partitionCount), n \(width): \(all)")
  }
}

private func copiesMoved(from before: Ring, to after: Ring) -> Int {
  (0..<before.partitionCount).reduce(0) {
    $0 + Set(after.owners(of: $1)).subtracting(before.owners(of: $1)).count
  }
}

/// Copies that one member owns, rounded up.
private func share(of ring: Ring) -> Int {
  let copies = ring.partitionCount * min(ring.replicas, ring.members.count)
  return (copies + ring.members.count - 1) / ring.members.count
}
