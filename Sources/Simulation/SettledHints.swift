import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// An owner that is handed a hint below its floor settles it when no other owner has the write, and every one of them has
// said so (rule VALIDATED PULL, Docs/DeleteProtocol.md). One that was not heard since the hint was sent has not said so, nor
// one that had it on its disk for good from then until it was settled: then a copy was dropped that may stand, or does
// stand, for an acknowledged write, and if that owner loses its own nobody has any.

struct SettledHints {
  struct Handoff: Hashable {
    let from: Int
    let to: Int
    let key: Int
    let stamp: Stamp
  }

  struct Holder {
    let life: Life
    /// On its disk for good: whatever becomes of this life, it has the write.
    let isDurable: Bool
  }

  private struct Question: Hashable {
    let asker: Int
    let operation: UInt64
  }

  private struct Place: Hashable {
    let asker: Int
    let hash: UInt64
  }

  /// Who had the write when it was sent first.
  private var holders: [Handoff: [Holder]] = [:]
  /// When it was sent first: it may be sent many times, and every one of those answered late, upon one pull.
  private var sent: [Handoff: Instant] = [:]
  /// What a node has asked all other owners of a key.
  private var questions: [Question: UInt64] = [:]
  /// When each node last told one that asks what it has of a key, by node.
  private var told: [Place: [Int: Instant]] = [:]

  func isKnown(_ handoff: Handoff) -> Bool { holders[handoff] != nil }
  mutating func note(_ handoff: Handoff, holders found: [Holder]) { holders[handoff] = found }
  mutating func answered(_ handoff: Handoff) -> [Holder] { holders.removeValue(forKey: handoff) ?? [] }

  mutating func note(_ handoff: Handoff, sentAt now: Instant) { if sent[handoff] == nil { sent[handoff] = now } }
  func firstSent(_ handoff: Handoff) -> Instant? { sent[handoff] }

  mutating func note(_ pull: PeerPull, by asker: Int) {
    guard pull.wantsDurable, case .items(let items) = pull.subject, let item = items.first else { return }
    questions[Question(asker: asker, operation: pull.operation)] = item.hash
  }

  mutating func note(_ reply: PeerPullReply, by node: Int, to asker: Int, at now: Instant) {
    guard case .page = reply.outcome, let hash = questions[Question(asker: asker, operation: reply.operation)]
    else { return }
    told[Place(asker: asker, hash: hash), default: [:]][node] = now
  }

  /// Whether the node has told so since then.
  func hasTold(_ node: Int, to asker: Int, _ hash: UInt64, since: Instant) -> Bool {
    told[Place(asker: asker, hash: hash)]?[node].map { $0 >= since } ?? false
  }
}

extension Simulator {
  /// A message leaves a node.
  func checkSettled(_ message: PeerMessage, from machine: Machine, to peer: Machine) {
    switch message.body {
    case .push(let push):
      guard push.kind == .handoff, !push.version.isTombstone, let key = workload.keys.firstIndex(of: push.key) else {
        return
      }
      let stamp = push.version.stamp
      let handoff = SettledHints.Handoff(from: machine.index, to: peer.index, key: key, stamp: stamp)
      settledHints.note(handoff, sentAt: now)
      if settledHints.isKnown(handoff) { return }
      settledHints.note(handoff, holders: holders(of: push.key, stamp, besides: peer))
    case .pushReply(let reply):
      guard let hint = wiretap.handoff(reply, to: peer.index) else { return }
      let handoff = SettledHints.Handoff(from: peer.index, to: machine.index, key: hint.key, stamp: hint.stamp)
      let holders = settledHints.answered(handoff)
      guard reply.outcome == .handled, let since = settledHints.firstSent(handoff) else { return }
      checkSettled(handoff, holders, since: since)
    case .pull(let pull): settledHints.note(pull, by: machine.index)
    case .pullReply(let pull): settledHints.note(pull, by: machine.index, to: peer.index, at: now)
    default: return
    }
  }

  private func holders(of key: ObjectKey, _ stamp: Stamp, besides owner: Machine) -> [SettledHints.Holder] {
    machines.compactMap { machine in
      guard machine.index != owner.index else { return nil }
      // Nobody is looked at through an engine: one that is in its turn may just have asked for bytes of a file.
      let disk = machine.platter.disk
      let isDurable = DurabilityProbe.find(key, on: disk, losesPower: true).newest == stamp
      guard isDurable || DurabilityProbe.find(key, on: disk, losesPower: false).newest == stamp else { return nil }
      return SettledHints.Holder(life: machine.life, isDurable: isDurable)
    }
  }

  private func checkSettled(_ handoff: SettledHints.Handoff, _ holders: [SettledHints.Holder], since: Instant) {
    let name = workload.keys[handoff.key]
    // Who answers is in its turn as well.
    let own = DiskContents(of: [name], on: machines[handoff.to].platter.disk, losesPower: false).stamps[0]
    guard own < handoff.stamp else { return }
    let text =
      "n\(handoff.to + 1) has settled a hint of n\(handoff.from + 1) for key \(handoff.key) at \(handoff.stamp), and does not "
      + "hold it"
    if let silent = silentOwner(of: name, handoff, since: since) {
      return report(.hintLost, "\(text): n\(silent + 1) has not told what it has of it")
    }
    guard let holder = holder(of: name, handoff, holders) else { return }
    report(.hintLost, "\(text): n\(holder + 1) has held it all the time")
  }

  /// Another owner that has not told what it has of the key since the hint was sent.
  private func silentOwner(of name: ObjectKey, _ handoff: SettledHints.Handoff, since: Instant) -> Int? {
    let machine = machines[handoff.to]
    guard let hash = machine.node?.position(of: name), let owners = machine.node?.owners(of: name) else { return nil }
    return owners.map { Int($0.rawValue) - 1 }.first { owner in
      owner != handoff.to && !settledHints.hasTold(owner, to: handoff.to, hash, since: since)
    }
  }

  private func holder(of name: ObjectKey, _ handoff: SettledHints.Handoff, _ holders: [SettledHints.Holder]) -> Int? {
    // One that is overwritten or deleted somewhere stands for nothing any more.
    guard !holders.isEmpty, history.deletions.forgotten(key: handoff.key) < handoff.stamp,
      !machines.contains(where: { isSuperseded(handoff, on: $0) })
    else { return nil }
    let owners = reliableOwners(of: name)
    return holders.first { holder in
      let machine = machines[holder.life.machine]
      guard holder.isDurable || machine.life == holder.life, owners.contains(machine.index) else { return false }
      let found = DiskContents(of: [name], on: machine.platter.disk, losesPower: true).found[0]
      guard case .version(let version) = found else { return false }
      return version.stamp == handoff.stamp && !version.isTombstone
    }?.life.machine
  }

  private func isSuperseded(_ handoff: SettledHints.Handoff, on machine: Machine) -> Bool {
    let name = workload.keys[handoff.key]
    return DurabilityProbe.find(name, on: machine.platter.disk, losesPower: false).newest > handoff.stamp
  }
}
