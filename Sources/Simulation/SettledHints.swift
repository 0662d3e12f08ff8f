import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// An owner that is handed a hint below its floor settles it when no other owner has the write, and every one of them has
// said so (rule VALIDATED PULL, Docs/DeleteProtocol.md). One that had it on its disk for good from before the hint was sent
// until it was settled has not said so: then a copy was dropped that stood for an acknowledged write, and if that owner
// loses its own nobody has any.

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

  /// Who had the write when it was sent first.
  private var holders: [Handoff: [Holder]] = [:]

  func isKnown(_ handoff: Handoff) -> Bool { holders[handoff] != nil }
  mutating func sent(_ handoff: Handoff, holders found: [Holder]) { holders[handoff] = found }
  mutating func answered(_ handoff: Handoff) -> [Holder] { holders.removeValue(forKey: handoff) ?? [] }
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
      if settledHints.isKnown(handoff) { return }
      settledHints.sent(handoff, holders: holders(of: push.key, stamp, besides: peer))
    case .pushReply(let reply):
      guard let hint = wiretap.handoff(reply, to: peer.index) else { return }
      let handoff = SettledHints.Handoff(from: peer.index, to: machine.index, key: hint.key, stamp: hint.stamp)
      let holders = settledHints.answered(handoff)
      if reply.outcome == .handled { checkSettled(handoff, holders) }
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

  private func checkSettled(_ handoff: SettledHints.Handoff, _ holders: [SettledHints.Holder]) {
    let name = workload.keys[handoff.key]
    guard !holders.isEmpty else { return }
    // Who answers is in its turn as well.
    let own = DiskContents(of: [name], on: machines[handoff.to].platter.disk, losesPower: false).stamps[0]
    guard own < handoff.stamp else { return }
    let owners = reliableOwners(of: name)
    let holder = holders.first { holder in
      let machine = machines[holder.life.machine]
      guard holder.isDurable || machine.life == holder.life, owners.contains(machine.index) else { return false }
      let found = DiskContents(of: [name], on: machine.platter.disk, losesPower: true).found[0]
      guard case .version(let version) = found else { return false }
      return version.stamp == handoff.stamp && !version.isTombstone
    }
    // One that is overwritten or deleted somewhere stands for nothing any more.
    guard let holder, history.deletions.forgotten(key: handoff.key) < handoff.stamp,
      !machines.contains(where: { isSuperseded(handoff, on: $0) })
    else { return }
    report(
      .hintLost,
      "n\(handoff.to + 1) has settled a hint of n\(handoff.from + 1) for key \(handoff.key) at \(handoff.stamp), and does "
        + "not hold it: n\(holder.life.machine + 1) has held it all the time")
  }

  private func isSuperseded(_ handoff: SettledHints.Handoff, on machine: Machine) -> Bool {
    let name = workload.keys[handoff.key]
    return DurabilityProbe.find(name, on: machine.platter.disk, losesPower: false).newest > handoff.stamp
  }
}
