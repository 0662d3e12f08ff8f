import Platform
import Primitives

// What somebody who waits for `cairn bench` sees meanwhile: one line on the terminal, rewritten a few times a second.

struct BenchDisplay {
  private let isShown = Console.errorIsTerminal
  private let total: UInt64
  private var next = Instant(nanoseconds: 0)
  private static let intervalMilliseconds: UInt64 = 250

  init(_ options: BenchOptions) { total = options.durationMilliseconds }

  mutating func show(_ recorder: BenchRecorder, at now: Instant) {
    guard isShown, now >= next else { return }
    next = now.adding(milliseconds: BenchDisplay.intervalMilliseconds)
    writeToStandardError("\r\u{1B}[K" + BenchDisplay.line(recorder, totalMilliseconds: total, at: now))
  }

  func clear() {
    if isShown { writeToStandardError("\r\u{1B}[K") }
  }

  static func line(_ recorder: BenchRecorder, totalMilliseconds: UInt64, at now: Instant) -> String {
    guard now >= recorder.window.lowerBound else { return "warming up" }
    let passed = now.milliseconds(since: recorder.window.lowerBound)
    guard passed < totalMilliseconds else { return "waiting for the last answers" }
    var line = "\(passed / 1000) s of \(rounded(Double(totalMilliseconds) / 1000, 1)) s"
    if let last = recorder.seconds.last {
      line += "  \(countText(Double(last.ops))) ops/s  p99 \(latencyText(last.p99))  max \(latencyText(last.max))"
    }
    if recorder.errorCount > 0 { line += "  \(plural(recorder.errorCount, "error"))" }
    if recorder.lostCount > 0 { line += "  \(recorder.lostCount) lost" }
    return line
  }
}
