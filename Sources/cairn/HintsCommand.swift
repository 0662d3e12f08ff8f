import Client
import Protocols

// `cairn hints`: what nodes keep for others that could not take it, and with --drain, handing it over now.

let hintsCommand = Subcommand(
  name: "hints", summary: "show the writes that nodes keep for others, or hand them over now",
  details: [
    "A write that a node cannot take is kept by another one, as a hint, until that node is up and takes it; this happens by",
    "itself. Here is what waits, for whom, for how long and why. --drain begins a round now, whatever was paused, and waits",
    "for its end. (The hint files of a store are something else: see cairn store hints.)", "",
    "Nodes are those of --url, or all of the local cluster in DIR; with neither, those of $\(ObjectRequest.urlVariable), or of the local",
    "cluster in ./.cairn. Exit code 1 when one of them cannot be asked, or when --drain leaves something.",
  ],
  options: Arguments.nodesToAskOptions + [
    Option("--drain", help: "hand over now what can be handed over"),
    Option("--json", help: "print JSON"),
  ],
  examples: [
    "hints", "hints --url http://127.0.0.1:10018 --url http://127.0.0.1:10028 --url http://127.0.0.1:10038",
    "hints --drain",
  ],
  run: hints)

@Sendable private func hints(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  let endpoints = try arguments.nodesToAsk()
  return arguments.has("--drain") ? try drain(endpoints, arguments) : try show(endpoints, arguments)
}

private func show(_ endpoints: [Endpoint], _ arguments: Arguments) throws -> Int32 {
  let (documents, problems) = shownDocuments(HintView.path, endpoints)
  let report = HintReport(documents.map(HintView.init), unreachable: problems)
  if !documents.isEmpty || arguments.has("--json") {
    try printOut(arguments.has("--json") ? report.json.text(indent: true) + "\n" : report.text)
  }
  guard problems.isEmpty else { throw Failure(problems.joined(separator: "; ")) }
  return 0
}

private func drain(_ endpoints: [Endpoint], _ arguments: Arguments) throws -> Int32 {
  let report = DrainReport(try HintDrain(endpoints).run())
  if !report.views.isEmpty || arguments.has("--json") {
    try printOut(arguments.has("--json") ? report.json.text(indent: true) + "\n" : report.text)
  }
  if let failure = report.failure { throw Failure(failure) }
  return 0
}
