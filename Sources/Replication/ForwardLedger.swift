import Primitives

// Remembers forwarded writes by the number that their sender gave them, as long as the sender may wait for an answer.

/// Forwarded writes that this node has taken on: a second copy of the same message is not a second write.
struct ForwardLedger: Sendable {
  private struct Key: Hashable {
    let node: NodeID
    let bootID: UInt64
    let operation: UInt64
  }
  private var seen: Set<Key> = []
  private var aging: DeadlineWheel
  private var keys: [UInt64: Key] = [:]
  private var nextEntry: UInt64 = 0

  /// Entries at once; one more forwarded write is refused as overload until one has aged.
  static let entriesMax = 262_144
  /// Refusals of that kind are remembered as well: a second copy of a refused message must not be taken on when there is
  /// room again, because its sender has gone to another owner by then. Beyond these nothing is answered at all.
  static let refusalsMax = 4096

  var chaos: Chaos

  init(at now: Instant, chaos: Chaos = Chaos()) {
    aging = DeadlineWheel(at: now)
    self.chaos = chaos
  }

  enum Admission { case fresh, repeated, full }

  /// `until` must not be before the moment when the sender has given up waiting.
  mutating func admit(_ node: NodeID, bootID: UInt64, operation: UInt64, until: Instant, at now: Instant) -> Admission {
    for entry in aging.expired(at: now) {
      if let key = keys.removeValue(forKey: entry) { seen.remove(key) }
    }
    let key = Key(node: node, bootID: bootID, operation: operation)
    if seen.contains(key) { return .repeated }
    guard seen.count < ForwardLedger.entriesMax + ForwardLedger.refusalsMax else { return .repeated }
    let isFull = seen.count >= ForwardLedger.entriesMax || chaos.strikes(.forwardRefused)
    seen.insert(key)
    keys[nextEntry] = key
    aging.schedule(nextEntry, at: until)
    nextEntry += 1
    return isFull ? .full : .fresh
  }
}
