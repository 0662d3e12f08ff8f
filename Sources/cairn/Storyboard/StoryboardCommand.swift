import Platform
import Primitives
import Protocols
import Storage

// `cairn storyboard`: plays the story of a key that comes back, or does not, and shows the files after every step.

let storyboardCommand = Subcommand(
  name: "storyboard",
  summary: "play how a deleted key comes back with a naive merge or a late hint, and why here it does not",
  details: [
    "PUT in file 3, DELETE in file 7, merge of files 5 to 7, crash, restart: on the real engine, in a temporary directory",
    "that is removed at the end. After each step the files with their records and the keydir are shown. Rule naive is in",
    "this command only; nodes merge by rule overlap. Exit code 0 when the store behaved as the rule promises.",
    "With --cluster: n3 is killed, keys are written, n3 returns, the keys are deleted and their tombstones forgotten, and then",
    "the hints of the writes reach n3. On three real processes, on free ports and in such a directory; 20 seconds or so.",
    "With --without too: the same in the simulator, where no node keeps to that rule, and then with all. Exit code 0 when",
    "the keys stay deleted with all rules, and come back without that one.",
  ],
  options: [
    Option("--rule", "RULE", help: "naive: merges drop every tombstone; overlap (default): as nodes do it"),
    Option(
      "--gap", "GAP", help: "immediate (default): merge before all replicas have the delete; delayed: after its purge"),
    Option("--cluster", help: "the story of a late hint on three real processes"),
    Option(
      "--without", "RULE", help: "with --cluster: in the simulator, no node keeps to it: floor, hint-stamp"),
    Option("--json", help: "print one JSON object"),
  ],
  examples: [
    "storyboard --rule naive", "storyboard --rule overlap --gap delayed", "storyboard --cluster",
    "storyboard --cluster --without floor",
  ], run: storyboard)

@Sendable private func storyboard(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  let leftOut = try ruleLeftOut(arguments)
  if arguments.has("--cluster") {
    for option in ["--rule", "--gap"] where arguments.value(option) != nil {
      throw arguments.problem(
        "\(option) is for the story of one store's files", hint: "leave out --cluster or \(option)")
    }
    if let leftOut { return try storyboardSimulated(without: leftOut, arguments) }
    return try storyboardOnProcesses(arguments)
  }
  let rule: StoryRule = try arguments.choice("--rule") ?? .overlap
  let gap: StoryGap = try arguments.choice("--gap") ?? .immediate
  let signals: TerminationSignals
  do throws(Errno) { signals = try TerminationSignals(withHangup: true) } catch {
    throw Failure("cannot watch for signals: \(error)")
  }
  // Milliseconds, and a signal waits: whatever happens the directory goes.
  let story = try inTemporaryDirectory { directory in
    do {
      return try Story(rule, gap, in: directory)
    } catch let error as StorageError {
      throw Failure("\(error)")
    }
  }
  if let signal = signals.next() {
    writeToStandardError("cairn: stopped by \(signal)\n")
    return TerminationSignals.exitCode(of: signal)
  }
  try printOut(arguments.has("--json") ? story.json.text(indent: true) + "\n" : story.text)
  guard story.isAsPromised else { throw Failure("the store did not behave as rule \(rule.rawValue) promises") }
  return 0
}

extension Arguments {
  /// The option's value as one of the words of `Choice`; nil when it was not given.
  fileprivate func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ option: String
  ) throws(UsageError) -> Choice? {
    guard let word = value(option) else { return nil }
    if let choice = Choice(rawValue: word) { return choice }
    let words = Choice.allCases.map(\.rawValue)
    let hint = nearest(to: word, among: words).map { "did you mean \(option) \($0)?" }
    throw problem("\(option) is '\(word)', not one of: \(words.joined(separator: ", "))", hint: hint)
  }
}

/// Gives `body` an empty directory that is removed afterwards.
func inTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
  let directory = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-storyboard-\(try randomSeed())"
  do throws(Errno) {
    try FileTree.create(directory)
  } catch {
    throw Failure("cannot create \(directory): \(error)")
  }
  defer { try? FileTree.remove(directory) }
  return try body(directory)
}
