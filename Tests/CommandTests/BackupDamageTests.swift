import Primitives
import Protocols
import Storage
import Testing

@testable import cairn

@Suite("Damage in a backup") struct BackupDamageTests {
  private static let all: [String: Set<UInt16>] = ["n1": [0, 1], "n2": [0, 1], "n3": [0, 1]]

  private func store(_ node: String, _ partition: UInt16) -> BackupStore {
    BackupStore(node: node, store: StoreID(partition: partition, replicas: 3))
  }
  private func hints(_ node: String, for target: UInt32) -> BackupStore {
    BackupStore(node: node, store: .hints(for: NodeID(target)))
  }

  private func failure(
    _ stores: [BackupStore], without: Int = 0, missingMax: Int = 1, owned: [String: Set<UInt16>] = all
  ) -> String? {
    var damage = BackupDamage()
    for store in stores { damage.add(store, path: "\(store.node)/\(store.store)/1.data", "bytes that are no record") }
    return damage.failure(owned: owned, without: without, missingMax: missingMax, "/b")?.message
  }

  @Test("one of three copies of a partition may be damaged, of each partition another one")
  func tolerated() {
    #expect(failure([]) == nil)
    #expect(failure([store("n1", 0)]) == nil)
    #expect(failure([store("n1", 0), store("n2", 1)]) == nil)
    #expect(failure([hints("n2", for: 3)]) == nil)
    #expect(failure([hints("n2", for: 3), hints("n2", for: 1), store("n2", 0)]) == nil)
  }

  @Test("where too many are, nobody knows what is lost: both places are named")
  func refused() {
    let two = failure([store("n1", 0), store("n2", 0)])
    #expect(two?.contains("no other copy is known to have what is lost: n1/p000-n3/1.data: bytes") == true)
    #expect(two?.contains("; n2/p000-n3/1.data: bytes that are no record") == true)
    #expect(failure([store("n1", 0)], without: 1) != nil, "a node is left out already")
    #expect(failure([hints("n1", for: 2)], without: 1) != nil)
    #expect(failure([hints("n1", for: 3), store("n2", 1)]) != nil, "the hints may be of this partition")
    #expect(failure([hints("n1", for: 3), hints("n2", for: 3)]) != nil)
    #expect(failure([store("n1", 0)], missingMax: 0) != nil)
    #expect(failure([store("n1", 0)], owned: ["n1": [0]]) != nil, "there is no other copy")
  }

  /// A backup of three nodes with this store each, of which the first `damaged` have changed records.
  private func check(damaged: Int) throws -> (BackupCheck, BackupMerge.Totals?) {
    let rig = try BackupRig()
    let store = BackupRig.partition("k")
    let others = (0..<4).map { StoreID(partition: UInt16($0), replicas: 3) }.filter { $0 != store }
    let copies = [
      BackupRig.Copy(key: "k", time: 4, value: "old"), BackupRig.Copy(key: "k", time: 5, value: "new"),
    ]
    for id in 1...3 {
      try rig.add(id, [BackupRig.Store(id: store, records: copies)] + others.map { BackupRig.Store(id: $0) })
      guard id <= damaged else { continue }
      let path = "\(rig.directory)/node-\(id)/stores/\(store)/000002.data"
      var bytes = try FileBytes.read(path)
      bytes[bytes.count - 9] ^= 1
      try FileBytes.write(bytes, path)
    }
    let manifest = BackupManifest(
      clusterID: "\(BackupRig.cluster.id)", partitions: 4, replicas: 3, began: "now", without: [], nodes: rig.nodes,
      release: "1")
    var check = BackupCheck(rig.directory, manifest)
    check.runRecords(isQuiet: true)
    guard check.obstacle == nil else { return (check, nil) }
    var merge = try BackupMerge(rig.directory, nodes: rig.nodes, leftOut: check.damage.leftOut)
    try merge.run(take: { _ in })
    return (check, merge.totals)
  }

  @Test("a record that could not be read on one node is told, and comes from another; on two, nothing is restored")
  func records() throws {
    let (whole, all) = try check(damaged: 0)
    #expect(whole.findingCount == 0 && all == BackupMerge.Totals(values: 1), "\(whole.findings)")
    let (one, rest) = try check(damaged: 1)
    #expect(one.findingCount == 1 && rest == BackupMerge.Totals(values: 1), "\(one.findings)")
    let store = BackupRig.partition("k")
    #expect(one.damage.lines.first?.hasPrefix("damaged: node-1/stores/\(store)/000002.data: ") == true)
    #expect(one.text.contains("nothing of store \(store) of n1 is used") && one.json["restorable"] == .bool(true))
    let (two, none) = try check(damaged: 2)
    #expect(none == nil && two.obstacle?.message.contains("node-2/stores/\(store)/000002.data") == true)
    #expect(two.json["restorable"] == .bool(false))
  }
}
