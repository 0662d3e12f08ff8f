import Cluster
import Primitives
import Replication
import Storage

// What a machine loses while it is down: one store, the hints for one node, or all of its disk. Every such loss in a run
// is that of one machine, one that had come to be a whole member: what is acknowledged is promised by one node less from
// the beginning (`QuorumRules.nodesThatForget`). It may be hit again while it recovers.

extension Simulator {
  /// The machine that forgets, down; nil while it, or one of its peers, has not served yet.
  private func victimOfWipes(_ draws: inout SeededGenerator) -> Machine? {
    let machine = forgetful
    guard machines.allSatisfy(\.hasServed), !machine.isOut, machine.doom == nil else { return nil }
    if machine.state != .down { crash(machine, losingPower: false, outage: outage(&draws)) }
    return machine
  }

  func wipeStore(hints: Bool, _ draws: inout SeededGenerator) -> String? {
    guard let machine = victimOfWipes(&draws) else { return nil }
    let ofHints = machines.map { "\(StoreID.hints(for: $0.member.id))" }
    let stores = machine.platter.disk.directories(in: StorePath.stores(Simulator.directory))
      .filter { ofHints.contains($0) == hints }
    guard !stores.isEmpty else { return nil }
    let name = draws.pick(stores)
    machine.platter.disk.removeTree(StorePath.stores(Simulator.directory) + "/" + name)
    history.lost(machine: machine.index)
    promises.forget(machine.index)
    return "store \(name) of n\(machine.number) is removed"
  }

  func wipeNode(_ draws: inout SeededGenerator) -> String? {
    guard let machine = victimOfWipes(&draws) else { return nil }
    emptyDisk(machine, seed: draws.next())
    return "n\(machine.number) comes back with an empty disk"
  }

  /// Another disk is put in place of the machine's.
  func emptyDisk(_ machine: Machine, seed: UInt64) {
    let old = machine.platter.disk
    var disk = SimulatedDisk(seed: seed, root: Simulator.directory)
    disk.wouldBlockChance = old.wouldBlockChance
    disk.spaceLeft = old.spaceLeft
    machine.platter.disk = disk
    machine.isDamaged = false
    machine.actor = nil
    history.lost(machine: machine.index)
    promises.forget(machine.index)
  }

  /// Damaged data that a process does not start from: what an operator does about it is to begin with an empty disk.
  func replaceDisk(of machine: Machine) {
    note(.fault, machine, 6, "gets an empty disk: its data is damaged")
    if machine.state != .down { die(machine, losingPower: false) }
    emptyDisk(machine, seed: machine.generator.next())
    schedule(.boot(machine: machine.index), after: outage(&machine.generator))
  }
}
