import Platform

// What somebody who waits for `cairn bench engine` sees, and how they stop it.

/// The measurement was interrupted.
struct EngineBenchInterruption: Error {}

final class EngineBenchWatch {
  private let signals: TerminationSignals?
  private var line: ProgressLine?

  /// - Parameter takesSignals: A process has one watch at most that does.
  init(takesSignals: Bool) throws {
    signals = takesSignals ? try TerminationSignals() : nil
  }

  /// - Parameter total: Operations that `advance` will tell of; nil when nobody knows.
  func begin(_ title: String, total: Int?) {
    finish()
    line = ProgressLine(title, .items("operations"), total: total.map(UInt64.init))
  }

  /// - Throws: `EngineBenchInterruption` when somebody wants an end.
  func advance(by operations: Int) throws {
    line?.advance(by: UInt64(operations))
    if signals?.next() != nil { throw EngineBenchInterruption() }
  }

  func finish() {
    line?.finish()
    line = nil
  }
}
