import Causality
import Primitives
import Storage
import Testing

@Suite("Manifests")
struct ManifestTests {
  private var store: StoreManifest {
    let seed = StoreSeed(
      id: StoreID(partition: 42, replicas: 3), incarnation: Identity128(high: 5, low: 6), configID: 7)
    var manifest = StoreManifest(cluster: Identity128(high: 1, low: 2), node: NodeID(3), seed: seed, role: .active)
    manifest.nextFileID = 9
    manifest.tsnHead = 10
    manifest.floor = stamp(11)
    manifest.files = [
      ManifestFile(id: 4, isSealed: true, syncedLength: 640, recordStamps: stamp(1)...stamp(8)),
      ManifestFile(id: 8, isSealed: false, syncedLength: 0, recordStamps: nil),
    ]
    manifest.cursors = [FeedCursor(peer: NodeID(1), incarnation: Identity128(high: 2, low: 2), tsn: 77)]
    manifest.promises = [
      PeerPromise(
        peer: NodeID(2), incarnation: Identity128(high: 3, low: 3), configID: 7, tsnHead: 5, floor: stamp(2),
        cursorOnMe: 6)
    ]
    return manifest
  }

  private var node: NodeManifest {
    NodeManifest(
      name: "n1", node: NodeID(1), membersDigest: 99,
      cluster: ClusterIdentity(id: Identity128(high: 1, low: 2), ringSeed: 3, partitions: 64, replicas: 3),
      actor: ActorID(12), isClean: true, leaseEnd: HybridTime(55), pastActors: [ActorID(1), ActorID(2)],
      stores: [seedOf(0), seedOf(1)], edition: 9,
      lineage: [BootEdition(bootID: 4, edition: 1), BootEdition(bootID: 5, edition: 6)],
      peers: [PeerEdition(node: NodeID(2), boot: BootEdition(bootID: 6, edition: 7))])
  }

  @Test("a manifest that was encoded decodes to the same")
  func roundTrip() throws {
    #expect(try StoreManifest(decoding: store.encoded(), path: "m") == store)
    #expect(try NodeManifest(decoding: node.encoded(), path: "n") == node)
    var young = node
    young.cluster = nil
    young.isClean = false
    #expect(try NodeManifest(decoding: young.encoded(), path: "n") == young)
  }

  @Test("of past actors the newest are kept")
  func pastActors() throws {
    var old = node
    old.pastActors = (0..<100).map { ActorID($0) }
    let read = try NodeManifest(decoding: old.encoded(), path: "n")
    #expect(read.pastActors == Array(old.pastActors.suffix(NodeManifest.pastActorsMax)))
  }

  @Test("every prefix and every flipped bit is an error")
  func damage() {
    for bytes in [store.encoded(), node.encoded()] {
      for count in 0..<bytes.count { expectRefused(Array(bytes[..<count])) }
      for bit in 0..<bytes.count * 8 {
        var flipped = bytes
        flipped[bit / 8] ^= 1 << UInt8(bit % 8)
        expectRefused(flipped)
      }
      expectRefused(bytes + [0])
    }
  }

  private func expectRefused(_ bytes: [UInt8]) {
    #expect((try? StoreManifest(decoding: bytes, path: "m")) == nil)
    #expect((try? NodeManifest(decoding: bytes, path: "n")) == nil)
  }

  @Test("one kind of manifest is not taken for the other, nor a later format for this one")
  func incompatible() {
    #expect(throws: StorageError.incompatible(path: "m", reason: "this is not the file that belongs here")) {
      try StoreManifest(decoding: node.encoded(), path: "m")
    }
    var later = node.encoded()
    later[8] = 2
    later.setLittleEndian(crc32c(later, 0..<later.count - 4), at: later.count - 4)
    #expect(
      throws: StorageError.incompatible(path: "n", reason: "its format is not version 1; use a newer release")
    ) { try NodeManifest(decoding: later, path: "n") }
  }
}
