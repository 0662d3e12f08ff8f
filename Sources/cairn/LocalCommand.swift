import Client
import Platform
import Primitives
import Protocols

// `cairn local`: a cluster to try things with, and to hurt. Every subcommand finds the cluster by its data directory.

private let dataOption = Option("--data", "DIR", help: "where the cluster lives (default: ./.cairn)")

let localCommand = Subcommand(
  name: "local", summary: "run a cluster of real processes on this machine",
  examples: ["local up", "local status", "local kill 2", "local start 2", "local down --wipe"],
  children: [
    Subcommand(
      name: "up", summary: "start a cluster, or the one that is there again, and wait until it serves",
      details: [
        "Node i is called n<i>, keeps its data in DIR/n<i>, logs to DIR/n<i>.log, and listens on 127.0.0.1: HTTP on port",
        "BASE + 10 i + 8, the other nodes on BASE + 10 i + 6. It goes on when this terminal is closed.",
      ],
      options: [
        Option("--nodes", "COUNT", help: "how many nodes, 1 to \(LocalCluster.nodesMax) (default: 3)"),
        Option("--n", "N", help: "how many nodes keep each key (default: 3)"),
        dataOption,
        Option("--port-base", "BASE", help: "first of the ports (default: \(LocalCluster.portBaseDefault))"),
        Option("--set", "KEY=VALUE", repeats: true, help: "a setting of every node, see cairn node --help"),
      ],
      examples: ["local up", "local up --nodes 5 --data ./five --port-base 20000"], run: localUp),
    Subcommand(
      name: "status", summary: "show the nodes", options: [dataOption, Option("--json", help: "print JSON")],
      examples: ["local status"], run: localStatus),
    Subcommand(
      name: "kill", summary: "end a node at once (SIGKILL), as a crash would", operands: "NODE",
      options: [dataOption], examples: ["local kill 2"], run: localKill),
    Subcommand(
      name: "stop", summary: "stop a node cleanly (SIGTERM) and wait for its end", operands: "NODE",
      options: [dataOption], examples: ["local stop 2"], run: localStop),
    Subcommand(
      name: "start", summary: "start a node that was killed or stopped and wait until it serves", operands: "NODE",
      options: [dataOption], examples: ["local start 2"], run: localStart),
    Subcommand(
      name: "down", summary: "stop all nodes",
      options: [dataOption, Option("--wipe", help: "remove the cluster and all its data too")],
      examples: ["local down", "local down --wipe"], run: localDown),
  ])

extension Arguments {
  /// The absolute path of `--data`.
  func localDirectory() throws(UsageError) -> String {
    var path = value("--data") ?? ".cairn"
    if path.isEmpty { throw problem("--data is empty; it names the directory where the cluster lives") }
    if path.hasPrefix("./") { path.removeFirst(2) }
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    return path.hasPrefix("/") ? path : Console.currentDirectory + "/" + path
  }

  /// ` --data DIR`, as it must be repeated in the commands that are suggested.
  var dataSuffix: String { value("--data").map { " --data \(shellQuoted($0))" } ?? "" }

  /// The cluster that is there, locked against other commands.
  func withLocalCluster<Result>(_ body: (inout LocalCluster) throws -> Result) throws -> Result {
    let directory = try localDirectory()
    guard FileTree.exists(LocalCluster.recordPath(directory)) else {
      throw Failure("there is no local cluster in \(directory); start one with cairn local up\(dataSuffix)")
    }
    let lock = try LocalCluster.lock(directory)
    guard var cluster = try LocalCluster.load(directory) else {
      throw Failure("there is no local cluster in \(directory) any more")
    }
    return try withExtendedLifetime(lock) { try body(&cluster) }
  }

  /// One node is named, whichever there are.
  func requireNode() throws(UsageError) {
    if positionals.isEmpty { throw problem("which node? name one by its number", hint: "type \(command) 2") }
    if positionals.count > 1 { throw problem("\(positionals.count) nodes are named; one at a time") }
  }

  /// The place in `nodes` that the one operand names: `2` or `n2`.
  func node(of cluster: LocalCluster) throws -> Int {
    try requireNode()
    let word = positionals[0].hasPrefix("n") ? String(positionals[0].dropFirst()) : positionals[0]
    guard let number = Int(word), (1...cluster.nodes.count).contains(number) else {
      throw problem("there is no node '\(positionals[0])': nodes go from 1 to \(cluster.nodes.count)")
    }
    return number - 1
  }

  func refuseOperands() throws {
    if let word = positionals.first { throw problem("'\(word)' means nothing here") }
  }
}

@Sendable private func localKill(_ arguments: Arguments) throws -> Int32 {
  try arguments.requireNode()
  return try arguments.withLocalCluster { cluster in
    let node = cluster.nodes[try arguments.node(of: cluster)]
    guard let process = cluster.running(node) else { throw Failure("\(cluster.name(node)) does not run") }
    process.signal(.kill)
    guard waitForEnd(of: process, milliseconds: 10_000) else {
      throw Failure("\(cluster.name(node)) (pid \(process.pid)) has not ended after SIGKILL")
    }
    try printOut("\(cluster.name(node)) killed (pid \(process.pid))\n")
    return 0
  }
}

@Sendable private func localStop(_ arguments: Arguments) throws -> Int32 {
  try arguments.requireNode()
  return try arguments.withLocalCluster { cluster in
    let node = cluster.nodes[try arguments.node(of: cluster)]
    guard let process = cluster.running(node) else { throw Failure("\(cluster.name(node)) does not run") }
    process.signal(.terminate)
    guard waitForEnd(of: process, milliseconds: LocalRun.stopMilliseconds) else {
      throw Failure(
        "\(cluster.name(node)) (pid \(process.pid)) has not stopped; end it with cairn local kill \(node.number)")
    }
    try printOut("\(cluster.name(node)) stopped (pid \(process.pid))\n")
    return 0
  }
}

@Sendable private func localDown(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  try arguments.withLocalCluster { cluster in
    let processes = cluster.nodes.compactMap { cluster.running($0) }
    for process in processes { process.signal(.terminate) }
    for process in processes where !waitForEnd(of: process, milliseconds: LocalRun.stopMilliseconds) {
      writeToStandardError(
        "cairn: pid \(process.pid) did not stop within \(LocalRun.stopMilliseconds / 1000) s; killing it\n")
      process.signal(.kill)
      guard waitForEnd(of: process, milliseconds: 10_000) else { throw Failure("pid \(process.pid) does not end") }
    }
    try printOut("\(processes.count) node\(processes.count == 1 ? "" : "s") stopped\n")
    guard arguments.has("--wipe") else { return }
    for node in cluster.nodes {
      try remove(cluster.dataDirectory(node))
      try remove(cluster.logPath(node))
    }
    try remove(LocalCluster.recordPath(cluster.directory))
    try remove(cluster.directory + "/local.lock")
    FileTree.removeIfEmpty(cluster.directory)
    try printOut("\(cluster.directory) wiped\n")
  }
  return 0
}

private func remove(_ path: String) throws {
  do throws(Errno) {
    try FileTree.remove(path)
  } catch {
    throw Failure("cannot remove \(path): \(error)")
  }
}

/// Whether the process ended in time.
func waitForEnd(of process: ProcessIdentity, milliseconds: UInt64) -> Bool {
  let deadline = SystemClock().now().instant.adding(milliseconds: milliseconds)
  while process.isRunning {
    if SystemClock().now().instant > deadline { return false }
    pause(milliseconds: 10)
  }
  return true
}
