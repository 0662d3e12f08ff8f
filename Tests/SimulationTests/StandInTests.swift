import Causality
import Primitives
import Replication
import Simulation
import Testing

// Runs in which nodes stand in for each other, and what is checked of the hints that they keep.

@Suite("Standing in")
struct StandInTests {
  private func options(_ faults: Fault...) -> SimulationOptions {
    var options = SimulationOptions()
    options.nodes = 5
    options.faults.phaseMilliseconds = 6000
    options.faults.outageMilliseconds = 1500...4000
    options.faults.downMax = 2
    for fault in faults { options.faults.means[fault] = 800 }
    return options
  }

  @Test("where owners are away for long, fallbacks keep their writes and hand them over", arguments: [UInt64(1), 2])
  func handedOver(seed: UInt64) {
    let result = simulate(seed: seed, options: options(.kill, .pause))
    #expect(result.violations == [])
    #expect(result.handoff.hintsKept > 0)
    #expect(result.handoff.hintsDelivered > 0)
    #expect(result.handoff.hintsRefused == 0)
    #expect(result.handoff.sloppyWrites > 0)
  }

  @Test("hints that find no room are refused, count for nothing, and the owners come to agree all the same")
  func noRoom() {
    var options = options(.kill, .powerLoss)
    options.hintBytesMax = 300
    let result = simulate(seed: 1, options: options)
    #expect(result.violations == [])
    #expect(result.handoff.hintsRefused > 0)
    #expect(result.handoff.readRepairs > 0)
  }

  @Test("operators who ask for hints to be handed over are answered")
  func drained() {
    var options = options(.kill)
    options.drainRequestsPerMillion = 10_000
    let (result, trace) = traced(1, options)
    #expect(result.violations == [])
    #expect(trace.contains("is told drained"))
  }

  @Test("peers are suspected soon or late, and no promise depends on it", arguments: [UInt64(500), 3000])
  func suspicion(milliseconds: UInt64) {
    var options = options(.pause, .cut)
    options.suspectAfterMilliseconds = milliseconds
    options.faults.healsCoreFirst = true
    #expect(simulate(seed: 3, options: options).violations == [])
  }

  @Test("a core does without nodes cut off one way only", arguments: ["nobody reaches it", "it reaches nobody"])
  func oneWay(reach: String) throws {
    var options = options(.cut)
    options.faults.phaseMilliseconds = 3000
    options.faults.healsCoreFirst = true
    let runs = (UInt64(1)...12).lazy.map { traced($0, options) }
    let run = try #require(runs.first { $0.trace.contains(reach) })
    #expect(run.result.violations == [])
    #expect(run.trace.split(separator: "\n").count { $0.contains("=== proved") } == 2)
  }

  @Test("the rare branches of standing in are taken, and break no promise")
  func chaos() {
    var options = options(.kill)
    // Slower than a slot of the wheel: reads are under way when they are looked at again.
    options.network.delayMicroseconds = 60_000...120_000
    options.faults.chaosPerThousand = 100
    options.faults.chaosPoints = Set(ChaosPoint.ofHandoff)
    let results = simulate(seeds: 1...12, options: options, until: { $0.handoff.hintsRefused > 0 })
    #expect(results.flatMap(\.violations) == [])
    #expect(results.contains { $0.handoff.hintsRefused > 0 })
    #expect(results.contains { $0.handoff.hedgedReads > 0 })
  }
}

@Suite("Hint ledger")
struct HintLedgerTests {
  private func stamp(_ milliseconds: UInt64) -> Stamp {
    Stamp(time: HybridTime(milliseconds: milliseconds), actor: ActorID(1))
  }

  @Test("an owner is owed the newest of what its keepers have said, key by key, and nobody else's")
  func newest() {
    var ledger = HintLedger(nodes: 3, keys: 2, wantsSynced: true)
    #expect(ledger.owed(to: 0, by: [1, 2]) == nil)
    ledger.kept(stamp(5), of: 1, by: 1, for: 0, synced: true)
    ledger.kept(stamp(3), of: 1, by: 1, for: 0, synced: true)
    ledger.kept(stamp(7), of: 1, by: 2, for: 0, synced: true)
    #expect(ledger.owed(to: 0, by: [1, 2]) == [.zero, stamp(7)])
    #expect(ledger.owed(to: 0, by: [1]) == [.zero, stamp(5)])
    #expect(ledger.owed(to: 1, by: [0, 2]) == nil)
    #expect(ledger.owed(to: 2, by: [0, 1]) == nil)
  }

  @Test("what is not synced is owed where no machine loses power, and only there", arguments: [true, false])
  func synced(losesPower: Bool) {
    var ledger = HintLedger(nodes: 2, keys: 1, wantsSynced: losesPower)
    ledger.kept(stamp(5), of: 0, by: 1, for: 0, synced: false)
    #expect(ledger.owed(to: 0, by: [1]) == (losesPower ? nil : [stamp(5)]))
  }
}
