import Platform
import Primitives

// Words on the command line, told apart by a table: options with values, flags, and the rest. `--name value` and
// `--name=value` mean the same; after `--` nothing is an option; `-` alone is none either.

/// One option of a subcommand.
struct Option: Sendable {
  /// With its dashes: `--url`.
  let name: String
  /// What its value is called in the help; nil for a flag.
  let value: String?
  let help: String
  var repeats = false

  init(_ name: String, _ value: String? = nil, repeats: Bool = false, help: String) {
    self.name = name
    self.value = value
    self.help = help
    self.repeats = repeats
  }
}

/// The command line was wrong: what is, and what to type next. Exit code 2.
struct UsageError: Error, Equatable {
  let problem: String
  let hint: String
  /// Further lines, where one hint is not enough.
  var moreHints: [String] = []
}

/// The command was understood and did not succeed: one line that says why. Exit code 1.
struct Failure: Error, Equatable {
  let message: String
  init(_ message: String) { self.message = message }
}

/// Writes a command's result. - Throws: `Failure` when not all of it could be written.
func printOut(_ text: String) throws(Failure) {
  do throws(Errno) {
    try Console.write(Array(text.utf8))
  } catch {
    throw Failure("cannot write to standard output: \(error)")
  }
}

/// `word` as a shell reads it as one word.
func shellQuoted(_ word: String) -> String {
  let isPlain = word.unicodeScalars.allSatisfy {
    $0.properties.isAlphabetic || "0123456789/._-+,:=@%".unicodeScalars.contains($0)
  }
  if isPlain && !word.isEmpty { return word }
  return "'" + word.map { $0 == "'" ? "'\\''" : String($0) }.joined() + "'"
}

struct Arguments: Equatable {
  private(set) var positionals: [String] = []
  private var values: [String: [String]] = [:]
  private var flags: Set<String> = []
  /// The subcommand as it was typed, and where a usage error sends its reader.
  let command: String

  /// - Parameter command: The subcommand as it was typed, `cairn local up`.
  init(_ words: [String], options: [Option], command: String) throws(UsageError) {
    self.command = command
    var index = 0
    while index < words.count {
      let word = words[index]
      index += 1
      if word == "--" {
        positionals += words[index...]
        return
      }
      guard word.hasPrefix("-"), word != "-" else {
        positionals.append(word)
        continue
      }
      let sides = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let option = try Arguments.option(sides[0], among: options, command: command)
      guard option.value != nil else {
        guard sides.count == 1 else { throw problem("\(option.name) takes no value") }
        flags.insert(option.name)
        continue
      }
      if sides.count == 1 && index == words.count {
        throw problem("\(option.name) needs a value: \(option.name) \(option.value!)")
      }
      let value = sides.count == 2 ? sides[1] : words[index]
      if sides.count == 1 { index += 1 }
      if !option.repeats && values[option.name] != nil { throw problem("\(option.name) is given twice") }
      values[option.name, default: []].append(value)
    }
  }

  private static func option(
    _ name: String, among options: [Option], command: String
  ) throws(UsageError) -> Option {
    if let option = options.first(where: { $0.name == name }) { return option }
    let hint = nearest(to: name, among: options.map(\.name)).map { "did you mean \($0)?" } ?? "see \(command) --help"
    throw UsageError(problem: "\(command) has no option \(name)", hint: hint)
  }

  func has(_ flag: String) -> Bool { flags.contains(flag) }
  func value(_ option: String) -> String? { values[option]?.last }
  func allValues(_ option: String) -> [String] { values[option] ?? [] }

  /// The option's value as a number in `range`; nil when it was not given.
  func integer(_ option: String, in range: ClosedRange<Int>) throws(UsageError) -> Int? {
    guard let text = value(option) else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw problem("\(option) is '\(text)', not a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func required(_ option: String) throws(UsageError) -> String {
    guard let value = value(option) else { throw problem("\(option) is missing") }
    return value
  }

  /// A usage error of this subcommand.
  func problem(_ text: String, hint: String? = nil) -> UsageError {
    UsageError(problem: text, hint: hint ?? "see \(command) --help")
  }
}
