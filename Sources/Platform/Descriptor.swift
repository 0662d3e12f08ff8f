import Glibc

// An owned file descriptor: closed exactly once, by leaving scope. Nonblocking reads and writes answer with values,
// because "nothing there" and "closed" are no errors of a socket.

/// What a read brought.
package enum Received: Equatable, Sendable {
  case bytes(Int)
  /// Nothing there now.
  case wouldBlock
  /// The other side has finished.
  case end
}

/// The owner of one descriptor.
package struct Descriptor: ~Copyable, Sendable {
  package let rawValue: Int32

  /// Takes ownership of an open descriptor.
  package init(owning rawValue: Int32) { self.rawValue = rawValue }

  deinit { _ = Glibc.close(rawValue) }

  /// A second descriptor for the same open file, close-on-exec.
  package static func duplicating(_ rawValue: Int32) throws(Errno) -> Descriptor {
    Descriptor(owning: try call { fcntl(rawValue, F_DUPFD_CLOEXEC, 0) })
  }

  /// Reads at most `buffer.count` bytes. - Throws: what broke the connection or file.
  package borrowing func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Received {
    do {
      let count = try call { unsafe Glibc.read(rawValue, buffer.baseAddress, buffer.count) }
      return count == 0 ? .end : .bytes(count)
    } catch .wouldBlock {
      return .wouldBlock
    }
  }

  /// Writes what the system takes of `bytes[offset...]` now; 0 when it takes nothing.
  package borrowing func write(_ bytes: [UInt8], from offset: Int) throws(Errno) -> Int {
    do {
      return try call {
        unsafe bytes.withUnsafeBytes {
          unsafe Glibc.write(rawValue, $0.baseAddress! + offset, $0.count - offset)
        }
      }
    } catch .wouldBlock {
      return 0
    }
  }
}

/// Room for what one read brings, used again for each.
@safe
package final class ReadBuffer {
  private let room: UnsafeMutableRawBufferPointer

  package init(byteCount: Int) { unsafe room = .allocate(byteCount: byteCount, alignment: 16) }

  deinit { unsafe room.deallocate() }

  /// Reads from `descriptor` and shows `body` the bytes, if there were any. - Throws: what broke the connection.
  package func read(
    from descriptor: borrowing Descriptor, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(Errno) -> Received {
    let received = unsafe try descriptor.read(into: room)
    if case .bytes(let count) = received { unsafe body(UnsafeRawBufferPointer(rebasing: room[..<count])) }
    return received
  }
}

/// Writes a line to standard error in one call, so that lines of several threads do not mix. Failures are ignored:
/// there is nowhere left to report them.
package func writeToStandardError(_ text: String) { writeIgnoringFailure(STDERR_FILENO, text) }

package func writeToStandardOutput(_ text: String) { writeIgnoringFailure(STDOUT_FILENO, text) }

/// `text` as one line that moves no cursor: control characters and line separators become escapes like `\n` or
/// `\u{1B}`. For messages that repeat what somebody typed.
package func oneLine(_ text: String) -> String {
  var line = ""
  for scalar in text.unicodeScalars {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: line += scalar.escaped(asASCII: true)
    default: line.unicodeScalars.append(scalar)
    }
  }
  return line
}

private func writeIgnoringFailure(_ descriptor: Int32, _ text: String) {
  let bytes = Array(text.utf8)
  var offset = 0
  while offset < bytes.count {
    let count = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
    if count < 0 && errno == EINTR { continue }
    if count <= 0 { return }
    offset += count
  }
}
