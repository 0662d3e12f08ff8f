// A connection's received bytes: lines and runs are taken from the front. Every byte is looked at once however the
// bytes were cut, and what was consumed is dropped when more arrives, so that it never holds more than what is unread
// plus as much again.

struct InputBuffer: Sendable {
  enum LineError: Error { case tooLong, malformed }

  private(set) var bytes: [UInt8] = []
  /// Start of what must be kept. Places in the buffer are remembered relative to it, because it moves.
  private(set) var head = 0
  /// Start of what is not parsed yet.
  private(set) var position = 0
  /// Start of what was not looked at yet.
  private var scanned = 0

  /// Capacity that an idle connection may keep.
  private static let capacityKept = 16 << 10

  /// Bytes not dropped yet.
  var count: Int { bytes.count - head }
  var unparsed: Int { bytes.count - position }

  mutating func append(_ more: UnsafeRawBufferPointer) {
    compact()
    unsafe bytes.append(contentsOf: more)
  }

  /// Lets go of everything parsed.
  mutating func dropParsed() { head = position }

  mutating func removeAll() {
    bytes = []
    head = 0
    position = 0
    scanned = 0
  }

  private mutating func compact() {
    if head == bytes.count {
      bytes.removeAll(keepingCapacity: bytes.capacity <= InputBuffer.capacityKept)
    } else if head > bytes.count / 2 {
      bytes.removeSubrange(..<head)
    } else {
      return
    }
    position -= head
    scanned -= head
    head = 0
  }

  /// The next line without its CR LF; nil when its end has not come. A control character in it (but for tabs where
  /// they are allowed) or an end that is not CR LF is malformed; more than `contentMax` bytes are too long.
  mutating func nextLine(contentMax: Int, tabs: Bool) throws(LineError) -> Range<Int>? {
    while true {
      let at = firstControl(from: scanned)
      if at - position > contentMax { throw .tooLong }
      scanned = at
      guard at < bytes.count else { return nil }
      if tabs, bytes[at] == UInt8(ascii: "\t") {
        scanned = at + 1
        continue
      }
      guard bytes[at] == UInt8(ascii: "\r") else { throw .malformed }
      guard at + 1 < bytes.count else { return nil }
      guard bytes[at + 1] == UInt8(ascii: "\n") else { throw .malformed }
      let line = position..<at
      position = at + 2
      scanned = position
      return line
    }
  }

  /// Parses at most `max` bytes of whatever they are, appends them to `sink` where there is one, and drops them.
  mutating func take(atMost max: Int, into sink: inout [UInt8], keep: Bool) -> Int {
    let count = min(max, unparsed)
    if keep { sink.append(contentsOf: bytes[position..<position + count]) }
    position += count
    scanned = position
    head = position
    return count
  }

  /// Drops the next bytes, of which there are so many at least. Room for what was long is given back with its end, also
  /// where more has come behind it: its connection may say nothing more for a while.
  mutating func drop(_ count: Int) {
    position += count
    scanned = position
    head = position
    guard bytes.capacity > InputBuffer.capacityKept, self.count <= bytes.capacity / 4 else { return }
    bytes = Array(bytes[head...])
    position = 0
    scanned = 0
    head = 0
  }

  private func firstControl(from start: Int) -> Int { InputBuffer.firstControl(in: bytes, from: start) }

  /// Index of the first byte that is a control character, or the end. Eight bytes at a time: the lowest bit set in
  /// `hit` is exact, borrows can only blur the bytes above it.
  static func firstControl(in bytes: [UInt8], from start: Int) -> Int {
    let end = bytes.count
    return unsafe bytes.withUnsafeBytes { bytes in
      var index = start
      while index + 8 <= end {
        let word = UInt64(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        let delete = word ^ 0x7F7F_7F7F_7F7F_7F7F
        let hit =
          (((word &- 0x2020_2020_2020_2020) & ~word) | ((delete &- 0x0101_0101_0101_0101) & ~delete))
          & 0x8080_8080_8080_8080
        if hit != 0 { return index + (hit.trailingZeroBitCount >> 3) }
        index += 8
      }
      while index < end, unsafe bytes[index] >= 0x20, unsafe bytes[index] != 0x7F { index += 1 }
      return index
    }
  }
}
