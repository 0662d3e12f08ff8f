import Platform
import Testing

// A page of the documentation, typed as it stands there. The lines that begin with `$` in its `console` blocks are the
// commands, what stands below each is what it must say: the same words in the same order, whatever the numbers are. So a
// page that is wrong fails its test, and so does a command that says something else than before. Blocks of other kinds are
// not typed.

final class Runbook {
  struct Step {
    let section: Substring
    let command: String
    var shown: [Substring] = []
    /// Refusals stand on the page as the command says them.
    var fails: Bool { shown.contains { $0.hasPrefix("cairn: ") } }
  }

  private let name: String
  private let cluster: TestCluster
  private var steps: ArraySlice<Step>

  private init(_ name: String, on cluster: TestCluster) throws {
    self.name = name
    self.cluster = cluster
    var root = #filePath[...]
    for _ in 0..<3 { root = root[..<(root.lastIndex(of: "/") ?? root.startIndex)] }
    let text = try FileTree.read("\(root)/Docs/\(name).md", bytesMax: 1 << 20)
    steps = Runbook.steps(in: String(decoding: text, as: UTF8.self))[...]
    // The page speaks of a local cluster in ./.cairn.
    guard try shell("ln -s cluster '\(cluster.directory.path)/.cairn'") == .exited(0) else { throw Stuck("no link") }
  }

  /// Runs `body` on a cluster with short intervals, and expects every command of the page to have been typed by its end.
  static func with(
    _ name: String, settings: [String] = [], environment: [String] = [],
    _ body: (TestCluster, Runbook) throws -> Void
  ) throws {
    let short = [
      "tombstone_hold=500ms", "feed_interval=100ms", "anti_entropy_interval=2s", "hint_retry_interval=200ms",
    ]
    let clusterName = "runbook-" + name.split(separator: "/").joined(separator: "-")
    try TestCluster.with(clusterName, settings: short + settings, environment: environment) { cluster in
      try cluster.untilUp()
      let book = try Runbook(name, on: cluster)
      try body(cluster, book)
      #expect(book.steps.map(\.command) == [], "commands that nobody typed")
    }
  }

  /// Types the commands of the section that comes next, one after the other. Each is typed again until it says what the page
  /// says: what happens by itself takes its time.
  func play(_ section: String) throws {
    guard steps.first?.section == section[...] else {
      throw Stuck("\(name).md goes on with '\(steps.first?.section ?? "its end")', not with '\(section)'")
    }
    while let step = steps.first, step.section == section[...] {
      var said: [Substring] = []
      do {
        try eventually("\(step.command) says what \(name).md shows") {
          let end: ProcessEnd
          (said, end) = try type(step.command)
          return (end != .exited(0)) == step.fails && Runbook.agree(step.shown, said)
        }
      } catch { throw Stuck("\(error); it says\n\(said.joined(separator: "\n"))") }
      steps.removeFirst()
    }
  }

  /// Where the machine does not let the event happen.
  func skip() { steps = [] }

  private func type(_ command: String) throws -> (said: [Substring], end: ProcessEnd) {
    var text = command
    for node in 1...3 { text = text.replacing("127.0.0.1:100\(node)8", with: "127.0.0.1:\(cluster.httpPort(node))") }
    let urls = (1...3).map(cluster.url).joined(separator: " ")
    let directory = cluster.directory
    let run = try ShellCommand(
      "cd '\(directory.path)'; exec 2>&1; export CAIRN_URL='\(urls)' PATH='\(Binary.directory)':\"$PATH\"; \(text)",
      in: directory)
    let end = try run.finish()
    var output = run.output
    for path in [cluster.data, directory.path + "/.cairn"] { output = output.replacing(path, with: ".cairn") }
    return (output.split(separator: "\n"), end)
  }

  // MARK: - Reading a page

  static func steps(in text: String) -> [Step] {
    var steps: [Step] = []
    var section: Substring = ""
    var isTyped = false
    for line in text.split(separator: "\n") {
      if line.hasPrefix("```") {
        isTyped = line == "```console"
      } else if isTyped, line.hasPrefix("$ ") {
        steps.append(Step(section: section, command: String(line.dropFirst(2))))
      } else if isTyped, !steps.isEmpty {
        steps[steps.endIndex - 1].shown.append(line)
      } else if line.hasPrefix("## ") {
        section = line.dropFirst(3)
      }
    }
    return steps
  }

  /// Whether a command says what the page shows. A line that is `…` alone stands for any lines.
  static func agree(_ shown: [Substring], _ said: [Substring]) -> Bool {
    guard let first = shown.first else { return said.isEmpty }
    let rest = Array(shown.dropFirst())
    if first == "…" { return (0...said.count).contains { agree(rest, Array(said.dropFirst($0))) } }
    guard let next = said.first, shape(first) == shape(next) else { return false }
    return agree(rest, Array(said.dropFirst()))
  }

  private static let units: Set<Substring> = ["ms", "s", "min", "h", "d", "B", "KiB", "MiB", "GiB", "%"]

  /// A line with each number and its unit as `#`, and one space between words. Numbers within names stay: `n3`. Which
  /// partition a key is in differs from cluster to cluster, and so does the order in which its owners are named.
  static func shape(_ line: Substring) -> String {
    let line = line.replacing(/127\.0\.0\.1:\d+/, with: "#").replacing(/p\d{3}-n/, with: "p#-n")
      .replacing(/":\d+/, with: "\":#")
    var words: [Substring] = []
    for word in line.split(separator: " ") {
      let unit = word.prefix { $0.isLetter || $0 == "%" }
      if words.last?.hasSuffix("#") == true, units.contains(unit),
        word.dropFirst(unit.count).allSatisfy(\.isPunctuation)
      {
        words[words.endIndex - 1] += word.dropFirst(unit.count)
      } else {
        words.append(withoutNumber(word))
      }
    }
    return words.joined(separator: " ").split(separator: "; ").sorted().joined(separator: "; ")
  }

  /// A word that is a number, whatever stands before and behind it, with `#` in its place.
  private static func withoutNumber(_ word: Substring) -> Substring {
    let number = word.drop { "(+-".contains($0) }
    guard number.first?.isNumber == true else { return word }
    return (word.first == "(" ? "(#" : "#") + Substring(number.reversed().prefix { ".,:;)".contains($0) }.reversed())
  }
}
