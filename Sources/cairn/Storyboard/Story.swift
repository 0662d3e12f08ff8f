import Causality
import Platform
import Primitives
import Storage

// The story that users of Bitcask know: a key is put into file 3 and deleted in file 7, files 5 to 7 are merged, the
// process crashes, and after the restart the key is back. It is played with the rule under which it happens and with
// the rule of this engine.

/// The rule of the story, and of nothing else: a merge leaves every tombstone behind that it comes by.
struct NaiveRule: MergeRule {
  func verdict(onTombstone stamp: Stamp, isCurrent: Bool, role: StoreRole) -> TombstoneVerdict { .drop }
}

enum StoryRule: String, CaseIterable {
  case naive, overlap

  var mergeRule: any MergeRule {
    switch self {
    case .naive: NaiveRule()
    case .overlap: OverlapRule()
    }
  }

  var meaning: String {
    switch self {
    case .naive: "a merge drops every tombstone that it comes by"
    case .overlap: "a merge drops a dead tombstone once no file that stays may hold its key at a lower stamp"
    }
  }

  /// What it leads to.
  var promise: StoryVerdict { self == .naive ? .isBack : .staysDeleted }
}

/// What lies between the delete and the merge that comes by its tombstone.
enum StoryGap: String, CaseIterable {
  case immediate, delayed

  var meaning: String {
    switch self {
    case .immediate: "the merge comes while some replicas have not confirmed the tombstone"
    case .delayed: "all replicas have confirmed the tombstone, and it was purged before the merge"
    }
  }
}

enum StoryVerdict: String {
  case isBack = "the key is back"
  case staysDeleted = "the key stays deleted"
}

/// One step, and what there is after it.
struct StoryScene {
  /// Nil for what happens between the five steps and after them.
  var number: Int?
  let title: String
  let text: [String]
  let state: StoryState
}

struct Story {
  static let key = "apple"
  static let value = "red"

  let rule: StoryRule
  let gap: StoryGap
  private(set) var scenes: [StoryScene] = []
  /// The final GET; nil when the key is not found.
  private(set) var found: String?
  /// What comes after the verdict, with its own GET; none unless the tombstone's record waits on the disk.
  private(set) var epilogue: [StoryScene] = []
  private(set) var foundAtLast: String?

  var verdict: StoryVerdict { found == nil ? .staysDeleted : .isBack }

  /// The store behaved as the rule promises, also in the epilogue.
  var isAsPromised: Bool {
    let isClean = epilogue.last.map { foundAtLast == nil && !$0.state.holds(Story.key) } ?? true
    return verdict == rule.promise && (found ?? Story.value) == Story.value && isClean
  }

  /// Plays it in a directory that exists and is empty.
  /// - Parameter mergeRule: What the merges go by instead of the rule: for tests.
  init(_ rule: StoryRule, _ gap: StoryGap, in directory: String, mergeRule: (any MergeRule)? = nil) throws {
    self.rule = rule
    self.gap = gap
    var stage = try StoryStage(directory, rule: mergeRule ?? rule.mergeRule)
    try play(&stage)
  }

