import Cluster
import Primitives
import Testing

// Promises of the failure detector, each shown by a cluster of detectors that break in some way, or by a lone one that
// is told what happens.

@Suite struct FailureDetectorTests {
  @Test(
    "a silent peer is suspected by everybody within 1.5 times suspect_after, whatever the size up to 12 and the moment",
    arguments: 2...12)
  func silenceIsNoticed(nodes: Int) {
    // In periods: what FailureDetector+Probes promises. Times in ticks, of which two may be lost, and one in flight.
    let probes = min(3, (nodes + 1) / 2)
    let periods = Double((nodes - 1 + probes - 1) / probes) + 0.5
    #expect(1000 + periods * 83 + 20 <= 1500)
    var worst: UInt64 = 0
    for seed in 1...UInt64(20) {
      var cluster = DetectorCluster(nodes, seed: seed)
      cluster.run(700 + 10 * UInt64(cluster.random.below(60)))
      #expect(cluster.log.isEmpty)
      let silentSince = cluster.now
      cluster.silence(0)
      cluster.run(1500)
      for node in 1..<nodes { #expect(cluster.state(node, of: 0) == .suspect, "seed \(seed)") }
      worst = max(worst, (cluster.log.filter { $0.node != 0 }.map(\.time).max() ?? 0) - silentSince)
      for node in 1..<nodes { for peer in 1..<nodes { #expect(cluster.state(node, of: peer) == .reachable) } }
    }
    #expect(Double(worst) <= 1000 + periods * 83 + 20)
    #expect(worst >= 1000)
  }

  @Test("with more nodes it takes a period more for every three, unless another node tells of it", arguments: [20, 32])
  func manyNodes(nodes: Int) {
    let periods = UInt64((nodes - 1 + 2) / 3 + 1)
    for seed in 1...UInt64(2) {
      var cluster = DetectorCluster(nodes, seed: seed)
      cluster.run(2000)
      let silentSince = cluster.now
      cluster.silence(0)
      cluster.run(1000 + periods * 83 + 100)
      let times = cluster.log.filter { $0.node != 0 && $0.peer == 0 }.map { $0.time - silentSince }
      #expect(times.count == nodes - 1 && (times.max() ?? 0) <= 1000 + periods * 83 + 20, "seed \(seed)")
    }
  }

  @Test("whoever hears of a suspect asks it at once")
  func gossip() {
    let lone = LoneDetector(peers: 60)
    lone.wait(100)
    // The first lap would come to some of these in two seconds only.
    for peer in [57, 58, 59] { lone.detector.heardOfSuspect(peer, at: lone.now) }
    #expect(Set(lone.pinged()).isSuperset(of: [57, 58, 59]))
    // One that has just answered is not asked again for another rumour.
    lone.wait(83)
    lone.detector.heardAnswer(from: 57, at: lone.now)
    lone.detector.heardOfSuspect(57, at: lone.now)
    #expect(!lone.pinged().contains(57))
  }

  @Test("a node sends a bounded number of messages a round, whatever the cluster's size", arguments: [2, 3, 12, 60])
  func constantWork(nodes: Int) {
    var cluster = DetectorCluster(nodes)
    cluster.run(3000)
    #expect(cluster.sentInRound.allSatisfy { $0 <= FailureDetector.probesMax })
    #expect(cluster.sentInRound.contains(min(FailureDetector.probesMax, (nodes + 1) / 2)))
    cluster.sentInRound = []
    // Half of the others fall silent: what that adds is bounded as well.
    cluster.passes = { $0.to <= nodes / 2 && $0.from <= nodes / 2 }
    cluster.run(4000)
    let most =
      FailureDetector.probesMax + FailureDetector.repeatsMax + FailureDetector.helpersMax * FailureDetector.targetsMax
    #expect(cluster.sentInRound.allSatisfy { $0 <= most })
  }

  @Test("traffic spares pings, but for one every two seconds or so, which tells the clock")
  func trafficSparesPings() {
    let lone = LoneDetector(peers: 2)
    var pings = [0, 0]
    for turn in 1...1000 {
      lone.wait(10)
      lone.detector.sentQuestion(to: 0, at: lone.now)
      lone.detector.heardAnswer(from: 0, at: lone.now)
      guard turn % 8 == 0 else { continue }
      for ping in lone.detector.round(at: lone.now, generator: &lone.generator).pings {
        pings[ping.peer] += 1
        _ = lone.detector.acknowledged(ping.sequence, by: ping.peer, at: lone.now)
      }
    }
    #expect((4...6).contains(pings[0]), "\(pings)")
    #expect(pings[1] >= 100)
  }

  @Test("under load the first request without an answer starts the clock")
  func doubtBeginsWithTheFirstRequest() {
    var cluster = DetectorCluster(12)
    cluster.run(1000)
    for _ in 0..<20 {
      cluster.post(1, 0, .question)
      cluster.run(10)
    }
    cluster.silence(0)
    let silentSince = cluster.now
    for _ in 0..<150 {
      cluster.post(1, 0, .question)
      cluster.run(10)
    }
    // The last answer is still on its way when the silence begins.
    let noticed = cluster.log.first { $0.node == 1 && $0.peer == 0 }
    #expect(noticed.map { $0.time - silentSince } == 1010)
  }

  @Test("of messages lost by chance nobody is suspected: at 5 % not once in two minutes of 12 nodes", arguments: 1...2)
  func lossMakesNoSuspect(seed: UInt64) {
    // A question and its answer are both lost or not with 0.0975; a peer is asked again every period, so that a false
    // suspicion takes eleven losses in a row, 8e-12.
    var cluster = DetectorCluster(12, seed: seed)
    cluster.lossPercent = 5
    cluster.run(60_000)
    #expect(cluster.log.isEmpty)
  }

  @Test("at 30 % loss, suspicions are rare, and end")
  func heavyLoss() {
    // 0.51 ** 11 = 6e-4 for each of some 26 questions a second and node.
    var cluster = DetectorCluster(5, seed: 8)
    cluster.lossPercent = 30
    cluster.run(60_000)
    #expect(cluster.log.filter { $0.state == .suspect }.count < 20)
    cluster.lossPercent = 0
    cluster.run(5000)
    for node in 0..<5 { for peer in 0..<5 { #expect(cluster.state(node, of: peer) == .reachable) } }
  }

  @Test("a cut of one way is seen from both sides, and by nobody else")
  func oneWayCut() {
    var cluster = DetectorCluster(4)
    cluster.run(1000)
    cluster.passes = { !($0.from == 0 && $0.to == 2) }
    cluster.run(1500)
    #expect(cluster.state(0, of: 2) == .suspect && cluster.state(2, of: 0) == .suspect)
    #expect(cluster.log.count == 2)
    // Node 0 still hears what node 2 says.
    #expect(cluster.nodes[0].isHeard(2, at: cluster.instant))
    #expect(!cluster.nodes[2].isHeard(0, at: cluster.instant))
  }

  @Test("what others reach is not usable from here, and not declared down; its connection is made anew once")
  func indirectEvidence() {
    var cluster = DetectorCluster(4)
    cluster.run(1000)
    cluster.passes = { !(Set([$0.from, $0.to]) == [0, 2]) }
    cluster.run(30_000)
    #expect(cluster.state(0, of: 2) == .suspect && cluster.state(2, of: 0) == .suspect)
    #expect([1, 3].contains(cluster.nodes[0].helper(of: 2, at: cluster.instant)))
    #expect(cluster.reconnects.map(\.node).sorted() == [0, 2])
    cluster.passes = { _ in true }
    cluster.run(200)
    #expect(cluster.state(0, of: 2) == .reachable && cluster.state(2, of: 0) == .reachable)
  }

  @Test("nothing heard for ten times suspect_after: down, its connection is made anew once, and it is asked less")
  func down() {
    var cluster = DetectorCluster(3)
    cluster.run(1000)
    cluster.silence(0)
    cluster.run(10_500)
    #expect(cluster.state(1, of: 0) == .suspect)
    cluster.run(1500)
    #expect(cluster.state(1, of: 0) == .down && cluster.state(2, of: 0) == .down)
    #expect(cluster.state(1, of: 2) == .reachable)
    var asked = 0
    cluster.passes = { letter in
      if letter.from == 1, letter.to == 0, case .ping = letter.kind { asked += 1 }
      return letter.from != 0 && letter.to != 0
    }
    cluster.run(60_000)
    #expect(cluster.reconnects.map(\.peer).filter { $0 == 0 }.count == 2, "by each of the others, once")
    #expect((60...85).contains(asked), "\(asked)")
    cluster.passes = { _ in true }
    cluster.run(300)
    #expect(cluster.state(1, of: 0) == .reachable, "it asks, and is asked for that")
  }

  @Test("a node that stood still is welcomed within two periods of its return", arguments: [1500, 3000, 9000, 25_000])
  func welcome(milliseconds: UInt64) {
    for seed in 1...UInt64(5) {
      var cluster = DetectorCluster(5, seed: seed)
      cluster.run(1000)
      cluster.stopped = [0]
      cluster.run(milliseconds + 10 * UInt64(cluster.random.below(30)))
      #expect((1...4).allSatisfy { cluster.state($0, of: 0) != .reachable })
      cluster.resume(0)
      cluster.run(2 * 83 + 10)
      for peer in 1...4 {
        #expect(cluster.state(peer, of: 0) == .reachable, "seed \(seed)")
        #expect(cluster.state(0, of: peer) == .reachable, "it suspects nobody for its own pause")
      }
      let changes = cluster.log.count
      cluster.run(3000)
      #expect(cluster.log.count == changes, "no flapping")
    }
  }

  @Test("old answers, and answers to questions from before the suspicion, make nobody reachable")
  func oldAnswers() {
    let lone = LoneDetector(peers: 1)
    let early = lone.ping()
    lone.wait(1000)
    #expect(lone.review() == [.suspected(0)])
    #expect(lone.acknowledge(early))
    lone.detector.heardAnswer(from: 0, at: lone.now)
    #expect(lone.state == .suspect)
    // Nor one that took as long as suspect_after.
    let slow = lone.ping()
    lone.wait(1000)
    #expect(lone.acknowledge(slow))
    #expect(lone.state == .suspect)
    #expect(lone.review() == [])
    let quick = lone.ping()
    #expect(!lone.acknowledge(quick + 1), "nobody asked that")
    lone.wait(999)
    #expect(lone.acknowledge(quick))
    #expect(lone.state == .reachable)
    #expect(!lone.acknowledge(quick), "repeated")
  }

  @Test("a peer that is always slower than suspect_after is suspected once and does not come and go")
  func slowPeer() {
    var cluster = DetectorCluster(3)
    cluster.run(1000)
    cluster.delay = { $0.from == 0 || $0.to == 0 ? 600 : 0 }
    cluster.run(30_000)
    for peer in 1...2 {
      #expect(cluster.state(peer, of: 0) == .suspect)
      #expect(cluster.log.filter { $0.node == peer && $0.peer == 0 }.count <= 1)
    }
  }

  @Test("who is suspected again and again answers once more each time to come back, eight times at most")
  func hysteresis() {
    let lone = LoneDetector(peers: 1)
    for round in 1...12 {
      #expect(lone.suspect() == [.suspected(0)])
      // Three that are sent together are one round trip, not three.
      let together = [lone.ping(), lone.ping(), lone.ping()]
      for ping in together { _ = lone.acknowledge(ping) }
      var answers = 1
      while lone.state == .suspect, answers < 20 {
        lone.pingAndAnswer()
        answers += 1
      }
      #expect(answers == min(round, FailureDetector.acknowledgementsMax))
    }
    // A minute later it is forgotten.
    lone.wait(FailureDetector.memoryMilliseconds)
    #expect(lone.suspect() == [.suspected(0)])
    lone.pingAndAnswer()
    #expect(lone.state == .reachable)
  }

  @Test("a row of answers is broken by one that does not come in time")
  func brokenRow() {
    let lone = LoneDetector(peers: 1)
    for round in 1...2 {
      #expect(lone.suspect() == [.suspected(0)])
      lone.pingAndAnswer()
      #expect((lone.state == .reachable) == (round == 1))
    }
    _ = lone.ping()
    lone.wait(1000)
    #expect(lone.review() == [])
    lone.pingAndAnswer()
    #expect(lone.state == .suspect)
    lone.pingAndAnswer()
    #expect(lone.state == .reachable)
  }

  @Test("a lost connection takes no judgement with it: a suspect is one still when it is connected again")
  func lostConnection() {
    let lone = LoneDetector(peers: 2)
    #expect(lone.suspect() == [.suspected(0)])
    let before = lone.ping()
    for peer in 0...1 { lone.detector.unwatch(peer) }
    lone.detector.sentQuestion(to: 1, at: lone.now)
    lone.wait(100_000)
    #expect(lone.review() == [])
    #expect(lone.pinged() == [])
    for peer in 0...1 { lone.detector.watch(peer, at: lone.now) }
    #expect(lone.review() == [], "what nobody could answer is forgotten, and time begins anew")
    _ = lone.acknowledge(before)
    #expect(lone.state == .suspect && lone.detector.state(1) == .reachable)
    #expect(lone.pinged() == [0, 1], "the one to come back, the other for its clock")
    #expect(lone.acknowledge(before + 1))
    #expect(lone.state == .reachable)
  }

  @Test("what this node did not hear while it stood still itself is held against nobody")
  func ownPause() {
    let lone = LoneDetector(peers: 1)
    _ = lone.ping()
    lone.wait(30_000)
    lone.detector.forgive(at: lone.now)
    #expect(lone.review() == [])
    lone.wait(999)
    #expect(lone.review() == [])
    lone.wait(1)
    #expect(lone.review() == [.suspected(0)])
    // Nor is a suspect declared down for it.
    lone.wait(30_000)
    lone.detector.forgive(at: lone.now)
    lone.wait(9999)
    #expect(lone.review() == [])
    lone.wait(1)
    #expect(lone.review() == [.declaredDown(0), .reconnect(0)])
  }
}
