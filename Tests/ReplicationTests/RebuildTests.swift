import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("A fenced store is made anew")
struct RebuildTests {
  /// Takes the hint of the file in which the key stands away: damage of it fences the store.
  private func flipWithoutHint(_ key: String, _ cluster: TestCluster, at id: Int) throws {
    let path = try cluster.flip(key, at: id)
    try cluster[id].node?.disk.unlink(String(path.dropLast(4)) + "hint")
  }

  /// A cluster of which one node does not run, and will find a store damaged when it does.
  private func damagedWhileDown(_ id: Int) throws -> TestCluster {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(cluster.sealedKeys(id).first)
    cluster.kill(id)
    let path = try cluster.flip(key, at: id)
    var disk = try #require(cluster[id].disk)
    try disk.unlink(String(path.dropLast(4)) + "hint")
    cluster[id].disk = disk
    return cluster
  }

  @Test(
    "at run time: its directory is kept, the others fill the new one, and nothing is wrong meanwhile", arguments: 1...3)
  func running(id: Int) throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(cluster.sealedKeys(id).first)
    try flipWithoutHint(key, cluster, at: id)
    #expect(cluster.answer(cluster.ask(id, get(key)))?.text == "value of \(key)")
    let fenced = try #require(cluster.fenced(id).first)
    cluster.advance(milliseconds: 30)
    cluster.expectNothingWrong(refusals: true, "meanwhile")
    cluster.advance(milliseconds: 5000)
    #expect(cluster.roles(id) == [.active])
    cluster.expectNothingWrong()
    #expect(cluster.status(id)?.antiEntropy.scrub.setAside == ["damaged/\(fenced).1"])
    #expect(cluster.lines(id, "store \(fenced) was fenced and is kept in /data/damaged/\(fenced).1") == 1)
    #expect(cluster[id].node?.disk.paths.contains { $0.hasPrefix("/data/damaged/\(fenced).1/") } == true)
    // It is one like any other: after a restart too, and for another damage.
    cluster.kill(id)
    cluster.start(id, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.roles(id) == [.active])
    cluster.expectNothingWrong()
  }

  @Test("found at open: the node comes up with it fenced, and it is filled")
  func atOpen() throws {
    let cluster = try damagedWhileDown(2)
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 8000)
    #expect(cluster[2].stopped == nil && cluster.roles(2) == [.active])
    #expect(cluster.status(2)?.antiEntropy.scrub.setAside.count == 1)
    cluster.expectNothingWrong()
  }

  @Test("what the others said of their stores was lost: they say it again to a node whose store is fenced")
  func announcementsLost() throws {
    let cluster = try damagedWhileDown(2)
    cluster.treat = TestCluster.withholdsStates
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.fenced(2).count == 1)
    cluster.treat = { _ in .deliver }
    cluster.advance(milliseconds: 8000)
    #expect(cluster.roles(2) == [.active])
    // Then there is nothing more to say.
    let start = cluster.sent.count
    cluster.advance(milliseconds: 3000)
    #expect(!cluster.sent[start...].contains { TestCluster.withholdsStates($0) == .drop })
  }

  @Test("one that `store repair` has written comes up fenced, is kept aside like any other, and is filled")
  func repairedOffline() throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(cluster.sealedKeys(2).first)
    let identity = cluster[2].node?.identity.manifest
    let manifest = try #require(identity)
    cluster.kill(2)
    let path = try cluster.flip(key, at: 2)
    let directory = String(path[..<(try #require(path.lastIndex(of: "/")))])
    let store = try #require(StoreID(directory: directory))
    var disk = try #require(cluster[2].disk)
    try disk.createDirectory("/data/repaired")
    let report = try StoreRepair.run(
      try StoreContents(reading: directory, on: &disk), node: manifest, journal: "/data/journal",
      to: "/data/repaired/\(store)", on: &disk)
    #expect(report.role == .fenced && report.records > 0)
    for step: DiskStep in [
      .rename(directory, to: "/data/repaired/old"), .syncDirectory("/data/repaired"), .syncDirectory("/data/stores"),
      .rename("/data/repaired/\(store)", to: directory), .syncDirectory("/data/repaired"),
      .syncDirectory("/data/stores"), .syncDirectory(directory),
    ] {
      try step.perform(on: &disk)
    }
    cluster[2].disk = disk
    cluster.start(2, life: 1)
    cluster.expectNothingWrong(refusals: true, "meanwhile")
    cluster.advance(milliseconds: 8000)
    #expect(cluster[2].stopped == nil && cluster.roles(2) == [.active])
    #expect(cluster.lines(2, "store \(store) was fenced and is kept in /data/damaged/\(store).1") == 1)
    #expect(cluster.status(2)?.antiEntropy.scrub.setAside == ["damaged/\(store).1"])
    cluster.expectNothingWrong()
  }

  @Test("with no other owner's store serving it stays fenced, and that is said once")
  func alone() throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(cluster.sealedKeys(1).first)
    cluster.kill(2)
    cluster.kill(3)
    try flipWithoutHint(key, cluster, at: 1)
    cluster.ask(1, get(key))
    let fenced = try #require(cluster.fenced(1).first)
    cluster.advance(milliseconds: 60_000)
    #expect(cluster.fenced(1) == [fenced])
    #expect(cluster.lines(1, "store \(fenced) stays fenced: no other owner's store serves") == 1)
    cluster.start(2, life: 1)
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 8000)
    #expect(cluster.roles(1) == [.active])
    cluster.expectNothingWrong()
  }

  @Test("so many directories are kept, and then the store stays fenced and says so")
  func bound() throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(cluster.sealedKeys(1).first)
    let store = StoreID(partition: 0, replicas: 3)
    try cluster[1].node?.disk.createDirectory("/data/damaged")
    for index in 0..<StorageLimits.setAsideMax {
      try cluster[1].node?.disk.createDirectory("/data/damaged/\(store).\(index)")
    }
    try flipWithoutHint(key, cluster, at: 1)
    cluster.ask(1, get(key))
    let fenced = try #require(cluster.fenced(1).first)
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.fenced(1) == [fenced])
    #expect(cluster.lines(1, "store \(fenced) stays fenced: 16 directories of it are kept in /data/damaged") == 1)
    try cluster[1].node?.disk.removeDirectory("/data/damaged/\(store).0")
    cluster.advance(milliseconds: 5000)
    #expect(cluster.roles(1) == [.active])
  }

  @Test("a disk without room puts it off, and it is done once there is some", arguments: 0..<12)
  func noRoom(operation: Int) throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(cluster.sealedKeys(1).first)
    try flipWithoutHint(key, cluster, at: 1)
    cluster.ask(1, get(key))
    let before = cluster[1].node?.disk.operationCount ?? 0
    cluster[1].node?.disk.failure = (before + 1 + operation, 28)
    cluster.advance(milliseconds: 8000)
    let failed = cluster[1].node?.disk.failedOperation
    if cluster[1].stopped != nil {
      // A sync or the like, which nobody tries again.
      #expect(
        failed == .sync || failed == .syncDirectory || failed == .list || failed == .size,
        "\(String(describing: cluster[1].stopped))")
      return
    }
    #expect(cluster.roles(1) == [.active], "\(String(describing: failed))")
    cluster.expectNothingWrong()
  }

  @Test("the process dies at any operation of it: the directory opens, and the store is filled")
  func dies() throws {
    var operations = 0
    for operation in 1... {
      let cluster = try TestCluster.sealed(scrubbing: false)
      let key = try #require(cluster.sealedKeys(1).first)
      try flipWithoutHint(key, cluster, at: 1)
      cluster.ask(1, get(key))
      let before = cluster[1].node?.disk.operationCount ?? 0
      cluster[1].node?.disk.diesAtOperation = before + operation
      cluster.advance(milliseconds: 600)
      let hasDied = cluster[1].node?.disk.isDead == true
      cluster.kill(1, powerLoss: operation % 2 == 0)
      cluster.start(1, life: 1)
      cluster.advance(milliseconds: 9000)
      #expect(cluster[1].stopped == nil, "operation \(operation)")
      #expect(cluster.roles(1) == [.active], "operation \(operation)")
      // With the power the loss of its hint may be lost, and then the key alone is damaged.
      cluster.expectNothingWrong([key], refusals: true, "operation \(operation)")
      cluster.advance(milliseconds: 1000)
      cluster.expectNothingWrong([key], "operation \(operation)")
      operations = operation
      if !hasDied || operation > 60 { break }
    }
    #expect(operations > 10)
  }
}
