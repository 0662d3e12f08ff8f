package import Primitives

// What lies in a node's directory, without starting the node: who it is, which stores it has and should have, and the
// segments of its journal.

package struct NodeContents: Sendable {
  package let directory: String
  package private(set) var manifest: NodeManifest?
  /// Why there is no manifest.
  package private(set) var manifestProblem: StorageError?
  /// Cursors and promises; nil when there is no such file.
  package private(set) var promises: PromisesFile?
  /// Why the file does not read back.
  package private(set) var promisesProblem: StorageError?
  /// Directories of stores, sorted, whether the node knows them or not.
  package private(set) var stores: [StoreID] = []
  /// Names below `stores` that are none.
  package private(set) var otherNames: [String] = []
  /// Directories of stores that the node has set aside as damaged, sorted. They are the operator's, and no stores of the
  /// node any more.
  package private(set) var setAside: [String] = []
  /// Ids of journal segments, sorted.
  package private(set) var segments: [UInt32] = []

  package static func manifestPath(_ directory: String) -> String { directory + "/node" }

  /// - Throws: when a directory that is there cannot be listed.
  package init<FS: FileSystem & ~Copyable>(reading directory: String, on files: inout FS) throws(StorageError) {
    self.directory = directory
    (manifest, manifestProblem) = NodeContents.manifest(in: directory, on: &files)
    do throws(StorageError) {
      promises = try PromisesFile.read(in: directory, on: &files)
    } catch {
      promisesProblem = error
    }
    if try files.exists(StorePath.stores(directory)) {
      for name in try files.list(StorePath.stores(directory)) {
        if let id = StoreID(name) { stores.append(id) } else { otherNames.append(name) }
      }
    }
    let damaged = StorePath.damaged(directory)
    if try files.exists(damaged) { setAside = try files.list(damaged).map { damaged + "/" + $0 }.sorted() }
    if try files.exists(StorePath.journal(directory)) {
      segments = try files.list(StorePath.journal(directory))
        .compactMap { StorePath.number($0, suffix: ".journal") }.sorted()
    }
    stores.sort()
  }

  /// The manifest of the node in `directory`, or why there is none.
  package static func manifest<FS: FileSystem & ~Copyable>(
    in directory: String, on files: inout FS
  ) -> (NodeManifest?, StorageError?) {
    let path = manifestPath(directory)
    do throws(StorageError) {
      guard try files.exists(path) else {
        return (nil, .missing(path: path, reason: "without it nobody knows which node this is"))
      }
      return (try NodeManifest(decoding: try Engine.contents(of: path, on: &files), path: path), nil)
    } catch {
      return (nil, error)
    }
  }
}

extension NodeManifest {
  /// The hash that the node's ring uses; nil before its cluster is founded.
  package var ringHash: RingHash? { cluster.map { RingHash(seed: $0.ringSeed) } }
}

extension StoreID {
  /// The store that a directory of this name belongs to: `p042-n3` or `hints-3`.
  package init?(_ name: some StringProtocol) {
    if name.hasPrefix(StoreID.hintsPrefix) {
      guard let node = UInt16(name.dropFirst(StoreID.hintsPrefix.count)) else { return nil }
      self.init(partition: node, replicas: 0)
      guard description == name else { return nil }
      return
    }
    guard name.hasPrefix("p"), let dash = name.firstIndex(of: "-"), name[dash...].hasPrefix("-n"),
      let partition = UInt16(name[..<dash].dropFirst()), let replicas = UInt8(name[dash...].dropFirst(2)),
      replicas > 0
    else { return nil }
    self.init(partition: partition, replicas: replicas)
    guard description == name else { return nil }
  }

  static let hintsPrefix = "hints-"

  /// The store that the last part of `path` names.
  package init?(directory path: String) {
    let start = path.utf8.lastIndex(of: 0x2F).map { path.utf8.index(after: $0) } ?? path.startIndex
    self.init(path[start...])
  }
}
