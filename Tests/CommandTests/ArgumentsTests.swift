import Testing

@testable import cairn

@Suite struct ArgumentsTests {
  static let options = [
    Option("--url", "URL", repeats: true, help: "a node"), Option("--w", "N", help: "quorum"),
    Option("--json", help: "print JSON"),
  ]

  private func parse(_ words: String...) throws(UsageError) -> Arguments {
    try Arguments(words, options: Self.options, command: "cairn put")
  }

  @Test("options, flags and operands may stand in any order")
  func order() throws {
    let arguments = try parse("--json", "fruit", "--url", "a", "apple", "--url=b", "-", "--w=2")
    #expect(arguments.positionals == ["fruit", "apple", "-"])
    #expect(arguments.allValues("--url") == ["a", "b"])
    #expect(try arguments.integer("--w", in: 1...3) == 2)
    #expect(arguments.has("--json"))
  }

  @Test("after -- nothing is an option, and a value may begin with a dash or hold =")
  func literal() throws {
    #expect(try parse("--", "--json", "--").positionals == ["--json", "--"])
    #expect(try parse("--url", "--json").allValues("--url") == ["--json"])
    #expect(try parse("--url=a=b").allValues("--url") == ["a=b"])
    #expect(try parse("--url=").allValues("--url") == [""])
  }

  @Test("mistakes say what was wrong and what to type")
  func mistakes() throws {
    #expect(throws: UsageError(problem: "cairn put has no option --ulr", hint: "did you mean --url?")) {
      try parse("--ulr", "x")
    }
    #expect(throws: UsageError(problem: "cairn put has no option --nonsense", hint: "see cairn put --help")) {
      try parse("--nonsense")
    }
    #expect(throws: UsageError(problem: "--w needs a value: --w N", hint: "see cairn put --help")) { try parse("--w") }
    #expect(throws: UsageError(problem: "--w is given twice", hint: "see cairn put --help")) {
      try parse("--w", "1", "--w", "2")
    }
    #expect(throws: UsageError(problem: "--json takes no value", hint: "see cairn put --help")) {
      try parse("--json=1")
    }
    let arguments = try parse("--w", "4")
    #expect(throws: UsageError(problem: "--w is '4', not a number from 1 to 3", hint: "see cairn put --help")) {
      try arguments.integer("--w", in: 1...3)
    }
  }

  @Test("a word that is no subcommand is answered with the one that was meant")
  func unknownWords() {
    func hint(_ words: String...) -> String {
      unknownWord(words, among: CommandLineInterface.subcommands, path: "cairn").hint
    }
    #expect(hint("loacl", "up") == "did you mean cairn local up?")
    #expect(hint("loacl", "upp", "--nodes") == "did you mean cairn local up?")
    #expect(hint("loacl") == "did you mean cairn local?")
    #expect(hint("up") == "did you mean cairn local up?")
    #expect(hint("status") == "did you mean cairn local status or cairn cluster status?")
    #expect(hint("set", "a", "b", "c") == "did you mean cairn put?")
    #expect(hint("-v") == "did you mean cairn --version?" && hint("--hepl") == "did you mean cairn --help?")
    #expect(hint("--json", "ring") == "options stand behind the subcommand: cairn ring --json")
    #expect(hint("frobnicate") == "see cairn --help" && hint("--frobnicate", "x") == "see cairn --help")
    let local = CommandLineInterface.subcommands.first { $0.name == "local" }!
    #expect(unknownWord(["upp"], among: local.children, path: "cairn local").hint == "did you mean cairn local up?")
    #expect(unknownWord(["set"], among: local.children, path: "cairn local").hint == "see cairn local --help")
  }

  @Test("every subcommand has help with a usage line, and its examples name it")
  func help() {
    for subcommand in CommandLineInterface.subcommands {
      for one in [subcommand] + subcommand.children {
        let help = one.help(path: "cairn \(one.name)")
        #expect(help.hasPrefix("usage: cairn \(one.name)") && help.contains("--help"))
        #expect(!one.examples.isEmpty && one.examples.allSatisfy { $0.contains(one.name) || !one.children.isEmpty })
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 200 })
      }
    }
  }

  @Test("a path is printed so that a shell reads it as one word")
  func quoting() {
    for word in ["d2", "/a/b.c", "n1=127.0.0.1:1", "100%", "ö"] { #expect(shellQuoted(word) == word) }
    #expect(shellQuoted("c d") == "'c d'")
    #expect(shellQuoted("it's $HOME") == "'it'\\''s $HOME'")
    #expect(shellQuoted("") == "''")
    for word in ["~", "a;b", "a*", "a\nb", "(a)", "a&", "\"", "\\", "#a", "!"] {
      #expect(shellQuoted(word) == "'\(word)'")
    }
  }

  @Test("an empty --data is refused, and a suggested command repeats --data as it must be typed")
  func data() throws {
    let options = [Option("--data", "DIR", help: "where")]
    func arguments(_ words: String...) throws(UsageError) -> Arguments {
      try Arguments(words, options: options, command: "cairn local up")
    }
    #expect(throws: UsageError.self) { try arguments("--data", "").localDirectory() }
    #expect(try arguments("--data", "/a b/").localDirectory() == "/a b")
    #expect(try arguments("--data=c d").dataSuffix == " --data 'c d'")
    #expect(try arguments().dataSuffix == "")
  }

  @Test("a quorum is a number from 1 to 255, one, quorum or all")
  func quorums() {
    for text in ["1", "255", "one", "quorum", "all"] { #expect(ObjectRequest.isQuorum(text), "\(text)") }
    for text in ["0", "256", "-1", "+1", "", "One", "1.5", "many", "default", "99999999999999999999"] {
      #expect(!ObjectRequest.isQuorum(text), "\(text)")
    }
  }

  @Test("of a log the last line is told, but not what a usage error tells to type")
  func lastErrors() {
    #expect(
      lastError("1 info n1 starting\ncairn: partitions = 63\n  see cairn node --help\n") == "cairn: partitions = 63")
    #expect(lastError("cairn: old\ncairn node: new\n") == "cairn node: new")
    #expect(lastError("cairn node: old\nFatal error: b\n") == "Fatal error: b")
    #expect(lastError("\n") == nil)
  }

  @Test("columns are padded to one width each")
  func columns() {
    #expect(aligned([["A", "LONG"], ["abc", "d", "e"]], indent: " ") == [" A    LONG", " abc  d     e"])
  }
}
