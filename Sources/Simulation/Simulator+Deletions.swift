import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// What is looked at when a tombstone is forgotten, and ever after (DELETE protocol, PURGE). It may be forgotten only when
// the synced disk of every owner has it or something newer; then no owner that serves holds anything older of that key.

extension Simulator {
  /// Of so many turns in which something was forgotten, one is held against the disks of all owners: opening copies of
  /// them is slow.
  private static let probeInterval = 4
  /// Reviews between two looks into the engines.
  private static let lookInterval: UInt64 = 4

  /// After a turn: what the node has forgotten in it.
  func noteForgotten(by machine: Machine) {
    guard let purged = machine.node?.takePurges(), !purged.isEmpty else { return }
    let isProbed = deletionProbes.chance(1, in: Simulator.probeInterval)
    if keysByHash.isEmpty {
      for (key, name) in workload.keys.enumerated() {
        if let hash = machine.node?.position(of: name) { keysByHash[hash] = key }
      }
    }
    for purge in purged {
      guard let key = keysByHash[purge.hash] else { continue }
      note(.purge, machine, purge.tsn, "forgets the tombstone of k\(key) at \(purge.stamp), number \(purge.tsn)")
      if isProbed { checkForgettable(key, purge.stamp, machine) }
      history.forgot(key: key, stamp: purge.stamp)
      forgottenBy[machine.index][key] = max(forgottenBy[machine.index][key], purge.stamp)
    }
  }

  /// Every owner whose disk keeps what it has synced has it.
  private func checkForgettable(_ key: Int, _ stamp: Stamp, _ machine: Machine) {
    let name = workload.keys[key]
    for owner in reliableOwners(of: name) {
      let found = DiskContents(of: [name], on: machines[owner].platter.disk, losesPower: true).found[0]
      let held = found.stamp
      // It may have forgotten it before, on the same evidence. The value that expired has the stamp as well.
      guard held < stamp || found.isValue(stamp), held != .zero || forgottenBy[owner][key] < stamp else { continue }
      report(
        .forgottenTooSoon,
        "n\(machine.number) forgets the tombstone of key \(key) at \(stamp), and n\(owner + 1) would have the key at "
          + "\(held) after a power loss")
    }
  }

  /// What an owner has of a key, where a disk was read that may lack what it has forgotten.
  func reached(_ found: Stamp, _ key: Int) -> Stamp { found == .zero ? history.deletions.forgotten(key: key) : found }

  // MARK: - What owners hold

  /// No owner that serves holds anything below a tombstone that some owner has forgotten.
  func checkHeld() {
    reviews &+= 1
    guard reviews % Simulator.lookInterval == 0 else { return }
    for key in workload.keys.indices {
      let forgotten = history.deletions.forgotten(key: key)
      guard forgotten > .zero else { continue }
      for machine in machines where machine.state != .down && mayBeLookedAt(machine, key) {
        guard let stamp = machine.heldStamp(of: workload.keys[key]), stamp < forgotten else { continue }
        report(
          .resurrected,
          "n\(machine.number) holds key \(key) at \(stamp), and its tombstone at \(forgotten) was forgotten before"
            + history.carrier(of: stamp))
      }
    }
  }

  /// Nobody takes a store for an earlier state of itself that has kept all it said.
  func checkRegressions() {
    for machine in machines where options.faults.nodesThatForget == 0 || machine.index != forgetful.index {
      guard let regressions = machine.node?.counters.regressions, regressions > 0 else { continue }
      report(.fencedWithoutReason, "n\(machine.number) has fenced \(regressions) stores that had kept all they said")
    }
  }

  /// A machine that may be what it was earlier counts when all owners have looked at what it says.
  private func mayBeLookedAt(_ machine: Machine, _ key: Int) -> Bool {
    let name = workload.keys[key]
    guard machine.node?.role(of: name) == .active else { return false }
    guard history.rules.nodesThatForget > 0, machine.index == forgetful.index else { return true }
    guard let store = machine.node?.store(of: name), let owners = machine.node?.owners(of: name),
      let found = machine.node?.validatedWith(store)
    else { return false }
    return found.nonzeroBitCount >= owners.count
  }
}

extension Machine {
  /// The stamp of what its store has of this key now; nil when that is nothing, or cannot be told.
  func heldStamp(of key: ObjectKey) -> Stamp? {
    // On the disk itself, because the engine may have to open a file for it, and keeps it open; without its faults.
    let (blocks, dies) = (platter.disk.wouldBlockChance, platter.disk.diesAtOperation)
    (platter.disk.wouldBlockChance, platter.disk.diesAtOperation) = (0, nil)
    defer { (platter.disk.wouldBlockChance, platter.disk.diesAtOperation) = (blocks, dies) }
    return node?.held(key, on: &platter.disk)?.stamp
  }
}
