import Causality
import Primitives
import Testing

@testable import Storage

@Suite("The index of what expires")
struct ExpiryIndexTests {
  private static func entry(_ number: UInt64, _ generator: inout SeededGenerator) -> ExpiryIndex.Entry {
    ExpiryIndex.Entry(
      hash: number &* 0x9E37_79B9_7F4A_7C15, stamp: stamp(number + 1),
      expiry: Expiry(milliseconds: 600_000 + UInt64(generator.below(20 * 60_000))))
  }

  @Test(
    "whatever comes and goes, what has left and what may be buried is what a list would say", arguments: UInt64(0)..<30)
  func model(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var index = ExpiryIndex(ringBits: 1)
    var model: [ExpiryIndex.Entry] = []
    for step in UInt64(0)..<800 {
      if model.isEmpty || generator.chance(6, in: 10) {
        let entry = Self.entry(step, &generator)
        index.insert(entry.expiry, hash: entry.hash, stamp: entry.stamp)
        model.append(entry)
      } else {
        let entry = model.remove(at: generator.below(model.count))
        index.remove(entry.expiry, hash: entry.hash, stamp: entry.stamp)
        // What is not there is removed without harm.
        index.remove(entry.expiry, hash: entry.hash, stamp: entry.stamp)
      }
      #expect(index.count == model.count && index.isEmpty == model.isEmpty)
      #expect(index.nextBurial == model.map { Expiry.buriable(leaves: $0.expiry.leaves) }.min())
      guard step % 5 == 0 else { continue }
      let minute = 9 + UInt64(generator.below(24))
      let gone = model.filter { $0.expiry.leaves <= minute }
      #expect(index.hasLeft(by: minute) == !gone.isEmpty)
      Self.expectLeft(index, by: minute, gone)
    }
  }

  /// What has left by the minute, for the tree and for leaves, is these.
  private static func expectLeft(_ index: ExpiryIndex, by minute: UInt64, _ gone: [ExpiryIndex.Entry]) {
    var slots: [SlotDigest] = []
    for segment in 0..<HashTree.segmentCount { index.visitLeft(by: minute, segment: segment) { slots.append($0) } }
    #expect(slots.count == gone.count)
    #expect(Set(slots) == Set(gone.map { SlotDigest(hash: $0.hash, digest: $0.stamp.digest, isTombstone: false) }))
    var tree = HashTree(ringBits: 1)
    for entry in gone { tree.toggle(entry.hash, entry.stamp, isTombstone: false) }
    #expect(index.words(leftBy: minute) == tree.segments.map(\.values))
  }

  @Test(
    "however many expire in one minute or in however many, a change moves a chunk and no more, and nothing is lost",
    arguments: [ExpiryIndex.chunkMax - 1, ExpiryIndex.chunkMax, ExpiryIndex.chunkMax + 1, 9 * ExpiryIndex.chunkMax],
    [UInt64(1), 7, 60_000])
  func chunks(count: Int, apart: UInt64) {
    var generator = SeededGenerator(seed: UInt64(count) + apart)
    var index = ExpiryIndex(ringBits: 1)
    // In random order, then those of a late minute in order of time.
    var model = (0..<UInt64(count)).map {
      ExpiryIndex.Entry(
        hash: ($0 &* 0x9E37_79B9_7F4A_7C15) >> 1, stamp: stamp($0 + 1),
        expiry: Expiry(milliseconds: 600_000 + $0 * apart))
    }
    for place in model.indices { model.swapAt(place, generator.below(model.count)) }
    for entry in model { index.insert(entry.expiry, hash: entry.hash, stamp: entry.stamp) }
    #expect(index.chunkCounts.allSatisfy { $0 > 0 && $0 <= ExpiryIndex.chunkMax })
    #expect((index.chunkCounts.count == 1) == (count <= ExpiryIndex.chunkMax))
    #expect(index.count == count && index.all == model.sorted(by: <))
    for minute in [UInt64(9), 10, 11, 12, 500, .max] {
      Self.expectLeft(index, by: minute, model.filter { $0.expiry.leaves <= minute })
      let wall = Expiry.buriable(leaves: min(minute, 100_000))
      let due = model.filter { Expiry.buriable(leaves: $0.expiry.leaves) <= wall }
      #expect(index.buriableCount(at: wall) == due.count)
      #expect(index.nextBuriable(at: wall, max: 64) == Array(due.sorted(by: <).prefix(64)))
    }
    // What is taken out leaves no crumbs.
    while model.count > 3 {
      let entry = model.remove(at: generator.below(model.count))
      index.remove(entry.expiry, hash: entry.hash, stamp: entry.stamp)
    }
    #expect(index.all == model.sorted(by: <) && index.chunkCounts.count == 1)
    Self.expectLeft(index, by: .max, model)
  }

