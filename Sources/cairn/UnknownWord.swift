import Primitives

// A word that is no subcommand: what was probably meant.

/// What people type who know other tools, and what it is called here.
private let otherWords = [
  "set": "put", "write": "put", "read": "get", "del": "delete", "rm": "delete", "remove": "delete", "run": "local up",
  "handoff": "hints", "handoffs": "hints", "drain-hints": "hints --drain",
  "aae": "anti-entropy", "aae-status": "anti-entropy", "antientropy": "anti-entropy", "scrub": "anti-entropy",
  "-v": "--version", "-V": "--version", "version": "--version",
]

/// The usage error for `words`, the first of which is none of `subcommands`.
/// - Parameter path: What stands before it: `cairn`, or `cairn local`.
func unknownWord(_ words: [String], among subcommands: [Subcommand], path: String) -> UsageError {
  let name = words[0]
  let isOption = name.hasPrefix("-")
  let problem = "\(path) has no \(isOption ? "option" : "subcommand") '\(name)'"
  return UsageError(problem: problem, hint: guess(words, among: subcommands, path: path) ?? "see \(path) --help")
}

private func guess(_ words: [String], among subcommands: [Subcommand], path: String) -> String? {
  let name = words[0]
  if path == "cairn", let known = otherWords[name] { return "did you mean cairn \(known)?" }
  // One group deeper: `cairn up`.
  let deeper = subcommands.filter { group in group.children.contains { $0.name == name } }
  if !deeper.isEmpty { return "did you mean \(deeper.map { "\(path) \($0.name) \(name)" }.joined(separator: " or "))?" }
  guard name.hasPrefix("-") else {
    guard let meant = nearest(to: name, among: subcommands.map(\.name)) else { return nil }
    let children = subcommands.first { $0.name == meant }?.children ?? []
    let child = words.dropFirst().first.flatMap { nearest(to: $0, among: children.map(\.name)) }
    return "did you mean \(path) \(meant)\(child.map { " " + $0 } ?? "")?"
  }
  if let option = nearest(to: name, among: path == "cairn" ? ["--help", "--version"] : ["--help"]) {
    return "did you mean \(path) \(option)?"
  }
  guard let later = words.dropFirst().first(where: { word in subcommands.contains { $0.name == word } }) else {
    return nil
  }
  return "options stand behind the subcommand: \(path) \(later) \(name)"
}
