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

  private var entries: [Stamp: Entry] = [:]
  private var stampOfPut: [Int: Stamp] = [:]
  /// Puts that were asked for, by operation number.
  private var puts: [Int: (key: Int, payload: [UInt8], lifetime: Lifetime)] = [:]
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
  package mutating func invoked(put operation: Int, key: Int, payload: [UInt8], lifetime: Lifetime = .standard) {
    puts[operation] = (key, payload, lifetime)
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
  /// - Parameter clockErrorMilliseconds: How far the clock of whoever made it may be ahead.
  package mutating func see(
    tombstoneOf key: Int, stamp: Stamp, at time: Instant, clockErrorMilliseconds: UInt64 = 0
  ) -> Violation? {
    guard let known = entries[stamp], case .value = known.content, known.key == key,
      case let expiry = expiry(of: stamp), expiry != .never
    else { return enter(Entry(key: key, content: .tombstone), at: stamp, time) }
    buried.insert(stamp)
    guard !expiry.isPast(ValueLedger.wall(time) + clockErrorMilliseconds) else { return nil }
    return Violation(
      .goneEarly, at: time, "\(describe(stamp)) at \(stamp) expires at \(expiry), and is told as a tombstone")
  }

  /// When the value of this stamp expires, as far as it is known.
  package func expiry(of stamp: Stamp) -> Expiry {
    guard case .value(let operation)? = entries[stamp]?.content else { return .never }
    return puts[operation]?.lifetime.expiry(of: stamp) ?? .never
  }

  /// A version that is sent says that it expires then.
  package func checkExpiry(_ expiry: Expiry, of stamp: Stamp, at time: Instant) -> Violation? {
    let known = self.expiry(of: stamp)
    guard entries[stamp] != nil, known != expiry else { return nil }
    return Violation(.oneStamp, at: time, "\(describe(stamp)) at \(stamp) expires at \(known), and at \(expiry)")
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
        puts[operation]?.lifetime.expiry(of: stamp) ?? .never != .never
      {
        buried.insert(stamp)
        entries[stamp] = entry
        return nil
      }
      return Violation(.oneStamp, at: time, "\(stamp) names \(describe(known)) and \(describe(entry))")
    }
    entries[stamp] = entry
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
