import Messages
import Primitives

// What the clients ask: each is sequential, picks a node at random, writes values that nobody wrote before, and reads
// and deletes a small set of keys, so that operations meet; or each put has a key of its own. `WorkloadKind` says which
// kinds there are.

struct Workload {
  private let options: WorkloadOptions
  private let replicas: Int
  /// By client.
  private var generators: [SeededGenerator]
  let keys: [ObjectKey]
  private var numbers = 0
  /// Keys that puts have taken, where each has its own.
  private var keysTaken = 0
  private static let firstStream: UInt64 = 100
  /// How long values live.
  private let lifetimeSeconds: ClosedRange<Int>?
  private var lifetimes: SeededGenerator

  init(options: WorkloadOptions, replicas: Int, lifetimeSeconds: ClosedRange<Int>? = nil, seed: UInt64) {
    self.lifetimeSeconds = lifetimeSeconds
    lifetimes = SeededGenerator(seed: seed, stream: 16)
    self.options = options
    self.replicas = replicas
    generators = (0..<options.clients).map {
      SeededGenerator(seed: seed, stream: Workload.firstStream + UInt64($0))
    }
    keys = (0..<options.keys).map { Workload.key($0) }
  }

  private static let bucket = Array("simulated".utf8)

  /// All keys.
  var listing: ListRequest { ListRequest(.keys(bucket: Workload.bucket)) }

  private static func key(_ index: Int) -> ObjectKey {
    guard let key = ObjectKey(bucket: bucket, key: Array("k\(index)".utf8)) else {
      fatalError("invariant: a short key is a key")
    }
    return key
  }

  mutating func thinkTime(of client: Int) -> UInt64 {
    generators[client].duration(milliseconds: options.thinkMilliseconds)
  }

  /// Between a client and its node, one way.
  mutating func delay(of client: Int) -> UInt64 { generators[client].clientDelay() }

  mutating func node(for client: Int, of nodes: [Int]) -> Int { nodes[generators[client].below(nodes.count)] }

  /// Whether this client reads what it has just written.
  mutating func follows(_ client: Int) -> Bool { generators[client].below(100) < options.followPercent }

  /// The next thing a client asks for.
  mutating func next(for client: Int, at now: Instant) -> Operation {
    let dice = generators[client].below(100)
    let isTimed = generators[client].chance(1, in: 4)
    let timeout = isTimed ? UInt32(generators[client].number(in: 100...3000)) : nil
    if dice < options.putPercent, let key = keyToPut(client) {
      return operation(key, at: now) { number, workload in workload.put(number, key, timeout, client) }
    }
    let isDelete = dice >= options.putPercent && dice < options.putPercent + options.deletePercent
    let key = keyToRead(client, isDelete: isDelete)
    if isDelete {
      var delete = DeleteRequest(key: keys[key])
      delete.quorum = writeQuorum(client)
      delete.timeoutMilliseconds = timeout
      delete.always = generators[client].chance(1, in: 4)
      return operation(key, at: now) { _, _ in .delete(delete) }
    }
    return read(key, for: client, timeout: timeout, at: now)
  }

  mutating func read(_ key: Int, for client: Int, timeout: UInt32? = nil, at now: Instant) -> Operation {
    var get = GetRequest(key: keys[key])
    if draws(client) { get.r = quorumSize(client) }
    get.timeoutMilliseconds = timeout
    return operation(key, at: now) { _, _ in .get(get) }
  }

  /// Nil when every key has had its put.
  private mutating func keyToPut(_ client: Int) -> Int? {
    if options.keysInUse > 0 { return keyInUse(generators[client].below(options.keysInUse)) }
    guard options.kind == .unique else { return generators[client].below(keys.count) }
    guard keysTaken < keys.count else { return nil }
    keysTaken += 1
    return keysTaken - 1
  }

  private mutating func keyToRead(_ client: Int, isDelete: Bool) -> Int {
    if options.keysInUse > 0, isDelete || generators[client].chance(1, in: 2) {
      // Those that go out of use as well: most of them are deleted last.
      return keyInUse(generators[client].below(2 * options.keysInUse) - options.keysInUse)
    }
    return generators[client].below(options.kind == .unique ? max(1, keysTaken) : keys.count)
  }

  /// One of the keys that are in use now, or were before them.
  private func keyInUse(_ place: Int) -> Int {
    (numbers / options.operationsInUse + place + keys.count) % keys.count
  }

  /// Whether this client looks at what it has just deleted.
  mutating func looksAfter(_ client: Int) -> Bool {
    options.deletesLookedAtPercent > 0 && generators[client].below(100) < options.deletesLookedAtPercent
  }

  /// An operation on this key, with the next number.
  mutating func operation(
    _ key: Int, at now: Instant, _ request: (Int, inout Workload) -> ClientRequest
  ) -> Operation {
    numbers += 1
    let request = request(numbers, &self)
    return Operation(number: numbers, key: key, request: request, invoked: now)
  }

  private mutating func put(_ number: Int, _ key: Int, _ timeout: UInt32?, _ client: Int) -> ClientRequest {
    let valueBytes = generators[client].below(options.valueBytesMax)
    var put = PutRequest(key: keys[key], payload: ValueLedger.payload(operation: number, valueBytes: valueBytes))
    put.quorum = writeQuorum(client)
    put.timeoutMilliseconds = timeout
    if let lifetimeSeconds, lifetimes.chance(1, in: 2) {
      put.lifetime = .seconds(UInt32(lifetimes.number(in: lifetimeSeconds)))
    }
    return .put(put)
  }

  private mutating func draws(_ client: Int) -> Bool {
    generators[client].below(100) >= options.defaultQuorumPercent
  }

  private mutating func writeQuorum(_ client: Int) -> WriteQuorum {
    var quorum = WriteQuorum()
    guard draws(client) else { return quorum }
    quorum.w = quorumSize(client)
    if generators[client].chance(1, in: 2) { quorum.dw = quorumSize(client) }
    return quorum
  }

  private mutating func quorumSize(_ client: Int) -> QuorumSize {
    if options.isWeak, generators[client].below(4) > 0 { return .one }
    return switch generators[client].below(20) {
    case 0..<5: .one
    case 5..<8: .all
    case 8..<10: .count(replicas)
    case 10: .count(replicas + 1)
    case 11..<15: .quorum
    default: .default
    }
  }
}

extension SeededGenerator {
  /// Between somebody and a node, one way.
  mutating func clientDelay() -> UInt64 { duration(microseconds: 20...2000) }
}
