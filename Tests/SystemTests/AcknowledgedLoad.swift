import Client
import Platform
import Primitives
import Protocols

// Clients that write to, delete from and read a cluster that is being hurt, each on a thread of its own, each
// remembering what it was told. A client owns its keys and does one thing at a time. A key whose last write had no
// clear answer is left alone from then on: that write may take effect, or never.

/// Which nodes are being killed or started now: their connections may break.
final class HurtNodes: Sendable {
  private let numbers = Locked<Set<Int>>([])
  func insert(_ node: Int) { numbers.withLock { _ = $0.insert(node) } }
  func remove(_ node: Int) { numbers.withLock { _ = $0.remove(node) } }
  func contains(_ node: Int) -> Bool { numbers.withLock { $0.contains(node) } }
}

/// What a client found out about its keys and about the nodes.
struct LoadRecord {
  /// Per key, what a read may find: a version, or nil for nothing there. More than one after an unclear answer.
  var acceptable: [String: [Int?]] = [:]
  var acknowledged = 0
  /// Answers that contradict what was acknowledged.
  var wrong: [String] = []
  /// Failures on connections to nodes that nobody hurt at the time.
  var failedElsewhere: [String] = []
  var failedOnHurtNode = 0
  /// Of the last request that was begun; it may be on its way.
  var lastKey = ""
  /// Its number; those of later requests of this client are higher.
  var lastVersion = 0
}

final class LoadClient: Sendable {
  private static let keysMax = 12

  let number: Int
  /// The nodes that it asks, and the port of each.
  private let nodes: [(number: Int, port: Int)]
  private let hurt: HurtNodes
  private let seed: UInt64
  private let paddingMax: Int
  private let isStopped = Locked(false)
  private let state = Locked(LoadRecord())

  /// - Parameter paddingMax: About how many bytes the largest values have.
  init(number: Int, nodes: [(number: Int, port: Int)], hurt: HurtNodes, seed: UInt64, paddingMax: Int) {
    self.number = number
    self.nodes = nodes
    self.hurt = hurt
    self.seed = seed
    self.paddingMax = paddingMax
  }

  var record: LoadRecord { state.withLock { $0 } }
  var acknowledged: Int { state.withLock { $0.acknowledged } }
  func stop() { isStopped.withLock { $0 = true } }

  /// The bytes of a version, no two alike.
  static func value(_ version: Int, paddedBy count: Int) -> [UInt8] {
    Array("\(version) \(count) ".utf8) + [UInt8](repeating: UInt8(version % 251), count: count)
  }

  func run() {
    var generator = SeededGenerator(seed: seed &+ UInt64(number))
    let connections = nodes.map { node in
      Connection(Endpoint(address: SocketAddress(host: [127, 0, 0, 1], port: UInt16(node.port))))
    }
    var keys: [String] = []
    var version = 0
    while !isStopped.withLock({ $0 }) {
      version += 1
      if keys.count < LoadClient.keysMax { keys.append("load-\(seed)-\(number)-\(version)") }
      let index = generator.below(keys.count)
      let place = generator.below(nodes.count)
      let step = Step(
        key: keys[index], version: version, node: nodes[place].number, connection: connections[place])
      state.withLock {
        $0.lastKey = step.key
        $0.lastVersion = step.version
      }
      let isClear =
        switch generator.below(10) {
        case 0..<6: put(step)
        case 6..<8: delete(step)
        default: read(step)
        }
      // New keys come in all the time, too.
      if !isClear || generator.chance(1, in: 20) { keys.remove(at: index) }
    }
  }

  // MARK: One request

  private final class Connection {
    var client: HTTPClient
    init(_ endpoint: Endpoint) { client = HTTPClient(endpoint, timeoutMilliseconds: 20_000) }
  }

  private struct Step {
    let key: String
    let version: Int
    let node: Int
    let connection: Connection
  }

  private enum Outcome {
    case answered(HTTPResponse)
    case notSent
    case unclear
  }

  /// False when the key must be left alone.
  private func put(_ step: Step) -> Bool {
    let value = LoadClient.value(step.version, paddedBy: step.version * 7919 % paddingMax)
    return write(step, becoming: step.version) { try $0.put(step.key, value) }
  }

  private func delete(_ step: Step) -> Bool {
    write(step, becoming: nil) { try $0.delete(step.key) }
  }

  private func write(
    _ step: Step, becoming version: Int?, _ send: (inout HTTPClient) throws -> HTTPResponse
  ) -> Bool {
    switch attempt(step, send) {
    case .answered(let response) where response.status == 204:
      state.withLock {
        $0.acceptable[step.key] = [version]
        $0.acknowledged += 1
      }
      return true
    case .answered(let response) where response.status == 404 && version == nil:
      return agree(step, [nil], "DELETE finds nothing")
    case .notSent: return true
    case .answered, .unclear:
      state.withLock { $0.acceptable[step.key, default: [nil]].append(version) }
      return false
    }
  }

