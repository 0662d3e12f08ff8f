import Primitives

// The records between what is read and what is settled, in the order of the input. Of two records with the same key the
// second waits for the first. Settled records leave from the front only, so that everything before the front is settled:
// that place goes into the checkpoint.

/// A record on its way. A reference: it is looked at from many places, and made only once.
final class ImportRecord {
  enum State: Equatable {
    /// An earlier record of the same key comes first.
    case waiting
    case ready
    case inFlight
    case retrying(at: Instant)
    case acknowledged
    case rejected(String)
  }

  /// Place in the input.
  let offset: Int
  let endOffset: Int
  let line: Int
  let nextLine: Int
  /// The record as it stood there; nil when it was too long to be kept.
  let raw: [UInt8]?
  /// The request up to the endpoint in its Host header, and from behind that on.
  var begin: [UInt8] = []
  var end: [UInt8] = []
  var valueBytes = 0
  /// Equal keys have equal hashes; others rarely.
  var keyHash: UInt64 = 0
  var state = State.ready
  /// When it failed first; nil while it has not.
  var firstFailure: Instant?
  var attempts: UInt64 = 0
  /// The next record of the same key.
  fileprivate var successor: ImportRecord?
  fileprivate var number = 0

  /// One that is to be sent.
  init(offset: Int, endOffset: Int, line: Int, nextLine: Int, raw: [UInt8]?) {
    self.offset = offset
    self.endOffset = endOffset
    self.line = line
    self.nextLine = nextLine
    self.raw = raw
  }

  var isSettled: Bool {
    switch state {
    case .acknowledged, .rejected: true
    case .waiting, .ready, .inFlight, .retrying: false
    }
  }

  /// Memory that it holds, about.
  fileprivate var bytes: Int { (raw?.count ?? 0) + begin.count + end.count }
}

struct ImportWindow {
  /// Records read and not settled, or settled behind one that is not. So many may be sent again after a crash.
  static let countMax = 16_384
  /// Their bytes; one record is always taken.
  static let bytesMax = 64 << 20

  private static let pauseMillisecondsMin: UInt64 = 100
  private static let pauseMillisecondsMax: UInt64 = 2000

  private var records: [ImportRecord?] = Array(repeating: nil, count: countMax)
  /// Number of the first record, counted from the start of the import, and of the one behind the last.
  private(set) var front = 0
  private var back = 0
  private(set) var bytes = 0
  /// Ready to be sent, in order; those before `readyHead` have been taken.
  private var ready: [Int] = []
  private var readyHead = 0
  private var retrying: [Int] = []
  /// Those that have failed once, until they are settled; some of them may be already.
  private var failed: [Int] = []
  /// The last record of each key that has one unsettled.
  private var lastOfKey: [UInt64: Int] = [:]

  var count: Int { back - front }
  var isEmpty: Bool { front == back }
  var hasRoom: Bool { count < ImportWindow.countMax && (bytes < ImportWindow.bytesMax || isEmpty) }
  var readyCount: Int { ready.count - readyHead }
  var hasRetries: Bool { !retrying.isEmpty }

  subscript(number: Int) -> ImportRecord {
    invariant(number >= front && number < back, "record \(number) is not in the window \(front)..<\(back)")
    return records[number % ImportWindow.countMax]!
  }

  /// Adds the next record of the input.
  mutating func append(_ record: ImportRecord) {
    invariant(count < ImportWindow.countMax, "a record too many in the window")
    record.number = back
    back += 1
    bytes += record.bytes
    records[record.number % ImportWindow.countMax] = record
    guard !record.isSettled else { return }
    if let last = lastOfKey.updateValue(record.number, forKey: record.keyHash) {
      self[last].successor = record
      record.state = .waiting
    } else {
      ready.append(record.number)
    }
  }

  /// The next record to be sent, if there is one.
  var nextReady: Int? { readyHead < ready.count ? ready[readyHead] : nil }

  /// The record that `nextReady` names was sent.
  mutating func sent() {
    self[ready[readyHead]].state = .inFlight
    readyHead += 1
    if readyHead == ready.count || readyHead > ImportWindow.countMax {
      ready.removeFirst(readyHead)
      readyHead = 0
    }
  }

  mutating func acknowledge(_ number: Int) { settle(self[number], .acknowledged) }
  mutating func reject(_ number: Int, _ reason: String) { settle(self[number], .rejected(reason)) }

  private mutating func settle(_ record: ImportRecord, _ state: ImportRecord.State) {
    record.state = state
    if let successor = record.successor {
      record.successor = nil
      successor.state = .ready
      ready.append(successor.number)
    } else if lastOfKey[record.keyHash] == record.number {
      lastOfKey[record.keyHash] = nil
    }
  }

  /// Plans the record to be sent again, after a pause that grows.
  mutating func retry(_ number: Int, now: Instant) {
    let record = self[number]
    let pause = ImportWindow.pauseMillisecondsMin << min(record.attempts, 8)
    record.attempts += 1
    if record.firstFailure == nil {
      record.firstFailure = now
      failed.append(number)
    }
    record.state = .retrying(at: now.adding(milliseconds: min(pause, ImportWindow.pauseMillisecondsMax)))
    retrying.append(number)
  }

  /// Makes those records ready whose pause is over. The ready ones stay in the order of the input, so that what has
  /// failed is tried before what has not been tried at all.
  mutating func wake(now: Instant) {
    guard !retrying.isEmpty else { return }
    var later: [Int] = []
    var due: [Int] = []
    for number in retrying {
      if case .retrying(let at) = self[number].state, at > now { later.append(number) } else { due.append(number) }
    }
    guard !due.isEmpty else { return }
    for number in due { self[number].state = .ready }
    ready = (ready[readyHead...] + due).sorted()
    readyHead = 0
    retrying = later
  }

  /// When the first failure was of those records that have failed and are not settled; nil when there is none.
  mutating func oldestFailure() -> Instant? {
    guard !failed.isEmpty else { return nil }
    failed = failed.filter { $0 >= front && !self[$0].isSettled }
    return failed.compactMap { self[$0].firstFailure }.min()
  }

  /// Takes the record at the front, if it is settled.
  mutating func takeSettled() -> ImportRecord? {
    guard front < back, let record = records[front % ImportWindow.countMax], record.isSettled else { return nil }
    records[front % ImportWindow.countMax] = nil
    bytes -= record.bytes
    front += 1
    return record
  }
}

/// A hash of a key, for finding out whether two are the same: equal for equal keys, and rarely else (FNV-1a).
func keyHash(_ key: [UInt8]) -> UInt64 {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in key { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  return hash
}
