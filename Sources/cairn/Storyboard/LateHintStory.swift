import Platform

// The story of the late hint: a node was down while keys were written, what was kept for it comes late, and meanwhile the
// keys were deleted and their tombstones forgotten. It is told the same way on real processes and in the simulator.

/// What one node says of itself.
struct StageNode: Equatable {
  let name: String
  var isUp = true
  var values = 0
  var tombstones = 0
  /// What the tombstones wait for.
  var reason = ""
  /// Kept for other nodes.
  var hints = 0
  /// Copies that came late and created nothing.
  var turnedAway = 0
  var quarantined = 0

  var holds: String {
    if !isUp { return "down" }
    let parts = [
      values > 0 ? plural(values, "value") : nil,
      tombstones > 0 ? plural(tombstones, "tombstone") + (reason.isEmpty ? "" : ": " + reason) : nil,
    ].compactMap { $0 }
    return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
  }
}

/// Three nodes, n1 to n3, that the story is told on. Every key is on all of them.
protocol ClusterStage {
  /// Since the cluster served.
  var milliseconds: UInt64 { get }
  /// In order.
  mutating func nodes() throws -> [StageNode]
  /// Whether the node sees all others up, and takes part with all of its stores.
  mutating func isWhole(_ number: Int) throws -> Bool
  mutating func kill(_ number: Int) throws
  mutating func start(_ number: Int) throws
  /// The status of the answer.
  mutating func put(_ key: String, _ value: [UInt8], through number: Int) throws -> Int
  mutating func delete(_ key: String, through number: Int) throws -> Int
  mutating func get(_ key: String, r: Int, through number: Int) throws -> StageAnswer
  /// Lets some milliseconds pass. - Throws: when the story is to end.
  mutating func pass() throws
}

struct StageAnswer: Equatable {
  let status: Int
  /// Of the object, when there is one.
  var value: String?
}

/// One step, and what the nodes hold after it.
struct LateHintScene: Equatable {
  let number: Int
  let title: String
  let text: [String]
  /// Since the cluster served.
  let milliseconds: UInt64
  let nodes: [StageNode]
}

/// One of the last reads.
struct LateHintRead: Equatable {
  let key: String
  let r: Int
  let node: Int
  let answer: StageAnswer
}

struct LateHintStory {
  /// The nodes' settings: `key=value`.
  static let settings = [
    "partitions=4", "handoff_rate=64KiB", "hint_retry_interval=1h", "tombstone_hold=200ms", "feed_interval=100ms",
    "anti_entropy_interval=1s",
  ]
  /// Its hint goes out first, and is so long that all others have to wait for many seconds at that rate.
  static let crate = "crate"
  static let crateBytes = 1 << 20
  static let fruit = [("apple", "red"), ("lemon", "yellow"), ("plum", "blue"), ("olive", "green"), ("date", "brown")]
  static var keys: [String] { [crate] + fruit.map(\.0) }
  /// What does not happen in this time does not happen.
  static let patienceMilliseconds: UInt64 = 60_000
  static let late = 3

  private(set) var scenes: [LateHintScene] = []
  private(set) var reads: [LateHintRead] = []

  /// The key that is back, as it was found first; nil when none is.
  var back: LateHintRead? { reads.first { $0.answer.status == 200 } }
  /// Every read of every key says 404: anything else is no answer to rest on.
  var staysDeleted: Bool { !reads.isEmpty && reads.allSatisfy { $0.answer.status == 404 } }
  var verdict: StoryVerdict { back == nil ? .staysDeleted : .isBack }

  /// - Parameter tell: Is given every scene when it is over.
  /// - Throws: `Failure` with what did not happen, and what `tell` and the stage throw.
  init(on stage: inout some ClusterStage, tell: (LateHintScene) throws -> Void = { _ in }) throws {
    try play(&stage, tell)
  }

