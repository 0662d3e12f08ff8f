// Code that documents quote. A quotation that the code has left behind is worse than none, so every fenced block of
// Swift or C must stand in a file as it stands in the document. The line above the fence links to that file.

/// One quotation.
struct Excerpt {
  let document: String
  /// Of its opening fence, counted from 1.
  let line: Int
  /// The quoted file, from the repository's root; nil when the line above the fence links to none.
  let source: String?
  /// Lines that follow each other in the file. Between two parts the document has a line `…`.
  let parts: [[Substring]]

  static let fences = ["```swift", "```c"]
  static let omission = "…"

  static func all(in document: SourceFile) -> [Excerpt] {
    var excerpts: [Excerpt] = []
    let lines = document.lines
    var index = 0
    while index < lines.count {
      guard let end = lines[(index + 1)...].firstIndex(of: "```"), fences.contains(String(lines[index])) else {
        index += 1
        continue
      }
      let target = index > 0 ? lines[index - 1].firstMatch(of: /\]\(([^)\s]+)\)/).map { String($0.output.1) } : nil
      let parts = lines[index + 1..<end].split(separator: omission[...], omittingEmptySubsequences: false)
      excerpts.append(
        Excerpt(
          document: document.path, line: index + 1, source: target.map { Links.resolved($0, from: document.path) },
          parts: parts.map(Array.init)))
      index = end + 1
    }
    return excerpts
  }

  /// Why this is no quotation of the file that it names; nil when it is one. One line that names the excerpt.
  var problem: String? {
    let name = "\(document):\(line)"
    guard let source else { return "\(name): the line above the excerpt links to no file" }
    guard let text = try? Repository.text(source) else { return "\(name): \(source) is not there" }
    let file = SourceFile(path: source, text: text)
    guard let part = firstMissing(from: file) else { return nil }
    guard let line = part.first(where: { !file.lines.contains($0) }) else {
      return "\(name): \(source) does not say together, or in this order, the lines from '\(part.first ?? "")' on"
    }
    return "\(name): \(source) does not say '\(line)'"
  }

  /// The first part that does not stand in the file behind the one before it.
  func firstMissing(from file: SourceFile) -> [Substring]? {
    var rest = file.lines[...]
    for part in parts {
      guard !part.isEmpty, let range = rest.firstRange(of: part) else { return part }
      rest = rest[range.upperBound...]
    }
    return nil
  }
}

/// What documents say of the code outside quotations.
enum Mentions {
  /// Files and directories of the sources and tests, as documents write them in backticks. Names with a placeholder,
  /// like those of all test modules at once, are none.
  static func paths(in document: SourceFile) -> [String] {
    document.text.matches(of: /`((?:Sources|Tests)\/[^`\s]*)`/).map { String($0.output.1) }
      .filter { !$0.contains("<") && !$0.contains("*") }
  }

  /// Links to a file of Swift or C whose text is a name in backticks: the name, and the file from the root.
  static func symbols(in document: SourceFile) -> [(name: String, file: String)] {
    document.text.matches(of: /\[`([A-Za-z_.]\w*(?:\.\w+)*)`\]\(([^)\s]+\.(?:swift|c|h))\)/).compactMap { match in
      let name = match.output.1.split(separator: ".").last.map(String.init) ?? ""
      // A file's own name says nothing of what is in it.
      if ["swift", "c", "h"].contains(name) { return nil }
      return (name, Links.resolved(String(match.output.2), from: document.path))
    }
  }

  /// True when the name stands in the text as a word of its own.
  static func contains(_ name: String, in text: String) -> Bool {
    text.ranges(of: name).contains { range in
      let isWord = { (character: Character) in character.isLetter || character.isNumber || character == "_" }
      let before = range.lowerBound == text.startIndex ? nil : text[text.index(before: range.lowerBound)]
      let after = range.upperBound == text.endIndex ? nil : text[range.upperBound]
      return !(before.map(isWord) ?? false) && !(after.map(isWord) ?? false)
    }
  }
}
