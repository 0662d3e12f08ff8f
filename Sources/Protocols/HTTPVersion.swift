package import Causality

// An object's version in HTTP's words. `X-Riak-Vclock` holds the stamp's twelve encoded bytes in base64, opaque to
// clients, who bring it back with a write; the entity tag holds its time and actor in hexadecimal digits. Each stamp has
// one text of either kind, so texts may be compared.

extension [UInt8] {
  /// A stamp as 16 digits of base64.
  package mutating func appendClock(_ stamp: Stamp) {
    // The encoded bytes, three at a time: the time's eight and the actor's four, lowest first.
    let time = stamp.time.rawValue.byteSwapped
    let actor = stamp.actor.rawValue.byteSwapped
    appendBase64Group(UInt32(truncatingIfNeeded: time >> 40))
    appendBase64Group(UInt32(truncatingIfNeeded: time >> 16))
    appendBase64Group(UInt32(truncatingIfNeeded: time) << 8 | actor >> 24)
    appendBase64Group(actor)
  }

  /// A stamp as 24 hexadecimal digits.
  package mutating func appendTag(_ stamp: Stamp) {
    appendHexadecimal(stamp.time.rawValue, digits: 16)
    appendHexadecimal(UInt64(stamp.actor.rawValue), digits: 8)
  }
}

extension HTTPText {
  /// The stamp that `appendClock` wrote; nil for anything that it cannot have written.
  package static func stamp(clock bytes: [UInt8], _ range: Range<Int>) -> Stamp? {
    // Sixteen digits are exactly the twelve bytes: none is left over, and there is no padding.
    guard range.count == 16 else { return nil }
    var value: UInt128 = 0
    for index in range {
      guard let digit = base64Value(bytes[index]) else { return nil }
      value = value << 6 | UInt128(digit)
    }
    return Stamp(
      time: HybridTime(UInt64(truncatingIfNeeded: value >> 32).byteSwapped),
      actor: ActorID(UInt32(truncatingIfNeeded: value).byteSwapped))
  }

  /// The stamp that `appendTag` wrote; nil for anything that it cannot have written.
  package static func stamp(tag bytes: [UInt8], _ range: Range<Int>) -> Stamp? {
    guard range.count == 24 else { return nil }
    var value: UInt128 = 0
    for index in range {
      // Tags are compared byte by byte: the same digits in capitals are another tag.
      guard let digit = hexDigit(bytes[index]), bytes[index] == lowerHex(UInt8(digit)) else { return nil }
      value = value << 4 | UInt128(digit)
    }
    return Stamp(
      time: HybridTime(UInt64(truncatingIfNeeded: value >> 32)), actor: ActorID(UInt32(truncatingIfNeeded: value)))
  }
}
