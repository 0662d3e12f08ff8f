import Primitives
import Testing

@Suite struct SeededGeneratorTests {
  /// SplitMix64 of seed 1234567, as published with the reference implementation.
  @Test func theSequenceIsTheReferenceOne() {
    var random = SeededGenerator(seed: 1_234_567)
    let values = (0..<5).map { _ in random.next() }
    #expect(
      values == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
        4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
      ])
  }

  @Test func belowStaysBelowAndReachesAll() {
    var random = SeededGenerator(seed: 9)
    let drawn = Set((0..<1000).map { _ in random.below(10) })
    #expect(drawn == Set(0..<10))
    #expect(random.below(1) == 0)
  }

  @Test func chanceIsItsFraction() {
    var random = SeededGenerator(seed: 10)
    let hits = (0..<10_000).count { _ in random.chance(1, in: 4) }
    #expect((2300...2700).contains(hits))
    #expect(random.chance(0, in: 3) == false)
    #expect(random.chance(3, in: 3) == true)
  }
}

@Suite struct InstantTests {
  @Test func millisecondsNeverRunBackwards() {
    let start = Instant(nanoseconds: 5_000_000)
    #expect(start.adding(milliseconds: 7).milliseconds(since: start) == 7)
    #expect(start.milliseconds(since: start.adding(milliseconds: 7)) == 0)
    #expect(start < start.adding(milliseconds: 1))
  }
}

@Suite struct IdentifierTests {
  @Test func identitiesPrintAllTheirDigits() {
    #expect(Identity128(high: 0x1, low: 0xABC).description == "00000000000000010000000000000abc")
    #expect(hexadecimal(0) == "0000000000000000")
    #expect(hexadecimal(.max) == "ffffffffffffffff")
  }
}
