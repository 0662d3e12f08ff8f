import Cluster
import Primitives
import Replication
import Storage

// What disks do to a node: they are full for a while, a sync fails, a bit is flipped in what was synced, and an older
// copy of a disk is put in its place. The last two take from one machine at most in a run, and from one that holds all
// it should: what is acknowledged is promised by one node less in such a run, from the beginning
// (`QuorumRules.nodesThatForget`). A machine with flipped bits must find them and get from its peers what they took.

extension Simulator {
  /// Within this time after a sync has failed the node must have stopped, milliseconds.
  static let failedSyncMillisecondsMax: UInt64 = 10_000

  /// Somebody else writes until little is left on a machine's disk, and cleans up after a while.
  func fillDisk(_ draws: inout SeededGenerator) -> String? {
    let candidates = machines.filter { !$0.isStopping && !$0.isDamaged && $0.platter.disk.spaceLeft == nil }
    guard !candidates.isEmpty else { return nil }
    let machine = draws.pick(candidates)
    let left = draws.spaceLeft(reserve: Int(EngineOptions.reserveBytes(fileBytesMax: options.fileBytesMax)))
    machine.platter.disk.spaceLeft = left
    schedule(.emptyDisk(machine: machine.index), after: outage(&draws))
    return "the disk of n\(machine.number) has \(left) bytes left"
  }

  func emptyDisk(_ machine: Machine) {
    guard machine.platter.disk.spaceLeft != nil else { return }
    machine.platter.disk.spaceLeft = nil
    note(.fault, machine, 5, "its disk has room again")
  }

  /// The next sync fails. The node must stop; its machine then loses power before it starts again, because only that
  /// shows what became of the bytes.
  func failSync(_ draws: inout SeededGenerator) -> String? {
    guard let machine = victim(&draws), !machine.isDamaged else { return nil }
    machine.platter.disk.failsNextSync = true
    return "the next sync of n\(machine.number) fails"
  }

  /// Nobody may go on after a failed sync.
  func reviewFailedSync(_ machine: Machine) {
    guard machine.platter.disk.hasFailedSync else { return }
    guard let failed = machine.syncFailed else {
      machine.syncFailed = (now, machine.pauses)
      return
    }
    guard machine.pauses == failed.pauses, now.milliseconds(since: failed.at) > Simulator.failedSyncMillisecondsMax
    else { return }
    report(.unavailable, "n\(machine.number) still runs after a sync has failed")
  }

  /// The one machine of this run that may lose what it has synced.
  var forgetful: Machine { machines[Int(seed % UInt64(machines.count))] }

  func flipBit(_ draws: inout SeededGenerator) -> String? {
    let machine = forgetful
    guard machines.allSatisfy({ $0.hasServed || $0.isDamaged }), machine.doom == nil,
      !machine.platter.disk.failsNextSync, machine.platter.disk.spaceLeft == nil
    else { return nil }
    removeWhatWasSetAside(on: machine)
    let disk = machine.platter.disk
    let paths = disk.paths.filter { path in
      (path.hasSuffix(".data") || path.hasSuffix(".hint") || path.hasSuffix(".journal"))
        && !SimulatedDisk.isInside(path, Simulator.asideDirectory) && (disk.syncedLength(path) ?? 0) > 0
    }
    guard !paths.isEmpty else { return nil }
    // Files that are done are rare, and what is done about damage in them is a way of its own.
    let sealed = paths.filter { path in
      path.hasSuffix(".data") && paths.contains(String(path.dropLast(".data".count)) + ".hint")
    }
    let path = draws.pick(sealed.isEmpty || draws.chance(1, in: 2) ? paths : sealed)
    let offset = draws.below(disk.syncedLength(path) ?? 1)
    let bit = draws.below(8)
    guard machine.platter.disk.flipBit(bit, ofByte: offset, in: path) else { return nil }
    machine.isDamaged = true
    history.lost(machine: machine.index)
    promises.forget(machine.index)
    return "bit \(bit) of byte \(offset) of \(path) on n\(machine.number) is flipped"
  }

