import Primitives

// When the next chunk is scrubbed. A pass is spread evenly over its interval, so that it never shows; a node that was
// stopped for a while catches up no faster than `scrub_rate`.

struct Scrubbing: Sendable {
  /// The pass is done when this many parts of 16 of the interval are over: what was late has still time.
  private static let sixteenths: UInt64 = 15
  /// A refused read, or want of descriptors: the same chunk is tried again after this time, milliseconds.
  static let pauseMilliseconds: UInt64 = 1000

  /// Nil before the first pass.
  var began: Instant?
  /// The first pass begins in the middle: so long ago it would have begun with the first file.
  var headStart: UInt64 = 0
  /// Nothing is read before then.
  var notBefore: Instant?
  var isReading = false
  var lastPass: Instant?

  /// Whether a chunk is due, of a pass that has done so many bytes.
  func isDue(_ done: UInt64, of total: UInt64, interval: UInt64, at now: Instant) -> Bool {
    guard let began, notBefore.map({ $0 <= now }) ?? true else { return false }
    let elapsed = Double(now.milliseconds(since: began) + headStart)
    let spread = Double(interval) * Double(Scrubbing.sixteenths) / 16
    return Double(done) <= Double(total) * elapsed / max(1, spread)
  }
}
