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
      let left = index.left(by: minute)
      #expect(left.slots == Set(gone.map { SlotDigest(hash: $0.hash, digest: $0.stamp.digest, isTombstone: false) }))
      var tree = HashTree(ringBits: 1)
      for entry in gone { tree.toggle(entry.hash, entry.stamp, isTombstone: false) }
      #expect(left.words == tree.segments.map(\.values) || gone.isEmpty && left.words.allSatisfy { $0 == 0 })
    }
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
    while let next = index.nextBuriable(at: wall) {
      if generator.chance(1, in: 4) {
        index.pass()
        passed.append(next)
      } else {
        index.remove(next.expiry, hash: next.hash, stamp: next.stamp)
        buried.append(next)
      }
    }
    #expect((passed + buried).sorted { $0.stamp < $1.stamp } == due.sorted { $0.stamp < $1.stamp })
    #expect(buried.map(\.expiry) == buried.map(\.expiry).sorted())
    var again: [ExpiryIndex.Entry] = []
    while let next = index.nextBuriable(at: wall) {
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
