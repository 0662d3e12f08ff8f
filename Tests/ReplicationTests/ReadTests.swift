import Causality
import Messages
import Primitives
import Storage
import Testing

@testable import Replication

extension TestCluster {
  fileprivate var readReplies: [(from: Int, outcome: ReadOutcome)] {
    sent.compactMap { letter in
      guard case .readReply(let reply) = letter.message.body else { return nil }
      return (Int(letter.from.rawValue), reply.outcome)
    }
  }

  fileprivate var reads: [(to: Int, subject: ReadSubject)] {
    sent.compactMap { letter in
      guard case .read(let read) = letter.message.body else { return nil }
      return (Int(letter.to.rawValue), read.subject)
    }
  }

  /// Lets nothing reach this node but what is not a write.
  fileprivate func withholdWrites(from id: Int) {
    treat = { letter in
      if case .push = letter.message.body, letter.to == TestCluster.id(id) { .drop } else { .deliver }
    }
  }
}

@Suite("Reads that compare copies")
struct ReadTests {
  /// Three nodes of which node 3 lacks the newest write of "a", and nobody keeps a hint for it yet.
  private func staleThird(_ write: ClientRequest = put("a", "new")) -> TestCluster {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "old"))
    cluster.withholdWrites(from: 3)
    cluster.ask(1, write)
    cluster.treat = { _ in .deliver }
    return cluster
  }

  @Test("a read through an owner moves no value: the others tell their stamps")
  func digests() {
    let cluster = TestCluster(nodes: 3)
    cluster.ask(1, put("a", "1"))
    #expect(cluster.answer(cluster.ask(2, get("a", r: .all)))?.text == "1")
    #expect(cluster.reads.map(\.subject) == [.digest, .digest])
    for reply in cluster.readReplies {
      if case .digest = reply.outcome { continue }
      Issue.record("a value travelled: \(reply)")
    }
  }

  @Test("a read through a node that owns nothing moves the value once")
  func valueOnce() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let (key, entry) = try #require(cluster.foreignKey())
    cluster.ask(entry, put(key, "1"))
    #expect(cluster.answer(cluster.ask(entry, get(key, r: .all)))?.text == "1")
    #expect(cluster.reads.map(\.subject) == [.value, .digest, .digest])
  }

  @Test("an owner that a read finds behind gets exactly what the read saw as newest, after the answer")
  func repairsOthers() throws {
    let cluster = staleThird()
    #expect(cluster.answer(cluster.ask(1, get("a", r: .all)))?.text == "new")
    let repairs = cluster.pushes.filter { $0.push.kind == .repair }
    #expect(repairs.map(\.to) == [3])
    #expect(cluster.ownCopy(3, "a") == "new")
    #expect(try #require(cluster.status(1)).counters.readRepairs == 1)
    // Equal copies are left alone.
    cluster.ask(1, get("a", r: .all))
    #expect(cluster.pushes.filter { $0.push.kind == .repair }.count == 1)
  }

  @Test("a node whose own copy is behind fetches the newer value, answers it and repairs itself")
  func repairsItself() throws {
    let cluster = staleThird()
    #expect(cluster.answer(cluster.ask(3, get("a")))?.text == "new")
    #expect(try #require(cluster.status(3)).counters.digestMismatches == 1)
    #expect(cluster.ownCopy(3, "a") == "new")
    #expect(cluster.pushes.filter { $0.push.kind == .repair }.isEmpty, "its own copy needs no message")
  }

  @Test("a tombstone that a read sees is repaired like a value, and needs no value to be fetched")
  func repairsTombstones() throws {
    let cluster = staleThird(delete("a"))
    #expect(try #require(cluster.answer(cluster.ask(3, get("a")))).isNotFound)
    #expect(cluster.tombstones(3) == 1)
    #expect(try #require(cluster.status(3)).counters.digestMismatches == 0)
  }

  @Test("who told a newer stamp and then cannot bring the value is replaced: the older value is not the answer")
  func announcedAndGone() throws {
    let cluster = staleThird()
    cluster.treat = { letter in
      if case .read(let read) = letter.message.body, read.subject == .value { .hold } else { .deliver }
    }
    let session = cluster.ask(3, get("a"))
    #expect(cluster.answer(session) == nil)
    let asked = try #require(cluster.held.first).to
    cluster.kill(Int(asked.rawValue))
    #expect(cluster.answer(session) == nil, "the other owner is asked for its value, too")
    cluster.treat = { _ in .deliver }
    cluster.release()
    #expect(cluster.answer(session)?.text == "new")
  }

  @Test("a slow read asks one more replica, once")
  func hedgesOnce() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let (key, entry) = try #require(cluster.foreignKey())
    cluster.ask(entry, put(key, "1"))
    cluster.treat = { letter in
      if case .readReply = letter.message.body { .drop } else { .deliver }
    }
    let before = cluster.reads.count
    let session = cluster.ask(entry, get(key, r: .one))
    #expect(cluster.reads.count == before + 1)
    cluster.advance(milliseconds: 300)
    #expect(cluster.reads.count == before + 2)
    cluster.advance(milliseconds: 300)
    #expect(cluster.reads.count == before + 2)
    #expect(cluster.answer(session) == nil)
    #expect(try #require(cluster.status(entry)).counters.hedgedReads == 1)
  }

  @Test("a fallback that keeps a hint of the key stands in for its owner; one that keeps none says nothing")
  func vouching() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let key = "k1"
    let owners = cluster.owners(of: key)
    cluster.ask(owners[0], put(key, "before"))
    cluster.kill(owners[1])
    cluster.kill(owners[2])
    for entry in [owners[0]] + cluster.strangers(to: key) {
      guard
        case .failed(.unsatisfied(.r, wanted: 2, got: 1, let detail))? = cluster.answer(
          cluster.ask(entry, get(key)))
      else {
        Issue.record("one owner is left, and nobody else knows the key")
        continue
      }
      #expect(detail.contains("n\(owners[1]) is down"))
      #expect(cluster.answer(cluster.ask(entry, get(key, r: .one)))?.text == "before")
    }
    cluster.ask(owners[0], put(key, "since"))
    for entry in [owners[0]] + cluster.strangers(to: key) {
      #expect(cluster.answer(cluster.ask(entry, get(key)))?.text == "since")
    }
    let sloppy = (1...5).reduce(0) { $0 + (cluster.status($1)?.counters.sloppyReads ?? 0) }
    #expect(sloppy == 3)
  }

  @Test("without any owner nothing is found and nothing is not found, whoever keeps a hint")
  func prNeedsOwners() throws {
    let cluster = TestCluster(nodes: 5, partitions: 8)
    let key = "k1"
    let owners = cluster.owners(of: key)
    cluster.kill(owners[2])
    cluster.ask(owners[0], put(key, "1"))
    cluster.kill(owners[1])
    cluster.kill(owners[0])
    for entry in cluster.strangers(to: key) {
      guard case .failed(.unsatisfied)? = cluster.answer(cluster.ask(entry, get(key, r: .one))) else {
        Issue.record("no owner is there to answer")
        continue
      }
    }
  }
}

@Suite("Latency of reads")
struct ReadLatencyTests {
  @Test("a read is hedged after the 99th percentile of the last minute, within bounds")
  func percentile() {
    var now = Instant(nanoseconds: 0)
    var latency = ReadLatency(at: now)
    #expect(latency.hedgeMilliseconds(at: now) == ReadLatency.hedgeMillisecondsDefault)
    func record(_ milliseconds: UInt64, times: Int) {
      for _ in 0..<times { latency.record(milliseconds * 1_000_000, at: now) }
    }
    record(2, times: 960)
    record(50, times: 40)
    now = now.adding(milliseconds: 1500)
    #expect((50...51).contains(latency.hedgeMilliseconds(at: now)))
    // A minute later the slow ones are forgotten.
    for _ in 0..<6 {
      now = now.adding(milliseconds: 15_000)
      record(2, times: 300)
    }
    now = now.adding(milliseconds: 1500)
    #expect(latency.hedgeMilliseconds(at: now) == ReadLatency.hedgeMillisecondsMin)
    record(30_000, times: 1000)
    now = now.adding(milliseconds: 1500)
    #expect(latency.hedgeMilliseconds(at: now) == ReadLatency.hedgeMillisecondsMax)
  }
}
