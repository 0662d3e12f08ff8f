import Client
import Platform
import Primitives
import Protocols
import Server

// `cairn backup`: a copy of what all nodes of a cluster hold, while it works, from which `cairn restore` fills a new one.

let backupCommand = Subcommand(
  name: "backup", summary: "copy what a whole cluster holds into a directory", operands: "DIR",
  details: [
    "DIR must be empty, or not be there. Every node of the cluster must answer, and every one must be named: by --url,",
    "several times, or as a local cluster. Each makes snapshots, which are copied over HTTP; then DIR/backup.json is",
    "written, which names every file with its checksum. Without that file a directory is no backup.",
    "",
    "Every record is read in the end. A store with damage is not used; it is named, and the others must make up for it.",
    "",
    "In it is every write that was acknowledged before the backup began, and every delete; of what was written",
    "meanwhile some is there and some is not. cairn restore fills a new, empty cluster from it.",
    "",
    "While snapshots are made, and up to two minutes longer, no tombstone is forgotten.",
  ],
  options: Arguments.nodesToAskOptions + [
    withoutOption,
    Option("--retry-for", "TIME", help: "how long a node may be away while files are copied (default: 60s)"),
    Option("--quiet", help: "show no progress"), Option("--json", help: "print the result as JSON"),
  ],
  examples: ["backup /backup/monday", "backup /backup/monday --url http://10.0.0.1:8098 --url http://10.0.0.2:8098"],
  children: [backupVerifyCommand], runsWithoutChild: true, run: runBackup)

let backupVerifyCommand = Subcommand(
  name: "verify", summary: "check every byte of a backup", operands: "DIR",
  details: [
    "Compares every file with DIR/backup.json, and looks at every record of every store. Each damage is named.",
    "Exit code 0 when the backup is whole, 1 when it is not.",
  ],
  options: [Option("--quiet", help: "show no progress"), Option("--json", help: "print the result as JSON")],
  examples: ["backup verify /backup/monday"], run: runBackupVerify)

let withoutOption = Option(
  "--without", "NODE", repeats: true, help: "leave this node out; what only it holds is missing then")

@Sendable private func runBackup(_ arguments: Arguments) throws -> Int32 {
  guard arguments.positionals.count == 1, !arguments.positionals[0].isEmpty else {
    throw arguments.problem("backup needs one DIR", hint: "usage: cairn backup DIR [--url URL]…")
  }
  let retry = try arguments.retryMilliseconds()
  let endpoints = try arguments.nodesToAsk()
  let began = SystemClock().now()
  let cluster = try BackupCluster(
    endpoints, without: arguments.allValues("--without"), began: timestamp(wallMilliseconds: began.wallMilliseconds))
  let place = try BackupPlace(arguments.positionals[0])
  let isQuiet = arguments.has("--quiet")
  let manifest: BackupManifest
  let damage: BackupDamage
  do {
    let snapshots = try cluster.makeSnapshots(wallMilliseconds: began.wallMilliseconds, isQuiet: isQuiet)
    defer { snapshots.remove() }
    (manifest, damage) = try place.fill(from: snapshots, retryMilliseconds: retry, isQuiet: isQuiet)
  } catch {
    place.abandon(cluster.manifest.nodes)
    throw error
  }
  let milliseconds = SystemClock().now().instant.milliseconds(since: began.instant)
  if arguments.has("--json") {
    try printOut(report(manifest, damage, place, milliseconds).text(indent: true) + "\n")
  } else {
    try printOut(text(manifest, damage, place, milliseconds))
  }
  return 0
}

private func report(
  _ manifest: BackupManifest, _ damage: BackupDamage, _ place: BackupPlace, _ milliseconds: UInt64
) -> JSON {
  .object([
    "directory": .string(place.directory), "cluster_id": .string(manifest.clusterID), "began": .string(manifest.began),
    "nodes": .array(manifest.nodes.map { .string($0.name) }),
    "without": .array(manifest.without.map { .string($0) }), "files": .count(manifest.files.count),
    "bytes": .count(manifest.bytes), "damaged_stores": damage.json,
    "seconds": .number(Double(milliseconds) / 1000),
  ])
}

private func text(
  _ manifest: BackupManifest, _ damage: BackupDamage, _ place: BackupPlace, _ milliseconds: UInt64
) -> String {
  let size = byteText(Double(manifest.bytes))
  let directory = shellQuoted(place.directory)
  let counts = "\(plural(manifest.nodes.count, "node")), \(plural(manifest.files.count, "file")), \(size)"
  var lines = [
    "backup \(place.directory): \(counts), \(Double(milliseconds / 100) / 10) s",
    "  it holds every write and delete that was acknowledged before \(manifest.began)",
  ]
  lines += damage.lines.map { "  " + oneLine($0) }
  if !manifest.without.isEmpty {
    lines.append(
      "  it was made without \(manifest.without.joined(separator: ", ")): writes that fewer than a quorum had may be "
        + "missing")
  }
  lines += ["check it:    cairn backup verify \(directory)", "restore it:  cairn restore \(directory) --url URL…"]
  return lines.joined(separator: "\n") + "\n"
}
