// The body of a request or response: none, of a stated length, in chunks (RFC 9112, 7.1), or until the connection
// closes. Trailers and chunk extensions are checked for form and ignored.

struct HTTPBody: Sendable {
  private enum State {
    case length(Int)
    case chunkSize
    case chunk(Int)
    case chunkEnd
    case trailers(Int)
    case untilClose
    case done
  }

  private var state: State
  /// Body bytes read so far.
  private var total = 0
  private let bytesMax: Int

  private init(_ state: State, bytesMax: Int = HTTPLimits.bodyBytesMax) {
    self.state = state
    self.bytesMax = bytesMax
  }

  static let none = HTTPBody(.done)
  static let chunked = HTTPBody(.chunkSize)
  static let untilClose = HTTPBody(.untilClose)
  static func length(_ count: Int) -> HTTPBody { HTTPBody(count == 0 ? .done : .length(count)) }

  /// The same body without a maximum, for whoever does not keep what is read.
  var unbounded: HTTPBody { HTTPBody(state, bytesMax: .max) }

  var isDone: Bool { if case .done = state { true } else { false } }
  var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

  /// Reads what is there, appending the body's bytes to `sink` if they are to be kept. True when the body is complete.
  mutating func read(_ input: inout InputBuffer, into sink: inout [UInt8], keep: Bool) throws(HTTPProblem) -> Bool {
    while true {
      switch state {
      case .done: return true
      case .untilClose:
        total += input.take(atMost: bytesMax - total, into: &sink, keep: keep)
        if total == bytesMax, input.unparsed > 0 { throw .bodyTooLong }
        return false
      case .length(let left):
        let rest = left - input.take(atMost: left, into: &sink, keep: keep)
        state = rest == 0 ? .done : .length(rest)
        if rest > 0 { return false }
      case .chunk(let left):
        let rest = left - input.take(atMost: left, into: &sink, keep: keep)
        state = rest == 0 ? .chunkEnd : .chunk(rest)
        if rest > 0 { return false }
      case .chunkSize, .chunkEnd, .trailers:
        guard try readLine(&input) else { return false }
      }
    }
  }

  /// One line of the chunked coding; false when it is not all there.
  private mutating func readLine(_ input: inout InputBuffer) throws(HTTPProblem) -> Bool {
    switch state {
    case .chunkSize:
      guard let line = try line(&input, max: HTTPLimits.chunkLineBytesMax, .malformed("chunk size")) else {
        return false
      }
      let size = try chunkSize(input.bytes, line)
      guard size <= bytesMax - total else { throw .bodyTooLong }
      total += size
      state = size == 0 ? .trailers(0) : .chunk(size)
    case .chunkEnd:
      guard try line(&input, max: 0, .malformed("chunk end")) != nil else { return false }
      state = .chunkSize
    case .trailers(let used):
      let left = max(HTTPLimits.trailerBytesMax - used - 2, 0)
      let tooLong = HTTPProblem(status: 431, text: "Trailers are longer than \(HTTPLimits.trailerBytesMax) bytes")
      guard let line = try line(&input, max: left, tooLong) else { return false }
      guard !line.isEmpty else {
        state = .done
        break
      }
      guard headerName(input.bytes, line) != nil else { throw .malformed("trailer") }
      state = .trailers(used + line.count + 2)
    case .length, .chunk, .untilClose, .done: break
    }
    input.dropParsed()
    return true
  }

  private func line(
    _ input: inout InputBuffer, max: Int, _ tooLong: HTTPProblem
  ) throws(HTTPProblem) -> Range<Int>? {
    do throws(InputBuffer.LineError) {
      return try input.nextLine(contentMax: max, tabs: true)
    } catch {
      throw error == .tooLong ? tooLong : .malformed("chunked body")
    }
  }

  private func chunkSize(_ bytes: [UInt8], _ line: Range<Int>) throws(HTTPProblem) -> Int {
    let end = bytes[line].firstIndex(of: UInt8(ascii: ";")) ?? line.upperBound
    // Blanks may stand between the size and its extensions, and nowhere else.
    var digits = line.lowerBound..<end
    if end < line.upperBound { digits = digits.lowerBound..<HTTPText.trimmed(bytes, digits).upperBound }
    guard digits.lowerBound <= digits.upperBound, let size = HTTPText.hexadecimal(bytes, digits) else {
      throw .malformed("chunk size")
    }
    return size
  }
}

/// The name of a header line: a token that ends with a colon; nil for anything else (blanks before the colon, a folded
/// line, no colon).
func headerName(_ bytes: [UInt8], _ line: Range<Int>) -> Range<Int>? {
  var index = line.lowerBound
  while index < line.upperBound, HTTPText.isToken(bytes[index]) { index += 1 }
  guard index > line.lowerBound, index < line.upperBound, bytes[index] == UInt8(ascii: ":") else { return nil }
  return line.lowerBound..<index
}
