import Causality
import Primitives
import Testing

@Suite struct StampTests {
  @Test func stampsAreOrderedByTimeThenActor() {
    let low = Stamp(time: HybridTime(milliseconds: 5, counter: 9), actor: ActorID(9))
    let time = Stamp(time: HybridTime(milliseconds: 6), actor: ActorID(0))
    let actor = Stamp(time: HybridTime(milliseconds: 6), actor: ActorID(1))
    #expect([actor, low, time, .zero].sorted() == [.zero, low, time, actor])
  }

  @Test func timesKeepMillisecondsAndCounterApart() {
    let time = HybridTime(milliseconds: 0xFFFF_FFFF_FFFF, counter: 0xABCD)
    #expect(time.milliseconds == 0xFFFF_FFFF_FFFF)
    #expect(time.counter == 0xABCD)
    #expect(HybridTime(milliseconds: 1, counter: .max) < HybridTime(milliseconds: 2))
  }

  @Test(arguments: 1...20 as ClosedRange<UInt64>) func encodedStampsAreReadBack(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let stamp = Stamp(
      time: HybridTime(random.next()), actor: ActorID(UInt32(truncatingIfNeeded: random.next())))
    var bytes: [UInt8] = []
    stamp.append(to: &bytes)
    #expect(bytes.count == Stamp.byteCount)
    var reader = ByteReader(bytes)
    #expect(reader.readStamp() == stamp)
    for cut in 0..<Stamp.byteCount {
      var short = ByteReader(bytes, to: cut)
      #expect(short.readStamp() == nil)
    }
  }
}

@Suite struct HybridClockTests {
  /// Wall clocks that stand still, run back and jump; observed times; leases: whatever comes, the clock goes up.
  @Test(arguments: 1...50 as ClosedRange<UInt64>) func itNeverGoesBackAndNeverPassesItsLease(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var clock = HybridClock(last: HybridTime(milliseconds: 1000))
    var wall: UInt64 = 1000
    var issued = HybridTime.zero
    var seen = clock.last
    for _ in 0..<2000 {
      switch random.below(8) {
      case 0: wall = wall &+ UInt64(random.below(50))
      case 1: wall -= min(wall, UInt64(random.below(50)))
      case 2:
        let time = HybridTime(milliseconds: wall + UInt64(random.below(100)), counter: UInt16(random.below(3)))
        clock.observe(time)
        seen = max(seen, time)
      case 3: clock.grantLease(until: HybridTime(milliseconds: wall + UInt64(random.below(200))))
      default:
        let before = clock.last
        guard let time = clock.issue(wallMilliseconds: wall) else {
          #expect(clock.last == before)
          #expect(clock.candidate(wallMilliseconds: wall) >= clock.leaseEnd)
          continue
        }
        #expect(time > issued && time > seen && time < clock.leaseEnd)
        #expect(time.milliseconds >= wall)
        issued = time
        seen = time
      }
      #expect(clock.last == seen)
    }
    #expect(issued > .zero)
  }

  @Test func withoutALeaseNothingIsIssued() {
    var clock = HybridClock(last: .zero)
    #expect(clock.issue(wallMilliseconds: 1) == nil)
    clock.grantLease(until: HybridTime(milliseconds: 1))
    #expect(clock.issue(wallMilliseconds: 1) == nil)
    clock.grantLease(until: HybridTime(milliseconds: 1, counter: 1))
    #expect(clock.issue(wallMilliseconds: 1) == HybridTime(milliseconds: 1))
    #expect(clock.issue(wallMilliseconds: 1) == nil)
  }

  @Test func aLeaseIsNeverTakenBack() {
    var clock = HybridClock(last: .zero, leaseEnd: HybridTime(milliseconds: 9))
    clock.grantLease(until: HybridTime(milliseconds: 3))
    #expect(clock.leaseEnd == HybridTime(milliseconds: 9))
  }

  @Test func theCounterRunsOverIntoMilliseconds() {
    var clock = HybridClock(last: HybridTime(milliseconds: 7, counter: .max), leaseEnd: HybridTime(.max))
    #expect(clock.issue(wallMilliseconds: 7) == HybridTime(milliseconds: 8, counter: 0))
  }
}
