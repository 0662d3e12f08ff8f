import Causality
import Client
import Platform
import Protocols
import Server

// `cairn put`, `get` and `delete`: one request each, to the first node that takes it.

let urlOption = Option(
  "--url", "URL", repeats: true, help: "a node; several are tried in turn (default \(ObjectRequest.defaultURL))")

private let whereOptions = [
  urlOption,
  Option("--type", "T", help: "bucket type (default: default)"),
  Option("--timeout", "MS", help: "give up after so many milliseconds"),
]

func quorumOption(_ name: String, _ help: String) -> Option {
  Option("--" + name, "N", help: "\(help): a number from 1, one, quorum or all")
}

private let writeOptions = [
  quorumOption("w", "nodes that must have written it"), quorumOption("dw", "nodes that must have it on disk"),
  quorumOption("pw", "owners that must have written it"),
]

let putCommand = Subcommand(
  name: "put", summary: "store a value under a key", operands: "BUCKET KEY VALUE|@FILE|-",
  details: [
    "The value is the word itself, the bytes of a file (@FILE), or standard input (-). It replaces what was there."
  ],
  options: whereOptions + writeOptions + [
    Option(
      "--content-type", "TYPE",
      help: "what the value is (default: text/plain for a word, else application/octet-stream)"),
    Option("--expires-in", "DURATION", help: "the object is gone after this time: 60s, 5m, 12h, 30d"),
  ],
  examples: [
    "put fruit apple red", "put sessions 17 open --expires-in 60s",
    "put pictures cat @cat.jpg --content-type image/jpeg", "put logs today - < today.log",
  ],
  run: put)

let getCommand = Subcommand(
  name: "get", summary: "print the value of a key", operands: "BUCKET KEY",
  details: [
    "Writes exactly the bytes that were stored. Exit code 1 when there is no such key.",
    "On a terminal it says as well, behind the value, when the object expires, if it does.",
  ],
  options: whereOptions + [
    quorumOption("r", "nodes that must have answered"), quorumOption("pr", "owners that must have answered"),
  ],
  examples: ["get fruit apple", "get pictures cat > cat.jpg"],
  run: get)

let deleteCommand = Subcommand(
  name: "delete", summary: "delete a key", operands: "BUCKET KEY",
  details: ["Exit code 1 when there was no such key."],
  options: whereOptions + writeOptions, examples: ["delete fruit apple"], run: delete)

@Sendable private func put(_ arguments: Arguments) throws -> Int32 {
  guard arguments.positionals.count == 3 else {
    if arguments.positionals.count > 3 { throw splitValue(arguments) }
    throw operandError(arguments, "put needs a BUCKET, a KEY and a VALUE", "cairn put BUCKET KEY VALUE|@FILE|-")
  }
  let word = arguments.positionals[2]
  let isText = word != "-" && !word.hasPrefix("@")
  let type = arguments.value("--content-type") ?? (isText ? "text/plain; charset=utf-8" : "application/octet-stream")
  if word == "@" { throw arguments.problem("@ names no file", hint: "type @FILE, or - for standard input") }
  guard !type.isEmpty && isHeaderText(type) else {
    throw arguments.problem("--content-type is '\(type)', which cannot stand in a header")
  }
  var request = try ObjectRequest(.put, arguments, parameters: ["w", "dw", "pw"])
  request.headers = [("Content-Type", type)]
  if let seconds = try lifetime(arguments) { request.headers.append(("X-Cairn-Expires-In", "\(seconds)")) }
  request.body = try value(word)
  let answer = try request.perform()
  guard answer.response.status == 200 || answer.response.status == 204 else { throw answer.failure }
  return 0
}

/// Whole seconds; nil where nothing is said.
private func lifetime(_ arguments: Arguments) throws(UsageError) -> UInt64? {
  guard let text = arguments.value("--expires-in") else { return nil }
  let most = UInt64(Expiry.lifetimeSecondsMax)
  guard let milliseconds = parseDuration(text), milliseconds > 0, milliseconds % 1000 == 0, milliseconds / 1000 <= most
  else {
    throw arguments.problem("--expires-in is '\(text)', not a time of whole seconds like 60s, 5m, 12h or 30d")
  }
  return milliseconds / 1000
}

@Sendable private func get(_ arguments: Arguments) throws -> Int32 {
  guard arguments.positionals.count == 2 else {
    throw operandError(arguments, "get needs a BUCKET and a KEY", "cairn get BUCKET KEY")
  }
  let answer = try ObjectRequest(.get, arguments, parameters: ["r", "pr"]).perform()
  guard answer.response.status == 200 else { throw answer.failure }
  do {
    try Console.write(answer.response.body)
    // For eyes only: the next prompt gets a line of its own.
    if Console.outputIsTerminal && answer.response.body.last != UInt8(ascii: "\n") { try Console.write([0x0A]) }
    if Console.outputIsTerminal, let expires = answer.response.header("expires") {
      try Console.write(Array("(expires \(expires))\n".utf8))
    }
  } catch {
    throw Failure("cannot write the value: \(error)")
  }
  return 0
}

@Sendable private func delete(_ arguments: Arguments) throws -> Int32 {
  guard arguments.positionals.count == 2 else {
    throw operandError(arguments, "delete needs a BUCKET and a KEY", "cairn delete BUCKET KEY")
  }
  let answer = try ObjectRequest(.delete, arguments, parameters: ["w", "dw", "pw"]).perform()
  guard answer.response.status == 204 || answer.response.status == 200 else { throw answer.failure }
  return 0
}

private func operandError(_ arguments: Arguments, _ problem: String, _ usage: String) -> UsageError {
  let given = arguments.positionals
  let what = given.isEmpty ? "nothing is given" : "given: " + given.map(shellQuoted).joined(separator: " ")
  return arguments.problem("\(problem); \(what)", hint: "usage: \(usage)")
}

/// A value of several words that the shell has taken apart.
private func splitValue(_ arguments: Arguments) -> UsageError {
  let words = arguments.positionals
  let value = shellQuoted(words[2...].joined(separator: " "))
  return arguments.problem(
    "put takes one VALUE, and there are \(words.count - 2)",
    hint: "a value with spaces needs quotes: cairn put \(shellQuoted(words[0])) \(shellQuoted(words[1])) \(value)")
}

private func value(_ word: String) throws -> [UInt8] {
  do throws(Errno) {
    if word == "-" { return try Console.readInput(bytesMax: ObjectRequest.valueBytesMax) }
    guard word.hasPrefix("@") else { return Array(word.utf8) }
    return try FileTree.read(String(word.dropFirst()), bytesMax: ObjectRequest.valueBytesMax)
  } catch {
    let source = word == "-" ? "standard input" : String(word.dropFirst())
    let reason = error == .tooLarge ? "more than \(ObjectRequest.valueBytesMax >> 20) MiB" : "\(error)"
    throw Failure("cannot read the value from \(source): \(reason)")
  }
}
