import Simulation
import Storage
import Testing

// Whole runs. A seed that fails here is looked at with `cairn simulate --seed S --trace`.

@Suite("Simulation")
struct SimulationTests {
  @Test("a cluster keeps its promises under faults and works once they stop", arguments: UInt64(1)...20)
  func promises(seed: UInt64) {
    let result = simulate(seed: seed)
    #expect(result.violations == [])
    #expect(result.operations.succeeded > 0)
  }

  @Test("the same seed gives the same run", arguments: [UInt64(3), 8])
  func determinism(seed: UInt64) {
    var lines: [String] = []
    let first = simulate(seed: seed) { lines.append($0) }
    var index = 0
    var difference: String?
    let second = simulate(seed: seed) { line in
      if difference == nil, index >= lines.count || lines[index] != line {
        difference = "line \(index): \(index < lines.count ? lines[index] : "nothing") / \(line)"
      }
      index += 1
    }
    #expect(difference == nil)
    #expect(index == lines.count)
    #expect(first.traceHash == second.traceHash)
    #expect(first.traceHash == simulate(seed: seed).traceHash)
  }

  @Test("a run without faults has nothing to report, and every operation succeeds", arguments: SyncMode.allCases)
  func quiet(sync: SyncMode) {
    var options = SimulationOptions()
    options.sync = sync
    options.workload.defaultQuorumPercent = 100
    options.faults.phaseMilliseconds = 3000
    let result = simulate(seed: 1, options: options)
    #expect(result.violations == [])
    #expect(result.strikes == [])
    #expect(result.operations.failed == 0)
    #expect(result.operations.unknown == 0)
  }

  @Test("different seeds give different runs")
  func variety() {
    #expect(simulate(seed: 4).traceHash != simulate(seed: 5).traceHash)
  }
}
