import Client
import Platform
import Primitives
import Protocols
import Storage

// The directory of a backup while it is filled: which files of which snapshot go where, what makes them durable, and
// what makes the whole a backup at last.

struct BackupPlace {
  let directory: String
  /// It was not there before.
  private let isNew: Bool
  /// Whoever has made this file may fill the directory.
  static let markerName = "backup.making"

  /// - Throws: `Failure` when there is something in it, or somebody else fills it.
  init(_ directory: String) throws(Failure) {
    self.directory = directory
    isNew = !FileTree.exists(directory)
    let names: [String]
    do throws(Errno) {
      try FileTree.create(directory)
      _ = try RawFile(creating: "\(directory)/\(Self.markerName)")
      names = try FileTree.names(in: directory).filter { $0 != Self.markerName }
    } catch .exists {
      throw Failure(
        "\(directory) is not empty: another backup is being made into it, or one was cut off (\(Self.markerName) is "
          + "there): name another directory, or, when none is being made, remove what is there")
    } catch {
      throw Failure("cannot use \(directory): \(error)")
    }
    guard let first = names.first else { return }
    removeMarker()
    let what = names.contains(BackupManifest.name) ? "a backup is in it" : "there is \(first) in it"
    throw Failure("\(directory) is not empty, \(what): name another directory, or remove what is there")
  }

  /// One file to be copied.
  struct Item: Sendable {
    let node: BackupNode
    let snapshot: String
    /// In the snapshot.
    let path: String
    /// In the backup.
    let target: String
    let bytes: UInt64
  }

  // MARK: Filling it

  /// Copies everything, and makes it a backup.
  func fill(
    from snapshots: BackupSnapshots, retryMilliseconds: Int, isQuiet: Bool
  ) throws -> (BackupManifest, BackupDamage) {
    var manifest = snapshots.cluster.manifest
    let items = try snapshots.cluster.nodes.flatMap { try plan($0, snapshots) }
    for parent in Set(items.map { parent(of: $0.target) }).sorted() {
      do throws(Errno) { try FileTree.create("\(directory)/\(parent)") } catch { throw unwritable(parent, error) }
    }
    let total = items.reduce(0) { $0 + $1.bytes }
    var line = ProgressLine("copying", .bytes, total: total, isQuiet: isQuiet, isTold: true)
    defer { line.finish() }
    let copies = BackupCopies(items, to: directory, retryMilliseconds: retryMilliseconds)
    manifest.files = try copies.run { line.advance(by: $0) }
    line.finish()
    try checkStores(of: manifest)
    let damage = try checkRecords(of: manifest, isQuiet)
    try syncDirectories(manifest)
    manifest.ended = timestamp(wallMilliseconds: SystemClock().now().wallMilliseconds)
    if let problem = manifest.problem { throw Failure("no backup can be made of this cluster: \(problem)") }
    try manifest.save(directory)
    removeMarker()
    return (manifest, damage)
  }

  /// Looks at every record: what could not be read on a node is not in the backup, and somebody else must have it.
  private func checkRecords(of manifest: BackupManifest, _ isQuiet: Bool) throws(Failure) -> BackupDamage {
    var check = BackupCheck(directory, manifest)
    check.runRecords(isQuiet: isQuiet)
    if let obstacle = check.obstacle {
      throw Failure("\(obstacle.message). Nodes repair damage that they know of; begin the backup anew when they have")
    }
    return check.damage
  }

