import Primitives

// The formats of files that are imported and exported, and what the command line says of them.

enum BulkFormat: String, Equatable, Sendable {
  case jsonl, csv

  static let names = "jsonl or csv"

  /// By the end of a file's name. What was rejected of a file keeps its name in front: `users.csv.rejects`.
  init?(path: String) {
    var name = path.lowercased()[...]
    while name.hasSuffix(RejectsFile.suffix) { name = name.dropLast(RejectsFile.suffix.count) }
    if [".jsonl", ".ndjson", ".json"].contains(where: name.hasSuffix) {
      self = .jsonl
    } else if [".csv", ".tsv"].contains(where: name.hasSuffix) {
      self = .csv
    } else {
      return nil
    }
  }

  /// What `--format` says, or the file's name.
  static func chosen(_ arguments: Arguments, path: String) throws(UsageError) -> BulkFormat {
    if let name = arguments.value("--format") {
      guard let format = BulkFormat(rawValue: name.lowercased()) else {
        let hint = nearest(to: name, among: ["jsonl", "csv"]).map { "did you mean --format \($0)?" }
        throw arguments.problem("--format is '\(name)', not \(names)", hint: hint)
      }
      return format
    }
    guard let format = BulkFormat(path: path) else {
      let place = path == "-" ? "a pipe has no name that tells its format" : "the name '\(path)' tells no format"
      throw arguments.problem(place, hint: "add --format jsonl or --format csv")
    }
    return format
  }
}

/// The byte between the fields of a row.
enum Delimiter {
  static let comma = UInt8(ascii: ",")
  static let tab: UInt8 = 0x09

  /// What `--delimiter` says; without it, what the file's name says.
  static func chosen(_ arguments: Arguments, path: String) throws(UsageError) -> UInt8 {
    guard let text = arguments.value("--delimiter") else {
      return path.lowercased().hasSuffix(".tsv") ? tab : comma
    }
    if text == "tab" || text == "\\t" { return tab }
    let bytes = Array(text.utf8)
    guard bytes.count == 1, bytes[0] < 0x80, ![0x0A, 0x0D, UInt8(ascii: "\"")].contains(bytes[0]) else {
      throw arguments.problem(
        "--delimiter is '\(text)', not one ASCII character (or 'tab'), and no quote or line end")
    }
    return bytes[0]
  }
}

/// A count with its thousands set apart: `1,234,567`.
func grouped(_ count: Int) -> String {
  var text = ""
  for (index, digit) in String(count).reversed().enumerated() {
    if index > 0 && index % 3 == 0 && digit != "-" { text.append(",") }
    text.append(digit)
  }
  return String(text.reversed())
}
