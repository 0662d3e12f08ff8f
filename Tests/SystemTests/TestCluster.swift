import Client
import Platform
import Protocols
import Testing

// A local cluster for one test, started and hurt through the command line as a user would, and cleaned up whatever
// happens.

/// Blocks of ports below those that the kernel gives to outgoing connections; each test takes the next free one.
enum Ports {
  private static let next = Locked(20_000 + processIdentifier() % 100 * 100)

  static func base() throws -> Int {
    for _ in 0..<120 {
      let base = next.withLock { next in
        defer { next = next + 100 >= 32_000 ? 20_000 : next + 100 }
        return next
      }
      let ports = (1...9).flatMap { (node: Int) -> [Int] in
        [base + 10 * node + 6, base + 10 * node + 7, base + 10 * node + 8]
      }
      if ports.allSatisfy(isFree) { return base }
    }
    throw Stuck("no free ports between 20000 and 32000")
  }

  private static func isFree(_ port: Int) -> Bool {
    (try? Listener(on: SocketAddress(host: [127, 0, 0, 1], port: UInt16(port)))) != nil
  }
}

final class TestCluster {
  let directory: ScratchDirectory
  let base: Int
  let nodeCount: Int
  /// `NAME=value` for the commands, and so for the nodes that they start.
  var environment: [String] = []

  private init(_ name: String, nodeCount: Int) throws {
    directory = try ScratchDirectory(name)
    base = try Ports.base()
    self.nodeCount = nodeCount
  }

  /// Starts a cluster, runs the body, and ends all of its processes. When the test failed, the ends of the logs are
  /// part of the report.
  static func with(
    _ name: String, nodes: Int = 3, settings: [String] = [], environment: [String] = [],
    _ body: (TestCluster) throws -> Void
  ) throws {
    let cluster = try TestCluster(name, nodeCount: nodes)
    cluster.environment = environment
    defer { cluster.killAll() }
    do {
      try cluster.local(
        "up", "--nodes", "\(nodes)", "--n", "\(min(nodes, 3))", "--port-base", "\(cluster.base)", settings: settings)
      try body(cluster)
    } catch {
      Issue.record("\(error)\n\(cluster.logTails())")
    }
  }

  var data: String { directory.path + "/cluster" }
  func httpPort(_ node: Int) -> Int { base + 10 * node + 8 }
  func pbPort(_ node: Int) -> Int { base + 10 * node + 7 }
  func clusterPort(_ node: Int) -> Int { base + 10 * node + 6 }
  func url(_ node: Int) -> String { "http://127.0.0.1:\(httpPort(node))" }
  func client(_ node: Int) throws -> HTTPClient { HTTPClient(try Endpoint(url(node)), timeoutMilliseconds: 30_000) }

  var initialCluster: String { (1...nodeCount).map { "n\($0)=127.0.0.1:\(clusterPort($0))" }.joined(separator: ",") }

  /// The arguments of `cairn node` for a node of this cluster.
  func nodeArguments(_ node: Int) -> [String] {
    [
      "node", "--name", "n\(node)", "--data", "\(data)/n\(node)", "--http", "127.0.0.1:\(httpPort(node))", "--cluster",
      "127.0.0.1:\(clusterPort(node))", "--initial-cluster", initialCluster, "--pb", "127.0.0.1:\(pbPort(node))",
    ]
  }

  /// Runs `cairn local …` on this cluster; anything but success ends the test.
  @discardableResult
  func local(_ words: String..., settings: [String] = []) throws -> String {
    let words = ["local"] + words + settings.flatMap { ["--set", $0] } + ["--data", data]
    let result = try cairn(words, environment: environment)
    guard result.code == 0 else { throw Stuck("cairn \(words.joined(separator: " ")): \(result.errors)") }
    return result.outputText
  }

  /// The process id of each node that runs.
  func pids() throws -> [Int?] {
    let status = try JSON.parse(Array(local("status", "--json").utf8))
    return (status.array ?? []).map { $0["pid"]?.integer }
  }

  /// SIGKILL to every node that runs.
  func killAll() {
    guard let pids = try? pids() else { return }
    for case let pid? in pids { ProcessIdentity(running: Int32(pid))?.signal(.kill) }
    for case let pid? in pids {
      try? eventually("process \(pid) is gone") { ProcessIdentity(running: Int32(pid)) == nil }
    }
  }

  private func logTails() -> String {
    (1...nodeCount).map { node in
      let log = (try? FileTree.read("\(data)/n\(node).log", bytesMax: 64 << 20)) ?? []
      return "--- n\(node).log ends\n" + String(decoding: log.suffix(2000), as: UTF8.self)
    }.joined(separator: "\n")
  }
}

/// The path of a key in the bucket that the tests use.
func path(_ key: String) -> String { objectPath(type: nil, bucket: "test", key: key) }

extension HTTPClient {
  mutating func put(_ key: String, _ value: [UInt8], query: String = "") throws -> HTTPResponse {
    try send("PUT", path(key) + query, headers: [("Content-Type", "application/octet-stream")], body: value)
  }

  mutating func get(_ key: String, query: String = "") throws -> HTTPResponse { try send("GET", path(key) + query) }

  mutating func delete(_ key: String) throws -> HTTPResponse { try send("DELETE", path(key)) }
}