  /// An operator has looked at the directories of damaged stores and removes them, before a machine has as many as it
  /// keeps (`StorageLimits.setAsideMax`); only those that are there for good, where nothing is done to them any more.
  private func removeWhatWasSetAside(on machine: Machine) {
    let paths = machine.platter.disk.directories(in: Simulator.asideDirectory)
      .map { Simulator.asideDirectory + "/" + $0 }
      .filter { machine.platter.disk.durableDirectories.contains($0) }
    guard paths.count >= StorageLimits.setAsideMax / 4 else { return }
    for path in paths { machine.platter.disk.removeTree(path) }
    antiEntropyTally.rebuilds += paths.count
    note(.fault, machine, 11, "\(paths.count) directories of damaged stores are removed")
  }

  /// Whether damage is why a process of this machine ended or did not begin.
  func isDamage(_ error: StorageError, on machine: Machine) -> Bool {
    guard machine.isDamaged else { return false }
    switch error {
    case .damaged, .incompatible, .missing, .regressed: return true
    case .io, .locked: return false
    }
  }

  /// Only of a process that runs: put back, it finds that it did not stop cleanly, and issues no stamp under its old
  /// name. A copy of a node that stopped cleanly would go on with stamps that its later self has used.
  func takeSnapshot(_ draws: inout SeededGenerator) -> String? {
    let machine = forgetful
    guard snapshot == nil, machines.allSatisfy(\.hasServed), machine.state == .up, !machine.isStopping,
      machine.doom == nil
    else { return nil }
    var copy = machine.platter.disk
    copy.crash(using: &draws)
    copy.spaceLeft = nil
    snapshot = copy
    return "the disk of n\(machine.number) is copied"
  }

  func putSnapshotBack(_ draws: inout SeededGenerator) -> String? {
    let machine = forgetful
    guard let snapshot else { return nil }
    if machine.state != .down { crash(machine, losingPower: true, outage: outage(&draws)) }
    let spaceLeft = machine.platter.disk.spaceLeft
    if losesTombstonesUnnoticed(machine, by: snapshot) { history.losesDeletesUnnoticed() }
    promises.forget(machine.index)
    promises.forgetCursors(on: machine.index)
    // Its stores are others now.
    refills = RefillWatch()
    machine.platter.disk = snapshot
    machine.platter.disk.spaceLeft = spaceLeft
    history.lost(machine: machine.index)
    return "the disk of n\(machine.number) is what it was when it was copied"
  }
  /// Whether another owner would not see from what this machine says of its tombstones that it was put back: what it has
  /// forgotten then it has lost.
  private func losesTombstonesUnnoticed(_ machine: Machine, by snapshot: SimulatedDisk) -> Bool {
    let before = DiskContents(of: workload.keys, on: machine.platter.disk, losesPower: false)
    let after = DiskContents(of: workload.keys, on: snapshot, losesPower: true)
    let others = machines.filter { $0.index != machine.index }
      .map { DiskContents(of: [], on: $0.platter.disk, losesPower: true) }
    let store = { (key: Int) in self.machines.lazy.compactMap { $0.node?.store(of: self.workload.keys[key]) }.first }
    return workload.keys.indices.contains { key in
      guard case .version(let version) = before.found[key], version.isTombstone,
        after.found[key].stamp < version.stamp, let id = store(key),
        let now = after.stores.first(where: { $0.id == id })
      else { return false }
      return others.contains { other in
        guard let known = other.stores.first(where: { $0.id == id }) else { return false }
        let promise = known.promises.first { $0.peer == machine.member.id && $0.incarnation == now.incarnation }
        return promise.map { $0.tsnHead <= now.tsnHead } ?? true
      }
    }
  }
}
