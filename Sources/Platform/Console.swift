import Glibc

// What a command sees of its own process: arguments, terminal, standard streams, and the end.

package enum Console {
  /// The arguments after the program's name as they were given; nil in place of one that is not UTF-8.
  package static var arguments: [String?] {
    (1..<max(1, Int(CommandLine.argc))).map { index in
      unsafe CommandLine.unsafeArgv[index].flatMap { unsafe String(validatingCString: $0) }
    }
  }

  /// Somebody is looking at standard error.
  package static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Standard output goes to a screen, not to a file or a program.
  package static var outputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Writes all of `bytes` to standard output.
  package static func write(_ bytes: [UInt8]) throws(Errno) {
    var written = 0
    while written < bytes.count {
      written += try call {
        unsafe bytes.withUnsafeBytes {
          unsafe Glibc.write(STDOUT_FILENO, $0.baseAddress! + written, $0.count - written)
        }
      }
    }
  }

  /// Everything on standard input. - Throws: `EFBIG` when that is more than `bytesMax`.
  package static func readInput(bytesMax: Int) throws(Errno) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = try call {
        unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(STDIN_FILENO, $0.baseAddress!, $0.count) }
      }
      if count == 0 { return bytes }
      guard bytes.count + count <= bytesMax else { throw Errno(EFBIG) }
      bytes.append(contentsOf: buffer[..<count])
    }
  }

  package static func exit(_ code: Int32) -> Never { Glibc.exit(code) }

  /// The path of the running program.
  package static var executablePath: String { linkTarget("/proc/self/exe") ?? "cairn" }

  package static var currentDirectory: String { linkTarget("/proc/self/cwd") ?? "." }

  package static func environment(_ name: String) -> String? {
    unsafe getenv(name).flatMap { unsafe String(validatingCString: $0) }
  }
}
