import Platform
import Primitives
import Testing

// Runs the `cairn` binary and looks at what it did.

/// A test that cannot go on.
struct Stuck: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

enum Binary {
  static let directory: String = {
    let path = Console.executablePath
    return String(path[..<path.lastIndex(of: "/")!])
  }()

  static var cairn: String { directory + "/cairn" }
}

/// A directory that goes away with the value, below the build directory. Its name has been nobody else's before.
final class ScratchDirectory {
  private static let count = Locked(0)
  let path: String

  init(_ name: String) throws {
    let number = ScratchDirectory.count.withLock { count in
      count += 1
      return count
    }
    path = "\(Binary.directory)/system-tests/\(processIdentifier())-\(number)-\(name)"
    try FileTree.remove(path)
    try FileTree.create(path)
  }

  deinit { try? FileTree.remove(path) }
}

/// What a finished command left.
struct CommandResult {
  let end: ProcessEnd
  let output: [UInt8]
  let errors: String
  var outputText: String { String(decoding: output, as: UTF8.self) }
  var code: Int32 { if case .exited(let code) = end { code } else { -1 } }
}

/// A process that was started by the test, with its output in files.
final class RunningCommand {
  let identity: ProcessIdentity
  private let directory: ScratchDirectory
  private let words: [String]
  private var end: ProcessEnd?

  /// - Parameters:
  ///   - input: What it finds on standard input.
  ///   - outputPath: Where it writes, if not to a file that can be looked at.
  ///   - starter: The command that starts it, found in `PATH`, with its words; none by default.
  init(
    _ words: [String], name: String, input: [UInt8] = [], environment: [String] = [], outputPath: String? = nil,
    starter: [String] = []
  ) throws {
    directory = try ScratchDirectory("command-" + name)
    self.words = words
    var setting = ProcessSetting()
    setting.environment = environment
    setting.inputPath = directory.path + "/in"
    setting.outputPath = outputPath ?? directory.path + "/out"
    setting.errorPath = directory.path + "/err"
    try FileTree.write(input, to: setting.inputPath)
    identity =
      starter.isEmpty
      ? try spawn(Binary.cairn, words, setting) : try spawn("/usr/bin/env", starter + [Binary.cairn] + words, setting)
  }

  deinit {
    if end == nil {
      identity.signal(.kill)
      _ = endOfChild(identity.pid, wait: true)
    }
  }

  var errors: String { text("err") }
  var output: String { text("out") }

  private func text(_ name: String) -> String {
    String(decoding: (try? FileTree.read(directory.path + "/" + name, bytesMax: 64 << 20)) ?? [], as: UTF8.self)
  }

  /// Waits for the end of the process.
  func finish(seconds: UInt64 = 90) throws -> CommandResult {
    try eventually("cairn \(words.joined(separator: " ")) ends", seconds: seconds) {
      if end == nil { end = endOfChild(identity.pid, wait: false) }
      return end != nil
    }
    let path = directory.path + "/out"
    let output = FileTree.exists(path) ? try FileTree.read(path, bytesMax: 256 << 20) : []
    return CommandResult(end: end!, output: output, errors: errors)
  }
}

private let commandNumber = Locked(0)

/// Runs `cairn` with these words to its end.
func cairn(_ words: String..., input: [UInt8] = []) throws -> CommandResult {
  try cairn(words, input: input)
}

func cairn(
  _ words: [String], input: [UInt8] = [], environment: [String] = [], outputPath: String? = nil, starter: [String] = []
) throws -> CommandResult {
  let number = commandNumber.withLock {
    $0 += 1
    return $0
  }
  return try RunningCommand(
    words, name: "\(number)", input: input, environment: environment, outputPath: outputPath,
    starter: starter
  ).finish()
}

/// Returns as soon as `holds`; throws when it still does not after the deadline. What takes long is looked at less often:
/// many questions to nodes cost more than what they are asked about.
func eventually(_ what: String, seconds: UInt64 = 60, _ holds: () throws -> Bool) throws {
  let start = SystemClock().now().instant
  while try !holds() {
    let waited = SystemClock().now().instant.milliseconds(since: start)
    guard waited < seconds * 1000 else { throw Stuck("not within \(seconds) s: \(what)") }
    pause(milliseconds: Int(min(max(waited / 5, 10), 100)))
  }
}

/// Runs a line of the shell; what it says of errors is not shown.
func shell(_ line: String) throws -> ProcessEnd {
  var setting = ProcessSetting()
  setting.errorPath = "/dev/null"
  let identity = try spawn("/bin/sh", ["-c", line], setting)
  return try #require(endOfChild(identity.pid, wait: true))
}
