import Platform
import Protocols
import Testing

// Links between nodes that lose everything, in one direction or both, and heal.

extension SystemTests {
  @Suite(.enabled(if: CutNetwork.obstacle == nil, "\(CutNetwork.obstacle ?? "")"))
  struct CutTests {
    enum Cut: CaseIterable {
      case fromOneToThree, fromThreeToOne, betweenOneAndThree, aroundThree

      var links: [(from: Int, to: Int)] {
        switch self {
        case .fromOneToThree: [(1, 3)]
        case .fromThreeToOne: [(3, 1)]
        case .betweenOneAndThree: [(1, 3), (3, 1)]
        case .aroundThree: [(1, 3), (3, 1), (2, 3), (3, 2)]
        }
      }

      /// Who cannot ask whom: a question and its answer need both directions.
      var parted: [(node: Int, peer: Int)] {
        self == .aroundThree ? [(1, 3), (3, 1), (2, 3), (3, 2)] : [(1, 3), (3, 1)]
      }

      /// The nodes that reach a quorum.
      var serving: [Int] { self == .aroundThree ? [1, 2] : [1, 2, 3] }
    }

    @Test(
      "a link that is cut fails no request that has a quorum, and heals without flapping or loss",
      arguments: Cut.allCases)
    func cut(_ cut: Cut) throws {
      try CutCluster.with("cut-\(cut)") { cluster in
        var story = Story(cluster)
        try story.go(on: [1, 2, 3])
        let load = try RunningCommand(
          ["bench", "--json", "--duration", "1h", "--warmup", "0s", "--keys", "200", "--rate", "50"]
            + cut.serving.flatMap { ["--url", cluster.url($0)] },
          name: "cut-load-\(cut)", starter: cluster.network.entrance)
        for link in cut.links { try cluster.network.cut(link.from, link.to) }
        // Before anybody has noticed, and after.
        try story.go(on: cut.serving)
        try eventually("everybody has noticed") {
          cut.parted.allSatisfy { cluster.log($0.node).contains("n\($0.peer) is suspect") }
        }
        try story.go(on: cut.serving)
        try cluster.network.heal()
        try eventually("they reach each other") { try (1...3).allSatisfy { try cluster.view($0).missing.isEmpty } }
        try story.go(on: [1, 2, 3])

        load.identity.signal(.terminate)
        let result = try load.finish()
        let report = try JSON.parse(result.output)
        #expect(report["errors"]?.array == [] && report["lost"]?.integer == 0, "\(report.text()) \(result.errors)")
        try cluster.converge()
        try story.check()
        for node in 1...3 {
          for peer in 1...3 where peer != node {
            let suspicions = cluster.log(node).split(separator: "\n").count { $0.contains(" n\(peer) is suspect") }
            let isParted = cut.parted.contains { $0 == (node, peer) }
            #expect(suspicions == (isParted ? 1 : 0), "n\(node) suspected n\(peer) \(suspicions) times")
          }
        }
      }
    }

    /// Writes and deletes one after the other, and remembers them.
    private struct Story {
      let cluster: CutCluster
      private var expected: [String: String?] = [:]
      private var round = 0

      init(_ cluster: CutCluster) { self.cluster = cluster }

      /// Through each node: a new key, a key of the last round written over, and another one deleted.
      mutating func go(on nodes: [Int]) throws {
        round += 1
        for node in nodes {
          try put("new-\(round)-\(node)", through: node)
          try put("short-\(round)-\(node)", through: node)
          guard round > 1 else { continue }
          try put("new-\(round - 1)-\(node)", through: node)
          try read("new-\(round)-\(node)", through: nodes[(node + 1) % nodes.count])
          try delete("short-\(round - 1)-\(node)", through: node)
          try read("short-\(round - 1)-\(node)", through: nodes[(node + 1) % nodes.count])
        }
      }

      private mutating func put(_ key: String, through node: Int) throws {
        let value = "\(key) in round \(round)"
        let result = try cluster.command("put", "test", key, value, "--url", cluster.url(node))
        #expect(result.code == 0, "put \(key) through n\(node): \(result.errors)")
        expected[key] = value
      }

      private mutating func delete(_ key: String, through node: Int) throws {
        let isThere = expected[key].flatMap { $0 } != nil
        let result = try cluster.command("delete", "test", key, "--url", cluster.url(node))
        let isRight = isThere ? result.code == 0 : result.errors.contains("not found")
        #expect(isRight, "delete \(key) through n\(node): \(result.errors)")
        expected[key] = .some(nil)
      }

      private func read(_ key: String, _ options: [String] = [], through node: Int) throws {
        let words = ["get", "test", key, "--url", cluster.url(node)] + options
        let result = try cairn(words, starter: cluster.network.entrance)
        guard let value = expected[key].flatMap({ $0 }) else {
          #expect(result.errors.contains("not found"), "\(key) through n\(node): \(result.outputText) \(result.errors)")
          return
        }
        #expect(result.outputText == value, "\(key) through n\(node): \(result.errors)")
      }

      /// What every node's own copies are.
      func check() throws {
        for node in 1...3 {
          for key in expected.keys.sorted() { try read(key, ["--r", "1"], through: node) }
        }
      }
    }
  }
}
