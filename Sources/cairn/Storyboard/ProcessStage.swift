import Client
import Platform
import Primitives
import Protocols

// The stage of the story of the late hint that is real: three processes of this program, on ports of their own, in a
// directory that somebody else makes and removes. Whoever makes one ends it, whatever happens.

/// A signal has asked for the end.
struct StoppedBySignal: Error, Equatable {
  let signal: String
  var exitCode: Int32 { TerminationSignals.exitCode(of: signal) }
}

final class ProcessStage: ClusterStage {
  private var cluster: LocalCluster
  /// Looked at between two looks at the nodes.
  private let signals: TerminationSignals
  private let clock = SystemClock()
  private var began: Instant
  private static let bucket = "story"
  private static let lookMilliseconds = 10_000
  private static let pauseMilliseconds = 20
  /// Places of ports that are tried.
  private static let portBasesMax = 100

  /// Starts nothing yet. - Parameter directory: Exists, is empty.
  init(_ directory: String, settings: [String]) throws {
    do throws(Errno) {
      // Whoever reads may go away: that must not end this process before it has ended the others.
      try ignoreBrokenPipes()
      signals = try TerminationSignals(withHangup: true)
    } catch {
      throw Failure("cannot watch for signals: \(error)")
    }
    began = clock.instant()
    cluster = LocalCluster(
      directory: directory, portBase: try ProcessStage.freePortBase(), replicas: 3, settings: settings, nodeCount: 3)
  }

  /// Ports below those that the system gives to outgoing connections.
  private static func freePortBase() throws -> Int {
    for _ in 0..<portBasesMax {
      let base: Int
      do throws(Errno) {
        base = Int(20_000 + 10 * (try randomSeed() % 1200))
      } catch {
        throw Failure("cannot draw a number: \(error)")
      }
      let candidate = LocalCluster(directory: "", portBase: base, replicas: 3, settings: [], nodeCount: 3)
      let ports = candidate.nodes.flatMap { [candidate.httpPort($0), candidate.clusterPort($0)] }
      if ports.allSatisfy({ (try? Listener(on: LocalCluster.loopback($0))) != nil }) { return base }
    }
    throw Failure("no free ports between 20000 and 32000 for three nodes")
  }

  /// Starts all nodes, and waits until they serve.
  func begin() throws {
    try LocalRun.launch(Array(cluster.nodes.indices), of: &cluster)
    began = clock.instant()
  }

  /// No process is left afterwards.
  func end() {
    let processes = cluster.nodes.compactMap { cluster.running($0) }
    for process in processes { process.signal(.kill) }
    for process in processes { _ = waitForEnd(of: process, milliseconds: LocalRun.stopMilliseconds) }
  }

  // MARK: What happens

  func kill(_ number: Int) throws {
    let node = cluster.nodes[number - 1]
    guard let process = cluster.running(node) else { throw Failure("\(cluster.name(node)) does not run any more") }
    process.signal(.kill)
    guard waitForEnd(of: process, milliseconds: LocalRun.stopMilliseconds) else {
      throw Failure("\(cluster.name(node)) (pid \(process.pid)) has not ended after SIGKILL")
    }
  }

  func start(_ number: Int) throws { try LocalRun.launch([number - 1], of: &cluster) }

  func put(_ key: String, _ value: [UInt8], through number: Int) throws -> Int {
    try send("PUT", path(key), to: number, headers: [("Content-Type", "text/plain")], value).status
  }

  func delete(_ key: String, through number: Int) throws -> Int { try send("DELETE", path(key), to: number).status }

  func get(_ key: String, r: Int, through number: Int) throws -> StageAnswer {
    let answer = try send("GET", path(key) + "?r=\(r)", to: number)
    return StageAnswer(
      status: answer.status, value: answer.status == 200 ? String(decoding: answer.body, as: UTF8.self) : nil)
  }

  func pass() throws {
    try endIfAsked()
    pause(milliseconds: ProcessStage.pauseMilliseconds)
  }

  private func endIfAsked() throws(StoppedBySignal) {
    if let signal = signals.next() { throw StoppedBySignal(signal: signal) }
  }

  private func path(_ key: String) -> String { objectPath(type: nil, bucket: ProcessStage.bucket, key: key) }

  // MARK: What there is

  var milliseconds: UInt64 { clock.instant().milliseconds(since: began) }

  func nodes() throws -> [StageNode] { try cluster.nodes.map { try look(at: $0) } }

  func isWhole(_ number: Int) throws -> Bool {
    let status = try document("/admin/status", of: number)
    let isServing = status["state"]?.string == "serving"
    return isServing && (status["peers"]?.array ?? []).allSatisfy { $0["link"]?.string == "up" }
      && (status["stores"]?.array ?? []).allSatisfy { $0["role"]?.string == "active" }
  }

  private func look(at node: LocalCluster.Node) throws -> StageNode {
    var shown = StageNode(name: cluster.name(node))
    guard cluster.running(node) != nil else {
      shown.isUp = false
      return shown
    }
    let status = try document("/admin/status", of: node.number)
    let tombstones = try document(TombstoneView.path, of: node.number)
    shown.values = status["keys_live"]?.integer ?? 0
    shown.tombstones = status["tombstones"]?.integer ?? 0
    shown.reason = tombstones["blocked_by"]?.array?.first?["text"]?.string ?? ""
    shown.hints = status["hints"]?["count"]?.integer ?? 0
    let counters = status["counters"]
    shown.turnedAway = counters?["stale_pushes_dropped"]?.integer ?? 0
    shown.quarantined = try document("/admin/quarantine", of: node.number)["count"]?.integer ?? 0
    return shown
  }

  private func document(_ target: String, of number: Int) throws -> JSON {
    try endIfAsked()
    let endpoint = cluster.endpoint(cluster.nodes[number - 1])
    return try askedDocument("GET", target, endpoint, patienceMilliseconds: ProcessStage.lookMilliseconds)
  }

  private func send(
    _ method: String, _ target: String, to number: Int, headers: [(name: String, value: String)] = [],
    _ body: [UInt8] = []
  ) throws -> HTTPResponse {
    try endIfAsked()
    var client = HTTPClient(
      cluster.endpoint(cluster.nodes[number - 1]), timeoutMilliseconds: ProcessStage.lookMilliseconds)
    do throws(HTTPClientError) { return try client.send(method, target, headers: headers, body: body) } catch {
      throw Failure("\(error)")
    }
  }
}
