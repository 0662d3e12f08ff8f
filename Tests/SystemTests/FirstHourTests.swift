import Client
import Platform
import Primitives
import Protocols
import Testing

// A new user's first hour, typed from Docs/FirstHour.md: a command that does not stand there cannot be run here. Its ports
// are others, and it has a fifth of the rows: the debug build takes long enough for them.

extension SystemTests {
  @Suite struct FirstHourTests {
    @Test("import thousands of rows through the loss of a node and ctrl-C, list, read, export the same bytes")
    func hour() throws {
      let guide = try Guide()
      defer { guide.cleanUp() }
      try guide.run("cairn local up")
      try guide.run("cairn put fruit apple red")
      #expect(try guide.run("cairn get fruit apple --url http://127.0.0.1:10028") == "red")
      #expect(try guide.run("curl -i http://127.0.0.1:10038/buckets/fruit/keys/apple").hasSuffix("\r\n\r\nred"))
      try guide.run("cairn delete fruit apple")

      try guide.run(guide.line(beginning: "awk "))
      let importing = "cairn import books.csv --bucket books"
      let first = try guide.begin(importing)
      try eventually("some rows are in") { try guide.keysLive() > 2000 }
      try guide.run("cairn local kill 2")
      let before = try guide.keysLive()
      try eventually("the import goes on without node 2") { try guide.keysLive() > before + 2000 }
      first.signal(.interrupt)
      #expect(try first.finish() == .exited(130))
      #expect(try guide.keysLive() < Guide.rows)
      #expect(first.errors.contains("to go on: ") && first.errors.contains(importing))
      try guide.run("cairn local start 2")
      try guide.run(importing)

      let keys = try guide.run("cairn keys books").split(separator: "\n")
      #expect(keys.count == Guide.rows)
      #expect(Set(keys).count == Guide.rows)
      #expect(keys.allSatisfy { $0.hasPrefix("book-") && $0.count == 11 })
      #expect(try guide.run("cairn keys --buckets") == "books\n")
      #expect(try guide.run("cairn get books book-000042") == "Title no. 42, \"a novel\"")
      let listed = try guide.run("curl 'http://127.0.0.1:10028/buckets/books/keys?keys=stream'")
      #expect(listed.contains("\"book-000042\"") && listed.hasSuffix("{\"keys\":[]}"))
      try guide.run("cairn cluster status")
      try guide.run("cairn local status")
      try guide.run("cairn ring")

      try guide.run("cairn export books-copy.csv --bucket books")
      for command in ["sort books.csv > before", "sort books-copy.csv > after", "cmp before after"] {
        try guide.run(command)
      }
      #expect(try guide.run("curl http://127.0.0.1:10018/metrics").contains("cairn_requests_total"))
      #expect(try guide.run("curl http://127.0.0.1:10018/stats").contains("node_puts_total"))
      try guide.run("cairn bench --duration 5s")
      #expect(try guide.run("curl http://127.0.0.1:10018/admin/config").contains("\"request_timeout\""))
      try guide.run("cairn config sample")
      try guide.run("cairn local down")
      try guide.run("cairn local up")
      #expect(try guide.run("cairn get books book-000042") == "Title no. 42, \"a novel\"")
      try guide.run("cairn local down --wipe")
      #expect(guide.unused.isEmpty, "commands that nobody tried: \(guide.unused)")
    }
  }
}

/// The commands of the document, in a directory and on ports of their own.
private final class Guide {
  static let rows = 20_000
  private let directory: ScratchDirectory
  private let base: Int
  private let commands: [String]
  private var used: Set<String> = []

  init() throws {
    directory = try ScratchDirectory("first-hour")
    base = try Ports.base()
    var isCommand = false
    var commands: [String] = []
    let text = try Guide.document()
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("```") { isCommand = line == "```sh" } else if isCommand { commands.append(String(line)) }
    }
    self.commands = commands
  }

  private static func document() throws -> String {
    var root = #filePath[...]
    for _ in 0..<3 { root = root[..<(root.lastIndex(of: "/") ?? root.startIndex)] }
    return String(decoding: try FileTree.read("\(root)/Docs/FirstHour.md", bytesMax: 1 << 20), as: UTF8.self)
  }

  var unused: [String] { commands.filter { !used.contains($0) } }

  func line(beginning start: String) throws -> String {
    guard let line = commands.first(where: { $0.hasPrefix(start) }) else { throw Stuck("no command '\(start)…'") }
    return line
  }

  /// Runs a command of the document to its end, which must be success.
  @discardableResult
  func run(_ command: String) throws -> String {
    let run = try begin(command)
    let end = try run.finish()
    guard end == .exited(0) else { throw Stuck("\(command): \(end)\n\(run.errors)") }
    return run.output
  }

  func begin(_ command: String) throws -> ShellCommand {
    guard commands.contains(command) else { throw Stuck("'\(command)' does not stand in the document") }
    used.insert(command)
    var text = command
    for node in 1...3 { text = text.replacing("127.0.0.1:100\(node)8", with: "127.0.0.1:\(base + 10 * node + 8)") }
    text = text.replacing("i <= 100000;", with: "i <= \(Guide.rows);")
    if text == "cairn local up" { text += " --port-base \(base)" }
    let urls = (1...3).map { "http://127.0.0.1:\(base + 10 * $0 + 8)" }.joined(separator: " ")
    return try ShellCommand(
      "cd '\(directory.path)' && export CAIRN_URL='\(urls)' PATH='\(Binary.directory)':\"$PATH\" && "
        + (text.hasPrefix("cairn ") ? "exec " : "") + text,
      in: directory)
  }

  /// Keys that node 1 counts.
  func keysLive() throws -> Int {
    var client = HTTPClient(try Endpoint("http://127.0.0.1:\(base + 18)"), timeoutMilliseconds: 30_000)
    return try JSON.parse(client.send("GET", "/admin/status").body)["keys_live"]?.integer ?? 0
  }

  func cleanUp() {
    let wipe = "cd '\(directory.path)' && [ -f .cairn/local.json ] && exec '\(Binary.cairn)' local down --wipe"
    _ = try? ShellCommand(wipe, in: directory).finish()
  }
}
