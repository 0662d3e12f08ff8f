import Platform
import Primitives
import Protocols
import Storage
import Testing

@testable import cairn

// The story of the late hint, as `cairn storyboard --cluster --without` plays it in the simulator. On real processes it is
// played by Tests/SystemTests/StoryboardTests.

@Suite struct LateHintTests {
  private static func play(without rule: Rule?) throws -> LateHintStory {
    var stage = SimulatedStage(without: rule)
    return try LateHintStory(on: &stage)
  }

  private static let steps = [
    "Three nodes, each key on all of them", "n3 is killed", "PUT of 6 keys through n1: 204", "n3 is back",
    "DELETE of all of them through n2: 204", "The tombstones are forgotten on every node", "The late hints reach n3",
  ]

  @Test("with all rules a late hint brings nothing back, and every node has forgotten the keys before it comes")
  func kept() throws {
    var told: [LateHintScene] = []
    var stage = SimulatedStage(without: nil)
    let story = try LateHintStory(on: &stage) { told.append($0) }
    #expect(told == story.scenes && told.map(\.title) == Self.steps)
    #expect(story.staysDeleted && story.back == nil && story.verdict == .staysDeleted)
    #expect(story.reads.count == 3 * 3 * 6)
    #expect(told[1].nodes.map(\.holds) == ["nothing", "nothing", "down"])
    #expect(told[2].nodes.map(\.holds) == ["6 values", "6 values", "down"] && told[2].nodes.hints == 6)
    #expect(told[4].nodes.allSatisfy { $0.tombstones == 6 && $0.holds.hasPrefix("6 tombstones: waits for ") })
    #expect(told[5].nodes.map(\.holds) == ["nothing", "nothing", "nothing"] && told[5].nodes.hints == 5)
    #expect(told[6].nodes.map(\.holds) == ["nothing", "nothing", "nothing"] && told[6].nodes.hints == 0)
    #expect(told[6].nodes[2].turnedAway == 5 && told[6].nodes[2].quarantined == 5)
    #expect(story.readsText.contains("\neach of the 6 keys  1  404  404  404\n"))
  }

  @Test("the keys come back without the rules that can be named, and without no other one", arguments: Rule.allCases)
  func rules(rule: Rule) throws {
    let story = try Self.play(without: rule)
    let isBack = SimulatedStage.rules.contains(rule)
    #expect((story.back != nil) == isBack && story.staysDeleted == !isBack)
    guard isBack else { return }
    #expect(story.verdict == .isBack && story.verdictText == "Verdict: apple, deleted with a 204, is back.\n")
    #expect(story.back?.answer == StageAnswer(status: 200, value: "red"))
    #expect(story.scenes.last?.nodes.map(\.holds) == ["nothing", "nothing", "5 values"])
    let everyCopy = story.reads.filter { $0.r == 3 && $0.key != LateHintStory.crate }
    #expect(everyCopy.count == 15 && everyCopy.allSatisfy { $0.answer.status == 200 })
    #expect(story.readsText.contains("\napple  3  200 red     200 red     200 red\n"))
    #expect(!SimulatedStage.meaning(rule).contains("does not stand in the way"))
  }

  @Test("it is the same at every telling, and the JSON has what the text has")
  func json() throws {
    let (story, kept) = (try Self.play(without: .floor), try Self.play(without: nil))
    #expect(try Self.play(without: .floor).scenes == story.scenes)
    let document = story.json(on: "simulator", without: "floor", kept: kept)
    let json = try JSON.parse(Array(document.text(indent: true).utf8))
    #expect(json["stage"]?.string == "simulator" && json["without"]?.string == "floor")
    #expect(json["verdict"]?.string == "the key is back" && json["stays_deleted"]?.bool == false)
    let scenes = try #require(json["scenes"]?.array)
    #expect(scenes.map { $0["title"]?.string } == Self.steps)
    #expect(scenes.last?["nodes"]?.array?.map { $0["values"]?.integer } == [0, 0, 5])
    let reads = try #require(json["reads"]?.array)
    #expect(reads.count == story.reads.count)
    let back = try #require(reads.first { $0["status"]?.integer == 200 })
    #expect(back["key"]?.string == "apple" && back["value"]?.string == "red" && back["node"]?.string == "n3")
    #expect(json["with_all_rules"]?["stays_deleted"]?.bool == true && json["with_all_rules"]?["without"] == .null)
  }

  // MARK: What does not happen

  /// A stage on which something goes another way.
  private struct OddStage: ClusterStage {
    enum Oddity: CaseIterable { case hintsStay, hintsComeEarly, putsFail, deletesFail, readsFail }
    let oddity: Oddity
    var stage = SimulatedStage(without: nil)

