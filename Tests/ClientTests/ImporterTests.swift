import Client
import Platform
import Primitives
import Protocols
import Testing

@testable import cairn

// Whole imports against a scripted server: what is sent, in which order, what is told of it, and where it goes on.

/// A server that stores what is put, unless its script says otherwise.
private final class StoringServer: Sendable {
  struct State {
    var stored: [String: [UInt8]] = [:]
    var headers: [String: [String]] = [:]
    /// Keys in the order of their puts, those included that were not answered.
    var puts: [String] = []
  }

  let state = Locked(State())
  private let server = Locked<ScriptedServer?>(nil)

  /// - Parameter script: An answer in place of storing; nil to store. Called with the number of the put.
  init(listens: Bool = true, script: @escaping @Sendable (String, Int) -> ScriptedServer.Reply? = { _, _ in nil })
    throws
  {
    let state = state
    let scripted = try ScriptedServer(listens: listens) { request in
      let key = String(request.target.dropFirst("/buckets/b/keys/".count))
      return state.withLock {
        $0.puts.append(key)
        if let reply = script(key, $0.puts.count) { return reply }
        $0.stored[key] = request.body
        $0.headers[key] = request.headers
        return .noContent
      }
    }
    server.withLock { $0 = scripted }
  }

  var endpoint: Endpoint { server.withLock { $0!.endpoint } }
  func listen() throws { try server.withLock { $0! }.listen() }
  var stored: [String: String] {
    state.withLock { $0.stored.mapValues { String(decoding: $0, as: UTF8.self) } }
  }
  var putCount: Int { state.withLock { $0.puts.count } }
}

/// A directory and the plan of an import from it.
private final class ImportRig {
  let directory: String
  var plan: ImportPlan

  init(_ name: String, _ text: String, _ servers: [StoringServer], format: BulkFormat = .jsonl) throws {
    directory = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-importer-tests-\(processIdentifier())-\(name)"
    try FileTree.remove(directory)
    try FileTree.create(directory)
    plan = ImportPlan(
      endpoints: servers.map(\.endpoint), type: nil, bucket: "b", rules: RecordRules(format),
      inputPath: directory + "/in", checkpointPath: directory + "/checkpoint", rejectsPath: directory + "/rejects",
      isQuiet: true)
    try write(text)
  }

  deinit { try? FileTree.remove(directory) }

  func write(_ text: String) throws { try FileTree.write(Array(text.utf8), to: plan.inputPath) }
  func text(_ name: String) -> String {
    String(decoding: (try? FileTree.read("\(directory)/\(name)", bytesMax: 64 << 20)) ?? [], as: UTF8.self)
  }
  func has(_ name: String) -> Bool { FileTree.exists("\(directory)/\(name)") }

  /// Runs the import on a thread of its own, because watching for signals blocks them in the thread.
  func run() throws -> (end: ImportEnd, counts: ImportCounts) {
    let plan = plan
    let result = Locked<Result<(end: ImportEnd, counts: ImportCounts), any Error>?>(nil)
    try Thread {
      let found = Result {
        let importer = try Importer(plan, command: "cairn import")
        let end = try importer.run(try TerminationSignals())
        return (end: end, counts: importer.counts)
      }
      result.withLock { $0 = found }
    }.join()
    return try result.withLock { $0! }.get()
  }
}

private func lines(_ numbers: Range<Int>, _ value: (Int) -> String = { "v\($0)" }) -> String {
  numbers.map { "{\"key\":\"k\($0)\",\"value\":\"\(value($0))\"}\n" }.joined()
}

