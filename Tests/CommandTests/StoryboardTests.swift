import Causality
import Platform
import Primitives
import Protocols
import Storage
import Testing

@testable import cairn

// The story that `cairn storyboard` plays and that Docs/Storage.md quotes.

@Suite struct StoryboardTests {
  /// Plays the story in a directory of its own.
  private static func play(
    _ rule: StoryRule, _ gap: StoryGap, mergeRule: (any MergeRule)? = nil
  ) throws -> Story {
    let directory = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-story-tests-\(try randomSeed())"
    try FileTree.create(directory)
    defer { try? FileTree.remove(directory) }
    return try Story(rule, gap, in: directory, mergeRule: mergeRule)
  }

  private struct KeepRule: MergeRule {
    func verdict(onTombstone stamp: Stamp, isCurrent: Bool, role: StoreRole) -> TombstoneVerdict { .keep }
  }

  @Test(
    "with the naive rule the key comes back, with the engine's it does not, before and after the purge",
    arguments: StoryRule.allCases, StoryGap.allCases)
  func verdicts(rule: StoryRule, gap: StoryGap) throws {
    let story = try Self.play(rule, gap)
    #expect(story.found == (rule == .naive ? "red" : nil))
    #expect(story.isAsPromised)
    #expect(story.scenes.compactMap(\.number) == [1, 2, 3, 4, 5])
    #expect(story.scenes.contains { $0.number == nil } == (gap == .delayed), "a purge is a scene of its own")
    // The story is the one of file 3 and file 7.
    let (put, delete) = (story.scenes[0].state, story.scenes[1].state)
    #expect(put.files.last?.name == "000003.data" && put.files.last?.records.last?.key == Story.key)
    #expect(delete.files.last?.name == "000007.data" && delete.files.last?.records.last?.isTombstone == true)
    let merged = try #require(story.scenes.first { $0.number == 3 }).state
    #expect(merged.files.map(\.name) == [1, 2, 3, 4, 8].map { "00000\($0).data" })
    #expect(merged.files.last?.records.contains { $0.isTombstone } == (rule == .overlap))
    #expect(story.scenes.first { $0.number == 4 }?.state.keydir == nil)
  }

  @Test("a purged tombstone waits for the file that it keeps dead, says which, and goes with it")
  func epilogue() throws {
    let story = try Self.play(.overlap, .delayed)
    let merged = try #require(story.scenes.first { $0.number == 3 }).state
    #expect(merged.files.last?.records.last?.blockers == ["000003.data"])
    #expect(merged.keydir?.contains { $0.key == Story.key } == false)
    #expect(story.epilogue.count == 2)
    for scene in story.epilogue { #expect(!scene.state.holds(Story.key) && scene.state.floor == 11) }
    for (rule, gap) in [(StoryRule.naive, StoryGap.immediate), (.naive, .delayed), (.overlap, .immediate)] {
      #expect(try Self.play(rule, gap).epilogue.isEmpty)
    }
  }

  @Test("a store that does not behave as the rule promises is noticed")
  func brokenRules() throws {
    for gap in StoryGap.allCases {
      let resurrecting = try Self.play(.overlap, gap, mergeRule: NaiveRule())
      #expect(!resurrecting.isAsPromised && resurrecting.verdict == .isBack)
      #expect(resurrecting.text.contains("Rule overlap leads to the contrary: the key stays deleted."))
      #expect(try !Self.play(.naive, gap, mergeRule: OverlapRule()).isAsPromised)
    }
    // Safe, and never done: the tombstone would stay for ever.
    #expect(try !Self.play(.overlap, .delayed, mergeRule: KeepRule()).isAsPromised)
  }

  @Test("the JSON has what the text has", arguments: StoryRule.allCases, StoryGap.allCases)
  func json(rule: StoryRule, gap: StoryGap) throws {
    let story = try Self.play(rule, gap)
    let json = try JSON.parse(Array(story.json.text(indent: true).utf8))
    #expect(json["rule"]?.string == rule.rawValue && json["gap"]?.string == gap.rawValue)
    #expect(json["verdict"]?.string == story.verdict.rawValue && json["as_promised"]?.bool == true)
    #expect(json["get"]?["key"]?.string == "apple" && json["get"]?["value"]?.string == story.found)
    let scenes = try #require(json["scenes"]?.array)
    #expect(scenes.count == story.scenes.count)
    for (scene, told) in zip(scenes, story.scenes) {
      #expect(scene["step"]?.integer == told.number && scene["title"]?.string == told.title)
      #expect(scene["files"]?.array?.count == told.state.files.count)
      #expect(scene["keydir"]?.array?.count == told.state.keydir?.count)
    }
    #expect((json["epilogue"]?["scenes"]?.array?.count ?? 0) == story.epilogue.count)
  }

  @Test("Docs/Storage.md quotes the output to the letter")
  func document() throws {
    var root = #filePath[...]
    for _ in 0..<3 { root = root[..<(root.lastIndex(of: "/") ?? root.startIndex)] }
    let document = String(decoding: try FileTree.read("\(root)/Docs/Storage.md", bytesMax: 1 << 20), as: UTF8.self)
    for (rule, gap) in [(StoryRule.naive, StoryGap.immediate), (.overlap, .delayed)] {
      let command = "$ cairn storyboard --rule \(rule.rawValue) --gap \(gap.rawValue)\n"
      let quotation = document.split(separator: "```console\n").first { $0.hasPrefix(command) }?
        .split(separator: "```\n", maxSplits: 1).first?.dropFirst(command.count)
      #expect(try quotation.map(String.init) == Self.play(rule, gap).text)
    }
    #expect(document.split(separator: "$ cairn storyboard", omittingEmptySubsequences: false).count == 3)
  }
}
