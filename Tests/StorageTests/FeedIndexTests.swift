import Causality
import Primitives
import Testing

@testable import Storage

@Suite("The index of a feed")
struct FeedIndexTests {
  private static func entry(_ tsn: UInt64) -> FeedIndex.Entry {
    FeedIndex.Entry(tsn: tsn, hash: tsn &* 0x9E37_79B9_7F4A_7C15, stamp: stamp(tsn * 3))
  }

  @Test("whatever is inserted and removed, it is what a sorted list would be", arguments: UInt64(0)..<40)
  func model(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var index = FeedIndex()
    var model: [FeedIndex.Entry] = []
    var head: UInt64 = 0
    let isLoading = seed % 2 == 1
    if !isLoading { index.settle() }
    for step in 0..<2000 {
      if isLoading && step == 700 {
        index.settle()
        #expect(index.all == model.sorted { $0.tsn < $1.tsn })
      }
      if model.isEmpty || generator.chance(seed % 5 < 3 ? 6 : 5, in: 10) {
        // Replay may bring an earlier position.
        var tsn = head + 1 + UInt64(generator.below(3))
        if generator.chance(1, in: 20) { tsn = 1 + UInt64(generator.below(Int(head) + 1)) }
        guard !model.contains(where: { $0.tsn == tsn }) else { continue }
        head = max(head, tsn)
        let entry = Self.entry(tsn)
        index.insert(tsn: entry.tsn, hash: entry.hash, stamp: entry.stamp)
        model.append(entry)
      } else {
        let place = generator.chance(2, in: 3) ? 0 : generator.below(model.count)
        let entry = model.sorted { $0.tsn < $1.tsn }[place]
        model.removeAll { $0 == entry }
        index.remove(tsn: entry.tsn, hash: entry.hash, stamp: entry.stamp)
      }
      #expect(index.count == model.count)
      guard !isLoading || step >= 700, step % 7 == 0 else { continue }
      let sorted = model.sorted { $0.tsn < $1.tsn }
      #expect(index.all == sorted && index.oldest == sorted.first)
      let after = UInt64(generator.below(Int(head) + 2))
      let last = after + UInt64(generator.below(20))
      #expect(index.next(after: after, upTo: last) == sorted.first { $0.tsn > after && $0.tsn <= last })
    }
  }

  @Test("what is not there is removed without harm, and an entry is exactly its position, hash and stamp")
  func exact() {
    var index = FeedIndex()
    index.settle()
    for tsn in UInt64(1)...3 { index.insert(tsn: tsn, hash: 7, stamp: stamp(tsn)) }
    index.remove(tsn: 2, hash: 7, stamp: stamp(9))
    index.remove(tsn: 2, hash: 8, stamp: stamp(2))
    index.remove(tsn: 4, hash: 7, stamp: stamp(4))
    #expect(index.count == 3 && index.generation == 0)
    index.remove(tsn: 2, hash: 7, stamp: stamp(2))
    index.remove(tsn: 2, hash: 7, stamp: stamp(2))
    #expect(index.count == 2 && index.all.map(\.tsn) == [1, 3] && index.generation == 1)
  }

  @Test("a million tombstones that were forgotten leave no memory behind, and few that wait not much")
  func memory() {
    var index = FeedIndex()
    index.settle()
    for tsn in UInt64(1)...1_000_000 { index.insert(tsn: tsn, hash: tsn, stamp: stamp(tsn)) }
    for tsn in UInt64(1)...999_000 { index.remove(tsn: tsn, hash: tsn, stamp: stamp(tsn)) }
    #expect(index.count == 1000 && index.byteCount <= 2200 * MemoryLayout<FeedIndex.Entry>.stride)
    #expect(MemoryLayout<FeedIndex.Entry>.stride == 32)
    for tsn in UInt64(999_001)...1_000_000 { index.remove(tsn: tsn, hash: tsn, stamp: stamp(tsn)) }
    #expect(index.count == 0 && index.byteCount == 0)
  }

  @Test("the durable head is the highest one that everything below was flushed and synced with; at the bound it lags")
  func head() {
    var head = FeedHead()
    head.open(at: 5)
    head.noteFlush(5, position: 1)
    head.noteFlush(7, position: 2)
    head.noteFlush(7, position: 3)
    head.noteFlush(9, position: 4)
    head.settle(1)
    #expect(head.durable == 5)
    head.settle(3)
    #expect(head.durable == 7)
    head.settle(4)
    #expect(head.durable == 9)
    for step in 0..<UInt64(FeedHead.marksMax) + 10 { head.noteFlush(10 + step, position: 10 + step) }
    let last = 10 + UInt64(FeedHead.marksMax) + 9
    head.settle(last - 1)
    #expect(head.durable == 10 + UInt64(FeedHead.marksMax) - 2)
    head.settle(last)
    #expect(head.durable == last)
  }
}
