import Client
import Platform
import Primitives
import Protocols
import Storage

// `cairn store snapshot`: a consistent copy of a node's stores beside them, by hard links. A node that runs makes it
// itself, asked over HTTP; for one that does not, the engine is opened as the node would open it, its journal replayed
// first.

@Sendable func storeSnapshot(_ arguments: Arguments) throws -> Int32 {
  let directory = try arguments.oneDirectory()
  let order = try SnapshotOrder(arguments)
  let made =
    StorePlace.isInUse(directory)
    ? try order.ask(for: directory, arguments) : try order.make(StorePlace(directory, arguments, writes: true))
  try printOut(arguments.has("--json") ? made.json.text(indent: true) + "\n" : made.text)
  return 0
}

/// What was made, by the node or here.
private struct MadeSnapshot {
  let json: JSON
  let directory: String
  let store: StoreID?

  var text: String {
    func number(_ member: String) -> Int { json[member]?.integer ?? 0 }
    let name = json["name"]?.string ?? ""
    let path = json["path"]?.string ?? ""
    let size = byteText(Double(number("bytes")))
    let counts = "\(plural(number("stores"), "store")), \(plural(number("files"), "data file")), \(size)"
    let data = shellQuoted(directory)
    let copied = shellQuoted("\(directory).old/snapshots/\(name)/")
    var lines = [
      "snapshot \(name): \(counts)", "  \(path)", "",
      "Its files are those of the node: copy it to another disk before you count on it.",
    ]
    if let store {
      lines.append("look at it:  cairn store inspect \(shellQuoted("\(path)/stores/\(store)"))")
    } else {
      lines += [
        "check it:    cairn store verify \(shellQuoted(path))",
        "restore it:  only together with those of all other nodes, and with every node stopped (Docs/Operations.md):",
        "             mv \(data) \(data).old && mkdir \(data) && cp -a \(copied)node \(copied)stores \(data)/",
      ]
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// What was asked for.
private struct SnapshotOrder {
  let name: SnapshotName
  let store: StoreID?
  /// A node that links tens of thousands of files takes its time.
  private static let patienceMilliseconds = 600_000
  private static let statusPatienceMilliseconds = 5000

  init(_ arguments: Arguments) throws(UsageError) {
    let text = arguments.value("--name") ?? SnapshotOrder.nameOfNow
    guard let name = SnapshotName(text) else {
      throw arguments.problem(
        "--name '\(text)' cannot be the name of a snapshot",
        hint: "1 to \(SnapshotName.byteCountMax) letters, digits, '-', '_' and '.', a letter or digit first, and not "
          + ".partial last")
    }
    self.name = name
    store = arguments.value("--store").flatMap { StoreID($0) }
    if let text = arguments.value("--store"), store == nil {
      throw arguments.problem(
        "--store '\(text)' is no store", hint: "they are called like p042-n3, those of hints like hints-3")
    }
  }

  /// `2026-02-03T040506Z`
  private static var nameOfNow: String {
    String(timestamp(wallMilliseconds: SystemClock().now().wallMilliseconds).prefix { $0 != "." }.filter { $0 != ":" })
      + "Z"
  }

  // MARK: A node that runs

  func ask(for word: String, _ arguments: Arguments) throws -> MadeSnapshot {
    let directory: String
    do throws(Errno) {
      directory = try FileTree.resolved(word)
    } catch {
      throw Failure("cannot find \(word): \(error)")
    }
    let endpoint = try self.endpoint(of: directory, arguments)
    var target = "/admin/snapshot?name=\(name)"
    if let store { target += "&store=\(store)" }
    let answer = try send("POST", target, to: endpoint, SnapshotOrder.patienceMilliseconds)
    guard let document = try? JSON.parse(answer.body) else {
      throw Failure("\(endpoint) answered \(answer.status): \(answer.line)")
    }
    guard answer.status == 200 else {
      throw Failure("\(endpoint) answered \(answer.status): \(document["error"]?.string ?? answer.line)")
    }
    return MadeSnapshot(json: document, directory: directory, store: store)
  }

  private func send(
    _ method: String, _ target: String, to endpoint: Endpoint, _ patience: Int
  ) throws(Failure) -> HTTPResponse {
    var client = HTTPClient(endpoint, timeoutMilliseconds: patience)
    do throws(HTTPClientError) {
      return try client.send(method, target)
    } catch {
      throw Failure("\(error)")
    }
  }

  /// Where the node of the directory answers: what was said, or what the record of a local cluster says.
  private func endpoint(of directory: String, _ arguments: Arguments) throws -> Endpoint {
    var files = PosixFileSystem()
    let (manifest, problem) = NodeContents.manifest(in: directory, on: &files)
    guard let manifest else { throw Failure(problem.map { "\($0)" } ?? "\(directory) is no node's directory") }
    let isSaid = !arguments.allValues("--url").isEmpty || Console.environment(ObjectRequest.urlVariable) != nil
    if !isSaid {
      let parent = String(directory[..<(directory.lastIndex(of: "/") ?? directory.startIndex)])
      if let cluster = try LocalCluster.load(parent),
        let node = cluster.nodes.first(where: { cluster.dataDirectory($0) == directory })
      {
        return cluster.endpoint(node)
      }
      throw Failure(
        "node \(manifest.name) is at work in \(directory), and where it answers is not known; type: "
          + "cairn store snapshot \(shellQuoted(directory)) --url http://HOST:PORT")
    }
    var reasons: [String] = []
    for endpoint in try arguments.endpoints() {
      do {
        let answer = try send("GET", "/admin/status", to: endpoint, SnapshotOrder.statusPatienceMilliseconds)
        let status = try? JSON.parse(answer.body)
        if let found = status?["name"]?.string, answer.status == 200 {
          let isSame = found == manifest.name && status?["cluster_id"]?.string == manifest.cluster?.id.description
          if isSame { return endpoint }
          reasons.append("\(endpoint) is node \(found)")
        } else {
          reasons.append("\(endpoint) answered \(answer.status): \(answer.line)")
        }
      } catch {
        reasons.append(error.message)
      }
    }
    throw Failure("none of these is node \(manifest.name) of \(directory): \(reasons.joined(separator: "; "))")
  }

  // MARK: A node that does not run

  func make(_ place: StorePlace) throws -> MadeSnapshot {
    guard place.isNode, let node = place.node, let cluster = node.cluster else {
      if let problem = place.nodeProblem { throw Failure("\(problem)") }
      throw Failure("\(place.path) is not the directory of a node that has a cluster; name that, and --store for one")
    }
    let options = EngineOptions(
      clusterID: cluster.id, nodeID: node.node, hash: RingHash(seed: cluster.ringSeed),
      ringBits: Int(cluster.partitions).trailingZeroBitCount, sync: .never)
    var files = PosixFileSystem()
    let outcome: SnapshotOutcome
    do {
      let engine = try Engine.open(place.path, options: options, stores: node.stores, on: &files)
      let gone = engine.recovery.missing + engine.recovery.missingHints
      if let missing = gone.first(where: { store == nil || store == $0 }) {
        throw Failure("store \(missing) is missing; cairn store verify \(shellQuoted(place.path)) says more")
      }
      let part = store.map { SnapshotPart.store($0) } ?? .all
      let request = SnapshotRequest(
        name: name, part: part, node: node, wallMilliseconds: SystemClock().now().wallMilliseconds)
      try engine.requestSnapshot(request, on: &files)
      outcome = try perform(engine, &files)
      try engine.flush(on: &files)
      for step in engine.shutdownSteps() { try step.perform(on: &files) }
    } catch let error as StorageError {
      throw Failure("\(error)")
    } catch let refusal as SnapshotRefusal {
      throw Failure("\(refusal)")
    }
    switch outcome {
    case .made(let report): return MadeSnapshot(json: json(report), directory: place.path, store: store)
    case .failed(_, let error): throw Failure("\(error); the stores are as they were")
    }
  }

  private func perform(_ engine: Engine, _ files: inout PosixFileSystem) throws(StorageError) -> SnapshotOutcome {
    while true {
      if let outcome = engine.takeSnapshotOutcome() {
        if case .failed = outcome { try work(engine, &files) }
        return outcome
      }
      try work(engine, &files)
    }
  }

  private func work(_ engine: Engine, _ files: inout PosixFileSystem) throws(StorageError) {
    guard let steps = engine.work(at: SystemClock().instant(), on: &files) else { return }
    var line = ProgressLine("making the snapshot", .items("steps"), total: UInt64(steps.count))
    defer { line.finish() }
    do throws(StorageError) {
      for step in steps {
        try step.perform(on: &files)
        line.advance(by: 1)
      }
    } catch {
      guard engine.failWork(error) else { throw error }
      return
    }
    engine.completeWork()
  }

  private func json(_ report: SnapshotReport) -> JSON {
    .object([
      "name": .string("\(report.name)"), "path": .string(report.path),
      "stores": .count(UInt64(report.contents.stores)), "files": .count(report.contents.files),
      "bytes": .count(report.contents.bytes),
      "time": .string(timestamp(wallMilliseconds: report.contents.wallMilliseconds)),
    ])
  }
}
