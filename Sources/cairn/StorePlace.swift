import Platform
import Primitives
import Storage

// The directory that an offline tool is given: what it is, whose it is, and a lock on it, so that no node works there
// at the same time.

/// A store's directory, or a node's with all its stores.
final class StorePlace {
  let path: String
  /// The directory of the node, when it is known: `path` itself, or two above a store.
  let nodeDirectory: String?
  let isNode: Bool
  /// Nil without a node, or when its manifest cannot be read.
  let node: NodeManifest?
  let nodeProblem: StorageError?
  /// The node directory's contents, when `isNode`.
  let nodeContents: NodeContents?
  private let lock: FileLock?

  /// - Parameter writes: Nobody else may look meanwhile.
  init(_ word: String, _ arguments: Arguments, writes: Bool = false) throws {
    var files = PosixFileSystem()
    let kind = try StorePlace.kind(of: word, on: &files)
    let path: String
    do throws(Errno) {
      path = kind == .absent ? word : try FileTree.resolved(word)
    } catch {
      throw Failure("cannot find \(word): \(error)")
    }
    try StorePlace.refuse(kind, path, arguments)
    self.path = path
    isNode = kind == .node
    nodeDirectory = isNode ? path : try StorePlace.node(above: path, on: &files)
    if let nodeDirectory {
      lock = try StorePlace.lock(nodeDirectory, writes: writes)
      (node, nodeProblem) = NodeContents.manifest(in: nodeDirectory, on: &files)
    } else {
      lock = nil
      (node, nodeProblem) = (nil, nil)
    }
    do throws(StorageError) {
      nodeContents = isNode ? try NodeContents(reading: path, on: &files) : nil
    } catch {
      throw Failure("\(error)")
    }
  }

  /// True when a node, or another tool that changes things, is at work in the node's directory.
  static func isInUse(_ word: String) -> Bool {
    do throws(Errno) {
      _ = try FileLock(word + "/lock", exclusive: false)
      return false
    } catch {
      return error == .wouldBlock
    }
  }

  /// Directories of stores, in order.
  var stores: [String] { nodeContents?.stores.map { StorePath.store(path, $0) } ?? [path] }

  /// What a store is called in a table: `p042-n3`.
  static func name(_ store: String) -> String {
    String(store[(store.lastIndex(of: "/").map { store.index(after: $0) } ?? store.startIndex)...])
  }

  /// What it is called where there is room for more: `p042-n3`, or `hints-3 (hints for node 3)`.
  static func title(_ store: String) -> String { StoreID(directory: store)?.title ?? name(store) }

  /// A path as it is shown: without the directory that was named.
  func relative(_ path: String) -> String {
    path.hasPrefix(self.path + "/") ? String(path.dropFirst(self.path.count + 1)) : path
  }

  // MARK: What was named

  private static func kind(of word: String, on files: inout PosixFileSystem) throws -> DirectoryKind {
    do throws(StorageError) {
      return try DirectoryKind(of: word.isEmpty ? "." : word, on: &files)
    } catch {
      throw Failure("\(error)")
    }
  }

  /// What is neither a store nor a node is answered with what to name instead.
  private static func refuse(_ kind: DirectoryKind, _ path: String, _ arguments: Arguments) throws {
    switch kind {
    case .store, .node: return
    case .absent: throw Failure("there is no \(path); name a node's directory or a store's: ./.cairn/n1/stores/p000-n3")
    case .file:
      throw arguments.problem("\(path) is a file", hint: "name its directory: \(parent(of: path))")
    case .stores:
      throw arguments.problem(
        "\(path) holds the stores of a node", hint: "name the node's directory, \(parent(of: path)), or one store's")
    case .other:
      if FileTree.exists(LocalCluster.recordPath(path)) {
        throw arguments.problem(
          "\(path) is a local cluster of several nodes", hint: "name the directory of one of them: \(path)/n1")
      }
      throw arguments.problem(
        "\(path) is no store and no node's directory",
        hint: "name DATA/stores/p000-n3, or DATA, as given to cairn node")
    }
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
    return String(path[..<slash])
  }

  /// The node whose store this is: two directories above it, unless it is a copy.
  private static func node(above store: String, on files: inout PosixFileSystem) throws -> String? {
    let stores = parent(of: store)
    guard stores.hasSuffix("/stores") else { return nil }
    let node = parent(of: stores)
    return FileTree.exists(NodeContents.manifestPath(node)) || FileTree.exists(node + "/lock") ? node : nil
  }

  /// Nil when there is no lock file: then no node has ever run on this directory, which is a copy.
  private static func lock(_ node: String, writes: Bool) throws -> FileLock? {
    do throws(Errno) {
      return try FileLock(node + "/lock", exclusive: writes)
    } catch .noSuchFile {
      return nil
    } catch .wouldBlock {
      throw Failure("\(node) is in use by a running node (or another tool); stop that first")
    } catch {
      throw Failure("cannot lock \(node)/lock: \(error)")
    }
  }
}

extension StoreID {
  /// For a table or a line: `p042-n3`, or `hints-3 (hints for node 3)`.
  var title: String { hintTarget.map { "\(self) (hints for node \($0.rawValue))" } ?? "\(self)" }
}