  private func read(_ step: Step) -> Bool {
    guard case .answered(let response) = attempt(step, { try $0.get(step.key) }) else { return true }
    switch LoadClient.version(in: response) {
    case .some(let version): return agree(step, [version], "GET")
    case nil: return true
    }
  }

  /// Holds an answer against what was acknowledged.
  private func agree(_ step: Step, _ found: [Int?], _ what: String) -> Bool {
    state.withLock { record in
      let acceptable = record.acceptable[step.key] ?? [nil]
      if !acceptable.contains(where: { found.contains($0) }) {
        record.wrong.append("\(step.key) through n\(step.node): \(what): \(found), not one of \(acceptable)")
      }
    }
    return true
  }

  /// What a GET found: a version (-1 for bytes that are none), or nothing there; nil when it is no answer at all.
  static func version(in response: HTTPResponse) -> Int?? {
    switch response.status {
    case 200:
      let fields = response.body.split(separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
      let numbers = fields.prefix(2).compactMap { Int(String(decoding: $0, as: UTF8.self)) }
      guard numbers.count == 2, value(numbers[0], paddedBy: numbers[1]) == response.body else { return .some(-1) }
      return .some(numbers[0])
    case 404: return .some(nil)
    default: return nil
    }
  }

  private func attempt(_ step: Step, _ send: (inout HTTPClient) throws -> HTTPResponse) -> Outcome {
    let wasHurt = hurt.contains(step.node)
    do {
      let response = try send(&step.connection.client)
      if response.status >= 500 { failed(step, wasHurt, "\(response.status) \(text(response))") }
      return .answered(response)
    } catch HTTPClientError.notReached(_, let error) {
      failed(step, wasHurt, "\(error)")
      return .notSent
    } catch {
      failed(step, wasHurt, "\(error)")
      return .unclear
    }
  }

  private func text(_ response: HTTPResponse) -> String { String(decoding: response.body.prefix(200), as: UTF8.self) }

  private func failed(_ step: Step, _ wasHurt: Bool, _ why: String) {
    let isHurt = wasHurt || hurt.contains(step.node)
    state.withLock {
      if isHurt { $0.failedOnHurtNode += 1 } else { $0.failedElsewhere.append("n\(step.node): \(why)") }
    }
  }
}

/// Several clients at work on a cluster.
struct Load {
  let clients: [LoadClient]
  let hurt = HurtNodes()

  /// - Parameter nodes: Those that the clients ask; all by default.
  init(_ count: Int, on cluster: TestCluster, nodes: [Int]? = nil, seed: UInt64, paddingMax: Int = 300) {
    let hurt = hurt
    let places = (nodes ?? Array(1...cluster.nodeCount)).map { (number: $0, port: cluster.httpPort($0)) }
    clients = (1...count).map { number in
      LoadClient(number: number, nodes: places, hurt: hurt, seed: seed, paddingMax: paddingMax)
    }
  }

  /// Runs the clients while `body` runs; none of them outlives it, whatever happens.
  func running(_ body: () throws -> Void) throws {
    let threads = try clients.map { client in try Thread { client.run() } }
    defer {
      for client in clients { client.stop() }
      for thread in threads { thread.join() }
    }
    try body()
  }

  /// Waits until `count` more writes were acknowledged to every client.
  func advance(_ count: Int) throws {
    let goals = clients.map { $0.acknowledged + count }
    try eventually("clients go on") { zip(clients, goals).allSatisfy { $0.acknowledged >= $1 } }
  }

  var acknowledged: Int { clients.reduce(0) { $0 + $1.acknowledged } }

  /// Everything that contradicts what was acknowledged: what the clients saw themselves, and what each node says now.
  /// - Parameter query: Of the reads, as `?r=1`.
  func contradictions(in cluster: TestCluster, query: String = "") throws -> [String] {
    var wrong: [String] = []
    for record in clients.map(\.record) {
      wrong += record.wrong
      for node in 1...cluster.nodeCount {
        var client = try cluster.client(node)
        for (key, acceptable) in record.acceptable.sorted(by: { $0.key < $1.key }) {
          let found = try settled(key, query, through: &client)
          if !acceptable.contains(found) {
            wrong.append("\(key) through n\(node) is \(String(describing: found)), not one of \(acceptable)")
          }
        }
      }
    }
    return wrong
  }

  /// What a node says of a key once it answers: right after a start it may still look for the others.
  private func settled(_ key: String, _ query: String, through client: inout HTTPClient) throws -> Int? {
    var version: Int??
    try eventually("\(key) is readable") {
      version = LoadClient.version(in: try client.get(key, query: query))
      return version != nil
    }
    return version!
  }
}
