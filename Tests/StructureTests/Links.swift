// Links of Markdown documents, and documents that comments cite.

enum Links {
  /// Targets of `[text](target)` that are not on another site.
  static func relative(in document: SourceFile) -> [String] {
    document.text.matches(of: /\]\(([^)\s]+)\)/).map { String($0.output.1) }.filter { !$0.contains("://") }
  }

  /// `Docs/….md` as written in comments and messages.
  static func cited(in file: SourceFile) -> [String] {
    file.text.matches(of: /Docs\/[A-Za-z\/]+\.md/).map { String($0.output) }
  }

  /// Why the link leads nowhere; nil when it does not.
  static func problem(_ link: String, from document: SourceFile) -> String? {
    let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    var target = document
    if !parts[0].isEmpty {
      let path = resolved(parts[0], from: document.path)
      guard Repository.exists(path) else { return "\(document.path) links to \(link): \(path) is not there" }
      guard parts.count == 2 else { return nil }
      guard let text = try? Repository.text(path) else { return "\(document.path) links into \(path)" }
      target = SourceFile(path: path, text: text)
    }
    guard parts.count == 2 else { return nil }
    return anchors(of: target).contains(parts[1]) ? nil : "\(document.path) links to \(link): no such heading"
  }

  /// A relative link's target, from the repository's root.
  static func resolved(_ path: String, from document: String) -> String {
    var parts = document.split(separator: "/").dropLast().map(String.init)
    for part in path.split(separator: "/") {
      if part == ".." { _ = parts.popLast() } else if part != "." { parts.append(String(part)) }
    }
    return parts.joined(separator: "/")
  }

  /// Headings as they are linked to: lower case, spaces as hyphens, punctuation left out.
  private static func anchors(of document: SourceFile) -> Set<String> {
    Set(
      document.lines.filter { $0.hasPrefix("#") }.map { line in
        String(
          line.drop { $0 == "#" || $0 == " " }.lowercased().compactMap { character -> Character? in
            if character == " " { return "-" }
            return character.isLetter || character.isNumber || character == "-" || character == "_" ? character : nil
          })
      })
  }
}
