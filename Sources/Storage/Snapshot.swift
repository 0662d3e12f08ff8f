package import Primitives

// The words of snapshots: what one is asked for, what it came to, and the file `snapshot` that says what is in it.
// Making one is the engine's business (`Engine+Snapshot.swift`).

/// What a snapshot may be called: the name of a directory, nothing else. At most 64 letters, digits, `-`, `_` and `.`,
/// none of the last three first.
package struct SnapshotName: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let rawValue: String
  package static let byteCountMax = 64
  /// Ends the name of the directory in which a snapshot is being made.
  static let partialSuffix = ".partial"

  package init?(_ text: String) {
    let bytes = text.utf8
    guard let first = bytes.first, bytes.count <= SnapshotName.byteCountMax, SnapshotName.isLetterOrDigit(first),
      bytes.allSatisfy({ SnapshotName.isLetterOrDigit($0) || [0x2D, 0x2E, 0x5F].contains($0) }),
      !text.hasSuffix(SnapshotName.partialSuffix)
    else { return nil }
    rawValue = text
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
  }

  package var description: String { rawValue }
  package static func < (a: SnapshotName, b: SnapshotName) -> Bool { a.rawValue < b.rawValue }
}

/// Which stores a snapshot is of.
package enum SnapshotPart: Equatable, Sendable {
  case all
  /// All stores of hints, and the quarantine.
  case hints
  case store(StoreID)

  func contains(_ id: StoreID) -> Bool {
    switch self {
    case .all: true
    case .hints: id.isHints
    case .store(let store): id == store
    }
  }
}

package struct SnapshotRequest: Equatable, Sendable {
  package let name: SnapshotName
  package let part: SnapshotPart
  /// The node as it stands; it is copied as one that did not stop cleanly, so that whoever starts from the copy issues
  /// stamps under a new actor.
  package let node: NodeManifest
  package let wallMilliseconds: UInt64
  package init(name: SnapshotName, part: SnapshotPart, node: NodeManifest, wallMilliseconds: UInt64) {
    self.name = name
    self.part = part
    self.node = node
    self.wallMilliseconds = wallMilliseconds
  }
}

/// Why no snapshot is begun.
package enum SnapshotRefusal: Error, Equatable, Sendable, CustomStringConvertible {
  /// Something of this name is there.
  case exists(path: String)
  case unknownStore(StoreID)
  /// One line: what stands in the way, and what to do.
  case notNow(String)

  package var description: String {
    switch self {
    case .exists(let path): "\(path) is there already; choose another name"
    case .unknownStore(let id): "this node has no store \(id)"
    case .notNow(let reason): reason
    }
  }
}

/// What is in a snapshot: the file `snapshot` in its directory, written last but one, before the directory gets its name.
///
/// Body, little-endian: cluster 16 | node u32 | stores u32 | files u64 | bytes u64 | time u64 ms since 1970.
package struct SnapshotManifest: Equatable, Sendable {
  package var cluster: Identity128
  package var node: NodeID
  package var stores: UInt32
  /// Data files, and the bytes in them.
  package var files: UInt64 = 0
  package var bytes: UInt64 = 0
  /// When it was asked for, by the node's clock.
  package var wallMilliseconds: UInt64

  private static let magic = "CairnSnp"

  init(cluster: Identity128, node: NodeID, stores: Int, wallMilliseconds: UInt64) {
    self.cluster = cluster
    self.node = node
    self.stores = UInt32(stores)
    self.wallMilliseconds = wallMilliseconds
  }

  func encoded() -> [UInt8] {
    var body: [UInt8] = []
    body.append(cluster)
    body.appendLittleEndian(node.rawValue)
    body.appendLittleEndian(stores)
    body.appendLittleEndian(files)
    body.appendLittleEndian(bytes)
    body.appendLittleEndian(wallMilliseconds)
    return Envelope.seal(body, magic: SnapshotManifest.magic)
  }

  init(decoding bytes: [UInt8], path: String) throws(StorageError) {
    var reader = try Envelope.open(bytes, magic: SnapshotManifest.magic, path: path)
    guard let cluster = reader.readIdentity(), let node = reader.read(UInt32.self),
      let stores = reader.read(UInt32.self), let files = reader.read(UInt64.self),
      let count = reader.read(UInt64.self), let time = reader.read(UInt64.self), reader.remaining == 0
    else { throw .damaged(path: path, offset: UInt64(reader.offset), reason: "its fields make no sense") }
    self.init(cluster: cluster, node: NodeID(node), stores: Int(stores), wallMilliseconds: time)
    (self.files, self.bytes) = (files, count)
  }
}

/// A snapshot that was made.
package struct SnapshotReport: Equatable, Sendable {
  package let name: SnapshotName
  package let path: String
  package let contents: SnapshotManifest
}

/// What became of a snapshot.
package enum SnapshotOutcome: Equatable, Sendable {
  case made(SnapshotReport)
  /// It is not there; or it is, whole, and only its name is not known to be durable. The stores are as they were.
  case failed(SnapshotName, StorageError)
}

/// One entry of the directory `snapshots`.
package struct SnapshotEntry: Equatable, Sendable {
  /// As the directory is called.
  package let name: String
  /// Nil when it is not whole: one that is being made, or was broken off, or something else that lies there.
  package let contents: SnapshotManifest?

  /// What is in the snapshots' directory of a node, by name; at most `countMax`.
  package static func list<FS: FileSystem & ~Copyable>(
    of directory: String, countMax: Int, on files: inout FS
  ) throws(StorageError) -> [SnapshotEntry] {
    let root = StorePath.snapshots(directory)
    guard try files.exists(root) else { return [] }
    var entries: [SnapshotEntry] = []
    for name in try files.list(root).prefix(countMax) {
      entries.append(SnapshotEntry(name: name, contents: contents(name, in: root, on: &files)))
    }
    return entries
  }

  private static func contents<FS: FileSystem & ~Copyable>(
    _ name: String, in root: String, on files: inout FS
  ) -> SnapshotManifest? {
    guard SnapshotName(name) != nil else { return nil }
    let path = "\(root)/\(name)/snapshot"
    do throws(StorageError) {
      return try SnapshotManifest(decoding: Engine.contents(of: path, on: &files), path: path)
    } catch {
      return nil
    }
  }
}