  private mutating func play(_ stage: inout StoryStage) throws {
    // Long enough to fill a file by itself.
    let long = String(repeating: ".", count: 24)
    try stage.put("lemon", long)
    try stage.put("mango", long)
    try stage.put("berry", "blue")
    try stage.put(Story.key, Story.value)
    scenes.append(
      StoryScene(
        number: 1, title: "PUT apple",
        text: ["The record goes to the end of 000003.data, and the keydir points to it."], state: try stage.state()))

    try stage.put("grape", long)
    for value in ["one", "two"] {
      try stage.put("dates", value)
      try stage.put("melon", value)
    }
    try stage.put("melon", "three")
    let stamp = try stage.delete(Story.key)
    scenes.append(
      StoryScene(
        number: 2, title: "DELETE apple",
        text: [
          "A tombstone goes to the end of 000007.data. The put in 000003.data is dead, and stays on the disk until that",
          "file is merged.",
        ], state: try stage.state()))

    if gap == .delayed {
      try stage.purge(Story.key, stamp)
      scenes.append(
        StoryScene(
          title: "Meanwhile",
          text: [
            "All replicas confirm the tombstone, so it is purged: its slot goes, and the floor rises to its stamp. Copies of",
            "apple from elsewhere, up to that stamp, are not taken any more. Its record is dead and still in 000007.data.",
          ], state: try stage.state()))
    }

    try stage.merge([5, 6, 7])
    scenes.append(
      StoryScene(number: 3, title: "Merge of files 5, 6 and 7", text: mergeText, state: try stage.state()))

    stage.crash()
    scenes.append(
      StoryScene(
        number: 4, title: "Crash", text: ["The process is gone, and the keydir with it. The files stay as they are."],
        state: try stage.state()))

    try stage.restart()
    scenes.append(StoryScene(number: 5, title: "Restart", text: restartText, state: try stage.state()))
    found = try stage.get(Story.key)
    if rule == .overlap && gap == .delayed { try playEpilogue(&stage, stamp) }
  }

  private mutating func playEpilogue(_ stage: inout StoryStage, _ stamp: Stamp) throws {
    try stage.purge(Story.key, stamp)
    try stage.merge([3, 8])
    epilogue.append(
      StoryScene(
        title: "Epilogue: purge again, merge of files 3 and 8",
        text: [
          "The confirmations still stand, so the tombstone is purged again. With 000003.data among the inputs no file that",
          "stays holds apple: put and tombstone leave the disk together.",
        ], state: try stage.state()))
    stage.crash()
    try stage.restart()
    foundAtLast = try stage.get(Story.key)
    epilogue.append(
      StoryScene(
        title: "Crash and restart, once more", text: ["No file has a record of apple. The floor has stayed."],
        state: try stage.state()))
  }

  // MARK: What is said

  private var mergeText: [String] {
    switch (rule, gap) {
    case (.naive, .immediate):
      [
        "What counts moves to 000008.data, then the three files go. The rule drops the tombstone, its slot goes, and the",
        "floor rises; a GET still says \"not found\". Nobody has asked 000003.data.",
      ]
    case (.naive, .delayed):
      [
        "What counts moves to 000008.data, then the three files go. The tombstone is purged, so the rule drops its record.",
        "Nobody has asked 000003.data.",
      ]
    case (.overlap, .immediate):
      [
        "What counts moves to 000008.data, then the three files go. The tombstone counts: it is what the store knows of",
        "apple, until all replicas have confirmed it.",
      ]
    case (.overlap, .delayed):
      [
        "What counts moves to 000008.data, then the three files go. The tombstone counts no more, and its record moves",
        "along: the hint of 000003.data has the hash of apple, and that file has values of lower stamps.",
      ]
    }
  }

  private var restartText: [String] {
    switch (rule, gap) {
    case (.naive, .immediate):
      ["The files are read, and of each key the highest stamp counts. Of apple only the old put is left."]
    case (.naive, .delayed):
      [
        "The files are read, and of each key the highest stamp counts. Of apple only the old put is left. The floor does",
        "not help: below it lie the newest records of other keys too, so it cannot judge what the files hold.",
      ]
    case (.overlap, .immediate):
      ["The files are read, and of each key the highest stamp counts: the tombstone beats the put."]
    case (.overlap, .delayed):
      ["The files are read, and of each key the highest stamp counts: the tombstone beats the put, and counts again."]
    }
  }

  /// What the verdict means.
  var moral: [String] {
    switch (rule, verdict) {
    case (.naive, .isBack):
      ["The client had been told that it was deleted. The tombstone left the disk before what it kept dead."]
    case (.overlap, .staysDeleted): ["The tombstone leaves the disk together with what it keeps dead, or after it."]
    default: ["Rule \(rule.rawValue) leads to the contrary: \(rule.promise.rawValue)."]
    }
  }
}
