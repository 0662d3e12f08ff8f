import Client
import Platform
import Primitives
import Protocols
import Testing

extension SystemTests {
  @Suite struct PowerLossRoundTests {
    /// How nodes are set and loaded: what the power cuts strike.
    struct Workload: CustomTestStringConvertible, Sendable {
      let testDescription: String
      var settings: [String] = []
      var paddingMax = 300
      var writesPerClient = 10
      var seeds: ClosedRange<UInt64> = 1...2
    }

    private static let workloads = [
      Workload(testDescription: "small values"),
      Workload(
        testDescription: "data files that are sealed", settings: ["partitions=4", "max_file_size=64KiB"],
        paddingMax: 6000, writesPerClient: 150),
      Workload(
        testDescription: "checkpoints that drop the journal", paddingMax: 300_000, writesPerClient: 110,
        seeds: 1...1),
    ]

    @Test(
      "power cuts under load that lose, tear and reorder what was not synced take no acknowledged write",
      arguments: workloads)
    func rounds(_ workload: Workload) throws {
      let trace = try DiskTrace("power-rounds", syncMilliseconds: 3)
      try TestCluster.with("power-rounds", settings: workload.settings, environment: trace.environment) { cluster in
        for seed in workload.seeds {
          let (loss, wrong) = try round(seed, workload, on: cluster, trace)
          #expect(wrong == [], "seed \(seed): \(loss)")
          #expect(loss.bytes > 0, "seed \(seed) took nothing: \(loss)")
        }
      }
    }

    @Test("the same power cuts do take acknowledged writes that nobody synced")
    func unsynced() throws {
      let trace = try DiskTrace("power-unsynced", syncMilliseconds: 3)
      let workload = Workload(testDescription: "no syncs", settings: ["sync=never"])
      try TestCluster.with("power-unsynced", settings: workload.settings, environment: trace.environment) { cluster in
        let (loss, wrong) = try round(1, workload, on: cluster, trace)
        #expect(wrong != [], "\(loss)")
      }
    }

    /// One node is killed under load, or loses its power, and comes back; then all three lose theirs at once.
    /// - Returns: What was lost on disk, and what of it had been acknowledged.
    private func round(
      _ seed: UInt64, _ workload: Workload, on cluster: TestCluster, _ trace: DiskTrace
    ) throws -> (loss: PowerLossStrike.Loss, wrong: [String]) {
      var generator = SeededGenerator(seed: seed)
      let load = Load(4, on: cluster, seed: seed, paddingMax: workload.paddingMax)
      var loss = PowerLossStrike.Loss()
      try load.running {
        try load.advance(workload.writesPerClient)
        let node = 1 + generator.below(3)
        try cluster.kill(node, of: load)
        if generator.chance(2, in: 3) { loss = try strike(node, of: cluster, trace, &generator) }
        try cluster.start(node, of: load)
        try load.advance(workload.writesPerClient + generator.below(20))
        for node in 1...3 { load.hurt.insert(node) }
        cluster.killAll()
      }
      for node in 1...3 { loss = loss + (try strike(node, of: cluster, trace, &generator)) }
      try cluster.local("up")
      return (loss, try load.contradictions(in: cluster))
    }

    private func strike(
      _ node: Int, of cluster: TestCluster, _ trace: DiskTrace, _ generator: inout SeededGenerator
    ) throws -> PowerLossStrike.Loss {
      try PowerLossStrike.perform(on: "\(cluster.data)/n\(node)", of: trace, &generator)
    }
  }
}

extension TestCluster {
  /// SIGKILL to one node under load; returns when it is gone.
  func kill(_ node: Int, of load: Load) throws {
    load.hurt.insert(node)
    guard let pid = try pids()[node - 1], let process = ProcessIdentity(running: Int32(pid)) else {
      throw Stuck("n\(node) does not run")
    }
    process.signal(.kill)
    try eventually("n\(node) is gone") { !process.isRunning }
  }

  /// Starts a killed node under load; returns when it serves.
  func start(_ node: Int, of load: Load) throws {
    try local("start", "\(node)")
    load.hurt.remove(node)
  }
}
