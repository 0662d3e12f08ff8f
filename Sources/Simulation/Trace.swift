package import Primitives

// What happened, twice: as a hash over every fact, always, and as lines for a person, on demand. The text of a line
// is built only when somebody reads it; the hash takes numbers alone, so that a run without a reader stays fast.
// Invariant: equal runs have equal hashes, and a difference anywhere changes everything after it.

package struct Trace {
  /// The kinds of facts; the raw value goes into the hash.
  package enum Fact: UInt64 {
    case start = 1
    case stop, crash, link, send, deliver, drop, sync, job, read, request, response, fault, log, phase
    case answer, purge
  }

  package private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  private let sink: ((String) -> Void)?

  package init(sink: ((String) -> Void)?) { self.sink = sink }

  /// Notes a fact about node number `node` (0: about none). `detail` must tell apart what the text would tell apart.
  package mutating func note(
    _ fact: Fact, at time: Instant, node: Int, detail: UInt64, _ text: @autoclosure () -> String
  ) {
    mix(time.nanoseconds)
    mix(fact.rawValue << 32 | UInt64(node))
    mix(detail)
    if let sink { sink(Trace.line(time, node, text())) }
  }

  private mutating func mix(_ value: UInt64) {
    hash = (hash ^ value) &* 0x9E37_79B9_7F4A_7C15
    hash ^= hash >> 29
  }

  /// `  12.345678 n2  what`: seconds of virtual time, the node (or a dash), and the fact.
  private static func line(_ time: Instant, _ node: Int, _ text: String) -> String {
    let microseconds = time.nanoseconds / 1000
    let seconds = padded(String(microseconds / 1_000_000), to: 4)
    let fraction = String(String(1_000_000 + microseconds % 1_000_000).dropFirst())
    return "\(seconds).\(fraction) \(node == 0 ? "- " : "n\(node)") \(text)"
  }

  private static func padded(_ text: String, to width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}

/// A number that differs when `text` does: for facts that are best told by their text.
package func traceDigest(_ bytes: some Sequence<UInt8>) -> UInt64 {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
  return hash
}
