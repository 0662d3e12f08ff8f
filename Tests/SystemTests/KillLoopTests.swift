import Platform
import Primitives
import Testing

extension SystemTests {
  @Suite struct KillLoopTests {
    @Test("kill -9 of a random node, over and over under load, loses and revives nothing", arguments: [UInt64(1)])
    func loop(seed: UInt64) throws {
      try TestCluster.with("kill-loop") { cluster in
        var generator = SeededGenerator(seed: seed)
        let load = Load(6, on: cluster, seed: seed)
        try load.running {
          for _ in 1...10 {
            let node = 1 + generator.below(3)
            try load.advance(generator.below(20))
            try cluster.kill(node, of: load)
            // Two of three go on; only then does the third come back.
            try load.advance(5 + generator.below(10))
            try cluster.start(node, of: load)
          }
          try load.advance(10)
        }
        let wrong = try load.contradictions(in: cluster)
        #expect(wrong == [])
        report(load)
      }
    }

    /// Failures that need not be wrong, but should be few.
    private func report(_ load: Load) {
      let records = load.clients.map(\.record)
      let elsewhere = records.flatMap(\.failedElsewhere)
      let onHurt = records.reduce(0) { $0 + $1.failedOnHurtNode }
      print(
        "kill loop: \(load.acknowledged) writes acknowledged, \(onHurt) requests failed on the killed node,",
        "\(elsewhere.count) on others")
      for failure in elsewhere.prefix(20) { print("kill loop: \(failure)") }
    }
  }
}
