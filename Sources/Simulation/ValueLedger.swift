package import Causality
package import Messages
package import Primitives
import Storage

// Which content stands under which stamp. Told of every version that is seen anywhere: in answers to clients, in
// pushes, in answers to peers' reads. Checks that a stamp names one content for ever (uniqueness of stamps), that a
// put's value stands under one stamp (rule ONE STAMP), and that every value was written by a client, to that key. A value
// that expires becomes a tombstone under its own stamp, in its time and not before; and it expires once.

package struct ValueLedger: Sendable {
  private enum Content: Equatable, Sendable {
    case value(operation: Int)
    case tombstone
  }
  private struct Entry: Equatable, Sendable {
    let key: Int
    let content: Content
  }

  private struct Put: Sendable {
    let key: Int
    let payload: [UInt8]
    let lifetime: Lifetime
    let invoked: Instant
  }

  /// How far a clock may be from the true one where values expire.
  package var clockErrorMilliseconds: UInt64 = 0
  private var entries: [Stamp: Entry] = [:]
  private var stampOfPut: [Int: Stamp] = [:]
  /// Puts that were asked for, by operation number.
  private var puts: [Int: Put] = [:]
  private var seen: [Stamp: Instant] = [:]
  /// When versions say that they expire.
  private var told: [Stamp: Expiry] = [:]
  /// Stamps of values that were seen as tombstones.
  private var buried: Set<Stamp> = []

  package init() {}

  package static let contentType = Array("application/x-simulated".utf8)

  /// The payload of put number `operation`: its number, then filler that depends on it.
  package static func payload(operation: Int, valueBytes: Int) -> [UInt8] {
    var value: [UInt8] = []
    value.appendLittleEndian(UInt64(operation))
    while value.count < valueBytes { value.append(UInt8(truncatingIfNeeded: operation &* 31 &+ value.count)) }
    return ObjectContent(contentType: contentType, value: value).encoded()
  }

  /// A client asks for this put now.
  package mutating func invoked(
    put operation: Int, key: Int, payload: [UInt8], lifetime: Lifetime = .standard,
    at time: Instant = Instant(nanoseconds: 0)
  ) {
    puts[operation] = Put(key: key, payload: payload, lifetime: lifetime, invoked: time)
  }

  /// A value is told or sent under this stamp. Returns what is wrong with that.
  package mutating func see(key: Int, stamp: Stamp, payload: [UInt8], at time: Instant) -> Violation? {
    guard let operation = ValueLedger.operation(of: payload), let put = puts[operation], put.payload == payload else {
      return Violation(.inventedValue, at: time, "key \(key) at \(stamp): \(payload.count) bytes that nobody wrote")
    }
    guard put.key == key else {
      return Violation(.inventedValue, at: time, "key \(key) at \(stamp): the value of key \(put.key)")
    }
    if let known = stampOfPut[operation], known != stamp {
      return Violation(.oneStamp, at: time, "put \(operation) of key \(key) stands at \(known) and at \(stamp)")
    }
    stampOfPut[operation] = stamp
    return enter(Entry(key: key, content: .value(operation: operation)), at: stamp, time)
  }

  /// A tombstone is told or sent under this stamp. Returns what is wrong with that.
  package mutating func see(tombstoneOf key: Int, stamp: Stamp, at time: Instant) -> Violation? {
    guard let known = entries[stamp], case .value = known.content, known.key == key, let expiries = expiries(of: stamp)
    else { return enter(Entry(key: key, content: .tombstone), at: stamp, time) }
    buried.insert(stamp)
    guard !expiries.lowerBound.isPast(ValueLedger.wall(time) + clockErrorMilliseconds) else { return nil }
    return Violation(
      .goneEarly, at: time,
      "\(describe(stamp)) at \(stamp) expires at \(expiries.lowerBound) at the earliest, and is told as a tombstone")
  }

  /// When the value of this stamp expires, as far as that is known; nil when it does not.
  package func expiries(of stamp: Stamp) -> ClosedRange<Expiry>? {
    if let told = told[stamp] { return told...told }
    guard case .value(let operation)? = entries[stamp]?.content, let put = puts[operation],
      case .seconds(let seconds) = put.lifetime, let seen = seen[stamp]
    else { return nil }
    let first = ValueLedger.wall(put.invoked) - clockErrorMilliseconds
    return Expiry(
      after: seconds, wallMilliseconds: first)...Expiry(
        after: seconds, wallMilliseconds: ValueLedger.wall(seen) + clockErrorMilliseconds)
  }

  /// A version that is told or sent says that it expires then.
  package mutating func see(_ expiry: Expiry, of stamp: Stamp, at time: Instant) -> Violation? {
    let expiries = expiries(of: stamp)
    guard expiry != .never || expiries != nil else { return nil }
    if let expiries, expiries.contains(expiry) {
      told[stamp] = expiry
      return nil
    }
    let known = expiries.map { "from \($0.lowerBound) to \($0.upperBound)" } ?? "never"
    return Violation(.oneStamp, at: time, "\(describe(stamp)) at \(stamp) expires at \(expiry), expected: \(known)")
  }

  /// The true time of day.
  static func wall(_ time: Instant) -> UInt64 { SimulatedClock.epochMilliseconds + time.nanoseconds / 1_000_000 }

  /// The client of this put is told that it is stored under this stamp. Returns what is wrong with that.
  package mutating func acknowledged(put operation: Int, key: Int, stamp: Stamp, at time: Instant) -> Violation? {
    guard let put = puts[operation] else {
      return Violation(.wrongAnswer, at: time, "an answer to put \(operation), which nobody asked for")
    }
    return see(key: key, stamp: stamp, payload: put.payload, at: time)
  }

  private mutating func enter(_ entry: Entry, at stamp: Stamp, _ time: Instant) -> Violation? {
    if let known = entries[stamp] {
      guard known != entry else { return nil }
      // Seen as a tombstone before anybody had seen the value.
      if known.key == entry.key, known.content == .tombstone, case .value(let operation) = entry.content,
        case .seconds? = puts[operation]?.lifetime
      {
        buried.insert(stamp)
        entries[stamp] = entry
        seen[stamp] = time
        return nil
      }
      return Violation(.oneStamp, at: time, "\(stamp) names \(describe(known)) and \(describe(entry))")
    }
    entries[stamp] = entry
    seen[stamp] = time
    return nil
  }

  package func isTombstone(_ stamp: Stamp) -> Bool { entries[stamp]?.content == .tombstone || buried.contains(stamp) }

  /// What stands under this stamp.
  package func describe(_ stamp: Stamp) -> String { entries[stamp].map { describe($0) } ?? "what nobody has seen" }

  private func describe(_ entry: Entry) -> String {
    switch entry.content {
    case .value(let operation): "put \(operation) of key \(entry.key)"
    case .tombstone: "a tombstone of key \(entry.key)"
    }
  }

  private static func operation(of payload: [UInt8]) -> Int? {
    guard let content = ObjectContent(payload: payload), content.contentType == contentType,
      let number = content.value.littleEndian(UInt64.self, at: 0)
    else { return nil }
    return Int(exactly: number)
  }
}
