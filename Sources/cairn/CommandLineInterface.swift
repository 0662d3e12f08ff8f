import Platform
import Primitives
import Server

// From words to a subcommand to an exit code: 0 done, 1 not done (one line on standard error says why), 2 not
// understood (and what to type next).

enum CommandLineInterface {
  static let version = Release.version

  static let subcommands: [Subcommand] = [
    localCommand, nodeCommand, readyCommand, putCommand, getCommand, deleteCommand, keysCommand, importCommand,
    exportCommand, backupCommand, restoreCommand, clusterCommand, ringCommand, hintsCommand, antiEntropyCommand,
    tombstonesCommand, quarantineCommand, storeCommand, storyboardCommand, configCommand, benchCommand, simulateCommand,
  ]

  /// - Parameter words: The arguments; nil in place of one that is not UTF-8.
  static func run(_ words: [String?]) -> Int32 {
    do {
      for (index, word) in words.enumerated() where word == nil {
        throw UsageError(
          problem: "argument \(index + 1) is not UTF-8", hint: "give bytes as @FILE, or with - on standard input")
      }
      return try dispatch(words.compactMap { $0 })
    } catch let error as UsageError {
      let hints = ([error.hint] + error.moreHints).map { "  \(oneLine($0))\n" }
      writeToStandardError("cairn: \(oneLine(error.problem))\n\(hints.joined())")
      return 2
    } catch let error as Failure {
      writeToStandardError("cairn: \(oneLine(error.message))\n")
      return 1
    } catch {
      writeToStandardError("cairn: \(oneLine("\(error)"))\n")
      return 1
    }
  }

  private static func dispatch(_ words: [String]) throws -> Int32 {
    guard let first = words.first else {
      throw UsageError(
        problem: "no subcommand is given; all of them are in cairn --help", hint: "start here:",
        moreHints: startHere.map { "  " + $0 })
    }
    if first == "--help" || first == "-h" || words == ["help"] {
      try printOut(help)
      return 0
    }
    if first == "--version" {
      try printOut("cairn \(version)\n")
      return 0
    }
    let isAsking = first == "help"
    return try run(isAsking ? words.dropFirst() + ["--help"] : words, among: subcommands, path: "cairn")
  }

  private static func run(_ words: [String], among subcommands: [Subcommand], path: String) throws -> Int32 {
    guard let name = words.first else {
      let names = subcommands.map(\.name).joined(separator: ", ")
      throw UsageError(problem: "\(path) needs one of: \(names)", hint: "see \(path) --help")
    }
    guard let subcommand = subcommands.first(where: { $0.name == name }) else {
      throw unknownWord(words, among: subcommands, path: path)
    }
    let path = "\(path) \(name)"
    let rest = Array(words.dropFirst())
    let beforeOperands = rest.prefix { $0 != "--" }
    // A group that takes operands itself: what names no child is one.
    let isOperand =
      subcommand.runsWithoutChild && !subcommand.operands.isEmpty
      && !subcommand.children.contains { $0.name == rest.first }
    let askedOfGroup = subcommand.children.isEmpty || isOperand || beforeOperands.first?.hasPrefix("-") == true
    let asksByWord = !subcommand.children.isEmpty && rest == ["help"]
    if asksByWord || askedOfGroup && (beforeOperands.contains("--help") || beforeOperands.contains("-h")) {
      try printOut(subcommand.help(path: path))
      return 0
    }
    let isGroup = !subcommand.children.isEmpty
    if isGroup, !isOperand, !subcommand.runsWithoutChild || rest.first?.hasPrefix("-") == false {
      return try run(rest, among: subcommand.children, path: path)
    }
    if let runWords = subcommand.runWords { return try runWords(rest) }
    return try subcommand.run(try Arguments(rest, options: subcommand.options, command: path))
  }

  private static var help: String {
    let rows = aligned(subcommands.map { [$0.name, $0.summary] }, indent: "  ")
    return """
      cairn: a replicated key-value store whose deletes stay deleted

      usage: cairn SUBCOMMAND [options]

      subcommands:
      \(rows.joined(separator: "\n"))

      options:
        --help     print this help; after a subcommand, the help of that
        --version  print the version

      start here:
      \(startHere.map { "  " + $0 }.joined(separator: "\n"))

      """
  }

  /// The first three commands of somebody who has just built it.
  static let startHere = ["cairn local up", "cairn put fruit apple red", "cairn get fruit apple"]
}
