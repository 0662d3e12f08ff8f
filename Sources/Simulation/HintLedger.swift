package import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// What nodes have said that they keep for others, and what must have become of it when nobody keeps anything any more:
// the owner has the write, or something newer. A hint counts from the moment at which its keeper says so, as far as the
// faults of the run let it keep what it said. Hints that a coordinator owes are told to nobody and promise nothing.

package struct HintLedger: Sendable {
  private let nodes: Int
  private let keys: Int
  /// Power losses happen: what is not synced is not kept.
  package let wantsSynced: Bool
  /// By owner, keeper and key; zero where nothing was kept.
  private var newest: [Stamp]

  package init(nodes: Int, keys: Int, wantsSynced: Bool) {
    self.nodes = nodes
    self.keys = keys
    self.wantsSynced = wantsSynced
    newest = Array(repeating: .zero, count: nodes * nodes * keys)
  }

  private func index(_ owner: Int, _ keeper: Int, _ key: Int) -> Int { (owner * nodes + keeper) * keys + key }

  /// `keeper` says that it keeps a version of `key`, or a newer one, for `owner`.
  package mutating func kept(_ stamp: Stamp, of key: Int, by keeper: Int, for owner: Int, synced: Bool) {
    guard synced || !wantsSynced else { return }
    let index = index(owner, keeper, key)
    newest[index] = max(newest[index], stamp)
  }

  /// Per key, what these keepers have promised to hand over to `owner`; nil where they have promised nothing.
  package func owed(to owner: Int, by keepers: [Int]) -> [Stamp]? {
    let stamps = (0..<keys).map { key in keepers.map { newest[index(owner, $0, key)] }.max() ?? .zero }
    return stamps.allSatisfy { $0 == .zero } ? nil : stamps
  }
}

extension Simulator {
  /// Those that keep what they have synced.
  private var reliable: [Int] {
    machines.indices.filter { history.rules.nodesThatForget == 0 || $0 != forgetful.index }
  }

  func reliableOwners(of key: ObjectKey) -> [Int] {
    // One that comes back with an empty disk knows no ring yet.
    let owners =
      machines.lazy.compactMap { $0.node?.isServing == true ? $0.node?.owners(of: key) : nil }.first ?? []
    return owners.map { Int($0.rawValue) - 1 }.filter { reliable.contains($0) }
  }

  /// The core keeps no hint for any of its own: each must have the writes that the others kept for it.
  func checkDeliveries() {
    let reliable = reliable.filter { core.contains($0) }
    for owner in reliable {
      guard let owed = wiretap.ledger.owed(to: owner, by: reliable.filter { $0 != owner }) else { continue }
      let held = DurabilityProbe.stamps(of: workload.keys, on: machines[owner].platter.disk, losesPower: false)
      for key in workload.keys.indices where reached(held[key], key) < owed[key] && !wiretap.isDismissed(owed[key]) {
        report(
          .hintLost,
          "no hint is left, and n\(owner + 1) has key \(key) at \(held[key]): \(owed[key]) was kept for it")
      }
    }
  }

  /// A node forgets a hint only when its owner has answered that it has the write, and then the write is on the owner's
  /// disk for good. One of four such answers is looked at, in turns in which every one of them made a hint go.
  func checkForgotten(_ machine: Machine, _ events: [Event]) {
    let delivered = machine.node?.counters.hintsDelivered ?? 0
    let waiting = machine.node?.hintsWaiting ?? 0
    let gone = machine.hintsWaiting - waiting
    let told = delivered - machine.hintsDelivered
    machine.hintsDelivered = delivered
    machine.hintsWaiting = waiting
    guard gone > 0 || told > 0, !machine.isDamaged else { return }
    var answers: [(owner: Int, hint: (key: Int, stamp: Stamp))] = []
    for case .peer(let message, let node) in events {
      guard case .pushReply(let reply) = message.body else { continue }
      if let hint = wiretap.handedOver(reply, to: machine.index) { answers.append((Int(node.rawValue) - 1, hint)) }
    }
    if gone > answers.count {
      report(.hintLost, "n\(machine.number) forgets \(gone) hints, and was told that \(answers.count) have arrived")
    }
    guard Int(told) == answers.count else { return }
    for (owner, hint) in answers where reliable.contains(owner) && operators.chance(1, in: 4) {
      let held = DurabilityProbe.stamps(
        of: [workload.keys[hint.key]], on: machines[owner].platter.disk, losesPower: true)
      guard reached(held[0], hint.key) < hint.stamp, !isKeptApart(hint.key, hint.stamp, by: owner) else { continue }
      report(
        .notDurable,
        "n\(machine.number) forgets a hint for n\(owner + 1), which would have key \(hint.key) at \(held[0]) after a "
          + "power loss, not at \(hint.stamp)")
    }
  }

  /// No owner has it, and this one keeps it where an operator finds it; a tombstone needs no keeping.
  private func isKeptApart(_ key: Int, _ stamp: Stamp, by owner: Int) -> Bool {
    guard wiretap.isDismissed(stamp) else { return false }
    let kept = DurabilityProbe.stamps(
      of: [workload.keys[key]], on: machines[owner].platter.disk, losesPower: true,
      in: .hints(for: machines[owner].member.id))
    return kept[0] >= stamp || history.isTombstone(stamp)
  }

  /// A node says that it keeps a hint: what it has ever said that it keeps of this key is on its disk, or on that of the
  /// owner by now. One of four is looked at.
  func checkKept(by keeper: Int, for owner: Int, key: Int) {
    guard reliable.contains(owner), reliable.contains(keeper), operators.chance(1, in: 4),
      let owed = wiretap.ledger.owed(to: owner, by: [keeper])
    else { return }
    let losesPower = wiretap.ledger.wantsSynced
    let name = [workload.keys[key]]
    let kept = DurabilityProbe.stamps(
      of: name, on: machines[keeper].platter.disk, losesPower: losesPower, in: .hints(for: machines[owner].member.id))
    guard kept[0] < owed[key] else { return }
    let held = DurabilityProbe.stamps(of: name, on: machines[owner].platter.disk, losesPower: losesPower)
    guard reached(held[0], key) < owed[key], !wiretap.isDismissed(owed[key]) else { return }
    report(
      .hintLost,
      "n\(keeper + 1) keeps key \(key) for n\(owner + 1) at \(kept[0]), n\(owner + 1) has it at \(held[0]): "
        + "\(owed[key]) was kept before")
  }

  /// Every key was read in full, and what was behind then has been sent what it lacked.
  func checkConvergence() {
    let held = core.map { DiskContents(of: workload.keys, on: machines[$0].platter.disk, losesPower: false) }
    for (key, name) in workload.keys.enumerated() {
      guard options.workload.kind != .unique || history.hasAcknowledged(key: key) else { continue }
      let owners = machines[core[0]].node?.owners(of: name).map { Int($0.rawValue) - 1 } ?? []
      let places = core.indices.filter {
        owners.contains(core[$0]) && !isHidden(held[$0], key, machines[core[$0]])
          && machines[core[$0]].node?.role(of: name) == .active
      }
      let newest = places.map { held[$0].found[key].stamp }.max() ?? .zero
      for place in places where reached(held[place].found[key].stamp, key) < newest {
        report(
          .notRepaired,
          "all was read, and n\(core[place] + 1) has key \(key) at \(held[place].found[key].stamp), "
            + "another owner at \(newest)")
      }
    }
  }
}
