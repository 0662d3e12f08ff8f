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
    bytes.appendLittleEndian(edition)
    let boots = lineage.suffix(NodeManifest.lineageMax)
    bytes.appendLittleEndian(UInt16(boots.count))
    for boot in boots {
      bytes.appendLittleEndian(boot.bootID)
      bytes.appendLittleEndian(boot.edition)
    }
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
    let wall = try reader.takeWallMilliseconds()
    let edition = try reader.takeEdition()
    let lineage = try reader.takeList(
      max: NodeManifest.lineageMax, byteCount: BootEdition.byteCount, "lineage"
    ) { (reader) throws(CodecError) in
      let bootID = try reader.takeUInt64()
      return BootEdition(bootID: bootID, edition: try reader.takeEdition())
    }
    self.init(
      node: node, name: name, bootID: bootID, knownBootID: knownBootID, actor: actor, cluster: cluster,
      membersDigest: digest, ringEpoch: epoch, wallMilliseconds: wall, edition: edition, lineage: lineage)
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
    bytes.appendLittleEndian(knownEdition)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let bootID = try reader.takeUInt64()
    let raw = try reader.takeByte()
    let refusal = HelloRefusal(rawValue: raw)
    guard refusal != nil || raw == HelloReply.welcome else { throw .unknown("hello refusal", raw) }
    self.init(yourBootID: bootID, refusal: refusal, knownEdition: try reader.takeEdition())
  }
}

extension ByteReader {
  /// Of a data directory (rule LINEAGE).
  mutating func takeEdition() throws(CodecError) -> UInt64 {
    let edition = try takeUInt64()
    guard edition <= NodeManifest.editionMax else { throw .malformed("edition") }
    return edition
  }
}
