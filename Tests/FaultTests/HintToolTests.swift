import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Offline tools and hint stores")
struct HintToolTests {
  private static let directory = "/data/stores/hints-3"

  private static var node: NodeManifest {
    var node = Rig.node
    node.stores.append(Rig.hintSeed())
    return node
  }

  /// Hints of both partitions, values and tombstones, in sealed files and an open one, and some in the journal only.
  private func filled() throws -> Rig {
    var rig = try Rig.withHints(fileBytesMax: 300)
    for number in 0..<20 {
      try rig.keep("key \(number)", number % 4 == 3 ? nil : "value", at: 10 + UInt64(number))
      _ = try rig.put("own \(number)", "value", at: 10 + UInt64(number))
      try rig.engine.flush(on: &rig.disk)
      try rig.sync()
      if number < 15 { try rig.work(afterMilliseconds: number == 14 ? 70_000 : 0) }
    }
    let file = try rig.disk.open("/data/node", .create)
    try rig.disk.append(HintToolTests.node.encoded(), to: file)
    return rig
  }

  @Test("a store of hints checks clean though its keys are of every partition, and damage in it is found")
  func check() throws {
    var rig = try filled()
    let keys = try rig.pass().map { rig.hash($0.key) >> 63 }
    #expect(Set(keys) == [0, 1])
    let report = try rig.check(HintToolTests.directory, node: HintToolTests.node)
    #expect(report.findings.isClean && report.records == 20 && report.tombstones == 5)
    let path = try #require(rig.hintFiles.keys.sorted().first)
    rig.disk.flipBit(1, ofByte: 100, in: path)
    let damaged = try rig.check(HintToolTests.directory, node: HintToolTests.node)
    #expect(damaged.findings.all.contains { $0.gravity == .error && $0.path == path })
  }

  @Test("a node's check knows the stores of hints that it must have, and the journal's writes for them")
  func node() throws {
    let rig = try filled()
    var disk = rig.disk
    disk.killProcess()
    let contents = try NodeContents(reading: Rig.root, on: &disk)
    #expect(contents.stores == Rig.seeds.map(\.id) + [Rig.hints] && contents.otherNames.isEmpty)
    let whole = NodeCheck.run(contents, on: &disk)
    #expect(whole.findings.all == [] && whole.frames > 0 && whole.skippedFrames == 0)
    #expect(try DirectoryKind(of: HintToolTests.directory, on: &disk) == .store)
    var node = HintToolTests.node
    node.stores.append(Rig.hintSeed(8))
    disk.overwrite("/data/node", with: node.encoded())
    let report = NodeCheck.run(try NodeContents(reading: Rig.root, on: &disk), on: &disk)
    let finding = try #require(report.findings.all.first)
    #expect(finding.gravity == .error && finding.path == "/data/stores/hints-8")
    #expect("\(finding.text)" == "it is missing: the hints for node 8 that were in it are lost")
  }

  @Test("a repaired store of hints is no fenced one, and hands over every hint that is whole")
  func repair() throws {
    var rig = try filled()
    let hints = try rig.pass()
    let hit = try #require(hints.first { $0.place.file == 2 })
    rig.disk.flipBit(1, ofByte: Int(hit.place.offset) + 30, in: StorePath.data(HintToolTests.directory, 2))
    rig.disk.killProcess()
    try rig.makeNewRoot()
    let contents = try StoreContents(reading: HintToolTests.directory, on: &rig.disk)
    let report = try StoreRepair.run(
      contents, node: HintToolTests.node, journal: nil, to: "/data/new/stores/hints-3", fileBytesMax: 300,
      on: &rig.disk)
    #expect(report.lossCount == 1 && report.role == .active && report.store == Rig.hints)
    rig.engine = try Engine.open("/data/new", options: rig.options, stores: [Rig.hintSeed()], on: &rig.disk)
    #expect(rig.engine.recovery.damaged.isEmpty && rig.engine.role(Rig.hints) == .active)
    let left = try rig.pass().map(\.version)
    #expect(left == hints.map(\.version).filter { $0.stamp != hit.version.stamp })
    #expect(try rig.hintCountDefect() == nil)
  }

  @Test(
    "a snapshot holds the hints of its moment, and one of a hint store alone holds that", arguments: [nil, Rig.hints])
  func snapshot(store: StoreID?) throws {
    var rig = try filled()
    let hints = try rig.pass().map(\.version)
    try rig.requestSnapshot("one", of: store)
    try rig.keep("later", "value", at: 90)
    // The moment is that of the job that begins it; what is delivered meanwhile stays in it.
    try rig.workOrFail()
    for hint in try rig.pass() { #expect(rig.engine.forgetHint(hint.place, of: Rig.hints)) }
    guard case .made(let report) = try rig.finishSnapshot() else {
      Issue.record("no snapshot")
      return
    }
    #expect(report.contents.stores == (store == nil ? 3 : 1))
    try rig.workOffHints()
    #expect(rig.engine.hintStatus(Rig.hints).fileBytes == 0)
    var copy = rig
    copy.disk.killProcess()
    copy.disk.wouldBlockChance = 0
    copy.options.sync = .never
    copy.engine = try Engine.open(
      Rig.path("one"), options: copy.options, stores: store == nil ? copy.seeds : [Rig.hintSeed()], on: &copy.disk)
    #expect(copy.engine.recovery.missing.isEmpty && copy.engine.recovery.missingHints.isEmpty)
    #expect(try copy.pass().map(\.version).prefix(hints.count) == hints[...])
  }
}
