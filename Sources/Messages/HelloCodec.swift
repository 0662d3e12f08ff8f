import Causality
import Primitives
import Storage

// The messages by which nodes recognise each other, as bytes: once per connection or second, never hot.

extension Hello {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(versions.lowerBound)
    bytes.appendLittleEndian(versions.upperBound)
    bytes.appendLittleEndian(node.rawValue)
    bytes.appendText(name)
    bytes.appendLittleEndian(bootID)
    bytes.appendLittleEndian(knownBootID)
    bytes.appendLittleEndian(actor.rawValue)
    bytes.append(cluster == nil ? 0 : 1)
    cluster?.append(to: &bytes)
    bytes.appendLittleEndian(membersDigest)
    bytes.appendLittleEndian(ringEpoch)
    bytes.appendLittleEndian(wallMilliseconds)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let lowest = try reader.takeUInt16()
    let highest = try reader.takeUInt16()
    guard lowest <= highest else { throw .malformed("versions") }
    let node = NodeID(try reader.takeUInt32())
    let name = try reader.takeText("name")
    let bootID = try reader.takeUInt64()
    let knownBootID = try reader.takeUInt64()
    let actor = ActorID(try reader.takeUInt32())
    let cluster = try reader.takeBool("cluster") ? try ClusterIdentity(from: &reader) : nil
    let digest = try reader.takeUInt64()
    let epoch = try reader.takeUInt64()
    self.init(
      node: node, name: name, bootID: bootID, knownBootID: knownBootID, actor: actor, cluster: cluster,
      membersDigest: digest, ringEpoch: epoch, wallMilliseconds: try reader.takeWallMilliseconds())
    versions = lowest...highest
  }
}

extension ClusterIdentity {
  func append(to bytes: inout [UInt8]) {
    bytes.append(id)
    bytes.appendLittleEndian(ringSeed)
    bytes.appendLittleEndian(partitions)
    bytes.append(replicas)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let id = try reader.takeIdentity()
    let ringSeed = try reader.takeUInt64()
    let partitions = try reader.takeUInt16()
    self.init(id: id, ringSeed: ringSeed, partitions: partitions, replicas: try reader.takeByte())
    guard isPossible else { throw .malformed("cluster") }
  }
}

extension HelloReply {
  /// No refusal has this raw value.
  private static let welcome: UInt8 = 0

  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(yourBootID)
    bytes.append(refusal?.rawValue ?? HelloReply.welcome)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let bootID = try reader.takeUInt64()
    let raw = try reader.takeByte()
    let refusal = HelloRefusal(rawValue: raw)
    guard refusal != nil || raw == HelloReply.welcome else { throw .unknown("hello refusal", raw) }
    self.init(yourBootID: bootID, refusal: refusal)
  }
}

extension StoreStates {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(bootID)
    bytes.appendLittleEndian(yourBootID)
    bytes.appendLittleEndian(sequence)
    bytes.appendLittleEndian(UInt32(states.count))
    for state in states { state.append(to: &bytes) }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let bootID = try reader.takeUInt64()
    let yourBootID = try reader.takeUInt64()
    let sequence = try reader.takeUInt64()
    self.init(
      bootID: bootID, yourBootID: yourBootID, sequence: sequence, states: try StoreState.list(from: &reader))
  }
}

extension StoreState {
  /// Encoded: partition, replicas, two identities, role, flag.
  static let byteCount = 2 + 1 + 16 + 16 + 1 + 1

  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(store.partition)
    bytes.append(store.replicas)
    bytes.append(incarnation)
    bytes.append(recognizes)
    bytes.append(role.rawValue)
    bytes.append(isNew ? 1 : 0)
  }

  /// A count and that many states; the count is believed only as far as there are bytes for it.
  static func list(from reader: inout ByteReader) throws(CodecError) -> [StoreState] {
    let count = Int(try reader.takeUInt32())
    guard count <= reader.remaining / byteCount else { throw .truncated }
    var states: [StoreState] = []
    states.reserveCapacity(count)
    for _ in 0..<count { states.append(try StoreState(from: &reader)) }
    return states
  }

  private init(from reader: inout ByteReader) throws(CodecError) {
    let partition = try reader.takeUInt16()
    let replicas = try reader.takeByte()
    let incarnation = try reader.takeIdentity()
    let recognizes = try reader.takeIdentity()
    let role = try reader.takeEnum(StoreRole.self, "store role")
    self.init(
      store: StoreID(partition: partition, replicas: replicas), incarnation: incarnation, role: role,
      isNew: try reader.takeBool("isNew"), recognizes: recognizes)
  }
}