    init(_ oddity: Oddity) { self.oddity = oddity }

    var milliseconds: UInt64 { stage.milliseconds }
    func nodes() throws -> [StageNode] {
      var nodes = try stage.nodes()
      if oddity == .hintsStay, nodes[0].hints == 0, milliseconds > 5000 { nodes[0].hints = 1 }
      if oddity == .hintsComeEarly, nodes.allSatisfy(\.isUp), nodes[0].hints < 6 { nodes[0].hints = 0 }
      return nodes
    }
    func isWhole(_ number: Int) -> Bool { stage.isWhole(number) }
    func kill(_ number: Int) { stage.kill(number) }
    func start(_ number: Int) { stage.start(number) }
    func put(_ key: String, _ value: [UInt8], through number: Int) throws -> Int {
      oddity == .putsFail ? 503 : try stage.put(key, value, through: number)
    }
    func delete(_ key: String, through number: Int) throws -> Int {
      oddity == .deletesFail ? 503 : try stage.delete(key, through: number)
    }
    func get(_ key: String, r: Int, through number: Int) throws -> StageAnswer {
      oddity == .readsFail && r == 2 ? StageAnswer(status: 503) : try stage.get(key, r: r, through: number)
    }
    func pass() { stage.pass() }
  }

  @Test(
    "what does not happen is named, with what the nodes hold",
    arguments: [
      (OddStage.Oddity.hintsStay, "not within 60 s: the late hints have been handed over (n1: nothing, 1 hint; n2: "),
      (.hintsComeEarly, "no hint was late: they arrived before the tombstones had gone; "),
      (.putsFail, "PUT of crate through n1 was answered 503, not 204"),
      (.deletesFail, "DELETE of crate through n2 was answered 503, not 204"),
    ])
  private func oddities(oddity: OddStage.Oddity, problem: String) throws {
    var stage = OddStage(oddity)
    let failure = #expect(throws: Failure.self) { _ = try LateHintStory(on: &stage) }
    #expect(failure?.message.hasPrefix(problem) == true, "\(failure?.message ?? "")")
  }

  @Test("a read that is not answered is no proof that a key stays deleted")
  func unanswered() throws {
    var stage = OddStage(.readsFail)
    let story = try LateHintStory(on: &stage)
    #expect(!story.staysDeleted && story.back == nil)
    #expect(story.verdictText == "Verdict: not every read was answered.\n")
  }

  // MARK: The command line, and the document

  @Test(
    "a rule that is none, or that does not fit, ends with 2 and the rules that do",
    arguments: [
      (
        ["--cluster", "--without", "echo"], "rule echo is not what stands in the way of a late hint",
        "without floor or hint-stamp it brings the keys back"
      ),
      (
        ["--cluster", "--without", "xyzzy"], "--without is 'xyzzy', which is no rule",
        "without floor or hint-stamp it brings the keys back"
      ),
      (["--cluster", "--without", "flor"], "--without is 'flor', which is no rule", "did you mean --without floor?"),
      (["--without", "floor"], "--without leaves a rule out of the story of the cluster", "add --cluster"),
      (
        ["--cluster", "--gap", "delayed"], "--gap is for the story of one store's files",
        "leave out --cluster or --gap"
      ),
    ])
  func refusals(words: [String], problem: String, hint: String) throws {
    let arguments = try Arguments(words, options: storyboardCommand.options, command: "cairn storyboard")
    #expect(throws: UsageError(problem: problem, hint: hint)) { _ = try storyboardCommand.run(arguments) }
  }

  @Test("Docs/Delete.md quotes lines of the output, in their order")
  func document() throws {
    var root = #filePath[...]
    for _ in 0..<3 { root = root[..<(root.lastIndex(of: "/") ?? root.startIndex)] }
    let document = String(decoding: try FileTree.read("\(root)/Docs/Delete.md", bytesMax: 1 << 20), as: UTF8.self)
    let story = try Self.play(without: .floor)
    let output = story.scenes.map(\.shown).joined() + story.readsText + story.verdictText
    let quotation = document.split(separator: "```text\n").first {
      $0.hasPrefix("$ cairn storyboard --cluster --without floor\n")
    }
    let lines = try #require(quotation).split(separator: "```\n", maxSplits: 1)[0].split(separator: "\n").dropFirst()
    var rest = output[...]
    for line in lines where line != "…" {
      let place = try #require(rest.firstRange(of: "\(line)\n"), "not in the output, or not there: \(line)")
      rest = rest[place.upperBound...]
    }
    #expect(lines.count > 10)
  }
}
