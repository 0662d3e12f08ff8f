import Primitives
import Replication
import Simulation
import Storage
import Testing

// Whole runs. A seed that fails here is looked at with `cairn simulate --seed S --trace`.

@Suite("Simulation")
struct SimulationTests {
  /// A few seeds of the many that `.ci/run` runs with the release build, where a run takes a tenth of a second.
  @Test("a cluster keeps its promises under faults and works once they stop", arguments: UInt64(4)...11)
  func promises(seed: UInt64) {
    let result = simulate(seed: seed)
    #expect(result.violations == [])
    #expect(result.operations.succeeded > 0)
  }

  @Test("the same seed gives the same run", arguments: [UInt64(8), 9])
  func determinism(seed: UInt64) {
    var lines: [String] = []
    let first = simulate(seed: seed) { lines.append($0) }
    // Whether anybody reads the trace makes no difference.
    guard first.traceHash != simulate(seed: seed).traceHash else { return }
    var index = 0
    var difference: String?
    _ = simulate(seed: seed) { line in
      if difference == nil, index >= lines.count || lines[index] != line {
        difference = "line \(index): \(index < lines.count ? lines[index] : "nothing") / \(line)"
      }
      index += 1
    }
    Issue.record("\(difference ?? "the hashes differ, and no line does")")
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

  /// Options with one kind of fault, often.
  private func options(_ faults: Fault...) -> SimulationOptions {
    var options = SimulationOptions()
    options.faults.phaseMilliseconds = 6000
    for fault in faults { options.faults.means[fault] = 400 }
    return options
  }

  @Test("every kind of fault that strikes does strike, and breaks no promise", arguments: Fault.striking)
  func strikes(fault: Fault) {
    var options = options(fault, fault == .restore ? .snapshot : fault)
    options.clocks.jumpMillisecondsMax = 1000
    let result = simulate(seed: 2, options: options)
    #expect(result.violations == [])
    #expect(result.strikes.contains { $0.fault == fault })
  }

  @Test("clients of every kind find their promises kept", arguments: WorkloadKind.allCases, [UInt64(1), 2])
  func workloads(kind: WorkloadKind, seed: UInt64) {
    var options = options(.kill, .cut, .powerLoss)
    options.workload.kind = kind
    options.workload.keys = kind == .unique ? 20 : 3
    options.workload.deletePercent = kind == .mixed ? 20 : 0
    options.workload.followPercent = 50
    let result = simulate(seed: seed, options: options)
    #expect(result.violations == [])
    #expect(result.operations.succeeded > 20)
  }

  @Test("a node stops when a sync fails, and its cluster goes on")
  func failedSync() {
    let (result, trace) = traced(1, options(.failedSync))
    #expect(result.violations == [])
    #expect(trace.contains("stops: failed(cannot sync"))
  }

  @Test("a process whose hello is refused is not heard, and makes its stores anew", arguments: [UInt64(3091), 3418])
  func refused(seed: UInt64) {
    var lines: [String] = []
    let result = simulate(seed: seed) { lines.append($0) }
    #expect(result.violations == [])
    #expect(lines.contains { $0.contains("says (warning) refused another process") })
    #expect(lines.contains { $0.contains("whose hello it has not accepted") })
  }

  @Test("a core serves alone before the rest is healed", arguments: [UInt64(1), 2, 3])
  func core(seed: UInt64) {
    var options = options(.pause)
    options.nodes = 5
    options.faults.healsCoreFirst = true
    let (result, trace) = traced(seed, options)
    #expect(result.violations == [])
    #expect(trace.contains("stays out"))
    #expect(trace.contains("=== healed: all"))
    #expect(trace.split(separator: "\n").count { $0.contains("=== proved") } == 2)
  }

  @Test("messages that are late by hours arrive, and nothing comes of it")
  func hours() {
    var options = options(.reset)
    options.network.longDelayPerMillion = 20_000
    options.network.longDelayMilliseconds = 3_600_000...7_200_000
    let (result, trace) = traced(1, options)
    #expect(result.violations == [])
    #expect(result.virtualTime.nanoseconds > 3_600_000_000_000)
    #expect(trace.contains("the world stood still"))
  }

  @Test("rare branches are taken, and break no promise")
  func chaos() {
    var options = options()
    options.disk.coldReadsPerThousand = 500
    options.faults.chaosPerThousand = 100
    options.faults.chaosPoints = Set(ChaosPoint.allCases)
    let (result, trace) = traced(1, options)
    #expect(result.violations == [])
    #expect(trace.contains("its queue is full"))
    #expect(trace.contains("overloaded"))
  }

  @Test("different seeds give different runs")
  func variety() {
    #expect(simulate(seed: 4).traceHash != simulate(seed: 5).traceHash)
  }
}
