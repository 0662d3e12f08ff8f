import Glibc

// A hold on a node's lock file for tools that work on its directory while no node runs there. Tools that only look
// create nothing, and share it.

/// Keeps nodes away from a directory for as long as it lives; it does not survive a crash.
package struct FileLock: ~Copyable {
  private let descriptor: Descriptor

  /// Locks the file.
  /// - Parameter exclusive: Nobody else may hold it, not even to look; the file is created when it is missing.
  /// - Throws: `.wouldBlock` when a node, or with `exclusive` anybody, holds it; `.noSuchFile` when there is none.
  package init(_ path: String, exclusive: Bool) throws(Errno) {
    let flags = exclusive ? O_RDWR | O_CREAT : O_RDONLY
    let descriptor = Descriptor(owning: try call { unsafe open(path, flags | O_CLOEXEC, 0o644) })
    let number = descriptor.rawValue
    try call { flock(number, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) }
    self.descriptor = descriptor
  }
}
