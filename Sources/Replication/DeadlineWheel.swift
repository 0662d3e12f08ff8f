import Primitives

// When to look at which operation again. Millions of operations finish long before their deadline, so adding one is an
// append and nothing is ever removed early: whoever is woken for an operation that is gone does nothing.

/// A hashed timing wheel of operation numbers. Source: Varghese and Lauck 1987, "Hashed and Hierarchical Timing Wheels".
struct DeadlineWheel: Sendable {
  private struct Entry {
    let due: UInt64
    let operation: UInt64
  }

  static let millisecondsPerSlot: UInt64 = 8
  private static let slotCount = 1024

  private var slots = [[Entry]](repeating: [], count: slotCount)
  /// Slots before this one (counted from the start of time) have been emptied.
  private var nextSlot: UInt64

  init(at now: Instant) { nextSlot = DeadlineWheel.slot(of: now) }

  private static func slot(of instant: Instant) -> UInt64 { instant.nanoseconds / (millisecondsPerSlot * 1_000_000) }

  /// `operation` will be returned by the first `expired` at or after `due`, at most one slot later.
  mutating func schedule(_ operation: UInt64, at due: Instant) {
    let slot = max(DeadlineWheel.slot(of: due) + 1, nextSlot)
    slots[Int(slot % UInt64(DeadlineWheel.slotCount))].append(Entry(due: slot, operation: operation))
  }

  /// Operations whose time has come, earliest slot first, in the order they were scheduled.
  mutating func expired(at now: Instant) -> [UInt64] {
    let current = DeadlineWheel.slot(of: now)
    guard nextSlot <= current else { return [] }
    var due: [UInt64] = []
    // After a long pause every slot is visited once, not once per lap.
    let first = max(
      nextSlot, current >= UInt64(DeadlineWheel.slotCount) ? current - UInt64(DeadlineWheel.slotCount - 1) : 0)
    for slot in first...current {
      let index = Int(slot % UInt64(DeadlineWheel.slotCount))
      if slots[index].isEmpty { continue }
      var kept: [Entry] = []
      for entry in slots[index] {
        if entry.due <= current { due.append(entry.operation) } else { kept.append(entry) }
      }
      slots[index] = kept
    }
    nextSlot = current + 1
    return due
  }
}
