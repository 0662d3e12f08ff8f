import Causality
import Messages

// When an object that is written shall cease to be: `X-Cairn-Expires-In: SECONDS`, or `never`, or `X-Cairn-Expires-At: DATE`
// in the form of HTTP, which is also that of `Expires` in the answer to a read. There is no clock here: a date that is past
// already is as good as any, and the object reads as deleted.

extension Lifetime {
  static let saidTwice = HTTPProblem(
    status: 400, text: "X-Cairn-Expires-In and X-Cairn-Expires-At: say once when the object expires")

  /// Whether a name begins with `X-Cairn-Expir` or `X-Cairn-TTL`: it means a lifetime, rightly spelled or not.
  static func isNamed(by bytes: [UInt8], _ name: Range<Int>) -> Bool {
    HTTPText.hasPrefix(bytes, name, "x-cairn-expir") || HTTPText.hasPrefix(bytes, name, "x-cairn-ttl")
  }

  /// What a header says for whose name that is so.
  init(_ bytes: [UInt8], _ name: Range<Int>, _ value: Range<Int>) throws(HTTPProblem) {
    if HTTPText.matches(bytes, name, "x-cairn-expires-in") {
      if HTTPText.equals(bytes, value, "never") {
        self = .unlimited
        return
      }
      guard let seconds = HTTPText.decimal(bytes, value), seconds > 0, seconds <= Int(Expiry.lifetimeSecondsMax) else {
        throw HTTPProblem(
          status: 400,
          text: "X-Cairn-Expires-In is not a number of seconds from 1 to \(Expiry.lifetimeSecondsMax), nor \"never\"")
      }
      self = .seconds(UInt32(seconds))
    } else if HTTPText.matches(bytes, name, "x-cairn-expires-at") {
      guard let seconds = HTTPText.date(bytes, value), seconds > 0,
        case let expiry = Expiry(milliseconds: UInt64(seconds) * 1000), expiry.isTime
      else {
        throw HTTPProblem(
          status: 400,
          text: "X-Cairn-Expires-At is not a date after 1970 in the form Sun, 06 Nov 1994 08:49:37 GMT")
      }
      self = .until(expiry)
    } else {
      // To keep for ever what was to go would be worse than to refuse.
      let text = String(decoding: bytes[name], as: UTF8.self)
      throw HTTPProblem(status: 400, text: "\(text) is unknown: X-Cairn-Expires-In or X-Cairn-Expires-At")
    }
  }
}
