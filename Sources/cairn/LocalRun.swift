import Client
import Platform
import Primitives
import Protocols
import Server

// `cairn local up` and `start`: check what can be checked before anything is started, start processes, wait until
// they serve and hear each other, and say what to type next.

enum LocalRun {
  /// How long a node may take from its start to serving.
  static let readyMilliseconds: UInt64 = 60_000
  /// How long a node may take from SIGTERM to its end.
  static let stopMilliseconds: UInt64 = 30_000

  /// Starts these nodes, and waits until they serve. What was started is in `cluster` also when not all could be.
  static func launch(_ indices: [Int], of cluster: inout LocalCluster) throws {
    try start(indices, of: &cluster)
    try waitUntilReady(indices, of: cluster)
    LocalMeeting.wait(cluster)
  }
}

@Sendable func localUp(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  let directory = try arguments.localDirectory()
  // What can be checked without touching anything is checked first.
  let isNew = !FileTree.exists(LocalCluster.recordPath(directory))
  var cluster = isNew ? try newCluster(arguments, in: directory) : nil
  if let cluster { try checkPorts(cluster.nodes.indices, of: cluster, isNew: true) }
  do throws(Errno) {
    try FileTree.create(directory)
  } catch {
    throw Failure("cannot create \(directory): \(error)")
  }
  let lock = try LocalCluster.lock(directory)
  return try withExtendedLifetime(lock) {
    if let existing = try LocalCluster.load(directory) { cluster = try agree(arguments, with: existing) }
    guard var cluster else { throw Failure("the local cluster in \(directory) has just been removed; try again") }
    let starting = cluster.nodes.indices.filter { cluster.running(cluster.nodes[$0]) == nil }
    try start(starting, of: &cluster)
    try waitUntilReady(Array(cluster.nodes.indices), of: cluster)
    LocalMeeting.wait(cluster)
    try printOut(whatNext(cluster, arguments, isNew: isNew))
    return 0
  }
}

@Sendable func localStart(_ arguments: Arguments) throws -> Int32 {
  try arguments.requireNode()
  return try arguments.withLocalCluster { cluster in
    let index = try arguments.node(of: cluster)
    let node = cluster.nodes[index]
    if let process = cluster.running(node) {
      throw Failure("\(cluster.name(node)) runs already (pid \(process.pid))")
    }
    try LocalRun.launch([index], of: &cluster)
    let pid = cluster.nodes[index].process!.pid
    try printOut("\(cluster.name(node)) serves on \(cluster.endpoint(node)) (pid \(pid))\n")
    return 0
  }
}

/// The cluster that the options describe.
private func newCluster(_ arguments: Arguments, in directory: String) throws -> LocalCluster {
  let count = try arguments.integer("--nodes", in: 1...LocalCluster.nodesMax) ?? 3
  let replicas = try arguments.integer("--n", in: 1...16) ?? 3
  if count < 3 && arguments.value("--n") == nil {
    throw arguments.problem(
      "\(count) node\(count == 1 ? "" : "s") cannot keep 3 copies of a key",
      hint: "take three or more, or say so: cairn local up --nodes \(count) --n \(count)")
  }
  if replicas > count {
    throw arguments.problem(
      "--n \(replicas) is more than the \(count) nodes there are",
      hint:
        "cairn local up --nodes \(max(count, min(replicas, LocalCluster.nodesMax))) --n \(min(replicas, LocalCluster.nodesMax))"
    )
  }
  let base = try arguments.integer("--port-base", in: 1000...65_400) ?? LocalCluster.portBaseDefault
  let settings = arguments.allValues("--set")
  for setting in settings { try check(setting, arguments) }
  let cluster = LocalCluster(
    directory: directory, portBase: base, replicas: replicas, settings: settings, nodeCount: count)
  try check(cluster, arguments)
  return cluster
}

/// What the nodes of a cluster would refuse together is refused before anything is made.
private func check(_ cluster: LocalCluster, _ arguments: Arguments) throws(UsageError) {
  for node in cluster.nodes {
    do throws(ConfigurationError) {
      try Configuration(arguments: Array(cluster.arguments(node).dropFirst())).validate()
    } catch {
      throw arguments.problem("\(error)", hint: "see cairn node --help")
    }
  }
}

