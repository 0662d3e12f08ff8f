import Causality
import Client
import Messages
import Protocols

// `cairn quarantine`: values that nobody but one node has and that were most likely deleted; listed, shown, written anew
// or forgotten.

let quarantineCommand = Subcommand(
  name: "quarantine", summary: "show values that were kept aside instead of being brought back, and decide about them",
  operands: "[BUCKET KEY]",
  details: [
    "A node that comes back with an old copy of a key, or is handed an old write, asks the other owners. Where none of them",
    "has the key, and tombstones as new as that copy were collected, it is most likely deleted: it does not come back, and its",
    "value is kept in quarantine on that node. Here are all of them. --put writes one anew, as a write of now (where several",
    "nodes keep values of one key the newest of them, and the others are forgotten); --discard forgets it on every node; with",
    "--all instead of BUCKET and KEY that is done to all of them.", "",
    "Nodes are those of --url, or all of the local cluster in DIR; with neither, those of $\(ObjectRequest.urlVariable), or of the local",
    "cluster in ./.cairn. Exit code 1 when one of them cannot be asked, or BUCKET and KEY are in quarantine on none.",
  ],
  options: Arguments.nodesToAskOptions + [
    Option("--type", "T", help: "bucket type of BUCKET (default: default)"),
    Option("--put", help: "write it anew, whatever is under its key now"),
    Option("--discard", help: "forget it"),
    Option("--all", help: "all that is in quarantine on these nodes, instead of BUCKET and KEY"),
    Option("--json", help: "print JSON"),
  ],
  examples: [
    "quarantine", "quarantine fruit apple", "quarantine fruit apple --put", "quarantine --all --discard",
  ],
  run: quarantine)

@Sendable private func quarantine(_ arguments: Arguments) throws -> Int32 {
  let name = try QuarantineName(arguments)
  let task = try arguments.quarantineTask(name)
  let endpoints = try arguments.nodesToAsk()
  var views: [QuarantineView] = []
  var problems: [String] = []
  for endpoint in endpoints {
    do throws(Failure) {
      views.append(try QuarantineView(endpoint, name, isWhole: name != nil || task != nil || arguments.has("--json")))
    } catch {
      problems.append(error.message)
    }
  }
  if let task {
    problems += perform(task, views)
  } else if name != nil, !arguments.has("--json") {
    try show(views)
  } else {
    let report = QuarantineReport(views, unreachable: problems)
    try printOut(arguments.has("--json") ? report.json.text(indent: true) + "\n" : report.text)
  }
  if let name, task == nil, problems.isEmpty, views.allSatisfy(\.entries.isEmpty) {
    problems.append("\(name.bucket)/\(name.key) is not in quarantine on any of these nodes")
  }
  guard problems.isEmpty else { throw Failure(problems.joined(separator: "; ")) }
  return 0
}

/// One object, as it is listed.
struct QuarantineName {
  let type: String
  let bucket: String
  let key: String

  /// Nil when no object is named.
  init?(_ arguments: Arguments) throws {
    let words = arguments.positionals
    guard !words.isEmpty else { return nil }
    guard words.count == 2 else {
      throw arguments.problem(
        "an object is named by BUCKET and KEY", hint: "see \(arguments.command) --help")
    }
    type = arguments.value("--type") ?? "default"
    (bucket, key) = (words[0], words[1])
  }
}

private enum QuarantineTask: String {
  case put, discard
}

extension Arguments {
  fileprivate func quarantineTask(_ name: QuarantineName?) throws -> QuarantineTask? {
    let tasks = [QuarantineTask.put, .discard].filter { has("--\($0.rawValue)") }
    guard tasks.count < 2 else { throw problem("--put and --discard are two answers", hint: "give one of them") }
    guard let task = tasks.first else {
      if has("--all") { throw problem("--all says what, but not what to do", hint: "add --put or --discard") }
      return nil
    }
    guard (name != nil) != has("--all") else {
      throw problem("--\(task.rawValue) needs BUCKET and KEY, or --all", hint: "see \(command) --help")
    }
    return task
  }
}

/// - Returns: What went wrong, a line each.
private func perform(_ task: QuarantineTask, _ views: [QuarantineView]) -> [String] {
  let values = QuarantinedValue.all(views)
  guard !values.isEmpty else { return views.isEmpty ? [] : ["nothing of that is in quarantine on these nodes"] }
  var line = ProgressLine(task == .put ? "writing anew" : "discarding", .items("values"), total: UInt64(values.count))
  var done = 0
  var problems: [String] = []
  for value in values {
    do throws(Failure) {
      try value.perform(task)
      done += 1
    } catch {
      problems.append("\(value.name): \(error.message)")
    }
    line.advance(by: 1)
  }
  line.finish()
  let word = done == 1 ? "value" : "values"
  try? printOut("\(task == .put ? "wrote" : "discarded") \(grouped(done)) \(word)\(task == .put ? " anew" : "")\n")
  let shown = problems.prefix(QuarantineReport.problemsMax)
  return shown + (problems.count > shown.count ? ["… and \(problems.count - shown.count) more"] : [])
}

/// What nodes keep of one key.
private struct QuarantinedValue {
  let name: String
  /// The newest first.
  private var copies: [(endpoint: Endpoint, entry: QuarantineEntryView)]

  static func all(_ views: [QuarantineView]) -> [QuarantinedValue] {
    var values: [QuarantinedValue] = []
    var places: [String: Int] = [:]
    for view in views {
      for entry in view.entries {
        if let place = places[entry.name] {
          values[place].copies.append((view.endpoint, entry))
        } else {
          places[entry.name] = values.count
          values.append(QuarantinedValue(name: entry.name, copies: [(view.endpoint, entry)]))
        }
      }
    }
    for index in values.indices {
      values[index].copies.sort { Stamp($0.entry.stamp) ?? .zero > Stamp($1.entry.stamp) ?? .zero }
    }
    return values
  }

  /// Of several values the newest is written anew, once; then the others have nothing to wait for.
  func perform(_ task: QuarantineTask) throws(Failure) {
    for (index, copy) in copies.enumerated() {
      let word = index == 0 ? task : .discard
      _ = try askedDocument(
        "POST", copy.entry.target("&do=\(word.rawValue)&stamp=\(copy.entry.stamp)"), copy.endpoint,
        patienceMilliseconds: 4 * lookMillisecondsMax)
    }
  }
}

private func show(_ views: [QuarantineView]) throws {
  for view in views {
    for entry in view.entries {
      let document = try askedDocument(
        "GET", entry.target(""), view.endpoint, patienceMilliseconds: lookMillisecondsMax)
      let bytes = document["bytes"]?.integer ?? 0
      let type = document["content_type"]?.string ?? "?"
      try printOut("\(entry.name) on \(view.name), written \(entry.written), \(type), \(byteText(Double(bytes)))\n")
      try printOut((document["value"]?.string ?? "(no object's content)") + "\n")
    }
  }
}
