import Primitives

// Whose store it is that is repaired: what its manifest says, else what the node's manifest says, else what the headers
// of its data files agree on.

struct RepairIdentity {
  let cluster: Identity128
  let node: NodeID
  let store: StoreID
  let incarnation: Identity128
  let configID: UInt64
  private let manifest: StoreManifest?

  /// - Throws: `incompatible` when the manifest is of a later format, or when nobody can tell.
  init<FS: FileSystem & ~Copyable>(
    of contents: StoreContents, node: NodeManifest?, on files: inout FS
  ) throws(StorageError) {
    if let manifest = contents.manifest {
      self.init(manifest)
      return
    }
    if case .incompatible? = contents.manifestProblem { throw contents.manifestProblem! }
    var headers: [FileHeader] = []
    for file in contents.files where file.problem == nil {
      guard var header = try FileHeader(ofFileAt: file.path, on: &files) else { continue }
      header.file = 0
      if !headers.contains(header) { headers.append(header) }
    }
    if let node, let own = RepairIdentity(node, headers, StoreID(directory: contents.directory)) {
      self = own
    } else if headers.count == 1, let header = headers.first {
      self.init(header, configID: 0)
    } else {
      throw .incompatible(
        path: contents.directory,
        reason: headers.isEmpty
          ? "no manifest and no header of a data file says whose store this is; name its node's directory with --node"
          : "its files are of \(headers.count) stores or incarnations, and no manifest says which counts; name its node's "
            + "directory with --node")
    }
  }

  /// What the node's manifest says of the store that the directory is named for or, in a copy, that its files name.
  private init?(_ node: NodeManifest, _ headers: [FileHeader], _ named: StoreID?) {
    let stores = Set(headers.map(\.store))
    guard let cluster = node.cluster, let store = named ?? (stores.count == 1 ? stores.first : nil),
      let seed = node.stores.first(where: { $0.id == store })
    else { return nil }
    self.cluster = cluster.id
    self.node = node.node
    self.store = store
    incarnation = seed.incarnation
    configID = seed.configID
    manifest = nil
  }

  private init(_ header: FileHeader, configID: UInt64) {
    cluster = header.cluster
    node = header.node
    store = header.store
    incarnation = header.identity
    self.configID = configID
    manifest = nil
  }

  private init(_ manifest: StoreManifest) {
    cluster = manifest.cluster
    node = manifest.node
    store = manifest.store
    incarnation = manifest.incarnation
    configID = manifest.configID
    self.manifest = manifest
  }

  func header(of file: UInt32) -> FileHeader {
    FileHeader(kind: .data, cluster: cluster, node: node, store: store, file: file, identity: incarnation)
  }

  /// Whether a data file is this store's by its header. One that lost its header may be: its records' checksums tell.
  func owns(_ header: FileHeader?, _ file: UInt32) -> Bool { header.map { $0 == self.header(of: file) } ?? true }

  /// What a repair lost must not pass for deleted or never written. Of hints nobody concludes that: those that are left
  /// are as good as ever.
  var role: StoreRole { store.isHints ? .active : .fenced }

  /// The new store's manifest, still without files. Ids of files go on above all that were ever seen, because an id
  /// stands for the same bytes for ever.
  func manifest(numberingOnFrom contents: StoreContents) -> StoreManifest {
    var new = StoreManifest(
      cluster: cluster, node: node, seed: StoreSeed(id: store, incarnation: incarnation, configID: configID),
      role: role)
    if let manifest {
      (new.tsnHead, new.floor, new.cursors, new.promises) =
        (manifest.tsnHead, manifest.floor, manifest.cursors, manifest.promises)
    }
    let highest = max(contents.files.map(\.id).max() ?? 0, contents.hints.max() ?? 0)
    new.nextFileID = max(manifest?.nextFileID ?? 1, highest == .max ? .max : highest + 1)
    return new
  }
}

extension FileHeader {
  /// The header of a data file; nil when it does not read back.
  init?<FS: FileSystem & ~Copyable>(ofFileAt path: String, on files: inout FS) throws(StorageError) {
    let file = try files.open(path, .read)
    defer { files.close(file) }
    guard case .bytes(let bytes) = try files.read(file, at: 0, count: FileHeader.byteCount, mayBlock: true),
      let header = try? FileHeader(decoding: bytes, kind: .data, path: path)
    else { return nil }
    self = header
  }
}