/// A setting that a node would refuse is refused before one is started.
private func check(_ setting: String, _ arguments: Arguments) throws {
  let sides = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
  guard sides.count == 2 else { throw arguments.problem("--set \(setting) is not KEY=VALUE") }
  if let key = Configuration.keys.first(where: { $0.name == sides[0] }), key.isIdentity {
    throw arguments.problem("--set \(key.name): cairn local chooses that itself")
  }
  if sides[0] == "n_val" { throw arguments.problem("--set n_val: type --n \(sides[1]) instead") }
  do throws(ConfigurationError) {
    var configuration = Configuration()
    try configuration.set(sides[0], to: sides[1], from: .set)
  } catch {
    throw arguments.problem("\(error)", hint: "see cairn node --help")
  }
}

/// The cluster that is there, if the options do not ask for another.
private func agree(_ arguments: Arguments, with cluster: LocalCluster) throws -> LocalCluster {
  let asked = [
    ("--nodes", cluster.nodes.count), ("--n", cluster.replicas), ("--port-base", cluster.portBase),
  ]
  for (option, value) in asked {
    guard let text = arguments.value(option), Int(text) != value else { continue }
    throw arguments.problem(
      "the cluster in \(cluster.directory) was made with \(option) \(value)",
      hint:
        "leave \(option) out, choose another --data, or remove it with cairn local down --wipe\(arguments.dataSuffix)")
  }
  let settings = arguments.allValues("--set")
  guard settings.isEmpty || settings == cluster.settings else {
    throw arguments.problem(
      "the cluster in \(cluster.directory) was made with other settings: \(cluster.settings.joined(separator: " "))",
      hint: "leave --set out, choose another --data, or remove it with cairn local down --wipe\(arguments.dataSuffix)")
  }
  return cluster
}

/// Starts the processes of these nodes. What was started is recorded even if the next one cannot be.
private func start(_ indices: [Int], of cluster: inout LocalCluster) throws {
  try checkPorts(indices, of: cluster, isNew: false)
  let executable = Console.executablePath
  for index in indices {
    let node = cluster.nodes[index]
    do throws(Errno) {
      try FileTree.openLog(cluster.logPath(node))
    } catch {
      throw Failure("cannot write the log \(cluster.logPath(node)): \(error)")
    }
    var setting = ProcessSetting()
    setting.outputPath = cluster.logPath(node)
    setting.errorPath = cluster.logPath(node)
    setting.ownSession = true
    do throws(Errno) {
      cluster.nodes[index].process = try spawn(executable, cluster.arguments(node), setting)
    } catch {
      throw Failure("cannot start \(executable): \(error)")
    }
    try cluster.save()
  }
}

/// - Parameter isNew: The cluster may still choose other ports.
private func checkPorts(_ indices: some Sequence<Int>, of cluster: LocalCluster, isNew: Bool) throws {
  for node in indices.map({ cluster.nodes[$0] }) {
    for port in [cluster.httpPort(node), cluster.pbPort(node), cluster.clusterPort(node)] {
      do throws(SocketError) {
        _ = try Listener(on: LocalCluster.loopback(port))
      } catch .portInUse {
        let holder = ProcessTable.listener(onPort: port).map { "'\($0.name)' (pid \($0.pid))" } ?? "another process"
        let other = cluster.portBase < 50_000 ? cluster.portBase + 10_000 : LocalCluster.portBaseDefault
        let advice =
          isNew ? "choose other ports with cairn local up --port-base \(other)" : "stop that process first"
        throw Failure("port \(port), which \(cluster.name(node)) needs, is in use by \(holder); \(advice)")
      } catch {
        throw Failure("cannot use port \(port): \(error)")
      }
    }
  }
}

