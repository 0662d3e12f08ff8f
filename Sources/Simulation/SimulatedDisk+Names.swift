// What the simulated disk needs besides its state: the numbers of errors, open files, and names that follow their directory.

extension SimulatedDisk {
  enum Errno {
    static let noEntry: Int32 = 2
    static let failed: Int32 = 5
    static let badFile: Int32 = 9
    static let exists: Int32 = 17
    static let notDirectory: Int32 = 20
    static let isDirectory: Int32 = 21
    static let invalid: Int32 = 22
    static let tooManyFiles: Int32 = 24
    static let noSpace: Int32 = 28
    static let notEmpty: Int32 = 39
  }

  static func moving(_ names: [String: Int], _ from: String, _ to: String) -> [String: Int] {
    Dictionary(uniqueKeysWithValues: names.map { (moving($0.key, from, to), $0.value) })
  }

  static func moving(_ directories: Set<String>, _ from: String, _ to: String) -> Set<String> {
    Set(directories.map { moving($0, from, to) })
  }

  static func moving(_ path: String, _ from: String, _ to: String) -> String {
    isInside(path, from) ? to + path.dropFirst(from.count) : path
  }

  /// Names of the directories in one, sorted.
  package func directories(in directory: String) -> [String] {
    directories.filter { Self.parent(of: $0) == directory }
      .map { String($0.dropFirst(directory.count + 1)) }.sorted()
  }

  /// Whether this is the directory or something in it.
  static func isInside(_ path: String, _ directory: String) -> Bool {
    path == directory || path.hasPrefix(directory + "/")
  }

  static func parent(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: 0x2F) else { return "" }
    return String(path[..<slash])
  }

  struct Handle {
    let inode: Int
    let path: String
    let isWritable: Bool
  }

  /// A change of names that lasts once the directory of the new name is synced; that of a directory's name, once one of
  /// the two directories is, because a file system that journals takes it as a whole.
  enum NameChange {
    case set(String, Int)
    case remove(String)
    case rename(String, String, Int)
    case makeDirectory(String)
    case removeDirectory(String)
    case renameDirectory(String, String)

    /// The name that is changed, or the new one.
    var path: String {
      switch self {
      case .set(let path, _), .remove(let path), .rename(_, let path, _), .makeDirectory(let path),
        .removeDirectory(let path), .renameDirectory(_, let path):
        path
      }
    }

    var directory: String { SimulatedDisk.parent(of: path) }

    func lasts(bySyncOf directory: String) -> Bool {
      if case .renameDirectory(let from, _) = self, SimulatedDisk.parent(of: from) == directory { return true }
      return self.directory == directory
    }

    /// The same change after its directory has moved.
    func moved(_ from: String, _ to: String) -> NameChange {
      func moving(_ path: String) -> String { SimulatedDisk.moving(path, from, to) }
      return switch self {
      case .set(let path, let inode): .set(moving(path), inode)
      case .remove(let path): .remove(moving(path))
      case .rename(let old, let new, let inode): .rename(moving(old), moving(new), inode)
      case .makeDirectory(let path): .makeDirectory(moving(path))
      case .removeDirectory(let path): .removeDirectory(moving(path))
      case .renameDirectory(let old, let new): .renameDirectory(moving(old), moving(new))
      }
    }
  }
}
