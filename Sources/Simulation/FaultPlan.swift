import Primitives

// Which fault strikes when: for each kind that the run enables, a sequence of strikes with random gaps. What a strike
// hits is drawn when it happens, because it depends on who is up then.

enum Fault: Int, CaseIterable {
  case kill, powerLoss, shutdown, blackout, pause, cut, reset, clockJump, fullDisk
}

struct FaultPlan {
  private let options: FaultOptions
  var generator: SeededGenerator

  init(options: FaultOptions, seed: UInt64) {
    self.options = options
    generator = SeededGenerator(seed: seed, stream: 4)
  }

  /// Nanoseconds until the next strike of this kind; nil when this run has none.
  mutating func gap(_ fault: Fault) -> UInt64? {
    guard let mean = mean(fault) else { return nil }
    return generator.duration(milliseconds: 1...2 * mean)
  }

  private func mean(_ fault: Fault) -> Int? {
    switch fault {
    case .kill: options.killMeanMilliseconds
    case .powerLoss: options.powerLossMeanMilliseconds
    case .shutdown: options.shutdownMeanMilliseconds
    case .blackout: options.blackoutMeanMilliseconds
    case .pause: options.pauseMeanMilliseconds
    case .cut: options.cutMeanMilliseconds
    case .reset: options.resetMeanMilliseconds
    case .clockJump: options.clockJumpMeanMilliseconds
    case .fullDisk: options.fullDiskMeanMilliseconds
    }
  }

  /// What somebody else leaves of a disk: so little that an append fails in its middle, or so much that a node which
  /// asks in time refuses before.
  mutating func spaceLeft(reserve: Int) -> Int {
    generator.chance(1, in: 2) ? generator.below(2000) : generator.below(3 * reserve)
  }

  mutating func outage() -> UInt64 { generator.duration(milliseconds: options.outageMilliseconds) }

  /// The directed paths that one cut takes out: one way or both ways between two nodes, or all to, from, or around one.
  mutating func cutPaths(nodes: Int) -> [SimulatedNetwork.Path] {
    let one = generator.below(nodes)
    let other = (one + 1 + generator.below(nodes - 1)) % nodes
    let others = (0..<nodes).filter { $0 != one }
    let outward = others.map { SimulatedNetwork.Path(from: one, to: $0) }
    let inward = others.map { SimulatedNetwork.Path(from: $0, to: one) }
    switch generator.below(5) {
    case 0: return [SimulatedNetwork.Path(from: one, to: other)]
    case 1: return [SimulatedNetwork.Path(from: one, to: other), SimulatedNetwork.Path(from: other, to: one)]
    case 2: return outward
    case 3: return inward
    default: return outward + inward
    }
  }
}
