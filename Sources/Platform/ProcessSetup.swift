import CLinux
import Glibc

// What a process does once before it serves: signals as a descriptor, no SIGPIPE, as many open files as allowed.

/// Makes a write to a closed connection an error value instead of the end of the process.
package func ignoreBrokenPipes() throws(Errno) { try callNegated { cairn_ignore_sigpipe() } }

/// Raises the limit of open files as far as it goes and returns it.
@discardableResult
package func raiseOpenFilesLimit() throws(Errno) -> Int { Int(try callNegated { cairn_raise_open_files() }) }

/// SIGTERM and SIGINT as something to poll. Made before any other thread starts: a thread inherits what is blocked.
package struct TerminationSignals: ~Copyable, Sendable {
  package let descriptor: Descriptor

  /// - Parameter withHangup: SIGHUP too, which a terminal sends when it goes away, for whoever must not leave others behind.
  package init(withHangup: Bool = false) throws(Errno) {
    descriptor = Descriptor(owning: try callNegated { cairn_signalfd_termination(withHangup ? 1 : 0) })
  }

  /// What a shell would say of a process that this signal has ended.
  package static func exitCode(of name: String) -> Int32 {
    switch name {
    case "SIGHUP": 128 + SIGHUP
    case "SIGINT": 128 + SIGINT
    default: 128 + SIGTERM
    }
  }

  /// The name of the next pending signal; nil when there is none.
  package borrowing func next() -> String? {
    switch cairn_signalfd_next(descriptor.rawValue) {
    case SIGTERM: "SIGTERM"
    case SIGINT: "SIGINT"
    case SIGHUP: "SIGHUP"
    default: nil
    }
  }
}

/// The process id, for status and tests.
package func processIdentifier() -> Int { Int(getpid()) }

/// Memory that the process holds, in bytes; 0 when the system does not say.
package func residentBytes() -> Int {
  guard let bytes = try? readSmallFile("/proc/self/statm", bytesMax: 4096) else { return 0 }
  let fields = bytes.split(separator: UInt8(ascii: " "))
  guard fields.count > 1 else { return 0 }
  return fields[1].reduce(0) { $0 * 10 + Int($1) - 48 } * Int(sysconf(Int32(_SC_PAGESIZE)))
}

/// Reads a whole small file. - Throws: why not; `EFBIG` when it is longer than `bytesMax`.
package func readSmallFile(_ path: String, bytesMax: Int) throws(Errno) -> [UInt8] {
  let descriptor = Descriptor(owning: try call { unsafe open(path, O_RDONLY | O_CLOEXEC) })
  let bytes = try readWaiting(descriptor.rawValue, at: 0, count: bytesMax + 1)
  guard bytes.count <= bytesMax else { throw Errno(EFBIG) }
  return bytes
}
