import Testing

// The architecture, checked: a rule that no test holds is a wish. Every check is also shown something that breaks it.

@Suite struct StructureTests {
  @Test("an import goes to a lower layer, and Package.swift allows it")
  func imports() throws {
    let edges = ModuleGraph.edges(package: try Repository.text("Package.swift"))
    #expect(Set(edges.keys) == Set(ModuleGraph.layers.keys))
    #expect(ModuleGraph.violations(edges: edges) == [])
    let modules = try Repository.names(in: "Sources")
    #expect(Set(modules) == Set(edges.keys), "a directory of Sources for each module, and no other")
    for file in try Repository.files(below: "Sources", suffix: ".swift") {
      #expect(ModuleGraph.violations(in: file, edges: edges) == [])
    }
  }

  @Test("a wrong import is found, however it is written")
  func wrongImports() {
    let edges = ModuleGraph.edges(
      package: """
        module("Primitives", ["CLinux"]),
        module(
          "Storage",
          ["Causality", "Primitives"]),
        // module("Ghost", []),
        .executableTarget(
          name: "cairn",
          dependencies: ["Client"],
        """)
    #expect(
      edges == ["CLinux": [], "Primitives": ["CLinux"], "Storage": ["Causality", "Primitives"], "cairn": ["Client"]])
    #expect(ModuleGraph.violations(edges: ["Storage": ["Cluster", "Server"]]).count == 2)
    #expect(ModuleGraph.violations(edges: ["Nowhere": []]) == ["Nowhere has no layer"])
    for text in [
      "import Glibc", "package import Foundation", "@preconcurrency import Server", "import struct Platform.X",
    ] {
      let file = SourceFile(path: "Sources/Storage/Bad.swift", text: "// comment\n\(text)\n")
      #expect(ModuleGraph.violations(in: file, edges: edges).count == 1, "\(text)")
    }
    let good = SourceFile(path: "Sources/Storage/Good.swift", text: "package import Primitives\n// import Glibc\n")
    #expect(ModuleGraph.violations(in: good, edges: edges) == [])
  }

  @Test("the core reads no clock, is not random, and depends on no hash seed")
  func purity() throws {
    for file in try Repository.files(below: "Sources", suffix: ".swift") where ModuleGraph.core.contains(file.module) {
      #expect(ModuleGraph.impurities(in: file) == [])
    }
  }

  @Test("impurities are found")
  func impurities() {
    for text in ["let now = ContinuousClock.now", "Int.random(in: 0..<3)", "list.shuffled()", "key.hashValue"] {
      let file = SourceFile(path: "Sources/Storage/Bad.swift", text: text)
      #expect(ModuleGraph.impurities(in: file).count == 1, "\(text)")
    }
    let good = SourceFile(
      path: "Sources/Storage/Good.swift", text: "Int.random(in: 0..<3, using: &generator)\n// Hasher()")
    #expect(ModuleGraph.impurities(in: good) == [])
  }

  @Test(
    "what is for the simulator alone is switched on by nobody else: rare branches, and tombstones that go before their round",
    arguments: [("Chaos(", "Chaos()"), ("purgesBeforeRounds =", "var purgesBeforeRounds = false")])
  func switches(word: String, allowed: String) throws {
    for file in try Repository.files(below: "Sources", suffix: ".swift")
    where !file.path.hasPrefix("Sources/Simulation/") {
      for line in file.lines where line.contains(word) {
        #expect(line.contains(allowed), "\(file.path): \(line)")
      }
    }
  }

  @Test("nobody but the simulator switches off a rule of the delete protocol")
  func rules() throws {
    for file in try Repository.files(below: "Sources", suffix: ".swift")
    where !file.path.hasPrefix("Sources/Simulation/") && !file.path.hasPrefix("Sources/cairn/Simul") {
      for line in file.lines { #expect(!line.contains(".without("), "\(file.path): \(line)") }
    }
  }

  @Test("files are short enough to read, open with what they are for, and leave nothing for later")
  func files() throws {
    for directory in ["Sources", "Tests"] {
      for file in try Repository.files(below: directory, suffix: ".swift") {
        #expect(FileRules.violations(in: file) == [])
      }
    }
  }

  @Test("a file that is too long, silent, or unfinished is found")
  func badFiles() {
    let long = String(repeating: "// line\n", count: FileRules.linesMax + 1)
    let later = "// " + "TO" + "DO: later\n"
    let machine = "// header\nlet path = \"/" + "home/x\"\n"
    for text in [long, later, machine, "let x = 1\n"] {
      #expect(
        FileRules.violations(in: SourceFile(path: "Sources/X/Y.swift", text: text)).count == 1, "\(text.prefix(40))")
    }
  }

  @Test("the top level holds only what it must")
  func topLevel() throws {
    let allowed: Set = ["Package.swift", "Sources", "Tests", "Deploy", "Docs", "README.md", "Package.resolved"]
    let extra = try Repository.names(in: "").filter { !$0.hasPrefix(".") && !allowed.contains($0) }
    #expect(extra == [])
  }

  @Test("every link in the documentation leads somewhere, and every document that code cites is there")
  func links() throws {
    let documents =
      [SourceFile(path: "README.md", text: try Repository.text("README.md"))]
      + (try Repository.files(below: "Docs", suffix: ".md"))
    for document in documents {
      for link in Links.relative(in: document) { #expect(Links.problem(link, from: document) == nil) }
    }
    for directory in ["Sources", "Tests"] {
      for suffix in [".swift", ".h", ".c"] {
        for file in try Repository.files(below: directory, suffix: suffix) {
          for cited in Links.cited(in: file) { #expect(Repository.exists(cited), "\(file.path) cites \(cited)") }
        }
      }
    }
  }

  @Test("a dead link is found")
  func deadLinks() {
    let text = "[a](Nowhere.md) [b](https://example.org/x) [c](#no-such-heading) [d](#the-heading)\n# The heading\n"
    let document = SourceFile(path: "Docs/" + "Bad.md", text: text)
    let links = Links.relative(in: document)
    #expect(links == ["Nowhere.md", "#no-such-heading", "#the-heading"])
    #expect(links.map { Links.problem($0, from: document) == nil } == [false, false, true])
  }
}
