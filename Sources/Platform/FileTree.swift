import Glibc
import Storage

// Directories and small files as commands need them; durability is not their business.

package enum FileTree {
  package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  /// The absolute path of something that exists, without links, "." and "..".
  package static func resolved(_ path: String) throws(Errno) -> String {
    guard let found = unsafe realpath(path, nil) else { throw Errno(errno) }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
  }

  /// Creates a directory and those above it.
  package static func create(_ path: String) throws(Errno) {
    if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      let parent = String(path[..<slash])
      if !exists(parent) { try create(parent) }
    }
    do throws(Errno) {
      try call { unsafe mkdir(path, 0o755) }
    } catch .exists {
      return
    }
  }

  /// Removes a file, or a directory with everything in it; symbolic links are removed, not followed. A missing path
  /// is fine.
  package static func remove(_ path: String) throws(Errno) {
    var facts = stat()
    do throws(Errno) {
      try call { unsafe lstat(path, &facts) }
      if facts.st_mode & S_IFMT == S_IFDIR {
        for name in try names(in: path) { try remove(path + "/" + name) }
        try call { unsafe rmdir(path) }
      } else {
        try call { unsafe unlink(path) }
      }
    } catch .noSuchFile {
      return
    }
  }

  /// Removes a directory that holds nothing; leaves any other.
  package static func removeIfEmpty(_ path: String) { _ = unsafe rmdir(path) }

  /// What the system knows of a file; nil when there is none.
  package static func facts(_ path: String) -> (device: UInt64, inode: UInt64, bytes: UInt64, isDirectory: Bool)? {
    var facts = stat()
    guard unsafe lstat(path, &facts) == 0 else { return nil }
    return (
      UInt64(facts.st_dev), UInt64(facts.st_ino), UInt64(facts.st_size), facts.st_mode & S_IFMT == S_IFDIR
    )
  }

  /// Creates an empty file if there is none. - Throws: why nothing could be appended to it.
  package static func openLog(_ path: String) throws(Errno) {
    _ = Descriptor(owning: try call { unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644) })
  }

  package static func truncate(_ path: String, to bytes: UInt64) throws(Errno) {
    try call { unsafe Glibc.truncate(path, off_t(bytes)) }
  }

  /// Names in a directory, sorted.
  package static func names(in directory: String) throws(Errno) -> [String] {
    var files = PosixFileSystem()
    do throws(StorageError) {
      return try files.list(directory)
    } catch .io(_, _, let errno) {
      throw Errno(errno)
    } catch {
      throw Errno(EIO)
    }
  }

  /// Puts `bytes` under `path` at once: a reader sees the old file or the new one.
  package static func write(_ bytes: [UInt8], to path: String) throws(Errno) {
    let temporary = path + ".new"
    do {
      let file = Descriptor(
        owning: try call { unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) })
      var offset = 0
      while offset < bytes.count { offset += try file.write(bytes, from: offset) }
    }
    try call { unsafe rename(temporary, path) }
  }

  /// All of a file. - Throws: `EFBIG` when it has more than `bytesMax` bytes.
  package static func read(_ path: String, bytesMax: Int) throws(Errno) -> [UInt8] {
    try readSmallFile(path, bytesMax: bytesMax + 1)
  }
}

extension Errno {
  package static let tooLarge = Errno(EFBIG)
}
