import Cluster
import Primitives

// A cluster of failure detectors that exchange nothing but pings, over a network that tests can break. Times are in
// milliseconds; one step is a tick of 10, and messages take one.

struct DetectorCluster {
  struct Letter { let from: Int, to: Int, kind: Kind }
  enum Kind {
    case ping(UInt64, suspects: [Int])
    case reply(UInt64)
    case request(target: Int, UInt64)
    case relayed(target: Int, UInt64)
    case question, answer
  }

  let count: Int
  let suspectAfter: UInt64
  var nodes: [FailureDetector] = []
  private var generators: [SeededGenerator] = []
  private var nextRound: [UInt64]
  private var onTheWay: [Letter] = []
  private var relays: [(helper: Int, asker: Int, target: Int, request: UInt64, ping: UInt64)] = []
  var random: SeededGenerator
  private(set) var now: UInt64 = 1_000_000
  /// Whether a message arrives.
  var passes: (Letter) -> Bool = { _ in true }
  /// Nodes that stand still, and what waits for them.
  var stopped: Set<Int> = []
  private var waiting: [Letter] = []
  /// When a node's view of another became worse or better, oldest first.
  var log: [(time: UInt64, node: Int, peer: Int, state: FailureDetector.State)] = []
  var reconnects: [(time: UInt64, node: Int, peer: Int)] = []
  var sentInRound: [Int] = []
  var lossPercent = 0
  /// How long messages take beyond a tick.
  var late: [(due: UInt64, letter: Letter)] = []
  var delay: (Letter) -> UInt64 = { _ in 0 }

  init(_ count: Int, seed: UInt64 = 1, suspectAfter: UInt64 = 1000) {
    self.count = count
    self.suspectAfter = suspectAfter
    random = SeededGenerator(seed: seed)
    nextRound = []
    for _ in 0..<count {
      var generator = SeededGenerator(seed: random.next())
      nodes.append(FailureDetector(peers: count, suspectAfterMilliseconds: suspectAfter, generator: &generator))
      generators.append(generator)
      nextRound.append(now + UInt64(random.below(Int(suspectAfter / 10))))
    }
    for node in 0..<count { for peer in 0..<count where peer != node { nodes[node].watch(peer, at: instant) } }
  }

  var instant: Instant { Instant(nanoseconds: now * 1_000_000) }

  mutating func run(_ milliseconds: UInt64) {
    let end = now + milliseconds
    while now < end {
      now += 10
      deliver()
      for node in 0..<count where !stopped.contains(node) { tick(node) }
    }
  }

  private mutating func tick(_ node: Int) {
    for change in nodes[node].review(at: instant) {
      switch change {
      case .suspected(let peer): log.append((now, node, peer, .suspect))
      case .declaredDown(let peer): log.append((now, node, peer, .down))
      case .reconnect(let peer): reconnects.append((now, node, peer))
      }
    }
    guard now >= nextRound[node] else { return }
    nextRound[node] += nodes[node].periodMilliseconds
    let round = nodes[node].round(at: instant, generator: &generators[node])
    sentInRound.append(round.pings.count + round.requests.count)
    let suspects = nodes[node].suspects
    for ping in round.pings { post(node, ping.peer, .ping(ping.sequence, suspects: suspects)) }
    for request in round.requests { post(node, request.helper, .request(target: request.target, request.sequence)) }
  }

  mutating func post(_ from: Int, _ to: Int, _ kind: Kind) {
    let letter = Letter(from: from, to: to, kind: kind)
    if case .question = kind { nodes[from].sentQuestion(to: to, at: instant) }
    guard passes(letter), !random.chance(lossPercent, in: 100) else { return }
    let extra = delay(letter)
    if extra > 0 { late.append((now + extra, letter)) } else { onTheWay.append(letter) }
  }

  private mutating func deliver() {
    let letters = onTheWay + late.filter { $0.due <= now }.map(\.letter)
    late.removeAll { $0.due <= now }
    onTheWay = []
    for letter in letters {
      if stopped.contains(letter.to) { waiting.append(letter) } else { receive(letter) }
    }
  }

  /// The node runs again, and takes what has waited for it.
  mutating func resume(_ node: Int) {
    stopped.remove(node)
    nodes[node].forgive(at: instant)
    nextRound[node] = now
    let mine = waiting.filter { $0.to == node }
    waiting.removeAll { $0.to == node }
    for letter in mine { receive(letter) }
  }

  private mutating func receive(_ letter: Letter) {
    let (node, peer) = (letter.to, letter.from)
    let before = nodes[node].state(peer)
    nodes[node].heard(from: peer, at: instant)
    switch letter.kind {
    case .ping(let sequence, let suspects):
      post(node, peer, .reply(sequence))
      for suspect in suspects where suspect != node { nodes[node].heardOfSuspect(suspect, at: instant) }
    case .reply(let sequence):
      _ = nodes[node].acknowledged(sequence, by: peer, at: instant)
      for relay in relays where relay.helper == node && relay.target == peer && relay.ping <= sequence {
        post(node, relay.asker, .relayed(target: peer, relay.request))
      }
      relays.removeAll { $0.helper == node && $0.target == peer && $0.ping <= sequence }
    case .request(let target, let request):
      let ping = nodes[node].ping(target, at: instant)
      relays.append((node, peer, target, request, ping.sequence))
      post(node, target, .ping(ping.sequence, suspects: []))
    case .relayed(let target, let request):
      _ = nodes[node].relayed(target, by: peer, sequence: request, at: instant)
    case .question: post(node, peer, .answer)
    case .answer: nodes[node].heardAnswer(from: peer, at: instant)
    }
    if nodes[node].state(peer) != before { log.append((now, node, peer, nodes[node].state(peer))) }
  }

  func state(_ node: Int, of peer: Int) -> FailureDetector.State { nodes[node].state(peer) }

  /// Nothing that this node sends arrives, or nothing that is sent to it.
  mutating func silence(_ node: Int) { passes = { $0.from != node && $0.to != node } }
}

/// One detector, driven by hand.
final class LoneDetector {
  var detector: FailureDetector
  var generator = SeededGenerator(seed: 3)
  var now = Instant(nanoseconds: 5_000_000_000)

  init(peers: Int) {
    detector = FailureDetector(peers: peers, suspectAfterMilliseconds: 1000, generator: &generator)
    for peer in 0..<peers { detector.watch(peer, at: now) }
  }

  func wait(_ milliseconds: UInt64) { now = now.adding(milliseconds: milliseconds) }
  func review() -> [FailureDetector.Change] { detector.review(at: now) }
  func pinged() -> [Int] { detector.round(at: now, generator: &generator).pings.map(\.peer) }
  /// The number of a ping to the only peer.
  func ping() -> UInt64 { detector.ping(0, at: now).sequence }
  func acknowledge(_ sequence: UInt64) -> Bool { detector.acknowledged(sequence, by: 0, at: now) }
  func pingAndAnswer() {
    let sequence = ping()
    _ = acknowledge(sequence)
  }
  /// A question to the first peer that is not answered.
  func suspect() -> [FailureDetector.Change] {
    detector.sentQuestion(to: 0, at: now)
    wait(1000)
    return review()
  }
  var state: FailureDetector.State { detector.state(0) }
}
