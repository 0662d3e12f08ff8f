import Primitives

// Which fault strikes when: for each kind that the run enables, a sequence of strikes with random gaps, all drawn before
// the run begins and numbered in order of time. What a strike hits is drawn when it happens, because it depends on who
// is up then; it draws from a seed of its own, so that leaving out one strike changes what no other one draws.

struct Strike {
  /// From 1.
  let number: Int
  let fault: Fault
  /// Nanoseconds after faults begin.
  let delay: UInt64
  /// For what it draws when it happens.
  let seed: UInt64
}

struct FaultPlan {
  /// A run has no more strikes than these; later ones are not made.
  static let strikesMax = 4096

  /// In order of time.
  let strikes: [Strike]

  init(options: FaultOptions, seed: UInt64) {
    var drawn: [(fault: Fault, delay: UInt64, seed: UInt64)] = []
    let end = UInt64(options.phaseMilliseconds) * 1_000_000
    for (index, fault) in Fault.striking.enumerated() {
      guard let mean = options.means[fault] else { continue }
      var generator = SeededGenerator(seed: seed, stream: FaultPlan.firstStream + UInt64(index))
      var delay = generator.duration(milliseconds: 1...2 * mean)
      while delay < end {
        drawn.append((fault, delay, generator.next()))
        delay += generator.duration(milliseconds: 1...2 * mean)
      }
    }
    // Two at once strike in the order of their kinds: the sort is stable by the second key.
    let order = drawn.indices.sorted { (drawn[$0].delay, $0) < (drawn[$1].delay, $1) }
    strikes = order.prefix(FaultPlan.strikesMax).enumerated().map { place, index in
      Strike(number: place + 1, fault: drawn[index].fault, delay: drawn[index].delay, seed: drawn[index].seed)
    }
  }

  private static let firstStream: UInt64 = 40
}

/// What one strike draws.
extension SeededGenerator {
  /// What somebody else leaves of a disk: so little that an append fails in its middle, or so much that a node which
  /// asks in time refuses before.
  mutating func spaceLeft(reserve: Int) -> Int { chance(1, in: 2) ? below(2000) : below(3 * reserve) }

  /// The directed paths that one cut takes out: one way or both ways between two nodes, or all to, from, or around one.
  mutating func cutPaths(nodes: Int) -> [SimulatedNetwork.Path] {
    let one = below(nodes)
    let other = (one + 1 + below(nodes - 1)) % nodes
    let others = (0..<nodes).filter { $0 != one }
    let outward = others.map { SimulatedNetwork.Path(from: one, to: $0) }
    let inward = others.map { SimulatedNetwork.Path(from: $0, to: one) }
    switch below(5) {
    case 0: return [SimulatedNetwork.Path(from: one, to: other)]
    case 1: return [SimulatedNetwork.Path(from: one, to: other), SimulatedNetwork.Path(from: other, to: one)]
    case 2: return outward
    case 3: return inward
    default: return outward + inward
    }
  }
}
