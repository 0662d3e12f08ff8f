import Platform
import Protocols

// `cairn storyboard --cluster`: the story of the late hint on real processes.

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
