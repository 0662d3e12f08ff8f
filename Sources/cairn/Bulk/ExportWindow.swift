import Primitives

// The keys between what was read from the list and what was written out, in the order of the list: answers come in any
// order, and are written in this one, so that a place in the list and a place in the output belong together.

/// A key on its way.
final class ExportItem {
  enum State: Equatable {
    case ready, inFlight
    case retrying(at: Instant)
    case written
    case gone
    case failed(String)
  }

  let key: [UInt8]
  /// The end of the key in the list.
  let spoolEnd: Int
  var state = State.ready
  /// Its record, until it is written.
  var record: [UInt8] = []
  var lacksMetadata = false
  var lacksExpiry = false
  var firstFailure: Instant?
  var attempts: UInt64 = 0

  init(key: [UInt8], spoolEnd: Int) {
    self.key = key
    self.spoolEnd = spoolEnd
  }

  var isSettled: Bool {
    switch state {
    case .written, .gone, .failed: true
    case .ready, .inFlight, .retrying: false
    }
  }
}

struct ExportWindow {
  static let countMax = 16_384
  /// Records that wait for earlier ones.
  static let bytesMax = 64 << 20

  private static let pauseMillisecondsMin: UInt64 = 100
  private static let pauseMillisecondsMax: UInt64 = 2000

  private var items: [ExportItem?] = Array(repeating: nil, count: countMax)
  private(set) var front = 0
  private var back = 0
  private var bytes = 0
  private var ready: [Int] = []
  private var readyHead = 0
  private var retrying: [Int] = []
  /// Those that have failed once, until they are settled; some of them may be already.
  private var failed: [Int] = []

  var count: Int { back - front }
  var isEmpty: Bool { front == back }
  var hasRoom: Bool { count < ExportWindow.countMax }
  /// With too much waiting, only what it waits for is asked for.
  var isHeavy: Bool { bytes >= ExportWindow.bytesMax }
  var readyCount: Int { ready.count - readyHead }

  subscript(number: Int) -> ExportItem {
    invariant(number >= front && number < back, "key \(number) is not in the window \(front)..<\(back)")
    return items[number % ExportWindow.countMax]!
  }

  mutating func append(_ item: ExportItem) {
    invariant(hasRoom, "a key too many in the window")
    items[back % ExportWindow.countMax] = item
    ready.append(back)
    back += 1
  }

  var nextReady: Int? {
    guard readyHead < ready.count, !isHeavy || ready[readyHead] == front else { return nil }
    return ready[readyHead]
  }

  /// The key that `nextReady` names was asked for.
  mutating func sent() {
    self[ready[readyHead]].state = .inFlight
    readyHead += 1
    if readyHead == ready.count || readyHead > ExportWindow.countMax {
      ready.removeFirst(readyHead)
      readyHead = 0
    }
  }

  mutating func settle(_ number: Int, _ state: ExportItem.State) {
    let item = self[number]
    item.state = state
    bytes += item.record.count
  }

  mutating func retry(_ number: Int, now: Instant) {
    let item = self[number]
    let pause = ExportWindow.pauseMillisecondsMin << min(item.attempts, 8)
    item.attempts += 1
    if item.firstFailure == nil {
      item.firstFailure = now
      failed.append(number)
    }
    item.state = .retrying(at: now.adding(milliseconds: min(pause, ExportWindow.pauseMillisecondsMax)))
    retrying.append(number)
  }

  /// Makes those keys ready whose pause is over. The ready ones stay in order: what all wait for comes first.
  mutating func wake(now: Instant) {
    guard !retrying.isEmpty else { return }
    var later: [Int] = []
    var due: [Int] = []
    for number in retrying {
      if case .retrying(let at) = self[number].state, at > now { later.append(number) } else { due.append(number) }
    }
    for number in due { self[number].state = .ready }
    if !due.isEmpty {
      ready = (ready[readyHead...] + due).sorted()
      readyHead = 0
    }
    retrying = later
  }

  mutating func oldestFailure() -> Instant? {
    guard !failed.isEmpty else { return nil }
    failed = failed.filter { $0 >= front && !self[$0].isSettled }
    return failed.compactMap { self[$0].firstFailure }.min()
  }

  /// Takes the key at the front, if it is settled.
  mutating func takeSettled() -> ExportItem? {
    guard front < back, let item = items[front % ExportWindow.countMax], item.isSettled else { return nil }
    items[front % ExportWindow.countMax] = nil
    bytes -= item.record.count
    front += 1
    return item
  }
}
