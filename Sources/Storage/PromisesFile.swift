import Causality
package import Primitives

// What the stores of a node and those of its peers have promised each other, in one file, because it changes with every
// exchange: a manifest of each store would cost a sync each. What it says counts together with the manifests'.

/// Body, little-endian: cluster 16 | node u32 | stores u32, then for each
///     store u32 | incarnation 16 | role u8 | 0 u8 ×3 | tsnHead u64 | cursors u32 | promises u32 | cursors | promises
/// as in the manifest of a store. `tsnHead` was durable when the file was written.
package struct PromisesFile: Equatable, Sendable {
  package struct Entry: Equatable, Sendable {
    package var store: StoreID
    package var incarnation: Identity128
    package var role: StoreRole
    package var tsnHead: UInt64
    package var cursors: [FeedCursor]
    package var promises: [PeerPromise]
  }

  package var cluster: Identity128
  package var node: NodeID
  /// Sorted by store.
  package var entries: [Entry]

  private static let magic = "CairnPrm"
  /// More is not read: 32,768 stores with 15 peers each need less.
  static let byteCountMax: UInt64 = 64 << 20

  func encoded() -> [UInt8] {
    var body: [UInt8] = []
    body.append(cluster)
    body.appendLittleEndian(node.rawValue)
    body.appendLittleEndian(UInt32(entries.count))
    for entry in entries {
      body.append(entry.store)
      body.append(entry.incarnation)
      body.appendLittleEndian(UInt32(entry.role.rawValue))
      body.appendLittleEndian(entry.tsnHead)
      body.appendLittleEndian(UInt32(entry.cursors.count))
      body.appendLittleEndian(UInt32(entry.promises.count))
      for cursor in entry.cursors { cursor.append(to: &body) }
      for promise in entry.promises { promise.append(to: &body) }
    }
    return Envelope.seal(body, magic: PromisesFile.magic)
  }

  init(cluster: Identity128, node: NodeID, entries: [Entry]) {
    self.cluster = cluster
    self.node = node
    self.entries = entries
  }

  package init(decoding bytes: [UInt8], path: String) throws(StorageError) {
    var reader = try Envelope.open(bytes, magic: PromisesFile.magic, path: path)
    guard let file = PromisesFile(from: &reader), reader.remaining == 0 else {
      throw .damaged(path: path, offset: UInt64(reader.offset), reason: "its fields make no sense")
    }
    self = file
  }

  /// The file in a node's directory; nil when there is none.
  package static func read<FS: FileSystem & ~Copyable>(
    in directory: String, on files: inout FS
  ) throws(StorageError) -> PromisesFile? {
    let path = StorePath.promises(directory)
    guard try files.exists(path) else { return nil }
    return try PromisesFile(
      decoding: try Engine.contents(of: path, byteCountMax: byteCountMax, on: &files), path: path)
  }

  private init?(from reader: inout ByteReader) {
    guard let cluster = reader.readIdentity(), let node = reader.read(UInt32.self),
      let count = reader.read(UInt32.self), count <= StorageLimits.storesMax
    else { return nil }
    self.init(cluster: cluster, node: NodeID(node), entries: [])
    for _ in 0..<count {
      guard let entry = Entry(from: &reader) else { return nil }
      entries.append(entry)
    }
  }
}

extension PromisesFile.Entry {
  fileprivate init?(from reader: inout ByteReader) {
    guard let store = reader.readStoreID(), let incarnation = reader.readIdentity(),
      let roleByte = reader.read(UInt32.self), roleByte <= 255, let role = StoreRole(rawValue: UInt8(roleByte)),
      let head = reader.read(UInt64.self), let cursors = reader.read(UInt32.self),
      let promises = reader.read(UInt32.self), cursors <= StorageLimits.peersMax, promises <= StorageLimits.peersMax
    else { return nil }
    self.init(store: store, incarnation: incarnation, role: role, tsnHead: head, cursors: [], promises: [])
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

extension StoreManifest {
  /// What counts of cursors and promises: the higher of the manifest's and the file's, where the file is about this life
  /// of the store. Roles change by manifests alone, and what was agreed upon then stands in them: so with another role
  /// the manifest is the younger of the two, else the file. A mark of this node itself is the manifest's business.
  package mutating func take(_ entry: PromisesFile.Entry) {
    guard entry.store == store, entry.incarnation == incarnation else { return }
    let told = entry.promises.filter { $0.peer != node }
    if role != entry.role {
      promises = PeerPromise.joined(promises, over: told, own: node)
      cursors = FeedCursor.joined(cursors, over: entry.cursors)
    } else {
      let mark = promises.filter { $0.peer == node }
      promises = PeerPromise.joined(told + mark, over: promises, own: node)
      cursors = FeedCursor.joined(entry.cursors, over: cursors)
    }
  }
}

extension PeerPromise {
  /// This promise raised to another one of the same incarnation.
  func raised(to other: PeerPromise) -> PeerPromise {
    PeerPromise(
      peer: peer, incarnation: incarnation, configID: other.configID, tsnHead: max(tsnHead, other.tsnHead),
      floor: max(floor, other.floor), cursorOnMe: max(cursorOnMe, other.cursorOnMe))
  }

  /// All peers of both lists, by id. Where both know a peer by one incarnation the promise is the higher of the two, else
  /// that of `list`. The mark of this node itself counts only there.
  static func joined(_ list: [PeerPromise], over others: [PeerPromise], own: NodeID) -> [PeerPromise] {
    var joined = list
    for other in others {
      if let index = joined.firstIndex(where: { $0.peer == other.peer }) {
        if joined[index].incarnation == other.incarnation { joined[index] = other.raised(to: joined[index]) }
      } else if other.peer != own {
        joined.append(other)
      }
    }
    return joined.sorted { $0.peer < $1.peer }
  }
}

extension FeedCursor {
  /// As `PeerPromise.joined`.
  static func joined(_ list: [FeedCursor], over others: [FeedCursor]) -> [FeedCursor] {
    var joined = list
    for other in others {
      if let index = joined.firstIndex(where: { $0.peer == other.peer }) {
        if joined[index].incarnation == other.incarnation { joined[index].tsn = max(joined[index].tsn, other.tsn) }
      } else {
        joined.append(other)
      }
    }
    return joined.sorted { $0.peer < $1.peer }
  }
}