  @Test("what expires later than all others fills its chunks")
  func ascending() {
    var index = ExpiryIndex(ringBits: 1)
    for number in 0..<UInt64(3 * ExpiryIndex.chunkMax) {
      index.insert(Expiry(milliseconds: 60_000 * (number + 1)), hash: 5, stamp: stamp(1))
    }
    #expect(index.chunkCounts == Array(repeating: ExpiryIndex.chunkMax, count: 3))
    index.insert(Expiry(milliseconds: 60_000 * UInt64(3 * ExpiryIndex.chunkMax)), hash: 5, stamp: stamp(1))
    #expect(index.count == 3 * ExpiryIndex.chunkMax)
  }

  @Test(
    "burying goes by the order of minutes and misses nobody, what is passed over comes again", arguments: UInt64(0)..<20
  )
  func burying(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var index = ExpiryIndex(ringBits: 1)
    let entries = (0..<200).map { Self.entry($0, &generator) }
    for entry in entries { index.insert(entry.expiry, hash: entry.hash, stamp: entry.stamp) }
    let wall = 20 * UInt64(60_000)
    let due = entries.filter { Expiry.buriable(leaves: $0.expiry.leaves) <= wall }
    var passed: [ExpiryIndex.Entry] = []
    var buried: [ExpiryIndex.Entry] = []
    while let next = index.nextBuriable(at: wall, max: 1).first {
      if generator.chance(1, in: 4) {
        index.pass(next)
        passed.append(next)
      } else {
        index.remove(next.expiry, hash: next.hash, stamp: next.stamp)
        buried.append(next)
      }
    }
    #expect((passed + buried).sorted { $0.stamp < $1.stamp } == due.sorted { $0.stamp < $1.stamp })
    #expect(buried.map(\.expiry.leaves) == buried.map(\.expiry.leaves).sorted())
    var again: [ExpiryIndex.Entry] = []
    index.beginAnew()
    while let next = index.nextBuriable(at: wall, max: 1).first {
      again.append(next)
      index.remove(next.expiry, hash: next.hash, stamp: next.stamp)
    }
    #expect(again.sorted { $0.stamp < $1.stamp } == passed.sorted { $0.stamp < $1.stamp })
    #expect(index.count == entries.count - due.count)
  }

  @Test("a value leaves at the next full minute, and may be buried when no good clock is before that")
  func times() {
    for (milliseconds, minute) in [(UInt64(60_000), UInt64(1)), (60_001, 2), (119_999, 2), (120_000, 2), (1, 1)] {
      let expiry = Expiry(milliseconds: milliseconds)
      #expect(expiry.leaves == minute)
      // Rule EXPIRY: not before expiry + 30 s.
      #expect(Expiry.buriable(leaves: minute) >= milliseconds + 30_000)
      #expect(Expiry.buriable(leaves: minute) - 60_000 >= minute * 60_000)
    }
    #expect(Expiry(milliseconds: 5).isPast(5) && !Expiry(milliseconds: 5).isPast(4) && !Expiry.never.isPast(.max - 1))
    #expect(Expiry(after: 3, wallMilliseconds: 1000) == Expiry(milliseconds: 4000))
    #expect(Expiry(after: .max, wallMilliseconds: Expiry.last.milliseconds) == .last)
    #expect(Expiry.last.isTime && !Expiry.never.isTime && !Expiry(milliseconds: 0).isTime)
  }

  @Test("of one stamp the tombstone stands above the value, whatever the actor")
  func rank() {
    let value = Rank(stamp(5), isTombstone: false)
    let grave = Rank(stamp(5), isTombstone: true)
    #expect(value < grave && !(grave < value) && grave < Rank(stamp(5, actor: 2), isTombstone: false))
    #expect(Rank(stamp(4), isTombstone: true) < value)
  }
}