@Suite struct ImporterTests {
  @Test("every record of a file is stored as it stands there, and nothing is left behind")
  func complete() throws {
    let server = try StoringServer()
    let rig = try ImportRig(
      "complete", "\u{FEFF}id,\"name\"\r\n\"a/b ?\",\"x\r\n\"\"y\"\"\"\r\n\r\n..,é\r\n.,", [server], format: .csv)
    rig.plan.rules.key = "id"
    rig.plan.query = ["w=2"]
    #expect(try rig.run() == (.complete, ImportCounts(imported: 3, rejected: 0, valueBytes: 77)))
    #expect(
      server.stored == [
        "a%2Fb%20%3F?w=2": "{\"id\":\"a/b ?\",\"name\":\"x\\r\\n\\\"y\\\"\"}",
        "%2E%2E?w=2": "{\"id\":\"..\",\"name\":\"é\"}", "%2E?w=2": "{\"id\":\".\",\"name\":\"\"}",
      ])
    let headers = server.state.withLock { $0.headers["%2E?w=2"] }
    let authority = server.endpoint.description.dropFirst(7)
    #expect(headers == ["Host: \(authority)", "Content-Type: application/json", "Content-Length: 20"])
    #expect(!rig.has("checkpoint") && !rig.has("rejects"))
  }

  @Test("of two records with one key the later one stays, whatever nodes do meanwhile", arguments: UInt64(0)..<4)
  func laterWins(seed: UInt64) throws {
    let generator = Locked(SeededGenerator(seed: seed))
    let servers = try (0..<2).map { _ in
      try StoringServer { _, _ in
        generator.withLock {
          switch $0.below(50) {
          case 0: .close
          case 1: .send(ScriptedServer.answer(503, [], headers: "Retry-After: 1\r\n"))
          default: nil
          }
        }
      }
    }
    // One key in three comes again and again; each server has its own store, so the order shows in the puts.
    let keys = (0..<600).map { number in number % 3 == 0 ? "hot\(number % 5)" : "k\(number)" }
    let text = keys.enumerated().map { "{\"key\":\"\($1)\",\"value\":\"\($0)\"}\n" }.joined()
    let rig = try ImportRig("later-\(seed)", text, servers)
    rig.plan.inFlightMax = 64
    let result = try rig.run()
    #expect(result.end == .complete && result.counts.imported == 600)
    for key in Set(keys) {
      let last = keys.lastIndex(of: key)!
      let stored = servers.compactMap { $0.stored[key] }.compactMap { Int($0) }
      #expect(stored.max() == last, "\(key) is \(stored)")
    }
  }

  @Test("what is refused or malformed goes to the rejects with reasons, which can be imported again")
  func rejects() throws {
    let isPicky = Locked(true)
    let server = try StoringServer { key, _ in
      key == "k3" && isPicky.withLock { $0 } ? .send(ScriptedServer.answer(400, Array("too hot\n".utf8))) : nil
    }
    let text = lines(0..<3) + "{\"key\":\"\",\"value\":\"e\"}\n" + "not json\n" + lines(3..<5) + "#x\n"
    let rig = try ImportRig("rejects", text, [server])
    #expect(try rig.run() == (.complete, ImportCounts(imported: 4, rejected: 4, valueBytes: 8)))
    let rejects = rig.text("rejects").split(separator: "\n").map(String.init)
    #expect(rejects[0] == "#! cairn-rejects 1 jsonl" && rejects.count == 9)
    #expect(rejects[1].contains("\"line\":4,\"offset\":78") && rejects[1].contains("the key is empty"))
    #expect(rejects[2] == "{\"key\":\"\",\"value\":\"e\"}" && rejects[4] == "not json")
    #expect(rejects[5].contains("\"key\":\"k3\"") && rejects[5].contains("answered 400: too hot"))
    #expect(rejects[6] == "{\"key\":\"k3\",\"value\":\"v3\"}" && rejects[8] == " #x")

    // Repaired, and imported again.
    try rig.write(
      rig.text("rejects").replacing("\"key\":\"\"", with: "\"key\":\"k9\"").replacing("\nnot json", with: "")
        .replacing("\n #x", with: ""))
    try FileTree.remove(rig.directory + "/rejects")
    isPicky.withLock { $0 = false }
    #expect(try rig.run() == (.complete, ImportCounts(imported: 2, rejected: 0, valueBytes: 3)))
    #expect(server.stored["k3"] == "v3" && server.stored["k9"] == "e" && server.stored.count == 6)
  }

  @Test("rejects of CSV keep their header, their quotes and their meaning")
  func csvRejects() throws {
    let isPicky = Locked(true)
    let server = try StoringServer { _, _ in
      isPicky.withLock { $0 } ? .send(ScriptedServer.answer(415, [])) : nil
    }
    let rig = try ImportRig(
      "csv-rejects", "key,value\n\"a,\"\"\",\"x\ny\"\n#b,\"c\"\nragged\n", [server], format: .csv)
    #expect(try rig.run().counts.rejected == 3)
    let text = rig.text("rejects")
    #expect(text.hasPrefix("#! cairn-rejects 1 csv\nkey,value\n#! {\"line\":2"))
    try rig.write(text)
    try FileTree.remove(rig.directory + "/rejects")
    isPicky.withLock { $0 = false }
    #expect(try rig.run() == (.complete, ImportCounts(imported: 2, rejected: 1, valueBytes: 4)))
    #expect(server.stored == ["a%2C%22": "x\ny", "%23b": "c"])
  }

  @Test("a file of rejects that is there already is not written over")
  func oldRejects() throws {
    let server = try StoringServer()
    let rig = try ImportRig("old-rejects", "bad\n", [server])
    #expect(try rig.run().counts.rejected == 1)
    let before = rig.text("rejects")
    #expect(throws: Failure.self) { try rig.run() }
    #expect(rig.text("rejects") == before)
  }

  @Test("a line of lineBytesMax is taken, a longer one is rejected with its place, and the next is read")
  func longLine() throws {
    let server = try StoringServer()
    let fitting = "{\"key\":\"fits\",\"value\":\"" + String(repeating: "x", count: 975) + "\"}"
    let rig = try ImportRig(
      "long", fitting + "\n{" + String(repeating: "y", count: 300_000) + "}\r\n" + lines(0..<1), [server])
    rig.plan.lineBytesMax = fitting.utf8.count
    #expect(try rig.run().counts == ImportCounts(imported: 2, rejected: 1, valueBytes: 977))
    let rejects = rig.text("rejects").split(separator: "\n")
    #expect(rejects.count == 2 && rejects[1].contains("\"line\":2,\"offset\":1001,\"bytes\":300004,\"key\":null"))
    #expect(rejects[1].contains("\"omitted\":true") && server.stored["k0"] == "v0")
  }

  // MARK: Stopping and going on

  @Test("when the cluster stays away, the import stops, and goes on later where it was", arguments: [0, 1])
  func clusterAway(seed: Int) throws {
    let isAway = Locked(false)
    let server = try StoringServer { _, number in
      if number > 700 { isAway.withLock { $0 = $0 || number <= 1200 } }
      return isAway.withLock { $0 } ? .close : nil
    }
    let text =
      seed == 0
      ? lines(0..<2000) : "id,v\n" + (0..<2000).map { $0 % 100 == 5 ? "k\($0)\n" : "k\($0),v\($0)\n" }.joined()
    let rig = try ImportRig("away-\(seed)", text, [server], format: seed == 0 ? .jsonl : .csv)
    rig.plan.retryMilliseconds = 300
    rig.plan.inFlightMax = 100
    if seed == 1 {
      rig.plan.rules.key = "id"
      rig.plan.rules.value = .field("v")
    }
    let first = try rig.run()
    guard case .stopped(let why) = first.end else {
      Issue.record("\(first.end)")
      return
    }
    #expect(why.contains("no success for") && rig.has("checkpoint") && first.counts.imported < 2000)
    isAway.withLock { $0 = false }
    server.state.withLock { $0.puts = Array(repeating: "", count: 1300) }
    let second = try rig.run()
    #expect(second.end == .complete && !rig.has("checkpoint"))
    #expect(second.counts.imported == (seed == 0 ? 2000 : 1980) && second.counts.rejected == (seed == 0 ? 0 : 20))
    #expect(server.stored.count == second.counts.imported)
    // Only what was not settled is sent again.
    let sentAgain = server.putCount - 1300
    #expect(sentAgain <= 2000 - first.counts.records && sentAgain >= 2000 - first.counts.records - 20)
    if seed == 1 { #expect(rig.text("rejects").split(separator: "\n").count == 2 + 2 * 20) }
  }

  @Test("a crash leaves a checkpoint from which everything goes in, and each reject is told once")
  func crash() throws {
    let server = try StoringServer()
    let text = (0..<3000).map { $0 % 300 == 7 ? "bad \($0)\n" : lines($0..<$0 + 1) }.joined()
    let rig = try ImportRig("crash", text, [server])
    let expected = try rig.run()
    #expect(expected.end == .complete && expected.counts.imported == 2990 && expected.counts.rejected == 10)
    let whole = rig.text("rejects")
    try FileTree.remove(rig.directory + "/rejects")
    // What a crash leaves: a checkpoint in the middle, and rejects beyond it.
    rig.plan.rejectsMax = 4
    guard case .stopped = try rig.run().end else {
      Issue.record("it did not stop")
      return
    }
    #expect(rig.has("checkpoint"))
    try FileTree.write(
      Array((rig.text("rejects") + "#! {\"line\":0}\nhalf a rec").utf8), to: rig.directory + "/rejects")
    rig.plan.rejectsMax = .max
    #expect(try rig.run().counts == expected.counts)
    #expect(rig.text("rejects") == whole)
  }

  @Test("another file, or other options, are refused with the checkpoint's name")
  func another() throws {
    let server = try StoringServer { _, number in number > 50 ? .close : nil }
    let rig = try ImportRig("another", lines(0..<500), [server])
    rig.plan.retryMilliseconds = 100
    rig.plan.inFlightMax = 20
    guard case .stopped = try rig.run().end else {
      Issue.record("it did not stop")
      return
    }
    func refused(_ what: String) {
      let failure = #expect(throws: Failure.self) { try rig.run() }
      #expect(failure?.message.contains(what) == true, "\(failure?.message ?? "")")
    }
    let same = rig.text("in")
    try rig.write(same + lines(500..<501))
    refused("bytes")
    try rig.write("X" + same.dropFirst())
    refused("begin")
    try rig.write(same)
    rig.plan.rules.contentType = "a/b"
    refused("--content-type was null and is")
    rig.plan.restarts = true
    guard case .stopped = try rig.run().end else {
      Issue.record("it did not begin anew")
      return
    }
  }

  @Test("the bytes before the place where it stopped must be the same too")
  func changedMiddle() throws {
    let server = try StoringServer { _, number in number > 1900 ? .close : nil }
    // Longer than what is looked at of the beginning.
    let text = lines(0..<2000) { String(repeating: "v", count: 50) + "\($0)" }
    let rig = try ImportRig("changed", text, [server])
    rig.plan.retryMilliseconds = 100
    rig.plan.inFlightMax = 20
    let first = try rig.run()
    guard case .stopped = first.end else {
      Issue.record("it did not stop")
      return
    }
    let last = first.counts.imported - 1
    try rig.write(text.replacing("v\(last)\"", with: "w\(last)\""))
    let failure = #expect(throws: Failure.self) { try rig.run() }
    #expect(failure?.message.contains("not those that were imported") == true)
  }

  @Test("when all of the first records are rejected, nobody has to read a million reasons")
  func hopeless() throws {
    let server = try StoringServer { _, _ in .send(ScriptedServer.answer(404, [])) }
    let rig = try ImportRig("hopeless", lines(0..<20_000), [server])
    let result = try rig.run()
    guard case .stopped(let why) = result.end else {
      Issue.record("it did not stop")
      return
    }
    #expect(why.contains("were rejected") && result.counts.rejected < 5000)
  }

  @Test("nodes that are not there are passed over")
  func someAbsent() throws {
    let present = try StoringServer()
    let absent = try StoringServer(listens: false)
    let rig = try ImportRig("absent", lines(0..<1000), [absent, present])
    #expect(try rig.run().counts.imported == 1000)
    #expect(present.stored.count == 1000 && absent.putCount == 0)
  }

  @Test("an empty file, and one with nothing but blank lines, are complete", arguments: ["", "\n \n\r\n", "\u{FEFF}"])
  func empty(text: String) throws {
    let server = try StoringServer()
    for format in [BulkFormat.jsonl, .csv] where format == .jsonl || !text.contains(" ") {
      let rig = try ImportRig("empty-\(format)-\(text.utf8.count)", text, [server], format: format)
      #expect(try rig.run() == (.complete, ImportCounts()))
    }
  }
}
