// A subcommand as data: the help, the parser and the dispatcher all read the same table.

struct Subcommand: Sendable {
  let name: String
  /// One line for the list of subcommands.
  let summary: String
  /// What follows the name in a usage line, options aside.
  var operands = ""
  /// More than the summary says, for `--help`.
  var details: [String] = []
  var options: [Option] = []
  /// Command lines that work as they stand, without `cairn`.
  var examples: [String] = []
  /// The subcommands of a group.
  var children: [Subcommand] = []
  /// A group that does something itself when no subcommand follows it; otherwise a group does nothing.
  var runsWithoutChild = false
  /// Does the work and returns the exit code.
  var run: @Sendable (Arguments) throws -> Int32 = { _ in 0 }
  /// In place of `run`, for a subcommand that reads its words itself.
  var runWords: (@Sendable ([String]) throws -> Int32)?

  static let helpOption = Option("--help", help: "print this help")

  func help(path: String) -> String {
    let child = children.isEmpty ? "" : runsWithoutChild ? " [SUBCOMMAND]" : " SUBCOMMAND"
    var lines = ["usage: \(path)\(child)\(operands.isEmpty ? "" : " " + operands)"]
    if !options.isEmpty { lines[0] += " [options]" }
    lines += ["", summary.prefix(1).uppercased() + summary.dropFirst() + "."]
    if !details.isEmpty { lines += [""] + details }
    if !children.isEmpty {
      lines += ["", "subcommands:"] + aligned(children.map { [$0.name, $0.summary] }, indent: "  ")
    }
    let rows = (options + [Subcommand.helpOption]).map { option in
      [option.name + (option.value.map { " " + $0 } ?? ""), option.help + (option.repeats ? " (may be repeated)" : "")]
    }
    lines += ["", "options:"] + aligned(rows, indent: "  ")
    if !examples.isEmpty { lines += ["", "examples:"] + examples.map { "  cairn " + $0 } }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// Rows with their columns padded to one width each; nothing is padded after the last.
func aligned(_ rows: [[String]], indent: String = "") -> [String] {
  var widths: [Int] = []
  for row in rows {
    for (column, cell) in row.enumerated() {
      if column == widths.count { widths.append(0) }
      widths[column] = max(widths[column], cell.count)
    }
  }
  return rows.map { row in
    var line = indent
    for (column, cell) in row.enumerated() {
      line += cell
      if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
    }
    return line
  }
}
