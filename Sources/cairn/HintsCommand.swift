import Client
import Platform
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
  options: [
    Option("--url", "URL", repeats: true, help: "a node; all of them are asked"),
    Option("--data", "DIR", help: "where a local cluster lives; all of its nodes are asked"),
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
  let endpoints = try arguments.nodesForHints()
  return arguments.has("--drain") ? try drain(endpoints, arguments) : try show(endpoints, arguments)
}

private func show(_ endpoints: [Endpoint], _ arguments: Arguments) throws -> Int32 {
  var views: [HintView] = []
  var problems: [String] = []
  for endpoint in endpoints {
    do throws(Failure) {
      views.append(try HintView(asking: endpoint))
    } catch {
      problems.append(error.message)
    }
  }
  let report = HintReport(views, unreachable: problems)
  if !views.isEmpty || arguments.has("--json") {
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

extension Arguments {
  /// The nodes to ask: those that are named, or all of a local cluster.
  fileprivate func nodesForHints() throws -> [Endpoint] {
    let isSaid = !allValues("--url").isEmpty
    if isSaid, value("--data") != nil {
      throw problem("--url and --data both name nodes; give one of them", hint: "see \(command) --help")
    }
    if isSaid || value("--data") == nil && Console.environment(ObjectRequest.urlVariable) != nil {
      return try endpoints()
    }
    let directory = try localDirectory()
    if let cluster = try LocalCluster.load(directory) { return cluster.nodes.map { cluster.endpoint($0) } }
    guard value("--data") == nil else {
      throw Failure("there is no local cluster in \(directory); start one with cairn local up\(dataSuffix)")
    }
    return try endpoints()
  }
}

extension HintView {
  /// A look is for eyes that wait.
  static let patienceMilliseconds = 5000

  /// Asks one node what it keeps.
  init(asking endpoint: Endpoint) throws(Failure) {
    let answer = try hintAnswer("GET", "/admin/hints", endpoint, patienceMilliseconds: HintView.patienceMilliseconds)
    self.init(url: "\(endpoint)", document: answer)
  }
}

/// The document that a node answers. - Throws: why there is none, naming the node.
func hintAnswer(
  _ method: String, _ target: String, _ endpoint: Endpoint, patienceMilliseconds: Int
) throws(Failure) -> JSON {
  var client = HTTPClient(endpoint, timeoutMilliseconds: patienceMilliseconds)
  let answer: HTTPResponse
  do throws(HTTPClientError) {
    answer = try client.send(method, target)
  } catch {
    throw Failure("\(error)")
  }
  let document = try? JSON.parse(answer.body)
  guard answer.status == 200 else {
    throw Failure("\(endpoint) answered \(answer.status): \(document?["error"]?.string ?? answer.line)")
  }
  guard let document else { throw Failure("\(endpoint) sent something that is no JSON") }
  return document
}
