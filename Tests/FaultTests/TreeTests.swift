import Causality
import Primitives
import Testing

@testable import Storage

// The trees and slot digests of stores against each other: equal contents are equal whatever happened before, and
// nothing that differs is overlooked.

@Suite("Trees of stores")
struct TreeTests {
  private typealias Contents = [String: StoredVersion]

  private func contents(_ generator: inout SeededGenerator, keys: Int) -> Contents {
    var contents: Contents = [:]
    for number in 0..<keys {
      let isTombstone = generator.chance(1, in: 3)
      contents["key \(number)"] = StoredVersion(
        stamp: stamp(1000 + UInt64(generator.below(500)), actor: UInt32(number + 1)), isTombstone: isTombstone,
        value: isTombstone ? [] : [UInt8](repeating: 7, count: generator.below(90)))
    }
    return contents
  }

  /// A store that came to these contents in an order of its own, with older versions, purged keys, merges and restarts.
  private func store(_ contents: Contents, seed: UInt64, mask: UInt64 = .max) throws -> Rig {
    var generator = SeededGenerator(seed: seed)
    var rig = try Rig(seed: seed, fileBytesMax: 2000, segmentBytes: 4000, mask: mask)
    for store in Rig.seeds { try rig.take(.active, in: store.id) }
    for (key, version) in contents.sorted(by: { $0.key < $1.key }) where generator.chance(1, in: 2) {
      var old = version
      old.stamp = Stamp(time: HybridTime(milliseconds: 500), actor: version.stamp.actor)
      old.isTombstone = generator.chance(1, in: 2)
      if old.isTombstone { old.value = [] }
      _ = try rig.apply(old, key: Array(key.utf8))
    }
    let gone = (0..<generator.below(20)).map { (key: "gone \($0)", time: UInt64(800 + $0)) }
    for (key, time) in gone {
      _ = try rig.delete(key, at: time)
      let outcome = try rig.purge(Array(key.utf8), stamp(time))
      #expect(outcome == .purged)
    }
    var order = contents.keys.sorted()
    for index in order.indices.reversed() { order.swapAt(index, generator.below(index + 1)) }
    for key in order {
      guard let version = contents[key] else { continue }
      _ = try rig.apply(version, key: Array(key.utf8))
      if generator.chance(1, in: 10) { try rig.engine.flush(on: &rig.disk) }
    }
    try rig.engine.flush(on: &rig.disk)
    if generator.chance(2, in: 3) { try rig.mergeAll() }
    if generator.chance(1, in: 2) { try rig.shutdown() }
    if generator.chance(2, in: 3) { try rig.reopen() }
    // A restart brings back what was purged and not merged away.
    for (key, time) in gone { _ = try rig.purge(Array(key.utf8), stamp(time)) }
    return rig
  }

  private func trees(_ rig: Rig) -> [[TreeHash]] { Rig.seeds.map { rig.engine.treeSegments($0.id) } }
  private func roots(_ rig: Rig) -> [TreeHash] { Rig.seeds.map { rig.engine.treeRoot($0.id) } }

  private func leaves(_ rig: Rig, bits: Int) -> [[UInt32]] {
    Rig.seeds.flatMap { seed in
      (0..<HashTree.segmentCount).map { rig.engine.leafHashes(of: seed.id, segment: $0, bits: bits) }
    }
  }

