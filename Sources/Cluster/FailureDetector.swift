package import Primitives

// Which peers answer. A peer is judged by round trips alone: by answers to what this node asked it, for a peer that is
// heard but does not hear would be sent requests in vain (SWIM, Das et al. 2002; Docs/Decisions/
// 009-reachability-by-round-trips.md). A pure value: time and randomness are arguments, and peers are numbers from 0,
// the caller's positions. What is sent to whom to find out is in FailureDetector+Probes.swift; connections and
// handshakes are the caller's, who says with `watch` when a peer can be asked at all.

package struct FailureDetector: Sendable {
  package enum State: UInt8, Sendable {
    /// It answers: requests are sent to it.
    case reachable
    /// A question has waited for `suspect_after`: it is routed around, and asked until it answers again.
    case suspect
    /// Suspect, and nothing was heard of it since, by this node or another: asked ten times less.
    case down
  }

  /// What a review found.
  package enum Change: Equatable, Sendable {
    case suspected(Int)
    case declaredDown(Int)
    /// It has not answered for so long that its connection may be at fault: to be made anew, once until it answers.
    case reconnect(Int)
  }

  /// A peer that was suspected that often, or more, within the last minute must answer so many pings to come back.
  package static let acknowledgementsMax = 8
  /// Suspicions this old are forgotten.
  package static let memoryMilliseconds: UInt64 = 60_000
  /// A suspect is declared down after this many times `suspect_after` without any sign of life.
  package static let downFactor: UInt64 = 10

  struct Peer: Sendable {
    /// The handshake is done: it can be asked.
    var isWatched = false
    var state = State.reachable
    /// When the first question since its last answer was sent. Of a suspect: the one that it never answered.
    var awaitingSince: Instant?
    var lastAnswered: Instant?
    /// Any word at all: proves that it runs, not that it hears.
    var lastHeard: Instant?

    // Pings
    /// Of the last ping to it.
    var sequence: UInt64 = 0
    /// The highest that it has acknowledged.
    var acknowledged: UInt64 = 0
    var lastPinged: Instant?
    var lastAcknowledged: Instant?
    /// It is to be pinged with the next round: somebody suspects it, or a suspect was heard.
    var isUrgent = false
    /// Its place among peers that have waited equally long, drawn once.
    var order = 0

    // While it is not reachable
    var suspectedAt: Instant?
    /// Newest last, within the last minute, at most `acknowledgementsMax`.
    var suspicions: [Instant] = []
    /// Pings from here on count for its return.
    var countsFrom: UInt64 = 0
    /// When the first of them was sent that is not answered yet.
    var countsSince: Instant?
    /// Answered in a row, each sent after the one before was answered.
    var acknowledgements = 0
    /// Its connection was made anew since it last answered.
    var wasReconnected = false

    // Indirect probes
    var helpersAskedAt: Instant?
    var helpersAsked: UInt64 = 0
    var relayedBy: Int?
    var relayedAt: Instant?
  }

  package let suspectAfterMilliseconds: UInt64
  /// Between two rounds of probes: twelve rounds in `suspect_after`, but no more than one a tick and no less than one a
  /// second.
  package let periodMilliseconds: UInt64
  /// Suspicions of peers that had been reachable, since the start.
  package internal(set) var suspicionCount: UInt64 = 0
  var peers: [Peer]
  /// Numbers the requests to helpers.
  var requestSequence: UInt64 = 0

  package init(peers count: Int, suspectAfterMilliseconds: UInt64, generator: inout SeededGenerator) {
    self.suspectAfterMilliseconds = suspectAfterMilliseconds
    periodMilliseconds = min(max(suspectAfterMilliseconds / 12, 10), 1000)
    peers = [Peer](repeating: Peer(), count: count)
    // Nodes that start together must not all begin with the same peer.
    for (position, peer) in (0..<count).shuffled(using: &generator).enumerated() { peers[peer].order = position }
  }

  // MARK: - What happened

  /// The peer's handshake is done: it can be asked, and is as reachable as it was when it could last be asked.
  package mutating func watch(_ peer: Int, at now: Instant) {
    guard !peers[peer].isWatched else { return }
    peers[peer].isWatched = true
    if peers[peer].state == .reachable {
      peers[peer].awaitingSince = nil
      peers[peer].lastAnswered = now
    } else {
      if peers[peer].state == .suspect { peers[peer].suspectedAt = now }
      countAnew(peer)
      peers[peer].isUrgent = true
    }
  }

  /// The connection is lost, or another process speaks for the peer.
  package mutating func unwatch(_ peer: Int) {
    peers[peer].isWatched = false
    peers[peer].isUrgent = false
  }

  /// Something that wants an answer was sent.
  package mutating func sentQuestion(to peer: Int, at now: Instant) {
    if peers[peer].awaitingSince == nil { peers[peer].awaitingSince = now }
  }

  /// An answer to a request. It says nothing of a suspect: it may have waited in a connection since before.
  package mutating func heardAnswer(from peer: Int, at now: Instant) {
    guard peers[peer].state == .reachable else { return }
    peers[peer].awaitingSince = nil
    peers[peer].lastAnswered = now
  }

  /// Any word of the peer, an answer or not.
  package mutating func heard(from peer: Int, at now: Instant) {
    peers[peer].lastHeard = now
    if peers[peer].state == .down { showedLife(peer, at: now) }
  }

  /// A peer that was declared down runs, as somebody found out: it is a suspect again.
  mutating func showedLife(_ peer: Int, at now: Instant) {
    peers[peer].state = .suspect
    peers[peer].suspectedAt = now
    peers[peer].isUrgent = true
  }

  /// The answer to a ping. - Returns: whether it is the newest so far, not late or repeated.
  package mutating func acknowledged(_ sequence: UInt64, by peer: Int, at now: Instant) -> Bool {
    guard sequence <= peers[peer].sequence else { return false }
    guard sequence > peers[peer].acknowledged else { return false }
    peers[peer].acknowledged = sequence
    peers[peer].lastAcknowledged = now
    if peers[peer].state == .reachable {
      heardAnswer(from: peer, at: now)
    } else if peers[peer].isWatched, sequence >= peers[peer].countsFrom, isInTime(peer, at: now) {
      peers[peer].acknowledgements += 1
      peers[peer].countsFrom = peers[peer].sequence + 1
      peers[peer].countsSince = nil
      if peers[peer].acknowledgements >= acknowledgementsWanted(peer, at: now) { welcomeBack(peer, at: now) }
    }
    return true
  }

  private func isInTime(_ peer: Int, at now: Instant) -> Bool {
    peers[peer].countsSince.map { now.milliseconds(since: $0) < suspectAfterMilliseconds } ?? false
  }

  /// How many pings in a row a suspect must answer: as many as it was suspected within the last minute.
  func acknowledgementsWanted(_ peer: Int, at now: Instant) -> Int {
    max(1, peers[peer].suspicions.count { now.milliseconds(since: $0) < FailureDetector.memoryMilliseconds })
  }

  private mutating func welcomeBack(_ peer: Int, at now: Instant) {
    peers[peer].state = .reachable
    peers[peer].awaitingSince = nil
    peers[peer].lastAnswered = now
    peers[peer].suspectedAt = nil
    peers[peer].wasReconnected = false
    peers[peer].isUrgent = false
    peers[peer].relayedBy = nil
    peers[peer].relayedAt = nil
    peers[peer].helpersAskedAt = nil
  }

  /// What was sent so far counts no more for the peer's return.
  private mutating func countAnew(_ peer: Int) {
    peers[peer].countsFrom = peers[peer].sequence + 1
    peers[peer].countsSince = nil
    peers[peer].acknowledgements = 0
  }

  /// This node itself has stood still: what its peers answered meanwhile is still on its way.
  package mutating func forgive(at now: Instant) {
    for peer in peers.indices {
      if peers[peer].state == .reachable {
        if peers[peer].awaitingSince != nil { peers[peer].awaitingSince = now }
      } else {
        if peers[peer].state == .suspect { peers[peer].suspectedAt = now }
        if peers[peer].countsSince != nil { peers[peer].countsSince = now }
      }
    }
  }

  // MARK: - Judgement

  /// Suspects peers that owe an answer for too long, and declares those down of which nothing is heard. To be called
  /// at every tick. - Returns: the changes for the worse, in order of the peers; a return is seen in `state`.
  package mutating func review(at now: Instant) -> [Change] {
    var changes: [Change] = []
    for peer in peers.indices where peers[peer].isWatched {
      switch peers[peer].state {
      case .reachable:
        guard isOver(peers[peer].awaitingSince, suspectAfterMilliseconds, at: now) else { continue }
        suspect(peer, at: now)
        changes.append(.suspected(peer))
      case .suspect:
        restartCount(peer, at: now)
        let patience = FailureDetector.downFactor * suspectAfterMilliseconds
        if isOver(lastSign(of: peer), patience, at: now) {
          peers[peer].state = .down
          changes.append(.declaredDown(peer))
        }
        if !peers[peer].wasReconnected, isOver(peers[peer].suspectedAt, patience, at: now) {
          peers[peer].wasReconnected = true
          changes.append(.reconnect(peer))
        }
      case .down: restartCount(peer, at: now)
      }
    }
    return changes
  }

  private func isOver(_ since: Instant?, _ milliseconds: UInt64, at now: Instant) -> Bool {
    since.map { now.milliseconds(since: $0) >= milliseconds } ?? false
  }

  private mutating func suspect(_ peer: Int, at now: Instant) {
    suspicionCount += 1
    peers[peer].state = .suspect
    peers[peer].suspectedAt = now
    peers[peer].suspicions.removeAll { now.milliseconds(since: $0) >= FailureDetector.memoryMilliseconds }
    if peers[peer].suspicions.count == FailureDetector.acknowledgementsMax { peers[peer].suspicions.removeFirst() }
    peers[peer].suspicions.append(now)
    countAnew(peer)
  }

  /// A ping that is not answered in time breaks the row, and its answer comes too late to count.
  private mutating func restartCount(_ peer: Int, at now: Instant) {
    if peers[peer].countsSince != nil, !isInTime(peer, at: now) { countAnew(peer) }
  }

  /// The last evidence that a suspect runs, or else when it was suspected.
  private func lastSign(of peer: Int) -> Instant? {
    guard var sign = peers[peer].suspectedAt else { return nil }
    if let heard = peers[peer].lastHeard { sign = max(sign, heard) }
    if let relayed = peers[peer].relayedAt { sign = max(sign, relayed) }
    return sign
  }

  // MARK: - What is known

  package func state(_ peer: Int) -> State { peers[peer].state }

  package func lastHeard(_ peer: Int) -> Instant? { peers[peer].lastHeard }

  /// How long the peer has owed an answer, milliseconds; nil when it owes none.
  package func waitMilliseconds(_ peer: Int, at now: Instant) -> UInt64? {
    peers[peer].awaitingSince.map { now.milliseconds(since: $0) }
  }

  /// It does not answer, but its own words arrive: only the way to it is cut.
  package func isHeard(_ peer: Int, at now: Instant) -> Bool {
    peers[peer].lastHeard.map { now.milliseconds(since: $0) < suspectAfterMilliseconds } ?? false
  }

  /// Another peer that reaches it, as of the last three times that helpers were asked.
  package func helper(of peer: Int, at now: Instant) -> Int? {
    guard let at = peers[peer].relayedAt, now.milliseconds(since: at) < 3 * suspectAfterMilliseconds else { return nil }
    return peers[peer].relayedBy
  }
}
