package import Causality
import Messages
package import Primitives
import Storage

// Which content stands under which stamp. Told of every version that is seen anywhere: in answers to clients, in
// pushes, in answers to peers' reads. Checks that a stamp names one content for ever (uniqueness of stamps), that a
// put's value stands under one stamp (rule ONE STAMP), and that every value was written by a client, to that key.

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
  private var puts: [Int: (key: Int, payload: [UInt8])] = [:]

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
  package mutating func invoked(put operation: Int, key: Int, payload: [UInt8]) {
    puts[operation] = (key, payload)
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
    enter(Entry(key: key, content: .tombstone), at: stamp, time)
  }

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
      return Violation(.oneStamp, at: time, "\(stamp) names \(describe(known)) and \(describe(entry))")
    }
    entries[stamp] = entry
    return nil
  }

  package func isTombstone(_ stamp: Stamp) -> Bool { entries[stamp]?.content == .tombstone }

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
