import Causality
package import Primitives

// The first 64 bytes of every data file and journal segment: what the file is and where it belongs. The checksum of
// the header is folded into every record or frame behind it, so that bytes of another file never pass for this one's.

/// Little-endian, 64 bytes:
///     magic 8 | version u32 | node u32 | cluster 16 | store u32 | file u32 | identity 16 | reserved u32 | crc32c u32
/// `identity` is the store's incarnation, or what tells one run's journal from another's. The checksum covers all
/// bytes before itself.
package struct FileHeader: Equatable, Sendable {
  package enum Kind: UInt8, Sendable, CaseIterable {
    case data, journal
    var magic: [UInt8] {
      switch self {
      case .data: Array("CairnDat".utf8)
      case .journal: Array("CairnJnl".utf8)
      }
    }
  }

  package static let byteCount = 64
  /// The format of this release. A higher one is refused; there is no lower one.
  package static let version: UInt32 = 1

  package var kind: Kind
  package var cluster: Identity128
  package var node: NodeID
  /// Partition 0 at 0 replicas in a journal, which belongs to no store.
  package var store: StoreID
  package var file: UInt32
  package var identity: Identity128

  package func encoded() -> [UInt8] {
    var bytes = kind.magic
    bytes.reserveCapacity(FileHeader.byteCount)
    bytes.appendLittleEndian(FileHeader.version)
    bytes.appendLittleEndian(node.rawValue)
    bytes.append(cluster)
    bytes.append(store)
    bytes.appendLittleEndian(file)
    bytes.append(identity)
    bytes.appendLittleEndian(UInt32(0))
    bytes.appendLittleEndian(crc32c(bytes))
    return bytes
  }

  /// Where the checksums of everything behind this header begin: the header's own checksum. (That of all 64 bytes would
  /// be the same for every header: a message followed by its CRC has a constant CRC.)
  package var salt: UInt32 { crc32c(encoded(), 0..<FileHeader.byteCount - 4) }

  /// Throws `damaged` when the bytes are no header, `incompatible` when they are one of another kind or format.
  package init(decoding bytes: [UInt8], kind: Kind, path: String) throws(StorageError) {
    guard bytes.count >= FileHeader.byteCount else {
      throw .damaged(path: path, offset: 0, reason: "the file ends inside its header")
    }
    guard crc32c(bytes, 0..<60) == bytes.littleEndian(UInt32.self, at: 60) else {
      throw .damaged(path: path, offset: 0, reason: "the checksum of its header does not match")
    }
    guard Array(bytes[0..<8]) == kind.magic else {
      throw .incompatible(path: path, reason: "this is no \(kind) file of Cairn")
    }
    var reader = ByteReader(bytes, from: 8, to: FileHeader.byteCount)
    guard let version = reader.read(UInt32.self), version == FileHeader.version else {
      throw .incompatible(path: path, reason: "its format is not version \(FileHeader.version); use a newer release")
    }
    guard let node = reader.read(UInt32.self), let cluster = reader.readIdentity(), let store = reader.readStoreID(),
      let file = reader.read(UInt32.self), let identity = reader.readIdentity(), reader.read(UInt32.self) == 0
    else { throw .damaged(path: path, offset: 0, reason: "its header makes no sense") }
    self.kind = kind
    self.cluster = cluster
    self.node = NodeID(node)
    self.store = store
    self.file = file
    self.identity = identity
  }

  package init(
    kind: Kind, cluster: Identity128, node: NodeID, store: StoreID, file: UInt32, identity: Identity128
  ) {
    self.kind = kind
    self.cluster = cluster
    self.node = node
    self.store = store
    self.file = file
    self.identity = identity
  }
}

// Fields that several formats share.

extension [UInt8] {
  mutating func append(_ identity: Identity128) {
    appendLittleEndian(identity.high)
    appendLittleEndian(identity.low)
  }

  /// `partition u16 | replicas u8 | 0 u8`
  mutating func append(_ store: StoreID) {
    appendLittleEndian(store.partition)
    appendLittleEndian(UInt16(store.replicas))
  }
}

extension ByteReader {
  mutating func readIdentity() -> Identity128? {
    guard let high = read(UInt64.self), let low = read(UInt64.self) else { return nil }
    return Identity128(high: high, low: low)
  }

  mutating func readStoreID() -> StoreID? {
    guard let partition = read(UInt16.self), let replicas = read(UInt16.self), replicas <= 255 else { return nil }
    return StoreID(partition: partition, replicas: UInt8(replicas))
  }
}
