import Client
import Protocols

// `cairn quarantine`: values that nobody but one node has and that were most likely deleted; listed, shown, written anew
// or dropped.

let quarantineCommand = Subcommand(
  name: "quarantine", summary: "show values that were kept aside instead of being brought back, and decide about them",
  details: [
    "A node that comes back with an old copy of a key, or is handed an old write, asks the other owners. Where none of them",
    "has the key, and tombstones as new as that copy were collected, it is most likely deleted: it does not come back, and its",
    "value is kept in quarantine on that node. list shows what there is (as cairn quarantine alone does), show what is in one,",
    "re-put writes it anew, as a write of now, and drop forgets it. Nothing is done about any of them by itself.", "",
    "Nodes are those of --url, or all of the local cluster in DIR; with neither, those of $\(ObjectRequest.urlVariable), or of the local",
    "cluster in ./.cairn. Exit code 1 when one of them cannot be asked.",
  ],
  options: quarantineListOptions, examples: ["quarantine", "quarantine show fruit apple"],
  children: [quarantineListCommand, quarantineShowCommand, quarantinePutCommand, quarantineDropCommand],
  runsWithoutChild: true, run: listQuarantine)

private let quarantineListOptions =
  Arguments.nodesToAskOptions + [
    Option("--limit", "N", help: "values of each node, a few more where a page ends later (default 100)"),
    Option("--from", "PAGE", help: "where the list goes on, as it said; of one node, named by --url"),
    Option("--json", help: "print JSON"),
  ]

private let quarantineListCommand = Subcommand(
  name: "list", summary: "list the objects that have a value in quarantine",
  details: ["What goes beyond --limit is named with its number and the command that goes on there."],
  options: quarantineListOptions,
  examples: ["quarantine list", "quarantine list --limit 1000 --json"], run: listQuarantine)

private let objectOptions =
  Arguments.nodesToAskOptions + [Option("--type", "T", help: "bucket type of BUCKET (default: default)")]

private let quarantineShowCommand = Subcommand(
  name: "show", summary: "print the value that is kept of one object", operands: "BUCKET KEY",
  details: [
    "Of each node that keeps one: when it was written, its type, its length and the value itself. Exit code 1 when none does."
  ], options: objectOptions, examples: ["quarantine show fruit apple"], run: showQuarantined)

private let allOption = Option("--all", help: "all that is in quarantine on these nodes, instead of BUCKET and KEY")

private let quarantinePutCommand = Subcommand(
  name: "re-put", summary: "write a value anew, and take it out of quarantine", operands: "[BUCKET KEY]",
  details: [
    "It is a write of now, whatever is under its key: the old stamp never comes back. Where several nodes keep values of one",
    "key the newest is written, and the others are dropped.",
  ], options: objectOptions + [allOption], examples: ["quarantine re-put fruit apple"],
  run: { try decide(.put, $0) })

private let quarantineDropCommand = Subcommand(
  name: "drop", summary: "forget a value in quarantine for ever", operands: "[BUCKET KEY]",
  details: [
    "On every node that keeps one. It may be the last copy of a write whose owners have all lost it, so it asks for --yes:",
    "without it nothing is done, and what would be dropped is told.",
  ], options: objectOptions + [allOption, Option("--yes", help: "do it")],
  examples: ["quarantine drop fruit apple --yes", "quarantine drop --all --yes"],
  run: { try decide(.discard, $0) })

// MARK: - Looking

@Sendable private func listQuarantine(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  let limit = try arguments.integer("--limit", in: 1...QuarantineReport.limitMax) ?? QuarantineReport.limitDefault
  let endpoints = try arguments.nodesToAsk()
  let from = arguments.value("--from")
  if from != nil, endpoints.count != 1 {
    throw arguments.problem("--from is the place in one node's list", hint: "name that node with --url")
  }
  var views: [QuarantineView] = []
  var problems: [String] = []
  for endpoint in endpoints {
    do throws(Failure) {
      views.append(try QuarantineView(endpoint, from: from, limit: limit))
    } catch {
      problems.append(error.message)
    }
  }
  let report = QuarantineReport(views, unreachable: problems)
  try printOut(arguments.has("--json") ? report.json.text(indent: true) + "\n" : report.text)
  guard problems.isEmpty else { throw Failure(problems.joined(separator: "; ")) }
  return 0
}

@Sendable private func showQuarantined(_ arguments: Arguments) throws -> Int32 {
  guard let name = try QuarantineName(arguments) else {
    throw arguments.problem("show needs BUCKET and KEY")
  }
  var problems: [String] = []
  var isFound = false
  for endpoint in try arguments.nodesToAsk() {
    do throws(Failure) {
      let value = try askedDocumentIfThere("GET", name.target, endpoint, patienceMilliseconds: lookMillisecondsMax)
      guard let value else { continue }
      isFound = true
      try printOut(name.heading(value, endpoint))
    } catch {
      problems.append(error.message)
    }
  }
  if !isFound, problems.isEmpty { problems.append(name.absent) }
  guard problems.isEmpty else { throw Failure(problems.joined(separator: "; ")) }
  return 0
}

extension QuarantineName {
  fileprivate func heading(_ value: JSON, _ endpoint: Endpoint) -> String {
    let bytes = byteText(Double(value["bytes"]?.integer ?? 0))
    let written = value["written"]?.string ?? "?"
    return "\(text) on \(endpoint), written \(written), \(value["content_type"]?.string ?? "?"), \(bytes)\n"
      + (value["value"]?.string ?? "(no object's content)") + "\n"
  }
}

// MARK: - Deciding

enum QuarantineTask: String {
  case put, discard
}

private func decide(_ task: QuarantineTask, _ arguments: Arguments) throws -> Int32 {
  let name = try QuarantineName(arguments)
  guard (name != nil) != arguments.has("--all") else {
    throw arguments.problem("\(task == .put ? "re-put" : "drop") needs BUCKET and KEY, or --all")
  }
  var copies: [QuarantineCopy] = []
  var problems: [String] = []
  for endpoint in try arguments.nodesToAsk() {
    do throws(Failure) {
      if let name {
        copies += try QuarantineCopy.one(name, endpoint)
      } else {
        copies += try QuarantineView(endpoint, from: nil, limit: .max).copies
      }
    } catch {
      problems.append(error.message)
    }
  }
  let values = QuarantinedValue.all(copies)
  if task == .discard, !arguments.has("--yes"), !values.isEmpty {
    let what = values.count == 1 ? "the value of \(values[0].name)" : "\(grouped(values.count)) values"
    throw arguments.problem("this forgets \(what) for ever", hint: "add --yes to do it")
  }
  if values.isEmpty, problems.isEmpty { problems.append(name?.absent ?? "nothing is in quarantine on these nodes") }
  if !values.isEmpty { problems += try perform(task, values) }
  guard problems.isEmpty else { throw Failure(problems.joined(separator: "; ")) }
  return 0
}

/// - Returns: What went wrong, a line each.
private func perform(_ task: QuarantineTask, _ values: [QuarantinedValue]) throws(Failure) -> [String] {
  var line = ProgressLine(task == .put ? "writing anew" : "dropping", .items("values"), total: UInt64(values.count))
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
  try printOut("\(task == .put ? "wrote" : "dropped") \(plural(done, "value"))\(task == .put ? " anew" : "")\n")
  let shown = problems.prefix(QuarantineReport.problemsMax)
  return shown + (problems.count > shown.count ? ["… and \(problems.count - shown.count) more"] : [])
}
