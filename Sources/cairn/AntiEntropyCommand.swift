import Client
import Protocols

// `cairn anti-entropy`: how equal replicas are, what is being filled and what the scrub has found; with --run, comparing
// and repairing now.

let antiEntropyCommand = Subcommand(
  name: "anti-entropy", summary: "show how replicas are kept equal, or compare and repair them now",
  details: [
    "Nodes compare their stores with each other's and pull what they lack, fill stores that lost something, and read their",
    "files to find damage; all of this happens by itself. Here is when each was last compared with whom and what that found,",
    "which stores are being filled and how long that takes, and how far the scrub is; \"! …\" says what to look at.",
    "--run makes one round of every node with all its peers now, one node after the other, and waits for its end.", "",
    "Nodes are those of --url, or all of the local cluster in DIR; with neither, those of $\(ObjectRequest.urlVariable), or of the local",
    "cluster in ./.cairn. Exit code 1 when one of them cannot be asked, or when --run could not compare everything.",
  ],
  options: Arguments.nodesToAskOptions + [
    Option("--stores", help: "a row for each store and peer, instead of one for each peer"),
    Option("--run", help: "compare and repair now"),
    Option("--json", help: "print JSON"),
  ],
  examples: [
    "anti-entropy", "anti-entropy --stores --url http://127.0.0.1:10018",
    "anti-entropy --run",
  ],
  run: antiEntropy)

@Sendable private func antiEntropy(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  if arguments.has("--run") && arguments.has("--stores") {
    throw arguments.problem(
      "--run says what a round came to, and has no row for each store", hint: "leave --stores out")
  }
  let endpoints = try arguments.nodesToAsk()
  return arguments.has("--run") ? try run(endpoints, arguments) : try show(endpoints, arguments)
}

private func show(_ endpoints: [Endpoint], _ arguments: Arguments) throws -> Int32 {
  let (documents, problems) = shownDocuments(AntiEntropyReport.path, endpoints)
  let report = AntiEntropyReport(documents, unreachable: problems)
  if arguments.has("--json") {
    try printOut(report.json.text(indent: true) + "\n")
  } else if !documents.isEmpty {
    try printOut(report.text(perStore: arguments.has("--stores")))
  }
  guard problems.isEmpty else { throw Failure(problems.joined(separator: "; ")) }
  return 0
}

private func run(_ endpoints: [Endpoint], _ arguments: Arguments) throws -> Int32 {
  let report = RoundReport(try AntiEntropyRounds(endpoints).run())
  if arguments.has("--json") {
    try printOut(report.json.text(indent: true) + "\n")
  } else if report.isWorthPrinting {
    try printOut(report.text)
  }
  if let failure = report.failure { throw Failure(failure) }
  return 0
}
