import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

@Suite("What a start tells of its disk")
struct RecoveryTests {
  private func dataFile(_ cluster: TestCluster, _ id: Int) throws -> String {
    let disk = try #require(cluster[id].disk)
    return try #require(
      disk.paths.first { $0.hasSuffix(".data") && (disk.contents($0)?.count ?? 0) > FileHeader.byteCount })
  }

  @Test("bytes that were cut are counted in the status and said in the log, and the journal completes what they were")
  func bytesCut() throws {
    let cluster = TestCluster(nodes: 3)
    #expect(cluster.answer(cluster.ask(1, put("apple", "red")))?.isStored == true)
    cluster.kill(1)
    let path = try dataFile(cluster, 1)
    var bytes = try #require(cluster[1].disk?.contents(path))
    let record = bytes.count - FileHeader.byteCount
    bytes.removeLast(5)
    cluster[1].disk?.overwrite(path, with: bytes)
    cluster[1].log = []
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 2000)
    let recovery = try #require(cluster.status(1)).recovery
    #expect(recovery.bytesCut == UInt64(record - 5) && recovery.journalRecords == 1)
    let line =
      "cut \(record - 5) bytes that were no whole records and never known to be durable; writes taken from the journal: 1"
    #expect(cluster[1].log.contains(line), "\(cluster[1].log)")
    #expect(cluster.answer(cluster.ask(1, get("apple")))?.text == "red")
    // Nothing cut, nothing said.
    cluster.kill(2)
    cluster[2].log = []
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 2000)
    #expect(cluster.status(2)?.recovery.bytesCut == 0 && !cluster[2].log.contains { $0.hasPrefix("cut ") })
  }

  @Test("damage found at start fences its store, and the log names file, offset and key; the others fill a new one")
  func damage() throws {
    let cluster = TestCluster(nodes: 3)
    #expect(cluster.answer(cluster.ask(1, put("apple", "red")))?.isStored == true)
    cluster.advance(milliseconds: 70_000)
    cluster.kill(1)
    let path = try dataFile(cluster, 1)
    let size = try #require(cluster[1].disk?.contents(path)).count
    cluster[1].disk?.flipBit(0, ofByte: size - 9, in: path)
    if cluster[1].disk?.contents(path.dropLast(4) + "hint") != nil {
      try cluster[1].disk?.unlink(path.dropLast(4) + "hint")
    }
    cluster[1].log = []
    // As long as nobody says that it could fill the store, it stays as it is.
    cluster.treat = TestCluster.withholdsStates
    cluster.start(1, life: 1)
    cluster.advance(milliseconds: 2000)
    let damage = try #require(cluster.status(1)?.recovery.damaged.first)
    let role = { cluster.status(1)?.stores.first { $0.id == damage.store }?.role }
    let line =
      "store \(damage.store) is fenced: \(path) is damaged at byte 64: a checksum that does not match; "
      + "key hit, probably: b/apple"
    #expect(cluster[1].log.contains(line), "\(cluster[1].log)")
    #expect(role() == .fenced)
    for node in 1...3 { #expect(cluster.answer(cluster.ask(node, get("apple")))?.text == "red") }
    // Bytes that read back the next time do not make it whole again: what else went meanwhile nobody knows.
    cluster.kill(1)
    cluster[1].disk?.flipBit(0, ofByte: size - 9, in: path)
    cluster[1].log = []
    cluster.start(1, life: 2)
    cluster.advance(milliseconds: 2000)
    #expect(cluster.status(1)?.recovery.damaged == [])
    #expect(cluster[1].log.contains { $0.hasPrefix("store \(damage.store) is fenced since an earlier start") })
    #expect(role() == .fenced)
    // Without exchanges the new one stays empty, and says nothing of the key.
    cluster.treat = TestCluster.withholdsExchanges
    cluster.advance(milliseconds: 2000)
    #expect(role() == .loading)
    for node in 1...3 { #expect(cluster.answer(cluster.ask(node, get("apple")))?.text == "red") }
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 30_000)
    #expect(role() == .active)
    for node in 1...3 { #expect(cluster.answer(cluster.ask(node, get("apple", r: .all)))?.text == "red") }
  }

  @Test("so many damaged stores have a line each, and more are counted in one", arguments: [0, 1, 3])
  func manyStores(more: Int) throws {
    let cluster = TestCluster(nodes: 3, partitions: 32)
    cluster.kill(1)
    let manifests = try #require(cluster[1].disk).paths.filter { $0.hasSuffix("/manifest") }
    let most = Node<SimulatedDisk>.damageLinesMax
    for path in manifests.prefix(most + more) { cluster[1].disk?.flipBit(0, ofByte: 30, in: path) }
    cluster[1].log = []
    cluster.start(1, life: 1)
    #expect(cluster.status(1)?.recovery.damaged.count == most + more)
    let lines = cluster[1].log.filter { $0.contains("fenced") }
    #expect(lines.count == most + (more == 0 ? 0 : 1))
    if more > 0 { #expect(lines.last?.hasPrefix("\(more) more store\(more == 1 ? " is" : "s are") fenced") == true) }
  }
}
