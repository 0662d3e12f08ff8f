import Client
import Platform
import Protocols
import Testing

// What is promised of deletes, asked of a cluster that is being hurt: no deleted key is readable, whatever happens and
// through whichever node; what was not deleted stays; the tombstones go without anybody's help.

/// Keys that are deleted, with an answer that says so, and keys that stay. All are on every node before anything happens.
struct DeletePromise {
  let cluster: TestCluster
  var dead = 40
  var live = 20
  var bytes = 100

  /// Few stores and short intervals, so that collecting takes no time.
  static let settings = [
    "partitions=4", "tombstone_hold=200ms", "feed_interval=50ms", "anti_entropy_interval=1s",
    "hint_retry_interval=100ms",
  ]

  /// A cluster that has the keys on every node, before anything happens.
  static func with(
    _ name: String, settings: [String] = [], dead: Int = 40, live: Int = 20, bytes: Int = 100,
    _ body: (TestCluster, DeletePromise) throws -> Void
  ) throws {
    try TestCluster.with(name, settings: Self.settings + settings) { cluster in
      let promise = DeletePromise(cluster: cluster, dead: dead, live: live, bytes: bytes)
      try promise.begin()
      try body(cluster, promise)
    }
  }

  func liveKey(_ number: Int) -> String { "live\(number)" }
  func value(_ number: Int) -> [UInt8] { TestCluster.value(number, bytes: bytes) }

  /// - Parameter query: As `?w=2`; of each key all three nodes must have a copy otherwise.
  func writeLive(_ numbers: Range<Int>, through node: Int, query: String = "?w=3") throws {
    var client = try cluster.client(node)
    for number in numbers { #expect(try client.put(liveKey(number), value(number), query: query).status == 204) }
  }

  func begin() throws {
    try cluster.write(dead, bytes: bytes, through: 1, query: "?w=3")
    try writeLive(0..<live, through: 2)
  }

  func delete(through node: Int) throws { try cluster.deleteAll(dead, through: node) }

  func untilCollected() throws {
    try eventually("the deletes are collected") {
      try (1...cluster.nodeCount).allSatisfy { try cluster.pending($0) == 0 }
    }
  }

  /// The tombstones of all that was deleted are on these nodes, some time after they might have been collected, were it
  /// not for the node that has not heard of them.
  func tombstonesWait(on nodes: [Int], seconds: Int = 1) throws {
    try eventually("the tombstones are old, or gone") {
      try nodes.allSatisfy { node in
        let status = try cluster.tombstones(node)
        return status["pending"] != .integer(dead) || status["oldest_seconds"]?.integer ?? 0 >= seconds
      }
    }
    #expect(try nodes.map(cluster.pending) == nodes.map { _ in dead }, "they wait")
  }

  /// Deletes everything, and waits until no node has a tombstone left.
  func deleteAndCollect(through node: Int) throws {
    try delete(through: node)
    try untilCollected()
  }

  /// Runs `body` while deleted keys are looked for all the time.
  /// - Parameters:
  ///   - nodes: Those that answer.
  ///   - r: The quorums that no deleted key may be seen with. One is below what a delete promises, as long as an owner
  ///     has not heard of it.
  func watching(_ nodes: [Int], r: ClosedRange<Int>, _ body: () throws -> Void) throws {
    let watch = Watch(self, nodes: nodes, r: r)
    let thread = try Thread { watch.run() }
    do {
      // Whatever happens, the watch does not outlive the test.
      defer {
        watch.stop()
        thread.join()
      }
      try body()
      try watch.goOn()
    }
    #expect(watch.wrong == [])
  }

  /// All that is promised once nothing more happens; waits for what takes its time.
  /// - Parameter alone: There are no other keys.
  func holds(alone: Bool = true) throws {
    try cluster.untilWhole()
    try untilCollected()
    try cluster.expectGone(dead)
    for node in 1...cluster.nodeCount {
      var client = try cluster.client(node)
      for number in 0..<live {
        let answer = try client.get(liveKey(number), query: "?r=3")
        #expect(answer.status == 200 && answer.body == value(number), "\(liveKey(number)) through n\(node)")
      }
    }
    guard alone else { return }
    // Pulls that a read begins may be on their way.
    try eventually("the nodes have what lives, and nothing else") {
      try (1...cluster.nodeCount).allSatisfy { node in
        let status = try cluster.view(node).status
        return status["keys_live"] == .integer(live) && status["tombstones"] == .integer(0)
      }
    }
  }
}

/// Reads deleted and living keys, over and over, through each node in turn.
private final class Watch: Sendable {
  private struct State {
    var isStopped = false
    var rounds = 0
    var wrong: [String] = []
  }

  /// Those that are deleted first.
  private let keys: [String]
  private let dead: Int
  private let nodes: [(number: Int, endpoint: Endpoint)]
  private let r: ClosedRange<Int>
  private let state = Locked(State())

  init(_ promise: DeletePromise, nodes: [Int], r: ClosedRange<Int>) {
    keys = (0..<promise.dead).map { "k\($0)" } + (0..<promise.live).map(promise.liveKey)
    dead = promise.dead
    self.nodes = nodes.map { node in
      let address = SocketAddress(host: [127, 0, 0, 1], port: UInt16(promise.cluster.httpPort(node)))
      return (node, Endpoint(address: address))
    }
    self.r = r
  }

  var wrong: [String] { state.withLock { $0.wrong } }
  func stop() { state.withLock { $0.isStopped = true } }
  private var isStopped: Bool { state.withLock { $0.isStopped } }