private func waitUntilReady(_ indices: [Int], of cluster: LocalCluster) throws {
  let clock = SystemClock()
  let deadline = clock.now().instant.adding(milliseconds: LocalRun.readyMilliseconds)
  var waiting = indices
  while !waiting.isEmpty {
    waiting = try waiting.filter { index in
      let node = cluster.nodes[index]
      guard cluster.running(node) != nil else { throw endedEarly(node, of: cluster) }
      return !isReady(cluster.endpoint(node))
    }
    showProgress(waiting.map { cluster.name(cluster.nodes[$0]) })
    if waiting.isEmpty { return }
    if clock.now().instant > deadline {
      let names = waiting.map { cluster.name(cluster.nodes[$0]) }.joined(separator: ", ")
      let log = cluster.logPath(cluster.nodes[waiting[0]])
      throw Failure("not serving after \(LocalRun.readyMilliseconds / 1000) s: \(names); see \(log)")
    }
    pause(milliseconds: 20)
  }
}

/// The node's own words; a usage error when the node took its arguments for one.
private func endedEarly(_ node: LocalCluster.Node, of cluster: LocalCluster) -> any Error {
  showProgress([])
  let log = (try? FileTree.read(cluster.logPath(node), bytesMax: 64 << 20)) ?? []
  let reason = lastError(String(decoding: log.suffix(1 << 16), as: UTF8.self)) ?? "it said nothing"
  let end = node.process.flatMap { endOfChild($0.pid, wait: false) }
  let how =
    switch end {
    case .exited(let code)? where code >= 0: "exited with code \(code)"
    case .signalled(let signal)?: "was ended by signal \(signal)"
    case .exited?, nil: "has ended"
    }
  let message = "\(cluster.name(node)) \(how): \(reason)"
  if end == .exited(2) { return UsageError(problem: message, hint: "see \(cluster.logPath(node))") }
  return Failure("\(message) (log: \(cluster.logPath(node)))")
}

/// The last thing a log says: its last line, not counting the indented ones that say what to type next; nil when there
/// is none.
func lastError(_ log: String) -> String? {
  log.split(whereSeparator: \.isNewline).last { !$0.hasPrefix(" ") }.map(String.init)
}

private func isReady(_ endpoint: Endpoint) -> Bool {
  do throws(HTTPClientError) {
    var client = HTTPClient(endpoint, timeoutMilliseconds: 1000)
    return try client.send("GET", "/ready").status == 200
  } catch {
    return false
  }
}

/// One line on a terminal, rewritten in place; nothing elsewhere. An empty list clears it.
private func showProgress(_ waiting: [String]) {
  guard Console.errorIsTerminal else { return }
  writeToStandardError("\r\u{1B}[K" + (waiting.isEmpty ? "" : "waiting for \(waiting.joined(separator: ", ")) …"))
}

private func whatNext(_ cluster: LocalCluster, _ arguments: Arguments, isNew: Bool) -> String {
  let program = shellQuoted(Console.executablePath)
  let data = arguments.dataSuffix
  let count = cluster.nodes.count
  let url = cluster.portBase == LocalCluster.portBaseDefault ? "" : " --url \(cluster.endpoint(cluster.nodes[0]))"
  let other = cluster.endpoint(cluster.nodes[1 % count])
  let third = cluster.endpoint(cluster.nodes[2 % count])
  let nodes = aligned(
    cluster.nodes.map {
      [cluster.name($0), "\(cluster.endpoint($0))", "pb \(cluster.pbAddress($0))", "pid \($0.process?.pid ?? 0)"]
    }, indent: "  ")
  var next = [
    ["\(program) put fruit apple red\(url)", ""],
    ["\(program) get fruit apple --url \(other)", ""],
    ["curl -i \(third)/buckets/fruit/keys/apple", ""],
    ["\(program) delete fruit apple --url \(third)", ""],
    ["\(program) local status\(data)", ""],
  ]
  if count > 1 { next.append(["\(program) local kill 2\(data)", "then go on through the others"]) }
  next.append(["\(program) local down\(data)", "add --wipe to remove the data too"])
  return """
    \(count) node\(count == 1 ? "" : "s"), each key on \(cluster.replicas), \(isNew ? "new" : "again") in \(cluster.directory):

    \(nodes.joined(separator: "\n"))

    now type:

    \(next.map { "  \($0[0])" + ($0[1].isEmpty ? "" : "   # \($0[1])") }.joined(separator: "\n"))

    """
}
