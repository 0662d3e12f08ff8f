import Platform
import Primitives

// How far a long command has come, on standard error: one line that is written over on a terminal, else a line now and
// then.

/// What is to be told of a command in progress.
struct BulkFacts: Equatable {
  var records = 0
  /// Done of `total`, in bytes or records: what percent and the time left are told from.
  var done = 0
  /// Nil when nobody knows.
  var total: Int?
  var bytes = 0
  var rejected = 0
  /// What the command waits for; empty for nothing.
  var trouble = ""
}

/// The words of a progress line, without clock or terminal.
struct BulkMeter {
  /// Rates are those of about the last so many milliseconds.
  private static let windowMilliseconds: UInt64 = 5000
  private static let samplesMax = 32

  let verb: String
  private let began: Instant
  private var samples: [(at: Instant, facts: BulkFacts)]

  init(_ verb: String, began: Instant, from facts: BulkFacts) {
    self.verb = verb
    self.began = began
    samples = [(began, facts)]
  }

  /// `imported 1,234,567 records, 43 %, 38,100/s, 4.1 MiB/s, 0:34 left, 2 rejected`.
  /// - Parameter hasBar: A bar stands in front, where the whole is known.
  mutating func line(_ facts: BulkFacts, now: Instant, hasBar: Bool = false) -> String {
    let first = samples[0]
    let milliseconds = max(1, now.milliseconds(since: first.at))
    let rate = (facts.records - first.facts.records) * 1000 / Int(milliseconds)
    let byteRate = (facts.bytes - first.facts.bytes) * 1000 / Int(milliseconds)
    var parts = ["\(verb) \(grouped(facts.records)) records"]
    if let total = facts.total, total > 0 { parts.append("\(facts.done * 100 / total) %") }
    parts += ["\(grouped(rate))/s", "\(byteText(Double(byteRate)))/s"]
    let doneRate = Double(facts.done - first.facts.done) / Double(milliseconds)
    if let total = facts.total, doneRate > 0, facts.done < total {
      parts.append("\(BulkMeter.clock(Int(Double(total - facts.done) / doneRate / 1000))) left")
    }
    if facts.rejected > 0 { parts.append("\(grouped(facts.rejected)) rejected") }
    if !facts.trouble.isEmpty { parts.append(facts.trouble) }
    samples.append((now, facts))
    while samples.count > 2
      && (samples.count > BulkMeter.samplesMax
        || now.milliseconds(since: samples[1].at) > BulkMeter.windowMilliseconds)
    { samples.removeFirst() }
    let line = parts.joined(separator: ", ")
    guard hasBar, let total = facts.total, total > 0 else { return line }
    return "\(progressBar(Double(facts.done) / Double(total))) \(line)"
  }

  static func clock(_ seconds: Int) -> String {
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return seconds < 3600
      ? "\(seconds / 60):\(two(seconds % 60))" : "\(seconds / 3600):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
  }
}

/// Writes a meter's lines when it is time for one.
struct BulkProgress {
  private static let terminalMilliseconds: UInt64 = 200
  private static let logMilliseconds: UInt64 = 10_000
  /// A longer line would wrap on most terminals, and could not be written over.
  private static let terminalColumnsMax = 140

  private var meter: BulkMeter
  private let isTerminal: Bool
  private let isQuiet: Bool
  private var due: Instant
  private var isShown = false

  /// - Parameter isQuiet: Nothing is written.
  init(_ verb: String, from facts: BulkFacts, isQuiet: Bool, now: Instant) {
    meter = BulkMeter(verb, began: now, from: facts)
    isTerminal = Console.errorIsTerminal
    self.isQuiet = isQuiet
    due = now.adding(milliseconds: isTerminal ? BulkProgress.terminalMilliseconds : BulkProgress.logMilliseconds)
  }

  mutating func show(_ facts: @autoclosure () -> BulkFacts, now: Instant) {
    guard now >= due, !isQuiet else { return }
    due = now.adding(milliseconds: isTerminal ? BulkProgress.terminalMilliseconds : BulkProgress.logMilliseconds)
    let line = oneLine(meter.line(facts(), now: now, hasBar: isTerminal))
    if isTerminal {
      writeToStandardError("\r\(line.prefix(BulkProgress.terminalColumnsMax))\u{1B}[K")
      isShown = true
    } else {
      writeToStandardError("cairn: \(line)\n")
    }
  }

  /// Takes the line off the terminal, so that something else can be written.
  mutating func clear() {
    if isShown { writeToStandardError("\r\u{1B}[K") }
    isShown = false
  }
}
