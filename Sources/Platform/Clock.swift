import CLinux
import Glibc
package import Primitives

// The clocks and the randomness of the machine. Everything below the server gets them as arguments.

/// Reads the clocks of this machine.
package struct SystemClock: Sendable {
  /// Added to the wall clock, in milliseconds: tests give a node a wrong clock with it.
  package let wallOffsetMilliseconds: Int64

  package init(wallOffsetMilliseconds: Int64 = 0) { self.wallOffsetMilliseconds = wallOffsetMilliseconds }

  package func now() -> Moment {
    let wall = Int64(nanoseconds(CLOCK_REALTIME) / 1_000_000) + wallOffsetMilliseconds
    return Moment(
      instant: Instant(nanoseconds: nanoseconds(CLOCK_MONOTONIC)), wallMilliseconds: UInt64(max(0, wall)))
  }

  /// The monotonic clock alone.
  package func instant() -> Instant { Instant(nanoseconds: nanoseconds(CLOCK_MONOTONIC)) }

  private func nanoseconds(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(clock, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}

/// 64 bits from the system's generator.
package func randomSeed() throws(Errno) -> UInt64 {
  var seed: UInt64 = 0
  try callNegated { unsafe cairn_random(&seed, 8) }
  return seed
}

/// The wall clock as `2026-02-03T04:05:06.789Z`, for log lines.
package func timestamp(wallMilliseconds: UInt64) -> String {
  func digits(_ value: Int, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }
  let seconds = Int(wallMilliseconds / 1000)
  let date = civilDate(daysSince1970: seconds / 86_400)
  return "\(digits(date.year, 4))-\(digits(date.month, 2))-\(digits(date.day, 2))T"
    + "\(digits(seconds / 3600 % 24, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2))"
    + ".\(digits(Int(wallMilliseconds % 1000), 3))Z"
}

/// The Gregorian date of a day. Years are counted from March, so that the leap day comes last.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
func civilDate(daysSince1970: Int) -> (year: Int, month: Int, day: Int) {
  let days = daysSince1970 + 719_468
  let era = days / 146_097
  let dayOfEra = days % 146_097
  let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
  let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  let monthFromMarch = (5 * dayOfYear + 2) / 153
  let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  return (
    yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
  )
}
