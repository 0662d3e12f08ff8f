import Causality
import Platform
import Primitives
import Protocols
import Storage
import Testing

@testable import cairn

@Suite struct HintStoreTests {
  /// A node's directory with one partition and the hints for node 3.
  private func makeNode(_ directory: String) throws {
    var files = PosixFileSystem()
    let cluster = ClusterIdentity(id: Identity128(high: 1, low: 2), ringSeed: 42, partitions: 1, replicas: 3)
    let seeds = [StoreID(partition: 0, replicas: 3), .hints(for: NodeID(3))].map {
      StoreSeed(id: $0, incarnation: Identity128(high: 7, low: UInt64($0.replicas)), configID: 0)
    }
    let options = EngineOptions(
      clusterID: cluster.id, nodeID: NodeID(1), hash: RingHash(seed: 42), ringBits: 0, sync: .never)
    let engine = try Engine.open(directory, options: options, stores: [], on: &files)
    for step in engine.create(seeds) { try step.perform(on: &files) }
    try engine.adopt(seeds, on: &files)
    for (number, seed) in seeds.enumerated() {
      let key = Array("key \(number)".utf8)
      let version = StoredVersion(
        stamp: Stamp(time: HybridTime(milliseconds: 10), actor: ActorID(1)), isTombstone: false, value: [1])
      _ = try engine.apply(version, key: key, hash: options.hash(key), to: seed.id, warm: nil, on: &files)
    }
    try engine.flush(on: &files)
    for step in engine.shutdownSteps() { try step.perform(on: &files) }
    let node = NodeManifest(
      name: "n1", node: NodeID(1), membersDigest: 5, cluster: cluster, actor: ActorID(1), isClean: true, stores: seeds)
    let path = NodeContents.manifestPath(directory)
    try DiskStep.replace(path: path, bytes: node.encoded()).perform(on: &files)
  }

  @Test("a store of hints is told by the node that they are for, in a node's summary and in its own")
  func summaries() throws {
    let directory = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-hint-store-test-\(try randomSeed())"
    try FileTree.create(directory)
    defer { try? FileTree.remove(directory) }
    try makeNode(directory)
    let arguments = try Arguments([], options: [], command: "cairn store inspect")
    var files = PosixFileSystem()
    let place = try StorePlace(directory, arguments)
    let summary = try NodeSummary(place, place.stores.map { try contents(of: $0, &files) })
    let lines = summary.text.split(separator: "\n")
    #expect(lines.contains { $0.hasPrefix("hints-3 (hints for node 3)") && $0.contains("active") })
    #expect(lines.contains { $0.hasPrefix("hint stores") && $0.hasSuffix("1 of 1") })
    #expect(lines.contains { $0.hasPrefix("stores") && $0.hasSuffix("1 of 1") })
    let store = try StorePlace(directory + "/stores/hints-3", arguments)
    let own = try StoreSummary(store, contents(of: store.path, &files), &files)
    #expect(own.text.contains("hints-3 (hints for node 3)") && !own.text.contains("partition"))
    #expect(own.json["hints_for"]?.integer == 3)
  }
}
