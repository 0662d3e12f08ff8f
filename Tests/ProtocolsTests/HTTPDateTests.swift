import Primitives
import Protocols
import Testing

@Suite struct HTTPDateTests {
  private func seconds(_ text: String) -> Int? {
    // Not at the start of its buffer, as in a request.
    let bytes = Array("xx\(text)y".utf8)
    return HTTPText.date(bytes, 2..<bytes.count - 1)
  }

  private func text(seconds: UInt64) -> String {
    var bytes: [UInt8] = []
    bytes.appendHTTPDate(milliseconds: seconds * 1000)
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test(arguments: [
    ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
    ("Wed, 31 Dec 1969 23:59:59 GMT", -1), ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
    ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400), ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
    ("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200), ("Tue, 29 Feb 0000 00:00:00 GMT", -62_162_121_600),
    ("Mon, 01 Jan 0001 00:00:00 GMT", -62_135_596_800), ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
  ])
  func datesAreRead(text: String, expected: Int) {
    #expect(seconds(text) == expected)
  }

  @Test(arguments: [
    "", "GMT", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 GMT ",
    "Mon, 06 Nov 1994 08:49:37 GMT", "sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 6 Nov 1994 08:49:37 GMT", "Sun,  6 Nov 1994 08:49:37 GMT", "Sun 06 Nov 1994, 08:49:37 GMT",
    "Sun, 06-Nov-1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Nov 1994 -8:49:37 GMT", "Sun, 06 Nov 1994 +8:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
    "Wed, 31 Nov 1994 08:49:37 GMT", "Thu, 29 Feb 1900 00:00:00 GMT", "Thu, 29 Feb 2023 00:00:00 GMT",
    "Wed, 30 Feb 2000 00:00:00 GMT", "Sun, 32 Jan 1995 00:00:00 GMT", "Sun, 06 unD 1994 08:49:37 GMT",
  ])
  func whatIsNoDateIsNone(text: String) {
    #expect(seconds(text) == nil)
  }

  @Test("a date that was written is read as the same second", arguments: 0..<200 as Range<UInt64>)
  func roundTrip(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<50 {
      let time = random.next() % 253_402_300_800
      #expect(seconds(text(seconds: time)) == Int(time))
    }
  }

  @Test("there is one way to write a second", arguments: 0..<200 as Range<UInt64>)
  func mutation(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let characters = Array("0123456789 ,:GMTSunMonTueWedThuFriSatJanFebMarAprMayJunJulAugSepOctNovDec".utf8)
    for _ in 0..<100 {
      var bytes = Array(text(seconds: random.next() % 253_402_300_800).utf8)
      for _ in 0..<1 + random.below(2) { bytes[random.below(bytes.count)] = characters[random.below(characters.count)] }
      let changed = String(decoding: bytes, as: UTF8.self)
      // The leap second is the exception: it is the next minute's first.
      if let time = seconds(changed), time >= 0, !changed.contains(":60 ") {
        #expect(text(seconds: UInt64(time)) == changed)
      }
    }
  }

  @Test func aDateCutShortIsNone() {
    let whole = "Sun, 06 Nov 1994 08:49:37 GMT"
    for count in 0..<whole.count { #expect(seconds(String(whole.prefix(count))) == nil) }
  }
}
