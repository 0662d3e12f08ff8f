package import Primitives

// Whom to ask. Every round a node sends a bounded number of messages, whatever the size of the cluster:
//
//   probes        to the `probesMax` peers (or half of them, if that is less) that have proved nothing for longest. An
//                 answer to any request is a proof, so that traffic spares pings; a ping every two seconds remains, for
//                 the peers' clocks.
//   repeats       to at most `repeatsMax` peers that owe an answer, are suspected, or were heard of as suspects: every
//                 round again, so that lost messages alone make no suspect.
//   requests      to `helpersMax` other peers for each of at most `targetsMax` silent ones, once in `suspect_after`.
//
// How soon silence is noticed: a round comes every twelfth of `suspect_after`, and takes those whose last proof is half
// a period old, the oldest first. With k probes a round and P peers the first question that stays without an answer is
// sent at the latest P / k periods, rounded up, and half a period after the last proof; `suspect_after` later the peer
// is suspected. That is 1.375 times `suspect_after` for 12 nodes (P = 11, k = 3: 4.5 periods), two ticks of the driver
// not counted. With more nodes it grows by a period for every three, unless there is traffic or another node notices
// first: its pings name its suspects, and whoever hears of one pings it too. Peers are taken in the order of their last
// proof, not shuffled anew for every lap as SWIM does: a shuffle may put a peer first in one lap and last in the next,
// nearly two laps apart.

extension FailureDetector {
  package static let probesMax = 3
  package static let repeatsMax = 3
  package static let helpersMax = 2
  package static let targetsMax = 2
  /// Names of suspects that a ping carries.
  package static let suspectsToldMax = 8
  /// A peer that answers requests is pinged all the same when it has acknowledged no ping for this long.
  package static let clockMilliseconds: UInt64 = 2000

  var probesPerRound: Int { min(FailureDetector.probesMax, (peers.count + 1) / 2) }

  /// What one round sends.
  package struct Round: Equatable, Sendable {
    package struct Ping: Equatable, Sendable {
      package let peer: Int
      package let sequence: UInt64
    }
    /// `helper` is asked to ping `target` and to say so when it is acknowledged.
    package struct Request: Equatable, Sendable {
      package let helper: Int
      package let target: Int
      package let sequence: UInt64
    }
    package var pings: [Ping] = []
    package var requests: [Request] = []
    package init() {}
  }

  /// The messages of a round. To be called once a period, also late.
  package mutating func round(at now: Instant, generator: inout SeededGenerator) -> Round {
    var round = Round()
    let repeats = first(FailureDetector.repeatsMax) { wantsRepeat($0, at: now) ? peers[$0].lastPinged ?? .start : nil }
    for peer in repeats { round.pings.append(ping(peer, at: now)) }
    // Who was pinged just now has nothing to prove in this round.
    for peer in first(probesPerRound, { proof(of: $0, at: now) }) {
      round.pings.append(ping(peer, at: now))
    }
    let targets = first(FailureDetector.targetsMax) {
      wantsHelp($0, at: now) ? peers[$0].helpersAskedAt ?? .start : nil
    }
    for target in targets { askHelpers(for: target, at: now, &round.requests, &generator) }
    return round
  }

  /// Numbers a ping that is sent now. Pings outside of a round, for others, are numbered here too.
  package mutating func ping(_ peer: Int, at now: Instant) -> Round.Ping {
    peers[peer].sequence += 1
    peers[peer].lastPinged = now
    peers[peer].isUrgent = false
    if peers[peer].state != .reachable, peers[peer].countsSince == nil { peers[peer].countsSince = now }
    sentQuestion(to: peer, at: now)
    return Round.Ping(peer: peer, sequence: peers[peer].sequence)
  }

  /// Another node suspects the peer.
  package mutating func heardOfSuspect(_ peer: Int, at now: Instant) {
    guard peers[peer].isWatched, peers[peer].state == .reachable else { return }
    if age(peers[peer].lastPinged, at: now) >= periodMilliseconds,
      age(peers[peer].lastAnswered, at: now) >= periodMilliseconds
    {
      peers[peer].isUrgent = true
    }
  }

