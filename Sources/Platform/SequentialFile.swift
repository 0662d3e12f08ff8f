import Glibc

// Files and pipes that are read or written from front to back: what import and export work on. Every write is checked;
// a file is complete only when it was synced and has its name.

/// What is read from front to back.
package struct InputFile: ~Copyable, Sendable {
  package let descriptor: Descriptor
  /// How long it is; nil for a pipe, a terminal and the like, which can only be waited for.
  package let byteCount: UInt64?

  package init(path: String) throws(Errno) {
    try self.init(owning: Descriptor(owning: try call { unsafe open(path, O_RDONLY | O_CLOEXEC) }))
  }

  package static func standardInput() throws(Errno) -> InputFile {
    try InputFile(owning: Descriptor.duplicating(STDIN_FILENO))
  }

  private init(owning descriptor: consuming Descriptor) throws(Errno) {
    var facts = stat()
    let number = descriptor.rawValue
    try call { unsafe fstat(number, &facts) }
    if facts.st_mode & S_IFMT == S_IFDIR { throw Errno(EISDIR) }
    byteCount = facts.st_mode & S_IFMT == S_IFREG ? UInt64(facts.st_size) : nil
    self.descriptor = descriptor
  }

  /// Goes on reading at this place. - Throws: for what is no plain file, `ESPIPE`.
  package borrowing func seek(to offset: Int) throws(Errno) {
    let number = descriptor.rawValue
    try call { lseek(number, off_t(offset), SEEK_SET) }
  }
}

/// What is written from front to back.
package struct OutputFile: ~Copyable, Sendable {
  package let descriptor: Descriptor

  /// Opens a file for writing behind its first `kept` bytes, which is created if there is none; what follows those bytes
  /// is cut off.
  package init(path: String, keeping kept: Int) throws(Errno) {
    let opened = Descriptor(owning: try call { unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644) })
    let number = opened.rawValue
    try call { ftruncate(number, off_t(kept)) }
    try call { lseek(number, off_t(kept), SEEK_SET) }
    descriptor = opened
  }

  package static func standardOutput() throws(Errno) -> OutputFile {
    OutputFile(owning: try Descriptor.duplicating(STDOUT_FILENO))
  }

  private init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

  /// Writes all of `bytes`, waiting where it must. - Returns: how many were written before `failure`, if there was one.
  package borrowing func write(_ bytes: [UInt8]) -> (written: Int, failure: Errno?) {
    var written = 0
    while written < bytes.count {
      do throws(Errno) {
        let count = try descriptor.write(bytes, from: written)
        if count == 0 { try waitUntilWritable() }
        written += count
      } catch {
        return (written, error)
      }
    }
    return (written, nil)
  }

  /// For a descriptor that somebody made nonblocking.
  private borrowing func waitUntilWritable() throws(Errno) {
    let number = descriptor.rawValue
    var entry = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
    try call { unsafe poll(&entry, 1, -1) }
  }

  /// Waits until the device has it. What cannot be synced, like a pipe, needs no sync.
  package borrowing func sync() throws(Errno) {
    let number = descriptor.rawValue
    do throws(Errno) {
      try call { fsync(number) }
    } catch {
      guard error.rawValue == EINVAL || error.rawValue == EROFS else { throw error }
    }
  }
}

extension FileTree {
  /// Puts `bytes` under `path` at once and for good: whatever happens, a reader finds the old file or the new one.
  package static func replace(_ path: String, with bytes: [UInt8]) throws(Errno) {
    let temporary = path + ".new"
    do throws(Errno) {
      let file = try OutputFile(path: temporary, keeping: 0)
      if let failure = file.write(bytes).failure { throw failure }
      try file.sync()
    } catch {
      _ = unsafe unlink(temporary)
      throw error
    }
    try move(temporary, to: path)
  }

  /// Gives a file another name, in the place of what has that name, and waits until the directory knows it.
  package static func move(_ path: String, to other: String) throws(Errno) {
    try call { unsafe rename(path, other) }
    try syncDirectory(of: other)
  }

  private static func syncDirectory(of path: String) throws(Errno) {
    let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let descriptor = Descriptor(owning: try call { unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
    let number = descriptor.rawValue
    try call { fsync(number) }
  }
}

extension Errno {
  package static let brokenPipe = Errno(EPIPE)
  package static let noSpace = Errno(ENOSPC)
  package static let notPermitted = Errno(EPERM)
}
