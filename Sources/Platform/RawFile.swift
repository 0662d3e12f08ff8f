import CLinux
import Glibc

// A file by plain system calls and nothing else: what a benchmark compares the storage engine with. Nothing is
// buffered, checked or remembered here.

package final class RawFile: Sendable {
  private let descriptor: Descriptor

  /// Creates the file, which does not exist; it is appended to.
  package init(creating path: String) throws(Errno) {
    descriptor = Descriptor(
      owning: try call { unsafe open(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0o644) })
  }

  package init(reading path: String) throws(Errno) {
    descriptor = Descriptor(owning: try call { unsafe open(path, O_RDONLY | O_CLOEXEC) })
  }

  /// One write of all `bytes`; another only when the system took less.
  package func append(_ bytes: [UInt8]) throws(Errno) {
    let number = descriptor.rawValue
    var written = 0
    while written < bytes.count {
      written += try call {
        unsafe bytes.withUnsafeBytes { unsafe write(number, $0.baseAddress! + written, $0.count - written) }
      }
    }
  }

  /// One read into the front of `buffer`. - Returns: how many bytes came.
  package func read(at offset: UInt64, count: Int, into buffer: inout [UInt8]) throws(Errno) -> Int {
    let number = descriptor.rawValue
    return try call {
      unsafe buffer.withUnsafeMutableBytes {
        unsafe pread(number, $0.baseAddress!, min(count, $0.count), off_t(offset))
      }
    }
  }

  package func sync() throws(Errno) { try syncData(descriptor.rawValue) }

  /// Asks the system to forget the file's bytes in memory. They must be durable: others it keeps.
  package func forgetCached() { _ = posix_fadvise(descriptor.rawValue, 0, 0, POSIX_FADV_DONTNEED) }
}

/// Gives memory that nothing uses any more back to the system, so that what the process holds from here on is new.
package func releaseFreedMemory() { cairn_release_freed_memory() }
