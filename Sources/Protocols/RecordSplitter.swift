// Where the records of a text are: lines, or rows of CSV, whose quoted fields may hold line ends. Bytes go in as they are
// read, records come out one after the other, each with its place in the whole text. Looks at quotes only, and checks
// nothing else: what a record means is for `CSVFields` and `JSONMembers`.
//
// A line ends with LF, or CR LF. The last one needs no end. A record longer than `recordBytesMax` is passed over without
// being kept, to its end, and reported.

package struct RecordSplitter: Sendable {
  package enum Form: Equatable, Sendable {
    case lines
    /// RFC 4180 with this byte between fields.
    case rows(delimiter: UInt8)
  }

  package struct Record: Equatable, Sendable {
    /// Place in `bytes`, without the line's end; empty when it was too long to be kept.
    package let range: Range<Int>
    /// Bytes of the text before it.
    package let offset: Int
    /// Bytes of the text up to the end of its line.
    package let endOffset: Int
    /// Number of the line where it begins, and of the one behind it. Counted from 1.
    package let line: Int
    package let nextLine: Int
    /// It has more than `recordBytesMax` bytes.
    package let isTooLong: Bool

    /// How long it is, its line's end included.
    package var byteCount: Int { endOffset - offset }
  }

  /// Where a row is, as far as quotes go.
  private enum Quoting { case fieldStart, plain, quoted, quoteSeen }

  package let recordBytesMax: Int
  private let form: Form
  /// What was received and not passed yet; a record's place in it is good until the next `receive`.
  package private(set) var bytes: [UInt8] = []
  /// Where the next record begins in `bytes`.
  private var start = 0
  /// What was looked at ends here.
  private var scanned = 0
  private var quoting = Quoting.fieldStart
  /// Of the place `start` in the text.
  private var offset: Int
  private var line: Int
  /// Line ends within the record, in quotes.
  private var innerLines = 0
  /// Bytes of a record that is passed over, already dropped; nil within no such record.
  private var dropped: Int?

  /// - Parameters:
  ///   - offset, line: Of the first byte that will be received.
  package init(_ form: Form, recordBytesMax: Int, offset: Int = 0, line: Int = 1) {
    self.form = form
    self.recordBytesMax = recordBytesMax
    self.offset = offset
    self.line = line
  }

  /// Takes more of the text. All records of what came before should have been taken: what is kept is copied.
  package mutating func receive(_ more: UnsafeRawBufferPointer) {
    if start == bytes.count {
      bytes.removeAll(keepingCapacity: bytes.capacity <= RecordSplitter.capacityKept)
    } else if start > 0 {
      bytes.removeSubrange(..<start)
    }
    scanned -= start
    start = 0
    unsafe bytes.append(contentsOf: more)
  }

  private static let capacityKept = 4 << 20

  /// The next record; nil when its end has not come.
  package mutating func next() -> Record? {
    guard let end = findEnd() else {
      // One more for a CR that may belong to the line's end.
      if dropped != nil || scanned - start > recordBytesMax + 1 { drop() }
      return nil
    }
    // `end` is the LF.
    let content = end > start && bytes[end - 1] == UInt8(ascii: "\r") ? end - 1 : end
    return finish(content: content, end: end + 1)
  }

  /// The last record, if the text did not end with a line's end. To be called when there is no more, after `next`.
  package mutating func finish() -> Record? {
    guard start < bytes.count || (dropped ?? 0) > 0 else { return nil }
    let isCut = quoting != .quoted && bytes.count > start && bytes.last == UInt8(ascii: "\r")
    return finish(content: isCut ? bytes.count - 1 : bytes.count, end: bytes.count)
  }

  private mutating func finish(content: Int, end: Int) -> Record {
    let gone = dropped ?? 0
    let isTooLong = dropped != nil || content - start > recordBytesMax
    let lines = innerLines + 1
    let record = Record(
      range: isTooLong ? start..<start : start..<content, offset: offset, endOffset: offset + gone + end - start,
      line: line, nextLine: line + lines, isTooLong: isTooLong)
    offset = record.endOffset
    line += lines
    innerLines = 0
    dropped = nil
    start = end
    scanned = end
    quoting = .fieldStart
    return record
  }

  /// Lets go of what has come of a record that is too long.
  private mutating func drop() {
    dropped = (dropped ?? 0) + scanned - start
    start = scanned
  }

  // MARK: Looking for the end

  private mutating func findEnd() -> Int? {
    switch form {
    case .lines:
      let end = unsafe bytes.withUnsafeBytes { unsafe firstByte(UInt8(ascii: "\n"), in: $0, from: scanned) }
      scanned = end
      return end < bytes.count ? end : nil
    case .rows(let delimiter): return findRowEnd(delimiter)
    }
  }

  private mutating func findRowEnd(_ delimiter: UInt8) -> Int? {
    var quoting = self.quoting
    var lines = innerLines
    let from = scanned
    let (end, found) = unsafe bytes.withUnsafeBytes { bytes in
      var index = from
      while index < bytes.count {
        let byte = unsafe bytes[index]
        switch quoting {
        case .quoted:
          if byte == UInt8(ascii: "\"") { quoting = .quoteSeen } else if byte == UInt8(ascii: "\n") { lines += 1 }
        case .fieldStart where byte == UInt8(ascii: "\""), .quoteSeen where byte == UInt8(ascii: "\""):
          quoting = .quoted
        case .fieldStart, .plain, .quoteSeen:
          if byte == UInt8(ascii: "\n") { return (index, true) }
          quoting = byte == delimiter ? .fieldStart : .plain
        }
        index += 1
      }
      return (index, false)
    }
    self.quoting = quoting
    innerLines = lines
    scanned = end
    return found ? end : nil
  }
}

/// The first place of `byte` in `bytes` from `start` on, or their end. Eight bytes at a time: the lowest bit set in `hit`
/// is exact, borrows can only blur the bytes above it.
func firstByte(_ byte: UInt8, in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
  let pattern = UInt64(byte) &* 0x0101_0101_0101_0101
  var index = start
  while index + 8 <= bytes.count {
    let word = UInt64(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) ^ pattern
    let hit = (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
    if hit != 0 { return index + (hit.trailingZeroBitCount >> 3) }
    index += 8
  }
  while index < bytes.count, unsafe bytes[index] != byte { index += 1 }
  return index
}
