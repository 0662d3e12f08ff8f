// Dates as HTTP writes them, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7), and the calendar behind them. The two
// forms that were in use before are not read: a condition whose date cannot be read is ignored, and the answer is then
// no worse than longer.

extension HTTPText {
  private static let weekdays: StaticString = "SunMonTueWedThuFriSat"
  private static let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
  private static let secondsOfDay = 86_400

  /// Seconds since 1970 of a date in that form, weekday and all, of any year with four digits; nil for anything else.
  package static func date(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
    let start = range.lowerBound
    func number(_ offset: Int, _ digits: Int) -> Int? { decimal(bytes, start + offset..<start + offset + digits) }
    func has(_ text: StaticString, _ offset: Int) -> Bool {
      equals(bytes, start + offset..<start + offset + text.utf8CodeUnitCount, text)
    }
    guard range.count == 29, has(", ", 3), has(" ", 7), has(" ", 11), has(" ", 16), has(":", 19), has(":", 22),
      has(" GMT", 25), let weekday = index(bytes, start, weekdays), let month = index(bytes, start + 8, months),
      let day = number(5, 2), let year = number(12, 4), let hour = number(17, 2), let minute = number(20, 2),
      let second = number(23, 2)
    else { return nil }
    // A minute may end in a leap second.
    guard day >= 1, day <= daysOf(month: month + 1, year: year), hour < 24, minute < 60, second <= 60 else {
      return nil
    }
    let days = days(day: day, month: month + 1, year: year)
    guard ((days + 4) % 7 + 7) % 7 == weekday else { return nil }
    return days * secondsOfDay + hour * 3600 + minute * 60 + second
  }

  /// Which of the three-letter `names` stands at `start`.
  private static func index(_ bytes: [UInt8], _ start: Int, _ names: StaticString) -> Int? {
    let text = unsafe names.utf8Start
    for name in 0..<names.utf8CodeUnitCount / 3 {
      if unsafe bytes[start] == text[3 * name] && bytes[start + 1] == text[3 * name + 1]
        && bytes[start + 2] == text[3 * name + 2]
      {
        return name
      }
    }
    return nil
  }

  private static func daysOf(month: Int, year: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  // Both directions count in 400-year eras of years that begin in March, so that the leap day is a year's last.
  private static let daysOfEra = 146_097
  /// From the beginning of an era to 1970-01-01.
  private static let daysBefore1970 = 719_468

  /// Day, month and year in the Gregorian calendar, `days` after 1970-01-01.
  package static func civilDate(days: Int) -> (day: Int, month: Int, year: Int) {
    let shifted = days + daysBefore1970
    let era = shifted / daysOfEra
    let dayOfEra = shifted % daysOfEra
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (dayOfYear - (153 * marchMonth + 2) / 5 + 1, month, yearOfEra + era * 400 + (month <= 2 ? 1 : 0))
  }

  /// Days from 1970-01-01 to a date of the year 0 or a later one; negative before 1970.
  private static func days(day: Int, month: Int, year: Int) -> Int {
    // One era more, so that nothing is negative on the way.
    let marchYear = year + 400 - (month <= 2 ? 1 : 0)
    let yearOfEra = marchYear % 400
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return (marchYear / 400 - 1) * daysOfEra + dayOfEra - daysBefore1970
  }
}

extension [UInt8] {
  /// A time in milliseconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`.
  package mutating func appendHTTPDate(milliseconds: UInt64) {
    let seconds = Int(milliseconds / 1000)
    let days = seconds / 86_400
    let date = HTTPText.civilDate(days: days)
    appendName(days + 4, "SunMonTueWedThuFriSat", of: 7)
    appendASCII(", ")
    appendDecimal(date.day, digits: 2)
    append(0x20)
    appendName(date.month - 1, "JanFebMarAprMayJunJulAugSepOctNovDec", of: 12)
    append(0x20)
    appendDecimal(date.year, digits: 4)
    append(0x20)
    appendDecimal(seconds / 3600 % 24, digits: 2)
    append(UInt8(ascii: ":"))
    appendDecimal(seconds / 60 % 60, digits: 2)
    append(UInt8(ascii: ":"))
    appendDecimal(seconds % 60, digits: 2)
    appendASCII(" GMT")
  }

  /// The three letters of the name number `index`, counted round.
  private mutating func appendName(_ index: Int, _ names: StaticString, of count: Int) {
    let start = unsafe names.utf8Start + 3 * (index % count)
    unsafe append(contentsOf: UnsafeBufferPointer(start: start, count: 3))
  }
}
