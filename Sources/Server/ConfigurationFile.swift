// A configuration file: `key = value` lines, blank lines, and comments from a `#` to the end of the line. A key stands
// in it at most once.

extension Configuration {
  /// Applies a file. - Throws: the first mistake; what stood before it is applied.
  package mutating func apply(file text: String, path: String) throws(ConfigurationError) {
    var lines: [String: Int] = [:]
    for (number, line) in Configuration.numberedLines(text) {
      try apply(line: line, number: number, path: path, lines: &lines)
    }
  }

  /// Everything that is wrong with a file as far as it alone can tell, one text per mistake, in the order of lines: what
  /// is missing may come from flags.
  package static func mistakes(inFile text: String, path: String) -> [String] {
    var configuration = Configuration()
    var lines: [String: Int] = [:]
    var mistakes: [(line: Int, text: String)] = []
    for (number, line) in numberedLines(text) {
      do throws(ConfigurationError) {
        try configuration.apply(line: line, number: number, path: path, lines: &lines)
      } catch {
        mistakes.append((number, error.description))
      }
    }
    for (key, error) in configuration.contradictions() {
      mistakes.append((lines[key] ?? 0, "\(configuration.source(of: key)): \(error)"))
    }
    return mistakes.sorted { $0.line < $1.line }.map(\.text)
  }

  private mutating func apply(
    line: Substring, number: Int, path: String, lines: inout [String: Int]
  ) throws(ConfigurationError) {
    let source = ConfigurationSource.file(path: path, line: number)
    let content = trimmed(line.prefix { $0 != "#" })
    if content.isEmpty { return }
    let key = try apply(assignment: content, from: source)
    if let first = lines[key] { throw .setTwice(key, firstLine: first, source) }
    lines[key] = number
  }

  /// Lines with their numbers, whatever ends them.
  private static func numberedLines(_ text: String) -> [(number: Int, text: Substring)] {
    text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated().map { ($0 + 1, $1) }
  }
}
