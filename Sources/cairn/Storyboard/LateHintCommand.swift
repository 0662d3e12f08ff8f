import Platform
import Primitives
import Protocols
import Simulation
import Storage

// `cairn storyboard --cluster`: the story of the late hint on real processes, or, with a rule left out, in the simulator.

/// The rule that `--without` names, if it does.
func ruleLeftOut(_ arguments: Arguments) throws(UsageError) -> Rule? {
  guard let word = arguments.value("--without") else { return nil }
  let names = SimulatedStage.rules.map(\.name)
  guard arguments.has("--cluster") else {
    throw arguments.problem("--without leaves a rule out of the story of the cluster", hint: "add --cluster")
  }
  if let rule = SimulatedStage.rules.first(where: { $0.name == word }) { return rule }
  let fit = "without \(names.joined(separator: " or ")) it brings the keys back"
  if Rule.allCases.contains(where: { $0.name == word }) {
    throw arguments.problem("rule \(word) is not what stands in the way of a late hint", hint: fit)
  }
  throw arguments.problem(
    "--without is '\(word)', which is no rule",
    hint: nearest(to: word, among: names).map { "did you mean --without \($0)?" } ?? fit)
}

/// Plays it with the rule left out, and then with all of them. - Returns: The exit code.
func storyboardSimulated(without rule: Rule, _ arguments: Arguments) throws -> Int32 {
  let printsJSON = arguments.has("--json")
  if !printsJSON {
    try printOut(
      LateHintStory.opening(
        "Three nodes in the simulator, without rule \(rule.name): \(SimulatedStage.meaning(rule))."))
  }
  var broken = SimulatedStage(without: rule)
  let story = try tellStory(&broken, printsJSON: printsJSON)
  var whole = SimulatedStage(without: nil)
  let kept = try LateHintStory(on: &whole)
  if printsJSON {
    try printOut(story.json(on: "simulator", without: rule.name, kept: kept).text(indent: true) + "\n")
  } else {
    try printOut("\nThe same with all rules, the end:\n\n" + (kept.scenes.last?.shown ?? "") + kept.verdictText)
  }
  guard story.back != nil else { throw Failure("without rule \(rule.name) no key came back") }
  guard kept.staysDeleted else { throw Failure("with all rules a deleted key was found, or a read was not answered") }
  return 0
}

/// Plays it, and leaves neither process nor file behind. - Returns: The exit code.
func storyboardOnProcesses(_ arguments: Arguments) throws -> Int32 {
  let printsJSON = arguments.has("--json")
  do {
    return try inTemporaryDirectory { directory in
      let stage = try ProcessStage(directory, settings: LateHintStory.settings)
      defer { stage.end() }
      if !printsJSON {
        try printOut(LateHintStory.opening("Three real processes in \(directory), removed at the end."))
      }
      try stage.begin()
      var played = stage
      let story = try tellStory(&played, printsJSON: printsJSON)
      if printsJSON { try printOut(story.json(on: "processes").text(indent: true) + "\n") }
      guard story.staysDeleted else { throw Failure("a deleted key was found, or a read was not answered") }
      return 0
    }
  } catch let stop as StoppedBySignal {
    writeToStandardError("cairn: stopped by \(stop.signal)\n")
    return stop.exitCode
  }
}

/// Plays it on a stage and prints every step as soon as it is over, unless one JSON object comes at the end.
func tellStory(_ stage: inout some ClusterStage, printsJSON: Bool) throws -> LateHintStory {
  let story = try LateHintStory(on: &stage) { if !printsJSON { try printOut($0.shown) } }
  if !printsJSON { try printOut(story.readsText + story.verdictText) }
  return story
}
