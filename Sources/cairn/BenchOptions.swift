import Client
import Platform
import Primitives
import Protocols
import Server

// What `cairn bench` is told to do, checked before anything is sent.

/// Quorums as they were typed and checked; what is not there is the bucket's.
struct BenchQuorums: Equatable, Sendable {
  private(set) var values: [String: String] = [:]

  init() {}

  init(_ arguments: Arguments) throws(UsageError) {
    for name in ["r", "w", "dw"] {
      guard let value = arguments.value("--" + name) else { continue }
      guard ObjectRequest.isQuorum(value) else {
        throw arguments.problem("--\(name) is '\(value)', not a number from 1 to 255, one, quorum or all")
      }
      values[name] = value
    }
  }

  /// As a field of Protocol Buffers.
  func number(_ name: String) -> UInt32? { values[name].flatMap(PBRequests.quorum) }

  /// As the end of an HTTP target.
  func query(_ names: String...) -> String {
    let parts = names.compactMap { name in values[name].map { "\(name)=\($0)" } }
    return parts.isEmpty ? "" : "?" + parts.joined(separator: "&")
  }
}

enum BenchOperation: UInt8, CaseIterable, Sendable {
  case get = 0
  case put = 1
  case delete = 2

  init?(_ name: some StringProtocol) {
    guard let found = BenchOperation.allCases.first(where: { $0.name == name }) else { return nil }
    self = found
  }

  var name: String { "\(self)" }
}

/// How often each operation is chosen, as whole numbers in proportion.
struct BenchMix: Equatable, Sendable {
  /// By `BenchOperation.rawValue`.
  let weights: [Int]
  private let total: Int
  static let weightMax = 1_000_000

  init(only operation: BenchOperation) {
    weights = BenchOperation.allCases.map { $0 == operation ? 1 : 0 }
    total = 1
  }

  /// Reads `get=80,put=15,delete=5`; what is not named is not done. Nil when it is none.
  init?(_ text: String) {
    var weights = [Int](repeating: 0, count: BenchOperation.allCases.count)
    var named: Set<BenchOperation> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = part.split(separator: "=", omittingEmptySubsequences: false)
      guard sides.count == 2, let operation = BenchOperation(sides[0]), named.insert(operation).inserted,
        let weight = Int(sides[1]), (0...BenchMix.weightMax).contains(weight)
      else { return nil }
      weights[Int(operation.rawValue)] = weight
    }
    total = weights.reduce(0, +)
    self.weights = weights
    if total == 0 { return nil }
  }

  func choose(using generator: inout SeededGenerator) -> BenchOperation {
    if total == 1 { return BenchOperation.allCases[weights.firstIndex(of: 1)!] }
    var rest = generator.below(total)
    for operation in BenchOperation.allCases {
      rest -= weights[Int(operation.rawValue)]
      if rest < 0 { return operation }
    }
    fatalError("invariant: the weights \(weights) do not add up to \(total)")
  }

  /// Those that are done, in the order they are shown.
  var operations: [BenchOperation] { BenchOperation.allCases.filter { weights[Int($0.rawValue)] > 0 } }
}

struct BenchOptions: Sendable {
  /// How requests travel.
  var wire: PumpWire
  /// As they were named. Those of HTTP say where they speak Protocol Buffers, if that is wanted.
  var endpoints: [Endpoint]
  var mix: BenchMix
  var keyCount: Int
  var valueByteCount: Int
  var distribution: KeyDistribution
  var distributionText: String
  var connectionCount: Int
  /// Requests in flight on one connection.
  var depth: Int
  var durationMilliseconds: UInt64
  var warmupMilliseconds: UInt64
  /// Arrivals a second; nil for a closed loop.
  var rate: Double?
  var preloads: Bool
  var bucket: String
  var quorums: BenchQuorums
  var seed: UInt64
  var csvPath: String?
  var printsJSON: Bool

  static let keysMax = 1_000_000_000
  static let connectionsMax = 1024
  static let depthMax = 64
  static let rateMax = 10_000_000
  private static let mixDefault = "get=80,put=15,delete=5"

  static let table = [
    Option(
      "--url", "URL", repeats: true,
      help: "a node; connections are spread over all (default \(ObjectRequest.defaultURL)); with --protocol pb also "
        + "pb://ADDRESS:PORT"),
    Option(
      "--protocol", "P",
      help: "how to speak to the nodes: http, or pb, Riak's Protocol Buffers (default: http)"),
    Option("--op", "OP", help: "get, put, delete or mixed (default: mixed)"),
    Option("--mix", "MIX", help: "shares of a mixed load (default: \(mixDefault))"),
    Option("--keys", "N", help: "how many different keys (default: 10000)"),
    Option("--value-size", "BYTES", help: "bytes of a value (default: 100)"),
    Option("--distribution", "D", help: "uniform or zipf (default: uniform)"),
    Option("--zipf-theta", "T", help: "how uneven zipf is, 0.01 to 10 (default: 0.99)"),
    Option("--connections", "N", help: "connections in all (default: 16)"),
    Option("--depth", "N", help: "requests in flight on each connection (default: 1)"),
    Option("--duration", "TIME", help: "how long to measure (default: 10s)"),
    Option("--warmup", "TIME", help: "how long to run before measuring (default: 1s)"),
    Option("--rate", "R", help: "open loop: R requests a second, whatever the answers take (default: closed loop)"),
    Option("--preload", help: "store every key first"),
    Option("--bucket", "B", help: "where the keys are (default: bench)"),
    Option("--r", "N", help: "quorum of gets"), Option("--w", "N", help: "quorum of puts and deletes"),
    Option("--dw", "N", help: "durable quorum of puts and deletes"),
    Option("--seed", "S", help: "of operations, keys and values (default: 1)"),
    Option("--csv", "FILE", help: "write a row per second"),
    Option("--json", help: "print JSON"),
  ]

