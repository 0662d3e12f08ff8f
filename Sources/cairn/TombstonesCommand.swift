import Protocols

// `cairn tombstones`: which deletes are not forgotten yet, who keeps them, and what may be done about it.

let tombstonesCommand = Subcommand(
  name: "tombstones", summary: "show the deletes that nodes still remember, who keeps them, and what to do about it",
  details: [
    "A delete leaves a tombstone on every owner of its key, until every owner is known to have it; then it goes by itself.",
    "Here are those that wait: for each node and partition how many, the bytes of their records, the age of the oldest, and what",
    "must happen first before it can go. For each such reason a line says what to do. Nothing has to be done by hand to make",
    "them go, and there is no way to make them go before that: a deleted key could come back.",
    "A tombstone counts on each node that has it, so one delete is up to n_val of them.", "",
    "Nodes are those of --url, or all of the local cluster in DIR; with neither, those of $\(ObjectRequest.urlVariable), or of the local",
    "cluster in ./.cairn. Exit code 1 when one of them cannot be asked.",
  ],
  options: Arguments.nodesToAskOptions + [Option("--json", help: "print JSON: all reasons, and all partitions")],
  examples: [
    "tombstones", "tombstones --url http://127.0.0.1:10018 --url http://127.0.0.1:10028", "tombstones --json",
  ],
  run: tombstones)

@Sendable private func tombstones(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  let (documents, problems) = shownDocuments(TombstoneView.path, try arguments.nodesToAsk())
  let report = TombstoneReport(documents.map(TombstoneView.init), unreachable: problems)
  if !documents.isEmpty || arguments.has("--json") {
    try printOut(arguments.has("--json") ? report.json.text(indent: true) + "\n" : report.text)
  }
  guard problems.isEmpty else { throw Failure(problems.joined(separator: "; ")) }
  return 0
}
