// The fields of one row of CSV (RFC 4180), and rows written so. A field is any bytes; one that begins with a quote ends
// with one, and holds each quote twice. Spaces belong to fields.

package enum CSVError: Error, Equatable, Sendable {
  /// In the field with this number, counted from 1.
  case quoteInPlainField(Int)
  case textBehindQuote(Int)
  case quoteWithoutEnd(Int)
}

extension CSVError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .quoteInPlainField(let field): "a quote in field \(field), which does not begin with one"
    case .textBehindQuote(let field): "something behind the closing quote of field \(field)"
    case .quoteWithoutEnd(let field): "the quote of field \(field) is not closed"
    }
  }
}

/// The fields of a row, one behind the other in one buffer that is used again for each row.
package struct CSVFields: Sendable {
  package private(set) var bytes: [UInt8] = []
  private var ends: [Int] = []

  package init() {}

  package var count: Int { ends.count }

  package subscript(index: Int) -> ArraySlice<UInt8> { bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]] }

  /// Takes the row that stands at `row`, without its line's end.
  package mutating func parse(_ source: [UInt8], _ row: Range<Int>, delimiter: UInt8) throws(CSVError) {
    bytes.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
    var index = row.lowerBound
    while true {
      if index < row.upperBound, source[index] == CSVFields.quote {
        index = try parseQuoted(source, index + 1..<row.upperBound)
      } else {
        var end = index
        while end < row.upperBound, source[end] != delimiter {
          if source[end] == CSVFields.quote { throw .quoteInPlainField(ends.count + 1) }
          end += 1
        }
        bytes.append(contentsOf: source[index..<end])
        index = end
      }
      ends.append(bytes.count)
      guard index < row.upperBound else { return }
      guard source[index] == delimiter else { throw .textBehindQuote(ends.count) }
      index += 1
    }
  }

  /// Takes a field from behind its first quote. - Returns: The place behind its last one.
  private mutating func parseQuoted(_ source: [UInt8], _ rest: Range<Int>) throws(CSVError) -> Int {
    var start = rest.lowerBound
    while true {
      var end = start
      while end < rest.upperBound, source[end] != CSVFields.quote { end += 1 }
      guard end < rest.upperBound else { throw .quoteWithoutEnd(ends.count + 1) }
      bytes.append(contentsOf: source[start..<end])
      guard end + 1 < rest.upperBound, source[end + 1] == CSVFields.quote else { return end + 1 }
      bytes.append(CSVFields.quote)
      start = end + 2
    }
  }

  private static let quote = UInt8(ascii: "\"")
}

extension [UInt8] {
  /// Appends a field, in quotes where it must be: around quotes, line ends, the delimiter, spaces at its ends, and `#` at
  /// its beginning.
  package mutating func appendCSVField(_ field: ArraySlice<UInt8>, delimiter: UInt8 = UInt8(ascii: ",")) {
    let quote = UInt8(ascii: "\"")
    let isPlain =
      !field.contains { $0 == quote || $0 == delimiter || $0 == 0x0A || $0 == 0x0D }
      && field.first != 0x20 && field.last != 0x20 && field.first != UInt8(ascii: "#")
    guard !isPlain else { return append(contentsOf: field) }
    append(quote)
    for byte in field {
      if byte == quote { append(quote) }
      append(byte)
    }
    append(quote)
  }
}
