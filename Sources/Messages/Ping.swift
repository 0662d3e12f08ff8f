import Cluster
package import Primitives

// How nodes find out which of them answer (FailureDetector), and what their clocks say. Any of these may be lost,
// repeated and late: numbers tell what is new, boots tell to whom it was said.

/// Asks for an answer. Always answered, also when it is repeated.
package struct Ping: Equatable, Sendable {
  /// Of the sender. One that the addressee does not know asks for a hello.
  package var bootID: UInt64
  /// Counts the sender's pings to this addressee.
  package var sequence: UInt64
  /// Nodes that do not answer the sender, at most `FailureDetector.suspectsToldMax`.
  package var suspects: [NodeID]
  /// Of the sender's file `node`, as it is on disk (rule LINEAGE).
  package var edition: UInt64
  package init(bootID: UInt64, sequence: UInt64, suspects: [NodeID], edition: UInt64 = 0) {
    self.bootID = bootID
    self.sequence = sequence
    self.suspects = suspects
    self.edition = edition
  }
}

package struct PingReply: Equatable, Sendable {
  /// Of the sender, as in `Ping`.
  package var bootID: UInt64
  /// The boot that pinged: an answer to an earlier boot is ignored.
  package var yourBootID: UInt64
  package var sequence: UInt64
  /// Of the sender. Only of an answer it is known how long it may have been under way.
  package var wallMilliseconds: UInt64
  package init(bootID: UInt64, yourBootID: UInt64, sequence: UInt64, wallMilliseconds: UInt64) {
    self.bootID = bootID
    self.yourBootID = yourBootID
    self.sequence = sequence
    self.wallMilliseconds = wallMilliseconds
  }
}

/// Asks the addressee to ping a third node, and to say so if that answers. Ignored when too many are in progress there.
package struct PingRequest: Equatable, Sendable {
  package var bootID: UInt64
  package var target: NodeID
  /// Counts the sender's requests.
  package var sequence: UInt64
  package init(bootID: UInt64, target: NodeID, sequence: UInt64) {
    self.bootID = bootID
    self.target = target
    self.sequence = sequence
  }
}

/// The target of a request has answered the sender's ping.
package struct PingRelayed: Equatable, Sendable {
  /// The boot that asked.
  package var yourBootID: UInt64
  package var target: NodeID
  package var sequence: UInt64
  package init(yourBootID: UInt64, target: NodeID, sequence: UInt64) {
    self.yourBootID = yourBootID
    self.target = target
    self.sequence = sequence
  }
}

// MARK: - As bytes

extension Ping {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(bootID)
    bytes.appendLittleEndian(sequence)
    bytes.appendLittleEndian(edition)
    let told = suspects.prefix(FailureDetector.suspectsToldMax)
    bytes.append(UInt8(told.count))
    for node in told { bytes.appendLittleEndian(node.rawValue) }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let bootID = try reader.takeUInt64()
    let sequence = try reader.takeUInt64()
    let edition = try reader.takeEdition()
    let count = Int(try reader.takeByte())
    guard count <= FailureDetector.suspectsToldMax else { throw .malformed("suspects") }
    var suspects: [NodeID] = []
    for _ in 0..<count { suspects.append(NodeID(try reader.takeUInt32())) }
    self.init(bootID: bootID, sequence: sequence, suspects: suspects, edition: edition)
  }
}

extension PingReply {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(bootID)
    bytes.appendLittleEndian(yourBootID)
    bytes.appendLittleEndian(sequence)
    bytes.appendLittleEndian(wallMilliseconds)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let bootID = try reader.takeUInt64()
    let yours = try reader.takeUInt64()
    let sequence = try reader.takeUInt64()
    self.init(
      bootID: bootID, yourBootID: yours, sequence: sequence, wallMilliseconds: try reader.takeWallMilliseconds())
  }
}

extension PingRequest {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(bootID)
    bytes.appendLittleEndian(target.rawValue)
    bytes.appendLittleEndian(sequence)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let bootID = try reader.takeUInt64()
    let target = NodeID(try reader.takeUInt32())
    self.init(bootID: bootID, target: target, sequence: try reader.takeUInt64())
  }
}

extension PingRelayed {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(yourBootID)
    bytes.appendLittleEndian(target.rawValue)
    bytes.appendLittleEndian(sequence)
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let yours = try reader.takeUInt64()
    let target = NodeID(try reader.takeUInt32())
    self.init(yourBootID: yours, target: target, sequence: try reader.takeUInt64())
  }
}
