import Primitives
import Replication

// A month in which one node is cut off. Nothing happens in most of it, so that it costs nothing: some seconds after the
// cut all that is still to happen is put off by a month, and the cut heals some seconds later. What was written before it
// and since, and what was under way, is for the others to tell the node.

extension Simulator {
  static let monthNanoseconds: UInt64 = 30 * 86_400 * 1_000_000_000

  func beginMonth(_ draws: inout SeededGenerator) -> String? {
    guard machines.allSatisfy(\.hasServed), case .faults = phase else { return nil }
    let one = draws.below(machines.count)
    let paths = machines.indices.filter { $0 != one }.flatMap {
      [SimulatedNetwork.Path(from: one, to: $0), SimulatedNetwork.Path(from: $0, to: one)]
    }
    for path in paths { network.cut(path) }
    schedule(.month, after: outage(&draws))
    schedule(.heal(paths), after: outage(&draws) + outage(&draws))
    return "n\(one + 1) is cut off, for a month"
  }

  /// Everything that is still to happen happens a month later.
  func passMonth() {
    guard case .faults(let end) = phase else { return }
    let month = Simulator.monthNanoseconds
    standStill(nanoseconds: month)
    phase = .faults(until: end.adding(nanoseconds: month))
    lastLateArrival = lastLateArrival.adding(nanoseconds: month)
    note(.phase, nil, 8, "=== a month has passed")
  }
}
