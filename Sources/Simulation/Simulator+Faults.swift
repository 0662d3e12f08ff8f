import Primitives
import Replication
import Storage

// What goes wrong: processes that are killed, machines that lose power, processes that stand still, clean restarts,
// cuts and resets in the network, clocks that jump, disks that others fill. Every outage ends by itself after a while.

extension Simulator {
  func beginFaults() {
    for fault in Fault.allCases { scheduleNext(fault) }
  }

  private func scheduleNext(_ fault: Fault) {
    if let gap = faults.gap(fault) { schedule(.strike(fault), after: gap) }
  }

  var isFaulty: Bool {
    if case .faults = phase { return true }
    return phase == .bootstrap && options.faults.duringBootstrap
  }

  func strike(_ fault: Fault) {
    guard isFaulty else { return }
    let hasStruck =
      switch fault {
      case .kill: kill(losingPower: false)
      case .powerLoss: kill(losingPower: true)
      case .shutdown: shutDown()
      case .blackout: blackOut()
      case .pause: pause()
      case .cut: cut()
      case .reset: reset()
      case .clockJump: jumpClock()
      case .fullDisk: fillDisk()
      }
    if hasStruck { faultCounts[fault.rawValue] += 1 }
    scheduleNext(fault)
  }

  /// A machine that is up, unless as many are down already as this run allows.
  private func victim() -> Machine? {
    let up = machines.filter { $0.state == .up && !$0.isStopping && $0.doom == nil }
    guard !up.isEmpty, machines.count - up.count < options.faults.downMax else { return nil }
    return faults.generator.pick(up)
  }

  private func kill(losingPower: Bool) -> Bool {
    guard let machine = victim() else { return false }
    if faults.generator.chance(1, in: 2) {
      doom(machine, losingPower ? .powerLoss : .kill, within: 60)
      return true
    }
    crash(machine, losingPower: losingPower)
    return true
  }

  /// Some operation of the disk, soon, will be the last one of this process, and be done by half.
  func doom(_ machine: Machine, _ doom: Machine.Doom, within operations: Int) {
    note(.fault, machine, 4, "will die within \(operations) disk operations")
    machine.doom = doom
    machine.platter.disk.diesAtOperation =
      machine.platter.disk.operationCount + 1 + faults.generator.below(operations)
  }

  /// Ends a process whose disk has died under it; true when it has. What it wanted to say next is never said.
  func dies(_ machine: Machine) -> Bool {
    guard let doom = machine.doom, machine.platter.disk.isDead else { return false }
    crash(machine, losingPower: doom == .powerLoss)
    return true
  }

  func crash(_ machine: Machine, losingPower: Bool) {
    note(.crash, machine, losingPower ? 1 : 0, losingPower ? "loses power" : "is killed")
    die(machine, losingPower: losingPower)
    schedule(.boot(machine: machine.index), after: faults.outage())
  }

  private func blackOut() -> Bool {
    for machine in machines where machine.state != .down { crash(machine, losingPower: true) }
    return true
  }

  private func shutDown() -> Bool {
    guard let machine = victim() else { return false }
    note(.fault, machine, 2, "is told to stop")
    machine.isStopping = true
    deliver(.shutdown, to: machine)
    schedule(.stopLate(machine.life, pauses: machine.pauses), after: 30_000_000_000)
    return true
  }

  func stopLate(_ life: Life, pauses: Int) {
    guard let machine = machine(life), machine.pauses == pauses else { return }
    report(.unavailable, "n\(machine.number) was told to stop and still runs after 30 seconds")
  }

  private func pause() -> Bool {
    guard let machine = victim() else { return false }
    note(.fault, machine, 3, "stands still")
    machine.state = .paused
    machine.pauses += 1
    schedule(.resume(machine.life), after: faults.outage())
    return true
  }

  private func cut() -> Bool {
    let paths = faults.cutPaths(nodes: machines.count)
    for path in paths {
      network.cut(path)
      note(.fault, machines[path.from], UInt64(path.to), "does not reach n\(path.to + 1)")
    }
    schedule(.heal(paths), after: faults.outage())
    return true
  }

  private func reset() -> Bool {
    let one = faults.generator.below(machines.count)
    let other = (one + 1 + faults.generator.below(machines.count - 1)) % machines.count
    guard machines[one].state != .down else { return false }
    drop(machines[one], to: other)
    return true
  }

  /// A wall clock moves. Beyond what the cluster tolerates only a minority may be wrong at once.
  private func jumpClock() -> Bool {
    let bound = options.clocks.jumpMillisecondsMax
    guard bound > 0 else { return false }
    let minority = (machines.count - 1) / 2
    let machine = machines[faults.generator.below(bound > 20_000 ? minority : machines.count)]
    let target = faults.generator.number(in: -bound...bound)
    machine.clock.jump(byMilliseconds: target - machine.clock.offsetMilliseconds)
    note(.fault, machine, UInt64(bitPattern: Int64(target)), "its clock is \(target) ms off")
    return true
  }

  /// Somebody else writes until little is left on a machine's disk, and cleans up after a while.
  private func fillDisk() -> Bool {
    let candidates = machines.filter { !$0.isStopping && $0.platter.disk.spaceLeft == nil }
    guard !candidates.isEmpty else { return false }
    let machine = faults.generator.pick(candidates)
    let left = faults.spaceLeft(reserve: Int(EngineOptions.reserveBytes(fileBytesMax: options.fileBytesMax)))
    machine.platter.disk.spaceLeft = left
    note(.fault, machine, UInt64(left), "its disk has \(left) bytes left")
    schedule(.emptyDisk(machine: machine.index), after: faults.outage())
    return true
  }

  func emptyDisk(_ machine: Machine) {
    guard machine.platter.disk.spaceLeft != nil else { return }
    machine.platter.disk.spaceLeft = nil
    note(.fault, machine, 5, "its disk has room again")
  }

  /// The end of all faults: whatever is broken is repaired, whoever is down starts.
  func endFaults() {
    network.calm()
    diskPace = DiskOptions()
    var paths: [SimulatedNetwork.Path] = []
    for from in machines.indices {
      for to in machines.indices where to != from { paths.append(SimulatedNetwork.Path(from: from, to: to)) }
    }
    heal(paths)
    for machine in machines {
      machine.clock.heal(at: now)
      machine.doom = nil
      machine.platter.disk.diesAtOperation = nil
      emptyDisk(machine)
      if machine.state == .paused { resume(machine.life) }
      if machine.state == .down { schedule(.boot(machine: machine.index), after: 1_000_000) }
    }
  }
}
