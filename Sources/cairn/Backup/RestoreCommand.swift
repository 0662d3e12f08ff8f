import Client
import Messages
import Platform
import Primitives
import Protocols

// `cairn restore`: everything that was alive in a backup, written into a new cluster.

let restoreCommand = Subcommand(
  name: "restore", summary: "fill a new, empty cluster from a backup", operands: "DIR",
  details: [
    "DIR is what cairn backup has made; it is checked first, every byte of it. The new cluster may have any number of",
    "nodes. All of them are named, by --url, several times, or as a local cluster, and must be empty.",
    "",
    "Of every key the newest of all copies counts, those in hints too: a value is written anew, with its content type",
    "and metadata; what was deleted stays away. Nothing is written into the cluster that the backup is of, nor into the",
    "data directory of a node: a single old copy among newer ones is fenced and made anew by them anyway.",
    "",
    "Exit code 0 when all is in, 1 when it is not; --resume then goes on.",
  ],
  options: Arguments.nodesToAskOptions + [
    withoutOption, Option("--check", help: "check the backup, count what is in it, and write nothing"),
    Option("--resume", help: "go on with a restore that was broken off; what is there is not written over"),
    inFlightOption, Option("--retry-for", "TIME", help: "how long to try again before giving up (default: 60s)"),
    Option("--quiet", help: "show no progress"), Option("--json", help: "print the result as JSON"),
  ],
  examples: [
    "restore /backup/monday --url http://10.1.0.1:8098 --url http://10.1.0.2:8098", "restore /backup/monday --check",
  ],
  run: runRestore)

@Sendable private func runRestore(_ arguments: Arguments) throws -> Int32 {
  guard let directory = arguments.positionals.first, !directory.isEmpty else {
    throw arguments.problem("restore needs a DIR", hint: "usage: cairn restore DIR --url URL…")
  }
  if arguments.positionals.count > 1 { throw RestoreTarget.refusal(ofDirectory: arguments.positionals[1]) }
  if let data = arguments.value("--data"), FileTree.exists(data + "/node") {
    throw RestoreTarget.refusal(ofDirectory: data)
  }
  let inFlight = try arguments.integer("--in-flight", in: 1...BulkLimits.inFlightMax) ?? ImportPlan.inFlightDefault
  let retry = try arguments.retryMilliseconds()
  let isQuiet = arguments.has("--quiet")
  let isCheck = arguments.has("--check")
  let began = SystemClock().now().instant
  let manifest = try BackupManifest.load(directory)
  let without = arguments.allValues("--without")
  try checkLeftOut(without, manifest)
  // Before hours are spent on checking it.
  let target =
    isCheck
    ? nil : try RestoreTarget(try arguments.nodesToAsk(), for: manifest, mayHoldKeys: arguments.has("--resume"))
  var check = BackupCheck(directory, manifest, without: without)
  check.run(isQuiet: isQuiet)
  if let obstacle = check.obstacle { throw obstacle }
  var merge = try BackupMerge(directory, nodes: check.nodes, leftOut: check.damage.leftOut)
  var line = ProgressLine(
    isCheck ? "counting" : "restoring", .bytes, total: merge.bytes, isQuiet: isQuiet, isTold: true)
  defer { line.finish() }
  var counts = RestoreCounts()
  var rejections: [String] = []
  if let target {
    let writer = try RestoreWriter(
      target, inFlightMax: inFlight, retryMilliseconds: retry, isResumed: arguments.has("--resume"))
    try merge.run(progress: { line.advance(by: $0) }, take: { try writer.write($0) })
    try writer.finish()
    counts = writer.counts
    rejections = writer.rejections
  } else {
    try merge.run(progress: { line.advance(by: $0) }, take: { _ in })
  }
  line.finish()
  let report = RestoreReport(
    manifest: manifest, directory: directory, target: target, without: manifest.without + without,
    damage: check.damage, totals: merge.totals, doubtful: merge.doubtful, counts: counts, rejections: rejections,
    milliseconds: SystemClock().now().instant.milliseconds(since: began))
  try printOut(arguments.has("--json") ? report.json.text(indent: true) + "\n" : report.text)
  if let failure = report.failure { throw failure }
  return 0
}

