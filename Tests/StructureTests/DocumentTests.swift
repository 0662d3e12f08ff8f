import Testing

// Documents about the code say what the code says. Every check is also shown something that breaks it.

@Suite struct DocumentTests {
  private static func documents() throws -> [SourceFile] {
    [SourceFile(path: "README.md", text: try Repository.text("README.md"))]
      + (try Repository.files(below: "Docs", suffix: ".md"))
  }

  /// The tour: the page where it begins, and one for each part.
  private static func tour() throws -> [SourceFile] {
    try documents().filter { $0.path.hasPrefix("Docs/Tour") }
  }

  @Test("every excerpt of code in the documentation stands in the file that it names")
  func excerpts() throws {
    for document in try Self.documents() {
      for excerpt in Excerpt.all(in: document) { #expect(excerpt.problem == nil) }
    }
  }

  @Test("the tour shows an excerpt of every module")
  func everyModule() throws {
    let quoted = try Self.tour().flatMap { Excerpt.all(in: $0) }.compactMap(\.source)
    for module in ModuleGraph.layers.keys.sorted() {
      #expect(quoted.contains { $0.hasPrefix("Sources/\(module)/") }, "no excerpt of \(module)")
    }
  }

  @Test("an excerpt that the code has left behind is found, and named")
  func staleExcerpts() {
    func problem(_ lines: String..., above: String = "[`X`](../Tests/StructureTests/Excerpts.swift)") -> String? {
      let text = "text\n\(above)\n```swift\n\(lines.joined(separator: "\n"))\n```\nmore\n"
      let excerpts = Excerpt.all(in: SourceFile(path: "Docs/" + "Bad.md", text: text))
      #expect(excerpts.count == 1)
      return excerpts.first?.problem
    }
    let first = "struct Excerpt {"
    let second = "  let document: String"
    let third = "enum Mentions {"
    #expect(problem(first, second) == nil)
    #expect(problem(first, "…", third) == nil)
    #expect(problem(first, third)?.hasPrefix("Docs/" + "Bad.md:3: Tests/StructureTests/Excerpts.swift ") == true)
    #expect(problem(third, "…", first)?.contains("order, the lines from '\(first)'") == true, "in another order")
    #expect(problem(first, "struct Excerpt")?.hasSuffix(" does not say 'struct Excerpt'") == true, "part of a line")
    #expect(problem("  " + first) != nil, "other spaces")
    #expect(problem(first, "…") != nil, "nothing behind an omission")
    #expect(problem(first, above: "no link") != nil)
    #expect(problem(first, above: "[x](Nowhere.swift)")?.contains("is not there") == true)
  }

  @Test("paths and names of code in the documentation are there")
  func mentions() throws {
    for document in try Self.documents() {
      for path in Mentions.paths(in: document) {
        #expect(Repository.exists(path), "\(document.path) names \(path)")
      }
      for (name, file) in Mentions.symbols(in: document) {
        let text = try Repository.text(file)
        #expect(Mentions.contains(name, in: text), "\(document.path): \(file) has no '\(name)'")
      }
    }
  }

  @Test("paths and names are found as documents write them")
  func mentionsFound() {
    let text = """
      `Sources/Storage` and `Tests/X/Y.swift`, not Sources/Z nor `Tests/<Module>Tests`;
      [`Node.flush`](../Sources/Replication/Node.swift), [`Node.swift`](../Sources/Replication/Node.swift), [x](y.swift)
      """
    let document = SourceFile(path: "Docs/" + "Bad.md", text: text)
    #expect(Mentions.paths(in: document) == ["Sources/Storage", "Tests/X/Y.swift"])
    #expect(Mentions.symbols(in: document).map(\.name) == ["flush"])
    #expect(Mentions.symbols(in: document).map(\.file) == ["Sources/Replication/Node.swift"])
    #expect(Mentions.contains("flush", in: "func flush(at"))
    #expect(!Mentions.contains("flush", in: "flushed, reflush"))
  }

  @Test("scenarios that the page about deletes names are played by a test")
  func scenarios() throws {
    let named = Set(try Repository.text("Docs/Delete.md").matches(of: /\bP\d+\b/).map { String($0.output) })
    #expect(named.count > 10)
    let tests = try Repository.files(below: "Tests", suffix: ".swift").map(\.text).joined()
    for name in named.sorted() { #expect(tests.contains("(\"\(name) "), "no test plays \(name)") }
  }

  @Test("the words of the glossary are sorted, each once")
  func glossary() throws {
    let words = try Repository.text("Docs/Glossary.md").split(separator: "\n")
      .filter { $0.hasPrefix("## ") }.map { $0.dropFirst(3).lowercased() }
    #expect(words.count > 80)
    for (word, next) in zip(words, words.dropFirst()) { #expect(word < next) }
  }
}
