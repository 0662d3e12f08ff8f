import Messages
import Primitives

// What the clients ask: each is sequential, picks a node at random, writes values that nobody wrote before, and reads
// and deletes a small set of keys, so that operations meet.

struct Workload {
  private let options: WorkloadOptions
  private let replicas: Int
  private var generator: SeededGenerator
  let keys: [ObjectKey]
  private var numbers = 0

  init(options: WorkloadOptions, replicas: Int, seed: UInt64) {
    self.options = options
    self.replicas = replicas
    generator = SeededGenerator(seed: seed, stream: 3)
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

  mutating func thinkTime() -> UInt64 { generator.duration(milliseconds: options.thinkMilliseconds) }

  /// Between a client and its node, one way.
  mutating func clientDelay() -> UInt64 { generator.duration(microseconds: 20...2000) }

  mutating func node(of nodes: Int) -> Int { generator.below(nodes) }

  /// The next thing a client asks for.
  mutating func next(at now: Instant) -> Operation {
    let key = generator.below(keys.count)
    let dice = generator.below(100)
    let timeout = generator.chance(1, in: 4) ? UInt32(generator.number(in: 100...3000)) : nil
    if dice < options.putPercent {
      return operation(key, at: now) { number, workload in workload.put(number, key, timeout) }
    }
    if dice < options.putPercent + options.deletePercent {
      var delete = DeleteRequest(key: keys[key])
      delete.quorum = writeQuorum()
      delete.timeoutMilliseconds = timeout
      delete.always = generator.chance(1, in: 4)
      return operation(key, at: now) { _, _ in .delete(delete) }
    }
    var get = GetRequest(key: keys[key])
    if draws() { get.r = quorumSize() }
    get.timeoutMilliseconds = timeout
    return operation(key, at: now) { _, _ in .get(get) }
  }

  /// An operation on this key, with the next number.
  mutating func operation(
    _ key: Int, at now: Instant, _ request: (Int, inout Workload) -> ClientRequest
  ) -> Operation {
    numbers += 1
    let request = request(numbers, &self)
    return Operation(number: numbers, key: key, request: request, invoked: now)
  }

  private mutating func put(_ number: Int, _ key: Int, _ timeout: UInt32?) -> ClientRequest {
    let valueBytes = generator.below(options.valueBytesMax)
    var put = PutRequest(key: keys[key], payload: ValueLedger.payload(operation: number, valueBytes: valueBytes))
    put.quorum = writeQuorum()
    put.timeoutMilliseconds = timeout
    return .put(put)
  }

  private mutating func draws() -> Bool { generator.below(100) >= options.defaultQuorumPercent }

  private mutating func writeQuorum() -> WriteQuorum {
    var quorum = WriteQuorum()
    guard draws() else { return quorum }
    quorum.w = quorumSize()
    if generator.chance(1, in: 2) { quorum.dw = quorumSize() }
    return quorum
  }

  private mutating func quorumSize() -> QuorumSize {
    switch generator.below(20) {
    case 0..<5: .one
    case 5..<8: .all
    case 8..<10: .count(replicas)
    case 10: .count(replicas + 1)
    case 11..<15: .quorum
    default: .default
    }
  }
}
