import Client
import Platform
import Protocols

// `cairn cluster`: the cluster as its nodes see it.

let clusterCommand = Subcommand(
  name: "cluster", summary: "show the members of a cluster and what is wrong with them",
  examples: ["cluster status"],
  children: [
    Subcommand(
      name: "status", summary: "show all members, and what is wrong with the cluster",
      details: [
        "The first node that answers is asked for all members; LINK and CLOCK are what it sees. A member's keys and memory",
        "are known only when it is asked itself: give its --url too.",
      ],
      options: [
        Option(
          "--url", "URL", repeats: true, help: "a node; all of them are asked (default \(ObjectRequest.defaultURL))"),
        Option("--json", help: "print JSON"),
      ],
      examples: [
        "cluster status",
        "cluster status --url http://127.0.0.1:10018 --url http://127.0.0.1:10028 --url http://127.0.0.1:10038",
      ],
      run: clusterStatus)
  ])

@Sendable private func clusterStatus(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  var views: [NodeView] = []
  var problems: [String] = []
  for endpoint in try arguments.endpoints() {
    do {
      views.append(try NodeView(asking: endpoint))
    } catch let failure as Failure {
      problems.append(failure.message)
    }
  }
  guard !views.isEmpty else {
    let hint = problems.count == 1 ? "; is it running? see cairn local status" : ""
    throw Failure(problems.joined(separator: "; ") + hint)
  }
  let report = ClusterReport(views, unreachable: problems)
  try printOut(arguments.has("--json") ? report.json.text(indent: true) + "\n" : report.text)
  return 0
}

extension NodeView {
  /// A status is for eyes that wait.
  private static let patienceMilliseconds = 5000

  /// Asks one node for all that it says of itself and of its cluster.
  init(asking endpoint: Endpoint) throws {
    var client = HTTPClient(endpoint, timeoutMilliseconds: NodeView.patienceMilliseconds)
    func document(_ target: String) throws(Failure) -> JSON {
      let answer: HTTPResponse
      do throws(HTTPClientError) {
        answer = try client.send("GET", target)
      } catch {
        throw Failure("\(error)")
      }
      guard answer.status == 200 else { throw Failure("\(endpoint) answered \(answer.status): \(answer.line)") }
      guard let document = try? JSON.parse(answer.body) else {
        throw Failure("\(endpoint) sent something that is no JSON")
      }
      return document
    }
    self.init(
      url: "\(endpoint)", status: try document("/admin/status"), members: try document("/admin/members"),
      ring: try document("/admin/ring"))
  }
}
