import Platform
import Primitives
import Replication

// Lines to standard error: time, level, node, text. Written with one call each.

/// Writes the lines that are important enough.
struct Log: Sendable {
  private let level: LogLevel
  private let node: String
  private let clock: SystemClock

  init(level: LogLevel, node: String, clock: SystemClock) {
    self.level = level
    self.node = node
    self.clock = clock
  }

  func callAsFunction(_ level: LogLevel, _ text: @autoclosure () -> String) {
    guard level >= self.level else { return }
    writeToStandardError(
      "\(timestamp(wallMilliseconds: clock.now().wallMilliseconds)) \(level) \(node) \(oneLine(text()))\n")
  }
}
