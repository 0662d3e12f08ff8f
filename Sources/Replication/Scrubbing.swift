import Primitives
import Storage

// When the next chunk is scrubbed. A pass is spread evenly over its interval, so that it never shows; a node that was
// stopped for a while catches up no faster than `scrub_rate`.

struct Scrubbing: Sendable {
  /// The pass is done when this many parts of 16 of the interval are over: what was late has still time.
  private static let sixteenths: UInt64 = 15
  /// Chunks that may follow each other without a pause, after one.
  private static let burst = 8
  /// A refused read, or want of descriptors: the same chunk is tried again after this time, milliseconds.
  static let pauseMilliseconds: UInt64 = 1000

  /// Nil before the first pass.
  var began: Instant?
  /// The first pass begins in the middle: so long ago it would have begun with the first file.
  var headStart: UInt64 = 0
  /// Nothing is read before then.
  var notBefore: Instant?
  var isReading = false
  /// Bytes that may be read now, and since when that was reckoned. A long record may leave a debt.
  private var allowance = 0
  private var reckoned: Instant?
  var lastPass: Instant?

  /// - Returns: Whether the rate allows a chunk now.
  mutating func mayRead(bytesPerSecond: UInt64, at now: Instant) -> Bool {
    let earned = Int(now.milliseconds(since: reckoned ?? now) * bytesPerSecond / 1000)
    if earned > 0 || reckoned == nil {
      reckoned = now
      allowance = min(Scrubbing.burst * Engine.scrubChunkBytes, allowance + earned)
    }
    return allowance > 0
  }

  mutating func spend(_ bytes: Int) { allowance -= bytes }

  /// Whether a chunk is due, of a pass that has done so many bytes.
  func isDue(_ done: UInt64, of total: UInt64, interval: UInt64, at now: Instant) -> Bool {
    guard let began, notBefore.map({ $0 <= now }) ?? true else { return false }
    let elapsed = Double(now.milliseconds(since: began) + headStart)
    let spread = Double(interval) * Double(Scrubbing.sixteenths) / 16
    return Double(done) <= Double(total) * elapsed / max(1, spread)
  }
}
