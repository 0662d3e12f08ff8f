import Platform
import Primitives

// What a command that takes long shows of its progress: one line on standard error, rewritten in place. Where nobody
// looks (standard error goes to a file or a program) it shows nothing, or, if that is wanted, a plain line now and then.

/// How much of the whole is done, from 0 to 1, as `[######------------------]`.
func progressBar(_ share: Double) -> String {
  let cells = 24
  let done = Int(min(1, max(0, share)) * Double(cells))
  return "[" + String(repeating: "#", count: done) + String(repeating: "-", count: cells - done) + "]"
}

/// How far something is, and how fast; a value, driven by the caller's clock.
struct Progress: Equatable {
  enum Unit: Equatable {
    case bytes
    /// What is counted, in the plural.
    case items(String)
  }

  let title: String
  let unit: Unit
  /// Nil when nobody knows.
  let total: UInt64?
  private(set) var done: UInt64 = 0
  private let start: Instant

  init(_ title: String, _ unit: Unit, total: UInt64?, start: Instant) {
    self.title = title
    self.unit = unit
    self.total = total
    self.start = start
  }

  mutating func advance(by amount: UInt64) { done += amount }

  /// `reading  [########----------------]  33 %  1.2 GiB of 3.6 GiB  410 MiB/s  6 s left`
  func line(at now: Instant) -> String {
    let seconds = Double(now.nanoseconds - min(start.nanoseconds, now.nanoseconds)) / 1e9
    let rate = seconds > 0 ? Double(done) / seconds : 0
    var parts = [title]
    if let total, total > 0 {
      let share = min(1, Double(done) / Double(total))
      parts += [progressBar(share), "\(Int(share * 100)) %", "\(amount(Double(done))) of \(amount(Double(total)))"]
    } else {
      parts.append(amount(Double(done)))
    }
    if rate > 0 { parts.append("\(amount(rate))/s") }
    if let total, rate > 0, done < total { parts.append("\(duration(Double(total - done) / rate)) left") }
    return parts.joined(separator: "  ")
  }

  private func amount(_ value: Double) -> String {
    switch unit {
    case .bytes: byteText(value)
    case .items(let name): "\(countText(value)) \(name)"
    }
  }

  private func duration(_ seconds: Double) -> String {
    let whole = Int(min(seconds.rounded(.up), 1e6))
    return whole < 120 ? "\(whole) s" : "\((whole + 30) / 60) min"
  }
}

/// Shows a `Progress` on the terminal, at most ten times a second; elsewhere, where it is told, every ten seconds.
struct ProgressLine {
  private var progress: Progress
  private let clock = SystemClock()
  private let isShown: Bool
  private let isTold: Bool
  private var next: Instant
  private static let intervalMilliseconds: UInt64 = 100
  private static let toldMilliseconds: UInt64 = 10_000

  /// - Parameters:
  ///   - isQuiet: Nothing is shown anywhere.
  ///   - isTold: Where there is no terminal, plain lines are written.
  init(_ title: String, _ unit: Progress.Unit, total: UInt64?, isQuiet: Bool = false, isTold: Bool = false) {
    let now = clock.now().instant
    progress = Progress(title, unit, total: total, start: now)
    isShown = Console.errorIsTerminal && !isQuiet
    self.isTold = isTold && !isQuiet && !Console.errorIsTerminal
    // What is done at once shows nothing at all.
    next = now
    next = now.adding(milliseconds: interval)
  }

  private var interval: UInt64 { isTold ? ProgressLine.toldMilliseconds : ProgressLine.intervalMilliseconds }

  mutating func advance(by amount: UInt64) {
    progress.advance(by: amount)
    guard isShown || isTold else { return }
    let now = clock.now().instant
    guard now >= next else { return }
    next = now.adding(milliseconds: interval)
    let line = progress.line(at: now)
    writeToStandardError(isTold ? "cairn: \(line)\n" : "\r\u{1B}[K" + line)
  }

  /// Takes the line away.
  func finish() {
    if isShown { writeToStandardError("\r\u{1B}[K") }
  }
}
