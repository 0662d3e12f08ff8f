import Cluster
import Primitives
import Replication

// After the faults. In some runs only a core is healed at first, as many nodes as every partition needs for a quorum of
// its owners, and the rest stays down, cut off or still: the core must serve and agree without it. Then everybody is
// healed. Messages that are late by hours arrive in the end: the whole world stands still until they do.

/// A message that is on its way for hours.
struct Overdue {
  let arrival: Instant
  let path: SimulatedNetwork.Path
  let generation: Int
  let toLife: Int
  let bytes: [UInt8]
}

extension Simulator {
  /// What takes longer is kept until the faults are over.
  static let overdueNanoseconds: UInt64 = 120_000_000_000
  /// Messages kept so; more are lost.
  static let overdueMax = 64
  /// Once their time has come they arrive within this.
  private static let overdueSpreadMilliseconds = 0...400

  /// The end of all faults.
  func endFaults() {
    network.calm()
    diskPace = DiskOptions()
    core = Array(machines.indices)
    if options.faults.healsCoreFirst, machines.allSatisfy(\.hasServed) {
      let chosen = drawCore()
      for machine in machines where !chosen.contains(machine.index) && !machine.isOut { keepOut(machine) }
      core = chosen
    }
    note(.phase, nil, 5, "=== healed: \(core.map { "n\($0 + 1)" }.joined(separator: ", "))")
    heal()
  }

  /// Takes out as many machines as a quorum of the owners of every partition can do without, in a random order. One that
  /// may have lost a store is the first: to fill it again takes every other owner.
  private func drawCore() -> [Int] {
    let ring = Ring(
      epoch: 1, partitionCount: options.partitions, replicas: options.replicas, members: machines.map(\.member))
    let owners = (0..<options.partitions).map { partition in ring.owners(of: partition).map { Int($0.rawValue) - 1 } }
    let quorum = options.replicas / 2 + 1
    var chosen = core
    for turn in machines.indices {
      let random = generator.pick(chosen)
      let candidate = turn == 0 && losesStores ? forgetful.index : random
      let rest = chosen.filter { $0 != candidate }
      if owners.allSatisfy({ list in list.count { rest.contains($0) } >= quorum }) { chosen = rest }
    }
    return chosen
  }

  /// Owners of this key in the core.
  func coreOwners(of key: Int) -> Int {
    guard let owners = machines[core[0]].node?.owners(of: workload.keys[key]) else { return options.replicas }
    return owners.count { core.contains(Int($0.rawValue) - 1) }
  }

  /// Down, still or unreachable, it takes no part until everybody is healed.
  private func keepOut(_ machine: Machine) {
    giveUpListings(through: machine)
    let way = generator.below(5)
    switch (machine.state, way) {
    case (.down, _), (.paused, _): break
    case (.up, 0): die(machine, losingPower: options.faults.losesUnsyncedWrites)
    case (.up, 1): pause(machine)
    case (.up, _):
      for other in machines.indices where other != machine.index {
        if way != 2 { network.cut(SimulatedNetwork.Path(from: machine.index, to: other)) }
        if way != 3 { network.cut(SimulatedNetwork.Path(from: other, to: machine.index)) }
      }
    }
    machine.isOut = true
    let reach = way == 2 ? "nobody reaches it" : way == 3 ? "it reaches nobody" : "cut off both ways"
    note(.fault, machine, 7, "stays out: \(machine.state == .up ? reach : "\(machine.state)")")
  }

  /// Whatever is broken in the core is repaired, whoever is down there starts.
  private func heal() {
    var paths: [SimulatedNetwork.Path] = []
    for from in machines.indices {
      for to in machines.indices where to != from { paths.append(SimulatedNetwork.Path(from: from, to: to)) }
    }
    heal(paths)
    for machine in machines {
      machine.clock.heal(at: now)
      machine.doom = nil
      machine.platter.disk.diesAtOperation = nil
      machine.platter.disk.failsNextSync = false
      machine.chaos = Chaos()
      machine.node?.endChaos()
      emptyDisk(machine)
      guard core.contains(machine.index) else { continue }
      if machine.state == .paused { resume(machine.life) }
      if machine.state == .down { schedule(.boot(machine: machine.index), after: 1_000_000) }
    }
  }

  /// The core has proved itself: everybody else follows. False when nobody is left to be healed.
  func healRest() -> Bool {
    let rest = machines.filter(\.isOut)
    guard !rest.isEmpty else { return false }
    for machine in rest { machine.isOut = false }
    core = machines.filter { !$0.isOut }.map(\.index)
    note(.phase, nil, 6, "=== healed: all")
    heal()
    beginSettling()
    scheduleReview()
    return true
  }

  func beginSettling() {
    phase = .settling(since: now)
    proofs = []
    proofsDone = 0
    agreement = nil
    beginClients()
  }

  /// Nothing happens anywhere until the first of the messages that are late by hours arrives; the others come with it.
  func awaitOverdue() {
    let arrivals = overdue
    overdue = []
    guard let first = arrivals.map(\.arrival).min() else { return }
    if first > now { standStill(nanoseconds: first.nanoseconds - now.nanoseconds) }
    note(.phase, nil, 7, "=== the world stood still; \(arrivals.count) messages arrive that were long under way")
    for message in arrivals {
      let delay = generator.duration(milliseconds: Simulator.overdueSpreadMilliseconds)
      schedule(
        .arrival(message.path, generation: message.generation, toLife: message.toLife, bytes: message.bytes),
        after: delay)
    }
    beginSettling()
  }

  /// Everything that is still to happen happens so much later. Wall clocks are kept right meanwhile: by drift alone good
  /// ones would be farther apart than is said of them (`SimulationOptions.clockErrorMilliseconds`).
  func standStill(nanoseconds: UInt64) {
    queue.postpone(byNanoseconds: nanoseconds)
    now = now.adding(nanoseconds: nanoseconds)
    for machine in machines {
      machine.clock.pass(nanoseconds: nanoseconds)
      machine.syncFailed = machine.syncFailed.map { ($0.at.adding(nanoseconds: nanoseconds), $0.pauses) }
    }
  }
}
