import Causality
import Cluster
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

/// When the copy of a disk is made that is put back later.
enum CopyMoment: CaseIterable, Sendable { case stopped, running }

extension TestCluster {
  /// Keys that nobody deletes.
  func keep(_ range: Range<Int>, through id: Int = 1) {
    for index in range { ask(id, put("k\(index)", "v", w: .all)) }
  }

  /// A copy of node 3's disk, after which it goes on for some leases.
  func copyAndGoOn(_ moment: CopyMoment) -> SimulatedDisk? {
    var copy = copyOfDisk(3)
    if moment == .stopped {
      kill(3)
      copy = self[3].disk
      start(3, life: 1)
      advance(milliseconds: 1000)
    }
    advance(milliseconds: 12_000)
    return copy
  }

  /// Ten keys, of which the copy of node 3's disk has the first five.
  func writeAround(_ moment: CopyMoment) -> SimulatedDisk? {
    keep(0..<5)
    let copy = copyAndGoOn(moment)
    keep(5..<10)
    return copy
  }

  /// Of the nodes that do not run, what they remember of others' directories is lost.
  func forgetEditions(_ ids: [Int]) throws {
    for id in ids { try changeManifest(id) { $0.peers = [] } }
  }

  /// Of a node that does not run.
  func changeManifest(_ id: Int, _ change: (inout NodeManifest) -> Void) throws {
    guard var disk = self[id].disk else { return }
    let path = "/data/node"
    let file = try disk.open(path, .read)
    guard case .bytes(let bytes) = try disk.read(file, at: 0, count: Int(try disk.size(of: file)), mayBlock: true)
    else { return }
    disk.close(file)
    var manifest = try NodeManifest(decoding: bytes, path: path)
    change(&manifest)
    try DiskStep.replace(path: path, bytes: manifest.encoded()).perform(on: &disk)
    self[id].disk = disk
  }

  /// A node ends, and starts again.
  func restart(_ id: Int, life: UInt64) {
    kill(id)
    start(id, life: life)
  }
}

@Suite("A directory that is older than what was told of it")
struct LineageTests {
  @Test(
    "a copy that is put back is made anew though nothing was deleted", arguments: CopyMoment.allCases, [false, true])
  func restored(moment: CopyMoment, restartingPeers: Bool) throws {
    let cluster = TestCluster.feeding()
    let copy = cluster.writeAround(moment)
    cluster.advance(milliseconds: 6000)
    if restartingPeers { for id in 1...2 { cluster.restart(id, life: 5) } }
    cluster.restore(3, copy)
    for index in 0..<10 { #expect(cluster.readable("k\(index)", through: [1, 2, 3]).allSatisfy { $0 == "v" }) }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.counters(3).regressions == 4 && cluster.counters(1).regressions == 0)
    #expect(cluster.lines(3, "this data directory is older than what this node has told") == 1)
    #expect(cluster.roles(3) == [.active])
    for index in 0..<10 { #expect(cluster.ownCopy(3, "k\(index)") == "v", "k\(index)") }
    // And once only: it goes on from there.
    cluster.advance(milliseconds: 12_000)
    cluster.restart(3, life: 200)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.counters(3).regressions == 0 && cluster.roles(3) == [.active])
    #expect(cluster.status(1)?.counters.clones == 0)
  }

  @Test("without rule IDENT the copy serves, and lacks what was acknowledged")
  func withoutRule() throws {
    let cluster = TestCluster.feeding { $0.rules = $0.rules.without(.fence) }
    let copy = cluster.writeAround(.running)
    cluster.restore(3, copy)
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.roles(3) == [.active] && cluster.held(3, "k7") == nil)
  }

  @Test("one owner that remembers is enough")
  func oneRemembers() throws {
    let cluster = TestCluster.feeding()
    let copy = cluster.writeAround(.running)
    cluster.kill(3)
    cluster.kill(1)
    try cluster.forgetEditions([1])
    cluster.start(1, life: 5)
    cluster[3].disk = copy
    cluster.start(3, life: 100)
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.counters(3).regressions == 4 && cluster.roles(3) == [.active])
    for index in 0..<10 { #expect(cluster.ownCopy(3, "k\(index)") == "v", "k\(index)") }
  }

  @Test("a node that was killed while it left its lineage goes on with that, though nobody remembers why")
  func killedWhileLeaving() throws {
    let cluster = TestCluster.feeding()
    cluster.keep(0..<5)
    let copy = cluster.copyAndGoOn(.running)
    cluster.keep(5..<10)
    for id in 1...3 { cluster.kill(id) }
    try cluster.forgetEditions([1, 2])
    cluster[3].disk = copy
    try cluster.changeManifest(3) { $0.leavesLineage = true }
    for id in 1...3 { cluster.start(id, life: 5) }
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.counters(3).regressions == 4 && cluster.roles(3) == [.active])
    for index in 0..<10 { #expect(cluster.ownCopy(3, "k\(index)") == "v", "k\(index)") }
    // And once only.
    cluster.restart(3, life: 200)
    cluster.advance(milliseconds: 5000)
    #expect(cluster.counters(3).regressions == 0 && cluster.roles(3) == [.active])
  }

