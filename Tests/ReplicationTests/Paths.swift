import Causality
import Cluster
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

// The paths by which a deleted key may come back (Docs/DeleteProtocol.md has them all), one scenario each: with every
// rule kept the key stays away, and a counter shows what stopped it; with that rule switched off it comes back. A path
// that no schedule can take here has a row that says why. Paths of a single store's files are in Tests/FaultTests.

/// A path that a fixed set of nodes can take.
struct PathScenario: Sendable, CustomTestStringConvertible {
  /// `P14 a hint ...`
  let name: String
  /// What stops it: without these it succeeds. Where none is named more than one stands in its way, and only what they
  /// come to is looked at.
  let rules: [Rule]
  let play: @Sendable (Rules) throws -> PathEnding

  init(_ name: String, _ rules: Rule..., play: @escaping @Sendable (Rules) throws -> PathEnding) {
    self.name = name
    self.rules = rules
    self.play = play
  }

  var testDescription: String { name }
  var number: Int { Int(name.dropFirst().prefix { $0.isNumber }) ?? 0 }
}

/// What came of it.
struct PathEnding {
  /// The deleted key is back, or whatever else must not be.
  let isBack: Bool
  /// How often the rule was seen at work.
  let stops: Int

  init(isBack: Bool, stops: some BinaryInteger) {
    self.isBack = isBack
    self.stops = Int(stops)
  }
}

@Suite("Paths by which deleted keys come back")
struct PathTests {
  static let scenarios =
    PathScenario.ofTheGate + PathScenario.ofPushes + PathScenario.ofReads + PathScenario.ofAmnesia
    + PathScenario.ofBookkeeping

  @Test("a rule stops it, and without the rule it succeeds", arguments: scenarios)
  func path(scenario: PathScenario) throws {
    let kept = try scenario.play(.all)
    #expect(!kept.isBack, "with all rules")
    #expect(kept.stops > 0, "nothing shows that the rule was at work")
    if scenario.rules.isEmpty { return }
    let broken = try scenario.play(scenario.rules.reduce(.all) { $0.without($1) })
    #expect(broken.isBack, "without \(scenario.rules) nothing came back")
  }

  @Test("every path that concerns a fixed set of nodes has a scenario, or a reason why it cannot happen")
  func complete() {
    let numbers = Set(PathTests.scenarios.map(\.number) + ImpossiblePath.all.map(\.number) + ImpossiblePath.elsewhere)
    let wanted = Set(1...77).subtracting(ImpossiblePath.ofMembership).subtracting(ImpossiblePath.ofOtherFeatures)
    #expect(wanted.subtracting(numbers).sorted() == [])
    for path in ImpossiblePath.all { #expect(!path.why.isEmpty) }
  }
}

/// A cluster in which tombstones go as soon as they may, and what the scenarios do with it.
extension TestCluster {
  static func forPaths(
    _ rules: Rules, nodes: Int = 3, changing: (inout NodeOptions) -> Void = { _ in }
  ) -> TestCluster {
    TestCluster(nodes: nodes, partitions: 1) {
      $0.antiEntropyMilliseconds = 0
      $0.tombstoneHoldMilliseconds = 0
      $0.feedMilliseconds = 100
      $0.rules = rules
      changing(&$0)
    }
  }

  /// Owners whose copy of the key is a value.
  func holders(_ key: String) -> [Int] { owners(of: key).filter { held($0, key).map { !$0.isTombstone } ?? false } }

  /// Tombstones on all nodes that run.
  var tombstonesLeft: Int { (1...nodes.count).reduce(0) { $0 + (tombstones($1) ?? 0) } }

  /// Lets time pass until no tombstone is left on these nodes; gives up after a minute.
  @discardableResult
  func collect(on ids: [Int]? = nil) -> Bool {
    let ids = ids ?? Array(1...nodes.count)
    for _ in 0..<600 {
      if ids.allSatisfy({ (tombstones($0) ?? 0) == 0 }) { return true }
      advance(milliseconds: 100)
    }
    return false
  }

  /// Whatever one owner has may come to the others: a round by each, and a read of all.
  func spread(_ key: String) {
    for id in 1...nodes.count where self[id].node != nil { round(id, within: 10_000) }
    ask(1, get(key, r: .all))
    advance(milliseconds: 1000)
  }

  /// A value everywhere, durably.
  func everywhere(_ key: String, _ stamp: Stamp = TestCluster.stamp(5)) {
    for id in owners(of: key) { plant(id, key, "old", stamp) }
    advance(milliseconds: 300)
  }

  func sum(_ path: KeyPath<NodeCounters, UInt64>) -> UInt64 {
    (1...nodes.count).reduce(0) { $0 + counters($1)[keyPath: path] }
  }

  /// The disk as a power loss would leave it now.
  func copyOfDisk(_ id: Int) -> SimulatedDisk? {
    var copy = self[id].node?.disk
    copy?.discardUnsynced()
    return copy
  }

  /// The node ends, and starts again on this disk.
  func restore(_ id: Int, _ disk: SimulatedDisk?) {
    kill(id)
    self[id].disk = disk
    start(id, life: 100)
  }
}

extension TestCluster.Letter {
  func isPush(to id: Int, _ matches: (Push) -> Bool = { _ in true }) -> Bool {
    guard case .push(let push) = message.body, to == TestCluster.id(id) else { return false }
    return matches(push)
  }

  var isFeed: Bool {
    switch message.body {
    case .storeStates, .storeStatesReply: true
    default: false
    }
  }
}