  /// Waits for two more ends of a round: one round has then been run from its beginning.
  func goOn() throws {
    let goal = state.withLock { $0.rounds + 2 }
    try eventually("deleted keys are looked for") { state.withLock { $0.rounds >= goal } }
  }

  func run() {
    while !isStopped {
      for node in nodes {
        var client = HTTPClient(node.endpoint, timeoutMilliseconds: 20_000)
        for r in r { read(r, through: &client, of: node.number) }
      }
      state.withLock { $0.rounds += 1 }
    }
  }

  private func read(_ r: Int, through client: inout HTTPClient, of node: Int) {
    for (number, key) in keys.enumerated() where !isStopped {
      // A node that is down is no answer. Nor is one that refuses, or one copy that need not be there.
      guard let status = try? client.get(key, query: "?r=\(r)").status else { return pause(milliseconds: 5) }
      guard number < dead ? status == 200 : status == 404 && r > 1 else { continue }
      state.withLock { $0.wrong.append("\(key) at r=\(r) through n\(node): \(status)") }
    }
  }
}

extension TestCluster {
  static func value(_ key: Int, bytes: Int) -> [UInt8] {
    Array("value \(key) ".utf8) + [UInt8](repeating: UInt8(key % 251), count: bytes)
  }

  func write(_ count: Int, bytes: Int, through node: Int, query: String = "") throws {
    var client = try client(node)
    for key in 0..<count {
      #expect(try client.put("k\(key)", Self.value(key, bytes: bytes), query: query).status == 204)
    }
  }

  func deleteAll(_ count: Int, through node: Int) throws {
    var client = try client(node)
    for key in 0..<count { #expect(try client.delete("k\(key)").status == 204, "k\(key)") }
  }

  /// No key is there, at any r through any node.
  /// - Parameter mayRefuse: An answer may be "unavailable", never a value.
  func expectGone(_ count: Int, mayRefuse: Bool = false) throws {
    var wrong: [String] = []
    for node in 1...nodeCount {
      var client = try client(node)
      for r in 1...3 {
        for key in 0..<count {
          let status: Int
          do { status = try client.get("k\(key)", query: "?r=\(r)").status } catch  where mayRefuse { continue }
          if mayRefuse, status >= 500 { continue }
          if status != 404 { wrong.append("k\(key) at r=\(r) through n\(node): \(status)") }
        }
      }
    }
    #expect(wrong == [])
  }

  func expectNothingLeft() throws {
    for node in 1...nodeCount {
      let status = try view(node).status
      #expect(status["keys_live"] == .integer(0) && status["tombstones"] == .integer(0), "n\(node)")
      #expect(try pending(node) == 0)
    }
  }

  func untilUp() throws {
    try eventually("all nodes are up") {
      try (1...nodeCount).map(view).allSatisfy { $0.isServing && $0.missing.isEmpty }
    }
  }

  /// All serve with all their stores, and nothing is being filled.
  func untilWhole() throws {
    try eventually("all stores serve") {
      try (1...nodeCount).map(view).allSatisfy { view in
        let stores = view.status["stores"]?.array ?? []
        return view.isServing && view.missing.isEmpty && stores.allSatisfy { $0["role"]?.string == "active" }
      }
    }
  }

  /// Puts a directory that was copied before in the place of a node's, and starts the node.
  func restore(_ node: Int, from copy: String) throws {
    try local("kill", "\(node)")
    try FileTree.remove("\(data)/n\(node)")
    try FileTree.copy(copy, to: "\(data)/n\(node)")
    try local("start", "\(node)")
  }

  func tombstones(_ node: Int) throws -> JSON {
    var client = try client(node)
    return try JSON.parse(client.send("GET", "/admin/tombstones").body)
  }

  func pending(_ node: Int) throws -> Int { try tombstones(node)["pending"]?.integer ?? -1 }

  /// What the tombstones of a node wait for, of each store that has some.
  func reasons(_ node: Int) throws -> [String] {
    (try tombstones(node)["stores"]?.array ?? []).compactMap { $0["reason"]?.string }
  }

  func quarantined(_ node: Int) throws -> Int {
    var client = try client(node)
    return try JSON.parse(client.send("GET", "/admin/quarantine").body)["count"]?.integer ?? -1
  }

  func hintsLeft() throws -> Int {
    try (1...nodeCount).reduce(0) { $0 + (try view($1).status["hints"]?["count"]?.integer ?? 0) }
  }

  func counter(_ node: Int, _ name: String) throws -> Int {
    try view(node).status["counters"]?[name]?.integer ?? -1
  }

  /// The directories below `damaged` that stores of a node were set aside in.
  func setAside(_ node: Int) throws -> [String] {
    let directory = "\(data)/n\(node)/damaged"
    return FileTree.exists(directory) ? try FileTree.names(in: directory) : []
  }

  func log(_ node: Int) -> String {
    String(decoding: (try? FileTree.read("\(data)/n\(node).log", bytesMax: 64 << 20)) ?? [], as: UTF8.self)
  }
}

extension FileTree {
  /// Copies a file, or a directory with everything in it, as `cp -r` does: what somebody removes meanwhile is left out.
  static func copy(_ from: String, to: String) throws(Errno) {
    if facts(from)?.isDirectory == true {
      try create(to)
      for name in try names(in: from) { try copy("\(from)/\(name)", to: "\(to)/\(name)") }
    } else {
      do throws(Errno) {
        try write(try read(from, bytesMax: 64 << 20), to: to)
      } catch .noSuchFile {
        return
      }
    }
  }
}
