import Glibc

// The numbers with which the system refuses, as a typed error, and the one place where a call is retried because a
// signal interrupted it.

/// Why a system call failed.
package struct Errno: Error, Hashable, Sendable {
  package let rawValue: Int32
  package init(_ rawValue: Int32) { self.rawValue = rawValue }

  package static let interrupted = Errno(EINTR)
  package static let wouldBlock = Errno(EAGAIN)
  package static let inProgress = Errno(EINPROGRESS)
  package static let notSupported = Errno(EOPNOTSUPP)
  package static let addressInUse = Errno(EADDRINUSE)
  package static let addressNotAvailable = Errno(EADDRNOTAVAIL)
  package static let permissionDenied = Errno(EACCES)
  package static let connectionRefused = Errno(ECONNREFUSED)
  package static let noSuchFile = Errno(ENOENT)
  package static let exists = Errno(EEXIST)
  package static let timedOut = Errno(ETIMEDOUT)
}

extension Errno: CustomStringConvertible {
  /// The system's own words and the number: `permission denied (error 13)`.
  package var description: String {
    let words = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
      unsafe strerror_r(rawValue, buffer.baseAddress!, buffer.count) == 0
        ? unsafe String(cString: buffer.baseAddress!) : "unknown"
    }
    return "\(words.prefix(1).lowercased())\(words.dropFirst()) (error \(rawValue))"
  }
}

/// Performs a call that says -1 and sets errno; again when a signal came first.
@discardableResult
func call<Number: SignedInteger>(_ body: () -> Number) throws(Errno) -> Number {
  while true {
    let result = body()
    if result >= 0 { return result }
    let code = errno
    if code != EINTR { throw Errno(code) }
  }
}

/// Performs a call of `CLinux`, which says the negated errno; again when a signal came first.
@discardableResult
func callNegated<Number: SignedInteger>(_ body: () -> Number) throws(Errno) -> Number {
  while true {
    let result = body()
    if result >= 0 { return result }
    let code = Int32(-result)
    if code != EINTR { throw Errno(code) }
  }
}
