import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

@Suite("A flipped bit in a sealed file")
struct DamageRepairTests {
  /// Answers to pulls wait.
  private func holdPulls(_ cluster: TestCluster) {
    cluster.treat = { letter in
      if case .pullReply = letter.message.body { .hold } else { .deliver }
    }
  }

  @Test("is found by the scrub within its interval, repaired from the others, and its file goes", arguments: 0..<4)
  func scrubbed(part: Int) throws {
    let cluster = try TestCluster.sealed()
    let keys = cluster.sealedKeys(2)
    let key = keys[part * (keys.count - 1) / 3]
    let path = try cluster.flip(key, at: 2)
    cluster.advance(milliseconds: TestCluster.scrubMilliseconds + 1000)
    let counters = cluster.antiEntropy(2)
    #expect(counters.damages == 1 && counters.repairs == 1 && counters.losses == 0)
    #expect(cluster.lines(2, "this record alone is refused here") == 1)
    #expect(cluster.lines(2, "probably b/\(key)") == 1 && cluster.lines(2, "is back from another owner") == 1)
    #expect(cluster[2].node?.disk.contents(path) == nil)
    cluster.expectNothingWrong()
    let scrub = try #require(cluster.status(2)?.antiEntropy.scrub)
    #expect(scrub.damagedFound == 1 && scrub.repaired == 1 && scrub.bytesTotal > 0)
    // A restart finds nothing wrong any more.
    cluster.kill(2)
    cluster.start(2, life: 1)
    cluster.advance(milliseconds: 3000)
    #expect(cluster.roles(2) == [.active])
    cluster.expectNothingWrong()
  }

  @Test("every byte is read once per interval, also of a node that was just started, and no more of it in a second")
  func pace() throws {
    let cluster = try TestCluster.sealed()
    let total = try #require(cluster.status(1)?.antiEntropy.scrub.bytesTotal)
    let before = cluster.antiEntropy(1).scrubbedBytes
    cluster.advance(milliseconds: TestCluster.scrubMilliseconds)
    let read = cluster.antiEntropy(1).scrubbedBytes - before
    #expect(read >= total && read <= 2 * total)
    for _ in 0..<4 { cluster.advance(milliseconds: TestCluster.scrubMilliseconds) }
    #expect(try #require(cluster.status(1)?.antiEntropy.scrub.passesDone) >= 3)
    // Without an interval nothing is read.
    let idle = try TestCluster.sealed(scrubbing: false)
    idle.advance(milliseconds: TestCluster.scrubMilliseconds)
    #expect(idle.antiEntropy(1).scrubbedBytes == 0)
  }

