import Primitives
import Testing

@testable import cairn

// The windows between reading and settling, against a plain model, under answers in any order.

@Suite struct ImportWindowTests {
  private func record(_ number: Int, key: UInt64, raw: Int = 10) -> ImportRecord {
    let record = ImportRecord(
      offset: number * 10, endOffset: number * 10 + 10, line: number + 1, nextLine: number + 2,
      raw: Array(repeating: 0, count: raw))
    record.keyHash = key
    return record
  }

  @Test(
    "records of one key are sent one after the other, in order, and leave in the order they came",
    arguments: UInt64(0)..<50)
  func order(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var window = ImportWindow()
    var now = Instant(nanoseconds: 1)
    var keys: [UInt64] = []
    var inFlight: [Int] = []
    var lastAcknowledged: [UInt64: Int] = [:]
    var left = 0
    while left < 300 {
      switch generator.below(4) {
      case 0 where keys.count < 300:
        let key = UInt64(generator.below(5))
        let new = record(keys.count, key: key)
        if generator.chance(1, in: 10) { new.state = .rejected("malformed") }
        keys.append(key)
        window.append(new)
      case 1:
        if let number = window.nextReady {
          #expect(!inFlight.contains { keys[$0] == keys[number] }, "two of one key in flight")
          #expect(lastAcknowledged[keys[number]].map { $0 < number } ?? true, "an older value after a newer one")
          window.sent()
          inFlight.append(number)
        }
      case 2 where !inFlight.isEmpty:
        let number = inFlight.remove(at: generator.below(inFlight.count))
        switch generator.below(6) {
        case 0: window.retry(number, now: now)
        case 1: window.reject(number, "400")
        default:
          window.acknowledge(number)
          lastAcknowledged[keys[number]] = number
        }
      default:
        now = now.adding(milliseconds: UInt64(generator.below(500)))
        window.wake(now: now)
        while let settled = window.takeSettled() {
          #expect(settled.offset == left * 10 && settled.isSettled)
          left += 1
        }
      }
    }
    #expect(window.isEmpty && window.oldestFailure() == nil && window.readyCount == 0)
  }

  @Test("the window takes countMax records, and of large ones no more than bytesMax and one")
  func bounds() {
    var window = ImportWindow()
    for number in 0..<ImportWindow.countMax {
      #expect(window.hasRoom)
      window.append(record(number, key: UInt64(number), raw: 0))
    }
    #expect(!window.hasRoom)
    var heavy = ImportWindow()
    heavy.append(record(0, key: 0, raw: ImportWindow.bytesMax - 1))
    #expect(heavy.hasRoom)
    heavy.append(record(1, key: 1, raw: 1))
    #expect(!heavy.hasRoom)
    heavy.sent()
    heavy.acknowledge(0)
    #expect(heavy.takeSettled()?.offset == 0 && heavy.hasRoom)
  }

  @Test("what has failed is tried again before what was never tried, and its failure counts while it waits")
  func failedFirst() {
    var window = ImportWindow()
    for number in 0..<4 { window.append(record(number, key: UInt64(number))) }
    window.sent()
    window.sent()
    let now = Instant(nanoseconds: 5)
    window.retry(1, now: now)
    window.retry(0, now: now)
    window.wake(now: Instant(nanoseconds: 10_000_000_000))
    #expect(window.nextReady == 0 && window.oldestFailure() == now)
    window.sent()
    #expect(window.nextReady == 1 && window.oldestFailure() == now)
    window.acknowledge(0)
    window.sent()
    window.acknowledge(1)
    #expect(window.nextReady == 2 && window.oldestFailure() == nil)
  }

  @Test("a failed record waits longer each time, and its first failure is remembered")
  func pauses() {
    var window = ImportWindow()
    window.append(record(0, key: 0))
    var now = Instant(nanoseconds: 1_000_000_000)
    let first = now
    var pauses: [UInt64] = []
    for _ in 0..<7 {
      window.sent()
      window.retry(0, now: now)
      #expect(window.oldestFailure() == first && window.nextReady == nil)
      let before = now
      while window.nextReady == nil {
        now = now.adding(milliseconds: 100)
        window.wake(now: now)
      }
      pauses.append(now.milliseconds(since: before))
    }
    #expect(pauses == [100, 200, 400, 800, 1600, 2000, 2000])
  }
}

@Suite struct ExportWindowTests {
  private static let large = [UInt8](repeating: 0, count: ExportWindow.bytesMax)

  @Test("keys leave in the order of the list, whatever comes first", arguments: UInt64(0)..<30)
  func order(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var window = ExportWindow()
    var now = Instant(nanoseconds: 1)
    var count = 0
    var left = 0
    var inFlight: [Int] = []
    while left < 200 {
      switch generator.below(4) {
      case 0 where count < 200:
        count += 1
        window.append(ExportItem(key: [], spoolEnd: count))
      case 1:
        if let number = window.nextReady {
          window.sent()
          inFlight.append(number)
        }
      case 2 where !inFlight.isEmpty:
        let number = inFlight.remove(at: generator.below(inFlight.count))
        // Some are so large that only the first may be asked for.
        if generator.chance(1, in: 20) { window[number].record = Self.large }
        if generator.chance(1, in: 3) { window.retry(number, now: now) } else { window.settle(number, .written) }
      default:
        now = now.adding(milliseconds: UInt64(generator.below(900)))
        window.wake(now: now)
        while let item = window.takeSettled() {
          left += 1
          #expect(item.spoolEnd == left)
        }
      }
    }
    #expect(window.isEmpty && !window.isHeavy)
  }

  @Test("while bytesMax waits, only the key that all wait for is asked for")
  func heavy() {
    var window = ExportWindow()
    for number in 1...3 { window.append(ExportItem(key: [], spoolEnd: number)) }
    window.sent()
    window.sent()
    window[1].record = Self.large
    window.settle(1, .written)
    #expect(window.nextReady == nil)
    window.retry(0, now: Instant(nanoseconds: 1))
    window.wake(now: Instant(nanoseconds: 10_000_000_000))
    #expect(window.nextReady == 0)
  }
}
