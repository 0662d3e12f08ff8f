// What the table of settings becomes: Docs/Configuration.md and the commented sample, Deploy/cairn.conf. Both are files
// of the repository; a test compares them with what is made here.

package enum ConfigurationDocuments {
  // MARK: Docs/Configuration.md

  package static var manual: String {
    let rows = Configuration.keys.map { key in
      "| [`\(key.name)`](#\(key.name)) | \(key.hasDefault ? "`\(key.defaultText)`" : "") | \(cell(values(key))) | "
        + "\(cell(key.documentation)) |"
    }
    let sections = Configuration.keys.map { key in
      (["### \(key.name)", lead(key)] + key.advice).map { wrapped($0, 116).joined(separator: "\n") }
        .joined(separator: "\n\n")
    }
    return introduction + "\n"
      + (["| setting | default | values | meaning |", "|---|---|---|---|"] + rows).joined(separator: "\n")
      + "\n\n## Settings one by one\n\n" + sections.joined(separator: "\n\n") + "\n"
  }

  private static func lead(_ key: ConfigurationKey) -> String {
    let about = key.documentation.prefix(1).uppercased() + key.documentation.dropFirst()
    if let example = key.example { return "\(about). No default; for example `\(key.flag) \(example)`." }
    return "\(about). Values: \(values(key)). Default: `\(key.defaultText)`."
  }

  /// What can be given, in words: `duration, 1ms to 10m`.
  private static func values(_ key: ConfigurationKey) -> String {
    if key.unit.contains("|") { return key.unit.split(separator: "|").map { "`\($0)`" }.joined(separator: ", ") }
    return key.range.isEmpty ? key.unit : "\(key.unit), \(key.range)"
  }

  /// Text as it may stand in a cell of a table.
  private static func cell(_ text: String) -> String { text.map { $0 == "|" ? "\\|" : String($0) }.joined() }

  private static let introduction = """
    # Configuration

    <!-- Made by `cairn config docs > Docs/Configuration.md` from the table of settings; do not edit it here. -->

    A node reads its settings once, when it starts; they stay what they are until the next start. Each can be given in
    three ways, of which the first here wins:

    1. a flag of its own, for the settings that say which node this is: `--name n1`, `--initial-cluster n1=…`;
    2. `--set key=value`, as often as needed; of the same key the last counts;
    3. a file, `--config FILE`, with lines `key = value`. A `#` begins a comment wherever it stands, blank lines are skipped, a
       key stands in the file at most once.

    What is not given has its default. An unknown key, or a value that is none, is refused with what would have been right,
    and the node does not start (exit code 2): nothing is guessed and nothing is ignored. `cairn config check FILE` says all
    that is wrong with a file, one line per mistake, before a node does. `cairn config sample` prints a file with every
    setting, commented out; it is `Deploy/cairn.conf`. `cairn local up` takes `--set` too and gives it to every node.

    Durations are a whole number with `ms`, `s`, `m`, `h` or `d`; sizes a whole number of bytes, or one with `KiB`, `MiB` or `GiB`.

    `GET /admin/config` shows what a running node goes by: for each setting its value and where that came from (`default`, `FILE
    line N`, `--set` or the flag), its default and its unit.

    """

  // MARK: Deploy/cairn.conf

  package static var sample: String {
    let identity = Configuration.keys.filter(\.isIdentity)
    let rest = Configuration.keys.filter { !$0.isIdentity }
    return sampleIntroduction + "\n" + (identity + rest).map(entry).joined(separator: "\n")
  }

  private static func entry(_ key: ConfigurationKey) -> String {
    let about = key.documentation.prefix(1).uppercased() + key.documentation.dropFirst()
    let comment = wrapped("\(about) (\(key.range.isEmpty ? key.unit : "\(key.unit), \(key.range)")).", 98)
    let line = key.hasDefault ? "\(key.name) = \(key.defaultText)" : "Example: \(key.name) = \(key.example ?? "")"
    return (comment + [line]).map { "# \($0)\n" }.joined()
  }

  /// `text` in lines of at most so many characters, if its words allow it; what stands in backticks is one word.
  private static func wrapped(_ text: String, _ countMax: Int) -> [String] {
    var isCode = false
    let words = text.split { character in
      if character == "`" { isCode.toggle() }
      return character == " " && !isCode
    }
    var lines: [String] = []
    for word in words {
      if let last = lines.last, last.count + 1 + word.count <= countMax {
        lines[lines.count - 1] += " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }

  private static let sampleIntroduction = """
    # Settings of a Cairn node: cairn node --config FILE. Made by `cairn config sample`.
    #
    # Every setting is here. Those with a default are commented out and show it; the first six have none and must be given,
    # all but pb, here or as flags (--name …), which win over this file. `cairn config check FILE` says what is wrong with a file.
    # More about each: Docs/Configuration.md.

    """
}

extension ConfigurationKey {
  var hasDefault: Bool { !defaultText.isEmpty }
}