  @Test("is found by a read at once, whatever r is: the answer is right or refused meanwhile", arguments: 1...3)
  func read(through id: Int) throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(cluster.sealedKeys(1).first)
    try cluster.flip(key, at: 1)
    holdPulls(cluster)
    for r in 1...3 {
      let answer = cluster.answer(cluster.ask(id, get(key, r: .count(r))))
      if r == 3 {
        guard case .failed(.damaged)? = answer else {
          Issue.record("r = 3 counted a damaged copy: \(String(describing: answer))")
          continue
        }
      } else {
        #expect(answer?.text == "value of \(key)")
      }
    }
    cluster.advance(milliseconds: 500)
    #expect(cluster.antiEntropy(1).damages == 1 && cluster.antiEntropy(1).repairs == 0)
    #expect(cluster.roles(1) == [.active])
    let others = TestCluster.damageKeys.filter { $0 != key }
    cluster.expectNothingWrong(others, "meanwhile")
    cluster.expectNothingWrong([key], refusals: true, "meanwhile")
    // Told once, not for every read.
    #expect(cluster.lines(1, "is damaged at byte") == 1)
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 1000)
    #expect(cluster.antiEntropy(1).repairs == 1)
    cluster.expectNothingWrong()
  }

  @Test("puts and deletes of the key go through all the same, by way of another owner, and reach the repaired copy")
  func writes() throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let keys = cluster.sealedKeys(1)
    let (written, deleted) = (keys[0], keys[keys.count - 1])
    try cluster.flip(written, at: 1)
    try cluster.flip(deleted, at: 1)
    holdPulls(cluster)
    #expect(try #require(cluster.answer(cluster.ask(1, put(written, "value of \(written)")))).isStored)
    #expect(try #require(cluster.answer(cluster.ask(1, delete(deleted)))).isDeleted)
    #expect(cluster.answer(cluster.ask(2, get(written)))?.text == "value of \(written)")
    #expect(try #require(cluster.answer(cluster.ask(2, get(deleted)))).isNotFound)
    guard case .failed? = cluster.answer(cluster.ask(1, put(written, "value of \(written)", w: .all, dw: .count(0))))
    else {
      Issue.record("w = 3 counted a copy that is refused")
      return
    }
    cluster.treat = { _ in .deliver }
    cluster.release()
    cluster.advance(milliseconds: 20_000)
    #expect(cluster.antiEntropy(1).repairs == 2)
    for id in 1...3 {
      #expect(cluster.answer(cluster.ask(id, get(written, r: .all)))?.text == "value of \(written)")
      #expect(try #require(cluster.answer(cluster.ask(id, get(deleted, r: .all)))).isNotFound)
    }
    #expect(cluster.status(1)?.hints.allSatisfy { $0.count == 0 } == true)
    #expect(cluster.status(2)?.hints.allSatisfy { $0.count == 0 } == true)
  }

  @Test("at different keys of all three owners: all come back")
  func everywhere() throws {
    let cluster = try TestCluster.sealed()
    let keys = cluster.sealedKeys(1).filter { cluster.place($0, at: 2) != nil && cluster.place($0, at: 3) != nil }
    for (index, key) in keys.enumerated() where index % 5 == 0 {
      try cluster.flip(key, at: 1 + index / 5 % 3)
    }
    let hits = (keys.count + 4) / 5
    cluster.expectNothingWrong(refusals: true, "before")
    cluster.advance(milliseconds: TestCluster.scrubMilliseconds + 1000)
    #expect((1...3).reduce(0) { $0 + cluster.antiEntropy($1).repairs } == UInt64(hits))
    cluster.expectNothingWrong()
    for id in 1...3 { #expect(cluster.roles(id) == [.active]) }
  }

  @Test("at one key of two owners while the third is down: refused until it is back, then repaired")
  func awaited() throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(cluster.sealedKeys(1).first { cluster.place($0, at: 2) != nil })
    cluster.kill(3)
    try cluster.flip(key, at: 1)
    try cluster.flip(key, at: 2)
    for id in 1...2 {
      for r in [QuorumSize.one, .quorum] {
        guard case .failed? = cluster.answer(cluster.ask(id, get(key, r: r))) else {
          Issue.record("answered through n\(id)")
          continue
        }
      }
    }
    cluster.advance(milliseconds: 10_000)
    for id in 1...2 { #expect(cluster.antiEntropy(id).losses == 0 && cluster.antiEntropy(id).repairs == 0) }
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 70_000)
    for id in 1...2 { #expect(cluster.antiEntropy(id).repairs == 1) }
    cluster.expectNothingWrong()
  }

  @Test("at one key of all three owners: the record is lost, and that is said and counted")
  func lost() throws {
    let cluster = try TestCluster.sealed(scrubbing: false)
    let key = try #require(
      cluster.sealedKeys(1).first { cluster.place($0, at: 2) != nil && cluster.place($0, at: 3) != nil })
    for id in 1...3 { try cluster.flip(key, at: id) }
    guard case .failed? = cluster.answer(cluster.ask(1, get(key, r: .one))) else {
      Issue.record("a damaged record passed for something")
      return
    }
    cluster.advance(milliseconds: 100)
    for id in 1...3 {
      #expect(cluster.antiEntropy(id).losses == 1)
      #expect(cluster.lines(id, "a record is lost, probably b/\(key)") == 1)
    }
    #expect(try #require(cluster.answer(cluster.ask(2, get(key, r: .all)))).isNotFound)
    #expect(try #require(cluster.answer(cluster.ask(2, put(key, "value of \(key)", w: .all)))).isStored)
    cluster.expectNothingWrong()
  }

  @Test("a node without another owner goes on refusing the one record")
  func alone() throws {
    let cluster = try TestCluster.sealed(nodes: 1, replicas: 1)
    let key = try #require(cluster.sealedKeys(1).first)
    try cluster.flip(key, at: 1)
    cluster.advance(milliseconds: 2 * TestCluster.scrubMilliseconds)
    #expect(cluster.antiEntropy(1).damages == 1 && cluster.antiEntropy(1).losses == 0)
    guard case .failed(.damaged)? = cluster.answer(cluster.ask(1, get(key))) else {
      Issue.record("answered")
      return
    }
    guard case .failed(.damaged)? = cluster.answer(cluster.ask(1, put(key, "x"))) else {
      Issue.record("a put of a refused hash was taken")
      return
    }
    cluster.expectNothingWrong(TestCluster.damageKeys.filter { $0 != key })
  }

  @Test("in a store of hints is found by the scrub too: it is made anew, and its node gets the writes all the same")
  func hints() throws {
    let cluster = try TestCluster.sealed()
    cluster.kill(3)
    let keys = (0..<30).map { "hinted-\($0)" }
    for key in keys { #expect(try #require(cluster.answer(cluster.ask(1, put(key, "value of \(key)")))).isStored) }
    cluster.advance(milliseconds: 3000)
    let kept = cluster.hints(at: 1, for: 3)
    let directory = "/stores/\(StoreID.hints(for: TestCluster.id(3)))/"
    let found = cluster[1].node?.disk.paths.filter { $0.contains(directory) && $0.hasSuffix(".data") }.min()
    let path = try #require(found)
    #expect(kept > 10)
    cluster[1].node?.disk.flipBit(3, ofByte: 100, in: path)
    let damages = cluster.antiEntropy(1).damages
    // The file was sealed in the middle of a pass.
    cluster.advance(milliseconds: 2 * TestCluster.scrubMilliseconds + 1000)
    #expect(cluster.lines(1, "store hints-3 is fenced") == 1)
    #expect(cluster.status(1)?.antiEntropy.scrub.setAside == ["damaged/hints-3.1"])
    #expect(cluster.status(1)?.counters.hintsLost == UInt64(kept) && cluster.hints(at: 1, for: 3) == 0)
    // No record of a partition is damaged, and nobody is asked for any.
    #expect(cluster.antiEntropy(1).damages == damages && cluster.roles(1) == [.active])
    cluster.start(3, life: 1)
    cluster.advance(milliseconds: 3000)
    cluster.admin(3, .antiEntropy, session: 920)
    cluster.advance(milliseconds: 5000)
    cluster.expectNothingWrong(keys)
    for key in keys { #expect(cluster.ownCopy(3, key) == "value of \(key)") }
  }
}
