import Platform
import Testing

// Lines of a shell, as documents have them.

/// A line of a shell, running.
final class ShellCommand {
  private let identity: ProcessIdentity
  private let path: String
  private let text: String
  private static let number = Locked(0)

  init(_ text: String, in directory: ScratchDirectory) throws {
    self.text = text
    let number = ShellCommand.number.withLock { number in
      number += 1
      return number
    }
    path = "\(directory.path)/command-\(number)"
    var setting = ProcessSetting()
    setting.outputPath = path + ".out"
    setting.errorPath = path + ".err"
    identity = try spawn("/bin/sh", ["-c", text], setting)
  }

  var output: String { read(".out") }
  var errors: String { read(".err") }

  private func read(_ kind: String) -> String {
    String(decoding: (try? FileTree.read(path + kind, bytesMax: 64 << 20)) ?? [], as: UTF8.self)
  }

  func signal(_ signal: ProcessSignal) { identity.signal(signal) }

  func finish() throws -> ProcessEnd {
    var end: ProcessEnd?
    try eventually("\(text) ends", seconds: 240) {
      end = endOfChild(identity.pid, wait: false)
      return end != nil
    }
    return end!
  }
}
