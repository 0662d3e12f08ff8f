package import Causality
package import Primitives

// What one store is: its identity, its files, and the durable facts of the delete protocol. One small file per store,
// replaced atomically; what it lists exists, and no byte below a synced length may ever be missing or changed.

/// A live data file as the manifest knows it.
package struct ManifestFile: Equatable, Sendable {
  package var id: UInt32
  /// Nothing is appended to it any more.
  package var isSealed: Bool
  /// Bytes that were durable when the manifest was written.
  package var syncedLength: UInt64
  /// Lowest and highest stamp of the records in it, superseded ones included; nil when it holds none.
  package var recordStamps: ClosedRange<Stamp>?

  package init(id: UInt32, isSealed: Bool, syncedLength: UInt64, recordStamps: ClosedRange<Stamp>?) {
    self.id = id
    self.isSealed = isSealed
    self.syncedLength = syncedLength
    self.recordStamps = recordStamps
  }
}

/// Body, little-endian: cluster 16 | node u32 | store u32 | incarnation 16 | configID u64 | tsnHead u64 | floor 12
/// | nextFile u32 | role u8 | 0 u8 ×3 | files u32 | cursors u32 | promises u32, then
/// files: id u32 | flags u32 (1 sealed, 2 has records) | synced u64 | lowest stamp 12 | highest stamp 12;
/// cursors: peer u32 | incarnation 16 | tsn u64;
/// promises: peer u32 | incarnation 16 | configID u64 | tsnHead u64 | floor 12 | cursorOnMe u64.
package struct StoreManifest: Equatable, Sendable {
  package var cluster: Identity128
  package var node: NodeID
  package var store: StoreID
  package var incarnation: Identity128
  package var configID: UInt64
  package var role: StoreRole
  /// No file of this store ever had this id or a higher one, as far as the manifest knows.
  package var nextFileID: UInt32 = 1
  /// Highest position ever given in the tombstone feed; never lower than that of any record that left the disk.
  package var tsnHead: UInt64 = 0
  /// Highest stamp of any purged tombstone.
  package var floor: Stamp = .zero
  package var files: [ManifestFile] = []
  package var cursors: [FeedCursor] = []
  package var promises: [PeerPromise] = []

  private static let magic = "CairnMan"

  package init(cluster: Identity128, node: NodeID, seed: StoreSeed, role: StoreRole) {
    self.cluster = cluster
    self.node = node
    store = seed.id
    incarnation = seed.incarnation
    configID = seed.configID
    self.role = role
  }

  package func encoded() -> [UInt8] {
    var body: [UInt8] = []
    body.append(cluster)
    body.appendLittleEndian(node.rawValue)
    body.append(store)
    body.append(incarnation)
    body.appendLittleEndian(configID)
    body.appendLittleEndian(tsnHead)
    floor.append(to: &body)
    body.appendLittleEndian(nextFileID)
    body.appendLittleEndian(UInt32(role.rawValue))
    for count in [files.count, cursors.count, promises.count] { body.appendLittleEndian(UInt32(count)) }
    for file in files { file.append(to: &body) }
    for cursor in cursors { cursor.append(to: &body) }
    for promise in promises { promise.append(to: &body) }
    return Envelope.seal(body, magic: StoreManifest.magic)
  }

  package init(decoding bytes: [UInt8], path: String) throws(StorageError) {
    var reader = try Envelope.open(bytes, magic: StoreManifest.magic, path: path)
    guard let manifest = StoreManifest(from: &reader), reader.remaining == 0 else {
      throw .damaged(path: path, offset: UInt64(reader.offset), reason: "its fields make no sense")
    }
    self = manifest
  }

  private init?(from reader: inout ByteReader) {
    guard let cluster = reader.readIdentity(), let node = reader.read(UInt32.self), let store = reader.readStoreID(),
      let incarnation = reader.readIdentity(), let configID = reader.read(UInt64.self),
      let tsnHead = reader.read(UInt64.self), let floor = reader.readStamp(), let next = reader.read(UInt32.self),
      let roleByte = reader.read(UInt32.self), let role = StoreRole(rawValue: UInt8(truncatingIfNeeded: roleByte)),
      roleByte <= 255, let files = reader.read(UInt32.self), let cursors = reader.read(UInt32.self),
      let promises = reader.read(UInt32.self), files <= StorageLimits.filesMax, cursors <= StorageLimits.peersMax,
      promises <= StorageLimits.peersMax
    else { return nil }
    let seed = StoreSeed(id: store, incarnation: incarnation, configID: configID)
    self.init(cluster: cluster, node: NodeID(node), seed: seed, role: role)
    (nextFileID, self.tsnHead, self.floor) = (next, tsnHead, floor)
    for _ in 0..<files {
      guard let file = ManifestFile(from: &reader) else { return nil }
      self.files.append(file)
    }
    for _ in 0..<cursors {
      guard let cursor = FeedCursor(from: &reader) else { return nil }
      self.cursors.append(cursor)
    }
    for _ in 0..<promises {
      guard let promise = PeerPromise(from: &reader) else { return nil }
      self.promises.append(promise)
    }
  }
}

extension ManifestFile {
  fileprivate func append(to body: inout [UInt8]) {
    body.appendLittleEndian(id)
    body.appendLittleEndian(UInt32((isSealed ? 1 : 0) | (recordStamps == nil ? 0 : 2)))
    body.appendLittleEndian(syncedLength)
    (recordStamps?.lowerBound ?? .zero).append(to: &body)
    (recordStamps?.upperBound ?? .zero).append(to: &body)
  }

  fileprivate init?(from reader: inout ByteReader) {
    guard let id = reader.read(UInt32.self), let flags = reader.read(UInt32.self), flags <= 3,
      let synced = reader.read(UInt64.self), let low = reader.readStamp(), let high = reader.readStamp(), low <= high
    else { return nil }
    self.init(
      id: id, isSealed: flags & 1 != 0, syncedLength: synced, recordStamps: flags & 2 != 0 ? low...high : nil)
  }
}

// Also part of the file `promises`.
extension FeedCursor {
  func append(to body: inout [UInt8]) {
    body.appendLittleEndian(peer.rawValue)
    body.append(incarnation)
    body.appendLittleEndian(tsn)
  }

  init?(from reader: inout ByteReader) {
    guard let peer = reader.read(UInt32.self), let incarnation = reader.readIdentity(),
      let tsn = reader.read(UInt64.self)
    else { return nil }
    self.init(peer: NodeID(peer), incarnation: incarnation, tsn: tsn)
  }
}

extension PeerPromise {
  func append(to body: inout [UInt8]) {
    body.appendLittleEndian(peer.rawValue)
    body.append(incarnation)
    body.appendLittleEndian(configID)
    body.appendLittleEndian(tsnHead)
    floor.append(to: &body)
    body.appendLittleEndian(cursorOnMe)
  }

  init?(from reader: inout ByteReader) {
    guard let peer = reader.read(UInt32.self), let incarnation = reader.readIdentity(),
      let configID = reader.read(UInt64.self), let tsnHead = reader.read(UInt64.self),
      let floor = reader.readStamp(), let cursor = reader.read(UInt64.self)
    else { return nil }
    self.init(
      peer: NodeID(peer), incarnation: incarnation, configID: configID, tsnHead: tsnHead, floor: floor,
      cursorOnMe: cursor)
  }
}
