package import Primitives

// The order of the simulated world: what is due first, and among things due at once what was scheduled first. A binary
// heap of small entries over a slab of payloads, so that sifting moves 24 bytes and no payload.
// Invariant: two runs that schedule the same things in the same order take them out in the same order.

/// Things that will happen, ordered by time and then by the order in which they were scheduled.
package struct EventQueue<Payload> {
  private struct Entry {
    let time: UInt64
    let sequence: UInt64
    let slot: Int

    func isBefore(_ other: Entry) -> Bool {
      time != other.time ? time < other.time : sequence < other.sequence
    }
  }

  private var heap: [Entry] = []
  private var payloads: [Payload?] = []
  private var freeSlots: [Int] = []
  private var sequence: UInt64 = 0

  package init() {}

  package var count: Int { heap.count }

  /// When the next thing happens; nil when nothing will.
  package var nextTime: Instant? { heap.first.map { Instant(nanoseconds: $0.time) } }

  /// Everything that will happen happens so much later.
  package mutating func postpone(byNanoseconds delay: UInt64) {
    heap = heap.map { Entry(time: $0.time + delay, sequence: $0.sequence, slot: $0.slot) }
  }

  package mutating func schedule(_ payload: Payload, at time: Instant) {
    let slot: Int
    if let free = freeSlots.popLast() {
      slot = free
      payloads[slot] = payload
    } else {
      slot = payloads.count
      payloads.append(payload)
    }
    heap.append(Entry(time: time.nanoseconds, sequence: sequence, slot: slot))
    sequence += 1
    siftUp(from: heap.count - 1)
  }

  /// Takes the next thing out; nil when there is none.
  package mutating func next() -> (time: Instant, payload: Payload)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      siftDown()
    }
    guard let payload = payloads[first.slot].take() else { return nil }
    freeSlots.append(first.slot)
    return (Instant(nanoseconds: first.time), payload)
  }

  private mutating func siftUp(from start: Int) {
    var index = start
    while index > 0 {
      let parent = (index - 1) / 2
      guard heap[index].isBefore(heap[parent]) else { return }
      heap.swapAt(index, parent)
      index = parent
    }
  }

  private mutating func siftDown() {
    var index = 0
    while true {
      var first = index
      for child in 2 * index + 1...2 * index + 2 where child < heap.count && heap[child].isBefore(heap[first]) {
        first = child
      }
      guard first != index else { return }
      heap.swapAt(index, first)
      index = first
    }
  }
}