  private mutating func play(_ stage: inout some ClusterStage, _ tell: (LateHintScene) throws -> Void) throws {
    let keys = LateHintStory.keys
    try until("all nodes have found each other", on: &stage) { stage, _ in
      try (1...3).allSatisfy { try stage.isWhole($0) }
    }
    try add("Three nodes, each key on all of them", [], &stage, tell)

    try stage.kill(LateHintStory.late)
    try add("n3 is killed", ["kill -9: nothing was said to anybody."], &stage, tell)

    try write(on: &stage)
    try until("n1 and n2 have the values, and a hint of each for n3", on: &stage) { _, nodes in
      nodes.prefix(2).allSatisfy { $0.values == keys.count } && nodes.hints == keys.count
    }
    try add(
      "PUT of \(keys.count) keys through n1: 204",
      ["What n3 should have had is kept for it: a hint of each key."], &stage, tell)

    try stage.start(LateHintStory.late)
    try until("n3 is back and has been handed the first hint", on: &stage) { stage, nodes in
      guard try (1...3).allSatisfy({ try stage.isWhole($0) }) else { return false }
      return nodes.hints < keys.count
    }
    try add(
      "n3 is back",
      [
        "It is handed the hint of \(LateHintStory.crate), 1 MiB. Nodes hand over 64 KiB a second here: the other hints wait.",
        "What else n3 lacks it pulls from the others by itself, sooner or later.",
      ], &stage, tell)

    for key in keys {
      let status = try stage.delete(key, through: 2)
      guard status == 204 else { throw Failure("DELETE of \(key) through n2 was answered \(status), not 204") }
    }
    try until("all nodes have heard of the deletes", on: &stage) { _, nodes in nodes.allSatisfy { $0.values == 0 } }
    try add(
      "DELETE of all of them through n2: 204",
      [
        "Each owner keeps a tombstone of each key until every other one has acknowledged it. The hints are on their way",
        "still.",
      ], &stage, tell)

    try until("every node has collected its tombstones", on: &stage) { _, nodes in
      nodes.allSatisfy { $0.tombstones == 0 && $0.values == 0 }
    }
    try add(
      "The tombstones are forgotten on every node",
      [
        "All have acknowledged them. Nobody remembers the keys: one number is left in each store, the floor. The hints will",
        "take some seconds more.",
      ], &stage, tell)
    guard scenes.last?.nodes.hints ?? 0 > 0 else {
      throw Failure(
        "no hint was late: they arrived before the tombstones had gone; try again when this machine is less busy")
    }

    try until("the late hints have been handed over", on: &stage) { _, nodes in nodes.hints == 0 }
    let last = try stage.nodes()
    try add("The late hints reach n3", ending(last[LateHintStory.late - 1]), &stage, tell)
    try read(on: &stage)
  }

  private func ending(_ node: StageNode) -> [String] {
    if node.values > 0 { return ["n3 has no such key and no tombstone of it. It takes the old values for news."] }
    return [
      "They are at or below the floor, and n3 has no such key: they create nothing. n3 has asked all other owners, none has",
      "them; the values are kept aside (cairn quarantine).",
    ]
  }

  private func write(on stage: inout some ClusterStage) throws {
    let crate = [UInt8](repeating: UInt8(ascii: "."), count: LateHintStory.crateBytes)
    for (key, value) in [(LateHintStory.crate, crate)] + LateHintStory.fruit.map({ ($0.0, Array($0.1.utf8)) }) {
      let status = try stage.put(key, value, through: 1)
      guard status == 204 else { throw Failure("PUT of \(key) through n1 was answered \(status), not 204") }
    }
  }

  /// Every key through every node; r = 1 first, because a read of more than one copy repairs what it finds.
  private mutating func read(on stage: inout some ClusterStage) throws {
    for r in 1...3 {
      for node in 1...3 {
        for key in LateHintStory.keys {
          reads.append(LateHintRead(key: key, r: r, node: node, answer: try stage.get(key, r: r, through: node)))
        }
      }
    }
  }

  private mutating func add(
    _ title: String, _ text: [String], _ stage: inout some ClusterStage, _ tell: (LateHintScene) throws -> Void
  ) throws {
    let nodes = try stage.nodes()
    scenes.append(
      LateHintScene(
        number: scenes.count + 1, title: title, text: text, milliseconds: stage.milliseconds, nodes: nodes))
    try tell(scenes[scenes.count - 1])
  }

  private func until<Stage: ClusterStage>(
    _ what: String, on stage: inout Stage, _ holds: (inout Stage, [StageNode]) throws -> Bool
  ) throws {
    let deadline = stage.milliseconds + LateHintStory.patienceMilliseconds
    while true {
      let nodes = try stage.nodes()
      if try holds(&stage, nodes) { return }
      if stage.milliseconds > deadline {
        let state = nodes.map { "\($0.name): \($0.holds), \(plural($0.hints, "hint"))" }.joined(separator: "; ")
        throw Failure("not within \(LateHintStory.patienceMilliseconds / 1000) s: \(what) (\(state))")
      }
      try stage.pass()
    }
  }
}

extension [StageNode] {
  /// On all nodes; all of them are for the one that was down.
  var hints: Int { reduce(0) { $0 + $1.hints } }
}