  /// Which files of a node there are.
  private func plan(_ node: BackupNode, _ snapshots: BackupSnapshots) throws(Failure) -> [Item] {
    let place = "node-\(node.id)"
    var items: [Item] = []
    for file in try list(node, snapshots.all, "") {
      guard let bytes = file.bytes else { continue }
      let target = "\(place)/\(file.name)"
      items.append(Item(node: node, snapshot: snapshots.all, path: file.name, target: target, bytes: bytes))
    }
    for (snapshot, isOfHints) in [(snapshots.hints, true), (snapshots.all, false)] {
      for store in try list(node, snapshot, "stores") {
        guard let id = StoreID(store.name), id.isHints == isOfHints else { continue }
        for file in try list(node, snapshot, "stores/\(store.name)") {
          // What a hint file says stands in the data file beside it.
          guard let bytes = file.bytes, !file.name.hasSuffix(".hint") else { continue }
          let path = "stores/\(store.name)/\(file.name)"
          items.append(Item(node: node, snapshot: snapshot, path: path, target: "\(place)/\(path)", bytes: bytes))
        }
      }
    }
    return items
  }

  private func list(
    _ node: BackupNode, _ snapshot: String, _ path: String
  ) throws(Failure) -> [(name: String, bytes: UInt64?)] {
    let target = "/admin/snapshot-files?name=\(snapshot)&path=\(path)"
    let document: JSON
    do throws(Failure) {
      document = try askedDocument("GET", target, node.endpoint, patienceMilliseconds: 60_000)
    } catch {
      throw Failure("\(node.name): \(error.message)")
    }
    return (document["entries"]?.array ?? []).compactMap { entry in
      // What comes over the network becomes the name of a file here.
      guard let name = entry["name"]?.string, SnapshotName(name) != nil else { return nil }
      guard let bytes = entry["bytes"]?.integer else { return (name, nil) }
      guard let length = UInt64(exactly: bytes), length <= BackupManifest.filesBytesMax else { return nil }
      return (name, length)
    }
  }

  /// Every store that the nodes must have is here and was whole at its moment.
  private func checkStores(of manifest: BackupManifest) throws(Failure) {
    var files = PosixFileSystem()
    for node in manifest.nodes {
      let place = "\(directory)/\(node.directory)"
      let (found, problem) = NodeContents.manifest(in: place, on: &files)
      guard let found else { throw Failure("\(node.name): \(problem.map { "\($0)" } ?? "no manifest")") }
      guard found.node.rawValue == node.id, found.cluster?.id.description == manifest.clusterID else {
        throw Failure("the snapshot of \(node.name) is of another node or cluster")
      }
      for seed in found.stores {
        do throws(StorageError) {
          let contents = try StoreContents(reading: "\(place)/stores/\(seed.id)", on: &files)
          guard let store = contents.manifest else {
            throw contents.manifestProblem ?? .missing(path: place, reason: "store \(seed.id)")
          }
          guard seed.id.isHints || store.role == .active else {
            throw .missing(
              path: contents.directory, reason: "\(node.name) began to make it anew while the backup was made")
          }
        } catch {
          throw Failure("\(error); begin the backup anew")
        }
      }
    }
  }

  /// The names of all files, before the manifest counts on them.
  private func syncDirectories(_ manifest: BackupManifest) throws(Failure) {
    var names: Set<String> = [""]
    for file in manifest.files {
      var path = file.path
      while let slash = path.lastIndex(of: "/") {
        path = String(path[..<slash])
        names.insert(path)
      }
    }
    var files = PosixFileSystem()
    for name in names.sorted() {
      do throws(StorageError) {
        try files.syncDirectory(name.isEmpty ? directory : "\(directory)/\(name)")
      } catch {
        throw Failure("\(error)")
      }
    }
  }

  // MARK: When it fails

  /// Removes what this run has made: it is no backup, and takes room. Anything else in the directory is somebody else's.
  func abandon(_ nodes: [BackupManifest.Node]) {
    for name in [BackupManifest.name] + nodes.map(\.directory) { try? FileTree.remove("\(directory)/\(name)") }
    removeMarker()
    if isNew { FileTree.removeIfEmpty(directory) }
  }

  private func removeMarker() { try? FileTree.remove("\(directory)/\(Self.markerName)") }

  private func parent(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
  }

  private func unwritable(_ name: String, _ error: Errno) -> Failure {
    Failure("cannot write \(directory)/\(name): \(error)")
  }
}