  init(_ arguments: Arguments) throws {
    try arguments.refuseOperands()
    wire = try BenchOptions.wire(arguments)
    endpoints = try arguments.benchEndpoints(wire)
    mix = try BenchOptions.mix(arguments)
    keyCount = try arguments.integer("--keys", in: 1...BenchOptions.keysMax) ?? 10_000
    valueByteCount = try arguments.valueSize() ?? 100
    (distribution, distributionText) = try BenchOptions.distribution(arguments, keyCount: keyCount)
    connectionCount = try arguments.integer("--connections", in: 1...BenchOptions.connectionsMax) ?? 16
    guard connectionCount >= endpoints.count else {
      throw arguments.problem(
        "--connections \(connectionCount) is fewer than the \(endpoints.count) nodes of --url",
        hint: "type --connections \(endpoints.count) or more")
    }
    depth = try arguments.integer("--depth", in: 1...BenchOptions.depthMax) ?? 1
    durationMilliseconds = try BenchOptions.time("--duration", arguments, in: 100...86_400_000) ?? 10_000
    warmupMilliseconds = try BenchOptions.time("--warmup", arguments, in: 0...3_600_000) ?? 1000
    rate = try arguments.integer("--rate", in: 1...BenchOptions.rateMax).map(Double.init)
    preloads = arguments.has("--preload")
    bucket = arguments.value("--bucket") ?? "bench"
    if bucket.isEmpty { throw arguments.problem("--bucket is empty") }
    quorums = try BenchQuorums(arguments)
    seed = UInt64(try arguments.integer("--seed", in: 0...Int.max) ?? 1)
    csvPath = arguments.value("--csv")
    if csvPath == "" { throw arguments.problem("--csv is empty; it names a file") }
    printsJSON = arguments.has("--json")
  }

  private static func mix(_ arguments: Arguments) throws(UsageError) -> BenchMix {
    let name = arguments.value("--op") ?? "mixed"
    let text = arguments.value("--mix")
    if name == "mixed" {
      guard let mix = BenchMix(text ?? mixDefault) else {
        throw arguments.problem(
          "--mix is '\(text ?? "")', not shares of get, put and delete", hint: "type --mix \(mixDefault)")
      }
      return mix
    }
    guard let operation = BenchOperation(name) else {
      throw arguments.problem("--op is '\(name)', not get, put, delete or mixed")
    }
    if text != nil { throw arguments.problem("--mix is for --op mixed, not for --op \(name)") }
    return BenchMix(only: operation)
  }

  private static func time(
    _ option: String, _ arguments: Arguments, in range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64? {
    guard let text = arguments.value(option) else { return nil }
    guard let value = parseDuration(text), range.contains(value) else {
      let (low, high) = (showDuration(range.lowerBound), showDuration(range.upperBound))
      throw arguments.problem("\(option) is '\(text)', not a time from \(low) to \(high), like 500ms or 10s")
    }
    return value
  }

  private static func distribution(
    _ arguments: Arguments, keyCount: Int
  ) throws(UsageError) -> (KeyDistribution, String) {
    let name = arguments.value("--distribution") ?? "uniform"
    let text = arguments.value("--zipf-theta")
    switch name {
    case "uniform":
      if text != nil { throw arguments.problem("--zipf-theta is for --distribution zipf") }
      return (.uniform(count: keyCount), "uniform")
    case "zipf":
      guard let theta = Double(text ?? "0.99"), (0.01...10).contains(theta) else {
        throw arguments.problem("--zipf-theta is '\(text ?? "")', not a number from 0.01 to 10")
      }
      let sampler = ZipfSampler(count: keyCount, theta: theta)
      return (.zipf(sampler, KeyShuffle(count: keyCount)), "zipf, theta \(theta)")
    default: throw arguments.problem("--distribution is '\(name)', not uniform or zipf")
    }
  }

  private static func wire(_ arguments: Arguments) throws(UsageError) -> PumpWire {
    switch arguments.value("--protocol") ?? "http" {
    case "http": return .http
    case "pb": return .pb
    case let other: throw arguments.problem("--protocol is '\(other)', not http or pb")
    }
  }

  /// `?r=1` and the like, by `BenchOperation.rawValue`.
  var queries: [String] { [quorums.query("r"), quorums.query("w", "dw"), quorums.query("w", "dw")] }
}
