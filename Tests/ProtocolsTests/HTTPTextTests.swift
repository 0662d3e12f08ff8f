import Protocols
import Testing

@Suite struct HTTPTextTests {
  @Test(arguments: [
    (0 as UInt64, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
    (951_782_399_999, "Mon, 28 Feb 2000 23:59:59 GMT"), (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"),
    (4_107_542_400_000, "Mon, 01 Mar 2100 00:00:00 GMT"), (1_735_689_599_000, "Tue, 31 Dec 2024 23:59:59 GMT"),
  ])
  func datesAreThoseOfTheCalendar(milliseconds: UInt64, date: String) {
    var bytes: [UInt8] = []
    bytes.appendHTTPDate(milliseconds: milliseconds)
    #expect(String(decoding: bytes, as: UTF8.self) == date)
  }

  @Test func everyDayFollowsTheDayBefore() {
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    var date = (day: 1, month: 1, year: 1970)
    for days in 0..<60_000 {
      let found = HTTPText.civilDate(days: days)
      #expect(found.day == date.day && found.month == date.month && found.year == date.year)
      let isLeap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0)
      date.day += 1
      if date.day > lengths[date.month - 1] + (date.month == 2 && isLeap ? 1 : 0) {
        date = date.month == 12 ? (1, 1, date.year + 1) : (1, date.month + 1, date.year)
      }
    }
  }

  @Test func base64IsThatOfTheStandard() {
    var bytes: [UInt8] = []
    bytes.appendBase64Group(0x666F6F)
    bytes.appendBase64Group(0x7F3E3F)
    bytes.appendBase64Group(0xFBF000)
    bytes.appendBase64Group(0x666F00, count: 2)
    bytes.appendBase64Group(0x660000, count: 1)
    #expect(String(decoding: bytes, as: UTF8.self) == "Zm9vfz4/+/AAZm8=Zg==")
  }

  @Test func escapedBytesComeBack() {
    let all = (0...255).map { UInt8($0) }
    var escaped: [UInt8] = []
    escaped.appendEscaped(all[...])
    var plain: [UInt8] = []
    #expect(HTTPText.unescape(escaped, 0..<escaped.count, into: &plain) == true)
    #expect(plain == all)
  }

  @Test(arguments: ["%", "%4", "a%4", "%zz", "%4g", "%%41"]) func halfAnEscapeIsNone(text: String) {
    let bytes = Array(text.utf8)
    var plain: [UInt8] = []
    #expect(HTTPText.unescape(bytes, 0..<bytes.count, into: &plain) == false)
  }

  @Test func tokensAreLettersDigitsAndSomeSigns() {
    let token = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    #expect((0...255).filter { HTTPText.isToken(UInt8($0)) } == token.utf8.map { Int($0) }.sorted())
  }

  @Test func decimalsHaveNoSpareDigits() {
    for value in [0, 7, 10, 99, 100, 67_108_864, 1_234_567_890] {
      var bytes: [UInt8] = []
      bytes.appendDecimal(value)
      #expect(String(decoding: bytes, as: UTF8.self) == "\(value)")
      #expect(HTTPText.decimal(bytes, 0..<bytes.count) == value)
    }
    #expect(HTTPText.decimal(Array("-1".utf8), 0..<2) == nil)
    #expect(HTTPText.decimal(Array("+1".utf8), 0..<2) == nil)
    #expect(HTTPText.decimal([], 0..<0) == nil)
  }
}