  /// A helper's ping was acknowledged by the target. - Returns: whether that was news; it never makes the target
  /// reachable from here, and keeps it from being declared down.
  package mutating func relayed(_ target: Int, by helper: Int, sequence: UInt64, at now: Instant) -> Bool {
    guard peers[target].helpersAskedAt != nil, peers[target].helpersAsked == sequence else { return false }
    peers[target].relayedBy = helper
    peers[target].relayedAt = now
    if peers[target].state == .down { showedLife(target, at: now) }
    return true
  }

  /// The peers that this node suspects, those first that it suspected last.
  package var suspects: [Int] {
    var found = peers.indices.filter { peers[$0].isWatched && peers[$0].state == .suspect }
    found.sort { (peers[$0].suspectedAt ?? .start, $0) > (peers[$1].suspectedAt ?? .start, $1) }
    return Array(found.prefix(FailureDetector.suspectsToldMax))
  }

  // MARK: - Who is due

  /// The `count` peers whose time is earliest, of those that have one.
  private func first(_ count: Int, _ time: (Int) -> Instant?) -> [Int] {
    var due: [(time: Instant, order: Int, peer: Int)] = []
    for peer in peers.indices where peers[peer].isWatched {
      if let time = time(peer) { due.append((time, peers[peer].order, peer)) }
    }
    due.sort { ($0.time, $0.order) < ($1.time, $1.order) }
    return due.prefix(count).map(\.peer)
  }

  /// Rounds come a little early and late: what happened less than half a period ago belongs to this one.
  private func isOfThisRound(_ instant: Instant?, at now: Instant) -> Bool {
    age(instant, at: now) < (periodMilliseconds + 1) / 2
  }

  private func wantsRepeat(_ peer: Int, at now: Instant) -> Bool {
    guard !isOfThisRound(peers[peer].lastPinged, at: now) else { return false }
    if peers[peer].isUrgent { return true }
    switch peers[peer].state {
    case .reachable: return !isOfThisRound(peers[peer].awaitingSince ?? now, at: now)
    case .suspect: return true
    case .down: return age(peers[peer].lastPinged, at: now) >= 10 * periodMilliseconds
    }
  }

  /// When a reachable peer last proved that it is, or was last asked to, if that is so long ago that it is to be asked.
  private func proof(of peer: Int, at now: Instant) -> Instant? {
    guard peers[peer].state == .reachable else { return nil }
    let last = max(peers[peer].lastAnswered ?? .start, peers[peer].lastPinged ?? .start)
    if !isOfThisRound(last, at: now) { return last }
    let isClockOld =
      age(peers[peer].lastAcknowledged, at: now) >= FailureDetector.clockMilliseconds
      && age(peers[peer].lastPinged, at: now) >= FailureDetector.clockMilliseconds / 2
    return isClockOld ? peers[peer].lastAcknowledged ?? .start : nil
  }

  /// Half of the time until it is suspected, and then regularly, so that it is known who reaches it when it is told.
  private func wantsHelp(_ peer: Int, at now: Instant) -> Bool {
    let isSilent = age(peers[peer].awaitingSince ?? now, at: now) >= suspectAfterMilliseconds / 2
    guard peers[peer].state != .reachable || isSilent else { return false }
    let pause = peers[peer].state == .down ? 10 * suspectAfterMilliseconds : suspectAfterMilliseconds
    return age(peers[peer].helpersAskedAt, at: now) >= pause
  }

  private mutating func askHelpers(
    for target: Int, at now: Instant, _ requests: inout [Round.Request], _ generator: inout SeededGenerator
  ) {
    let helpers = peers.indices.filter {
      $0 != target && peers[$0].isWatched && peers[$0].state == .reachable
        && age(peers[$0].awaitingSince ?? now, at: now) < suspectAfterMilliseconds / 2
    }
    guard !helpers.isEmpty else { return }
    requestSequence += 1
    peers[target].helpersAskedAt = now
    peers[target].helpersAsked = requestSequence
    for helper in helpers.shuffled(using: &generator).prefix(FailureDetector.helpersMax) {
      requests.append(Round.Request(helper: helper, target: target, sequence: requestSequence))
    }
  }

  /// Milliseconds since then; for ever, if it never was.
  private func age(_ instant: Instant?, at now: Instant) -> UInt64 {
    instant.map { now.milliseconds(since: $0) } ?? .max
  }
}

extension Instant {
  /// Before everything.
  fileprivate static let start = Instant(nanoseconds: 0)
}