  /// Masks: none; few distinct hashes; one hash for all keys of a partition.
  @Test(
    "stores with the same contents have the same tree, reached by whatever way",
    arguments: UInt64(0)..<12, [UInt64.max, 0xF000_0000_0000_0003, 0x8000_0000_0000_0000])
  func histories(seed: UInt64, mask: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let contents = contents(&generator, keys: 60)
    var first = try store(contents, seed: 2 * seed, mask: mask)
    var second = try store(contents, seed: 2 * seed + 1, mask: mask)
    #expect(try first.statisticsDefect() == nil && second.statisticsDefect() == nil)
    #expect(trees(first) == trees(second) && roots(first) == roots(second))
    for bits in [0, 3, 8] { #expect(leaves(first, bits: bits) == leaves(second, bits: bits)) }
  }

  private enum Change: CaseIterable {
    case missing, extra, time, counter, actor, kind
  }

  @Test("a single difference of any kind changes the segment and the root", arguments: UInt64(0)..<12)
  func differences(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let contents = contents(&generator, keys: 60)
    let plain = try store(contents, seed: seed)
    for change in Change.allCases {
      var other = contents
      let key = "key \(generator.below(60))"
      guard var version = other[key] else { continue }
      let old = version.stamp
      switch change {
      case .missing: other[key] = nil
      case .extra: other["another"] = version
      case .time: version.stamp = Stamp(time: HybridTime(milliseconds: old.time.milliseconds + 1), actor: old.actor)
      case .counter: version.stamp = Stamp(time: HybridTime(old.time.rawValue + 1), actor: old.actor)
      case .actor: version.stamp = Stamp(time: old.time, actor: ActorID(old.actor.rawValue + 1000))
      case .kind:
        version.isTombstone.toggle()
        version.value = []
      }
      if change != .missing && change != .extra { other[key] = version }
      let changed = try store(other, seed: seed + 100)
      let id = plain.store(of: Array((change == .extra ? "another" : key).utf8))
      #expect(plain.engine.treeRoot(id) != changed.engine.treeRoot(id), "\(change)")
      let before = plain.engine.treeSegments(id)
      let after = changed.engine.treeSegments(id)
      #expect(before.indices.count { before[$0] != after[$0] } == 1, "\(change)")
    }
  }

  @Test(
    "leaves and their slots are those of the records, however fine the cut", arguments: UInt64(0)..<6,
    [0, 1, 5, 11, 14])
  func leaves(seed: UInt64, bits: Int) throws {
    var generator = SeededGenerator(seed: seed)
    let contents = contents(&generator, keys: 300)
    let mask: UInt64 = seed % 2 == 0 ? .max : 0xFFC0_0000_0000_00FF
    let rig = try store(contents, seed: seed, mask: mask)
    for seed in Rig.seeds {
      var expected: [Int: [SlotDigest]] = [:]
      for (key, version) in contents where rig.store(of: Array(key.utf8)) == seed.id {
        let hash = rig.hash(Array(key.utf8))
        let place = Int((hash << 1) >> UInt64(59 - bits))
        expected[place, default: []].append(
          SlotDigest(hash: hash, digest: version.stamp.digest, isTombstone: version.isTombstone))
      }
      for segment in 0..<HashTree.segmentCount {
        let hashes = rig.engine.leafHashes(of: seed.id, segment: segment, bits: bits)
        #expect(hashes.count == 1 << bits)
        var slots = 0
        for leaf in hashes.indices {
          let own = expected[segment << bits | leaf] ?? []
          let word = own.reduce(0) { $0 ^ HashTree.slotHash($1) }
          guard hashes[leaf] != UInt32(truncatingIfNeeded: word ^ word >> 32) || !own.isEmpty || leaf % 97 == 0 else {
            continue
          }
          #expect(hashes[leaf] == UInt32(truncatingIfNeeded: word ^ word >> 32))
          let found = rig.engine.slotDigests(of: seed.id, segment: segment, leaf: leaf, bits: bits)
          #expect(Set(found) == Set(own) && found.count == own.count)
          #expect(found.map(\.hash) == found.map(\.hash).sorted())
          slots += own.count
        }
        #expect(rig.engine.slotCount(of: seed.id, segment: segment) == slots)
      }
    }
  }

  @Test("hints have no tree")
  func hints() throws {
    var rig = try Rig(seed: 1)
    let seed = StoreSeed(id: .hints(for: NodeID(3)), incarnation: Identity128(high: 3, low: 3), configID: 0)
    for step in rig.engine.create([seed]) { try step.perform(on: &rig.disk) }
    try rig.engine.adopt([seed], on: &rig.disk)
    let version = StoredVersion(stamp: stamp(5), isTombstone: false, value: [1])
    _ = try rig.engine.apply(version, key: [1], hash: rig.hash([1]), to: seed.id, warm: nil, on: &rig.disk)
    #expect(rig.engine.treeSegments(seed.id).isEmpty && rig.engine.treeRoot(seed.id) == .empty)
  }
}