  @Test("stores that are back from before they were made anew accuse nobody, and are made anew")
  func backFromBefore() throws {
    let cluster = TestCluster.feeding()
    cluster.keep(0..<5)
    for index in 0..<3 { cluster.ask(1, delete("k\(index)")) }
    cluster.advance(milliseconds: 1000)
    let copy = cluster.copyAndGoOn(.running)
    cluster.keep(5..<7)
    cluster.restore(3, copy)
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.counters(3).regressions == 4 && cluster.roles(3) == [.active])
    for index in 3..<5 { cluster.ask(1, delete("k\(index)")) }
    cluster.keep(7..<10)
    cluster.advance(milliseconds: 1000)
    for id in 1...3 { cluster.kill(id) }
    // Only what the stores have promised each other tells them apart.
    try cluster.forgetEditions([1, 2])
    cluster[3].disk = copy
    for id in 1...3 { cluster.start(id, life: 100) }
    cluster.advance(milliseconds: 30_000)
    #expect(cluster.counters(1).regressions == 0 && cluster.counters(2).regressions == 0)
    #expect(cluster.counters(3).regressions == 4 && cluster.roles(3) == [.active])
    for index in 5..<10 { #expect(cluster.ownCopy(3, "k\(index)") == "v", "k\(index)") }
  }

  @Test("a copy that is put back a second time finds that the others have followed what it remembers of them")
  func backTwice() throws {
    let cluster = TestCluster.feeding()
    cluster.keep(0..<5)
    for index in 0..<3 { cluster.ask(1, delete("k\(index)")) }
    cluster.ask(3, delete("k3", always: true))
    cluster.advance(milliseconds: 3000)
    let copy = cluster.copyAndGoOn(.running)
    cluster.keep(5..<7)
    cluster.restore(3, copy)
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.counters(3).regressions == 4 && cluster.roles(3) == [.active])
    // Fenced, it tells the others what it was, and is not made anew as long as it does not hear that theirs serve.
    cluster.treat = { letter in
      switch letter.message.body {
      case .hello, .helloReply, .ping, .pingReply: .deliver
      default: letter.to == NodeID(3) ? .drop : .deliver
      }
    }
    cluster.kill(3)
    cluster[3].disk = copy
    cluster.start(3, life: 150)
    cluster.advance(milliseconds: 12_000)
    #expect(cluster.roles(3) == [.fenced])
    for id in 1...3 { cluster.kill(id) }
    try cluster.forgetEditions([1, 2])
    cluster.treat = { _ in .deliver }
    cluster[3].disk = copy
    for id in 1...3 { cluster.start(id, life: 200) }
    cluster.advance(milliseconds: 30_000)
    #expect(cluster.counters(1).regressions == 0 && cluster.counters(2).regressions == 0)
    #expect(cluster.counters(3).regressions == 4 && cluster.roles(3) == [.active])
    for index in 4..<7 { #expect(cluster.ownCopy(3, "k\(index)") == "v", "k\(index)") }
  }