/// Nodes that are left out count together with those that the backup was made without.
private func checkLeftOut(_ without: [String], _ manifest: BackupManifest) throws(Failure) {
  for name in without where !manifest.nodes.contains(where: { $0.name == name }) {
    let names = manifest.nodes.map(\.name).joined(separator: ", ")
    throw Failure("--without \(name): the backup has no such node; it has \(names)")
  }
  let count = Set(without).count + manifest.without.count
  guard count <= manifest.missingMax else {
    throw Failure(
      "\(count) nodes would be missing where each key had \(manifest.replicas): writes that a quorum acknowledged would "
        + "be missing. At most \(manifest.missingMax) can")
  }
}

struct RestoreReport {
  let manifest: BackupManifest
  let directory: String
  /// Nil when nothing was to be written.
  let target: RestoreTarget?
  /// Nodes that are not in it.
  let without: [String]
  let damage: BackupDamage
  let totals: BackupMerge.Totals
  let doubtful: [[UInt8]]
  let counts: RestoreCounts
  let rejections: [String]
  let milliseconds: UInt64

  var json: JSON {
    .object([
      "cluster_id": .optional(target) { .string($0.clusterID) }, "of_cluster": .string(manifest.clusterID),
      "began": .string(manifest.began), "values": .count(totals.values), "stored": .count(counts.stored),
      "present": .count(counts.present), "value_bytes": .count(counts.bytes), "deleted": .count(totals.deleted),
      "doubtful": .count(totals.doubtful), "doubtful_keys": .array(doubtful.map { .string(objectName($0)) }),
      "rejected": .count(counts.rejected), "rejections": .array(rejections.map { .string($0) }),
      "without": .array(without.map { .string($0) }), "damaged_stores": damage.json,
      "seconds": .number(Double(milliseconds) / 1000),
    ])
  }

  var text: String {
    let seconds = "\(Double(milliseconds / 100) / 10) s"
    var lines: [String] = []
    if let target {
      lines.append(
        "restored \(grouped(counts.stored)) values (\(byteText(Double(counts.bytes)))) into a cluster of "
          + "\(plural(target.nodeCount, "node")), \(seconds)")
      if counts.present > 0 {
        lines.append("  \(grouped(counts.present)) were there already, and were left as they are")
      }
    } else {
      lines.append("whole: \(grouped(totals.values)) values would be restored")
    }
    lines.append("  as of \(manifest.began); \(grouped(totals.deleted)) deleted keys stay away")
    lines += damage.lines.map { "  " + oneLine($0) } + doubtLines
    for rejection in rejections { lines.append(oneLine("  refused: \(rejection)")) }
    let unnamed = counts.rejected - rejections.count
    if unnamed > 0 { lines.append("  and \(grouped(unnamed)) more were refused") }
    return lines.joined(separator: "\n") + "\n"
  }

  private var doubtLines: [String] {
    guard totals.doubtful > 0 else { return [] }
    var lines = [
      "  \(grouped(totals.doubtful)) old values that only hints had were left out: their owners have forgotten later "
        + "deletes, perhaps of these keys"
    ]
    let missing = without + damage.stores.map { "store \($0.store.store) of \($0.store.node)" }
    if !missing.isEmpty {
      lines.append(
        "  some of them may be alive on what is not in it (\(missing.joined(separator: ", "))): where it still can be "
          + "asked, look there")
    }
    lines += doubtful.map { oneLine("  left out: \(objectName($0))") }
    if totals.doubtful > doubtful.count { lines.append("  and \(grouped(totals.doubtful - doubtful.count)) more") }
    return lines
  }

  /// Why not all is in; nil when it is.
  var failure: Failure? {
    guard let first = rejections.first else { return nil }
    return Failure(
      "\(plural(counts.rejected, "value")) of \(grouped(totals.values)) were refused, the first is \(first)")
  }
}
