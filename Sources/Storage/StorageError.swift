// What can go wrong with a disk, each case with what an operator needs to act on it.

package enum FileOperation: String, Sendable {
  case open, close, size, append, read, truncate, sync, syncDirectory, list, createDirectory, rename, link, unlink, lock
  case removeDirectory
}

package enum StorageError: Error, Equatable, Sendable {
  /// The operating system refused. The store that saw it for a write or a sync is done for.
  case io(FileOperation, path: String, errno: Int32)
  /// Another process works on this directory.
  case locked(path: String)
  /// Bytes that were durable do not read back as they were written.
  case damaged(path: String, offset: UInt64, reason: String)
  /// A file says it is of another kind, a newer format, or belongs elsewhere.
  case incompatible(path: String, reason: String)
  /// Something the manifest names is not there.
  case missing(path: String, reason: String)
}

extension StorageError: CustomStringConvertible {
  /// One line for an operator: what, where, and what to do.
  package var description: String {
    switch self {
    case .io(let operation, let path, let errno):
      "cannot \(operation.rawValue) \(path): error \(errno)\(StorageError.advice(errno))"
    case .locked(let path):
      "\(path) is in use by another process; stop that one first, or give this node its own --data"
    case .damaged(let path, let offset, let reason): "\(path) is damaged at byte \(offset): \(reason)"
    case .incompatible(let path, let reason): "\(path): \(reason)"
    case .missing(let path, let reason): "\(path) is missing: \(reason)"
    }
  }

  /// ENOENT.
  static let noSuchFile: Int32 = 2
  /// EISDIR.
  static let isDirectory: Int32 = 21

  private static func advice(_ errno: Int32) -> String {
    switch errno {
    case 2: " (no such file or directory)"
    case 5: " (input/output error: check the device)"
    case 13: " (permission denied: check owner and mode)"
    case 17: " (already exists)"
    case 18: " (on another file system: hard links do not reach there)"
    case 20: " (not a directory)"
    case 24: " (too many open files: raise the limit)"
    case 28: " (no space left on the device: free some)"
    case 30: " (read-only file system)"
    default: ""
    }
  }
}
