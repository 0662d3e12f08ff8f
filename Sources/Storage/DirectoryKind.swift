// What a directory that somebody names is, so that a tool can say what to type instead.

package enum DirectoryKind: Equatable, Sendable {
  /// `<data>/stores/p042-n3`, or a copy of it.
  case store
  /// `<data>`: a node's directory.
  case node
  /// `<data>/stores`.
  case stores
  /// There is nothing of this name.
  case absent
  /// A file.
  case file
  /// A directory of something else.
  case other

  /// - Throws: when the system does not let us look.
  package init<FS: FileSystem & ~Copyable>(of path: String, on files: inout FS) throws(StorageError) {
    guard try files.exists(path) else {
      self = .absent
      return
    }
    let names: [String]
    do throws(StorageError) {
      names = try files.list(path)
    } catch {
      guard case .io(.list, _, DirectoryKind.notADirectory) = error else { throw error }
      self = .file
      return
    }
    if names.contains("node") || names.contains("stores") {
      self = .node
    } else if names.contains("manifest") || names.contains(where: { StorePath.number($0, suffix: ".data") != nil }) {
      self = .store
    } else if names.contains(where: { StoreID($0) != nil }) {
      self = .stores
    } else {
      self = StoreID(directory: path) != nil ? .store : .other
    }
  }

  /// ENOTDIR.
  private static let notADirectory: Int32 = 20
}
