import Primitives
import Replication
import Storage

// What goes wrong: processes that are killed, machines that lose power, processes that stand still, clean restarts,
// cuts and resets in the network, clocks that jump. What disks do is in Simulator+DiskFaults.swift. Every outage ends by
// itself after a while.

extension Simulator {
  func beginFaults() {
    for strike in plan.strikes where !omissions.contains(strike: strike.number, of: strike.fault) {
      schedule(.strike(strike), after: strike.delay)
    }
  }

  var isFaulty: Bool {
    if case .faults = phase { return true }
    return phase == .bootstrap && options.faults.duringBootstrap
  }

  func strike(_ strike: Strike) {
    guard isFaulty else { return }
    var draws = SeededGenerator(seed: strike.seed)
    let effect =
      switch strike.fault {
      case .kill: kill(losingPower: false, &draws)
      case .powerLoss: kill(losingPower: true, &draws)
      case .shutdown: shutDown(&draws)
      case .blackout: blackOut(&draws)
      case .pause: pause(&draws)
      case .cut: cut(&draws)
      case .reset: reset(&draws)
      case .clockJump: jumpClock(&draws)
      case .fullDisk: fillDisk(&draws)
      case .failedSync: failSync(&draws)
      case .bitFlip: flipBit(&draws)
      case .snapshot: takeSnapshot(&draws)
      case .restore: putSnapshotBack(&draws)
      case .wipeStore: wipeStore(hints: false, &draws)
      case .wipeHints: wipeStore(hints: true, &draws)
      case .wipeNode: wipeNode(&draws)
      case .month: beginMonth(&draws)
      case .loss, .duplication, .lateness, .offsets, .drift, .coldReads, .startCrashes, .chaos: String?.none
      }
    guard let effect else { return }
    strikes.append(StrikeReport(number: strike.number, fault: strike.fault, time: now, text: effect))
    note(.fault, nil, UInt64(strike.number), "strike \(strike.number), \(strike.fault.rawValue): \(effect)")
  }

  /// How long what happens now lasts.
  func outage(_ draws: inout SeededGenerator) -> UInt64 {
    draws.duration(milliseconds: options.faults.outageMilliseconds)
  }

  /// A machine that is up, unless as many are down already as this run allows.
  func victim(_ draws: inout SeededGenerator) -> Machine? {
    let able = machines.filter { !$0.isOut }
    let up = able.filter { $0.state == .up && !$0.isStopping && $0.doom == nil }
    guard !up.isEmpty, able.count - up.count < options.faults.downMax else { return nil }
    return draws.pick(up)
  }

  private func kill(losingPower: Bool, _ draws: inout SeededGenerator) -> String? {
    guard let machine = victim(&draws) else { return nil }
    if draws.chance(1, in: 2) {
      doom(machine, losingPower ? .powerLoss : .kill, within: 60, &draws)
      return "n\(machine.number) will die in the middle of an operation of its disk"
    }
    crash(machine, losingPower: losingPower, outage: outage(&draws))
    return "n\(machine.number) \(losingPower ? "loses power" : "is killed")"
  }

  /// Some operation of the disk, soon, will be the last one of this process, and be done by half.
  func doom(_ machine: Machine, _ doom: Machine.Doom, within operations: Int, _ draws: inout SeededGenerator) {
    note(.fault, machine, 4, "will die within \(operations) disk operations")
    machine.doom = doom
    machine.platter.disk.diesAtOperation = machine.platter.disk.operationCount + 1 + draws.below(operations)
  }

  /// Ends a process whose disk has died under it; true when it has. What it wanted to say next is never said.
  func dies(_ machine: Machine) -> Bool {
    guard let doom = machine.doom, machine.platter.disk.isDead else { return false }
    crash(machine, losingPower: doom == .powerLoss, outage: outage(&machine.generator))
    return true
  }

  func crash(_ machine: Machine, losingPower: Bool, outage: UInt64) {
    note(.crash, machine, losingPower ? 1 : 0, losingPower ? "loses power" : "is killed")
    die(machine, losingPower: losingPower)
    schedule(.boot(machine: machine.index), after: outage)
  }

  private func blackOut(_ draws: inout SeededGenerator) -> String? {
    for machine in machines where machine.state != .down {
      crash(machine, losingPower: true, outage: outage(&draws))
    }
    return "all machines lose power"
  }

  private func shutDown(_ draws: inout SeededGenerator) -> String? {
    guard let machine = victim(&draws) else { return nil }
    machine.isStopping = true
    deliver(.shutdown, to: machine)
    schedule(.stopLate(machine.life, pauses: machine.pauses), after: 30_000_000_000)
    return "n\(machine.number) is told to stop"
  }

  func stopLate(_ life: Life, pauses: Int) {
    guard let machine = machine(life), machine.pauses == pauses else { return }
    report(.unavailable, "n\(machine.number) was told to stop and still runs after 30 seconds")
  }

  private func pause(_ draws: inout SeededGenerator) -> String? {
    guard let machine = victim(&draws) else { return nil }
    pause(machine)
    schedule(.resume(machine.life), after: outage(&draws))
    return "n\(machine.number) stands still"
  }

  func pause(_ machine: Machine) {
    machine.state = .paused
    machine.pauses += 1
  }

  private func cut(_ draws: inout SeededGenerator) -> String? {
    let paths = draws.cutPaths(nodes: machines.count)
    for path in paths { network.cut(path) }
    schedule(.heal(paths), after: outage(&draws))
    let texts = paths.map { "n\($0.from + 1) does not reach n\($0.to + 1)" }
    return texts.joined(separator: ", ")
  }

  private func reset(_ draws: inout SeededGenerator) -> String? {
    let one = draws.below(machines.count)
    let other = (one + 1 + draws.below(machines.count - 1)) % machines.count
    guard machines[one].state != .down else { return nil }
    drop(machines[one], to: other)
    return "the connection from n\(one + 1) to n\(other + 1) breaks"
  }

  /// A wall clock moves. Beyond what the cluster tolerates only a minority may be wrong at once.
  private func jumpClock(_ draws: inout SeededGenerator) -> String? {
    let bound = options.clocks.jumpMillisecondsMax
    guard bound > 0 else { return nil }
    let minority = (machines.count - 1) / 2
    let machine = machines[draws.below(bound > 20_000 ? minority : machines.count)]
    let target = draws.number(in: -bound...bound)
    machine.clock.jump(byMilliseconds: target - machine.clock.offsetMilliseconds)
    return "the clock of n\(machine.number) is \(target) ms off"
  }
}