  @Test("what a copy does while it is alone, however long, does not make it the other one", arguments: [false, true])
  func lonely(forgettingEditions: Bool) throws {
    let cluster = TestCluster.feeding(hold: 100)
    cluster.keep(0..<20)
    let copy = cluster.copyAndGoOn(.running)
    // These places of node 3's feed are given, and followed.
    for index in 0..<5 { #expect(cluster.answer(cluster.ask(3, delete("k\(index)")))?.isDeleted == true) }
    cluster.advance(milliseconds: 5000)
    #expect(cluster.waiting == [0, 0, 0])
    for id in 1...3 { cluster.kill(id) }
    if forgettingEditions { try cluster.forgetEditions([1, 2]) }
    cluster[3].disk = copy
    cluster.start(3, life: 100)
    cluster.advance(milliseconds: 40_000)
    // And given again, to other keys.
    for index in 10..<20 { cluster.ask(3, delete("k\(index)", always: true)) }
    cluster.advance(milliseconds: 20_000)
    for id in 1...2 { cluster.start(id, life: 5) }
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.counters(3).regressions > 0)
    for id in 1...3 { #expect(cluster.roles(id) == [.active] && cluster.counters(id).quarantined == 0 || id == 3) }
    #expect(cluster.waiting == [0, 0, 0])
    for index in 0..<5 { #expect(cluster.readable("k\(index)", through: [1, 2, 3]).isEmpty, "k\(index)") }
    for index in 5..<10 { #expect(cluster.ownCopy(3, "k\(index)") == "v", "k\(index)") }
    // Either deleted everywhere, or nowhere.
    for index in 10..<20 {
      let held = (1...3).map { cluster.held($0, "k\(index)").map { !$0.isTombstone } ?? false }
      #expect(Set(held).count == 1, "k\(index): \(held)")
    }
  }

  @Test("a process from an older copy beside the member's own is a clone, and the member goes on")
  func clone() throws {
    let cluster = TestCluster.feeding()
    cluster.advance(milliseconds: 12_000)
    let letter = try #require(
      cluster.sent.last { letter in
        if case .hello = letter.message.body { letter.from == NodeID(2) && letter.to == NodeID(1) } else { false }
      })
    guard case .hello(var hello) = letter.message.body else { return }
    hello.bootID = 77
    hello.edition += 1
    hello.lineage.append(BootEdition(bootID: 77, edition: hello.edition))
    #expect(cluster[1].node?.accepts(hello) == false)
    for count in 1...3 {
      cluster.forge(PeerMessage(time: .zero, body: .hello(hello)), from: NodeID(2), to: NodeID(1))
      cluster.advance(milliseconds: 500)
      #expect(cluster.status(1)?.counters.clones == 1, "\(count)")
      #expect(cluster.status(1)?.peers.allSatisfy { $0.link == .up } == true)
    }
    let refusals = cluster.sent.compactMap { letter in
      if case .helloReply(let reply) = letter.message.body, reply.yourBootID == 77 { reply.refusal } else { nil }
    }
    #expect(Set(refusals) == [.clone])
    #expect(cluster.roles(2) == [.active] && cluster.counters(2).regressions == 0)
    // With the member gone it is told that it is an older copy, and of which edition the others know.
    cluster.kill(2)
    cluster.forge(PeerMessage(time: .zero, body: .hello(hello)), from: NodeID(2), to: NodeID(1))
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 3000)
    let told = cluster.sent.compactMap { letter in
      if case .helloReply(let reply) = letter.message.body, reply.refusal == .olderCopy { reply } else { nil }
    }
    #expect(told.first?.yourBootID == 77 && told.first?.knownEdition ?? 0 >= hello.edition)
    #expect(cluster.roles(2) == [.active] && cluster.counters(2).regressions == 0)
  }

  @Test("a disk without room for it: the stores are fenced all the same, and the copy is refused until there is some")
  func noRoom() throws {
    let cluster = TestCluster.feeding()
    let copy = cluster.writeAround(.running)
    cluster.kill(3)
    cluster[3].disk = copy
    cluster.treat = { letter in
      if case .helloReply = letter.message.body, letter.to == TestCluster.id(3) { .drop } else { .deliver }
    }
    cluster.start(3, life: 100)
    cluster[3].node?.disk.spaceLeft = 0
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 3000)
    #expect(cluster[3].stopped == nil && cluster.roles(3) == [.fenced] && cluster.counters(3).regressions == 4)
    #expect(cluster.status(1)?.peers.first { $0.member.id == NodeID(3) }?.link != .up)
    cluster[3].node?.disk.spaceLeft = nil
    cluster.advance(milliseconds: 30_000)
    #expect(cluster.counters(3).regressions == 4 && cluster.roles(3) == [.active])
    for index in 0..<10 { #expect(cluster.ownCopy(3, "k\(index)") == "v", "k\(index)") }
  }

  @Test("whether a boot and its edition are in a lineage")
  func missing() {
    let lineage = [(1, 10), (2, 20), (3, 30)].map { BootEdition(bootID: $0.0, edition: $0.1) }
    let expected: [(boot: UInt64, edition: UInt64, isMissing: Bool)] = [
      (1, 10, false), (1, 19, false), (1, 20, true), (2, 29, false), (2, 30, true), (3, 30, false), (3, 99, false),
      // Never there; and from before all that is kept.
      (9, 10, true), (9, 35, true), (9, 9, false),
    ]
    for (boot, edition, isMissing) in expected {
      #expect(
        BootEdition(bootID: boot, edition: edition).isMissing(in: lineage) == isMissing, "boot \(boot) at \(edition)")
    }
    #expect(!BootEdition(bootID: 1, edition: 1).isMissing(in: []))
    var manifest = NodeManifest(name: "n", node: NodeID(1), membersDigest: 1, actor: ActorID(1))
    for boot in 1...100 {
      manifest.begin(UInt64(boot))
      manifest.edition += 3
    }
    #expect(manifest.lineage.count == NodeManifest.lineageMax && manifest.lineage.first?.bootID == 37)
    #expect(!BootEdition(bootID: 100, edition: manifest.edition).isMissing(in: manifest.lineage))
    manifest.beginAnew(100, above: .max)
    #expect(manifest.lineage == [BootEdition(bootID: 100, edition: manifest.edition)])
  }
}
