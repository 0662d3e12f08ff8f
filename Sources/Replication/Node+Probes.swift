import Cluster
import Messages
import Primitives

// Finding out which peers answer: pings, their answers, pings for others, and what the peers' clocks say. Whom to ping
// and what an answer proves is decided by `FailureDetector`.

/// A ping on behalf of another node, until it is answered.
struct PingRelay: Sendable {
  let asker: Int
  let askerBootID: UInt64
  let requestSequence: UInt64
  let target: Int
  let pingSequence: UInt64
  let began: Instant
}

/// What a message is in an exchange that shows whether the peer answers.
enum PeerExchange { case question, answer, other }

extension PeerBody {
  /// Pings are counted where they are numbered.
  var exchange: PeerExchange {
    switch self {
    case .push(let push): push.wantsApplied || push.wantsSynced ? .question : .other
    case .read, .forward, .list, .compare, .pull: .question
    case .pushReply, .readReply, .forwardReply, .listReply, .compareReply, .pullReply: .answer
    case .hello, .helloReply, .ping, .pingReply, .pingRequest, .pingRelayed, .storeStates, .storeStatesReply: .other
    }
  }
}

extension Node where Disk: ~Copyable {
  /// Pings for others in progress at once; one more request is ignored.
  static var relaysMax: Int { 16 }
  /// Ticks come more often than this unless the node itself stands still.
  private static var stallMilliseconds: UInt64 { 250 }

  /// Before anybody is suspected: what the peers said while this node stood still is on its way.
  mutating func noticeStandstill(at now: Moment) {
    if now.instant.milliseconds(since: lastTick) > max(options.suspectAfterMilliseconds / 2, Self.stallMilliseconds) {
      peers.detector.forgive(at: now.instant)
      lastTick = now.instant
    }
  }

  /// Hello where the handshake is not done, and a round of probes when it is due.
  mutating func greetAndProbe(at now: Moment) {
    for index in peers.peers.indices where peers[index].linked {
      // A node without a cluster goes on asking: the word that one was founded may be lost.
      guard !peers[index].isGreeted || phase == .founding else { continue }
      let isDue =
        peers[index].helloSent.map { now.instant.milliseconds(since: $0) >= Self.helloMilliseconds } ?? true
      if isDue { sayHello(to: index, at: now) }
    }
    guard now.instant >= nextProbes else { return }
    nextProbes = nextProbes.adding(milliseconds: peers.detector.periodMilliseconds)
    if nextProbes <= now.instant { nextProbes = now.instant.adding(milliseconds: peers.detector.periodMilliseconds) }
    probe(at: now)
  }

  private mutating func probe(at now: Moment) {
    let round = peers.detector.round(at: now.instant, generator: &generator)
    for ping in round.pings { send(ping, at: now) }
    for request in round.requests {
      let body = PingRequest(
        bootID: bootID, target: peers[request.target].member.id, sequence: request.sequence)
      send(.pingRequest(body), to: peers[request.helper].member.id)
    }
  }

  mutating func send(_ ping: FailureDetector.Round.Ping, at now: Moment) {
    counters.probes += 1
    let isOver = peers[ping.peer].clockProbe.map { isLate($0.sent, at: now) } ?? true
    if isOver { peers[ping.peer].clockProbe = (ping.sequence, now.instant) }
    let suspects = peers.detector.suspects.filter { $0 != ping.peer }.map { peers[$0].member.id }
    let body = Ping(
      bootID: bootID, sequence: ping.sequence, suspects: suspects, edition: identity.told.edition)
    send(.ping(body), to: peers[ping.peer].member.id)
  }

  // MARK: - What peers say

  mutating func receivePing(_ ping: Ping, from index: Int, at now: Moment) {
    guard ping.bootID == peers[index].hello?.bootID else {
      // A boot whose hello was lost or overtaken: saying ours, without knowing it, asks for it.
      peers[index].hello = nil
      sayHello(to: index, at: now)
      return
    }
    let reply = PingReply(
      bootID: bootID, yourBootID: ping.bootID, sequence: ping.sequence, wallMilliseconds: now.wallMilliseconds)
    send(.pingReply(reply), to: peers[index].member.id)
    guard ping.sequence > peers[index].lastPingSequence else { return }
    peers[index].lastPingSequence = ping.sequence
    note(edition: ping.edition, of: index, at: now)
    for node in ping.suspects {
      if let suspect = peers.index(node) { peers.detector.heardOfSuspect(suspect, at: now.instant) }
    }
  }

  mutating func receivePingReply(_ reply: PingReply, from index: Int, at now: Moment) {
    if isOfDisplacedBoot(reply, index, at: now) { return }
    guard reply.bootID == peers[index].hello?.bootID, reply.yourBootID == bootID else { return }
    _ = peers.detector.acknowledged(reply.sequence, by: index, at: now.instant)
    if let probe = peers[index].clockProbe, probe.sequence == reply.sequence {
      peers[index].clockProbe = nil
      if !isLate(probe.sent, at: now) { noteClock(reply.wallMilliseconds, of: index, at: now) }
    }
    settleDoubt(of: index, upTo: reply.sequence)
    answerRelays(of: index, upTo: reply.sequence)
    if !peers[index].wasUp { reviewPeers(at: now) }
  }

  /// What tells a clock must not have been under way for long, by which it would be too old: what waited while this process
  /// stood still tells of the time before that. Only of an answer to a question it is known.
  private func isLate(_ sent: Instant, at now: Moment) -> Bool {
    now.instant.milliseconds(since: sent) >= options.suspectAfterMilliseconds
  }

  mutating func noteClock(_ wallMilliseconds: UInt64, of index: Int, at now: Moment) {
    peers[index].clockReference = (
      Int64(bitPattern: wallMilliseconds) - Int64(now.instant.nanoseconds / 1_000_000), now.instant
    )
  }

  // MARK: - For others

  mutating func receivePingRequest(_ request: PingRequest, from index: Int, at now: Moment) {
    guard request.bootID == peers[index].hello?.bootID else { return }
    relays.removeAll { now.instant.milliseconds(since: $0.began) >= options.suspectAfterMilliseconds }
    guard relays.count < Self.relaysMax, let target = peers.index(request.target), target != index,
      peers[target].isGreeted
    else { return }
    let ping = peers.detector.ping(target, at: now.instant)
    relays.append(
      PingRelay(
        asker: index, askerBootID: request.bootID, requestSequence: request.sequence, target: target,
        pingSequence: ping.sequence, began: now.instant))
    send(ping, at: now)
  }

  private mutating func answerRelays(of target: Int, upTo sequence: UInt64) {
    for relay in relays where relay.target == target && relay.pingSequence <= sequence {
      let relayed = PingRelayed(
        yourBootID: relay.askerBootID, target: peers[target].member.id, sequence: relay.requestSequence)
      send(.pingRelayed(relayed), to: peers[relay.asker].member.id)
    }
    relays.removeAll { $0.target == target && $0.pingSequence <= sequence }
  }

  mutating func receivePingRelayed(_ relayed: PingRelayed, from index: Int, at now: Moment) {
    guard relayed.yourBootID == bootID, let target = peers.index(relayed.target), target != index else { return }
    if peers.detector.relayed(target, by: index, sequence: relayed.sequence, at: now.instant) {
      counters.indirectAcknowledgements += 1
    }
  }
}
